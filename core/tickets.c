// tickets.c - acknowledgements that wait for other shards.
#include "core/tickets.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/session.h"
#include "core/shard.h"

// An answer that waits until the journal is safe up to position.
struct debt {
    uint64_t position, ticket;
    unsigned to;
};

struct told {
    uint64_t ticket;
    uint32_t outcome;
};

struct abandoned {
    struct session *session; // NULL: it makes no difference to anybody
    struct awaited awaited;
    uint16_t packet_id;
};

struct tickets {
    uint64_t last;
    struct debt *debts; // in order; [debt_head, debt_count)
    uint32_t debt_head, debt_count, debt_cap;
    struct told *told;
    uint32_t told_count, told_cap;
    struct abandoned *abandoned;
    uint32_t abandoned_cap; // shard->unsettled of them
    uint64_t answers[];     // of each shard, as of the last poll
};

struct tickets *
tickets_new(unsigned shard_count)
{
    return mem_zalloc(sizeof(struct tickets) + shard_count * sizeof(uint64_t));
}

void
tickets_free(struct tickets *tickets)
{
    if (!tickets)
        return;
    mem_free(tickets->debts);
    mem_free(tickets->told);
    mem_free(tickets->abandoned);
    mem_free(tickets);
}

// ---- The publisher's shard ----------------------------------------------------------------------

uint64_t
tickets_next(struct shard *shard)
{
    return ++shard->tickets->last;
}

bool
tickets_poll(struct shard *shard)
{
    const struct broker *broker = shard->broker;
    bool news = false;
    for (unsigned from = 0; from < broker->shard_count; from++) {
        // Acquire: the outcome records that were posted before the answer are in the mailbox.
        uint64_t answer =
            atomic_load_explicit(&broker->answers[from].ticket[shard->index], memory_order_acquire);
        news |= answer != shard->tickets->answers[from];
        shard->tickets->answers[from] = answer;
    }
    return news;
}

bool
tickets_pending(const struct shard *shard)
{
    const struct broker *broker = shard->broker;
    for (unsigned from = 0; from < broker->shard_count; from++)
        if (atomic_load_explicit(&broker->answers[from].ticket[shard->index],
                                 memory_order_acquire) != shard->tickets->answers[from])
            return true;
    return false;
}

bool
tickets_answered(const struct shard *shard, uint64_t shards, uint64_t ticket)
{
    for (; shards; shards &= shards - 1)
        if (shard->tickets->answers[__builtin_ctzll(shards)] < ticket)
            return false;
    return true;
}

enum outcome
tickets_outcome(struct shard *shard, uint64_t ticket)
{
    struct tickets *tickets = shard->tickets;
    enum outcome worst = OUTCOME_TAKEN;
    for (uint32_t i = 0; i < tickets->told_count;) {
        struct told *told = &tickets->told[i];
        if (told->ticket != ticket) {
            i++;
            continue;
        }
        worst = told->outcome > worst ? (enum outcome)told->outcome : worst;
        *told = tickets->told[--tickets->told_count];
    }
    return worst;
}

void
tickets_on_outcome(struct shard *shard, const struct spsc_record *record)
{
    struct tickets *tickets = shard->tickets;
    struct told told;
    must(record->len == sizeof told);
    memcpy(&told, record->data, sizeof told);
    tickets->told =
        mem_grow(tickets->told, &tickets->told_cap, tickets->told_count + 1, sizeof told);
    tickets->told[tickets->told_count++] = told;
}

void
tickets_forget(struct shard *shard)
{
    shard->tickets->told_count = 0;
}

// ---- Publishers that have gone ------------------------------------------------------------------

void
tickets_abandon(struct shard *shard, struct session *session, uint16_t packet_id,
                const struct awaited *awaited)
{
    struct tickets *tickets = shard->tickets;
    must(awaited->ticket != 0 && awaited->ticket <= tickets->last);
    tickets->abandoned = mem_grow(tickets->abandoned, &tickets->abandoned_cap, shard->unsettled + 1,
                                  sizeof *tickets->abandoned);
    tickets->abandoned[shard->unsettled++] =
        (struct abandoned){.session = session, .awaited = *awaited, .packet_id = packet_id};
}

bool
tickets_reclaim(struct shard *shard, const struct session *session, uint16_t packet_id,
                struct awaited *ret_awaited)
{
    struct tickets *tickets = shard->tickets;
    must_hot(session != NULL);
    for (uint32_t i = 0; i < shard->unsettled; i++) {
        struct abandoned *one = &tickets->abandoned[i];
        if (one->session != session || one->packet_id != packet_id)
            continue;
        *ret_awaited = one->awaited;
        *one = tickets->abandoned[--shard->unsettled];
        return true;
    }
    return false;
}

void
tickets_settle(struct shard *shard)
{
    struct tickets *tickets = shard->tickets;
    for (uint32_t i = 0; i < shard->unsettled;) {
        struct abandoned *one = &tickets->abandoned[i];
        if (!tickets_answered(shard, one->awaited.shards, one->awaited.ticket)) {
            i++;
            continue;
        }
        enum outcome outcome = tickets_outcome(shard, one->awaited.ticket);
        if (outcome == OUTCOME_REFUSED)
            stat_add(&shard->stats.publish_refused, 1);
        // Sent again it is a new message: the refused one is nowhere.
        if (outcome == OUTCOME_REFUSED && one->session)
            session_refuse_qos2(one->session, one->packet_id);
        *one = tickets->abandoned[--shard->unsettled];
    }
}

void
tickets_session_ended(struct shard *shard, const struct session *session)
{
    struct tickets *tickets = shard->tickets;
    for (uint32_t i = 0; i < shard->unsettled; i++)
        if (tickets->abandoned[i].session == session)
            tickets->abandoned[i].session = NULL;
}

// ---- The answering shard ------------------------------------------------------------------------

void
tickets_owe(struct shard *shard, unsigned to, uint64_t ticket, enum outcome outcome)
{
    must_hot(to != shard->index);
    struct tickets *tickets = shard->tickets;
    if (unlikely(outcome != OUTCOME_TAKEN)) {
        struct told told = {.ticket = ticket, .outcome = outcome};
        memcpy(mail_reserve(shard, to, RECORD_OUTCOME, sizeof told), &told, sizeof told);
    }
    uint64_t position = journal_last(shard->journal);
    struct debt *last =
        tickets->debt_count > tickets->debt_head ? &tickets->debts[tickets->debt_count - 1] : NULL;
    if (last && last->to == to && last->position == position) {
        last->ticket = ticket; // stands for the earlier one
        return;
    }
    if (tickets->debts && tickets->debt_head > 64 && tickets->debt_head * 2 > tickets->debt_count) {
        tickets->debt_count -= tickets->debt_head;
        memmove(tickets->debts, tickets->debts + tickets->debt_head,
                tickets->debt_count * sizeof *tickets->debts);
        tickets->debt_head = 0;
    }
    tickets->debts = mem_grow(tickets->debts, &tickets->debt_cap, tickets->debt_count + 1,
                              sizeof *tickets->debts);
    tickets->debts[tickets->debt_count++] =
        (struct debt){.position = position, .ticket = ticket, .to = to};
}

bool
tickets_owed(const struct shard *shard)
{
    return shard->tickets->debt_count > 0;
}

void
tickets_pay(struct shard *shard)
{
    struct tickets *tickets = shard->tickets;
    uint64_t safe = journal_safe(shard->journal);
    struct broker_answers *answers = &shard->broker->answers[shard->index];
    while (tickets->debt_head < tickets->debt_count) {
        const struct debt *debt = &tickets->debts[tickets->debt_head];
        // An outcome that still waits in an outbox must not be overtaken by the answer.
        if (debt->position > safe || !list_empty(&shard->outbox[debt->to]))
            return;
        atomic_store_explicit(&answers->ticket[debt->to], debt->ticket, memory_order_release);
        shard->wake_shards |= UINT64_C(1) << debt->to;
        tickets->debt_head++;
    }
    tickets->debt_head = tickets->debt_count = 0;
}
