// traffic.c - what the bytes are, and where they go.
#include "bench/floor/traffic.h"

#include <stdio.h>

#include "core/base/mem.h"

#include "bench/floor/relay.h"

// ---- Delivering ---------------------------------------------------------------------------------

static inline void
deliver_to(struct relay *relay, const struct members *members, uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < members->count; i++)
        conn_add(relay, members->list[i], data, len);
}

void
traffic_deliver(struct relay *relay, uint32_t number, uint8_t *data, uint32_t len)
{
    deliver_to(relay, &relay->topics->of[number], data, len);
    deliver_to(relay, &relay->topics->of[TOPICS_ALL], data, len);
}

static void
deliver_there(struct relay *relay, uint32_t number, const uint8_t *data, uint32_t len)
{
    struct topics_wanted *wanted = relay->wanted;
    uint32_t bits = atomic_load_explicit(&wanted->by[number], memory_order_acquire) |
                    atomic_load_explicit(&wanted->by[TOPICS_ALL], memory_order_acquire);
    for (uint32_t i = 0; i < relay->count; i++) {
        if ((bits & 1u << i) != 0 && i != relay->number)
            hop_put(&relay->hops[i], number, data, len);
    }
}

// Packets that follow each other and have one topic travel as one piece.
struct run {
    uint8_t *begin, *end;
    uint32_t number;
};

static inline void
deliver(struct relay *relay, const struct run *run)
{
    uint32_t len = (uint32_t)(run->end - run->begin);
    if (len == 0 || run->number == TOPICS_NONE)
        return;
    traffic_deliver(relay, run->number, run->begin, len);
    if (relay->count > 1)
        deliver_there(relay, run->number, run->begin, len);
}

// ---- Packets ------------------------------------------------------------------------------------

struct packet {
    uint8_t *data;
    uint32_t header, size;
};

static inline uint8_t *
answer(struct relay *relay, uint32_t len)
{
    must_hot(relay->arena_len + len <= RELAY_ARENA_BYTES);
    uint8_t *at = relay->arena + relay->arena_len;
    relay->arena_len += len;
    return at;
}

static inline void
answer_ack(struct relay *relay, uint8_t first, const uint8_t *id)
{
    uint8_t *at = answer(relay, 4);
    at[0] = first;
    at[1] = 2;
    at[2] = id[0];
    at[3] = id[1];
}

static inline bool
on_publish(struct relay *relay, const struct packet *packet, struct run *run)
{
    const uint8_t *topic = packet->data + packet->header + 2;
    const uint8_t *end = packet->data + packet->size;
    uint32_t qos = packet->data[0] >> 1 & 3;
    if (unlikely(topic > end))
        return false;
    uint32_t len = packet_u16(topic - 2);
    if (unlikely((uint32_t)(end - topic) < len + 2 * (qos > 0)))
        return false;
    uint32_t number = packet_topic_number(topic, len, TOPICS_NONE);
    if (unlikely(number >= TOPICS_MAX))
        number = TOPICS_NONE;
    if (unlikely(number != run->number || run->end != packet->data)) {
        deliver(relay, run);
        *run = (struct run){.begin = packet->data, .number = number};
    }
    run->end = packet->data + packet->size;
    if (qos > 0)
        answer_ack(relay, qos == 1 ? PACKET_PUBACK << 4 : PACKET_PUBREC << 4, topic + len);
    return true;
}

static bool
on_connect(struct relay *relay, struct conn *conn, const struct packet *packet)
{
    uint32_t version_at = packet->header + 6; // behind "MQTT" and its length
    if (packet->size <= version_at)
        return false;
    conn->version5 = packet->data[version_at] == 5;
    uint8_t body = conn->version5 ? 3 : 2;
    uint8_t *at = answer(relay, 2u + body);
    memset(at, 0, 2u + body);
    at[0] = PACKET_CONNACK << 4;
    at[1] = body;
    return true;
}

static void
subscribe(struct relay *relay, struct conn *conn, const uint8_t *filter, uint32_t len)
{
    uint32_t number = packet_topic_number(filter, len, TOPICS_NONE);
    // Any other wildcard of the generator's is there to match nothing.
    if (len > 1 && memcmp(filter + len - 2, "/+", 2) == 0)
        number = TOPICS_ALL;
    else if (number >= TOPICS_MAX)
        return; // nothing is published there
    topics_add(relay->topics, number, conn, relay->wanted, relay->number);
    conn->topics =
        mem_grow(conn->topics, &conn->topic_cap, conn->topic_count + 1, sizeof(uint32_t));
    conn->topics[conn->topic_count++] = number;
}

static void
put_suback(struct relay *relay, const struct conn *conn, const uint8_t *id, const uint8_t *codes,
           uint32_t count)
{
    uint32_t body = 2 + conn->version5 + count;
    uint8_t *at = answer(relay, 1 + (body > 0x7f) + (body > 0x3fff) + 1 + body);
    *at++ = PACKET_SUBACK << 4;
    for (uint32_t left = body; left > 0; left >>= 7)
        *at++ = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    *at++ = id[0];
    *at++ = id[1];
    if (conn->version5)
        *at++ = 0;
    memcpy(at, codes, count);
}

static bool
on_subscribe(struct relay *relay, struct conn *conn, const struct packet *packet)
{
    uint8_t codes[4096];
    const uint8_t *id = packet->data + packet->header, *at = id + 2;
    const uint8_t *end = packet->data + packet->size;
    uint32_t count = 0;
    if (at > end || (conn->version5 && (at == end || *at++ != 0))) // it has no properties
        return false;
    while (end - at >= 3 && count < sizeof codes) {
        uint32_t len = packet_u16(at);
        at += 2;
        if ((uint32_t)(end - at) < len + 1)
            return false;
        subscribe(relay, conn, at, len);
        codes[count++] = at[len] & 3;
        at += len + 1;
    }
    if (at != end || count == 0)
        return false;
    put_suback(relay, conn, id, codes, count);
    return true;
}

static bool
on_other(struct relay *relay, struct conn *conn, const struct packet *packet)
{
    const uint8_t *body = packet->data + packet->header;
    bool id = packet->size - packet->header >= 2;
    switch (packet->data[0] >> 4) {
    case PACKET_PUBREC:
        if (id)
            answer_ack(relay, PACKET_PUBREL << 4 | 2, body);
        return id;
    case PACKET_PUBREL:
        if (id)
            answer_ack(relay, PACKET_PUBCOMP << 4, body);
        return id;
    case PACKET_PUBACK:
    case PACKET_PUBCOMP:
        return id;
    case PACKET_CONNECT:
        return on_connect(relay, conn, packet);
    case PACKET_SUBSCRIBE:
        return on_subscribe(relay, conn, packet);
    case PACKET_PINGREQ:
        memcpy(answer(relay, 2), (const uint8_t[]){PACKET_PINGRESP << 4, 0}, 2);
        return true;
    case PACKET_DISCONNECT:
        conn_close(relay, conn);
        return true;
    default:
        return false;
    }
}

// ---- Bytes --------------------------------------------------------------------------------------

static COLD void
refuse(struct relay *relay, struct conn *conn, uint8_t first)
{
    (void)fprintf(stderr,
                  "ternmq-floor: closed a connection for a packet of type %u that the load"
                  " generator does not send\n",
                  first >> 4);
    conn_close(relay, conn);
}

// All whole packets. Returns how many bytes those are.
static uint32_t
on_packets(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len)
{
    struct run run = {.number = TOPICS_NONE};
    uint32_t answers = relay->arena_len, at = 0;
    while (at < len) {
        struct packet packet = {.data = data + at};
        packet.size = packet_size(packet.data, len - at, &packet.header);
        if (packet.size == PACKET_SIZE_BAD) {
            refuse(relay, conn, *packet.data);
            return len;
        }
        if (packet.size == 0 || packet.size > len - at)
            break;
        bool good = likely(*packet.data >> 4 == PACKET_PUBLISH) ? on_publish(relay, &packet, &run)
                                                                : on_other(relay, conn, &packet);
        if (unlikely(!good)) {
            refuse(relay, conn, *packet.data);
            return len;
        }
        at += packet.size;
    }
    deliver(relay, &run);
    if (relay->arena_len > answers)
        conn_add(relay, conn, relay->arena + answers, relay->arena_len - answers);
    return at;
}

static void
begin_cut(struct conn *conn, const uint8_t *data, uint32_t len, uint32_t size)
{
    must_hot(conn->cut == NULL && len < size);
    conn->cut = mem_alloc(size);
    conn->cut_size = size;
    conn->cut_len = len;
    memcpy(conn->cut, data, len);
    conn->head_len = 0;
}

// A packet begins here that the received bytes do not end.
static void
keep_beginning(struct conn *conn, const uint8_t *data, uint32_t len)
{
    uint32_t header, size = packet_size(data, len, &header);
    if (size > 0) {
        begin_cut(conn, data, len, size);
    } else {
        must_hot(len < PACKET_HEADER_MAX);
        memcpy(conn->head, data, len);
        conn->head_len = (uint8_t)len;
    }
}

// Returns how many bytes of data belong to the packet that was cut.
static uint32_t
finish_cut(struct relay *relay, struct conn *conn, const uint8_t *data, uint32_t len)
{
    uint32_t at = 0, header;
    while (conn->cut == NULL) {
        if (at == len)
            return at;
        conn->head[conn->head_len++] = data[at++];
        uint32_t size = packet_size(conn->head, conn->head_len, &header);
        if (size == PACKET_SIZE_BAD) {
            refuse(relay, conn, conn->head[0]);
            return len;
        }
        if (size == conn->head_len) { // a packet that is nothing but a header
            begin_cut(conn, conn->head, size - 1, size);
            at--;
        } else if (size > 0) {
            begin_cut(conn, conn->head, conn->head_len, size);
        }
    }
    uint32_t want = min_u32(conn->cut_size - conn->cut_len, len - at);
    memcpy(conn->cut + conn->cut_len, data + at, want);
    conn->cut_len += want;
    if (conn->cut_len == conn->cut_size) {
        uint8_t *packet = conn->cut;
        conn->cut = NULL;
        relay->spent =
            mem_grow(relay->spent, &relay->spent_cap, relay->spent_count + 1, sizeof(uint8_t *));
        relay->spent[relay->spent_count++] = packet;
        (void)on_packets(relay, conn, packet, conn->cut_size);
    }
    return at + want;
}

void
traffic_on_bytes(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len)
{
    uint32_t at = 0;
    if (conn->cut != NULL || conn->head_len > 0)
        at = finish_cut(relay, conn, data, len);
    if (at < len)
        at += on_packets(relay, conn, data + at, len - at);
    if (at < len && !conn->closing)
        keep_beginning(conn, data + at, len - at);
}
