// mosquitto_emit.c - what a mosquitto.db says, as records.
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/deliveries.h"
#include "core/mqtt.h"
#include "core/msg.h"
#include "core/packet_ids.h"
#include "persist/json_props.h"
#include "persist/mosquitto_model.h"

struct emitter {
    struct model *model;
    record_sink sink;
    void *arg;
    uint64_t last_message;
    uint8_t *props, *ids; // of the record under way
    uint32_t props_cap, ids_cap;
    struct flight {
        uint32_t entry;
        uint16_t mid;
        uint64_t seq;
    } * flights; // of the session under way: sent and not acknowledged
    uint32_t flight_count, flight_cap;
};

static err_t
emit(struct emitter *to, const struct record *record)
{
    must(record->kind != JOURNAL_VOID);
    return to->sink(to->arg, record);
}

// ---- Packet identifiers -------------------------------------------------------------------------

static bool
is_in_flight(const struct model_entry *entry)
{
    if (entry->incoming || entry->qos == 0 || entry->mid == 0)
        return false;
    switch (entry->state) {
    case STATE_WAIT_PUBACK:
    case STATE_WAIT_PUBREC:
    case STATE_RESEND_PUBREL:
    case STATE_WAIT_PUBCOMP:
        return true;
    case STATE_PUBLISH_QOS1: // about to be sent; with DUP: again
    case STATE_PUBLISH_QOS2:
        return entry->dup;
    default:
        return false;
    }
}

static bool
is_released(const struct model_entry *entry)
{
    return entry->qos == 2 &&
           (entry->state == STATE_RESEND_PUBREL || entry->state == STATE_WAIT_PUBCOMP);
}

static bool
is_received(const struct model_entry *entry)
{
    return entry->incoming && entry->qos == 2 && entry->mid != 0 &&
           entry->state != STATE_RESEND_PUBCOMP;
}

// Steps from one packet identifier forward to another, at least one: the same one is a whole turn.
static uint32_t
steps(const struct flight *from, const struct flight *to)
{
    uint32_t ahead = (to->mid + 65535u - from->mid) % 65535u;
    return ahead ? ahead : 65535u;
}

// Sequence numbers that keep the packet identifiers (deliveries_packet_id) and rise in this order.
// False: they would be further apart than packet identifiers are unique.
static bool
keep_ids(struct flight *flights, uint32_t count)
{
    must(count > 0 && flights[0].mid > 0);
    uint64_t seq = flights[0].mid - 1u;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            seq += steps(&flights[i - 1], &flights[i]);
        if (seq - (flights[0].mid - 1u) >= DELIVERIES_SPAN_MAX)
            return false;
        flights[i].seq = seq;
        must(deliveries_packet_id(seq) == flights[i].mid);
    }
    return true;
}

static int
compare_mids(const void *a, const void *b)
{
    const struct flight *first = a, *second = b;
    return (int)first->mid - (int)second->mid;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct flight *first = a, *second = b;
    return first->entry < second->entry ? -1 : first->entry > second->entry;
}

// The same in the order of the identifiers, beginning behind the widest gap between two of them.
static bool
keep_ids_sorted(struct flight *flights, uint32_t count)
{
    struct flight *turned = mem_alloc(count * sizeof *turned);
    qsort(flights, count, sizeof *flights, compare_mids);
    uint32_t first = 0, widest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t gap = steps(&flights[i], &flights[(i + 1) % count]);
        if (gap > widest) {
            widest = gap;
            first = (i + 1) % count;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        turned[i] = flights[(first + i) % count];
    memcpy(flights, turned, count * sizeof *flights);
    mem_free(turned);
    return keep_ids(flights, count);
}

// Our packet identifiers follow from sequence numbers, so that those of what is in flight are
// chosen to give Mosquitto's identifiers: a client that has seen a QoS 2 message recognises the
// copy, and PUBREL finds what it has stored. In the order of the file if that permits it, which it
// does unless a message has been in flight while 65,534 others came and went. Then the identifiers
// are kept and the order is not: a message again under another identifier would be delivered twice,
// and one under an identifier that the client still holds would be lost. When even that fails an
// identifier is there twice; no broker sent that, no client can be waiting for it, and numbers in
// the order of the file are as good as any. Returns the number after the last.
static uint64_t
number_flights(struct emitter *to)
{
    struct flight *flights = to->flights;
    uint32_t count = to->flight_count;
    if (count == 0)
        return 0;
    if (keep_ids(flights, count) || keep_ids_sorted(flights, count))
        return flights[count - 1].seq + 1;
    qsort(flights, count, sizeof *flights, compare_entries);
    for (uint32_t i = 0; i < count; i++)
        flights[i].seq = i;
    return count;
}

static void
collect_flights(struct emitter *to, const struct model_client *client)
{
    to->flight_count = 0;
    for (uint32_t i = client->first_entry; i != MODEL_NONE; i = to->model->entries[i].next) {
        const struct model_entry *entry = &to->model->entries[i];
        if (!is_in_flight(entry) || to->flight_count == DELIVERIES_SPAN_MAX)
            continue;
        to->flights =
            mem_grow(to->flights, &to->flight_cap, to->flight_count + 1, sizeof *to->flights);
        to->flights[to->flight_count++] = (struct flight){.entry = i, .mid = entry->mid};
    }
}

// ---- Messages -----------------------------------------------------------------------------------

static struct record_msg
message_of(struct emitter *to, const struct model_message *message)
{
    uint32_t client = model_find_client(to->model, message->source);
    struct record_msg msg = {
        .expires_ms = message->expires_ms,
        .arrived_ms = to->model->wall_ms, // the file does not say
        .publisher = client == MODEL_NONE ? 0 : to->model->clients[client].number,
        .qos = message->qos,
        .retain = message->retain,
        .topic = message->topic,
        .payload = message->payload,
    };
    uint32_t len;
    to->props = mem_grow(to->props, &to->props_cap, message->props.len + 1, 1);
    err_t err = msg_props_forward(message->props, to->props, &len);
    must(err == OK); // read_props walked them
    must(len == message->forwarded_len);
    msg.props = slice_of(to->props, len);
    return msg;
}

static err_t
emit_message(struct emitter *to, struct model_message *message)
{
    must(message->forwarded_len <= message->props.len);
    if (message->number != 0)
        return OK;
    message->number = ++to->last_message;
    return emit(to, &(struct record){
                        .kind = JOURNAL_MESSAGE,
                        .message = message->number,
                        .msg = message_of(to, message),
                    });
}

static struct slice
ids_of(struct emitter *to, const struct model_entry *entry)
{
    must(entry->ids + (uint64_t)entry->id_count <= to->model->id_count);
    to->ids = mem_grow(to->ids, &to->ids_cap, entry->id_count * 4 + 1, 1);
    must(to->ids != NULL);
    for (uint32_t i = 0; i < entry->id_count; i++)
        for (uint32_t byte = 0; byte < 4; byte++)
            to->ids[4 * i + byte] = (uint8_t)(to->model->ids[entry->ids + i] >> (8 * byte));
    return slice_of(to->ids, (size_t)entry->id_count * 4);
}

static err_t
emit_entry(struct emitter *to, uint64_t session, uint64_t seq, const struct model_entry *entry)
{
    struct model_message *message = &to->model->messages[entry->message];
    err_t err = emit_message(to, message);
    if (err)
        return err;
    return emit(to, &(struct record){
                        .kind = JOURNAL_ENQUEUE,
                        .session = session,
                        .seq = seq,
                        .message = message->number,
                        .size = (uint32_t)(sizeof(struct msg) + message->topic.len +
                                           message->forwarded_len + message->payload.len),
                        .qos = entry->qos,
                        .retain = entry->retain,
                        .ordinal = entry->ordinal,
                        .ids = ids_of(to, entry),
                    });
}

// ---- Sessions -----------------------------------------------------------------------------------

static err_t
emit_session(struct emitter *to, const struct model_client *client, uint64_t sent)
{
    must(client->number != 0 && client->expiry_s != 0);
    struct record record = {
        .kind = JOURNAL_SESSION,
        .session = client->number,
        .id = client->id,
        .user = client->user,
        // The file does not say; the next CONNECT will. What only MQTT 5 has makes it 5.
        .version = client->has_v5 || client->expiry_s != MQTT_EXPIRY_NEVER ? MQTT_5 : MQTT_311,
        .expiry_s = client->expiry_s,
        .expires_ms = RECORD_NEVER,
        .sent = sent,
    };
    if (client->expiry_s != MQTT_EXPIRY_NEVER)
        record.expires_ms = client->expires_ms
                                ? client->expires_ms
                                : to->model->wall_ms + UINT64_C(1000) * client->expiry_s;
    return emit(to, &record);
}

static err_t
emit_subs(struct emitter *to, const struct model_client *client)
{
    err_t err = OK;
    for (uint32_t i = client->first_sub; i != MODEL_NONE && err == OK;
         i = to->model->subs[i].next) {
        const struct model_sub *sub = &to->model->subs[i];
        err = emit(to, &(struct record){
                           .kind = JOURNAL_SUBSCRIBE,
                           .session = client->number,
                           .ordinal = sub->ordinal,
                           .filter = sub->filter,
                           .group = sub->group,
                           .qos = sub->qos,
                           .no_local = sub->no_local,
                           .retain_as_published = sub->retain_as_published,
                           .subscription_id = sub->subscription_id,
                       });
    }
    return err;
}

static err_t
emit_received(struct emitter *to, const struct model_client *client)
{
    err_t err = OK;
    struct packet_ids seen = {0}; // a damaged file may have one twice
    for (uint32_t i = client->first_entry; i != MODEL_NONE && err == OK;
         i = to->model->entries[i].next) {
        const struct model_entry *entry = &to->model->entries[i];
        if (is_received(entry) && packet_ids_add(&seen, entry->mid))
            err = emit(to, &(struct record){
                               .kind = JOURNAL_RECEIVED,
                               .session = client->number,
                               .packet_id = entry->mid,
                           });
    }
    packet_ids_free(&seen);
    return err;
}

static err_t
emit_flights(struct emitter *to, const struct model_client *client)
{
    for (uint32_t i = 0; i < to->flight_count; i++) {
        const struct flight *flight = &to->flights[i];
        const struct model_entry *entry = &to->model->entries[flight->entry];
        err_t err = emit_entry(to, client->number, flight->seq, entry);
        if (err == OK && is_released(entry))
            err = emit(to, &(struct record){
                               .kind = JOURNAL_STATE,
                               .session = client->number,
                               .seq = flight->seq,
                               .state = ENTRY_RELEASED,
                           });
        if (err)
            return err;
    }
    return OK;
}

static err_t
emit_queued(struct emitter *to, const struct model_client *client, uint64_t seq)
{
    uint32_t flights = to->flight_count;
    for (uint32_t i = client->first_entry; i != MODEL_NONE; i = to->model->entries[i].next) {
        const struct model_entry *entry = &to->model->entries[i];
        if (entry->incoming)
            continue;
        if (is_in_flight(entry) && flights > 0) { // emit_flights had it
            flights--;
            continue;
        }
        err_t err = emit_entry(to, client->number, seq++, entry);
        if (err)
            return err;
    }
    must(flights == 0);
    return OK;
}

static err_t
emit_client(struct emitter *to, const struct model_client *client)
{
    collect_flights(to, client);
    uint64_t sent = number_flights(to);
    err_t err = emit_session(to, client, sent);
    if (err == OK)
        err = emit_subs(to, client);
    if (err == OK)
        err = emit_received(to, client);
    if (err == OK)
        err = emit_flights(to, client);
    return err ? err : emit_queued(to, client, sent);
}

static err_t
emit_retained(struct emitter *to)
{
    for (uint32_t i = 0; i < to->model->retained_count; i++) {
        const struct model_message *message = &to->model->messages[to->model->retained[i]];
        struct record record = {
            .kind = JOURNAL_RETAIN,
            .order = i + UINT64_C(1),
            .msg = message_of(to, message),
        };
        record.msg.retain = true;
        err_t err = emit(to, &record);
        if (err)
            return err;
    }
    return OK;
}

err_t
model_emit(struct model *model, record_sink sink, void *arg)
{
    struct emitter to = {.model = model, .sink = sink, .arg = arg};
    err_t err = OK;
    for (uint32_t i = 0; i < model->client_count && err == OK; i++)
        if (model->clients[i].number != 0)
            err = emit_client(&to, &model->clients[i]);
    if (err == OK)
        err = emit_retained(&to);
    mem_free(to.props);
    mem_free(to.ids);
    mem_free(to.flights);
    return err;
}
