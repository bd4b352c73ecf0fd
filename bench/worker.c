// worker.c - a thread of the load generator with its share of the clients.
#include "bench/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "core/base/clock.h"

#include "bench/fleet.h"
#include "bench/share.h"

// How long a tick sleeps at most. While running, something happens all the time, or a message is
// due; the limit only bounds how late a change of phase is seen.
#define WAIT_US 20000u
// The same where the windows are opened by another thread, which does not wake this one.
#define WAIT_CROSSING_US 500u
#define PING_LOOK_US     1000000u
#define TELL_US          1000000u
#define UNSTICK_LOOK_US  250000u
#define CLOSE_WAIT_US    1000000u // for DISCONNECTs to leave

// ---- Making -----------------------------------------------------------------------------------

static bool
is_mine(const struct worker *w, enum role role, uint32_t number)
{
    return share_owner(&w->run->shape, role, number, w->run->workers) == w->number;
}

static uint32_t
for_each_mine(struct worker *w, void (*fn)(struct worker *, enum role, uint32_t))
{
    const struct shape *shape = &w->run->shape;
    uint32_t mine = 0;
    for (uint32_t role = 0; role < ROLES; role++) {
        for (uint32_t number = 0; number < shape->clients[role]; number++) {
            if (!is_mine(w, (enum role)role, number))
                continue;
            if (fn != NULL)
                fn(w, (enum role)role, number);
            mine++;
        }
    }
    return mine;
}

static void
add_client(struct worker *w, enum role role, uint32_t number)
{
    struct client *c = &w->clients[w->connect_next++];
    client_init(c, w, role, number);
    if (role == ROLE_PUBLISHER) {
        c->publisher.ordinal = w->publisher_count;
        w->publishers[w->publisher_count++] = c;
    } else if (role == ROLE_COMMANDER) {
        c->publisher.pacer = PACE_COMMANDS;
        w->commander = c;
    } else if (role == ROLE_COMER) {
        w->resting[w->resting_count++] = c;
    }
}

// Each worker has that part of a rate which it has of those who make it.
static void
set_pace(struct worker *w, uint32_t pacer, uint64_t rate, enum role role, uint32_t mine)
{
    uint32_t all = w->run->shape.clients[role];
    w->pacers[pacer].members = mine;
    if (rate > 0 && mine > 0)
        w->pacers[pacer].interval_us = 1e6 / (double)rate * (double)all / (double)mine;
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
    w->connect_next = 0;
    w->limit = run->shape.limit;
    w->keep_alive_s = (uint16_t)options->keep_alive_s;
    w->crossing = run->workers > 1 && share_crosses(&run->shape);
    set_pace(w, PACE_MESSAGES, scenario_publish_rate(options), ROLE_PUBLISHER, w->publisher_count);
    set_pace(w, PACE_COMINGS, scenario_coming_rate(options), ROLE_COMER, w->resting_count);
    if (w->commander != NULL)
        set_pace(w, PACE_COMMANDS, options->command_rate, ROLE_COMMANDER, 1);
    if (run->shape.scenario == SCENARIO_FLEET)
        set_pace(w, PACE_DROPS, options->drop_rate, ROLE_PUBLISHER, w->publisher_count);
    return w;
}

void
worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->client_count; i++)
        client_free(&w->clients[i]);
    tunnels_free(w->tunnels);
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
worker_due_us(const struct worker *w, uint32_t pacer, uint64_t n)
{
    // The workers' first ones are spread over one interval.
    double phase = (double)w->number / (double)w->run->workers;
    return w->run->start_us + (uint64_t)(((double)n + phase) * w->pacers[pacer].interval_us);
}

bool
worker_measures(const struct worker *w, uint64_t due_us)
{
    return due_us >= w->run->measure_from_us && due_us < w->run->measure_to_us;
}

static void
fall_due(struct worker *w, uint32_t pacer, uint64_t n)
{
    struct client *c = NULL;
    if (pacer == PACE_MESSAGES)
        c = w->publishers[n % w->publisher_count];
    else if (pacer == PACE_COMMANDS)
        c = w->commander;
    if (c == NULL)
        return;
    c->publisher.due++;
    client_will(c);
}

static void
pace(struct worker *w)
{
    for (uint32_t i = 0; i < PACERS; i++) {
        struct pacer *pacer = &w->pacers[i];
        while (pacer->interval_us > 0 && worker_due_us(w, i, pacer->paced) <= w->now_us)
            fall_due(w, i, pacer->paced++);
    }
}

// Begins as many connections as are due and have a client to make them.
static void
come(struct worker *w)
{
    bool paced = worker_paces(w, PACE_COMINGS);
    while (w->resting_count > 0 && (!paced || w->started < w->pacers[PACE_COMINGS].paced)) {
        uint64_t due_us = paced ? worker_due_us(w, PACE_COMINGS, w->started) : w->now_us;
        w->started++;
        counter_add(&w->counters.present, 1);
        client_connect(w->resting[--w->resting_count], due_us);
    }
}

static void
look_at_visits(struct worker *w)
{
    if (!w->run->shape.retains || w->now_us < w->unstick_at_us)
        return;
    w->unstick_at_us = w->now_us + UNSTICK_LOOK_US;
    for (uint32_t i = 0; i < w->client_count; i++)
        visit_look(&w->clients[i]);
}

static void
clear(struct worker *w)
{
    if (w->clearing)
        return;
    w->clearing = true;
    w->limit = 2 * w->run->shape.limit;
    for (uint32_t i = 0; i < w->publisher_count; i++)
        publisher_clear(w->publishers[i]);
}

static void
publish(struct worker *w)
{
    if (w->crossing || !worker_paces(w, PACE_MESSAGES)) {
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
    bool parks = w->run->shape.parks && c->role == ROLE_SUBSCRIBER;
    if (c->role == ROLE_COMER)
        counter_sub(&w->counters.present, 1);
    if (!parks || worker_phase(w) != PHASE_SETUP) {
        w->resting[w->resting_count++] = c;
        return;
    }
    // There may be very many of these.
    buffer_free(&c->fill);
    buffer_free(&c->flight);
    buffer_free(&c->wire);
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
    while (w->connect_next < w->client_count && w->connecting < WORKER_CONNECTS) {
        struct client *c = &w->clients[w->connect_next++];
        if (c->role != ROLE_COMER)
            client_connect(c, w->now_us);
    }
}

// A quarter of the Keep Alive between two looks: PINGREQ leaves after half to three quarters of it.
// Only one is under way: a second one's answer would hide that the first one's is missing.
static void
ping(struct worker *w)
{
    if (w->keep_alive_s == 0 || w->now_us < w->ping_at_us)
        return;
    uint64_t keep_alive_us = w->keep_alive_s * 1000000ull;
    w->ping_at_us = w->now_us + min_u64(PING_LOOK_US, keep_alive_us / 4);
    for (uint32_t i = 0; i < w->client_count; i++) {
        struct client *c = &w->clients[i];
        if (c->state != CLIENT_READY)
            continue;
        if (c->pinged_us != 0 && c->pinged_us + keep_alive_us <= w->now_us)
            client_lose(c, "no PINGRESP within the Keep Alive");
        else if (c->pinged_us == 0 && c->last_sent_us + keep_alive_us / 2 <= w->now_us)
            client_ping(c);
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
    uint64_t now_us = clock_mono_us();
    if (phase != PHASE_RUN)
        return wait;
    uint64_t due_us = w->run->start_us > now_us ? w->run->start_us : UINT64_MAX;
    for (uint32_t i = 0; i < PACERS; i++) {
        if (worker_paces(w, i))
            due_us = min_u64(due_us, worker_due_us(w, i, w->pacers[i].paced));
    }
    if (due_us == UINT64_MAX)
        return wait;
    return due_us > now_us ? min_u64(due_us - now_us, wait) : 0;
}

static void
tell(struct worker *w)
{
    if (w->now_us < w->tell_at_us)
        return;
    w->tell_at_us = w->now_us + TELL_US;
    atomic_store_explicit(&w->counters.p99_us, histogram_quantile(&w->latency, 0.99),
                          memory_order_relaxed);
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
    if (phase == PHASE_SETUP)
        set_up(w);
    if (phase == PHASE_CLEAR)
        clear(w);
    if (phase == PHASE_RETURN)
        unpark(w);
    if (w->run->shape.durable && phase != PHASE_SETUP && phase != PHASE_CLOSE)
        revive(w);
    bool runs = phase == PHASE_RUN && w->now_us >= w->run->start_us;
    if (runs) {
        pace(w);
        unstick(w);
        if (w->run->shape.scenario == SCENARIO_FLEET)
            fleet_look(w);
        tell(w);
    }
    if (phase == PHASE_PREPARE || runs || phase == PHASE_CLEAR)
        publish(w);
    if (runs && w->run->shape.clients[ROLE_COMER] > 0)
        come(w);
    look_at_visits(w);
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
        if (client_is_open(c) && (c->sending || c->fill.len > 0 || c->wire.len > 0))
            return false;
    }
    return true;
}

static void
say_goodbye(struct worker *w)
{
    for (uint32_t i = 0; i < w->client_count; i++) {
        visit_end(&w->clients[i]);
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
    if (tunnel_wanted(w->run->options)) {
        char why[TUNNEL_WHY_MAX];
        w->tunnels = tunnels_new(w->run->options, why);
        if (w->tunnels == NULL) {
            worker_note_failure(w, "%s", why);
            atomic_store_explicit(&w->counters.failed, true, memory_order_relaxed);
            ring_close(&w->ring);
            return NULL;
        }
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
