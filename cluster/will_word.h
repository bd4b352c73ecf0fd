// will_word.h - what nodes tell each other of Wills, in bytes.
//
// Job:    the form of what wills_tell.c says and wills.c hears.
// Owner:  none. Thread: any. Memory: none. Limits: nodes.h's.
//
//   wills     u64 incarnation, then any number of
//               u8 1, u64 claim, u16 client identifier, u8 flags, u16 port, u32 delay (s),
//                 u64 expiry (ms), u16 topic, u32 properties, u32 payload, u16 user: lengths;
//                 client identifier, topic, properties, payload, user: there is this Will
//               u8 0, u64 claim, u16 client identifier: length; client identifier: no longer
//               u8 2, or 3: u64 round, u16 shards: one of so many shards tells all that it has from
//                 here on; or has told. What was not told again when all have, is gone
//             To all: TOPIC_WILLS; to one node: TOPIC_WILLS, '/' and its uuid
//   willed    u64 claim, uuid of the node, client identifier: this Will was published
#ifndef TERN_CLUSTER_WILL_WORD_H
#define TERN_CLUSTER_WILL_WORD_H

#define WORD_HEAD   8u
#define ENTRY_HEAD  11u
#define WILL_HEAD   27u

#define WILL_QOS    3u // flags
#define WILL_RETAIN 4u
#define WILL_USER   8u  // there is one
#define WILL_RIGHTS 16u // what it may do came with the client, and was looked at there

enum { ENTRY_GONE, ENTRY_WILL, ENTRY_BEGIN, ENTRY_END };

#endif
