// shard.c - what one worker owns, and the steps of its tick that need no I/O.
#include "core/shard.h"

#include "core/base/mem.h"

#include "core/access.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/client_rates.h"
#include "core/cluster.h"
#include "core/control.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/registry.h"
#include "core/retained.h"
#include "core/review.h"
#include "core/route.h"
#include "core/session.h"
#include "core/subs.h"
#include "core/sys.h"
#include "core/timers.h"
#include "core/trace.h"

#define MATCH_CACHE_TOPICS 65536u
// Records taken from one mailbox in a tick: bounds the tick, and what one tick can make to be sent.
#define DRAIN_MAX   4096u
#define SWEEP_MS    1000u
#define RESUME_MS   250u
#define SWEEP_STEPS 1000u
// What the account takes for a session and a subscription, beside their queues (measured, rounded
// up).
#define SESSION_BYTES 700u
#define CLIENT_BYTES  300u // more, while it has a connection
#define SUB_BYTES     200u

struct shard *
shard_new(struct broker *broker, unsigned index, uint64_t now_ms)
{
    must(index < broker->shard_count);
    struct shard *shard = mem_alloc_aligned(CACHE_LINE, sizeof *shard);
    shard->broker = broker;
    shard->index = index;
    shard->now_ms = now_ms;
    shard->config = atomic_load(&broker->config);
    shard->verbatim_below = SHARD_VERBATIM_BELOW;
    shard->review_at = UINT32_MAX; // no rules, no sessions
    shard->log = broker->log;
    shard->rcu = rcu_register(broker->rcu);
    shard->matches = match_cache_new(broker->trie, MATCH_CACHE_TOPICS);
    shard->wheel = wheel_new(now_ms);
    shard->registry = registry_new(&broker->key);
    shard->subs = subs_new();
    shard->scratch = route_scratch_new();
    list_init(&shard->dirty);
    list_init(&shard->blocked_reads);
    list_init(&shard->unfinished);
    list_init(&shard->parked);
    list_init(&shard->unsafe);
    list_init(&shard->page_waiters);
    list_init(&shard->page_loads);
    list_init(&shard->estates);
    shard->hold_ms = UINT64_MAX;
    shard->tickets = tickets_new(broker->shard_count);
    shard->journal = journal_new(broker, index);
    mail_init(shard);
    timer_init(&shard->sweep, TIMER_SWEEP);
    if (index == 0) {
        shard->sys = sys_new(shard);
        wheel_arm(shard->wheel, &shard->sweep, now_ms + SWEEP_MS);
    }
    return shard;
}

// ---- The tick -----------------------------------------------------------------------------------

void
shard_tick_begin(struct shard *shard, uint64_t now_ms)
{
    must_hot(now_ms >= shard->now_ms);
    shard->now_ms = now_ms;
    shard->config = atomic_load_explicit(&shard->broker->config, memory_order_acquire);
    shard->access = atomic_load_explicit(&shard->broker->access, memory_order_acquire);
    // It may have slept while others decided.
    shard->level =
        (enum governor_level)atomic_load_explicit(&shard->broker->level, memory_order_relaxed);
    shard->news |= journal_poll(shard->journal);
    if (!list_empty(&shard->parked) || unlikely(shard->unsettled > 0))
        shard->news |= tickets_poll(shard);
    if (unlikely(now_ms >= shard->hold_ms))
        shard->news = true;
    if (unlikely(shard->news))
        shard->hold_ms = UINT64_MAX; // set again by those that go on waiting
    struct cluster *cluster = shard->broker->cluster;
    if (unlikely(cluster != NULL))
        cluster->ops->tick(cluster, shard);
}

typedef void (*io_record_fn)(void *arg, unsigned from, const struct spsc_record *record);

static void
dispatch(struct shard *shard, unsigned from, const struct spsc_record *record, io_record_fn on_io,
         void *arg)
{
    if (unlikely(record->type == RECORD_CLAIM)) {
        struct cluster *cluster = shard->broker->cluster;
        cluster->ops->claimed(cluster, shard, slice_of(record->data, record->len));
        return;
    }
    if (unlikely(record->type == RECORD_MOVE)) {
        struct cluster *cluster = shard->broker->cluster;
        cluster->ops->moving(cluster, shard, slice_of(record->data, record->len));
        return;
    }
    if (likely(record->type < RECORD_IO)) {
        route_on_record(shard, from, record);
        return;
    }

    on_io(arg, from, record);
}

static void
on_record(struct shard *shard, unsigned from, const struct spsc_record *record, io_record_fn on_io,
          void *arg)
{
    if (likely(record->type != RECORD_PARCEL)) {
        dispatch(shard, from, record, on_io, arg);
        return;
    }
    struct spsc_record opened;
    mail_open_parcel(record, &opened);
    dispatch(shard, from, &opened, on_io, arg);
    mail_close_parcel(&opened);
}

void
shard_drain(struct shard *shard, io_record_fn on_io, void *arg)
{
    for (unsigned from = 0; from < shard->broker->shard_count; from++) {
        struct spsc *q = shard->broker->mail[from][shard->index];
        struct spsc_record record;
        for (unsigned n = 0; q && n < DRAIN_MAX && spsc_take(q, &record); n++)
            on_record(shard, from, &record, on_io, arg);
        if (q)
            spsc_release(q);
    }
}

static void
retained_gone(void *arg, struct slice topic, uint64_t order)
{
    const struct shard *shard = arg;
    journal_retain_clear(shard->journal, topic, order);
}

static void
sweep(struct shard *shard)
{
    (void)retained_sweep(shard->broker->retained, shard->rcu, shard->now_ms, SWEEP_STEPS,
                         retained_gone, shard);
    wheel_arm(shard->wheel, &shard->sweep, shard->now_ms + SWEEP_MS);
}

static void
fire(struct shard *shard, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_CLIENT:
        client_on_timer(container_of(timer, struct client, timer));
        break;
    case TIMER_SESSION:
        session_on_timer(container_of(timer, struct session, timer));
        break;
    case TIMER_RATES:
        client_rates_on_timer(container_of(timer, struct client_rates, timer));
        break;
    case TIMER_SYS:
        sys_on_timer(shard->sys);
        break;
    default:
        must(timer->kind == TIMER_SWEEP);
        sweep(shard);
    }
}

// The disk is slower than the publishers, or full.
bool
shard_keeper_lags(const struct shard *shard)
{
    if (!journal_is_on(shard->journal))
        return false;
    const struct keeper *keeper = shard->broker->keeper;
    return journal_bytes(shard->journal) > keeper->batch_pause ||
           atomic_load_explicit(&keeper->crowded, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&keeper->failing, memory_order_relaxed) ||
           atomic_load_explicit(&keeper->behind, memory_order_relaxed);
}

// Publishers that were paused for this shard's sake are read again. While memory is short they get
// a moment now and then: their acknowledgements may be what frees it.
static void
resume_reads(struct shard *shard)
{
    if (list_empty(&shard->blocked_reads) || shard->outbox_bytes > 0 || shard_keeper_lags(shard))
        return;
    if (shard->level >= GOVERNOR_SLOW && shard->now_ms < shard->resume_ms)
        return;
    shard->resume_ms = shard->now_ms + RESUME_MS;
    struct list *node;
    while ((node = list_pop(&shard->blocked_reads)) != NULL)
        client_check_pause(container_of(node, struct client, blocked_node));
}

static void
continue_all(struct list *sessions)
{
    // Those that put themselves back wait for the next time.
    struct list now, *node;
    list_init(&now);
    list_splice(&now, sessions);
    while ((node = list_pop(&now)) != NULL)
        session_continue(container_of(node, struct session, unfinished));
}

static void
drain_pages(struct shard *shard)
{
    if (likely(list_empty(&shard->page_loads)))
        return;
    struct spsc *pages = shard->broker->keeper->shards[shard->index].pages;
    struct spsc_record record;
    bool came = false;
    while (spsc_take(pages, &record)) {
        struct page *page;
        must(record.len == sizeof page);
        memcpy(&page, record.data, sizeof page);
        session_on_page(shard, page);
        came = true;
    }
    spsc_release(pages);
    if (!came)
        return;
    session_estates_continue(shard);
    continue_all(&shard->page_waiters);
}

// Acknowledgements for which the journal, other shards or the time was waited for.
static void
release_parked(struct shard *shard)
{
    if (likely(!shard->news))
        return;
    shard->news = false;
    continue_all(&shard->unsafe);
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &shard->parked);
    while ((node = list_pop(&now)) != NULL) {
        struct client *client = container_of(node, struct parked, node)->client;
        client_release_parked(client);
        if (client->parked && list_empty(&client->parked->node))
            list_push(&shard->parked, &client->parked->node);
    }
    tickets_settle(shard);
    if (list_empty(&shard->parked) && shard->unsettled == 0)
        tickets_forget(shard);
}

void
shard_timers(struct shard *shard)
{
    struct timer *timer;
    review_continue(shard);
    control_continue(shard);
    if (unlikely(shard->watching != NULL))
        trace_continue(shard);
    client_answers(shard);
    drain_pages(shard);
    release_parked(shard);
    while ((timer = wheel_next(shard->wheel, shard->now_ms)) != NULL)
        fire(shard, timer);
    continue_all(&shard->unfinished);
    resume_reads(shard);
}

void
shard_post(struct shard *shard)
{
    mail_post(shard);
    tickets_pay(shard); // after the mail that belongs to it
}

static void
account(struct shard *shard)
{
    struct stats *stats = &shard->stats;
    uint64_t bytes =
        shard->totals.queued_bytes + shard->in_bytes + shard->pool.in_use + shard->outbox_bytes +
        stat_get(&stats->sessions) * SESSION_BYTES +
        stat_get(&stats->clients_connected) * CLIENT_BYTES +
        (stat_get(&stats->subscriptions) + stat_get(&stats->shared_subscriptions)) * SUB_BYTES;
    atomic_store_explicit(&stats->memory_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&stats->messages_queued, shard->totals.queued + shard->totals.on_disk,
                          memory_order_relaxed);
    atomic_store_explicit(&stats->messages_queued_bytes, shard->totals.queued_bytes,
                          memory_order_relaxed);
    atomic_store_explicit(&stats->messages_inflight, shard->totals.inflight, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&shard->broker->memory_max, memory_order_relaxed);
    uint64_t memory = max ? broker_memory(shard->broker) : 0;
    // Mostly it is far from any level.
    if (unlikely(memory > max / 2 || shard->level != GOVERNOR_CALM))
        governor_decide(shard, memory, max);
}

// The others hear whether the keeper lags behind what this shard has for it.
static void
tell_crowd(struct shard *shard)
{
    struct keeper *keeper = shard->broker->keeper;
    bool now = journal_bytes(shard->journal) > keeper->batch_pause;
    uint64_t bit = UINT64_C(1) << shard->index;
    if (likely(now == shard->crowded))
        return;
    shard->crowded = now;
    if (now)
        atomic_fetch_or_explicit(&keeper->crowded, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&keeper->crowded, ~bit, memory_order_relaxed);
}

void
shard_tick_end(struct shard *shard)
{
    account(shard);
    journal_offer(shard->journal, shard->now_ms, false);
    if (journal_is_on(shard->journal))
        tell_crowd(shard);
    rcu_quiescent(shard->rcu);
}

void
shard_offer_all(struct shard *shard)
{
    journal_offer(shard->journal, shard->now_ms, true);
}

uint64_t
shard_wait_until(const struct shard *shard)
{
    if (!list_empty(&shard->unfinished) || !list_empty(&shard->dirty) || review_is_busy(shard) ||
        control_is_busy(shard))
        return 0;
    uint64_t due = min_u64(wheel_wait_until(shard->wheel), shard->hold_ms);
    due = min_u64(due, journal_wait_until(shard->journal));
    // Pressure goes away without an event here: look again soon.
    return list_empty(&shard->blocked_reads) ? due : min_u64(due, shard->now_ms + WHEEL_TICK_MS);
}

// Does what somebody waits for move?
static bool
keeper_has_news(const struct shard *shard)
{
    bool waits = !list_empty(&shard->parked) || !list_empty(&shard->unsafe);
    if ((waits || unlikely(shard->unsettled > 0)) && tickets_pending(shard))
        return true;
    if (!journal_is_on(shard->journal))
        return false;
    const struct keeper_shard *slot = &shard->broker->keeper->shards[shard->index];
    if ((waits || tickets_owed(shard)) &&
        atomic_load_explicit(&slot->safe, memory_order_acquire) > journal_safe(shard->journal))
        return true;
    return !list_empty(&shard->page_loads) && spsc_ready(slot->pages);
}

bool
shard_has_mail(const struct shard *shard)
{
    // The caller has said that it sleeps; see broker_wake.
    atomic_thread_fence(memory_order_seq_cst);
    if (keeper_has_news(shard))
        return true;
    struct cluster *cluster = shard->broker->cluster;
    if (unlikely(cluster != NULL) && cluster->ops->has_news(cluster, shard))
        return true;
    if (control_is_busy(shard) || atomic_load(&shard->broker->orders) != shard->orders)
        return true;
    if (shard->broker->desk && access_has_answer(shard->broker->desk, shard->index))
        return true;
    for (unsigned from = 0; from < shard->broker->shard_count; from++) {
        const struct spsc *q = shard->broker->mail[from][shard->index];
        if (q && spsc_ready(q))
            return true;
    }
    return false;
}

void
shard_post_io(struct shard *shard, unsigned to, uint16_t type, const void *data, uint32_t len)
{
    must(type >= RECORD_IO);
    memcpy(mail_reserve(shard, to, type, len), data, len);
}

static void
shut_down(struct session *session)
{
    if (session->client)
        client_shut_down(session->client);
}

uint64_t
shard_random(struct shard *shard)
{
    return hash_u64(&shard->broker->key, ++shard->random * TRIE_SHARDS_MAX + shard->index);
}

void
shard_shutdown(struct shard *shard)
{
    registry_each(shard->registry, shut_down);
}

void
shard_free(struct shard *shard)
{
    if (!shard)
        return;
    registry_each(shard->registry, session_discard);
    trace_shard_free(shard);
    session_loads_free(shard);
    tickets_free(shard->tickets);
    sys_free(shard->sys);
    journal_free(shard->journal);
    registry_free(shard->registry);
    subs_free(shard->subs);
    match_cache_free(shard->matches);
    route_scratch_free(shard->scratch);
    wheel_free(shard->wheel);
    mail_drop(shard);
    outq_pool_drain(&shard->pool);
    rcu_unregister(shard->rcu);
    mem_free(shard);
}
