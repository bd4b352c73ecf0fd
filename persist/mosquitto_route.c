// mosquitto_route.c - QoS 2 messages that Mosquitto had received and not yet handed on.
//
// Mosquitto routes a QoS 2 message when its PUBREL comes; this broker does when its PUBLISH does,
// and from then on keeps the packet identifier alone [MQTT5 figure 4.3: either is allowed]. So what
// waits for PUBREL in the file is handed on now: the PUBREL will only find the identifier.
#include "core/topic.h"
#include "persist/mosquitto_model.h"

// One member of each share group gets it: the one that comes first in the file.
static bool
is_picked(const struct model *model, uint32_t sub)
{
    must(sub < model->sub_count);
    const struct model_sub *mine = &model->subs[sub];
    must(mine->group.len > 0 && model->clients[mine->client].number != 0);
    for (uint32_t i = 0; i < sub; i++) {
        const struct model_sub *other = &model->subs[i];
        if (model->clients[other->client].number != 0 && slice_equal(other->group, mine->group) &&
            slice_equal(other->filter, mine->filter))
            return false;
    }
    return true;
}

// Does this subscription, an ordinary or a shared one, want the message?
static bool
wants(const struct model *model, uint32_t index, const struct model_message *message, bool shared)
{
    const struct model_sub *sub = &model->subs[index];
    if ((sub->group.len > 0) != shared || !topic_matches(sub->filter, message->topic))
        return false;
    if (shared)
        return is_picked(model, index);
    return !sub->no_local || !slice_equal(model->clients[sub->client].id, message->source);
}

// The entry is for this subscription, too.
static void
widen(struct model *model, struct model_entry *entry, const struct model_sub *sub)
{
    const struct model_message *message = &model->messages[entry->message];
    uint8_t qos = sub->qos < message->qos ? sub->qos : message->qos;
    if (entry->qos < qos)
        entry->qos = qos;
    entry->retain |= sub->retain_as_published && message->retain;
    must(entry->ids + entry->id_count == model->id_count);
    if (sub->subscription_id) {
        model_add_id(model, sub->subscription_id);
        entry->id_count++;
    }
}

static void
add(struct model *model, const struct model_entry *entry)
{
    must(entry->state == STATE_QUEUED && !entry->incoming);
    if (entry->qos > 0) // the client is not connected: QoS 0 is not for it
        model_add_entry(model, entry);
}

// All ordinary subscriptions of a client together are one delivery; each shared one is its own.
static void
route_to(struct model *model, uint32_t client, uint32_t index)
{
    const struct model_message message = model->messages[index];
    uint32_t first = model->clients[client].first_sub;
    struct model_entry all = {.client = client, .message = index, .state = STATE_QUEUED};
    all.ids = model->id_count;
    for (uint32_t i = first; i != MODEL_NONE; i = model->subs[i].next)
        if (wants(model, i, &message, false))
            widen(model, &all, &model->subs[i]);
    add(model, &all);
    for (uint32_t i = first; i != MODEL_NONE; i = model->subs[i].next) {
        if (!wants(model, i, &message, true))
            continue;
        struct model_entry one = {.client = client, .message = index, .state = STATE_QUEUED};
        one.ids = model->id_count;
        one.ordinal = model->subs[i].ordinal;
        widen(model, &one, &model->subs[i]);
        add(model, &one);
    }
}

static void
retain(struct model *model, uint32_t index)
{
    must(index < model->message_count);
    const struct model_message *message = &model->messages[index];
    for (uint32_t i = 0; i < model->retained_count; i++) {
        if (!slice_equal(model->messages[model->retained[i]].topic, message->topic))
            continue;
        model->retained[i] = model->retained[--model->retained_count];
        break;
    }
    if (message->payload.len > 0)
        model_add_retained(model, index);
}

void
model_route(struct model *model)
{
    uint32_t in_file = model->entry_count;
    for (uint32_t i = 0; i < in_file; i++) {
        struct model_entry entry = model->entries[i];
        if (!entry.incoming || entry.qos != 2 || entry.state == STATE_RESEND_PUBCOMP)
            continue; // QoS 1 was routed before it was acknowledged, PUBCOMP after PUBREL
        for (uint32_t client = 0; client < model->client_count; client++)
            if (model->clients[client].number != 0)
                route_to(model, client, entry.message);
        if (model->messages[entry.message].retain)
            retain(model, entry.message);
    }
}
