// client_relay.c - a client whose session is on another node: its bytes go there and back.
//
// The client has two connections here, each with a struct client: its own, and one to the node that
// has its session. What arrives at one is sent by the other, as it is. All that MQTT asks of a
// server is done at that node, where the client looks as if it had come there.
//
// To there, the connection begins with a CONNECT of ours, NODE_FOR and the client's identifier,
// with where it came from as user name, and our password. The client's own packets follow.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_handlers.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/mqtt.h"
#include "core/shard.h"
#include "core/trace.h"

// Beyond this much unsent output of one, the other is not read while that one's socket is full.
#define PAUSE_BYTES (UINT64_C(1) << 18)
// Beside the texts: two numbers, and what stands between them.
#define ORIGIN_HEAD 64u

// ---- The listener -------------------------------------------------------------------------------

static const struct listener_config *
listener_of(const struct client *client)
{
    const struct config *config = client->shard->config;
    must(client->listener_index < config->listener_count);
    return &config->listeners[client->listener_index];
}

static uint64_t
mark_with(uint64_t mark, const char *text)
{
    static const struct hash_key same_everywhere = {UINT64_C(0x7465726e6d71), 2};
    uint64_t hash = text ? hash_bytes(&same_everywhere, text, strlen(text)) : 1;
    return hash_u64(&same_everywhere, mark ^ hash);
}

static const char *
file_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

// Of what a listener decides about who comes by it: nodes know it by its number, and a list in
// another order must not let in by another one's rules. Files may lie in different folders.
static uint64_t
listener_mark(const struct listener_config *listener)
{
    const struct listener_entry *entry = &listener->entry;
    uint64_t mark = listener->allow_anonymous | (uint64_t)entry->use_identity_as_username << 1 |
                    (uint64_t)entry->use_subject_as_username << 2 |
                    (uint64_t)entry->use_username_as_clientid << 3 |
                    (uint64_t)entry->require_certificate << 4 |
                    (uint64_t)listener->maximum_qos << 8;
    mark = mark_with(mark, listener->mount_point);
    mark = mark_with(mark, file_name(entry->password_file));
    return mark_with(mark, file_name(entry->acl_file));
}

// ---- Here ---------------------------------------------------------------------------------------

// Its CONNECT waits in `in`.
static err_t
wait(struct client *client)
{
    client->visits = client->link == LINK_VISIT;
    client->link = LINK_RELAY;
    client->mate = NULL;
    client->suspended = client->read_paused = true;
    client_mark_dirty(client);
    return ERR_WAIT;
}

err_t
client_relay_begin(struct client *client, struct slice client_id, const char *node)
{
    struct cluster *cluster = client->shard->broker->cluster;
    must(client->link == LINK_NONE && !client->suspended);
    err_t err = cluster->ops->reach(cluster, client, client_id, node);
    if (unlikely(client->traced))
        trace_event(client, "it goes on at another node, where its session is: trace it there");
    return err == OK ? wait(client) : err;
}

err_t
client_relay_await(struct client *client)
{
    struct cluster *cluster = client->shard->broker->cluster;
    must((client->link == LINK_NONE || client->link == LINK_VISIT) && !client->suspended);
    return unlikely(cluster->ops->too_early(cluster, client)) ? wait(client) : OK;
}

// Its CONNECT is handled again, as if it came now.
void
client_relay_retry(struct client *client)
{
    must(client->link == LINK_RELAY && !client->mate && client->suspended);
    client->link = client->visits ? LINK_VISIT : LINK_NONE;
    client->suspended = client->read_paused = false;
    if (client->state == CLIENT_CLOSING)
        return;
    client->replayed = true;
    client_replay(client);
    client->replayed = false;
    client_mark_dirty(client);
}

void
client_relay_fail(struct client *client)
{
    must(client->link == LINK_RELAY && !client->mate && client->suspended);
    client->link = LINK_NONE;
    client->suspended = false;
    client_fail(client, ERR_SERVER_UNAVAILABLE);
}

// As it is: what it is to MQTT is counted at the other node.
static void
put_bytes(struct client *client, struct slice bytes)
{
    struct outq_pool *pool = &client->shard->pool;
    memcpy(outq_reserve(&client->out, pool, bytes.len), bytes.data, bytes.len);
    outq_commit(&client->out, bytes.len);
    client_mark_dirty(client);
}

static void
is_joined(struct client *client, struct client *mate)
{
    client->link = LINK_RELAY;
    client->mate = mate;
    client->relayed_left = client->relayed_head = 0;
    client->state = CLIENT_CONNECTED;
    wheel_disarm(client->shard->wheel, &client->timer);
}

// "LISTENER MARK\nPEER\nNAME". Returns new.
static char *
write_origin(const struct client *client)
{
    const char *name = client->name ? client->name : "";
    size_t size = ORIGIN_HEAD + strlen(client->peer) + strlen(name);
    char *origin = mem_alloc(size);
    int len = snprintf(origin, size, "%u %016" PRIx64 "\n%s\n%s", client->listener_index,
                       listener_mark(listener_of(client)), client->peer, name);
    must(len > 0 && (size_t)len < size);
    return origin;
}

// Its CONNECT, and what came behind it. False: it cannot be told of.
static bool
introduce(struct client *client, struct client *dialled, const struct node_dialled *introduction)
{
    struct slice id = client_first_id(client);
    char *origin = write_origin(client);
    bool fits =
        id.len > 0 && strlen(NODE_FOR) + id.len <= UINT16_MAX && strlen(origin) <= UINT16_MAX;
    if (fits)
        client_put_hello(dialled, NODE_FOR, id, origin, introduction->password);
    mem_free(origin);
    return fits;
}

void
client_relay_join(struct client *client, struct client *dialled,
                  const struct node_dialled *introduction)
{
    must(client->link == LINK_RELAY && client->suspended && !client->mate && client->in_len > 0);
    if (client->state == CLIENT_CLOSING) {
        client_close(dialled, OK);
        return;
    }
    if (!introduce(client, dialled, introduction)) {
        client_relay_fail(client);
        client_close(dialled, OK);
        return;
    }
    (void)snprintf(dialled->peer, sizeof dialled->peer, "%s", introduction->id);
    is_joined(client, dialled);
    is_joined(dialled, client);
    put_bytes(dialled, slice_of(client->in, client->in_len));
    client->shard->in_bytes -= client->in_len;
    mem_wipe(client->in, client->in_len); // a CONNECT has a password
    mem_free(client->in);
    client->in = NULL;
    client->in_len = client->in_cap = 0;
    client->suspended = client->read_paused = false;
    client_mark_dirty(client);
}

// Where packets end in what the client is sent, so that something of ours can follow one.
static void
follow(struct client *client, struct slice bytes)
{
    const uint8_t *at = bytes.data, *end = at + bytes.len;
    client->answered |= at < end;
    while (at < end) {
        if (client->relayed_head == 0 && client->relayed_left > 0) { // in a packet's body
            uint32_t n = min_u32(client->relayed_left, (uint32_t)(end - at));
            client->relayed_left -= n;
            at += n;
            continue;
        }
        uint8_t byte = *at++;
        if (client->relayed_head == 0) { // its type
            client->relayed_head = 1;
            continue;
        }
        client->relayed_left |= (uint32_t)(byte & 127) << 7 * (client->relayed_head - 1);
        client->relayed_head =
            byte & 128 && client->relayed_head < 4 ? client->relayed_head + 1 : 0;
    }
}

void
client_relay_bytes(struct client *client, struct slice bytes)
{
    struct client *mate = client->mate;
    if (!mate || mate->state == CLIENT_CLOSING)
        return;
    follow(mate, bytes);
    put_bytes(mate, bytes);
    if (mate->blocked && outq_bytes(&mate->out) > PAUSE_BYTES && !client->read_paused) {
        client->read_paused = true;
        client_mark_dirty(client);
    }
}

void
client_relay_writable(struct client *client)
{
    struct client *mate = client->mate;
    if (mate && mate->read_paused && !mate->suspended) {
        mate->read_paused = false;
        client_mark_dirty(mate);
    }
}

void
client_relay_closed(struct client *client)
{
    struct client *mate = client->mate;
    struct cluster *cluster = client->shard->broker->cluster;
    if (client->suspended)
        cluster->ops->unreach(cluster, client);
    client->mate = NULL;
    if (!mate)
        return;
    mate->mate = NULL;
    client_close(mate, OK); // what it still has to say is sent
}

void
client_relay_shut_down(struct client *client)
{
    must(client->link == LINK_RELAY);
    err_t err = ERR_SHUTTING_DOWN;
    bool whole = client->relayed_left == 0 && client->relayed_head == 0;
    if (client->state == CLIENT_CONNECTED && client->version == MQTT_5 && client->answered &&
        whole && !listener_of(client)->node) {
        uint8_t packet[CLIENT_REFERENCE_ROOM + NODE_REFERENCE_MAX];
        struct slice reference = {0};
        if (client_refer(client, client->packet_max)) {
            err = ERR_USE_ANOTHER_SERVER;
            reference = slice_str(client->shard->reference);
            stat_add(&client->shard->stats.referred, 1);
        }
        uint32_t len = codec_put_disconnect(packet, err_reason(err), (struct slice){0}, reference);
        must(len <= sizeof packet);
        put_bytes(client, slice_of(packet, len));
    }
    client_close(client, err);
}

// ---- There --------------------------------------------------------------------------------------

// False: it is not what write_origin writes.
static bool
read_origin(struct client *client, char *text)
{
    const struct config *config = client->shard->config;
    char *end;
    unsigned long listener = strtoul(text, &end, 10);
    if (*end != ' ')
        return false;
    uint64_t mark = strtoull(end + 1, &end, 16);
    char *peer = *end == '\n' ? end + 1 : NULL;
    char *name = peer ? strchr(peer, '\n') : NULL;
    if (!name)
        return false;
    *name++ = '\0';
    (void)snprintf(client->peer, sizeof client->peer, "%s", peer);
    client->name = NULL; // the connection's is that of the node that brings it
    if (*name != '\0')
        client->name = client_access_of(client)->name = mem_strdup(name);
    if (listener < config->listener_count && !config->listeners[listener].node &&
        listener_mark(&config->listeners[listener]) == mark) {
        client_set_listener(client, (uint32_t)listener);
        return true;
    }
    log_limited(client->shard->log, &client->shard->log_refused, client->shard->now_ms,
                LOG_T_WARNING,
                "Warning: Client [%s] refused: it came to another node by listener %lu, which is "
                "not the same here: nodes need the same listeners in the same order.",
                client->peer, listener + 1);
    return true;
}

err_t
client_relay_arrived(struct client *client, const struct connect_view *view)
{
    if (!view->has_user)
        return ERR_PROTOCOL;
    char *text = mem_strndup(view->user.data, view->user.len);
    bool good = read_origin(client, text);
    mem_free(text);
    if (!good)
        return ERR_PROTOCOL;
    client->link = LINK_VISIT;
    client->version = 0; // its own CONNECT is still to come
    return OK;
}

// It is answered in its own version.
err_t
client_relay_check(struct client *client, const struct frame *frame)
{
    struct connect_view view;
    if (client->link != LINK_VISIT || !listener_of(client)->node)
        return OK;
    err_t err = frame->type == MQTT_CONNECT ? codec_connect(frame, &view) : ERR_PROTOCOL;
    if (err != OK)
        return err;
    client->version = view.version;
    shard_count_refused(client->shard, client->listener_index);
    return ERR_SERVER_UNAVAILABLE;
}
