// client.c - the protocol side of one network connection: framing, dispatch, timers, the end.
#include "core/client.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/alias.h"
#include "core/broker.h"
#include "core/client_access.h"
#include "core/client_handlers.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/client_rates.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/timers.h"
#include "core/trace.h"

void
client_set_listener(struct client *client, uint32_t listener)
{
    _Static_assert(LISTENER_NONE <= UINT8_MAX, "an index fits");
    must(listener < CONFIG_LISTENERS_MAX);
    client->listener_index = (uint8_t)listener;
    client->counts = shard_listener(client->shard, listener);
}

void
client_init(struct client *client, struct shard *shard, const struct client_origin *origin)
{
    memset(client, 0, sizeof *client);
    client->magic = CLIENT_MAGIC;
    client->shard = shard;
    client_set_listener(client, origin->listener_index);
    client->name = origin->name;
    client->packet_max = UINT32_MAX;
    uint32_t connect_max = shard->config->connect_packet_size_max;
    client->in_packet_max = connect_max ? connect_max : UINT32_MAX;
    client->receive_max = client->in_receive_max = UINT16_MAX;
    client->window = CLIENT_WINDOW_FIRST;
    client->problem_info = true;
    client->will_on_close = true;
    client->last_packet_ms = origin->accepted_ms;
    list_init(&client->dirty);
    list_init(&client->blocked_node);
    outq_init(&client->out);
    timer_init(&client->timer, TIMER_CLIENT);
    (void)snprintf(client->peer, sizeof client->peer, "%s", origin->peer);
    uint64_t timeout_ms = (uint64_t)shard->config->connect_timeout_s * 1000;
    wheel_arm(shard->wheel, &client->timer, origin->accepted_ms + timeout_ms);
}

// ---- Packets that need no file of their own -----------------------------------------------------

static err_t
on_ack(struct client *client, const struct frame *frame)
{
    struct ack_view ack;
    err_t err = codec_ack(frame, client->version, &ack);
    if (err)
        return err;
    err = session_on_ack(client->session, frame->type, &ack);
    session_acked(client->session);
    return err;
}

// One packet identifier, which means success.
#define PLAIN_ACK_SIZE 4u

// Does a packet that begins with this byte acknowledge?
static bool
is_ack(uint8_t first)
{
    return first == MQTT_PUBACK << 4 || first == MQTT_PUBREC << 4 || first == MQTT_PUBCOMP << 4 ||
           first == (MQTT_PUBREL << 4 | 2); // [MQTT-3.6.1-1]
}

static bool
is_plain_ack(struct slice data)
{
    return data.len >= PLAIN_ACK_SIZE && data.data[1] == 2 && (data.data[2] | data.data[3]) != 0;
}

static err_t
take_ack(struct client *client, const uint8_t *at)
{
    struct ack_view ack = {.packet_id = (uint16_t)(at[2] << 8 | at[3])};
    return session_on_ack(client->session, at[0] >> 4, &ack);
}

static uint32_t
taken_acks(struct client *client, uint32_t len, err_t err)
{
    client->last_packet_ms = client->shard->now_ms;
    stat_add(&client->counts->packets_received, len / PLAIN_ACK_SIZE);
    session_acked(client->session);
    if (unlikely(err))
        client_fail(client, err);
    return len;
}

// How many bytes at the front of data are plain ones of the type of the first one?
static uint32_t
plain_acks_len(struct slice data)
{
    struct slice left = data;
    while (is_plain_ack(left) && left.data[0] == data.data[0])
        left = slice_of(left.data + PLAIN_ACK_SIZE, left.len - PLAIN_ACK_SIZE);
    return data.len - left.len;
}

static NOINLINE uint32_t
take_several_acks(struct client *client, struct slice data)
{
    const uint8_t type = data.data[0] >> 4;
    const uint32_t len = plain_acks_len(data);
    uint32_t row = session_on_acks(client->session, type, data.data, len / PLAIN_ACK_SIZE);
    uint32_t taken = row * PLAIN_ACK_SIZE;
    err_t err = OK;
    while (taken < len && err == OK && client->state == CLIENT_CONNECTED) {
        err = take_ack(client, data.data + taken);
        taken += PLAIN_ACK_SIZE;
    }
    return taken_acks(client, taken, err);
}

// Acknowledgements at the front of data that are plain and of one type: mostly they come several at
// a time. Returns how many bytes it took.
static inline uint32_t
take_acks(struct client *client, struct slice data)
{
    if (!is_plain_ack(data))
        return 0;
    if (data.len > PLAIN_ACK_SIZE && data.data[PLAIN_ACK_SIZE] == data.data[0])
        return take_several_acks(client, data);
    return taken_acks(client, PLAIN_ACK_SIZE, take_ack(client, data.data));
}

static err_t
on_pingreq(struct client *client, const struct frame *frame)
{
    err_t err = codec_pingreq(frame);
    if (err == OK)
        client_put_pingresp(client);
    return err;
}

static err_t
on_disconnect(struct client *client, const struct frame *frame)
{
    struct disconnect_view view;
    err_t err = codec_disconnect(frame, client->version, &view);
    if (err)
        return err;
    struct session *session = client->session;
    if (view.has_session_expiry) {
        // A session that was to end with the connection cannot be kept after all
        // [MQTT5 3.14.2.2.2].
        if (session->expiry_s == 0 && view.session_expiry_s != 0)
            return ERR_PROTOCOL;
        session->expiry_s =
            min_u32(view.session_expiry_s, client->shard->config->session_expiry_max_s);
    }
    client->will_on_close = view.reason != REASON_SUCCESS;
    client_close(client, OK);
    return OK;
}

static err_t
on_second_connect(struct client *client, const struct frame *frame)
{
    (void)client;
    (void)frame;
    return ERR_PROTOCOL; // [MQTT-3.1.0-2]
}

static err_t
on_forbidden(struct client *client, const struct frame *frame)
{
    (void)client;
    // Type 0 does not exist; the others are for servers to send.
    return frame->type == MQTT_RESERVED ? ERR_MALFORMED : ERR_PROTOCOL;
}

static err_t (*const handlers[16])(struct client *client, const struct frame *frame) = {
    [MQTT_RESERVED] = on_forbidden, [MQTT_CONNECT] = on_second_connect,
    [MQTT_CONNACK] = on_forbidden,  [MQTT_PUBACK] = on_ack,
    [MQTT_PUBREC] = on_ack,         [MQTT_PUBREL] = on_ack,
    [MQTT_PUBCOMP] = on_ack,        [MQTT_SUBSCRIBE] = client_on_subscribe,
    [MQTT_SUBACK] = on_forbidden,   [MQTT_UNSUBSCRIBE] = client_on_unsubscribe,
    [MQTT_UNSUBACK] = on_forbidden, [MQTT_PINGREQ] = on_pingreq,
    [MQTT_PINGRESP] = on_forbidden, [MQTT_DISCONNECT] = on_disconnect,
    [MQTT_AUTH] = client_on_auth,
};

// The node that we have dialled is a server: it acknowledges, and says that it goes.
static COLD err_t
on_server_packet(struct client *client, const struct frame *frame)
{
    must(client->link == LINK_OUT);
    if (frame->type == MQTT_PUBACK || frame->type == MQTT_PUBREC || frame->type == MQTT_PUBCOMP)
        return on_ack(client, frame);
    if (frame->type != MQTT_DISCONNECT)
        return ERR_PROTOCOL;
    client_close(client, OK);
    return OK;
}

// False: the packet waits for an answer, and so does all that comes behind it. behind: that; loses
// what was taken with the packet.
static bool
on_frame(struct client *client, const struct frame *frame, struct slice *behind)
{
    err_t err;
    client->last_packet_ms = client->shard->now_ms;
    stat_add(&client->counts->packets_received, 1);
    if (unlikely(client->state != CLIENT_CONNECTED))
        err = client->link == LINK_OUT ? client_on_linked(client, frame)
                                       : client_on_early_packet(client, frame);
    else if (likely(frame->type == MQTT_PUBLISH))
        err = client_on_publish(client, frame, behind);
    else
        err = unlikely(client->link == LINK_OUT) ? on_server_packet(client, frame)
                                                 : handlers[frame->type](client, frame);
    if (likely(err == OK))
        return true;
    if (err != ERR_WAIT) {
        client_fail(client, err);
        return true;
    }
    must(client->suspended);
    stat_sub(&client->counts->packets_received, 1); // it will be counted when it is handled
    return false;
}

// ---- Framing ------------------------------------------------------------------------------------

// The first packet must be CONNECT; that shows in its first byte, before its length is believed.
static err_t
next_frame(struct client *client, struct slice data, struct frame *ret_frame)
{
    must_hot(data.len > 0);
    uint8_t first = client->link == LINK_OUT ? MQTT_CONNACK : MQTT_CONNECT;
    if (unlikely(client->state == CLIENT_AWAIT_CONNECT && data.data[0] >> 4 != first &&
                 !client->access))
        return ERR_PROTOCOL; // [MQTT-3.1.0-1]
    return codec_frame(data, client->in_packet_max, ret_frame);
}

// Incomplete packets of at least so many bytes are kept in a piece.
#define IN_WHOLE_MIN 32768u

static void
in_free(struct client *client)
{
    if (client->state == CLIENT_AWAIT_CONNECT || client->suspended)
        mem_wipe(client->in, client->in_len); // a CONNECT has a password
    client->shard->in_bytes -= client->in_len;
    mem_free(client->in);
    client->in = NULL;
    client->in_len = client->in_cap = 0;
}

// Counts what arrived, not what was announced. A long packet gets its room at once: pages that are
// not written cost nothing, and it is not moved as it grows. total: 0 = not known yet.
static void
in_append(struct client *client, const uint8_t *data, uint32_t len, uint32_t total)
{
    must_hot(total == 0 || client->in_len + len <= total);
    if (!client->in && total >= IN_WHOLE_MIN) {
        client->in = mem_alloc(total);
        client->in_cap = total;
    }
    client->in = mem_grow(client->in, &client->in_cap, client->in_len + len, 1);
    client->shard->in_bytes += len;
    memcpy(client->in + client->in_len, data, len);
    client->in_len += len;
}

// A packet of a client that is traced is to be handled; for the first time, or again.
static COLD void
record_packet(struct client *client, const struct frame *frame)
{
    bool connect = client->state == CLIENT_AWAIT_CONNECT && frame->type == MQTT_CONNECT;
    if (!client->recorded && !connect) // which is recorded when it is known whose it is
        trace_packet_in(client, frame);
    client->recorded = false;
}

// Completes the packet of which a part is kept. Returns how many bytes of data it took.
static uint32_t
complete_kept(struct client *client, struct slice data)
{
    bool secret = client->state == CLIENT_AWAIT_CONNECT; // a CONNECT has a password
    uint32_t taken = 0;
    struct frame frame;
    for (;;) {
        err_t err = next_frame(client, slice_of(client->in, client->in_len), &frame);
        struct slice nothing = {0};
        if (err == OK && unlikely(client->traced))
            record_packet(client, &frame);
        if (err == OK && on_frame(client, &frame, &nothing)) {
            mem_wipe(client->in, secret ? client->in_len : 0);
            in_free(client);
            return taken;
        }
        if (err == OK) {
            in_append(client, data.data + taken, data.len - taken, 0);
            return data.len;
        }
        if (err != ERR_NEED_MORE) {
            client_fail(client, err);
            in_free(client);
            return data.len;
        }
        if (taken == data.len)
            return taken;
        // While the length itself is incomplete, byte by byte: at most four times.
        uint32_t missing = frame.total ? frame.total - client->in_len : 1;
        uint32_t n = min_u32(missing, data.len - taken);
        in_append(client, data.data + taken, n, frame.total);
        taken += n;
    }
}

// A packet of which nothing is kept, or the part of one that is there. Returns how many bytes it
// took.
static inline uint32_t
take_fresh(struct client *client, struct slice data)
{
    struct frame frame;
    err_t err = next_frame(client, data, &frame);
    if (likely(err == OK)) {
        struct slice behind = slice_of(data.data + frame.total, data.len - frame.total);
        if (likely(on_frame(client, &frame, &behind)))
            return data.len - behind.len;
        err = ERR_NEED_MORE; // it waits, with all that is behind it
        frame.total = 0;
    }
    if (err == ERR_NEED_MORE)
        in_append(client, data.data, data.len, frame.total);
    else
        client_fail(client, err);
    return data.len;
}

// Records the first packet of data, if it is whole, and leaves what is behind it for later, which
// would be taken with it, as a run or a row.
static COLD struct slice
record_first(struct client *client, struct slice data)
{
    struct frame frame;
    if (client->in_len > 0 || next_frame(client, data, &frame) != OK)
        return data;
    record_packet(client, &frame);
    return slice_of(data.data, frame.total);
}

uint32_t
client_take_packet(struct client *client, struct slice data)
{
    must(data.len > 0 && client->state != CLIENT_CLOSING);
    if (unlikely(client->traced))
        data = record_first(client, data);
    uint32_t taken = client->in_len > 0 ? complete_kept(client, data) : take_fresh(client, data);
    client->recorded = client->suspended && client->traced;
    return taken;
}

// The same as for others, packet by packet. Or it is suspended, and this was on its way already.
static COLD void
on_bytes_slowly(struct client *client, struct slice data)
{
    if (client->link == LINK_RELAY && !client->suspended) {
        client_relay_bytes(client, data);
        return;
    }
    while (data.len > 0 && client->state != CLIENT_CLOSING && !client->suspended) {
        if (client->rates) {
            client_rates_input(client, data);
            data.len = 0;
        } else {
            uint32_t taken = client_take_packet(client, data);
            data = slice_of(data.data + taken, data.len - taken);
        }
    }
    if (client->suspended && data.len > 0)
        in_append(client, data.data, data.len, 0);
    client_check_pause(client);
}

void
client_on_bytes(struct client *client, const uint8_t *bytes, size_t len)
{
    must_hot(client->magic == CLIENT_MAGIC && len <= UINT32_MAX);
    struct slice data = slice_of(bytes, len);
    if (unlikely(client->suspended || client->traced)) {
        on_bytes_slowly(client, data);
        return;
    }
    if (unlikely(client->link == LINK_RELAY)) {
        client_relay_bytes(client, data);
        return;
    }
    if (client->in_len > 0 && !client->rates && client->state != CLIENT_CLOSING) {
        uint32_t taken = complete_kept(client, data);
        data = slice_of(data.data + taken, data.len - taken);
    }
    if (unlikely(client->state == CLIENT_AWAIT_CONNECT && data.len > 0)) {
        uint32_t taken = take_fresh(client, data); // what is behind it may have to keep to a rate
        data = slice_of(data.data + taken, data.len - taken);
        if (unlikely(client->traced)) { // from its CONNECT on
            on_bytes_slowly(client, data);
            return;
        }
    }
    if (unlikely(client->rates != NULL)) {
        client_rates_input(client, data);
        data.len = 0;
    }
    while (data.len > 0 && client->state != CLIENT_CLOSING) {
        uint32_t taken = 0;
        if (is_ack(data.data[0]) && client->state == CLIENT_CONNECTED)
            taken = take_acks(client, data);
        if (taken == 0)
            taken = take_fresh(client, data);
        data = slice_of(data.data + taken, data.len - taken);
    }
    client_check_pause(client);
}

void
client_replay(struct client *client)
{
    must(!client->suspended && client->in_len > 0);
    uint8_t *bytes = client->in;
    uint32_t len = client->in_len;
    client->shard->in_bytes -= len;
    client->in = NULL;
    client->in_len = client->in_cap = 0;
    client_on_bytes(client, bytes, len);
    mem_wipe(bytes, len); // a CONNECT has a password
    mem_free(bytes);
}

// ---- Timers -------------------------------------------------------------------------------------

// One and a half times the Keep Alive after its last packet [MQTT-3.1.2-22].
static uint64_t
silent_until(const struct client *client)
{
    return client->last_packet_ms + client->keep_alive_s * UINT64_C(1500);
}

void
client_arm_timer(struct client *client)
{
    struct shard *shard = client->shard;
    uint64_t due = client->access ? client->access->ends_ms : UINT64_MAX;
    if (client->keep_alive_s)
        due = min_u64(due, silent_until(client));
    wheel_disarm(shard->wheel, &client->timer);
    if (due != UINT64_MAX)
        wheel_arm(shard->wheel, &client->timer, due);
}

void
client_on_timer(struct client *client)
{
    must(client->magic == CLIENT_MAGIC);
    struct shard *shard = client->shard;
    if (client->state == CLIENT_CLOSING)
        return;
    if (client->state == CLIENT_AWAIT_CONNECT) {
        stat_add(&shard->stats.connect_timeouts, 1);
        client_close(client, ERR_CONNECT_TIMEOUT);
        return;
    }
    if (client->access && client->access->ends_ms <= shard->now_ms) {
        stat_add(&shard->stats.access_expired, 1);
        client_fail(client, ERR_CONNECT_TIME);
        return;
    }
    // A client that we ourselves do not read cannot show that it lives.
    if (!list_empty(&client->blocked_node) || client->suspended || client->rate_paused)
        client->last_packet_ms = shard->now_ms;
    if (client->keep_alive_s == 0 || silent_until(client) > shard->now_ms) {
        client_arm_timer(client);
        return;
    }
    stat_add(&shard->stats.keep_alive_timeouts, 1);
    client_fail(client, ERR_KEEP_ALIVE_TIMEOUT); // [MQTT-3.1.2-22] [MQTT-3.1.2-24]
}

void
client_on_writable(struct client *client)
{
    must(client->magic == CLIENT_MAGIC);
    if (unlikely(client->link == LINK_RELAY)) {
        client_relay_writable(client);
        return;
    }
    client_check_pause(client);
    if (client->session)
        session_continue(client->session);
}

// ---- The end ------------------------------------------------------------------------------------

static const char *
close_text(err_t reason, int error)
{
    switch (reason) {
    case OK:
        return error ? strerrordesc_np(error) : "connection closed by client";
    case ERR_KEEP_ALIVE_TIMEOUT:
        return "exceeded timeout";
    case ERR_PACKET_TOO_LARGE:
        return "oversize packet";
    case ERR_SHUTTING_DOWN:
    case ERR_USE_ANOTHER_SERVER:
    case ERR_ADMINISTRATIVE:
        return "administrative action";
    default:
        return err_text(reason);
    }
}

static bool
is_peers_fault(err_t reason)
{
    return reason == ERR_MALFORMED || reason == ERR_PROTOCOL || reason == ERR_PACKET_TOO_LARGE ||
           reason == ERR_TOPIC_NAME_INVALID || reason == ERR_TOPIC_FILTER_INVALID;
}

static void
log_end(struct client *client, int error)
{
    struct shard *shard = client->shard;
    if (unlikely(client->traced))
        trace_event(client, close_text(client->close_reason, error));
    if (client->session) {
        const char *why = close_text(client->close_reason, error);
        if (!shard->config->connection_messages)
            return;
        // Whoever comes again and again with bad packets does not fill the log with them.
        if (is_peers_fault(client->close_reason))
            log_limited(shard->log, &shard->log_bad, shard->now_ms, LOG_T_NOTICE,
                        "Client %s [%s] disconnected: %s.", client->session->id, client->peer, why);
        else
            log_line(shard->log, LOG_T_NOTICE, "Client %s [%s] disconnected: %s.",
                     client->session->id, client->peer, why);
        return;
    }
    // Before CONNECT anybody can make lines, so they are limited; a mere probe makes none.
    if (client->state == CLIENT_AWAIT_CONNECT || client->close_reason == OK)
        return;
    log_limited(shard->log, &shard->log_bad, shard->now_ms, LOG_T_NOTICE,
                "Client <unknown> [%s] disconnected: %s.", client->peer,
                close_text(client->close_reason, error));
}

void
client_detach(struct client *client)
{
    struct session *session = client->session;
    if (!session)
        return;
    must(session->client == client);
    if (unlikely(client->link == LINK_OUT || client->link == LINK_IN)) {
        struct cluster *cluster = client->shard->broker->cluster;
        cluster->ops->linked(cluster, session, false);
    }
    client_drop_parked(client);
    client->session = NULL;
    stat_sub(&client->shard->stats.clients_connected, 1);
    session_disconnected(session, client->will_on_close);
}

void
client_shut_down(struct client *client)
{
    must(client->magic == CLIENT_MAGIC);
    if (unlikely(client->link == LINK_RELAY)) {
        client_relay_shut_down(client); // its session is on another node
        return;
    }
    client->will_on_close = false;
    client_send_away(client);
}

void
client_send_away(struct client *client)
{
    must(client->magic == CLIENT_MAGIC);
    if (client->link == LINK_RELAY)
        client_relay_shut_down(client);
    else if (client->state == CLIENT_CONNECTED && client_refer(client, client->packet_max))
        client_fail(client, ERR_USE_ANOTHER_SERVER);
    else
        client_fail(client, ERR_SHUTTING_DOWN);
}

struct client *
client_next_dirty(struct shard *shard)
{
    struct list *node = list_pop(&shard->dirty);
    if (!node)
        return NULL;
    struct client *client = container_of(node, struct client, dirty);
    must_hot(client->magic == CLIENT_MAGIC);
    if (unlikely(client->state == CLIENT_CLOSING && client->session)) {
        // Here and not in client_close: nothing further up the stack uses the session any more.
        log_end(client, 0);
        client_detach(client);
    }
    return client;
}

void
client_on_closed(struct client *client, int error)
{
    must(client->magic == CLIENT_MAGIC);
    struct shard *shard = client->shard;
    if (error == 0)
        client_rates_finish(client); // its last word may be a DISCONNECT
    if (client->session || client->version == 0)
        log_end(client, error);
    client->state = CLIENT_CLOSING;
    client->want_close |= error == ETIMEDOUT; // given up here, as by client_close
    client_detach(client);
    if (unlikely(client->link == LINK_RELAY))
        client_relay_closed(client);
    wheel_disarm(shard->wheel, &client->timer);
    list_remove(&client->dirty);
    list_remove(&client->blocked_node);
    client_drop_parked(client);
    outq_free(&client->out, &shard->pool);
    in_free(client);
    client_access_free(client->access);
    client->access = NULL;
    client_rates_free(client);
    alias_table_free(client->aliases_in);
    alias_table_free(client->aliases_out);
    client->magic = 0;
}

// ---- Where a new connection belongs -------------------------------------------------------------

struct slice
client_first_id(const struct client *client)
{
    const struct config *config = client->shard->config;
    struct frame frame;
    struct connect_view view;
    must(client->listener_index < config->listener_count);
    if (codec_frame(slice_of(client->in, client->in_len), UINT32_MAX, &frame) != OK ||
        frame.type != MQTT_CONNECT || codec_connect(&frame, &view) != OK ||
        client_identify(&config->listeners[client->listener_index], client->name, &view) != OK)
        return (struct slice){0};
    return view.client_id;
}

err_t
client_home(const struct shard *shard, const struct client_origin *origin, struct slice data,
            unsigned *ret_home)
{
    *ret_home = shard->index;
    if (data.len == 0)
        return ERR_NEED_MORE;
    if (data.data[0] >> 4 != MQTT_CONNECT)
        return OK;
    struct frame frame;
    uint32_t max = shard->config->connect_packet_size_max;
    err_t err = codec_frame(data, max ? max : UINT32_MAX, &frame);
    if (err == ERR_NEED_MORE)
        return err;
    struct connect_view view;
    if (err || codec_connect(&frame, &view) != OK)
        return OK;
    const struct listener_config *listener = &shard->config->listeners[origin->listener_index];
    if (client_identify(listener, origin->name, &view) != OK || view.client_id.len == 0)
        return OK; // an answer that any shard can give
    *ret_home = broker_home(shard->broker, view.client_id);
    return OK;
}
