// keeper.c - between the shards and whoever keeps what they journal.
#include "core/keeper.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/host.h"
#include "core/msg.h"

#define REQUESTS_BYTES (1u << 16)
#define PAGES_BYTES    (1u << 14)

struct journal_batch *
journal_batch_new(void)
{
    return mem_zalloc(sizeof(struct journal_batch));
}

void
journal_batch_free(struct journal_batch *batch)
{
    if (!batch)
        return;
    mem_free(batch->bytes);
    mem_free(batch->bonds);
    mem_free(batch);
}

void
page_free(struct page *page)
{
    if (!page)
        return;
    for (uint32_t i = 0; i < page->count; i++) {
        msg_unref(page->entries[i].msg);
        mem_free(page->entries[i].ids);
    }
    mem_free(page);
}

struct keeper *
keeper_new(unsigned shard_count, bool on)
{
    must(shard_count >= 1 && shard_count <= TRIE_SHARDS_MAX);
    struct keeper *keeper = mem_alloc_aligned(CACHE_LINE, sizeof *keeper);
    keeper->on = on;
    keeper_set_window(keeper, HOST_WINDOW_MAX);
    keeper->shard_count = shard_count;
    keeper->log_thread.wake_fd = on ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    keeper->state_thread.wake_fd = on ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    must(!on || (keeper->log_thread.wake_fd >= 0 && keeper->state_thread.wake_fd >= 0));
    for (unsigned i = 0; on && i < shard_count; i++) {
        keeper->shards[i].requests = spsc_new(REQUESTS_BYTES);
        keeper->shards[i].pages = spsc_new(PAGES_BYTES);
    }
    return keeper;
}

void
keeper_set_window(struct keeper *keeper, uint64_t window_bytes)
{
    must(window_bytes > 0 && window_bytes <= HOST_WINDOW_MAX);
    keeper->batch_pause = (uint32_t)(KEEPER_BATCH_PAUSE * window_bytes / HOST_WINDOW_MAX);
    keeper->page_bytes = (uint32_t)(KEEPER_PAGE_BYTES * window_bytes / HOST_WINDOW_MAX);
    must(keeper->batch_pause > 0 && keeper->page_bytes > 0);
}

static void
drop_pages(struct spsc *pages)
{
    struct spsc_record record;
    while (spsc_take(pages, &record)) {
        struct page *page;
        must(record.len == sizeof page);
        memcpy(&page, record.data, sizeof page);
        page_free(page);
    }
    spsc_release(pages);
}

void
keeper_free(struct keeper *keeper)
{
    if (!keeper)
        return;
    for (unsigned i = 0; i < keeper->shard_count; i++) {
        struct keeper_shard *shard = &keeper->shards[i];
        journal_batch_free(atomic_load(&shard->offered));
        journal_batch_free(atomic_load(&shard->spare));
        if (!keeper->on)
            continue;
        drop_pages(shard->pages);
        spsc_free(shard->pages);
        spsc_free(shard->requests);
    }
    if (keeper->on) {
        (void)close(keeper->log_thread.wake_fd);
        (void)close(keeper->state_thread.wake_fd);
    }
    mem_free(keeper);
}

void
keeper_wake(struct keeper_thread *thread)
{
    // Pairs with the fence of the thread between its flag and its last look: one of the two sees
    // the other.
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&thread->asleep, memory_order_relaxed) &&
        atomic_exchange(&thread->asleep, 0)) {
        int rc = eventfd_write(thread->wake_fd, 1);
        must(rc == 0);
    }
}
