// publisher.c - the sending side of QoS 0, 1 and 2.
#include "bench/publisher.h"

#include "bench/message.h"
#include "bench/worker.h"

// Bytes gathered before a publisher waits for its socket: many messages per send, little enough
// that a slow broker's back-pressure is felt.
#define OUT_BYTES_MAX 65536u

enum id_state {
    ID_FREE,
    ID_PUBLISHED, // waits for PUBACK or PUBREC
    ID_RELEASED,  // waits for PUBCOMP
};

void
publisher_init(struct client *c)
{
    const struct run *run = c->worker->run;
    struct publisher *p = &c->publisher;
    char topic[SCENARIO_TEXT_MAX];

    scenario_topic(run->id, c->number, topic);
    p->first_stream = scenario_first_stream(&run->shape, c->number);
    p->stream_count = scenario_fan_out(&run->shape);
    p->laggard = p->first_stream;
    p->id_at = wire_put_publish(&p->packet, (int)run->options->version, topic,
                                (uint8_t)run->options->qos, (uint32_t)run->options->size);
    p->payload_at = p->packet.len - (uint32_t)run->options->size;
    for (uint32_t i = p->payload_at; i < p->packet.len; i++)
        p->packet.data[i] = (uint8_t)('a' + i % 26);
    for (uint32_t i = 0; i < p->stream_count; i++)
        run->streams[p->first_stream + i].publisher = c;
}

void
publisher_free(struct publisher *p)
{
    buffer_free(&p->packet);
    mem_free(p->ids);
    *p = (struct publisher){0};
}

void
publisher_on_connected(struct client *c, uint16_t receive_max)
{
    struct publisher *p = &c->publisher;
    must(receive_max > 0 && p->ids == NULL);
    if (c->worker->run->options->qos == 0)
        return;
    p->id_max = (uint32_t)min_u64(c->worker->run->options->inflight, receive_max);
    p->ids = mem_zalloc(p->id_max + 1);
}

// The lowest sequence number that some subscriber still waits for. The streams are searched only
// when the one that held the window shut has moved on.
static uint64_t
slowest_reached(struct publisher *p, const struct run *run)
{
    uint64_t slowest = counter_read(&run->streams[p->laggard].reached);
    if (slowest + run->window <= p->next_seq)
        return slowest;
    for (uint32_t i = p->first_stream; i < p->first_stream + p->stream_count; i++) {
        uint64_t reached = counter_read(&run->streams[i].reached);
        if (reached < slowest) {
            slowest = reached;
            p->laggard = i;
        }
    }
    return slowest;
}

// How many messages may be published now.
static uint64_t
allowance(struct client *c)
{
    const struct run *run = c->worker->run;
    struct publisher *p = &c->publisher;
    uint64_t allowed;
    if (run->options->rate > 0) {
        must_hot(p->due >= p->next_seq);
        allowed = p->due - p->next_seq;
    } else {
        uint64_t waiting = p->next_seq - slowest_reached(p, run);
        allowed = waiting < run->window ? run->window - waiting : 0;
        // A message sent for each one delivered would cost the generator a send and the broker a
        // receive each, whatever either could do in batches.
        if (allowed < run->burst)
            return 0;
    }
    if (p->ids != NULL)
        allowed = min_u64(allowed, p->id_max - p->open);
    return allowed;
}

// Identifiers are taken in turn. A free one exists: p->open < p->id_max.
static uint16_t
take_id(struct publisher *p)
{
    must_hot(p->open < p->id_max);
    do
        p->id_last = p->id_last == p->id_max ? 1 : p->id_last + 1;
    while (p->ids[p->id_last] != ID_FREE);
    p->ids[p->id_last] = ID_PUBLISHED;
    p->open++;
    return (uint16_t)p->id_last;
}

static void
publish_one(struct client *c, struct buffer *out)
{
    struct worker *w = c->worker;
    struct publisher *p = &c->publisher;
    uint64_t due_us = w->now_us;
    if (w->run->options->rate > 0) {
        due_us = worker_due_us(w, p->next_seq * w->publisher_count + p->ordinal);
        if (worker_measures(w, due_us))
            histogram_record(&w->lateness, w->now_us - min_u64(due_us, w->now_us));
    }
    struct message message = {
        .run = w->run->id,
        .publisher = c->number,
        .seq = p->next_seq++,
        .sent_us = due_us,
    };
    uint8_t *packet = buffer_add(out, p->packet.len);
    memcpy(packet, p->packet.data, p->packet.len);
    message_write(packet + p->payload_at, &message);
    if (p->ids != NULL) {
        uint16_t id = take_id(p);
        packet[p->id_at] = (uint8_t)(id >> 8);
        packet[p->id_at + 1] = (uint8_t)id;
    }
}

void
publisher_publish(struct client *c)
{
    must_hot(c->role == CLIENT_PUBLISHER && c->state == CLIENT_READY);
    struct publisher *p = &c->publisher;
    uint64_t first = p->next_seq, allowed = allowance(c);
    if (allowed == 0)
        return;
    struct buffer *out = client_out(c);
    while (allowed > 0 && (out->len == 0 || out->len + p->packet.len <= OUT_BYTES_MAX)) {
        publish_one(c, out);
        allowed--;
    }
    struct counters *counters = &c->worker->counters;
    counter_add(&counters->published, p->next_seq - first);
    if (p->ids != NULL)
        counter_add(&counters->open, p->next_seq - first);
}

static void
free_id(struct client *c, uint16_t id)
{
    must_hot(c->publisher.open > 0);
    c->publisher.ids[id] = ID_FREE;
    c->publisher.open--;
    counter_sub(&c->worker->counters.open, 1);
    client_will(c);
}

bool
publisher_on_ack(struct client *c, const struct wire_frame *frame)
{
    struct wire_ack ack;
    const struct publisher *p = &c->publisher;
    const struct options *options = c->worker->run->options;
    if (c->role != CLIENT_PUBLISHER || !wire_ack(frame, (int)options->version, &ack) ||
        p->ids == NULL || ack.packet_id > p->id_max)
        return false;

    bool first = frame->type == (options->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC);
    bool last = frame->type == WIRE_PUBCOMP;
    if (p->ids[ack.packet_id] != (first ? ID_PUBLISHED : ID_RELEASED) || !(first || last))
        return false;
    if (ack.reason >= 0x80)
        counter_add(&c->worker->counters.refused, 1);
    if (frame->type == WIRE_PUBREC && ack.reason < 0x80) {
        p->ids[ack.packet_id] = ID_RELEASED;
        wire_put_ack(client_out(c), WIRE_PUBREL, ack.packet_id);
    } else {
        free_id(c, ack.packet_id);
    }
    return true;
}
