// explain.h - why a message reaches a client, or does not, for an operator who asks.
//
// Job:    what a client's rules say of a topic, who subscribes to it, and what would become of a
//         message to it. It asks what the broker itself asks when there is one, and changes
//         nothing.
// Owner:  none. Thread: the shard's worker. Memory: the rows of the question.
// Limits: those of the question; a session's matching subscriptions are looked at in one tick,
//         which costs what a message to it costs.
#ifndef TERN_CORE_EXPLAIN_H
#define TERN_CORE_EXPLAIN_H

#include "core/control.h"

struct session;
struct shard;

// Rows: what decides whether the session may publish to the topic.
void explain_publish(struct control_question *question, const struct session *session);
// Rows: what decides whether it may subscribe to the filter, and read what comes; where that is a
// topic, its subscriptions that match, and what would become of a message there.
void explain_subscribe(struct control_question *question, const struct session *session);
// Rows: subscribers of this shard that the topic matches, and what would become of a message to
// each. True: all have been looked at, or the answer is full.
bool explain_matches(struct control_question *question, struct shard *shard);

#endif
