// reach.c - clients whose sessions are on other nodes: which node that is, and the way to it.
//
// Each node tells which sessions it has that outlive their connections, as it tells its routes
// (link.c). A session stays where it began; who comes elsewhere is relayed (core/client_relay.c).
#include "core/base/mem.h"

#include "cluster/nodes_parts.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/shard.h"

#define AGAIN_MS 500u

void
reach_kept(struct cluster *cluster, struct slice client_id, bool here)
{
    struct nodes *nodes = nodes_of(cluster);
    must(client_id.len > 0 && client_id.len < ROUTE_KEY_MAX);
    if (atomic_load_explicit(&nodes->stopping, memory_order_relaxed))
        return;
    uint8_t *key = mem_alloc(client_id.len + 1u);
    key[0] = KEY_SESSION;
    memcpy(key + 1, client_id.data, client_id.len);
    pthread_mutex_lock(&nodes->mutex);
    (void)route_log_set(nodes->log, slice_of(key, client_id.len + 1u), here);
    nodes_note_log(nodes);
    pthread_mutex_unlock(&nodes->mutex);
    mem_free(key);
    nodes_wake_links(nodes);
}

bool
reach_elsewhere(struct cluster *cluster, struct slice client_id, char ret_node[NODE_ID_LEN + 1])
{
    struct nodes *nodes = nodes_of(cluster);
    const struct link *found = NULL;
    bool settling = atomic_load_explicit(&nodes->settling, memory_order_acquire);
    pthread_mutex_lock(&nodes->mutex);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (route_set_weight(&link->sessions, client_id) == 0 || atomic_load(&link->forgotten))
            continue;
        // What is remembered may be over: who can tell is waited for.
        if (unlikely(settling) && !atomic_load_explicit(&link->copied, memory_order_acquire))
            continue;
        // Of two, the one whose node is there: the other's may be from before it went.
        bool up = atomic_load_explicit(&link->up, memory_order_relaxed);
        if (!found || up)
            found = link;
        if (up)
            break;
    }
    if (found)
        memcpy(ret_node, found->id, sizeof found->id);
    pthread_mutex_unlock(&nodes->mutex);
    return found != NULL;
}

// Not one that may be on its way back.
static bool
is_away(struct nodes *nodes, const char *node, uint64_t now_ms)
{
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, node);
    uint64_t since_ms = link ? atomic_load(&link->away_ms) : 0;
    pthread_mutex_unlock(&nodes->mutex);
    return since_ms != 0 && now_ms >= since_ms + NODE_REACH_MS;
}

err_t
reach_begin(struct cluster *cluster, struct client *client, struct slice client_id,
            const char *node)
{
    struct nodes *nodes = nodes_of(cluster);
    struct shard *shard = client->shard;
    uint64_t token = atomic_fetch_add(&nodes->tokens, 1) + 1;
    must(client_id.len > 0);
    if (is_away(nodes, node, shard->now_ms))
        return ERR_SERVER_UNAVAILABLE;
    if (!agent_reach(nodes->agent, node, shard->index, token))
        return ERR_SERVER_BUSY;
    struct waiting *waiting = mem_alloc(sizeof *waiting);
    *waiting = (struct waiting){
        .client = client, .token = token, .until_ms = shard->now_ms + NODE_REACH_MS};
    memcpy(waiting->to, node, NODE_ID_LEN);
    list_init(&waiting->node);
    list_push(&nodes->inboxes[shard->index].waiting, &waiting->node);
    return OK;
}

// The first that is meant, taken off the list. NULL: there is none.
static struct waiting *
take(struct list *list, const struct client *client, uint64_t token, uint64_t late_ms)
{
    for (struct list *node = list->next; node != list; node = node->next) {
        struct waiting *waiting = container_of(node, struct waiting, node);
        if (waiting->client == client || waiting->token == token || waiting->until_ms <= late_ms) {
            list_remove(node);
            return waiting;
        }
    }
    return NULL;
}

void
reach_end(struct cluster *cluster, struct client *client)
{
    struct inbox *inbox = &nodes_of(cluster)->inboxes[client->shard->index];
    mem_free(take(&inbox->waiting, client, 0, 0));
    mem_free(take(&inbox->early, client, 0, 0));
}

// A process that was killed may take connections for a moment longer.
void
reach_astray(struct cluster *cluster, struct shard *shard, uint64_t token)
{
    struct inbox *inbox = &nodes_of(cluster)->inboxes[shard->index];
    must(token != 0);
    for (struct list *node = inbox->waiting.next; node != &inbox->waiting; node = node->next) {
        struct waiting *waiting = container_of(node, struct waiting, node);
        if (waiting->token == token)
            waiting->again_ms = shard->now_ms + AGAIN_MS;
    }
    shard->hold_ms = min_u64(shard->hold_ms, shard->now_ms + AGAIN_MS);
}

static void
dial_again(struct nodes *nodes, const struct shard *shard, struct list *list)
{
    for (struct list *node = list->next; node != list; node = node->next) {
        struct waiting *waiting = container_of(node, struct waiting, node);
        if (likely(waiting->again_ms == 0 || waiting->again_ms > shard->now_ms))
            continue;
        bool dials = agent_reach(nodes->agent, waiting->to, shard->index, waiting->token);
        waiting->again_ms = dials ? 0 : shard->now_ms + AGAIN_MS;
    }
}

bool
reach_too_early(struct cluster *cluster, struct client *client)
{
    struct nodes *nodes = nodes_of(cluster);
    if (likely(!atomic_load_explicit(&nodes->settling, memory_order_acquire)))
        return false;
    struct waiting *waiting = mem_alloc(sizeof *waiting);
    *waiting = (struct waiting){.client = client, .until_ms = UINT64_MAX};
    list_init(&waiting->node);
    list_push(&nodes->inboxes[client->shard->index].early, &waiting->node);
    return true;
}

static void
let_in(struct inbox *inbox)
{
    struct list *node;
    while ((node = list_pop(&inbox->early)) != NULL) {
        struct waiting *waiting = container_of(node, struct waiting, node);
        struct client *client = waiting->client;
        mem_free(waiting);
        must(client->link == LINK_RELAY);
        client_relay_retry(client);
    }
}

struct client *
reach_find(struct cluster *cluster, struct shard *shard, uint64_t token)
{
    struct waiting *waiting =
        take(&nodes_of(cluster)->inboxes[shard->index].waiting, NULL, token, 0);
    struct client *client = waiting ? waiting->client : NULL;
    mem_free(waiting);
    return client;
}

void
reach_tick(struct nodes *nodes, struct shard *shard)
{
    struct inbox *inbox = &nodes->inboxes[shard->index];
    struct waiting *waiting;
    if (unlikely(!list_empty(&inbox->early)) && !atomic_load(&nodes->settling))
        let_in(inbox);
    if (list_empty(&inbox->waiting))
        return;
    while ((waiting = take(&inbox->waiting, NULL, 0, shard->now_ms)) != NULL) {
        client_relay_fail(waiting->client);
        mem_free(waiting);
    }
    dial_again(nodes, shard, &inbox->waiting);
    if (!list_empty(&inbox->waiting)) // look again, though nothing else happens
        shard->hold_ms = min_u64(shard->hold_ms, shard->now_ms + NODE_REACH_MS / 10);
}
