// registry.h - the shard's sessions by client identifier.
//
// Job:    look-up by the full identifier. Owner: the shard. Thread: its worker.
// Memory: 8 bytes a session and the table's slack. Limits: sessions_max, by the caller.
#ifndef TERN_CORE_REGISTRY_H
#define TERN_CORE_REGISTRY_H

#include "core/base/hash.h"

struct registry;
struct session;

struct registry *registry_new(const struct hash_key *key); // returns new
void registry_free(struct registry *registry);             // takes; empty
uint32_t registry_hash(const struct registry *registry, struct slice id);
struct session *registry_find(const struct registry *registry, struct slice id, uint32_t hash);
void registry_add(struct registry *registry, struct session *session);
void registry_remove(struct registry *registry, struct session *session);
size_t registry_count(const struct registry *registry);
// fn may end the session it is given, no other.
void registry_each(struct registry *registry, void (*fn)(struct session *session));
// The same for the sessions of count buckets from `from` on. Returns where to go on, UINT32_MAX at
// the end. Sessions may come and go between two calls: those that are there throughout are seen.
uint32_t registry_each_from(struct registry *registry, uint32_t from, uint32_t count,
                            void (*fn)(struct session *session));
// The first session of a bucket, NULL where it is empty; the others follow by their chain. Buckets
// are in an order that growth keeps: from place 0 on and by *ret_next to REGISTRY_END, sessions
// that are there throughout are seen once, and the table may grow between any two calls.
#define REGISTRY_END (UINT64_C(1) << 32)
struct session *registry_bucket(const struct registry *registry, uint64_t place,
                                uint64_t *ret_next);

#endif
