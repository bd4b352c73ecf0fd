// client.c - one MQTT connection.
#include "bench/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/fleet.h"
#include "bench/worker.h"

#define FILTERS_AT_ONCE 100u // in a SUBSCRIBE; brokers have limits for what one packet may ask

void
client_init(struct client *c, struct worker *w, enum role role, uint32_t number)
{
    bool is_device = w->run->shape.scenario == SCENARIO_FLEET && role == ROLE_PUBLISHER;
    *c = (struct client){
        .worker = w,
        .slot = (uint32_t)(c - w->clients),
        .number = number,
        .fd = -1,
        .role = role,
        .publishes = role == ROLE_PUBLISHER || role == ROLE_COMMANDER,
        .hears = is_device || role == ROLE_SUBSCRIBER || role == ROLE_WATCHER ||
                 (role == ROLE_COMER && w->run->shape.retains),
        .filter_count = scenario_filter_count(&w->run->shape, role, number),
    };
    must(c->slot < w->client_count);
    if (c->publishes)
        publisher_init(c);
    if (c->hears)
        subscriber_init(c);
}

void
client_free(struct client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    tunnel_free(c->tunnel);
    buffer_free(&c->wire);
    buffer_free(&c->fill);
    buffer_free(&c->flight);
    buffer_free(&c->cut);
    publisher_free(&c->publisher);
    subscriber_free(&c->subscriber);
    visit_free(&c->visit);
}

struct buffer *
client_out(struct client *c)
{
    // A client that is being sent for is listed again when that send ends.
    if (!c->dirty && !c->sending) {
        c->dirty = true;
        c->worker->dirty[c->worker->dirty_count++] = c;
    }
    return &c->fill;
}

void
client_will(struct client *c)
{
    if (!c->publishes || c->willing)
        return;
    c->willing = true;
    c->worker->willing[c->worker->willing_count++] = c;
}

void
client_lose(struct client *c, const char *why)
{
    static const char *const roles[ROLES] = {
        [ROLE_PUBLISHER] = "publisher", [ROLE_SUBSCRIBER] = "subscriber",
        [ROLE_SILENT] = "connection",   [ROLE_COMER] = "comer",
        [ROLE_COMMANDER] = "commander", [ROLE_WATCHER] = "watcher",
    };
    if (!client_is_open(c))
        return;
    struct worker *w = c->worker;
    worker_note_failure(w, "%s %u: %s", roles[c->role], c->number, why);
    counter_add(&w->counters.lost, 1);
    if (c->state != CLIENT_READY && c->state != CLIENT_LEAVING)
        w->connecting--;
    if (worker_phase(w) == PHASE_SETUP)
        atomic_store_explicit(&w->counters.failed, true, memory_order_relaxed);
    c->state = CLIENT_LOST;
    c->fill.len = 0;
    visit_end(c);
    if (c->role == ROLE_COMER)
        counter_sub(&w->counters.present, 1);
    // Ends what the kernel still holds for this socket; the descriptor stays until client_free, so
    // that its number cannot mean another connection in a late completion.
    (void)shutdown(c->fd, SHUT_RDWR);
}

// The connection ended without our doing. One that began before the broker was killed is not the
// broker's fault, and comes back.
static void
on_broken(struct client *c, const char *why)
{
    struct worker *w = c->worker;
    if (!worker_excuses(w, c->started_us)) {
        client_lose(c, why);
        return;
    }
    if (!client_is_open(c) || c->state == CLIENT_LEAVING)
        return;
    if (c->state != CLIENT_READY)
        w->connecting--;
    client_drop(c);
}

// A client that left is closed once the kernel holds nothing for it, and may connect again.
static void
close_if_done(struct client *c)
{
    if (c->state != CLIENT_LEAVING || c->sending || c->receiving)
        return;
    (void)close(c->fd);
    c->fd = -1;
    tunnel_free(c->tunnel);
    c->tunnel = NULL;
    c->wire.len = 0;
    c->cut.len = 0;
    c->fill.len = 0; // the server may have closed before it was told
    c->state = CLIENT_CLOSED;
    worker_rest(c->worker, c);
}

// ---- Connecting -------------------------------------------------------------------------------

// False with errno set. The port is chosen later: one that is in use towards another address will
// do.
static bool
bind_to(int fd, const struct host *from)
{
    int on = 1;
    if (from->address_len == 0)
        return true;
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, (const struct sockaddr *)&from->address, from->address_len) == 0;
}

void
client_connect(struct client *c, uint64_t due_us)
{
    must(c->state == CLIENT_CLOSED && !c->sending && !c->receiving);
    struct worker *w = c->worker;
    const struct host *host = hosts_pick(&w->run->hosts, c->number, c->role == ROLE_PUBLISHER);
    int on = 1;

    c->state = CLIENT_CONNECTING;
    c->started_us = due_us;
    w->connecting++;
    c->fd = socket(host->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        client_lose(c, strerrordesc_np(errno));
        return;
    }
    if (!bind_to(c->fd, &w->run->hosts.from)) {
        client_lose(c, strerrordesc_np(errno));
        return;
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ring_connect(&w->ring, c->slot, c->fd, (const struct sockaddr *)&host->address,
                 host->address_len);
}

static void
put_connect(struct client *c)
{
    static const char letters[ROLES] = "pscomw";
    const struct worker *w = c->worker;
    const struct options *options = w->run->options;
    char id[SCENARIO_ID_MAX], will_topic[SCENARIO_TEXT_MAX];
    uint8_t will[MESSAGE_BYTES_MIN];
    (void)snprintf(id, sizeof id, "b%08x%c%u", w->run->id, letters[c->role], c->number);
    struct wire_connect connect = {
        .client_id = id,
        .version = (int)options->version,
        .expiry_s = w->run->shape.durable ? (uint32_t)options->session_expiry_s : 0,
        .keep_alive_s = (uint16_t)options->keep_alive_s,
        .user_name = options_text(options->user_name),
        .password = options_text(options->password),
    };
    if (c->publishes && c->hears) {
        struct message message;
        fleet_will(c, will_topic, &message);
        message_write(will, &message);
        connect.will_topic = will_topic;
        connect.will = will;
        connect.will_len = sizeof will;
        connect.will_qos = (uint8_t)options->qos;
    }
    wire_put_connect(client_out(c), &connect);
}

void
client_on_connect(struct client *c, int result)
{
    struct worker *w = c->worker;
    if (result < 0) {
        on_broken(c, strerrordesc_np(-result));
        close_if_done(c);
        return;
    }
    must(c->state == CLIENT_CONNECTING);
    c->state = CLIENT_WAIT_CONNACK;
    c->pinged_us = 0;
    c->filters_sent = 0;
    if (w->tunnels != NULL)
        c->tunnel = tunnel_new(w->tunnels, &c->wire);
    put_connect(c); // waits until the tunnel is open
    ring_recv(&w->ring, c->slot, c->fd);
    c->receiving = true;
}

// One who came is ready, or was refused as it had to be: then the server closes.
static void
come(struct client *c)
{
    struct worker *w = c->worker;
    if (w->run->shape.retains) {
        visit_ask(c); // leaves when all is there
        return;
    }
    bool connect = w->run->shape.scenario == SCENARIO_CONNECT;
    counter_add(&w->counters.came, 1);
    counter_add(&w->counters.delivered, connect ? 1 : 0);
    if (worker_measures(w, c->started_us))
        histogram_record(connect ? &w->latency : &w->come_latency,
                         w->now_us - min_u64(c->started_us, w->now_us));
    if (w->run->options->refused)
        c->state = CLIENT_LEAVING;
    else
        client_leave(c);
}

static void
client_ready(struct client *c)
{
    struct worker *w = c->worker;
    c->state = CLIENT_READY;
    w->connecting--;
    if (c->role == ROLE_COMER) {
        come(c);
        return;
    }
    bool parks = w->run->shape.parks && c->role == ROLE_SUBSCRIBER && !c->known;
    if (parks)
        client_leave(c); // and is counted when it is gone
    else
        counter_add(c->known ? &w->counters.returned : &w->counters.ready, 1);
    if (c->known)
        fleet_on_return(c);
    c->known = w->run->shape.durable;
}

void
client_leave(struct client *c)
{
    must(c->state == CLIENT_READY);
    wire_put_disconnect(client_out(c));
    c->state = CLIENT_LEAVING;
}

void
client_drop(struct client *c)
{
    must(client_is_open(c));
    c->state = CLIENT_LEAVING;
    c->fill.len = 0;
    (void)shutdown(c->fd, SHUT_RDWR);
}

void
client_ping(struct client *c)
{
    must(c->pinged_us == 0);
    wire_put_pingreq(client_out(c));
    counter_add(&c->worker->counters.pings, 1);
    c->pinged_us = c->worker->now_us;
}

// ---- Sending ----------------------------------------------------------------------------------

// What is gathered goes through the tunnel, as far as it is there.
static struct buffer *
encode(struct client *c)
{
    if (c->fill.len > 0 && tunnel_is_open(c->tunnel)) {
        if (!tunnel_write(c->tunnel, c->fill.data, c->fill.len, &c->wire))
            client_lose(c, "TLS: cannot encrypt");
        c->fill.len = 0;
    }
    return &c->wire;
}

void
client_flush(struct client *c)
{
    must_hot(!c->sending);
    if (!client_is_open(c))
        return;
    struct buffer *next = c->tunnel != NULL ? encode(c) : &c->fill;
    if (next->len == 0 || !client_is_open(c))
        return;
    must_hot(c->flight.len == 0);
    struct buffer sent = c->flight;
    c->flight = *next;
    *next = sent;
    c->flight_sent = 0;
    c->sending = true;
    c->last_sent_us = c->worker->now_us;
    ring_send(&c->worker->ring, c->slot, c->fd, c->flight.data, c->flight.len);
}

void
client_on_send(struct client *c, int result)
{
    must_hot(c->sending);
    if (result > 0 && c->flight_sent + (uint32_t)result < c->flight.len) {
        c->flight_sent += (uint32_t)result;
        ring_send(&c->worker->ring, c->slot, c->fd, c->flight.data + c->flight_sent,
                  c->flight.len - c->flight_sent);
        return;
    }
    c->sending = false;
    c->flight.len = 0;
    // While leaving, the server may close before all was taken: its right.
    if (result <= 0 && c->state != CLIENT_LEAVING)
        on_broken(c, strerrordesc_np(-result));
    if (result <= 0)
        c->fill.len = c->wire.len = 0;
    if (c->fill.len > 0 || c->wire.len > 0)
        (void)client_out(c);
    client_will(c);
    close_if_done(c);
}

// ---- Receiving --------------------------------------------------------------------------------

// SUBSCRIBE for the next of the client's filters.
static void
subscribe(struct client *c)
{
    const struct run *run = c->worker->run;
    struct buffer filters = {0};
    uint32_t end = min_u32(c->filters_sent + FILTERS_AT_ONCE, c->filter_count);
    must(c->filters_sent < end);
    for (; c->filters_sent < end; c->filters_sent++) {
        char filter[SCENARIO_TEXT_MAX];
        scenario_filter(&run->shape, run->id, c->role, c->number, c->filters_sent, filter);
        wire_add_filter(&filters, filter);
    }
    wire_put_subscribe(client_out(c), (int)run->options->version, 1, &filters,
                       (uint8_t)run->options->qos);
    buffer_free(&filters);
    c->state = CLIENT_WAIT_SUBACK;
}

static void
begin_subscribing(struct client *c)
{
    subscriber_forget(c);
    if (c->role == ROLE_COMER && c->hears)
        visit_begin(c);
    subscribe(c);
}

// The first filter again: the others end with the connection.
static void
unsubscribe(struct client *c)
{
    const struct run *run = c->worker->run;
    struct buffer filters = {0};
    char filter[SCENARIO_TEXT_MAX];
    scenario_filter(&run->shape, run->id, c->role, c->number, 0, filter);
    wire_add_filter(&filters, filter);
    wire_put_unsubscribe(client_out(c), (int)run->options->version, 1, &filters);
    buffer_free(&filters);
    c->state = CLIENT_WAIT_UNSUBACK;
}

// A session that the broker had to keep.
static void
count_session(struct client *c, bool found)
{
    struct counters *counters = &c->worker->counters;
    if (c->role == ROLE_PUBLISHER)
        counter_add(found ? &counters->senders_found : &counters->senders_lost, 1);
    else
        counter_add(found ? &counters->sessions_found : &counters->sessions_lost, 1);
}

static bool
on_connack(struct client *c, const struct wire_frame *frame)
{
    struct worker *w = c->worker;
    const struct options *options = w->run->options;
    struct wire_connack connack;
    if (c->state != CLIENT_WAIT_CONNACK || !wire_connack(frame, (int)options->version, &connack))
        return false;
    if (options->refused && connack.reason != 0) {
        client_ready(c);
        return true;
    }
    if (options->refused) {
        client_lose(c, "CONNECT was accepted");
        return true;
    }
    if (connack.reason != 0) {
        char why[64];
        (void)snprintf(why, sizeof why, "CONNECT refused with code 0x%02x", connack.reason);
        client_lose(c, why);
        return true;
    }
    if (connack.qos_max < options->qos || connack.packet_max < options->size) {
        client_lose(c, "the broker does not take this QoS or size");
        return true;
    }
    if (connack.keep_alive_s > 0 &&
        (w->keep_alive_s == 0 || connack.keep_alive_s < w->keep_alive_s))
        w->keep_alive_s = connack.keep_alive_s;
    bool found = c->resumed = c->known && connack.session_present;
    if (c->known)
        count_session(c, found);
    if (c->publishes)
        publisher_on_connected(c, connack.receive_max, found);
    if (c->filter_count > 0 && !found)
        begin_subscribing(c);
    else
        client_ready(c);
    return true;
}

static bool
on_suback(struct client *c, const struct wire_frame *frame)
{
    const struct options *options = c->worker->run->options;
    struct wire_suback ack;
    if (c->state != CLIENT_WAIT_SUBACK || !wire_suback(frame, (int)options->version, &ack))
        return false;
    uint32_t asked = (c->filters_sent - 1) % FILTERS_AT_ONCE + 1;
    if (ack.count != asked)
        return false;
    for (uint32_t i = 0; i < ack.count; i++) {
        if (ack.reasons[i] != options->qos) {
            client_lose(c, "the broker did not grant the subscription's QoS");
            return true;
        }
    }
    if (c->filters_sent < c->filter_count)
        subscribe(c);
    else if (c->role == ROLE_COMER && !c->hears)
        unsubscribe(c);
    else
        client_ready(c);
    return true;
}

static bool
on_unsuback(struct client *c, const struct wire_frame *frame)
{
    const int version = (int)c->worker->run->options->version;
    struct wire_suback ack;
    if (c->state != CLIENT_WAIT_UNSUBACK || !wire_suback(frame, version, &ack))
        return false;
    if (version == 5 && (ack.count != 1 || ack.reasons[0] != 0))
        client_lose(c, "the broker did not know the subscription");
    else
        client_ready(c);
    return true;
}

static bool
on_pingresp(struct client *c, const struct wire_frame *frame)
{
    if (c->state != CLIENT_READY || frame->len != 0)
        return false;
    c->pinged_us = 0;
    visit_on_pingresp(c);
    return true;
}

static bool
on_disconnect(struct client *c, const struct wire_frame *frame)
{
    char why[64];
    (void)snprintf(why, sizeof why, "DISCONNECT with reason 0x%02x",
                   frame->len > 0 ? frame->body[0] : 0);
    client_lose(c, why);
    return true;
}

static void
dispatch(struct client *c, const uint8_t *packet, uint32_t size)
{
    static bool (*const handlers[WIRE_TYPES])(struct client *, const struct wire_frame *) = {
        [WIRE_CONNACK] = on_connack,          [WIRE_SUBACK] = on_suback,
        [WIRE_UNSUBACK] = on_unsuback,        [WIRE_PUBLISH] = subscriber_on_publish,
        [WIRE_PUBREL] = subscriber_on_pubrel, [WIRE_PUBACK] = publisher_on_ack,
        [WIRE_PUBREC] = publisher_on_ack,     [WIRE_PUBCOMP] = publisher_on_ack,
        [WIRE_PINGRESP] = on_pingresp,        [WIRE_DISCONNECT] = on_disconnect,
    };
    struct wire_frame frame = wire_frame(packet, size);
    if (handlers[frame.type] == NULL || !handlers[frame.type](c, &frame))
        client_lose(c, "the broker sent what it may not send");
}

// Completes the packet that the last bytes cut, and dispatches it. Returns the bytes taken.
static uint32_t
finish_cut(struct client *c, const uint8_t *data, uint32_t len)
{
    uint32_t at = 0;
    while (at < len) {
        uint32_t size = wire_size(c->cut.data, c->cut.len);
        if (size == WIRE_SIZE_BAD) {
            client_lose(c, "malformed packet length");
            return len;
        }
        // Until the header is complete the packet's end is not known: byte by byte, at most five.
        uint32_t want = size == 0 ? 1 : min_u32(size - c->cut.len, len - at);
        buffer_put(&c->cut, data + at, want);
        at += want;
        size = wire_size(c->cut.data, c->cut.len);
        if (size != 0 && size == c->cut.len) {
            dispatch(c, c->cut.data, size);
            c->cut.len = 0;
            break;
        }
    }
    return at;
}

static void
on_plain(void *arg, const uint8_t *data, uint32_t len)
{
    struct client *c = arg;
    uint32_t at = c->cut.len > 0 && client_listens(c) ? finish_cut(c, data, len) : 0;
    while (at < len && client_listens(c)) {
        uint32_t size = wire_size(data + at, len - at);
        if (size == WIRE_SIZE_BAD) {
            client_lose(c, "malformed packet length");
            return;
        }
        if (size == 0 || size > len - at) {
            buffer_put(&c->cut, data + at, len - at);
            return;
        }
        dispatch(c, data + at, size);
        at += size;
    }
}

void
client_on_bytes(struct client *c, const uint8_t *data, uint32_t len)
{
    if (c->tunnel == NULL) {
        on_plain(c, data, len);
        return;
    }
    char why[TUNNEL_WHY_MAX];
    bool was_open = tunnel_is_open(c->tunnel);
    bool good = tunnel_read(c->tunnel, slice_of(data, len), &c->wire, on_plain, c, why);
    if (!good && c->state != CLIENT_LEAVING)
        client_lose(c, why);
    bool opened = !was_open && tunnel_is_open(c->tunnel);
    if (opened && c->worker->run->options->tls) {
        counter_add(&c->worker->counters.handshakes, 1);
        counter_add(&c->worker->counters.resumed, tunnel_resumed(c->tunnel));
    }
    if (c->wire.len > 0 || opened)
        (void)client_out(c); // an answer, or what has waited for the tunnel
}

void
client_on_recv(struct client *c, int result, bool more)
{
    if (more)
        return;
    c->receiving = false;
    // All buffers were taken, or the kernel wants its multishot renewed: nothing is lost.
    bool again = result > 0 || result == -ENOBUFS || result == -EINTR;
    if (again && client_is_open(c)) {
        ring_recv(&c->worker->ring, c->slot, c->fd);
        c->receiving = true;
        return;
    }
    if (c->state != CLIENT_LEAVING)
        on_broken(c, result == 0 ? "the broker closed the connection" : strerrordesc_np(-result));
    close_if_done(c);
}
