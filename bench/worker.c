// worker.c - a thread of the load generator with its share of the clients.
#include "bench/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "core/base/clock.h"

// How long a tick sleeps at most. While running, something happens all the time, or a message is
// due; the limit only bounds how late a change of phase is seen.
#define WAIT_US 20000u
// The same where the windows are opened by another thread, which does not wake this one.
#define WAIT_CROSSING_US 500u
#define PING_LOOK_US     1000000u
#define UNSTICK_LOOK_US  250000u
#define CLOSE_WAIT_US    1000000u // for DISCONNECTs to leave

// ---- Making -----------------------------------------------------------------------------------

// Whether the worker has this client. Pairs stay together; where many face one, the one is the
// first worker's, and the many begin with the second.
static bool
is_mine(const struct worker *w, enum client_role role, uint32_t number)
{
    const struct shape *shape = &w->run->shape;
    uint32_t threads = (uint32_t)w->run->options->threads;
    bool one = (role == CLIENT_PUBLISHER && shape->publishers == 1) ||
               (role == CLIENT_SUBSCRIBER && shape->subscribers == 1);
    bool pairs = shape->publishers == shape->subscribers;
    uint32_t shift = one || pairs ? 0 : 1;
    return (number + shift) % threads == w->number;
}

static uint32_t
for_each_mine(struct worker *w, void (*fn)(struct worker *, enum client_role, uint32_t))
{
    const struct shape *shape = &w->run->shape;
    const uint32_t counts[] = {
        [CLIENT_PUBLISHER] = shape->publishers,
        [CLIENT_SUBSCRIBER] = shape->subscribers,
        [CLIENT_SILENT] = shape->silent,
    };
    uint32_t mine = 0;
    for (uint32_t role = 0; role < ARRAY_LEN(counts); role++) {
        for (uint32_t number = 0; number < counts[role]; number++) {
            if (!is_mine(w, (enum client_role)role, number))
                continue;
            if (fn != NULL)
                fn(w, (enum client_role)role, number);
            mine++;
        }
    }
    return mine;
}

static void
add_client(struct worker *w, enum client_role role, uint32_t number)
{
    struct client *c = &w->clients[w->connect_next++];
    client_init(c, w, role, number);
    if (role == CLIENT_PUBLISHER) {
        c->publisher.ordinal = w->publisher_count;
        w->publishers[w->publisher_count++] = c;
    }
    if (w->run->shape.churn)
        w->resting[w->resting_count++] = c;
}

struct worker *
worker_new(struct run *run, uint32_t number)
{
    const struct options *options = run->options;
    struct worker *w = mem_alloc_aligned(CACHE_LINE, sizeof *w);
    w->run = run;
    w->number = number;
    w->client_count = for_each_mine(w, NULL);
    size_t slots = w->client_count + 1; // an array of nothing is not allocated
    w->clients = mem_zalloc(slots * sizeof *w->clients);
    w->dirty = mem_zalloc(slots * sizeof(struct client *));
    w->willing = mem_zalloc(slots * sizeof(struct client *));
    w->resting = mem_zalloc(slots * sizeof(struct client *));
    w->parked = mem_zalloc(slots * sizeof(struct client *));
    w->publishers = mem_zalloc(slots * sizeof(struct client *));
    (void)for_each_mine(w, add_client);
    must(w->connect_next == w->client_count);
    if (!run->shape.churn)
        w->connect_next = 0;

    bool pairs = run->shape.publishers == run->shape.subscribers;
    w->crossing = options->threads > 1 && !pairs;
    // Each worker has that part of the rate which it has of those who make it.
    uint32_t all = run->shape.churn ? run->shape.silent : run->shape.publishers;
    uint32_t mine = run->shape.churn ? w->client_count : w->publisher_count;
    if (options->rate > 0 && mine > 0)
        w->interval_us = 1e6 / (double)options->rate * (double)all / (double)mine;
    return w;
}

void
worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->client_count; i++)
        client_free(&w->clients[i]);
    mem_free(w->clients);
    mem_free(w->dirty);
    mem_free(w->willing);
    mem_free(w->resting);
    mem_free(w->parked);
    mem_free(w->publishers);
    mem_free(w);
}

void
worker_note_failure(struct worker *w, const char *format, ...)
{
    if (w->failure[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
}

// ---- Pacing -----------------------------------------------------------------------------------

uint64_t
worker_due_us(const struct worker *w, uint64_t n)
{
    // The workers' first messages are spread over one interval.
    double phase = (double)w->number / (double)w->run->options->threads;
    return w->run->start_us + (uint64_t)(((double)n + phase) * w->interval_us);
}

bool
worker_measures(const struct worker *w, uint64_t due_us)
{
    return due_us >= w->run->measure_from_us && due_us < w->run->measure_to_us;
}

static void
pace(struct worker *w)
{
    while (w->interval_us > 0 && worker_due_us(w, w->paced) <= w->now_us) {
        if (w->publisher_count > 0) {
            struct client *c = w->publishers[w->paced % w->publisher_count];
            c->publisher.due++;
            client_will(c);
        }
        w->paced++;
    }
}

// `connect`: begins as many connections as are due and have a client to make them.
static void
churn(struct worker *w)
{
    bool paced = w->run->options->rate > 0;
    while (w->resting_count > 0 && (!paced || w->started < w->paced)) {
        uint64_t due_us = paced ? worker_due_us(w, w->started) : w->now_us;
        w->started++;
        client_connect(w->resting[--w->resting_count], due_us);
    }
}

static void
publish(struct worker *w)
{
    if (w->crossing || w->run->options->rate == 0) {
        // Nobody tells a publisher of the first message, nor of another thread's deliveries.
        for (uint32_t i = 0; i < w->publisher_count; i++) {
            if (w->crossing || w->publishers[i]->publisher.next_seq == 0)
                client_will(w->publishers[i]);
        }
    }
    uint32_t count = w->willing_count;
    w->willing_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        w->willing[i]->willing = false;
        if (w->willing[i]->state == CLIENT_READY)
            publisher_publish(w->willing[i]);
    }
}

// ---- Sessions that outlive connections --------------------------------------------------------

bool
worker_excuses(const struct worker *w, uint64_t started_us)
{
    uint64_t killed_us = atomic_load_explicit(&w->run->killed_us, memory_order_acquire);
    uint64_t restored_us = atomic_load_explicit(&w->run->restored_us, memory_order_acquire);
    return killed_us != 0 && (restored_us == 0 || started_us < restored_us);
}

void
worker_rest(struct worker *w, struct client *c)
{
    bool parks = w->run->shape.parks && c->role == CLIENT_SUBSCRIBER;
    if (!parks || worker_phase(w) != PHASE_SETUP) {
        w->resting[w->resting_count++] = c;
        return;
    }
    // There may be very many of these.
    buffer_free(&c->fill);
    buffer_free(&c->flight);
    buffer_free(&c->cut);
    w->parked[w->parked_count++] = c;
    counter_add(&w->counters.ready, 1);
}

static void
unpark(struct worker *w)
{
    for (uint32_t i = 0; i < w->parked_count; i++) {
        if (scenario_returns(&w->run->shape, w->parked[i]->number))
            w->resting[w->resting_count++] = w->parked[i];
    }
    w->parked_count = 0;
}

// Connects who is to come back, unless the broker is away.
static void
revive(struct worker *w)
{
    bool away = worker_excuses(w, w->now_us);
    while (!away && w->resting_count > 0 && w->connecting < WORKER_CONNECTS)
        client_connect(w->resting[--w->resting_count], w->now_us);
}

static void
unstick(struct worker *w)
{
    uint64_t restored_us = atomic_load_explicit(&w->run->restored_us, memory_order_acquire);
    bool waits = w->run->options->rate == 0 && !w->run->shape.parks;
    if (!waits || restored_us == 0 || w->now_us < w->unstick_at_us)
        return;
    w->unstick_at_us = w->now_us + UNSTICK_LOOK_US;
    for (uint32_t i = 0; i < w->publisher_count; i++) {
        if (w->publishers[i]->state == CLIENT_READY)
            publisher_unstick(w->publishers[i]);
    }
}

// ---- The tick ---------------------------------------------------------------------------------

static void
set_up(struct worker *w)
{
    while (w->connect_next < w->client_count && w->connecting < WORKER_CONNECTS)
        client_connect(&w->clients[w->connect_next++], w->now_us);
}

static void
ping(struct worker *w)
{
    if (w->keep_alive_s == 0 || w->now_us < w->ping_at_us)
        return;
    w->ping_at_us = w->now_us + PING_LOOK_US;
    for (uint32_t i = 0; i < w->client_count; i++) {
        struct client *c = &w->clients[i];
        bool silent = c->last_sent_us + w->keep_alive_s * 500000ull <= w->now_us;
        if (c->state == CLIENT_READY && silent)
            wire_put_pingreq(client_out(c));
    }
}

static void
flush(struct worker *w)
{
    for (uint32_t i = 0; i < w->dirty_count; i++) {
        w->dirty[i]->dirty = false;
        if (!w->dirty[i]->sending)
            client_flush(w->dirty[i]);
    }
    w->dirty_count = 0;
}

static uint64_t
wait_us(const struct worker *w, enum phase phase)
{
    uint64_t wait = w->crossing ? WAIT_CROSSING_US : WAIT_US;
    if (phase != PHASE_RUN || w->interval_us <= 0)
        return wait;
    uint64_t due_us = worker_due_us(w, w->paced), now_us = clock_mono_us();
    return due_us > now_us ? min_u64(due_us - now_us, wait) : 0;
}

static void
on_completion(struct worker *w, const struct io_uring_cqe *cqe)
{
    must_hot(ring_slot(cqe) < w->client_count);
    struct client *c = &w->clients[ring_slot(cqe)];
    switch (ring_op(cqe)) {
    case RING_CONNECT:
        client_on_connect(c, cqe->res);
        return;
    case RING_SEND:
        client_on_send(c, cqe->res);
        return;
    case RING_RECV:
        if (cqe->res > 0) {
            w->now_us = clock_mono_us();
            client_on_bytes(c, ring_bytes(&w->ring, cqe), (uint32_t)cqe->res);
            ring_give_back(&w->ring, cqe);
        }
        client_on_recv(c, cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0);
        return;
    }
    must(false);
}

static void
reap(struct worker *w)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&w->ring.uring, head, cqe)
    {
        on_completion(w, cqe);
        count++;
    }
    io_uring_cq_advance(&w->ring.uring, count);
}

static void
tick(struct worker *w, enum phase phase)
{
    w->now_us = clock_mono_us();
    if (phase == PHASE_SETUP && !w->run->shape.churn)
        set_up(w);
    if (phase == PHASE_RETURN)
        unpark(w);
    if (w->run->shape.durable && phase != PHASE_SETUP && phase != PHASE_CLOSE)
        revive(w);
    if (phase == PHASE_RUN) {
        pace(w);
        unstick(w);
        publish(w);
        if (w->run->shape.churn)
            churn(w);
    }
    ping(w);
    flush(w);
    ring_wait(&w->ring, wait_us(w, phase));
    reap(w);
}

static bool
all_sent(const struct worker *w)
{
    for (uint32_t i = 0; i < w->client_count; i++) {
        const struct client *c = &w->clients[i];
        if (client_is_open(c) && (c->sending || c->fill.len > 0))
            return false;
    }
    return true;
}

static void
say_goodbye(struct worker *w)
{
    for (uint32_t i = 0; i < w->client_count; i++) {
        if (w->clients[i].state == CLIENT_READY)
            client_leave(&w->clients[i]);
    }
    uint64_t until_us = clock_mono_us() + CLOSE_WAIT_US;
    while (!all_sent(w) && clock_mono_us() < until_us)
        tick(w, PHASE_CLOSE);
}

static void *
worker_main(void *arg)
{
    struct worker *w = arg;
    // An open loop is as exact as its timer; the default slack is 50 microseconds.
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    if (ring_open(&w->ring, w->client_count) != OK) {
        worker_note_failure(w, "io_uring: %s", strerrordesc_np(errno));
        atomic_store_explicit(&w->counters.failed, true, memory_order_relaxed);
        return NULL;
    }
    enum phase phase;
    while ((phase = worker_phase(w)) != PHASE_CLOSE)
        tick(w, phase);
    say_goodbye(w);
    ring_close(&w->ring);
    return NULL;
}

err_t
worker_start(struct worker *w)
{
    return pthread_create(&w->thread, NULL, worker_main, w) == 0 ? OK : ERR_IO;
}

void
worker_join(struct worker *w)
{
    int error = pthread_join(w->thread, NULL);
    must(error == 0);
}
