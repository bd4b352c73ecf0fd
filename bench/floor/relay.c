// relay.c - a thread of the floor: its ring, its connections, its tick.
#include "bench/floor/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

// Until the other thread has taken what is in the queue.
#define WAIT_FULL_US 100u

// ---- Delivering ---------------------------------------------------------------------------------

static inline void
deliver_to(struct relay *relay, const struct members *members, uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < members->count; i++)
        conn_add(relay, members->list[i], data, len);
}

static inline void
deliver_here(struct relay *relay, uint32_t number, uint8_t *data, uint32_t len)
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
    deliver_here(relay, run->number, run->begin, len);
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

static void
on_bytes(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len)
{
    uint32_t at = 0;
    if (conn->cut != NULL || conn->head_len > 0)
        at = finish_cut(relay, conn, data, len);
    if (at < len)
        at += on_packets(relay, conn, data + at, len - at);
    if (at < len && !conn->closing)
        keep_beginning(conn, data + at, len - at);
}

// ---- Completions --------------------------------------------------------------------------------

static COLD NORETURN void
give_up(const char *what, int error)
{
    (void)fprintf(stderr, "ternmq-floor: %s: %s\n", what, strerrordesc_np(error));
    exit(EXIT_FAILURE);
}

static void
on_accept(struct relay *relay, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0)
        (void)conn_new(relay, cqe->res);
    else if (cqe->res != -ECONNABORTED && cqe->res != -EINTR)
        give_up("accept", -cqe->res);
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        ring_accept(&relay->ring, relay->listen_fd, relay);
}

static void
on_recv(struct relay *relay, const struct io_uring_cqe *cqe)
{
    struct conn *conn = ring_owner(cqe);
    if (likely(cqe->res > 0)) {
        uint8_t *data = ring_hold(&relay->ring, cqe);
        if (likely(!conn->closing))
            on_bytes(relay, conn, data, (uint32_t)cqe->res);
    }
    if (likely((cqe->flags & IORING_CQE_F_MORE) != 0))
        return;
    // No buffer was free, or the kernel wants the request renewed: nothing is lost.
    bool again = cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EINTR;
    if (again && !conn->closing) {
        ring_recv(&relay->ring, conn->fd, conn);
        return;
    }
    conn->receiving = false;
    conn_close(relay, conn);
}

static void
on_completion(struct relay *relay, const struct io_uring_cqe *cqe)
{
    switch (ring_op(cqe)) {
    case RING_RECV:
        on_recv(relay, cqe);
        return;
    case RING_ACCEPT:
        on_accept(relay, cqe);
        return;
    case RING_SEND: // looked at right after it was submitted
        return;
    case RING_WRITABLE:
        conn_on_writable(relay, ring_owner(cqe));
        return;
    case RING_WAKE:
        if ((cqe->flags & IORING_CQE_F_MORE) == 0)
            ring_wake(&relay->ring, relay->wake_fd, relay);
        return;
    }
    must(false);
}

static void
reap(struct relay *relay)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    uint64_t bytes = 0;
    io_uring_for_each_cqe(&relay->ring.uring, head, cqe)
    {
        if (relay->ring.held == RING_BUFFERS || bytes >= RELAY_TICK_BYTES)
            break;
        if (ring_op(cqe) == RING_RECV && cqe->res > 0)
            bytes += (uint32_t)cqe->res;
        on_completion(relay, cqe);
        count++;
    }
    io_uring_cq_advance(&relay->ring.uring, count);
}

static void
take_hops(struct relay *relay)
{
    struct spsc_record record;
    for (uint32_t i = 0; i < relay->count; i++) {
        if (i == relay->number)
            continue;
        while (spsc_take(relay->all[i].hops[relay->number].queue, &record)) {
            struct hop_record hop;
            memcpy(&hop, record.data, sizeof hop);
            deliver_here(relay, hop.number, unconst(record.data + sizeof hop), hop.len);
            relay->took_hops = true;
        }
    }
}

// ---- The tick -----------------------------------------------------------------------------------

static void
send_dirty(struct relay *relay)
{
    relay->send_scan = io_uring_smp_load_acquire(relay->ring.uring.cq.ktail);
    for (uint32_t i = 0; i < relay->dirty_count; i++)
        conn_send(relay, relay->dirty[i]);
}

// The completions of sends that did not take everything stand behind what was there before.
static void
settle_dirty(struct relay *relay)
{
    const struct io_uring_cq *cq = &relay->ring.uring.cq;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail);
    if (relay->dirty_count == 0)
        return;
    // Else completions could wait outside the queue, unseen.
    must((IO_URING_READ_ONCE(*relay->ring.uring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) == 0);
    for (unsigned at = relay->send_scan; at != tail; at++) {
        const struct io_uring_cqe *cqe = &cq->cqes[at & cq->ring_mask];
        if (unlikely(ring_op(cqe) == RING_SEND))
            conn_on_short(relay, ring_owner(cqe), cqe->res);
    }
    for (uint32_t i = 0; i < relay->dirty_count; i++)
        relay->dirty[i]->piece_count = 0;
    relay->dirty_count = relay->gather_len = 0;
}

void
relay_flush(struct relay *relay)
{
    send_dirty(relay);
    ring_submit(&relay->ring);
    settle_dirty(relay);
}

// Gives back all that the pieces of the last tick lay in.
static void
settle(struct relay *relay)
{
    settle_dirty(relay);
    ring_give_back(&relay->ring);
    for (uint32_t i = 0; i < relay->spent_count; i++)
        mem_free(relay->spent[i]);
    relay->spent_count = relay->arena_len = 0;
    for (uint32_t i = 0; relay->took_hops && i < relay->count; i++) {
        if (i != relay->number)
            spsc_release(relay->all[i].hops[relay->number].queue);
    }
    relay->took_hops = false;
    struct conn **link = &relay->closed;
    while (*link != NULL) {
        struct conn *conn = *link, *next = conn->next_closed;
        if (conn_free_if_done(conn))
            *link = next;
        else
            link = &conn->next_closed;
    }
}

static bool
offer_hops(struct relay *relay)
{
    bool full = false;
    for (uint32_t i = 0; i < relay->count; i++) {
        if (i == relay->number)
            continue;
        if (hop_offer(&relay->hops[i]) && atomic_load(&relay->all[i].sleeping) != 0)
            must(eventfd_write(relay->all[i].wake_fd, 1) == 0);
        full = full || hop_is_full(&relay->hops[i]);
    }
    return full;
}

static bool
mail_waits(const struct relay *relay)
{
    for (uint32_t i = 0; i < relay->count; i++) {
        if (i != relay->number && spsc_ready(relay->all[i].hops[relay->number].queue))
            return true;
    }
    return false;
}

static bool
may_sleep(const struct relay *relay)
{
    // The pieces stay where they are meanwhile; a quarter of the buffers can be spared.
    bool room = relay->ring.held <= RING_BUFFERS / 4 && !relay->took_hops;
    for (const struct conn *conn = relay->closed; conn != NULL; conn = conn->next_closed)
        room = room && (conn->receiving || conn->polling);
    return room && io_uring_cq_ready(&relay->ring.uring) == 0;
}

static void
enter(struct relay *relay, bool full)
{
    if (!may_sleep(relay)) {
        ring_submit(&relay->ring);
    } else if (full) {
        ring_wait_us(&relay->ring, WAIT_FULL_US);
    } else if (relay->count == 1) {
        ring_wait(&relay->ring);
    } else {
        atomic_store(&relay->sleeping, 1);
        if (mail_waits(relay))
            ring_submit(&relay->ring);
        else
            ring_wait(&relay->ring);
        atomic_store_explicit(&relay->sleeping, 0, memory_order_relaxed);
    }
}

static void
tick(struct relay *relay)
{
    bool full = false;
    settle(relay);
    reap(relay);
    if (relay->count > 1) {
        take_hops(relay);
        full = offer_hops(relay);
    }
    send_dirty(relay);
    enter(relay, full);
}

static void *
relay_main(void *arg)
{
    struct relay *relay = arg;
    if (ring_open(&relay->ring) != OK)
        give_up("io_uring", errno);
    ring_accept(&relay->ring, relay->listen_fd, relay);
    ring_wake(&relay->ring, relay->wake_fd, relay);
    for (;;)
        tick(relay);
    return NULL;
}

err_t
relay_start(struct relay *relay)
{
    relay->topics = topics_new();
    int error = pthread_create(&relay->thread, NULL, relay_main, relay);
    errno = error;
    return error == 0 ? OK : ERR_IO;
}
