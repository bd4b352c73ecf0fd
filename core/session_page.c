// session_page.c - what of a queue is on the disk alone, and how it comes back.
//
// One page at a time is under way for a session. Its request carries the address of a page_load,
// which outlives the session: when that ends first, the load says so and the page is dropped, or
// its shared messages go to others. What the shard journaled before the request is in the answer,
// so a page that reports the end says that nothing exists up to where the queue ended then; what
// came later is behind that.
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/keeper.h"
#include "core/route.h"
#include "core/session.h"
#include "core/session_move.h"
#include "core/shard.h"

// Asked for when so few are left in memory, and so many at a time.
#define PAGE_LOW     128u
#define PAGE_ENTRIES 1024u
#define PAGE_SHORT   8u // while memory is short, of so many times fewer bytes

struct page_load {
    struct list node;        // in shard->page_loads
    struct session *session; // NULL: it ended
    struct estate *estate;   // NULL: the page is for a session that lives
    uint64_t tail;           // of the queue when it was asked for
    bool reads;              // for the cluster's op `read`: nothing is loaded
};

// What an ended session leaves: messages on the disk that share groups may give to other members.
struct estate {
    struct list node; // in shard->estates while there is no room for its request
    uint64_t number;  // of the session
    uint64_t next;    // what its next page begins with
    uint64_t tail;    // of its queue
    uint32_t count;
    uint8_t listener; // of the session
    struct {
        uint32_t ordinal;
        struct trie_handle share;
    } shares[];
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

// Returns what stands for the page, or NULL when there is no room for the request now.
static struct page_load *
ask(struct shard *shard, uint64_t session, uint64_t seq, uint64_t tail)
{
    struct page_load *load = mem_zalloc(sizeof *load);
    load->tail = tail;
    uint32_t share = shard->level >= GOVERNOR_TRIM ? PAGE_SHORT : 1;
    struct page_request wanted = {
        .session = session,
        .seq = seq,
        .position = journal_barrier(shard->journal),
        .token = (uint64_t)(uintptr_t)load,
        .count_max = PAGE_ENTRIES,
        .bytes_max = shard->broker->keeper->page_bytes / share,
    };
    if (request(shard, &wanted)) {
        list_push(&shard->page_loads, &load->node);
        return load;
    }
    mem_free(load);
    return NULL;
}

void
session_want_page(struct session *session)
{
    struct shard *shard = session->shard;
    struct deliveries *out = &session->out;
    if (out->loaded == out->tail || out->queued > PAGE_LOW || !journal_is_on(shard->journal))
        return;
    must(session->durable); // or nothing would be on the disk
    struct session_kept *kept = session->kept;
    if (kept->load)
        return;
    kept->load = ask(shard, session->number, out->loaded, out->tail);
    if (kept->load)
        kept->load->session = session;
    else if (list_empty(&session->unfinished)) // asked again when pages come, which makes room
        list_push(&shard->page_waiters, &session->unfinished);
}

bool
session_read_page(struct session *session, uint64_t seq)
{
    struct shard *shard = session->shard;
    must(session->leaves && journal_is_on(shard->journal));
    if (session->kept->load)
        return false;
    session->kept->load = ask(shard, session->number, seq, session->out.tail);
    if (!session->kept->load)
        return false;
    session->kept->load->session = session;
    session->kept->load->reads = true;
    return true;
}

void
session_forget_page(struct session *session)
{
    struct session_kept *kept = session->kept;
    if (!kept || !kept->load)
        return;
    kept->load->session = NULL;
    kept->load = NULL;
}

static void
load_entry(struct session *session, struct page_entry *from)
{
    struct deliveries *out = &session->out;
    // At QoS 0 nothing is sent again: there is no identifier for it [MQTT-3.3.1-2].
    bool resend = from->released || ((from->qos & 3u) > 0 && from->seq < out->sent_before);
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
    session_pass_on(session);
}

static void
page_for_session(struct session *session, const struct page_load *load, struct page *page)
{
    must(session->magic == SESSION_MAGIC && session->kept->load == load &&
         session->number == page->session);
    session->kept->load = NULL;
    load_page(session, page, load->tail);
    if (!session->client)
        deliveries_unload(&session->out, QUEUE_AWAY_MESSAGES, QUEUE_AWAY_BYTES);
    session_continue(session);
}

// ---- What an ended session leaves ---------------------------------------------------------------

static void
ask_for_estate(struct shard *shard, struct estate *estate)
{
    struct page_load *load = ask(shard, estate->number, estate->next, estate->tail);
    if (load)
        load->estate = estate;
    else // asked again when pages come, which makes room
        list_push(&shard->estates, &estate->node);
}

void
session_estates_continue(struct shard *shard)
{
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &shard->estates);
    while ((node = list_pop(&now)) != NULL)
        ask_for_estate(shard, container_of(node, struct estate, node));
}

bool
session_leaves_estate(struct session *session)
{
    struct shard *shard = session->shard;
    struct deliveries *out = &session->out;
    if (!session->durable || session->shared_count == 0 || out->disk_count == 0)
        return false;
    struct estate *estate =
        mem_zalloc(sizeof *estate + session->shared_count * sizeof estate->shares[0]);
    estate->number = session->number;
    estate->listener = session->listener;
    estate->next = out->loaded;
    estate->tail = out->tail;
    for (uint32_t i = 0; i < session->sub_count; i++) {
        if (!session->subs[i].shared)
            continue;
        estate->shares[estate->count].ordinal = session->subs[i].ordinal;
        estate->shares[estate->count++].share = session->subs[i].handle;
    }
    ask_for_estate(shard, estate);
    return true;
}

static void
give(struct shard *shard, const struct estate *estate, const struct page_entry *entry)
{
    uint32_t i = 0;
    while (i < estate->count && estate->shares[i].ordinal != entry->ordinal)
        i++;
    if (i < estate->count && entry->msg)
        route_redispatch(shard, entry->msg, estate->shares[i].share, true);
    else
        stat_add(&shard_listener(shard, estate->listener)->dropped_session_end, 1);
}

static void
page_for_estate(struct shard *shard, struct page_load *load, const struct page *page)
{
    struct estate *estate = load->estate;
    for (uint32_t i = 0; i < page->count; i++)
        give(shard, estate, &page->entries[i]);
    if (!page->end) {
        estate->next = page->next;
        ask_for_estate(shard, estate);
        return;
    }
    // Only now: until here a crash brings the session back, and its end comes again.
    journal_session_end(shard->journal, estate->number);
    mem_free(estate);
}

void
session_on_page(struct shard *shard, struct page *page)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): it was made from that pointer, in ask
    struct page_load *load = (struct page_load *)(uintptr_t)page->token;
    list_remove(&load->node);
    stat_add(&shard->stats.pages_loaded, 1);
    if (load->session && load->reads) {
        struct cluster *cluster = shard->broker->cluster;
        load->session->kept->load = NULL;
        cluster->ops->read(cluster, load->session, page);
    } else if (load->session)
        page_for_session(load->session, load, page);
    else if (load->estate)
        page_for_estate(shard, load, page);
    mem_free(load);
    page_free(page);
}

void
session_loads_free(struct shard *shard)
{
    struct list *node;
    while ((node = list_pop(&shard->page_loads)) != NULL) {
        struct page_load *load = container_of(node, struct page_load, node);
        mem_free(load->estate);
        mem_free(load);
    }
    while ((node = list_pop(&shard->estates)) != NULL)
        mem_free(container_of(node, struct estate, node));
}
