// mosquitto_db.c - what a Mosquitto broker remembered, as our records: the model in between.
#include "persist/mosquitto_db.h"

#include <stdio.h>

#include "core/base/mem.h"

#include "persist/mosquitto_model.h"

// ---- Look-up: open addressing by hash, never deleted from ---------------------------------------

static void
index_put(struct model_index *index, struct model_slot slot)
{
    must(slot.item != 0 && index->count < index->cap);
    uint32_t i = slot.hash & (index->cap - 1);
    while (index->slots[i].item != 0)
        i = (i + 1) & (index->cap - 1);
    index->slots[i] = slot;
}

static void
index_add(struct model_index *index, uint32_t hash, uint32_t item)
{
    if (index->count * UINT64_C(2) >= index->cap) {
        struct model_index grown = {.cap = index->cap ? index->cap * 2 : 64};
        must(grown.cap > index->cap);
        grown.slots = mem_zalloc(grown.cap * sizeof *grown.slots);
        for (uint32_t i = 0; i < index->cap; i++)
            if (index->slots[i].item != 0)
                index_put(&grown, index->slots[i]);
        grown.count = index->count;
        mem_free(index->slots);
        *index = grown;
    }
    index_put(index, (struct model_slot){hash, item + 1});
    index->count++;
}

// The next item with this hash, from slot *at on, which starts as the hash; MODEL_NONE: no more.
static uint32_t
index_next(const struct model_index *index, uint32_t hash, uint32_t *at)
{
    must(index->count <= index->cap / 2);
    if (index->cap == 0)
        return MODEL_NONE;
    for (;;) {
        const struct model_slot *slot = &index->slots[*at & (index->cap - 1)];
        ++*at;
        if (slot->item == 0)
            return MODEL_NONE;
        if (slot->hash == hash)
            return slot->item - 1;
    }
}

static uint32_t
hash_text(const struct model *model, struct slice text)
{
    return (uint32_t)hash_bytes(&model->key, text.data, text.len);
}

static uint32_t
hash_number(const struct model *model, uint64_t number)
{
    return (uint32_t)hash_u64(&model->key, number);
}

uint32_t
model_find_client(const struct model *model, struct slice id)
{
    uint32_t hash = hash_text(model, id), at = hash, i;
    while ((i = index_next(&model->by_id, hash, &at)) != MODEL_NONE)
        if (slice_equal(model->clients[i].id, id))
            break;
    return i;
}

uint32_t
model_find_message(const struct model *model, uint64_t id)
{
    uint32_t hash = hash_number(model, id), at = hash, i;
    while ((i = index_next(&model->by_store_id, hash, &at)) != MODEL_NONE)
        if (model->messages[i].id == id)
            break;
    return i;
}

// ---- Adding -------------------------------------------------------------------------------------

void
model_add_client(struct model *model, const struct model_client *client)
{
    must(model_find_client(model, client->id) == MODEL_NONE);
    uint32_t i = model->client_count++;
    model->clients =
        mem_grow(model->clients, &model->client_cap, model->client_count, sizeof *model->clients);
    model->clients[i] = *client;
    model->clients[i].first_sub = model->clients[i].last_sub = MODEL_NONE;
    model->clients[i].first_entry = model->clients[i].last_entry = MODEL_NONE;
    index_add(&model->by_id, hash_text(model, client->id), i);
}

void
model_add_message(struct model *model, const struct model_message *message)
{
    must(model_find_message(model, message->id) == MODEL_NONE);
    uint32_t i = model->message_count++;
    model->messages = mem_grow(model->messages, &model->message_cap, model->message_count,
                               sizeof *model->messages);
    model->messages[i] = *message;
    index_add(&model->by_store_id, hash_number(model, message->id), i);
}

void
model_add_sub(struct model *model, const struct model_sub *sub)
{
    must(sub->client < model->client_count);
    struct model_client *client = &model->clients[sub->client];
    uint32_t i = model->sub_count++;
    model->subs = mem_grow(model->subs, &model->sub_cap, model->sub_count, sizeof *model->subs);
    model->subs[i] = *sub;
    model->subs[i].next = MODEL_NONE;
    model->subs[i].ordinal = ++client->sub_count;
    if (client->last_sub == MODEL_NONE)
        client->first_sub = i;
    else
        model->subs[client->last_sub].next = i;
    client->last_sub = i;
    client->has_v5 |= sub->subscription_id != 0 || sub->no_local || sub->retain_as_published;
}

void
model_add_entry(struct model *model, const struct model_entry *entry)
{
    must(entry->client < model->client_count && entry->message < model->message_count);
    struct model_client *client = &model->clients[entry->client];
    uint32_t i = model->entry_count++;
    model->entries =
        mem_grow(model->entries, &model->entry_cap, model->entry_count, sizeof *model->entries);
    model->entries[i] = *entry;
    model->entries[i].next = MODEL_NONE;
    if (client->last_entry == MODEL_NONE)
        client->first_entry = i;
    else
        model->entries[client->last_entry].next = i;
    client->last_entry = i;
}

void
model_add_retained(struct model *model, uint32_t message)
{
    must(message < model->message_count);
    model->retained = mem_grow(model->retained, &model->retained_cap, model->retained_count + 1,
                               sizeof *model->retained);
    model->retained[model->retained_count++] = message;
}

void
model_add_id(struct model *model, uint32_t subscription_id)
{
    must(subscription_id != 0);
    model->ids = mem_grow(model->ids, &model->id_cap, model->id_count + 1, sizeof *model->ids);
    model->ids[model->id_count++] = subscription_id;
}

void
model_free(struct model *model)
{
    mem_free(model->clients);
    mem_free(model->messages);
    mem_free(model->subs);
    mem_free(model->entries);
    mem_free(model->retained);
    mem_free(model->ids);
    mem_free(model->by_id.slots);
    mem_free(model->by_store_id.slots);
}

// ---- The whole ----------------------------------------------------------------------------------

static const uint8_t magic[15] = "\0\xb5\0mosquitto db";

bool
mosquitto_db_recognise(struct slice file)
{
    return file.len >= sizeof magic && memcmp(file.data, magic, sizeof magic) == 0;
}

// A session without an interval ended with its connection, and that with Mosquitto.
static void
number_sessions(struct model *model)
{
    uint64_t last = 0;
    must(model->version != 0);
    for (uint32_t i = 0; i < model->client_count; i++)
        if (model->clients[i].expiry_s != 0)
            model->clients[i].number = ++last;
}

err_t
mosquitto_db_read(struct slice file, uint64_t wall_ms, record_sink sink, void *arg,
                  char problem[static MOSQUITTO_DB_PROBLEM_MAX])
{
    problem[0] = '\0';
    if (!mosquitto_db_recognise(file)) {
        (void)snprintf(problem, MOSQUITTO_DB_PROBLEM_MAX,
                       "byte 0: this is no mosquitto.db, which begins with 00 b5 00 \"mosquitto "
                       "db\"");
        return ERR_MALFORMED;
    }
    struct model model = {.file = file, .wall_ms = wall_ms, .problem = problem};
    err_t err = hash_key_random(&model.key);
    if (err == OK)
        err = model_read(&model);
    if (err == OK) {
        number_sessions(&model);
        model_route(&model);
        err = model_emit(&model, sink, arg);
    }
    if (err == OK && model.strays > 0)
        (void)snprintf(problem, MOSQUITTO_DB_PROBLEM_MAX,
                       "left out: %u messages, subscriptions or sessions that refer to nothing in "
                       "the file or have no name",
                       model.strays);
    model_free(&model);
    return err;
}
