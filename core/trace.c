// trace.c - an operator watches a client's packets, a topic's messages, or the busiest topics.
#include "core/trace.h"

#include "core/base/mem.h"

#include "core/alias.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/cluster.h"
#include "core/codec.h"
#include "core/hitters.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/topic.h"
#include "core/trace_record.h"

#define TRACE_MAGIC 0x54524143u

struct trace {
    uint32_t magic;
    _Atomic uint32_t refs;
    _Atomic bool ended;
    struct trace_options options; // text is owned
};

// A trace that is on this shard. trace NULL: none is.
struct watch {
    struct trace *trace;
    struct control_rows rows; // that were not fetched yet
    uint64_t lost;            // records that were not kept, since then
    struct hitters *hitters;
};

struct watching {
    struct watch watches[TRACES_MAX];
    uint64_t records; // since there are any traces
};

// ---- The trace ----------------------------------------------------------------------------------

struct trace *
trace_new(const struct trace_options *options)
{
    struct trace *trace = mem_zalloc(sizeof *trace);
    trace->magic = TRACE_MAGIC;
    atomic_store(&trace->refs, 1);
    trace->options = *options;
    trace->options.text.data = (const uint8_t *)mem_strndup(
        options->text.len > 0 ? (const char *)options->text.data : "", options->text.len);
    return trace;
}

static void
unref(struct trace *trace)
{
    must(trace->magic == TRACE_MAGIC);
    if (atomic_fetch_sub(&trace->refs, 1) > 1)
        return;
    mem_free(unconst(trace->options.text.data));
    trace->magic = 0;
    mem_free(trace);
}

void
trace_end(struct trace *trace)
{
    if (!trace)
        return;
    atomic_store(&trace->ended, true);
    unref(trace);
}

const struct trace_options *
trace_options(const struct trace *trace)
{
    must(trace->magic == TRACE_MAGIC);
    return &trace->options;
}

// ---- On the shard -------------------------------------------------------------------------------

static void
set_traced(struct client *client, bool traced)
{
    client->traced = traced;
    client->traced_out = traced;
    if (!traced)
        client->traces = 0;
}

// While topics are watched no publication goes by as it came.
static void
look_at_publications(struct shard *shard)
{
    bool topics = false;
    for (unsigned i = 0; shard->watching && i < TRACES_MAX; i++) {
        const struct trace *trace = shard->watching->watches[i].trace;
        topics |= trace && trace->options.kind != TRACE_CLIENT;
    }
    shard->verbatim_below = topics ? 0 : SHARD_VERBATIM_BELOW;
}

static void
forget(struct shard *shard, struct watch *watch)
{
    must(watch->trace && shard->in_bytes >= watch->rows.cap);
    shard->in_bytes -= watch->rows.cap;
    if (watch->hitters)
        shard->in_bytes -= HITTERS_BYTES_MAX;
    control_rows_free(&watch->rows);
    hitters_free(watch->hitters);
    unref(watch->trace);
    *watch = (struct watch){0};
}

static void
forget_ended(struct shard *shard, bool all)
{
    struct watching *watching = shard->watching;
    unsigned left = 0;
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct watch *watch = &watching->watches[i];
        if (watch->trace && (all || atomic_load(&watch->trace->ended)))
            forget(shard, watch);
        left += watch->trace != NULL;
    }
    if (left == 0) {
        mem_free(watching);
        shard->watching = NULL;
    }
    look_at_publications(shard);
}

void
trace_continue(struct shard *shard)
{
    bool ended = false;
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        const struct trace *trace = shard->watching->watches[i].trace;
        ended |= trace && atomic_load_explicit(&trace->ended, memory_order_relaxed);
    }
    if (ended)
        forget_ended(shard, false);
}

void
trace_shard_free(struct shard *shard)
{
    if (shard->watching)
        forget_ended(shard, true);
    must(shard->watching == NULL);
}

// The trace's place on this shard, where it is put if there is one free. NULL: there is none yet,
// because one that has ended is still there on its account.
static struct watch *
find_or_put(struct shard *shard, struct trace *trace)
{
    struct watch *empty = NULL;
    if (shard->watching)
        trace_continue(shard);
    if (!shard->watching)
        shard->watching = mem_zalloc(sizeof *shard->watching);
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct watch *watch = &shard->watching->watches[i];
        if (watch->trace == trace)
            return watch;
        if (!watch->trace && !empty)
            empty = watch;
    }
    must(empty != NULL); // who asks has no more of them
    atomic_fetch_add(&trace->refs, 1);
    empty->trace = trace;
    if (trace->options.kind == TRACE_TOP) {
        empty->hitters = hitters_new(&shard->broker->key);
        shard->in_bytes += HITTERS_BYTES_MAX;
    }
    look_at_publications(shard);
    return empty;
}

// Who is connected already.
static void
mark_client(struct shard *shard, struct slice id)
{
    struct session *session =
        registry_find(shard->registry, id, registry_hash(shard->registry, id));
    if (session && session->client && !session->node)
        set_traced(session->client, true);
}

static void
give_records(struct control_question *question, struct shard *shard, struct watch *watch)
{
    struct control_rows *to = &question->rows;
    question->lost += watch->lost;
    watch->lost = 0;
    if (watch->rows.len == 0)
        return;
    to->bytes = mem_grow(to->bytes, &to->cap, to->len + watch->rows.len, 1);
    memcpy(to->bytes + to->len, watch->rows.bytes, watch->rows.len);
    to->len += watch->rows.len;
    to->count += watch->rows.count;
    shard->in_bytes -= watch->rows.cap;
    control_rows_free(&watch->rows);
}

// True: all counters were given.
static bool
give_counters(struct control_question *question, const struct watch *watch)
{
    struct control_place *place = &question->place;
    struct hitter hitter;
    while (!control_is_full(question)) {
        if (!hitters_at(watch->hitters, (uint32_t)place->number, &hitter))
            return true;
        place->number++;
        control_rows_add(&question->rows, &(struct control_row){.topic = hitter.topic,
                                                                .messages_in = hitter.messages,
                                                                .messages_out = hitter.bytes,
                                                                .weight = hitter.weight,
                                                                .over = hitter.over});
    }
    return false;
}

bool
trace_take(struct control_question *question, struct shard *shard)
{
    struct trace *trace = question->trace;
    struct watch *watch = find_or_put(shard, trace);
    bool all = true;
    if (trace->options.kind == TRACE_CLIENT)
        mark_client(shard, trace->options.text);
    if (trace->options.kind != TRACE_TOP)
        give_records(question, shard, watch);
    else if (question->last)
        all = give_counters(question, watch);
    if (all)
        question->place = (struct control_place){.bucket = REGISTRY_END};
    return true;
}

// ---- Records ------------------------------------------------------------------------------------

static void
keep(struct shard *shard, struct watch *watch, struct trace_record *record)
{
    struct control_rows *rows = &watch->rows;
    if (rows->len >= TRACE_BYTES_MAX) {
        watch->lost++;
        return;
    }
    record->at_ms = shard->now_ms;
    record->number = ++shard->watching->records;
    shard->in_bytes -= rows->cap;
    trace_record_add(rows, record);
    shard->in_bytes += rows->cap;
}

static bool
is_on(const struct shard *shard, const struct watch *watch, enum trace_kind kind)
{
    const struct trace *trace = watch->trace;
    return trace && trace->options.kind == kind && shard->now_ms < trace->options.until_ms;
}

// Before it has a session, a client is known by the bits that its CONNECT was given.
static bool
is_of(const struct watch *watch, const struct client *client, unsigned place)
{
    if (!client->session)
        return client->traces >> place & 1;
    return slice_equal(session_id(client->session), watch->trace->options.text);
}

static void
name_client(const struct client *client, struct trace_record *record)
{
    record->version = client->version;
    record->node = client->link == LINK_IN || client->link == LINK_OUT;
    if (!client->session)
        return;
    struct slice id = session_id(client->session);
    bool long_name = record->node && id.len > NODE_ID_LEN;
    record->client = long_name ? slice_of(id.data + id.len - NODE_ID_LEN, NODE_ID_LEN) : id;
}

// For each trace of this client.
static void
record_client(struct client *client, struct trace_record *record)
{
    struct shard *shard = client->shard;
    bool traced = false;
    name_client(client, record);
    for (unsigned i = 0; shard->watching && i < TRACES_MAX; i++) {
        struct watch *watch = &shard->watching->watches[i];
        if (!is_on(shard, watch, TRACE_CLIENT) || !is_of(watch, client, i))
            continue;
        traced = true;
        if (!client->session)
            record->client = watch->trace->options.text;
        keep(shard, watch, record);
    }
    if (!traced)
        set_traced(client, false); // they are over
}

// For each trace of this topic.
static bool
record_topic(struct shard *shard, struct trace_record *record)
{
    bool traced = false;
    for (unsigned i = 0; shard->watching && i < TRACES_MAX; i++) {
        struct watch *watch = &shard->watching->watches[i];
        if (!is_on(shard, watch, TRACE_TOPIC) ||
            !topic_matches(watch->trace->options.text, record->topic))
            continue;
        traced = true;
        keep(shard, watch, record);
    }
    return traced;
}

// ---- What comes by ------------------------------------------------------------------------------

void
trace_connect(struct client *client, const struct connect_view *view)
{
    struct shard *shard = client->shard;
    const struct listener_config *listener = &shard->config->listeners[client->listener_index];
    struct connect_view known = *view;
    struct trace_room room;
    struct trace_record record;
    if (client->replayed || listener->node)
        return; // it was recorded; or it is another node
    err_t err = client_identify(listener, client->name, &known);
    if (err != OK)
        known = *view; // it will be refused, by the name that it says
    client->traces = 0;
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        const struct watch *watch = &shard->watching->watches[i];
        bool its = is_on(shard, watch, TRACE_CLIENT) && known.client_id.len > 0 &&
                   slice_equal(watch->trace->options.text, known.client_id);
        client->traces |= (uint8_t)(its << i);
    }
    if (client->traces == 0)
        return;
    set_traced(client, true);
    trace_describe_connect(&known, &room, &record);
    record.way = TRACE_IN;
    record.peer = slice_str(client->peer);
    record_client(client, &record);
}

void
trace_packet_in(struct client *client, const struct frame *frame)
{
    struct trace_room room;
    struct trace_record record;
    must(frame->type != MQTT_CONNECT || client->state == CLIENT_CONNECTED);
    trace_describe(frame, frame->body.len, client->version, &room, &record);
    record.way = TRACE_IN;
    if (frame->type == MQTT_PUBLISH && record.topic.len == 0 && record.topic_alias > 0 &&
        client->aliases_in &&
        record.topic_alias <=
            client->shard->config->listeners[client->listener_index].topic_alias_max)
        record.topic = alias_get(client->aliases_in, record.topic_alias);
    record_client(client, &record);
}

void
trace_packets_out(struct client *client, const uint8_t *packets, uint32_t len)
{
    struct slice rest = slice_of(packets, len);
    struct trace_room room;
    struct trace_record record;
    struct frame frame;
    while (rest.len > 0) {
        err_t err = codec_frame(rest, UINT32_MAX, &frame);
        must(err == OK); // our own
        trace_describe(&frame, frame.body.len, client->version, &room, &record);
        record.way = TRACE_OUT;
        record_client(client, &record);
        rest = slice_of(rest.data + frame.total, rest.len - frame.total);
    }
}

void
trace_publish_out(struct client *client, const struct publish_out *out)
{
    struct trace_room room;
    struct trace_record record;
    must(out->topic.len > 0 && client->session);
    trace_describe_publish(out, &room, &record);
    record.way = TRACE_OUT;
    if (client->traced)
        record_client(client, &record);
    name_client(client, &record);
    (void)record_topic(client->shard, &record);
}

void
trace_event(struct client *client, const char *what)
{
    struct trace_record record = {.way = TRACE_EVENT, .note = slice_str(what)};
    must(what != NULL);
    record_client(client, &record);
}

void
trace_will(const struct session *session, const struct pub *pub)
{
    struct shard *shard = session->shard;
    struct trace_record record = {
        .way = TRACE_EVENT,
        .type = MQTT_PUBLISH,
        .client = session_id(session),
        .topic = pub->topic,
        .payload_len = pub->payload.len,
        .qos = pub->qos,
        .retain = pub->retain,
        .note = slice_str("its Will goes out"),
    };
    must(shard->watching != NULL);
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct watch *watch = &shard->watching->watches[i];
        if (is_on(shard, watch, TRACE_CLIENT) &&
            slice_equal(watch->trace->options.text, record.client))
            keep(shard, watch, &record);
    }
    (void)record_topic(shard, &record);
}

// The topic's first levels, or all of it.
static struct slice
prefix_of(struct slice topic, uint32_t levels)
{
    struct slice rest = topic, level = {0};
    for (uint32_t i = 0; i < levels; i++)
        if (!topic_next_level(&rest, &level))
            return topic;
    return levels > 0 ? slice_of(topic.data, (size_t)(level.data + level.len - topic.data)) : topic;
}

static void
count_topic(const struct shard *shard, struct slice topic, uint32_t messages, uint64_t bytes)
{
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        const struct watch *watch = &shard->watching->watches[i];
        if (!is_on(shard, watch, TRACE_TOP))
            continue;
        const struct trace_options *options = &watch->trace->options;
        hitters_add(watch->hitters, prefix_of(topic, options->levels),
                    options->by_bytes ? bytes : messages, messages, bytes);
    }
}

bool
trace_published(const struct client *client, const struct publish_view *view)
{
    struct shard *shard = client->shard;
    struct trace_room room;
    struct trace_record record;
    must(shard->watching != NULL);
    count_topic(shard, view->topic, 1, view->payload.len);
    const struct publish_out out = {
        .version = client->version,
        .qos = view->qos,
        .dup = view->dup,
        .retain = view->retain,
        .packet_id = view->packet_id,
        .topic = view->topic,
        .topic_alias = view->topic_alias,
        .has_expiry = view->has_expiry,
        .expiry_s = view->expiry_s,
        .payload_len = view->payload.len,
    };
    trace_describe_publish(&out, &room, &record);
    record.way = TRACE_IN;
    name_client(client, &record);
    return record_topic(shard, &record);
}

void
trace_run(const struct shard *shard, struct slice topic, uint32_t messages, uint64_t bytes)
{
    if (messages > 0)
        count_topic(shard, topic, messages, bytes);
}
