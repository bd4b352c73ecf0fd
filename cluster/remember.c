// remember.c - which sessions other nodes keep, over a restart of this one.
//
// A node that has just started knows no more than those tell it that it can reach. Were a session
// at another one, its client would be given a new one here, and the old one would end for it with
// all that waits there. So what nodes tell of their sessions is in the store as well, a setting for
// each: its name is CLUSTER_SETTINGS, the node's uuid, '/', the client identifier. What a node
// tells as a whole takes the place of all that is remembered of it.
//
// Nobody waits until it is on the disk: what a crash takes is told anew.
#include "core/base/mem.h"

#include "cluster/cluster.h"
#include "cluster/nodes_parts.h"
#include "core/journal.h"
#include "core/record.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/shard.h"

#define NAME_HEAD  (sizeof CLUSTER_SETTINGS - 1 + NODE_ID_LEN + 1)
#define TICK_STEPS 512u

// Sessions of a node that are in the store, while there is no link to it.
struct recalled {
    struct list node;
    char id[NODE_ID_LEN + 1]; // of the other node
    unsigned shard;           // its link's
    struct route_set sessions;
    uint32_t place; // of sessions, those that are deleted already
};

// ---- The store ----------------------------------------------------------------------------------

static void
write_setting(struct shard *shard, const char *id, struct slice client_id, bool there)
{
    uint8_t name[RECORD_SETTING_NAME_MAX];
    if (!journal_is_on(shard->journal) || client_id.len > sizeof name - NAME_HEAD)
        return; // it is not remembered
    must(client_id.len > 0 && strlen(id) == NODE_ID_LEN);
    memcpy(name, CLUSTER_SETTINGS, sizeof CLUSTER_SETTINGS - 1);
    memcpy(name + sizeof CLUSTER_SETTINGS - 1, id, NODE_ID_LEN);
    name[NAME_HEAD - 1] = '/';
    memcpy(name + NAME_HEAD, client_id.data, client_id.len);
    uint64_t order = retained_take_order(shard->broker->retained);
    (void)journal_setting(shard->journal, slice_of(name, NAME_HEAD + client_id.len),
                          slice_of("1", there), order);
}

void
remember_session(struct link *link, struct shard *shard, struct slice client_id, bool there)
{
    struct nodes *nodes = nodes_of(shard->broker->cluster);
    must(link->shard == shard->index);
    pthread_mutex_lock(&nodes->mutex);
    bool news = route_set_put(&link->sessions, client_id, there);
    pthread_mutex_unlock(&nodes->mutex);
    if (news)
        write_setting(shard, link->id, client_id, there);
}

// ---- The start ----------------------------------------------------------------------------------

static struct recalled *
find(const struct nodes *nodes, const char *id)
{
    for (struct list *at = nodes->recalled.next; at != &nodes->recalled; at = at->next) {
        struct recalled *recalled = container_of(at, struct recalled, node);
        if (memcmp(recalled->id, id, NODE_ID_LEN) == 0)
            return recalled;
    }
    return NULL;
}

// id need not end with a NUL.
static struct recalled *
add(struct nodes *nodes, const char *id)
{
    struct recalled *recalled = mem_zalloc(sizeof *recalled);
    memcpy(recalled->id, id, NODE_ID_LEN);
    recalled->shard = broker_home(nodes->broker, slice_str(recalled->id));
    list_init(&recalled->node);
    list_push(&nodes->recalled, &recalled->node);
    atomic_fetch_add(&nodes->recalled_count, 1);
    return recalled;
}

static void
drop(struct nodes *nodes, struct recalled *recalled)
{
    list_remove(&recalled->node);
    atomic_fetch_sub(&nodes->recalled_count, 1);
    route_set_free(&recalled->sessions);
    mem_free(recalled);
}

err_t
cluster_recall(void *cluster, const struct record *setting)
{
    struct nodes *nodes = nodes_of(cluster);
    struct slice name = setting->msg.topic;
    must(nodes->broker && slice_begins(name, CLUSTER_SETTINGS));
    if (name.len <= NAME_HEAD || setting->msg.payload.len == 0)
        return OK; // not of ours
    const char *id = (const char *)name.data + sizeof CLUSTER_SETTINGS - 1;
    pthread_mutex_lock(&nodes->mutex);
    struct recalled *recalled = find(nodes, id);
    if (!recalled)
        recalled = add(nodes, id);
    struct slice client_id = slice_of(name.data + NAME_HEAD, name.len - NAME_HEAD);
    (void)route_set_put(&recalled->sessions, client_id, 1);
    pthread_mutex_unlock(&nodes->mutex);
    return OK;
}

void
remember_known(struct nodes *nodes, struct link *link)
{
    pthread_mutex_lock(&nodes->mutex);
    struct recalled *recalled = find(nodes, link->id);
    if (recalled) {
        must(link->sessions.count == 0 && recalled->shard == link->shard);
        link->sessions = recalled->sessions;
        recalled->sessions = (struct route_set){0};
        drop(nodes, recalled);
    }
    pthread_mutex_unlock(&nodes->mutex);
}

// ---- The end ------------------------------------------------------------------------------------

void
remember_no_longer(struct nodes *nodes, struct link *link)
{
    must(!link->session);
    if (link->sessions.count > 0)
        add(nodes, link->id)->sessions = link->sessions;
    else
        route_set_free(&link->sessions);
    link->sessions = (struct route_set){0};
}

// The first that this shard has to do with. The list is changed with the mutex, an entry by its
// shard alone.
static struct recalled *
next_of(struct nodes *nodes, unsigned shard)
{
    struct recalled *found = NULL;
    pthread_mutex_lock(&nodes->mutex);
    for (struct list *at = nodes->recalled.next; at != &nodes->recalled && !found; at = at->next) {
        struct recalled *recalled = container_of(at, struct recalled, node);
        if (recalled->shard == shard)
            found = recalled;
    }
    pthread_mutex_unlock(&nodes->mutex);
    return found;
}

// By its first tick a shard has its sessions back: what is left then is of nodes that have none
// here, and are not waited for.
void
remember_tick(struct nodes *nodes, struct shard *shard)
{
    if (likely(atomic_load_explicit(&nodes->recalled_count, memory_order_relaxed) == 0))
        return;
    struct recalled *recalled = next_of(nodes, shard->index);
    if (!recalled)
        return;
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, recalled->id); // it may be back after all
    pthread_mutex_unlock(&nodes->mutex);
    const struct route_set *sessions = &recalled->sessions;
    uint32_t end = min_u32(recalled->place + TICK_STEPS, sessions->places);
    for (; recalled->place < end; recalled->place++) {
        const struct route_entry *entry = &sessions->entries[recalled->place];
        struct slice client_id = slice_of(entry->key, entry->key ? entry->key_len : 0);
        if (entry->key && !(link && route_set_weight(&link->sessions, client_id) > 0))
            write_setting(shard, recalled->id, client_id, false);
    }
    if (end < sessions->places)
        return;
    pthread_mutex_lock(&nodes->mutex);
    drop(nodes, recalled);
    pthread_mutex_unlock(&nodes->mutex);
}

bool
remember_has_news(struct nodes *nodes, const struct shard *shard)
{
    return unlikely(atomic_load_explicit(&nodes->recalled_count, memory_order_relaxed) > 0) &&
           next_of(nodes, shard->index) != NULL;
}

void
remember_free(struct nodes *nodes)
{
    while (!list_empty(&nodes->recalled))
        drop(nodes, container_of(nodes->recalled.next, struct recalled, node));
}
