// session_page.c - what of a queue is on the disk alone, and how it comes back.
//
// One page at a time is under way for a session. Its request carries the address of a page_load,
// which outlives the session: when that ends first, the load says so and the page is dropped. What
// the shard journaled before the request is in the answer, so a page that reports the end says that
// nothing exists up to where the queue ended then; what came later is behind that.
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/journal.h"
#include "core/keeper.h"
#include "core/session.h"
#include "core/shard.h"

// Asked for when so few are left in memory, and so many at a time.
#define PAGE_LOW     128u
#define PAGE_ENTRIES 1024u
#define PAGE_BYTES   (1u << 20)

struct page_load {
    struct list node;        // in shard->page_loads
    struct session *session; // NULL: it ended
    uint64_t tail;           // of its queue when it asked
};

static bool
request(struct shard *shard, const struct page_request *request)
{
    struct keeper_shard *slot = &shard->broker->keeper->shards[shard->index];
    void *room = spsc_reserve(slot->requests, 0, sizeof *request);
    if (!room)
        return false;
    memcpy(room, request, sizeof *request);
    (void)spsc_publish(slot->requests);
    keeper_wake(&shard->broker->keeper->state_thread);
    return true;
}

void
session_want_page(struct session *session)
{
    struct shard *shard = session->shard;
    struct deliveries *out = &session->out;
    if (session->load || out->queued > PAGE_LOW || out->loaded == out->tail ||
        !journal_is_on(shard->journal))
        return;
    struct page_load *load = mem_alloc(sizeof *load);
    *load = (struct page_load){.session = session, .tail = out->tail};
    struct page_request wanted = {
        .session = session->number,
        .seq = out->loaded,
        .position = journal_barrier(shard->journal),
        .token = (uint64_t)(uintptr_t)load,
        .count_max = PAGE_ENTRIES,
        .bytes_max = PAGE_BYTES,
    };
    if (request(shard, &wanted)) {
        session->load = load;
        list_push(&shard->page_loads, &load->node);
        return;
    }
    mem_free(load);
    // Asked again when pages have come, which makes room.
    if (list_empty(&session->unfinished))
        list_push(&shard->page_waiters, &session->unfinished);
}

void
session_forget_page(struct session *session)
{
    if (session->load)
        session->load->session = NULL;
    session->load = NULL;
}

static void
load_entry(struct session *session, struct page_entry *from)
{
    struct deliveries *out = &session->out;
    bool resend = from->released || from->seq < out->sent_before;
    struct delivery entry = {
        .msg = from->msg,
        .share = session_share_handle(session, from->ordinal),
        .subscription_id_count = (uint16_t)min_u32(from->id_count, UINT16_MAX),
        .qos = from->qos & 3u,
        .state = from->released ? DELIVERY_RELEASED
                 : resend       ? DELIVERY_SENT
                                : DELIVERY_QUEUED,
        .retain = from->retain,
        .resend = resend,
    };
    must((from->msg == NULL) == from->released);
    if (entry.subscription_id_count == 1) {
        entry.subscription.id = from->ids[0];
    } else if (entry.subscription_id_count > 1) {
        entry.subscription.ids = from->ids;
        from->ids = NULL;
    }
    from->msg = NULL; // it is the entry's now
    deliveries_load(out, from->seq, &entry, entry.msg ? (uint32_t)msg_size(entry.msg) : 0);
}

static void
load_page(struct session *session, struct page *page, uint64_t asked_tail)
{
    struct deliveries *out = &session->out;
    for (uint32_t i = 0; i < page->count; i++)
        if (page->entries[i].seq >= out->loaded) // else it was dropped meanwhile
            load_entry(session, &page->entries[i]);
    uint64_t known = page->end ? max_u64(page->next, asked_tail) : page->next;
    if (known > out->loaded)
        deliveries_skip(out, min_u64(known, out->tail));
}

void
session_on_page(struct shard *shard, struct page *page)
{
    struct page_load *load =
        (struct page_load *)(uintptr_t)page->token; // NOLINT(performance-no-int-to-ptr)
    struct session *session = load->session;
    list_remove(&load->node);
    stat_add(&shard->stats.pages_loaded, 1);
    if (session) {
        must(session->magic == SESSION_MAGIC && session->load == load &&
             session->number == page->session);
        session->load = NULL;
        load_page(session, page, load->tail);
        if (!session->client)
            deliveries_unload(&session->out, QUEUE_LOADED_AWAY);
        session_continue(session);
    }
    mem_free(load);
    page_free(page);
}

void
session_loads_free(struct shard *shard)
{
    struct list *node;
    while ((node = list_pop(&shard->page_loads)) != NULL)
        mem_free(container_of(node, struct page_load, node));
}
