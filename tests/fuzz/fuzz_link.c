// fuzz_link.c - any bytes as a script for another node, over both connections, and two clients.
//
// Whatever the other node says of its routes, of what is retained, of who came, of Wills and of
// sessions that come from there, and however it answers what it is told: nothing breaks, clients
// get packets that are right, and in the end nothing is left.
#include <errno.h>
#include <sys/random.h>

#include "cluster/move.h"
#include "tests/sim/sim_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 2, ANSWERS_MAX = 64 };

// One key for all runs. Stands in for libc's.
ssize_t
getrandom(void *buffer, size_t len, unsigned flags)
{
    (void)flags;
    memset(buffer, 0x5a, len);
    return (ssize_t)len;
}

struct fuzz {
    struct sim_node node;
    struct slice script;
    struct sim_conn *in, *out; // of the other node's, and to it; NULL = there was none
    struct sim_conn *clients[CLIENTS];
    uint16_t answers[ANSWERS_MAX]; // to the node's packets that are due
    uint32_t answer_count;
};

static const char *const filters[] = {"#",         "x/y",   "x/+",    "+/y",       "x/#",
                                      "z",         "/",     "$SYS/#", "$TERNMQ/#", "bad/#/",
                                      "",          "a\xff", "+/+",    "x/y/#",     "$TERNMQ/routes",
                                      "$share/g/x"};
static const char *const groups[] = {"", "", "g", "h", "\xff"};
static const char *const topics[] = {"x/y",          "x",   "z", "/", "$SYS/x", "x/+", "",
                                     "$TERNMQ/came", "\xc3"};
static const char *const ids[] = {"c0", "c1", "", NODE_TO SIM_OTHER, NODE_FROM SIM_OTHER, "?"};

static uint32_t
next_byte(struct fuzz *fuzz)
{
    if (fuzz->script.len == 0)
        return 0;
    fuzz->script.len--;
    return *fuzz->script.data++;
}

static struct slice
next_bytes(struct fuzz *fuzz, uint32_t max)
{
    uint32_t len = min_u32(min_u32(next_byte(fuzz), max), fuzz->script.len);
    struct slice bytes = slice_of(fuzz->script.data, len);
    fuzz->script = slice_of(fuzz->script.data + len, fuzz->script.len - len);
    return bytes;
}

static bool
is_open(const struct sim_conn *conn)
{
    return conn && conn->open;
}

// ---- The other node -----------------------------------------------------------------------------

static void
step_come(struct fuzz *fuzz)
{
    fuzz->in = sim_node_comes(&fuzz->node);
}

static void
step_be_dialled(struct fuzz *fuzz)
{
    fuzz->out = sim_node_dials(&fuzz->node);
    fuzz->answer_count = 0;
}

static void
step_connack(struct fuzz *fuzz)
{
    uint8_t packet[] = {MQTT_CONNACK << 4, 3, 0, (uint8_t)(next_byte(fuzz) & 0x80), 0};
    if (is_open(fuzz->out))
        sim_feed(fuzz->out, packet, sizeof packet);
}

static void
step_close(struct fuzz *fuzz)
{
    struct sim_conn *conn = next_byte(fuzz) & 1 ? fuzz->in : fuzz->out;
    if (is_open(conn))
        sim_close(conn, ECONNRESET);
}

static void
step_raw(struct fuzz *fuzz)
{
    struct sim_conn *conn = next_byte(fuzz) & 1 ? fuzz->in : fuzz->out;
    struct slice bytes = next_bytes(fuzz, 255);
    if (is_open(conn))
        sim_feed(conn, bytes.data, bytes.len);
}

static void
say(struct fuzz *fuzz, const char *topic, const struct sim_word *word)
{
    if (is_open(fuzz->in))
        sim_node_says(fuzz->in, topic, word);
}

static void
step_any_word(struct fuzz *fuzz)
{
    static const char *const words[] = {TOPIC_ROUTES, TOPIC_RETAINED, TOPIC_CAME,    TOPIC_AGAIN,
                                        TOPIC_WILLS,  TOPIC_WILLED,   NODE_ROOT "x", TOPIC_MOVE};
    const char *topic = words[next_byte(fuzz) % ARRAY_LEN(words)];
    struct slice bytes = next_bytes(fuzz, 255);
    struct sim_word word = {0};
    sim_word_put(&word, bytes.data, bytes.len);
    say(fuzz, topic, &word);
}

static void
step_routes(struct fuzz *fuzz)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, next_byte(fuzz), 8);
    uint32_t count = next_byte(fuzz) % 8;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t step = next_byte(fuzz), key = next_byte(fuzz);
        const char *filter = filters[key % ARRAY_LEN(filters)];
        if (step >= 0xf0) { // a session that is there
            struct sim_word *w = &word;
            sim_word_step(w, step & 1 ? ROUTE_ENTRY : ROUTE_CHANGE, step >> 1 & 1, "\1c0", "");
            continue;
        }
        bool has_key = step % 8 != ROUTE_BEGIN && step % 8 != ROUTE_END && step % 8 != ROUTE_DIGEST;
        sim_word_step(&word, (enum route_step)(step % 8), step >> 3 & 3,
                      groups[(key >> 4) % ARRAY_LEN(groups)], has_key ? filter : NULL);
    }
    if (next_byte(fuzz) == 255 && word.len > 0)
        word.len--;
    say(fuzz, TOPIC_ROUTES, &word);
}

static void
step_retained(struct fuzz *fuzz)
{
    static const char content[] = "\3\0\4text", format[] = "\1\1", alias[] = "\43\0\1";
    const struct slice props[] = {{0},
                                  slice_of(content, sizeof content - 1),
                                  slice_of(format, sizeof format - 1),
                                  slice_of(alias, sizeof alias - 1),
                                  next_bytes(fuzz, 40)};
    uint32_t bits = next_byte(fuzz), more = next_byte(fuzz);
    struct sim_word word = {0};
    sim_word_retained(&word, &(struct sim_retained){
                                 .flags = bits & 1,
                                 .qos = bits >> 1 & 3,
                                 .node = (uint8_t)(more >> 3 & 3),
                                 .stamp = more >> 5 & 3,
                                 .expires_ms = bits & 8 ? fuzz->node.sim->now_ms + 50 : 0,
                                 .topic = topics[(bits >> 4) % ARRAY_LEN(topics)],
                                 .props = props[more % ARRAY_LEN(props)],
                                 .payload = more & 128 ? "" : "payload",
                             });
    say(fuzz, TOPIC_RETAINED, &word);
}

static void
step_came(struct fuzz *fuzz)
{
    // Some older than any, some as old as ours, some later.
    static const uint64_t claims[] = {0, 1, 1000, 1001, 1100, 90000, CLAIM_MAX, CLAIM_MAX + 1};
    struct sim_word word = {0};
    uint32_t more;
    do {
        uint32_t bits = next_byte(fuzz);
        more = next_byte(fuzz);
        uint64_t claim = claims[(bits >> 3) % ARRAY_LEN(claims)] + (more >> 1 & 3);
        sim_word_claim(&word, bits >> 7, claim, ids[bits % 8 % ARRAY_LEN(ids)]);
        if (more == 255)
            word.len--;
    } while (more & 1 && word.len < 512);
    say(fuzz, TOPIC_CAME, &word);
}

static void
put_will(struct fuzz *fuzz, struct sim_word *word, uint32_t bits, const char *id)
{
    static const char content[] = "\3\0\4text";
    const char *topic = topics[bits % ARRAY_LEN(topics)];
    uint32_t more = next_byte(fuzz), props = more & 64 ? sizeof content - 1 : 0;
    sim_word_int(word, more & 31, 1);
    sim_word_int(word, 0, 2);
    sim_word_int(word, bits >> 4, 4);
    sim_word_int(word, more & 32 ? 50 : 0, 8);
    sim_word_int(word, strlen(topic), 2);
    sim_word_int(word, props, 4);
    sim_word_int(word, 4, 4);
    sim_word_int(word, more & 8 ? 1 : 0, 2);
    sim_word_put(word, id, strlen(id));
    sim_word_put(word, topic, strlen(topic));
    sim_word_put(word, content, props);
    sim_word_put(word, more & 8 ? "goneu" : "gone", more & 8 ? 5 : 4);
}

static void
step_wills(struct fuzz *fuzz)
{
    struct sim_word word = {0};
    uint32_t life = next_byte(fuzz);
    sim_word_int(&word, life % 4, 8);
    for (uint32_t i = 0; i < life >> 6; i++) {
        uint32_t bits = next_byte(fuzz);
        const char *id = ids[(bits >> 2) % ARRAY_LEN(ids)];
        sim_word_int(&word, bits % 4, 1);
        sim_word_int(&word, bits >> 6, 8);
        sim_word_int(&word, bits % 4 < 2 ? strlen(id) : 1 + (bits >> 7), 2);
        if (bits % 4 == 1)
            put_will(fuzz, &word, bits, id);
        else if (bits % 4 == 0)
            sim_word_put(&word, id, strlen(id));
    }
    if (life & 32 && word.len > 8)
        word.len--;
    say(fuzz, TOPIC_WILLS, &word);
}

static void
step_willed(struct fuzz *fuzz)
{
    uint32_t bits = next_byte(fuzz);
    const char *id = ids[(bits >> 4) % ARRAY_LEN(ids)];
    struct sim_word word = {0};
    sim_word_int(&word, bits & 8 ? fuzz->node.sim->now_ms : bits & 3, 8);
    sim_word_put(&word, bits & 4 ? SIM_OTHER : fuzz->node.cluster->id, NODE_ID_LEN);
    sim_word_put(&word, id, strlen(id));
    say(fuzz, TOPIC_WILLED, &word);
}

static void
put_record(struct sim_word *word, const struct record *record)
{
    uint8_t bytes[512];
    must(record_size(record) <= sizeof bytes);
    sim_word_put(word, bytes, (size_t)(record_write(bytes, record) - bytes));
}

static void
put_moved_session(struct sim_word *word, uint32_t bits, const char *id)
{
    static const uint64_t claims[] = {0, 1000, 90000, CLAIM_MAX};
    put_record(word, &(struct record){.kind = JOURNAL_SESSION,
                                      .id = slice_str(id),
                                      .user = bits & 1 ? slice_str("u") : (struct slice){0},
                                      .version = MQTT_5,
                                      .expiry_s = bits & 2 ? 3600 : 10,
                                      .expires_ms = bits & 4 ? RECORD_NEVER : 1,
                                      .sent = bits & 8 ? 70000 : bits >> 4,
                                      .claim = claims[bits >> 6 & 3],
                                      .has_will = bits & 16,
                                      .msg = {.topic = slice_str(topics[bits % ARRAY_LEN(topics)]),
                                              .payload = slice_str("moved")}});
}

static void
put_moved_entry(struct fuzz *fuzz, struct sim_word *word)
{
    uint32_t bits = next_byte(fuzz), at = next_byte(fuzz), id = 1 + (at & 3);
    sim_word_int(word, bits & 1, 1);
    put_record(word, &(struct record){.kind = JOURNAL_MESSAGE,
                                      .message = 1,
                                      .msg = {.topic = slice_str(topics[at % ARRAY_LEN(topics)]),
                                              .payload = slice_str("old"),
                                              .qos = bits >> 1 & 1}});
    put_record(word, &(struct record){.kind = JOURNAL_ENQUEUE,
                                      .seq = (uint64_t)at << (bits & 128 ? bits >> 2 & 31 : 0),
                                      .message = 1,
                                      .size = 80,
                                      .qos = (bits >> 3 & 3) % 3,
                                      .ordinal = bits >> 5 & 1,
                                      .ids = slice_of(&id, bits & 64 ? sizeof id : 0)});
    if ((bits & 6) == 6)
        put_record(word, &(struct record){.kind = JOURNAL_STATE, .state = ENTRY_RELEASED});
}

// Sessions that come from there, and turns.
static void
step_move(struct fuzz *fuzz)
{
    struct sim_word word = {0};
    uint32_t kind = next_byte(fuzz), bits = next_byte(fuzz);
    const char *id = ids[(kind >> 4) % ARRAY_LEN(ids)];
    sim_word_int(&word, 1 + kind % 8, 1);
    sim_word_int(&word, MOVE_NUMBER_MIN + (bits >> 7) - (bits == 255 ? 9 : 0), 4);
    switch (1 + kind % 8) {
    case MOVE_BEGIN:
        put_moved_session(&word, bits, id);
        for (uint32_t i = next_byte(fuzz); i & 3; i >>= 2)
            put_record(&word, &(struct record){.kind = JOURNAL_SUBSCRIBE,
                                               .ordinal = i >> 2 & 3,
                                               .qos = 2,
                                               .filter = slice_str(filters[i % 8]),
                                               .group = slice_str(groups[i % 5])});
        break;
    case MOVE_BEGUN:
        sim_word_int(&word, bits >> 1 & 1, 4);
        sim_word_int(&word, 1 + (bits & 1), 2);
        sim_word_put(&word, SIM_OTHER, NODE_ID_LEN);
        sim_word_put(&word, fuzz->node.cluster->id, bits & 1 ? NODE_ID_LEN : 0);
        break;
    case MOVE_TURNED:
        sim_word_int(&word, bits & 3, 1);
        sim_word_int(&word, bits >> 2 & 3, 1);
        sim_word_int(&word, bits >> 4 & 1, 4);
        break;
    case MOVE_TURN:
        sim_word_int(&word, bits & 1, 4);
        break;
    case MOVE_ENTRIES:
        sim_word_int(&word, bits >> 4, 8);
        sim_word_int(&word, strlen(id), 2);
        sim_word_put(&word, id, strlen(id));
        for (uint32_t i = bits & 3; i > 0; i--)
            put_moved_entry(fuzz, &word);
        break;
    case MOVE_LAST:
        sim_word_int(&word, bits >> 5, 8);
        sim_word_int(&word, bits >> 1 & 1, 4);
        put_moved_session(&word, bits, id);
        sim_word_int(&word, bits, 2);
        break;
    default:
        break;
    }
    if (kind == 255 && word.len > 0)
        word.len--;
    say(fuzz, TOPIC_MOVE, &word);
}

// What gossip thinks of it.
static void
step_state(struct fuzz *fuzz)
{
    static const enum gossip_state states[] = {GOSSIP_ALIVE, GOSSIP_DEAD, GOSSIP_DEAD, GOSSIP_LEFT};
    struct nodes *nodes = nodes_of(fuzz->node.cluster);
    struct link *link = nodes_link(nodes, SIM_OTHER);
    uint32_t bits = next_byte(fuzz);
    for (uint32_t i = 0; i <= (bits >> 2 & 3); i++) {
        wills_note_node(nodes, link, states[bits % ARRAY_LEN(states)], 1 + (bits >> 5 & 1),
                        fuzz->node.sim->now_ms);
        sim_tick(fuzz->node.sim, bits & 16 ? 6000 : 0);
    }
}

// For its clients' sake: a message, perhaps of a share group.
static void
step_message(struct fuzz *fuzz)
{
    uint32_t bits = next_byte(fuzz);
    if (!is_open(fuzz->in))
        return;
    struct wire wire = wire_begin(), props = wire_begin();
    wire_text(&wire, topics[bits % ARRAY_LEN(topics)]);
    if (bits & 0x60)
        wire_int(&wire, 1 + (bits >> 5 & 3), 2);
    for (uint32_t i = next_byte(fuzz) % 4; i > 0; i--) {
        wire_int(&props, PROP_SUBSCRIPTION_ID, 1);
        wire_varint(&props, 1 + next_byte(fuzz) % 5);
    }
    wire_props(&wire, &props);
    wire_end(&wire, fuzz->in, MQTT_PUBLISH << 4 | (bits & 0x60) >> 4 | (bits & 0x10 ? 1 : 0));
}

// What we say to it: it acknowledges that, as it likes.
static void
read_out(struct fuzz *fuzz)
{
    struct sim_bytes *from = &fuzz->out->to_peer;
    while (from->len - from->at >= 2) {
        const uint8_t *at = from->data + from->at;
        uint32_t len = 0, head = 1, shift = 0, left = from->len - from->at;
        do {
            len |= (uint32_t)(at[head] & 127) << shift;
            shift += 7;
        } while (at[head++] & 128 && head < left);
        if (len > left - head)
            return;
        uint8_t type = at[0] >> 4;
        must(type == MQTT_CONNECT || type == MQTT_PUBLISH || type == MQTT_PUBREL ||
             type == MQTT_PUBACK || type == MQTT_PUBREC || type == MQTT_PUBCOMP ||
             type == MQTT_DISCONNECT);
        if (type == MQTT_PUBLISH && (at[0] & 6) && fuzz->answer_count < ANSWERS_MAX) {
            const uint8_t *id = at + head + 2 + (at[head] << 8 | at[head + 1]);
            must(id + 2 <= at + head + len);
            fuzz->answers[fuzz->answer_count++] = (uint16_t)(id[0] << 8 | id[1]);
        }
        from->at += head + len;
    }
}

static void
step_answer(struct fuzz *fuzz)
{
    uint32_t bits = next_byte(fuzz), count = min_u32(1 + (bits >> 3), fuzz->answer_count);
    if (!is_open(fuzz->out))
        return;
    for (uint32_t i = 0; i < count && is_open(fuzz->out); i++)
        sim_ack(fuzz->out, (uint8_t)(bits & 4 ? MQTT_PUBACK + (bits & 3) : MQTT_PUBACK),
                fuzz->answers[i]);
    fuzz->answer_count -= count;
    memmove(fuzz->answers, fuzz->answers + count, fuzz->answer_count * sizeof fuzz->answers[0]);
}

// ---- Clients ------------------------------------------------------------------------------------

static struct sim_conn *
client_of(struct fuzz *fuzz, uint32_t bits)
{
    struct sim_conn **client = &fuzz->clients[bits % CLIENTS];
    if (!is_open(*client)) {
        struct sim_connect c = {.id = ids[bits % CLIENTS],
                                .keep = bits & 16,
                                .expiry_s = bits & 32 ? 3600 : 0,
                                .will_topic = bits & 64 ? "x/y" : NULL,
                                .will_retain = bits & 128,
                                .will_delay_s = bits & 8 ? 60 : 0};
        *client = sim_open(fuzz->node.sim, broker_home(fuzz->node.sim->broker, slice_str(c.id)));
        sim_send_connect(*client, &c);
    }
    return *client;
}

static void
step_subscribe(struct fuzz *fuzz)
{
    uint32_t bits = next_byte(fuzz);
    struct sim_conn *client = client_of(fuzz, bits);
    const char *filter = filters[(bits >> 1) % ARRAY_LEN(filters)];
    char shared[64];
    (void)snprintf(shared, sizeof shared, "$share/g/%s", filter);
    if (bits & 64)
        filter = shared;
    if (bits & 128)
        sim_unsubscribe(client, filter);
    else
        sim_subscribe(client, &(struct sim_subscribe){.filter = filter, .options = bits >> 5 & 1});
}

static void
step_publish(struct fuzz *fuzz)
{
    uint32_t bits = next_byte(fuzz);
    sim_publish(client_of(fuzz, bits), &(struct sim_publish){
                                           .topic = topics[(bits >> 1) % 4],
                                           .payload = slice_of("payload", bits & 8 ? 0 : 7),
                                           .qos = bits >> 4 & 1,
                                           .retain = bits & 32,
                                           .packet_id = (uint16_t)(1 + (bits >> 6)),
                                       });
}

static void
step_leave(struct fuzz *fuzz)
{
    struct sim_conn *client = fuzz->clients[next_byte(fuzz) % CLIENTS];
    if (is_open(client))
        sim_close(client, 0);
}

static void
step_time(struct fuzz *fuzz)
{
    static const uint64_t spans[] = {0, 1, 16, 100, 1000, 90000, 3601000, UINT64_C(90000000)};
    sim_tick(fuzz->node.sim, spans[next_byte(fuzz) % ARRAY_LEN(spans)]);
}

static void
step_figures(struct fuzz *fuzz)
{
    struct cluster_figures figures;
    fuzz->node.cluster->ops->figures(fuzz->node.cluster, &figures);
    must(figures.links_up <= 1);
    sim_settle(fuzz->node.sim);
}

// ---- The run ------------------------------------------------------------------------------------

static void (*const steps[16])(struct fuzz *fuzz) = {
    step_come,      step_be_dialled, step_connack,  step_close, step_raw,     step_any_word,
    step_routes,    step_wills,      step_retained, step_came,  step_message, step_answer,
    step_subscribe, step_publish,    step_time,     step_state,
};

static void
read_all(struct fuzz *fuzz)
{
    struct server_packet packet;
    for (unsigned i = 0; i < CLIENTS; i++)
        while (fuzz->clients[i] && sim_next(fuzz->clients[i], &packet))
            ;
    while (fuzz->in && sim_next(fuzz->in, &packet))
        ;
    if (fuzz->out)
        read_out(fuzz);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {.script = slice_of(data, size)};
    struct config *config = sim_config();
    uint32_t bits = next_byte(&fuzz);
    config->session_expiry_max_s = 86400;
    config->retained_messages_max = bits & 1 ? 2 : 0;
    config->queued_messages_max = bits & 2 ? 3 : 1000;
    fuzz.node = sim_node_new(1 + (bits >> 3 & 1), config);
    step_come(&fuzz);
    if (bits & 4) {
        step_be_dialled(&fuzz);
        sim_settle(fuzz.node.sim);
        sim_feed(fuzz.out, "\x20\3\0\0\0", 5);
    }
    while (fuzz.script.len > 0) {
        uint32_t byte = next_byte(&fuzz);
        if (byte == 255)
            step_leave(&fuzz);
        else if (byte == 254)
            step_figures(&fuzz);
        else if (byte == 253)
            step_willed(&fuzz);
        else if (byte >= 250)
            step_move(&fuzz);
        else
            steps[byte & 15](&fuzz);
        if (byte & 128)
            sim_tick(fuzz.node.sim, 0);
        read_all(&fuzz);
    }
    sim_settle(fuzz.node.sim);
    read_all(&fuzz);
    sim_close_all(fuzz.node.sim);
    sim_tick(fuzz.node.sim, UINT64_C(172800000)); // every session's time is over
    sim_settle(fuzz.node.sim);
    sim_must_be_empty(fuzz.node.sim);
    sim_node_free(&fuzz.node);
    return 0;
}
