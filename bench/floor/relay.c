// relay.c - a thread of the floor: its ring, its connections, its tick.
#include "bench/floor/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "bench/floor/traffic.h"

// Until the other thread has taken what is in the queue.
#define WAIT_FULL_US 100u

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
            traffic_on_bytes(relay, conn, data, (uint32_t)cqe->res);
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
            traffic_deliver(relay, hop.number, unconst(record.data + sizeof hop), hop.len);
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
