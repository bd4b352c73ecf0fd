// page_desk.c - the shards' requests for pages, and the way back.
#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "persist/page.h"
#include "persist/store_parts.h"

#define DAMAGE_PAUSE_MS 1000u

struct waiting {
    struct page_request request;
    unsigned shard;
    bool due;
};

struct ready_page {
    struct page *page;
    unsigned shard;
};

struct page_desk {
    struct store *store;
    struct keeper *keeper;
    struct waiting *waiting;
    uint32_t waiting_count, waiting_cap;
    struct ready_page *pages; // that no ring has taken yet, in order
    uint32_t page_count, page_cap;
    uint64_t told_ms;
    uint64_t again_ms; // reading failed: not before then again
};

struct page_desk *
page_desk_new(struct store *store)
{
    struct page_desk *desk = mem_zalloc(sizeof *desk);
    must(store->keeper);
    desk->store = store;
    desk->keeper = store->keeper;
    return desk;
}

void
page_desk_free(struct page_desk *desk)
{
    if (!desk)
        return;
    for (uint32_t i = 0; i < desk->page_count; i++)
        page_free(desk->pages[i].page);
    mem_free(desk->pages);
    mem_free(desk->waiting);
    mem_free(desk);
}

void
page_desk_fetch(struct page_desk *desk)
{
    for (unsigned shard = 0; shard < desk->keeper->shard_count; shard++) {
        struct spsc *requests = desk->keeper->shards[shard].requests;
        struct spsc_record record;
        bool any = false;
        while (spsc_take(requests, &record)) {
            uint32_t n = desk->waiting_count++;
            desk->waiting = mem_grow(desk->waiting, &desk->waiting_cap, desk->waiting_count,
                                     sizeof *desk->waiting);
            desk->waiting[n] = (struct waiting){.shard = shard};
            must(record.len == sizeof desk->waiting[n].request);
            memcpy(&desk->waiting[n].request, record.data, record.len);
            any = true;
        }
        if (any)
            spsc_release(requests);
    }
}

static bool
on_disk(const struct page_desk *desk, const struct waiting *waiting)
{
    if (unlikely(desk->again_ms != 0) && clock_mono_ms() < desk->again_ms)
        return false;
    return atomic_load(&desk->store->shared.positions[waiting->shard]) >= waiting->request.position;
}

bool
page_desk_is_due(struct page_desk *desk)
{
    uint32_t due = 0;
    struct store_shared *shared = &desk->store->shared;
    // Said before the look at the positions; the log thread stores positions before it looks here:
    // one of the two sees the other.
    atomic_store(&shared->waiting, desk->waiting_count);
    for (uint32_t i = 0; i < desk->waiting_count; i++) {
        desk->waiting[i].due = on_disk(desk, &desk->waiting[i]);
        due += desk->waiting[i].due;
    }
    if (due < desk->waiting_count && desk->store->sync_ms > 0)
        keeper_wake(&desk->keeper->log_thread);
    return due > 0;
}

// ---- Answers ------------------------------------------------------------------------------------

static void
tell_damage(struct page_desk *desk, const struct waiting *waiting, int rc)
{
    uint64_t now = clock_mono_ms();
    desk->again_ms = now + DAMAGE_PAUSE_MS;
    if (desk->told_ms != 0 && now - desk->told_ms < STORE_TELL_MS)
        return;
    desk->told_ms = now;
    store_say(desk->store, LOG_T_ERROR, "Persistence: cannot read queue %llu from %s: %s. %s",
              (unsigned long long)waiting->request.session, desk->store->path, env_text(rc),
              store_advice(rc));
}

// False: again later.
static bool
answer(struct page_desk *desk, struct state_txn *txn, const struct waiting *waiting)
{
    struct page *page;
    must(waiting->due && waiting->shard < desk->keeper->shard_count);
    uint64_t offset = clock_wall_ms() - clock_mono_ms();
    int rc = page_read(txn, &waiting->request, offset, &page);
    if (rc != 0) {
        tell_damage(desk, waiting, rc);
        return false;
    }
    uint32_t n = desk->page_count++;
    desk->pages = mem_grow(desk->pages, &desk->page_cap, desk->page_count, sizeof *desk->pages);
    desk->pages[n] = (struct ready_page){page, waiting->shard};
    atomic_fetch_add_explicit(&desk->keeper->pages, 1, memory_order_relaxed);
    return true;
}

void
page_desk_answer(struct page_desk *desk)
{
    struct state_txn txn;
    uint32_t left = 0;
    if (state_begin(&desk->store->state, false, &txn) != 0)
        return;
    uint32_t max = desk->store->sizes.pages;
    for (uint32_t i = 0; i < desk->waiting_count; i++) {
        struct waiting *waiting = &desk->waiting[i];
        if (!waiting->due || desk->page_count >= max || !answer(desk, &txn, waiting)) {
            waiting->due = false;
            desk->waiting[left++] = *waiting;
        }
    }
    state_abort(&txn);
    must(left <= desk->waiting_count);
    desk->waiting_count = left;
    atomic_store(&desk->store->shared.waiting, left);
}

void
page_desk_push(struct page_desk *desk)
{
    uint64_t woken = 0, full = 0;
    uint32_t left = 0;
    for (uint32_t i = 0; i < desk->page_count; i++) {
        struct ready_page *ready = &desk->pages[i];
        uint64_t bit = UINT64_C(1) << ready->shard;
        struct page **room = NULL;
        if (!(full & bit))
            room = spsc_reserve(desk->keeper->shards[ready->shard].pages, 0, sizeof *room);
        if (room) {
            *room = ready->page;
            woken |= bit;
        } else {
            full |= bit;
            desk->pages[left++] = *ready;
        }
    }
    must(left <= desk->page_count);
    desk->page_count = left;
    for (unsigned shard = 0; woken; shard++, woken >>= 1) {
        if (!(woken & 1))
            continue;
        (void)spsc_publish(desk->keeper->shards[shard].pages);
        broker_wake(desk->store->broker, shard);
    }
}

bool
page_desk_is_blocked(const struct page_desk *desk)
{
    return desk->page_count > 0;
}

bool
page_desk_ready(const struct page_desk *desk)
{
    for (unsigned shard = 0; shard < desk->keeper->shard_count; shard++)
        if (spsc_ready(desk->keeper->shards[shard].requests))
            return true;
    for (uint32_t i = 0; i < desk->waiting_count; i++)
        if (on_disk(desk, &desk->waiting[i]))
            return true;
    return false;
}
