// alias.h - Topic Aliases of one connection, both directions.
//
// Job:    number -> topic for what the client sends, topic -> number for what it is sent.
// Owner:  the client. Thread: its shard's worker. Memory: a copy of each topic.
// Limits: the Topic Alias Maximum of each side; ALIAS_OUT_MAX towards clients.
#ifndef TERN_CORE_ALIAS_H
#define TERN_CORE_ALIAS_H

#include "core/base/hash.h"

#define ALIAS_OUT_MAX  64u
#define ALIAS_OUT_MASK 127u // what a number up to that needs

struct alias_table;

struct alias_table *alias_table_new(uint16_t max); // returns new; aliases 1..max
void alias_table_free(struct alias_table *table);  // takes; NULL is fine
// Client to server: sets the alias, or replaces its topic [MQTT5 3.3.2.3.4]. 1 <= alias <= max.
void alias_set(struct alias_table *table, uint16_t alias, struct slice topic);
// Its topic, borrowed until it is set anew; data NULL when it was never set.
struct slice alias_get(const struct alias_table *table, uint16_t alias);
// Server to client: the topic's alias, 0 when all are taken by others. *ret_new: the client
// does not know it yet, so this packet must carry the topic as well.
uint16_t alias_for_topic(struct alias_table *table, const struct hash_key *key, struct slice topic,
                         bool *ret_new);

#endif
