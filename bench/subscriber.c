// subscriber.c - the receiving side of QoS 0, 1 and 2.
#include "bench/subscriber.h"

#include "bench/message.h"
#include "bench/worker.h"

void
subscriber_init(struct client *c)
{
    struct subscriber *s = &c->subscriber;
    const struct run *run = c->worker->run;
    s->flow = c->role == ROLE_WATCHER     ? FLOW_WILLS
              : c->role == ROLE_PUBLISHER ? FLOW_COMMANDS
                                          : FLOW_MAIN;
    s->payload_bytes = s->flow == FLOW_WILLS ? MESSAGE_BYTES_MIN : (uint32_t)run->options->size;
    if (run->shape.shared && c->role == ROLE_SUBSCRIBER)
        s->next = mem_zalloc(run->shape.clients[ROLE_PUBLISHER] * sizeof *s->next);
    s->plain = c->role == ROLE_SUBSCRIBER && s->next == NULL;
}

// The stream that the message belongs to, NULL when it should not be here.
static struct stream *
find_stream(const struct client *c, const struct message *message)
{
    const struct run *run = c->worker->run;
    const struct subscriber *s = &c->subscriber;
    uint32_t publisher = message->publisher, number;
    if (message->run != run->id)
        return NULL;
    if (likely(s->plain)) {
        number = scenario_stream(&run->shape, publisher, c->number);
    } else {
        if (c->role == ROLE_COMER || publisher >> MESSAGE_FLOW_SHIFT != (uint32_t)s->flow)
            return NULL;
        publisher &= (1u << MESSAGE_FLOW_SHIFT) - 1;
        number = scenario_stream_of(&run->shape, s->flow, publisher, c->number);
    }
    return number == SCENARIO_NO_STREAM ? NULL : &run->streams[number];
}

static bool
note(struct stream *stream, uint64_t seq)
{
    bool first = ledger_note(&stream->ledger, seq);
    if (likely(first))
        atomic_store_explicit(&stream->reached, stream->ledger.next, memory_order_relaxed);
    return first;
}

// The group's ledger, which several workers may write. True when the message came the first time.
static bool
note_shared(struct client *c, struct stream *stream, const struct message *message)
{
    struct run *run = c->worker->run;
    struct ledger *ledger = &stream->ledger;
    pthread_mutex_t *mutex = &run->locks[message->publisher % RUN_LOCKS].mutex;
    bool locks = run->options->threads > 1;
    int error = locks ? pthread_mutex_lock(mutex) : 0;
    must(error == 0);
    bool first = ledger_note(ledger, message->seq);
    // Members are not equally fast: what is under way is what is missing so far, unless it may be
    // lost for ever.
    uint64_t missing = run->options->qos > 0 ? ledger->missing : 0;
    atomic_store_explicit(&stream->reached, ledger->next - missing, memory_order_relaxed);
    error = locks ? pthread_mutex_unlock(mutex) : 0;
    must(error == 0);
    // Where publishers send again after they have lost a connection, the second copy may reach this
    // member before another one has got the first: its number then says nothing of the order.
    uint64_t *next = &c->subscriber.next[message->publisher];
    if (first && message->seq < *next && !run->shape.durable)
        counter_add(&c->worker->counters.reordered, 1);
    *next = max_u64(*next, message->seq + 1);
    return first;
}

// One of another flow, or to a member of a group.
static bool
note_special(struct client *c, struct stream *stream, const struct message *message)
{
    struct worker *w = c->worker;
    bool first =
        c->subscriber.next != NULL ? note_shared(c, stream, message) : note(stream, message->seq);
    if (first && c->subscriber.flow == FLOW_COMMANDS && worker_measures(w, message->sent_us))
        histogram_record(&w->command_latency, w->now_us - min_u64(message->sent_us, w->now_us));
    return first;
}

static void
take(struct client *c, const struct wire_publish *publish)
{
    struct worker *w = c->worker;
    struct message message;
    struct stream *stream = NULL;
    if (message_read(publish->payload, publish->payload_len, &message) &&
        publish->qos == w->run->options->qos &&
        publish->payload_len == c->subscriber.payload_bytes) {
        message.sent_us -= w->run->clock_shift_us;
        if (unlikely(c->visit.open) && message.run == w->run->id) {
            visit_on_message(c, &message, publish->retain);
            return;
        }
        stream = find_stream(c, &message);
    }
    if (unlikely(stream == NULL)) {
        counter_add(&w->counters.stray, 1);
        return;
    }
    bool plain = c->subscriber.plain;
    if (!(likely(plain) ? note(stream, message.seq) : note_special(c, stream, &message)))
        return;
    counter_add(&w->counters.delivered, 1);
    if (worker_measures(w, message.sent_us) && c->subscriber.flow == FLOW_MAIN)
        histogram_record(&w->latency, w->now_us - min_u64(message.sent_us, w->now_us));
    if (stream->publisher != NULL && stream->publisher->worker == w)
        client_will(stream->publisher);
}

// ---- QoS 2 flows that outlive a connection ----------------------------------------------------

#define HELD_WORDS (65536u / 64)

void
subscriber_free(struct subscriber *s)
{
    mem_free(s->held);
    mem_free(s->next);
    *s = (struct subscriber){0};
}

void
subscriber_forget(struct client *c)
{
    for (uint32_t i = 0; c->subscriber.held != NULL && i < HELD_WORDS; i++) {
        uint64_t bits = (uint64_t)__builtin_popcountll(c->subscriber.held[i]);
        counter_sub(&c->worker->counters.open, bits);
        c->subscriber.held[i] = 0;
    }
}

// True when the identifier was not held.
static bool
hold(struct client *c, uint16_t id)
{
    if (c->subscriber.held == NULL)
        c->subscriber.held = mem_zalloc(HELD_WORDS * sizeof(uint64_t));
    uint64_t *word = &c->subscriber.held[id / 64], bit = 1ull << id % 64;
    bool held = (*word & bit) != 0;
    *word |= bit;
    return !held;
}

// True when the identifier was held.
static bool
unhold(struct client *c, uint16_t id)
{
    if (c->subscriber.held == NULL)
        return false;
    uint64_t *word = &c->subscriber.held[id / 64], bit = 1ull << id % 64;
    bool held = (*word & bit) != 0;
    *word &= ~bit;
    return held;
}

// ---- Handlers ---------------------------------------------------------------------------------

static void
on_publish_qos2(struct client *c, const struct wire_publish *publish)
{
    struct counters *counters = &c->worker->counters;
    bool again = c->worker->run->shape.durable && !hold(c, publish->packet_id);
    if (again && c->resumed) {
        // The broker could not know that it had arrived: not a second message.
        counter_add(&counters->redelivered, 1);
    } else {
        // The message counts as delivered now. Another PUBLISH of it, with or without the same
        // packet identifier, is the ledger's duplicate: on one connection nothing may be resent.
        take(c, publish);
        if (!again)
            counter_add(&counters->open, 1);
        c->visit.flows += c->visit.open;
    }
    wire_put_ack(client_out(c), WIRE_PUBREC, publish->packet_id);
}

bool
subscriber_on_publish(struct client *c, const struct wire_frame *frame)
{
    struct wire_publish publish;
    if (!c->hears || !wire_publish(frame, (int)c->worker->run->options->version, &publish))
        return false;
    if (publish.qos == 2)
        on_publish_qos2(c, &publish);
    else
        take(c, &publish);
    if (publish.qos == 1)
        wire_put_ack(client_out(c), WIRE_PUBACK, publish.packet_id);
    if (unlikely(c->visit.open))
        visit_ask(c);
    return true;
}

bool
subscriber_on_pubrel(struct client *c, const struct wire_frame *frame)
{
    struct wire_ack ack;
    struct counters *counters = &c->worker->counters;
    const struct run *run = c->worker->run;
    if (!c->hears || !wire_ack(frame, (int)run->options->version, &ack))
        return false;
    bool held = run->shape.durable ? unhold(c, ack.packet_id) : counter_read(&counters->open) > 0;
    // On a new connection the broker may not have seen our PUBCOMP.
    if (!held && !c->resumed)
        return false;
    wire_put_ack(client_out(c), WIRE_PUBCOMP, ack.packet_id);
    if (held)
        counter_sub(&counters->open, 1);
    if (unlikely(c->visit.open)) {
        c->visit.flows -= c->visit.flows > 0;
        visit_ask(c);
    }
    return true;
}
