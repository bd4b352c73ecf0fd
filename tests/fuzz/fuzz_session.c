// fuzz_session.c - any bytes as a script for three clients of a broker with two shards.
//
// The first byte chooses limits, each further one a step and whose it is; most steps read a few
// bytes more. Some steps feed raw bytes, others well-formed packets, so that the fuzzer gets behind
// the decoder. All that the broker says is read strictly, and in the end nothing may be left.
#include <errno.h>
#include <sys/random.h>

#include "tests/sim/client_packets.h"
#include "tests/sim/sim_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 3, SHARDS = 2, ANSWERS_MAX = 64 };

// One key for all runs: a script does the same each time, on the same shards. Stands in for libc's.
ssize_t
getrandom(void *buffer, size_t len, unsigned flags)
{
    (void)flags;
    memset(buffer, 0x5a, len);
    return (ssize_t)len;
}

struct peer {
    struct sim_conn *conn; // NULL: nothing was sent yet, or not enough to know the home shard
    struct sim_bytes early;
    bool greeted, dismissed;
    struct {
        uint8_t type;
        uint16_t packet_id;
    } answers[ANSWERS_MAX]; // that are due
    uint32_t answer_count;
};

struct fuzz {
    struct sim *sim;
    struct sim_disk *disk; // NULL: nothing is kept
    uint32_t bits;         // what the script chose
    struct slice script;
    struct peer peers[PEERS];
};

static uint32_t
next_byte(struct fuzz *fuzz)
{
    if (fuzz->script.len == 0)
        return 0;
    fuzz->script.len--;
    return *fuzz->script.data++;
}

// ---- What the broker says -----------------------------------------------------------------------

static void
note_answer(struct peer *peer, uint8_t type, uint16_t packet_id)
{
    if (peer->answer_count == ANSWERS_MAX)
        return;
    peer->answers[peer->answer_count].type = type;
    peer->answers[peer->answer_count++].packet_id = packet_id;
}

static void
on_packet(struct peer *peer, const struct server_packet *packet)
{
    must(!peer->dismissed); // nothing follows a refusal or a DISCONNECT
    must((packet->type == MQTT_CONNACK) == !peer->greeted || packet->type == MQTT_DISCONNECT);
    switch (packet->type) {
    case MQTT_CONNACK:
        peer->greeted = true;
        peer->dismissed = packet->reason != 0;
        break;
    case MQTT_DISCONNECT:
        must(peer->greeted);
        peer->dismissed = true;
        break;
    case MQTT_PUBLISH:
        if (packet->qos > 0)
            note_answer(peer, packet->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet->packet_id);
        break;
    case MQTT_PUBREC:
        if (packet->reason < 0x80)
            note_answer(peer, MQTT_PUBREL, packet->packet_id);
        break;
    case MQTT_PUBREL:
        note_answer(peer, MQTT_PUBCOMP, packet->packet_id);
        break;
    default:
        break;
    }
}

static void
read_all(struct fuzz *fuzz)
{
    struct server_packet packet;
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &fuzz->peers[i];
        if (!peer->conn)
            continue;
        while (sim_next(peer->conn, &packet))
            on_packet(peer, &packet);
    }
}

// ---- Coming and going ---------------------------------------------------------------------------

// The peer is somebody else now.
static void
forget(struct peer *peer)
{
    mem_free(peer->early.data);
    memset(peer, 0, sizeof *peer);
}

// With a connection that is open, or none.
static struct peer *
refresh(struct peer *peer)
{
    if (peer->conn && !peer->conn->open)
        forget(peer);
    return peer;
}

static void
feed(struct fuzz *fuzz, struct peer *peer, struct slice bytes)
{
    if (peer->conn) {
        sim_feed(peer->conn, bytes.data, bytes.len);
        return;
    }
    sim_append(&peer->early, bytes.data, bytes.len);
    unsigned home;
    struct client_origin origin = {.peer = "fuzz"};
    struct slice early = slice_of(peer->early.data, peer->early.len);
    if (client_home(fuzz->sim->broker->shards[0], &origin, early, &home) == ERR_NEED_MORE)
        return;
    must(home < SHARDS);
    peer->conn = sim_open(fuzz->sim, home);
    sim_feed(peer->conn, early.data, early.len);
}

static void
step_raw(struct fuzz *fuzz, struct peer *peer)
{
    uint32_t len = min_u32(next_byte(fuzz), fuzz->script.len);
    struct slice bytes = slice_of(fuzz->script.data, len);
    fuzz->script = slice_of(fuzz->script.data + len, fuzz->script.len - len);
    feed(fuzz, peer, bytes);
}

static void
step_connect(struct fuzz *fuzz, struct peer *peer)
{
    static const char *const ids[] = {"a", "b", "c", ""};
    uint32_t who = next_byte(fuzz), bits = next_byte(fuzz), more = next_byte(fuzz);
    struct sim_connect c = {
        .id = ids[who % 4],
        .version = who & 4   ? MQTT_311
                   : who & 8 ? MQTT_31
                             : MQTT_5,
        .keep = bits & 1,
        .keep_alive_s = bits & 2 ? 10 : 0,
        .will_topic = bits & 4 ? "x/y" : NULL,
        .will_qos = bits >> 3 & 1,
        .will_retain = bits & 16,
        .will_delay_s = bits & 32 ? 20 : 0,
        .expiry_s = bits & 64 ? 3600 : 0,
        .packet_max = bits & 128 ? 200 : 0,
        .receive_max = more & 1 ? 2 : 0,
        .alias_max = more & 2 ? 3 : 0,
        .will_expiry_s = more & 4 ? 30 : 0,
    };
    if (!peer->conn) {
        forget(peer);
        unsigned home = c.id[0] ? broker_home(fuzz->sim->broker, slice_str(c.id)) : more % SHARDS;
        peer->conn = sim_open(fuzz->sim, home);
    }
    sim_send_connect(peer->conn, &c);
}

// ---- Packets ------------------------------------------------------------------------------------

static void
step_subscribe(struct fuzz *fuzz, struct peer *peer)
{
    static const char *const filters[] = {
        "#",     "x/y",          "x/+",        "+/y",          "x/#", "$share/g/x/#",
        "z",     "$share/g/x/y", "$share/h/#", "$SYS/#",       "/",   "+/+/+",
        "x/y/#", "#/bad",        "$share/+/x", "$share/g/x/+",
    };
    uint32_t bits = next_byte(fuzz);
    struct sim_subscribe s = {
        .filter = filters[bits % ARRAY_LEN(filters)],
        .options = (uint8_t)next_byte(fuzz),
        .id = bits >> 4,
    };
    if (bits == 0xff)
        sim_unsubscribe(peer->conn, filters[s.options % ARRAY_LEN(filters)]);
    else
        sim_subscribe(peer->conn, &s);
}

static void
step_unsubscribe(struct fuzz *fuzz, struct peer *peer)
{
    static const char *const filters[] = {"#", "x/y", "x/#", "$share/g/x/#", "x/+", "$share/h/#"};
    sim_unsubscribe(peer->conn, filters[next_byte(fuzz) % ARRAY_LEN(filters)]);
}

static void
step_publish(struct fuzz *fuzz, struct peer *peer)
{
    static const char *const topics[] = {"x/y", "x/y", "z", "x/w", "/", "$SYS/x", "x/y/z", "+"};
    static const uint32_t sizes[] = {3, 0, 100, 2049, 7000, 9000, 130000, 1};
    static const uint8_t payload[130000];
    uint32_t what = next_byte(fuzz), bits = next_byte(fuzz), times = next_byte(fuzz) % 100;
    struct sim_publish p = {
        .topic = topics[what % 8],
        .payload = slice_of(payload, sizes[what >> 3 & 7]),
        .qos = bits & 3,
        .retain = bits & 4,
        .dup = bits & 8,
        .packet_id = (uint16_t)(bits >> 4),
        .has_expiry = what & 64,
        .expiry_s = 15,
    };
    // Many of them, to fill queues and mailboxes; few large ones, to stay fast.
    for (uint32_t n = 0; n <= (p.payload.len < 10000 ? times : 0); n++) {
        sim_publish(peer->conn, &p);
        p.packet_id++;
    }
}

static void
step_answer(struct fuzz *fuzz, struct peer *peer)
{
    uint32_t count = min_u32(next_byte(fuzz) + 1, peer->answer_count);
    for (uint32_t i = 0; i < count; i++)
        sim_ack(peer->conn, peer->answers[i].type, peer->answers[i].packet_id);
    peer->answer_count -= count;
    memmove(peer->answers, peer->answers + count, peer->answer_count * sizeof peer->answers[0]);
}

static void
step_any_answer(struct fuzz *fuzz, struct peer *peer)
{
    uint8_t type = (uint8_t)(MQTT_PUBACK + next_byte(fuzz) % 4);
    sim_ack(peer->conn, type, (uint16_t)next_byte(fuzz));
}

static void
step_disconnect(struct fuzz *fuzz, struct peer *peer)
{
    uint32_t bits = next_byte(fuzz);
    if (bits & 1)
        sim_disconnect_expiry(peer->conn, bits & 2 ? 0 : 7200);
    else
        sim_disconnect(peer->conn, bits & 2 ? REASON_DISCONNECT_WITH_WILL : 0);
}

// ---- The world ----------------------------------------------------------------------------------

static void
step_close(struct fuzz *fuzz, struct peer *peer)
{
    sim_close(peer->conn, next_byte(fuzz) & 1 ? ECONNRESET : 0);
}

static void
step_room(struct fuzz *fuzz, struct peer *peer)
{
    uint32_t bits = next_byte(fuzz);
    sim_room(peer->conn, bits == 255 ? SIM_UNLIMITED : (uint64_t)bits * 64);
}

static void
step_ping(struct fuzz *fuzz, struct peer *peer)
{
    (void)fuzz;
    sim_ping(peer->conn);
}

static void
step_time(struct fuzz *fuzz, struct peer *peer)
{
    static const uint64_t spans[] = {0, 1, 16, 1000, 11000, 21000, 3601000, UINT64_C(90000000)};
    (void)peer;
    sim_tick(fuzz->sim, spans[next_byte(fuzz) % ARRAY_LEN(spans)]);
}

// The shards' ticks need not alternate.
static void
step_tick_one(struct fuzz *fuzz, struct peer *peer)
{
    (void)peer;
    sim_tick_shard(fuzz->sim, next_byte(fuzz) % SHARDS);
}

static struct config *
choose(uint32_t bits)
{
    struct config *config = sim_config();
    config->session_expiry_max_s = 86400;
    config->queue_full_action = (enum queue_full_action)(bits & 3);
    config->queue_qos0_messages = bits & 4;
    if (bits & 8) {
        config->queued_messages_max = 3;
        config->inflight_messages_max = 2;
        config->receive_max = 4;
    }
    if (bits & 16) {
        config->output_bytes_max = 20000;
        config->retained_messages_max = 2;
    }
    if (bits & 32)
        config->memory_max = 100000;
    if (bits & 64) {
        config->sys_interval_s = 10;
        config->topic_levels_max = 3;
        config->subscribe_filters_max = 2;
        config->retained_message_max = 100;
        config->listeners[0].messages_in_rate = 5;
        config->listeners[0].bytes_out_rate = 300;
    }
    return config;
}

static void
step_keeper(struct fuzz *fuzz, struct peer *peer)
{
    (void)peer;
    uint32_t bits = next_byte(fuzz);
    if (!fuzz->disk)
        return;
    if (bits & 2)
        sim_fetch(fuzz->sim, fuzz->disk);
    if (bits & 4)
        sim_commit_shard(fuzz->sim, fuzz->disk, bits % SHARDS);
    if (bits & 8)
        (void)sim_answer(fuzz->sim, fuzz->disk, 1 + (bits >> 4));
}

// What was not committed is lost, and so are all connections.
static void
crash(struct fuzz *fuzz)
{
    uint64_t now_ms = fuzz->sim->now_ms + 1000;
    for (unsigned i = 0; i < PEERS; i++)
        forget(&fuzz->peers[i]);
    sim_free(fuzz->sim);
    fuzz->sim = sim_start(SHARDS, choose(fuzz->bits), fuzz->disk, now_ms);
}

static void
step_end(struct fuzz *fuzz, struct peer *peer)
{
    (void)peer;
    uint32_t byte = next_byte(fuzz);
    if (byte == 0xff)
        shard_shutdown(fuzz->sim->broker->shards[0]);
    else if (byte >= 0xf0 && fuzz->disk)
        crash(fuzz);
}

// ---- The run ------------------------------------------------------------------------------------

static const struct step {
    void (*run)(struct fuzz *fuzz, struct peer *peer);
    bool needs_connection;
} steps[16] = {
    {step_raw, false},    {step_connect, false},    {step_subscribe, true},  {step_publish, true},
    {step_answer, true},  {step_any_answer, true},  {step_disconnect, true}, {step_close, true},
    {step_room, true},    {step_unsubscribe, true}, {step_time, false},      {step_tick_one, false},
    {step_keeper, false}, {step_ping, true},        {step_time, false},      {step_end, false},
};

static void
rest(struct fuzz *fuzz)
{
    if (fuzz->disk)
        sim_settle_kept(fuzz->sim, fuzz->disk);
    else
        sim_settle(fuzz->sim);
}

static void
end(struct fuzz *fuzz)
{
    sim_close_all(fuzz->sim);
    read_all(fuzz);
    rest(fuzz);
    sim_tick(fuzz->sim, UINT64_C(172800000)); // every session's time is over
    rest(fuzz);
    sim_must_be_empty(fuzz->sim);
    for (unsigned i = 0; i < PEERS; i++)
        forget(&fuzz->peers[i]);
    sim_free(fuzz->sim);
    if (fuzz->disk)
        sim_disk_free(fuzz->disk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {.script = slice_of(data, size)};
    fuzz.bits = next_byte(&fuzz);
    if (fuzz.bits & 128) {
        fuzz.disk = sim_disk_new();
        fuzz.sim = sim_start(SHARDS, choose(fuzz.bits), fuzz.disk, SIM_START_MS);
    } else {
        fuzz.sim = sim_new(SHARDS, choose(fuzz.bits));
    }
    while (fuzz.script.len > 0) {
        uint32_t byte = next_byte(&fuzz);
        const struct step *step = &steps[byte & 15];
        struct peer *peer = refresh(&fuzz.peers[(byte >> 4) % PEERS]);
        if (!step->needs_connection || peer->conn)
            step->run(&fuzz, peer);
        read_all(&fuzz);
    }
    end(&fuzz);
    return 0;
}
