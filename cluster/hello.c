// hello.c - who may come as a node, and what it says of itself.
//
// A node shows a MAC over both uuids and the cluster's name as its password (nodes_password). As
// its user name it says "TERNMQ 1 1 0": the version that it speaks, the oldest that it understands,
// and its features in hexadecimal. What a later version adds behind these is left alone.
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "cluster/nodes_parts.h"
#include "core/client.h"
#include "core/codec.h"
#include "core/shard.h"

#define NAME   "TERNMQ "
#define SAY_MS 60000u // between two lines about one thing

// ---- What a node says of itself -----------------------------------------------------------------

void
hello_write(struct version version, char ret[NODE_HELLO_LEN])
{
    must(version.oldest <= version.speaks && version.oldest > 0);
    int len = snprintf(ret, NODE_HELLO_LEN, NAME "%u %u %" PRIx64, version.speaks, version.oldest,
                       version.features);
    must(len > 0 && (size_t)len < NODE_HELLO_LEN);
}

// Takes a word, and the space behind it, off the text. False: it is no such number.
static bool
take_number(struct slice *text, unsigned base, uint64_t max, uint64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t i = 0;
    *ret = 0;
    for (; i < text->len && text->data[i] != ' '; i++) {
        const char *digit = memchr(digits, text->data[i], base);
        if (!digit || *ret > (max - (uint64_t)(digit - digits)) / base)
            return false;
        *ret = *ret * base + (uint64_t)(digit - digits);
    }
    uint32_t taken = i < text->len ? i + 1 : i;
    *text = slice_of(text->data + taken, text->len - taken);
    return i > 0;
}

bool
hello_read(struct slice text, struct version *ret)
{
    uint64_t speaks, oldest;
    if (!slice_begins(text, NAME))
        return false;
    text = slice_of(text.data + strlen(NAME), text.len - (uint32_t)strlen(NAME));
    if (!take_number(&text, 10, UINT32_MAX, &speaks) ||
        !take_number(&text, 10, UINT32_MAX, &oldest) ||
        !take_number(&text, 16, UINT64_MAX, &ret->features))
        return false;
    ret->speaks = (uint32_t)speaks;
    ret->oldest = (uint32_t)oldest;
    return oldest > 0 && oldest <= speaks;
}

// ---- Who may come -------------------------------------------------------------------------------

// Takes as long whatever differs.
static bool
same(const char *a, const uint8_t *b, size_t len)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (uint8_t)a[i] ^ b[i];
    return differs == 0;
}

// ret_itself: a node, or a client of its.
static bool
is_friend(const struct nodes *nodes, struct slice client_id, struct slice password,
          char from[NODE_ID_LEN + 1], bool *ret_itself)
{
    char want[NODE_PASS_LEN + 1];
    struct gossip_uuid uuid;
    size_t root = strlen(NODE_FROM);
    if (password.len != NODE_PASS_LEN)
        return false;
    memcpy(from, password.data, NODE_ID_LEN);
    from[NODE_ID_LEN] = '\0';
    if (!uuid_read(from, &uuid) || strcmp(from, nodes->cluster.id) == 0)
        return false;
    bool itself = client_id.len == root + NODE_ID_LEN && slice_begins(client_id, NODE_FROM) &&
                  memcmp(client_id.data + root, from, NODE_ID_LEN) == 0;
    if (!itself && !slice_begins(client_id, NODE_FOR))
        return false;
    bool good = false;
    for (uint32_t i = 0; i < nodes->secret_count; i++) {
        nodes_password(nodes, i, from, nodes->cluster.id, want);
        good |= same(want, password.data, NODE_PASS_LEN);
    }
    mem_wipe(want, sizeof want);
    *ret_itself = itself;
    return good;
}

static bool
is_due(_Atomic uint64_t *due_ms, const struct shard *shard)
{
    uint64_t due = atomic_load_explicit(due_ms, memory_order_relaxed);
    return shard->now_ms >= due &&
           atomic_compare_exchange_strong(due_ms, &due, shard->now_ms + SAY_MS);
}

static err_t
refuse_stranger(struct nodes *nodes, const struct client *client)
{
    const struct shard *shard = client->shard;
    uint64_t count =
        atomic_fetch_add_explicit(&nodes->hello.strangers, 1, memory_order_relaxed) + 1;
    if (is_due(&nodes->hello.strangers_said_ms, shard))
        log_line(shard->log, LOG_T_WARNING,
                 "Warning: who connects from [%s] is no node of this cluster (%" PRIu64 " so far).",
                 client->peer, count);
    return ERR_NOT_AUTHORIZED;
}

static err_t
refuse_version(struct nodes *nodes, const struct client *client, const char *from,
               const struct connect_view *view)
{
    const struct shard *shard = client->shard;
    atomic_fetch_add_explicit(&nodes->hello.versions_refused, 1, memory_order_relaxed);
    if (is_due(&nodes->hello.versions_said_ms, shard))
        log_line(shard->log, LOG_T_ERROR,
                 "Error: node %s [%s] cannot be talked with: it says \"%.*s\", this one \"%s\" "
                 "(version, the oldest understood, features).",
                 from, client->peer, (int)min_u32(view->user.len, NODE_HELLO_LEN),
                 (const char *)view->user.data, nodes->cluster.hello);
    return ERR_PROTOCOL_VERSION;
}

err_t
hello_admits(struct cluster *cluster, const struct client *client, const struct connect_view *view)
{
    struct nodes *nodes = nodes_of(cluster);
    char from[NODE_ID_LEN + 1];
    bool itself;
    struct version theirs;
    if (!view->has_password || !is_friend(nodes, view->client_id, view->password, from, &itself))
        return refuse_stranger(nodes, client);
    if (!itself)
        return OK; // its node was asked
    if (!view->has_user || !hello_read(view->user, &theirs) ||
        theirs.oldest > nodes->version.speaks || nodes->version.oldest > theirs.speaks)
        return refuse_version(nodes, client, from, view);
    struct link *link = nodes_link(nodes, from);
    if (link)
        atomic_store_explicit(&link->features, theirs.features & nodes->version.features,
                              memory_order_relaxed);
    return OK;
}
