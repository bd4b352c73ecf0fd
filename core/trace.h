// trace.h - an operator watches a client's packets, a topic's messages, or the busiest topics.
//
// Job:    a trace is put on the shards by a question (control.h), which also fetches what they have
//         recorded since the last one. Nobody is waited for: what is not fetched in time is not
//         kept.
// Owner:  who asks has the trace; each shard that it is on has a reference, and what it recorded.
// Thread: each function says; the others are the shard's worker's.
// Memory: a shard and trace: TRACE_BYTES_MAX of records, or a struct hitters; counted in in_bytes.
// Limits: TRACES_MAX traces at a time, by whoever asks. Records beyond TRACE_BYTES_MAX are counted.
//
// Without a trace this costs one load a tick, and a bit of the client's for each small packet to
// it. `traced` of a client has its packets come by here one by one. While topics are watched,
// shard->verbatim_below is 0, so that each publication comes by trace_published, where those that
// are not watched go on as ever; the others lose the form in which they could be sent as they came,
// and so each of their deliveries comes by trace_publish_out.
#ifndef TERN_CORE_TRACE_H
#define TERN_CORE_TRACE_H

#include "core/control.h"

#define TRACES_MAX      4u
#define TRACE_BYTES_MAX (256u << 10)

struct client;
struct connect_view;
struct frame;
struct publish_out;
struct publish_view;
struct pub;
struct session;
struct trace;

enum trace_kind {
    TRACE_CLIENT, // packets of the client with this identifier
    TRACE_TOPIC,  // PUBLISH packets from and to clients, of topics that match the filter
    TRACE_TOP,    // no records: topics are counted (hitters.h)
};

struct trace_options {
    enum trace_kind kind;
    struct slice text; // identifier or filter; TOP: none. Copied
    uint64_t until_ms; // monotonic: nothing is recorded from then on
    uint32_t levels;   // TOP: only so many levels of a topic; 0 = all
    bool by_bytes;     // TOP: not by messages
};

// ---- Who asks (ON_ANY, one thread) --------------------------------------------------------------

struct trace *trace_new(const struct trace_options *options); // returns new
void trace_end(struct trace *trace); // takes; shards forget it in their next tick. NULL is fine
const struct trace_options *trace_options(const struct trace *trace); // borrowed

// ---- The shard ----------------------------------------------------------------------------------

// CONTROL_TRACE: puts question->trace on this shard if it is not there, and gives what was
// recorded: rows of trace_record.h; or, of TOP with question->last, counters: control_rows with
// topic, messages_in, messages_out (bytes), weight and over. True: done.
COLD bool trace_take(struct control_question *question, struct shard *shard);
// Forgets traces that have ended. Once a tick, while there are any.
COLD void trace_continue(struct shard *shard);
COLD void trace_shard_free(struct shard *shard); // the shard ends

// ---- What is recorded ---------------------------------------------------------------------------

// CONNECT, as it is known who comes, before it is decided on. While the shard has traces.
COLD void trace_connect(struct client *client, const struct connect_view *view);
// Of a client that is traced, before it is handled. Not CONNECT.
COLD void trace_packet_in(struct client *client, const struct frame *frame);
// To a client that is traced: whole packets, one or more.
COLD void trace_packets_out(struct client *client, const uint8_t *packets, uint32_t len);
// A PUBLISH that was written to a client. While the shard has traces.
COLD void trace_publish_out(struct client *client, const struct publish_out *out);
// What became of a client that is traced.
COLD void trace_event(struct client *client, const char *what);
// A Will goes out. While the shard has traces.
COLD void trace_will(const struct session *session, const struct pub *pub);
// A publication that is to be routed, while topics are watched. True: each delivery is looked at.
COLD bool trace_published(const struct client *client, const struct publish_view *view);
// More messages of the same topic.
COLD void trace_run(const struct shard *shard, struct slice topic, uint32_t messages,
                    uint64_t bytes);

#endif
