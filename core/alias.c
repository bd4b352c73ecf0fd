// alias.c - Topic Aliases of one connection.
#include "core/alias.h"

#include "core/base/mem.h"

struct alias {
    uint8_t *topic; // NULL = never set
    uint32_t len;
    uint32_t hash;
};

struct alias_table {
    uint16_t max, used;
    uint8_t *index;         // open addressing, hash -> alias; towards clients only
    struct alias entries[]; // of alias i at i - 1
};

#define INDEX_SIZE ((size_t)ALIAS_OUT_MAX * 4)

struct alias_table *
alias_table_new(uint16_t max)
{
    must(max > 0);
    struct alias_table *table = mem_zalloc(sizeof *table + max * sizeof(struct alias));
    table->max = max;
    return table;
}

void
alias_table_free(struct alias_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 0; i < table->max; i++)
        mem_free(table->entries[i].topic);
    mem_free(table->index);
    mem_free(table);
}

void
alias_set(struct alias_table *table, uint16_t alias, struct slice topic)
{
    must(alias >= 1 && alias <= table->max && topic.len > 0);
    struct alias *entry = &table->entries[alias - 1];
    uint8_t *copy = mem_alloc(topic.len);
    memcpy(copy, topic.data, topic.len);
    mem_free(entry->topic);
    entry->topic = copy;
    entry->len = topic.len;
}

struct slice
alias_get(const struct alias_table *table, uint16_t alias)
{
    must(alias >= 1 && alias <= table->max);
    const struct alias *entry = &table->entries[alias - 1];
    return slice_of(entry->topic, entry->len);
}

uint16_t
alias_for_topic(struct alias_table *table, const struct hash_key *key, struct slice topic,
                bool *ret_new)
{
    must_hot(table->max <= ALIAS_OUT_MAX);
    if (!table->index)
        table->index = mem_zalloc(INDEX_SIZE);
    uint32_t hash = (uint32_t)hash_bytes(key, topic.data, topic.len);
    size_t slot = hash % INDEX_SIZE;
    *ret_new = false;
    for (; table->index[slot] != 0; slot = (slot + 1) % INDEX_SIZE) {
        const struct alias *entry = &table->entries[table->index[slot] - 1];
        if (entry->hash == hash && slice_equal(slice_of(entry->topic, entry->len), topic))
            return table->index[slot];
    }
    // First come, first served: replacing aliases would cost a full topic each time anyway.
    if (table->used == table->max)
        return 0;
    uint16_t alias = ++table->used;
    alias_set(table, alias, topic);
    table->entries[alias - 1].hash = hash;
    table->index[slot] = (uint8_t)alias;
    *ret_new = true;
    return alias;
}
