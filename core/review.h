// review.h - rules have changed: every session and client is looked at again.
//
// Job:    gives sessions the rights of the rules in force, ends connections that would not be let
//         in any more.
// Owner:  the shard. Thread: its worker. Memory: none.
// Limits: REVIEW_BUCKETS buckets of the registry in one tick, so that a reload stops nobody.
#ifndef TERN_CORE_REVIEW_H
#define TERN_CORE_REVIEW_H

#include "core/base/base.h"

struct client;
struct shard;

// Looks whether there are other rules, and goes on with what is begun. Once a tick.
void review_continue(struct shard *shard);
// Is it at work? Then the worker does not sleep.
bool review_is_busy(const struct shard *shard);
// A session that is new: those of the rules for all listeners, if there are such.
struct session;
void review_rights(struct session *session);
// One client, which is new or whose rules are.
void review_client(struct client *client);

#endif
