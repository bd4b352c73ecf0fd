// subscriber.c - the receiving side of QoS 0, 1 and 2.
#include "bench/subscriber.h"

#include "bench/message.h"
#include "bench/worker.h"

// The stream that the message belongs to, NULL when it should not be here.
static struct stream *
find_stream(const struct client *c, const struct message *message)
{
    const struct run *run = c->worker->run;
    if (message->run != run->id)
        return NULL;
    uint32_t number = scenario_stream(&run->shape, message->publisher, c->number);
    return number == SCENARIO_NO_STREAM ? NULL : &run->streams[number];
}

static void
take(struct client *c, const struct wire_publish *publish)
{
    struct worker *w = c->worker;
    struct message message;
    struct stream *stream = NULL;
    if (message_read(publish->payload, publish->payload_len, &message) &&
        publish->qos == w->run->options->qos && publish->payload_len == w->run->options->size)
        stream = find_stream(c, &message);
    if (unlikely(stream == NULL)) {
        counter_add(&w->counters.stray, 1);
        return;
    }
    if (!ledger_note(&stream->ledger, message.seq))
        return;
    atomic_store_explicit(&stream->reached, stream->ledger.next, memory_order_relaxed);
    counter_add(&w->counters.delivered, 1);
    if (worker_measures(w, message.sent_us))
        histogram_record(&w->latency, w->now_us - min_u64(message.sent_us, w->now_us));
    if (stream->publisher->worker == w)
        client_will(stream->publisher);
}

// ---- QoS 2 flows that outlive a connection ----------------------------------------------------

#define HELD_WORDS (65536u / 64)

void
subscriber_free(struct subscriber *s)
{
    mem_free(s->held);
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
    }
    wire_put_ack(client_out(c), WIRE_PUBREC, publish->packet_id);
}

bool
subscriber_on_publish(struct client *c, const struct wire_frame *frame)
{
    struct wire_publish publish;
    if (c->role != CLIENT_SUBSCRIBER ||
        !wire_publish(frame, (int)c->worker->run->options->version, &publish))
        return false;
    if (publish.qos == 2) {
        on_publish_qos2(c, &publish);
        return true;
    }
    take(c, &publish);
    if (publish.qos == 1)
        wire_put_ack(client_out(c), WIRE_PUBACK, publish.packet_id);
    return true;
}

bool
subscriber_on_pubrel(struct client *c, const struct wire_frame *frame)
{
    struct wire_ack ack;
    struct counters *counters = &c->worker->counters;
    const struct run *run = c->worker->run;
    if (c->role != CLIENT_SUBSCRIBER || !wire_ack(frame, (int)run->options->version, &ack))
        return false;
    bool held = run->shape.durable ? unhold(c, ack.packet_id) : counter_read(&counters->open) > 0;
    // On a new connection the broker may not have seen our PUBCOMP.
    if (!held && !c->resumed)
        return false;
    wire_put_ack(client_out(c), WIRE_PUBCOMP, ack.packet_id);
    if (held)
        counter_sub(&counters->open, 1);
    return true;
}
