// publisher.c - the sending side of QoS 0, 1 and 2.
#include "bench/publisher.h"

#include "bench/message.h"
#include "bench/worker.h"

// Bytes gathered before a publisher waits for its socket: many messages per send, little enough
// that a slow broker's back-pressure is felt.
#define OUT_BYTES_MAX 65536u

// A packet to copy from. Empty payloads remove what is retained.
static void
encode(struct client *c, uint32_t payload_bytes)
{
    const struct run *run = c->worker->run;
    struct publisher *p = &c->publisher;
    char topic[SCENARIO_TEXT_MAX];
    uint32_t digits_at = c->role == ROLE_COMMANDER
                             ? scenario_command_topic(run->id, 0, topic)
                             : scenario_topic(&run->shape, run->id, c->number, 0, topic);
    p->packet.len = 0;
    p->id_at =
        wire_put_publish(&p->packet, (int)run->options->version, topic, p->qos, payload_bytes);
    p->payload_at = p->packet.len - payload_bytes;
    for (uint32_t i = p->payload_at; i < p->packet.len; i++)
        p->packet.data[i] = (uint8_t)('a' + i % 26);
    if (run->shape.retains)
        p->packet.data[0] |= WIRE_RETAIN;
    if (digits_at > 0) {
        const uint8_t *found = memmem(p->packet.data, p->packet.len, topic, strlen(topic));
        must(found != NULL);
        p->digits_at = (uint32_t)(found - p->packet.data) + digits_at;
    }
}

void
publisher_init(struct client *c)
{
    const struct run *run = c->worker->run;
    const struct shape *shape = &run->shape;
    struct publisher *p = &c->publisher;
    bool commands = c->role == ROLE_COMMANDER;
    uint32_t devices = shape->clients[ROLE_PUBLISHER];

    // The retained ones have to be there, acknowledged, before anybody comes for them.
    p->qos = (uint8_t)(shape->retains ? max_u64(run->options->qos, 1) : run->options->qos);
    p->sender = message_sender(commands ? FLOW_COMMANDS : FLOW_MAIN, c->number);
    p->topics = commands ? devices : shape->topics;
    p->first_stream = commands ? shape->streams : scenario_first_stream(shape, c->number);
    p->stream_count = commands ? devices : scenario_fan_out(shape);
    p->laggard = p->first_stream;
    p->random = run->id | 1;
    if (commands)
        p->sent = mem_zalloc(devices * sizeof *p->sent);
    encode(c, (uint32_t)run->options->size);
    for (uint32_t i = 0; i < p->stream_count && shape->streams > 0; i++)
        run->streams[p->first_stream + i].publisher = c;
    if (c->hears) // a device, and its will
        run->streams[scenario_stream_of(shape, FLOW_WILLS, c->number, 0)].publisher = c;
}

void
publisher_clear(struct client *c)
{
    encode(c, 0);
    client_will(c);
}

uint64_t
publisher_sent(const struct client *c, uint32_t stream)
{
    const struct publisher *p = &c->publisher;
    bool main = stream >= p->first_stream && stream < p->first_stream + p->stream_count;
    if (!main)
        return c->drops;
    return p->sent != NULL ? p->sent[stream - p->first_stream] : p->next_seq;
}

void
publisher_free(struct publisher *p)
{
    buffer_free(&p->packet);
    mem_free(p->sent);
    pending_free(&p->pending);
    *p = (struct publisher){0};
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
    const struct worker *w = c->worker;
    const struct run *run = w->run;
    struct publisher *p = &c->publisher;
    uint64_t allowed;
    if (p->next_seq >= w->limit)
        return 0;
    if (worker_paces(w, p->pacer)) {
        must_hot(p->due >= p->next_seq);
        allowed = p->due - p->next_seq;
    } else if (run->shape.acknowledges) {
        // There is nobody to deliver to: acknowledgements alone open the window.
        allowed = p->pending.id_max - p->pending.open;
        if (allowed < min_u64(run->burst, max_u64(p->pending.id_max / 8, 1)))
            return 0;
    } else {
        uint64_t waiting = p->next_seq - max_u64(slowest_reached(p, run), p->floor);
        allowed = waiting < run->window ? run->window - waiting : 0;
        // A message sent for each one delivered would cost the generator a send and the broker a
        // receive each, whatever either could do in batches.
        if (allowed < run->burst)
            return 0;
    }
    if (p->qos > 0)
        allowed = min_u64(allowed, p->pending.id_max - p->pending.open);
    return min_u64(allowed, w->limit - p->next_seq);
}

// Appends the message that was due then; id: 0 at QoS 0.
static void
put_message(const struct client *c, struct buffer *out, const struct pending_sent *sent,
            uint16_t id)
{
    const struct publisher *p = &c->publisher;
    struct message message = {
        .run = c->worker->run->id,
        .publisher = p->sender,
        .seq = sent->seq,
        .sent_us = sent->due_us + c->worker->run->clock_shift_us,
    };
    uint8_t *packet = buffer_add(out, p->packet.len);
    memcpy(packet, p->packet.data, p->packet.len);
    if (likely(p->payload_at < p->packet.len))
        message_write(packet + p->payload_at, &message);
    if (id != 0) {
        packet[p->id_at] = (uint8_t)(id >> 8);
        packet[p->id_at + 1] = (uint8_t)id;
    }
}

// Chooses the topic of the next message. Returns the message's sequence number.
static uint64_t
turn_topic(struct publisher *p, uint64_t seq)
{
    if (p->sent == NULL) {
        p->topic = (uint32_t)(seq % p->topics);
    } else {
        // xorshift64
        p->random ^= p->random << 13;
        p->random ^= p->random >> 7;
        p->random ^= p->random << 17;
        p->topic = (uint32_t)(p->random % p->topics);
        seq = p->sent[p->topic]++;
    }
    if (p->digits_at > 0)
        scenario_write_digits(p->packet.data + p->digits_at, p->topic);
    return seq;
}

static inline void
publish_one(struct client *c, struct buffer *out, bool paced)
{
    struct worker *w = c->worker;
    struct publisher *p = &c->publisher;
    uint64_t due_us = w->now_us, seq = p->next_seq;
    if (paced) {
        due_us = worker_due_us(w, p->pacer, seq * w->pacers[p->pacer].members + p->ordinal);
        if (worker_measures(w, due_us))
            histogram_record(&w->lateness, w->now_us - min_u64(due_us, w->now_us));
    }
    p->next_seq++;
    if (unlikely(p->digits_at > 0))
        seq = turn_topic(p, seq);
    struct pending_sent sent = {seq, due_us};
    uint16_t id = 0;
    if (p->qos > 0)
        id = pending_take(&p->pending, sent.seq, sent.due_us);
    put_message(c, out, &sent, id);
}

void
publisher_publish(struct client *c)
{
    must_hot(c->publishes && c->state == CLIENT_READY);
    struct publisher *p = &c->publisher;
    uint64_t first = p->next_seq, allowed = allowance(c);
    if (allowed == 0)
        return;
    struct buffer *out = client_out(c);
    bool paced = worker_paces(c->worker, p->pacer);
    while (allowed > 0 && (out->len == 0 || out->len + p->packet.len <= OUT_BYTES_MAX)) {
        publish_one(c, out, paced);
        allowed--;
    }
    struct counters *counters = &c->worker->counters;
    counter_add(&counters->published, p->next_seq - first);
    if (p->sent != NULL)
        counter_add(&counters->commands, p->next_seq - first);
    if (!c->worker->run->shape.retains)
        counter_add(&counters->expected,
                    (p->next_seq - first) * (p->sent != NULL ? 1 : p->stream_count));
    if (p->qos > 0)
        counter_add(&counters->open, p->next_seq - first);
}

static void
end_flow(struct client *c, uint16_t id)
{
    pending_end(&c->publisher.pending, id);
    counter_sub(&c->worker->counters.open, 1);
    client_will(c);
}

// The last acknowledgement has come.
static void
succeed(struct client *c, uint16_t id)
{
    struct worker *w = c->worker;
    const struct pending *pending = &c->publisher.pending;
    counter_add(&w->counters.acked, 1);
    if (pending->sent != NULL && worker_measures(w, pending->sent[id].due_us))
        histogram_record(&w->ack_latency, w->now_us - min_u64(pending->sent[id].due_us, w->now_us));
    end_flow(c, id);
}

bool
publisher_on_ack(struct client *c, const struct wire_frame *frame)
{
    struct wire_ack ack;
    const struct options *options = c->worker->run->options;
    if (!c->publishes || !wire_ack(frame, (int)options->version, &ack))
        return false;

    bool first = frame->type == (c->publisher.qos == 1 ? WIRE_PUBACK : WIRE_PUBREC);
    bool last = frame->type == WIRE_PUBCOMP;
    enum pending_state want = first ? PENDING_PUBLISHED : PENDING_RELEASED;
    if (pending_state(&c->publisher.pending, ack.packet_id) != want || !(first || last))
        return false;
    // A PUBREL sent again may meet a broker that had already forgotten the identifier: its right.
    if (ack.reason >= 0x80 && !(last && c->resumed)) {
        counter_add(&c->worker->counters.refused, 1);
        end_flow(c, ack.packet_id);
    } else if (frame->type == WIRE_PUBREC) {
        pending_release(&c->publisher.pending, ack.packet_id);
        wire_put_ack(client_out(c), WIRE_PUBREL, ack.packet_id);
    } else {
        succeed(c, ack.packet_id);
    }
    return true;
}

// ---- After a connection was lost --------------------------------------------------------------

// In the order of the first time [MQTT-4.6.0-1]. Where the session is gone, a message is a new one,
// and one that the broker had taken over with PUBREC is the broker's: to send it again could
// deliver it twice.
static void
resend(struct client *c, bool session_present)
{
    struct publisher *p = &c->publisher;
    struct buffer *out = client_out(c);
    uint32_t count = p->pending.open;
    must(p->digits_at == 0); // or each would have to remember its topic
    uint16_t *ids = mem_alloc((count + 1) * sizeof *ids);
    pending_in_order(&p->pending, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (pending_state(&p->pending, ids[i]) == PENDING_PUBLISHED) {
            uint32_t at = out->len;
            put_message(c, out, &p->pending.sent[ids[i]], ids[i]);
            if (session_present)
                out->data[at] |= WIRE_DUP;
        } else if (session_present) {
            wire_put_ack(out, WIRE_PUBREL, ids[i]);
        } else {
            counter_add(&c->worker->counters.acked, 1);
            end_flow(c, ids[i]);
        }
    }
    counter_add(&c->worker->counters.resent, count);
    mem_free(ids);
}

void
publisher_on_connected(struct client *c, uint16_t receive_max, bool session_present)
{
    const struct run *run = c->worker->run;
    struct publisher *p = &c->publisher;
    must(receive_max > 0);
    if (p->qos == 0)
        return;
    if (p->pending.states != NULL) {
        resend(c, session_present);
        client_will(c);
        return;
    }
    uint64_t id_max = min_u64(run->options->inflight, receive_max);
    // In the durable scenarios the window counts what is not acknowledged as well.
    if ((run->shape.durable || run->shape.acknowledges) && !worker_paces(c->worker, p->pacer))
        id_max = min_u64(id_max, run->window);
    pending_init(&p->pending, (uint32_t)id_max, run->shape.durable);
}

void
publisher_unstick(struct client *c)
{
    struct publisher *p = &c->publisher;
    uint64_t now_us = c->worker->now_us, reached = slowest_reached(p, c->worker->run);
    if (reached != p->stuck_at || p->stuck_since_us == 0) {
        p->stuck_at = reached;
        p->stuck_since_us = now_us;
    } else if (now_us - p->stuck_since_us >= PUBLISHER_STUCK_US) {
        p->floor = p->next_seq;
        p->stuck_since_us = now_us;
        client_will(c);
    }
}

uint64_t
publisher_unpromised(const struct client *c)
{
    const struct publisher *p = &c->publisher;
    const struct ledger *ledger = &c->worker->run->streams[p->first_stream].ledger;
    must(p->stream_count == 1 && (p->pending.sent != NULL || p->pending.open == 0));
    uint64_t count = 0;
    for (uint32_t id = 1; p->pending.open > 0 && id <= p->pending.id_max; id++) {
        bool open = p->pending.states[id] == PENDING_PUBLISHED;
        count += open && !ledger_seen(ledger, p->pending.sent[id].seq);
    }
    return count;
}
