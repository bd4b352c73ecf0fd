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

bool
subscriber_on_publish(struct client *c, const struct wire_frame *frame)
{
    struct wire_publish publish;
    if (c->role != CLIENT_SUBSCRIBER ||
        !wire_publish(frame, (int)c->worker->run->options->version, &publish))
        return false;
    take(c, &publish);
    if (publish.qos == 1) {
        wire_put_ack(client_out(c), WIRE_PUBACK, publish.packet_id);
    } else if (publish.qos == 2) {
        // The message counts as delivered now; a second PUBLISH of it, with or without the same
        // packet identifier, is the ledger's duplicate: on one connection nothing may be resent.
        wire_put_ack(client_out(c), WIRE_PUBREC, publish.packet_id);
        counter_add(&c->worker->counters.open, 1);
    }
    return true;
}

bool
subscriber_on_pubrel(struct client *c, const struct wire_frame *frame)
{
    struct wire_ack ack;
    struct counters *counters = &c->worker->counters;
    if (c->role != CLIENT_SUBSCRIBER || counter_read(&counters->open) == 0 ||
        !wire_ack(frame, (int)c->worker->run->options->version, &ack))
        return false;
    wire_put_ack(client_out(c), WIRE_PUBCOMP, ack.packet_id);
    counter_sub(&counters->open, 1);
    return true;
}
