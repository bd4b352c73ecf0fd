// nodes.c - the other nodes, what they are to know of our clients, and who may come as one.
#include <stdio.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/mem.h"
#include "core/base/secret_file.h"

#include "cluster/forget.h"
#include "cluster/move.h"
#include "cluster/nodes_parts.h"
#include "cluster/seal.h"
#include "core/config.h"
#include "core/mqtt.h"
#include "core/session.h"
#include "core/shard.h"

#define RING_BYTES (4u << 20)
// A share group counts so many members of a node at most.
#define MEMBERS_MAX  (UINT32_MAX >> GROUP_ID_BITS)
#define GROUPS_SLACK 24288u
_Static_assert(NODE_LINKS_MAX == 2 * CLUSTER_NODES_MAX, "both ways");

// ---- Links --------------------------------------------------------------------------------------

struct link *
nodes_find_link(struct nodes *nodes, const char *id)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_relaxed);
    must(count <= CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(nodes->links[i]->id, id) == 0)
            return nodes->links[i];
    return NULL;
}

// With the mutex. A place that nobody has, or whose link is retired. NULL: there is none.
static struct link *
add_link(struct nodes *nodes, const char *id)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_relaxed), place = 0;
    while (place < count && !atomic_load(&nodes->links[place]->retired))
        place++;
    if (place == CLUSTER_NODES_MAX)
        return NULL;
    struct link *link = mem_zalloc(sizeof *link);
    (void)snprintf(link->id, sizeof link->id, "%s", id);
    link->shard = broker_home(nodes->broker, slice_str(link->id));
    if (place < count) {
        // Shards know by its number, at this place, which telling of claims was the last.
        atomic_store(&link->claims_round, atomic_load(&nodes->links[place]->claims_round));
        nodes->links[place]->next = nodes->replaced;
        nodes->replaced = nodes->links[place];
    }
    atomic_store_explicit(&nodes->links[place], link, memory_order_release);
    if (place == count)
        atomic_store_explicit(&nodes->link_count, count + 1, memory_order_release);
    return link;
}

struct link *
nodes_link(struct nodes *nodes, const char *id)
{
    must(strlen(id) == NODE_ID_LEN && nodes->broker);
    pthread_mutex_lock(&nodes->mutex);
    struct link *link = nodes_find_link(nodes, id);
    if (!link)
        link = add_link(nodes, id);
    if (link) {
        atomic_store(&link->gone, LINK_KEPT);
        atomic_store(&link->retired, false);
    }
    pthread_mutex_unlock(&nodes->mutex);
    return link;
}

void
nodes_gone(struct nodes *nodes, const char *id, enum link_gone gone)
{
    pthread_mutex_lock(&nodes->mutex);
    struct link *link = nodes_find_link(nodes, id);
    if (link && atomic_load(&link->gone) < gone) {
        atomic_store(&link->gone, gone);
        broker_wake(nodes->broker, link->shard);
    }
    pthread_mutex_unlock(&nodes->mutex);
}

void
nodes_link_free(void *p)
{
    struct link *link = p;
    if (!link)
        return;
    route_set_free(&link->heard);
    route_set_free(&link->sessions);
    wills_free(link);
    mem_free(link);
}

void
nodes_wake_all(struct nodes *nodes)
{
    atomic_fetch_add(&nodes->news, 1);
    for (unsigned i = 0; i < nodes->broker->shard_count; i++)
        broker_wake(nodes->broker, i);
}

void
nodes_wake_links(struct nodes *nodes)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load_explicit(&nodes->links[i]->up, memory_order_relaxed))
            broker_wake(nodes->broker, nodes->links[i]->shard);
}

// ---- Who may come -------------------------------------------------------------------------------

void
nodes_password(const struct nodes *nodes, uint32_t secret, const char *from, const char *to,
               char ret[NODE_PASS_LEN + 1])
{
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    const char *parts[] = {"ternmq link", nodes->name, from, to};
    Hmac hmac;
    must(secret < nodes->secret_count);
    int rc = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    if (rc == 0)
        rc = wc_HmacSetKey(&hmac, WC_SHA256, nodes->secrets[secret].data,
                           nodes->secrets[secret].len);
    for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(parts); i++)
        rc = wc_HmacUpdate(&hmac, (const uint8_t *)parts[i], (word32)strlen(parts[i]) + 1);
    if (rc == 0)
        rc = wc_HmacFinal(&hmac, digest);
    must(rc == 0);
    wc_HmacFree(&hmac);
    (void)snprintf(ret, NODE_PASS_LEN + 1, "%s", from);
    for (unsigned i = 0; i < sizeof digest; i++)
        (void)snprintf(ret + NODE_ID_LEN + (size_t)2 * i, 3, "%02x", digest[i]);
    mem_wipe(digest, sizeof digest);
}

// The identity does not tell the key: HKDF makes both of the secret, neither of the other.
static void
make_key(const struct nodes *nodes, uint32_t secret, struct node_key *ret)
{
    static const char key_label[] = "ternmq link tls", name_label[] = "ternmq link tls name";
    uint8_t master[WC_SHA256_DIGEST_SIZE], name[NODE_KEY_NAME_LEN / 2];
    const struct slice *from = &nodes->secrets[secret];
    int rc = wc_HKDF_Extract(WC_SHA256, (const uint8_t *)nodes->name, (word32)strlen(nodes->name),
                             from->data, from->len, master);
    if (rc == 0)
        rc = wc_HKDF_Expand(WC_SHA256, master, sizeof master, (const uint8_t *)key_label,
                            sizeof key_label - 1, ret->bytes, sizeof ret->bytes);
    if (rc == 0)
        rc = wc_HKDF_Expand(WC_SHA256, master, sizeof master, (const uint8_t *)name_label,
                            sizeof name_label - 1, name, sizeof name);
    must(rc == 0); // the sizes are right, and nothing else can be wrong
    mem_wipe(master, sizeof master);
    for (unsigned i = 0; i < sizeof name; i++)
        (void)snprintf(ret->identity + (size_t)2 * i, 3, "%02x", name[i]);
}

// ---- Our routes ---------------------------------------------------------------------------------

// A key: the group, a NUL, the filter. Both have none [MQTT-1.5.4-2].
static uint32_t
write_key(uint8_t *to, struct slice filter, struct slice group)
{
    if (group.len > 0)
        memcpy(to, group.data, group.len);
    to[group.len] = 0;
    memcpy(to + group.len + 1, filter.data, filter.len);
    return group.len + 1 + filter.len;
}

// What others are told of a group with so many members here: how many these are, and the number by
// which they say that they have chosen us for it.
static uint32_t
group_weight(struct nodes *nodes, struct slice key, uint32_t members)
{
    must(key.len > 1 && key.data[0] != 0);
    uint32_t id = GROUP_ID(route_log_weight(nodes->log, key));
    if (id == 0 && members > 0)
        id = groups_add(&nodes->groups, key);
    if (id == 0) // no number is left, or the group never got one
        return 0;
    if (members == 0) {
        // What others have chosen us for before they heard of it may still be for one that leaves.
        if (atomic_load(&nodes->broker->leaving) == 0)
            groups_remove(&nodes->groups, id);
        return 0;
    }
    return min_u32(members, MEMBERS_MAX) << GROUP_ID_BITS | id;
}

void
nodes_note_log(struct nodes *nodes)
{
    atomic_store_explicit(&nodes->key_count, route_log_count(nodes->log), memory_order_relaxed);
    atomic_store_explicit(&nodes->key_bytes, route_log_key_bytes(nodes->log), memory_order_relaxed);
    atomic_store_explicit(&nodes->group_count, nodes->groups.count, memory_order_relaxed);
    atomic_store(&nodes->changes, route_log_digest(nodes->log).seq);
}

// Where there is no room, what others know already may still come once more.
static bool
has_room(struct cluster *cluster, struct slice filter, struct slice group)
{
    struct nodes *nodes = nodes_of(cluster);
    const struct key_limits *max = &nodes->limits;
    uint32_t len = filter.len + group.len + 1;
    bool full = atomic_load_explicit(&nodes->key_count, memory_order_relaxed) >= max->keys ||
                atomic_load_explicit(&nodes->key_bytes, memory_order_relaxed) + len > max->bytes;
    full |= group.len > 0 &&
            atomic_load_explicit(&nodes->group_count, memory_order_relaxed) >= max->groups;
    if (likely(!full))
        return true;
    uint32_t weight = 0;
    if (filter.len > 0) {
        uint8_t *bytes = mem_alloc(len);
        struct slice key = slice_of(bytes, write_key(bytes, filter, group));
        pthread_mutex_lock(&nodes->mutex);
        weight = route_set_weight(&nodes->counts, key);
        pthread_mutex_unlock(&nodes->mutex);
        mem_free(bytes);
    }
    if (weight == 0)
        atomic_fetch_add_explicit(&nodes->routes_refused, 1, memory_order_relaxed);
    return weight > 0;
}

static void
subscribed(struct cluster *cluster, struct slice filter, struct slice group, bool added)
{
    struct nodes *nodes = nodes_of(cluster);
    must(filter.len > 0);
    if (atomic_load_explicit(&nodes->stopping, memory_order_relaxed) ||
        slice_begins(filter, "$SYS/"))
        return;
    uint8_t *bytes = mem_alloc((size_t)group.len + 1 + filter.len);
    struct slice key = slice_of(bytes, write_key(bytes, filter, group));
    bool news = false;
    pthread_mutex_lock(&nodes->mutex);
    uint32_t before = route_set_weight(&nodes->counts, key);
    must(added || before > 0);
    uint32_t after = added ? before + 1 : before - 1;
    (void)route_set_put(&nodes->counts, key, after);
    if (group.len > 0 || (before == 0) != (after == 0)) {
        uint32_t weight = group.len > 0 ? group_weight(nodes, key, after) : after > 0;
        news = route_log_set(nodes->log, key, weight);
        nodes_note_log(nodes);
    }
    if ((before == 0) != (after == 0))
        atomic_fetch_add(&nodes->route_count, after > 0 ? UINT64_C(1) : UINT64_MAX);
    pthread_mutex_unlock(&nodes->mutex);
    mem_free(bytes);
    if (news)
        nodes_wake_links(nodes);
}

static void *
group(struct cluster *cluster, uint32_t id, struct slice *ret_filter, struct slice *ret_group)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t len;
    char *copy = NULL;
    pthread_mutex_lock(&nodes->mutex);
    const char *key = groups_find(&nodes->groups, id, &len);
    if (key) {
        copy = mem_alloc(len + 1u);
        memcpy(copy, key, len + 1u);
    }
    pthread_mutex_unlock(&nodes->mutex);
    if (!copy)
        return NULL;
    *ret_group = slice_str(copy);
    *ret_filter = slice_str(copy + ret_group->len + 1);
    return copy;
}

static uint64_t
routes(struct cluster *cluster)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load_explicit(&nodes->links[i]->up, memory_order_relaxed))
            return atomic_load(&nodes->changes);
    return 0;
}

static bool
routes_known(struct cluster *cluster, uint64_t change)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (atomic_load_explicit(&link->up, memory_order_acquire) &&
            atomic_load_explicit(&link->known, memory_order_acquire) < change)
            return false;
    }
    return true;
}

// What waits for it is on the disk: it is a node of ours, also before anybody has heard of it.
static void
known(struct cluster *cluster, const struct session *session)
{
    struct slice id = session_id(session);
    must(session->node && id.len > NODE_ID_LEN);
    struct link *link = nodes_link(nodes_of(cluster), (const char *)id.data + id.len - NODE_ID_LEN);
    if (!link)
        return;
    atomic_store(&link->known_yet, true);
    remember_known(nodes_of(cluster), link);
}

// ---- Figures ------------------------------------------------------------------------------------

static void
figures(struct cluster *cluster, struct cluster_figures *ret)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    *ret = (struct cluster_figures){
        .nodes_alive = atomic_load(&nodes->alive),
        .nodes_dead = atomic_load(&nodes->dead),
        .nodes_left_out = atomic_load(&nodes->left_out),
        .routes_ours = atomic_load(&nodes->route_count),
        .routes_told = atomic_load(&nodes->routes_told),
        .strangers = atomic_load(&nodes->strangers) + atomic_load(&nodes->hello.strangers),
        .versions_refused = atomic_load(&nodes->hello.versions_refused),
        .routes_refused = atomic_load(&nodes->routes_refused),
        .divergence = atomic_load(&nodes->divergence),
        .cleared = atomic_load(&nodes->cleared_count),
        .cleared_forgotten = atomic_load(&nodes->cleared_forgotten),
        .doubled = atomic_load(&nodes->doubled),
        .wills_held = atomic_load(&nodes->wills_held),
        .wills_refused = atomic_load(&nodes->wills_refused),
        .wills_published = atomic_load(&nodes->wills_published),
    };
    pthread_mutex_lock(&nodes->roster_mutex);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        ret->links_up += atomic_load(&link->up);
        ret->waiting += link->seen.waiting;
        ret->routes_theirs += link->seen.routes;
        atomic_store(&nodes->inboxes[link->shard].look, true);
        broker_wake(nodes->broker, link->shard);
    }
    pthread_mutex_unlock(&nodes->roster_mutex);
}

// ---- Life ---------------------------------------------------------------------------------------

static err_t
read_secrets(struct nodes *nodes, const char *path, char *ret_problem)
{
    struct secret_file file;
    struct file_problem problem;
    if (secret_file_read(path, SECRET_MAX, &file, &problem) != OK) {
        (void)snprintf(ret_problem, CLUSTER_PROBLEM_MAX, "cluster_secret_file: %s", problem.text);
        return ERR_CONFIG;
    }
    memcpy(nodes->secret_bytes, file.data, file.len);
    struct slice rest = slice_of(nodes->secret_bytes, file.len), line;
    err_t err = OK;
    while (err == OK && line_next(&rest, &line)) {
        if (line.len == 0)
            continue;
        if (line.len < SEAL_SECRET_MIN || nodes->secret_count == ARRAY_LEN(nodes->secrets))
            err = ERR_CONFIG;
        else
            nodes->secrets[nodes->secret_count++] = line;
    }
    secret_file_free(&file);
    if (err == OK && nodes->secret_count > 0)
        return OK;
    (void)snprintf(ret_problem, CLUSTER_PROBLEM_MAX,
                   "cluster_secret_file: %s: expected one or two lines of at least %u characters",
                   path, SEAL_SECRET_MIN);
    return ERR_CONFIG;
}

err_t
cluster_new(const struct config *config, struct cluster **ret_cluster,
            char ret_problem[CLUSTER_PROBLEM_MAX])
{
    must(config->cluster.name && config->cluster.secret_file && config->cluster.bind);
    struct nodes *nodes = mem_zalloc(sizeof *nodes);
    nodes->name = mem_strdup(config->cluster.name);
    nodes->limits = (struct key_limits){.keys = KEYS_MAX,
                                        .slack = KEYS_SLACK,
                                        .groups = GROUPS_MAX - GROUPS_SLACK,
                                        .bytes = KEY_BYTES_MAX};
    nodes->version = (struct version){VERSION, VERSION_OLDEST, FEATURES};
    nodes->cleared_max = CLEARED_MAX / CLEARED_STRIPES;
    for (uint32_t i = 0; i < CLEARED_STRIPES; i++) {
        pthread_mutex_init(&nodes->stripes[i].mutex, NULL);
        list_init(&nodes->stripes[i].oldest);
    }
    nodes->move = move_new();
    nodes->forget = forget_new();
    pthread_mutex_init(&nodes->mutex, NULL);
    list_init(&nodes->recalled);
    pthread_mutex_init(&nodes->roster_mutex, NULL);
    pthread_mutex_init(&nodes->wills_mutex, NULL);
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        pthread_mutex_init(&nodes->inboxes[i].mutex, NULL);
        list_init(&nodes->inboxes[i].dialled);
        list_init(&nodes->inboxes[i].waiting);
        list_init(&nodes->inboxes[i].early);
    }
    err_t err = read_secrets(nodes, config->cluster.secret_file, ret_problem);
    struct node_keys *keys = &nodes->cluster.keys;
    if (err == OK && !config->cluster.plain)
        for (; keys->count < nodes->secret_count; keys->count++)
            make_key(nodes, keys->count, &keys->keys[keys->count]);
    if (err == OK)
        err = agent_new(config, &nodes->agent, ret_problem);
    if (err != OK) {
        cluster_free(&nodes->cluster);
        return err;
    }
    *ret_cluster = &nodes->cluster;
    return OK;
}

static bool
dialled(struct cluster *cluster, unsigned shard, struct node_dialled *ret)
{
    struct inbox *inbox = &nodes_of(cluster)->inboxes[shard];
    if (likely(!atomic_load_explicit(&inbox->full, memory_order_acquire)))
        return false;
    pthread_mutex_lock(&inbox->mutex);
    struct list *node = list_pop(&inbox->dialled);
    atomic_store_explicit(&inbox->full, !list_empty(&inbox->dialled), memory_order_release);
    pthread_mutex_unlock(&inbox->mutex);
    if (!node)
        return false;
    struct dialled_node *item = container_of(node, struct dialled_node, node);
    *ret = item->dialled;
    mem_wipe(item, sizeof *item);
    mem_free(item);
    return true;
}

static struct cluster_ops ops;

err_t
cluster_join(struct cluster *cluster, struct broker *broker, const char *folder,
             char ret_problem[CLUSTER_PROBLEM_MAX])
{
    struct nodes *nodes = nodes_of(cluster);
    must(!broker->cluster && !broker->shards[0]);
    err_t err = identity_load(folder, &nodes->identity, ret_problem);
    if (err != OK)
        return err;
    uuid_text(&nodes->identity.uuid, cluster->id);
    hello_write(nodes->version, cluster->hello);
    nodes->log = route_log_new(nodes->identity.incarnation, RING_BYTES);
    ops = cluster_ops;
    ops.subscribed = subscribed;
    ops.has_room = has_room;
    ops.admits = hello_admits;
    ops.group = group;
    ops.routes = routes;
    ops.routes_known = routes_known;
    ops.figures = figures;
    ops.nodes = roster_nodes;
    ops.look = roster_look;
    ops.refer = refer_client;
    ops.synced = sync_is_done;
    ops.known = known;
    ops.retain_begin = stamps_begin;
    ops.retain_end = stamps_end;
    ops.was_cleared = stamps_was_cleared;
    ops.kept = reach_kept;
    ops.will_out = wills_out;
    ops.elsewhere = reach_elsewhere;
    ops.claim = claims_next;
    ops.came = claims_came;
    ops.claimed = claims_record;
    ops.missed = claims_missed;
    ops.will_gone = wills_gone;
    ops.reach = reach_begin;
    ops.unreach = reach_end;
    ops.astray = reach_astray;
    ops.too_early = reach_too_early;
    ops.reached = reach_find;
    ops.dialled = dialled;
    ops.moving = move_record;
    ops.read = move_out_read;
    ops.decommission = move_decommission;
    ops.move_view = move_look;
    ops.forget = forget_node;
    cluster->ops = &ops;
    nodes->broker = broker;
    broker->cluster = cluster;
    atomic_store(&nodes->settling, true); // clients may come before the agent runs
    return OK;
}

err_t
cluster_start(struct cluster *cluster)
{
    struct nodes *nodes = nodes_of(cluster);
    must(nodes->broker && nodes->broker->cluster == cluster);
    return agent_start(nodes->agent, nodes);
}

void
cluster_stop(struct cluster *cluster)
{
    struct nodes *nodes = nodes_of(cluster);
    atomic_store(&nodes->stopping, true);
    agent_stop(nodes->agent);
}

void
cluster_free(struct cluster *cluster)
{
    if (!cluster)
        return;
    struct nodes *nodes = nodes_of(cluster);
    agent_free(nodes->agent);
    for (uint32_t i = 0; i < atomic_load(&nodes->link_count); i++)
        nodes_link_free(nodes->links[i]);
    for (struct link *link = nodes->replaced, *next; link; link = next) {
        next = link->next;
        nodes_link_free(link);
    }
    remember_free(nodes);
    move_free(nodes->move);
    forget_free(nodes->forget);
    groups_free(&nodes->groups);
    stamps_free(nodes);
    route_set_free(&nodes->counts);
    route_log_free(nodes->log);
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        struct node_dialled unheard; // that no worker has taken
        while (dialled(cluster, i, &unheard))
            (void)close(unheard.fd);
        mem_wipe(&unheard, sizeof unheard);
        pthread_mutex_destroy(&nodes->inboxes[i].mutex);
        claims_free(&nodes->inboxes[i]);
    }
    pthread_mutex_destroy(&nodes->mutex);
    pthread_mutex_destroy(&nodes->roster_mutex);
    pthread_mutex_destroy(&nodes->wills_mutex);
    mem_free(nodes->name);
    mem_wipe(nodes->secret_bytes, sizeof nodes->secret_bytes);
    mem_wipe(&nodes->cluster.keys, sizeof nodes->cluster.keys);
    mem_free(nodes);
}
