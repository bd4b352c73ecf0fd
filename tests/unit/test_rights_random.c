// test_rights_random.c - clients that come, go, publish and subscribe at random while rules change:
// nobody is ever sent what it may not read, and who may is sent it once.
#include <stdlib.h>

#include "core/access.h"
#include "core/topic.h"
#include "tests/sim/expect.h"
#include "tests/unit/test_acl.h"

enum { SHARDS = 2, CLIENTS = 8, FILTERS = 3, USERS = 4 };

static const char *const users[USERS] = {"a", "b", "c", "d"};
static const char *const topics[] = {"a/x", "a/y", "b/x", "b/y", "a", "b", "a/x/z", "$s/x"};
static const char *const filters[] = {"#", "a/#", "+/x", "b/+", "a/x", "b/#", "$s/#", "+"};

struct player {
    const char *id, *user;
    struct sim_conn *conn;        // NULL while away
    const char *filters[FILTERS]; // NULL = none
    unsigned got;                 // of the present publication
};

static struct sim *sim;
static struct player players[CLIENTS];
static struct acl *rules; // in force; borrowed; NULL = none
static uint64_t state;
static unsigned delivered, withheld, queued;

static unsigned
pick(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

static bool
allowed(const struct player *player, enum acl_action action, struct slice topic)
{
    return !rules ||
           acl_allows(rules, slice_str(player->user), slice_str(player->id), action, topic);
}

static void
change_rules(void)
{
    char text[2048];
    FILE *file = fmemopen(text, sizeof text, "w");
    for (unsigned u = 0; u < USERS; u++) {
        fprintf(file, "user %s\n", users[u]);
        for (unsigned i = pick(4); i > 0; i--) {
            static const char *const access[] = {"read", "write", "readwrite", "readwrite", "deny"};
            fprintf(file, "topic %s %s\n", access[pick(5)], filters[pick(ARRAY_LEN(filters))]);
        }
    }
    fprintf(file, "pattern read a/#\n");
    fclose(file);
    struct access_rules *fresh = NULL;
    if (pick(8)) {
        fresh = access_rules_new();
        fresh->alike = true;
        fresh->listeners[0].acl = acl_of(text);
    }
    rules = fresh ? fresh->listeners[0].acl : NULL;
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
}

// What came must be allowed now; retained messages also to who left them.
static void
take_all(struct player *player, const char *payload)
{
    struct server_packet packet;
    while (player->conn && sim_next(player->conn, &packet)) {
        if (packet.type == MQTT_PUBREL) {
            sim_ack(player->conn, MQTT_PUBCOMP, packet.packet_id);
            continue;
        }
        if (packet.type != MQTT_PUBLISH)
            continue;
        cr_assert(allowed(player, ACL_RECEIVE, packet.topic), "%.*s to %s", (int)packet.topic.len,
                  (const char *)packet.topic.data, player->user);
        delivered++;
        player->got += payload && slice_equal(packet.payload, slice_str(payload));
        if (packet.qos > 0)
            sim_ack(player->conn, packet.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet.packet_id);
    }
}

static void
drain(const char *payload)
{
    for (unsigned round = 0; round < 4; round++) { // each acknowledgement may bring more
        for (unsigned i = 0; i < CLIENTS; i++)
            take_all(&players[i], payload);
        sim_settle(sim);
    }
}

static void
publish(struct player *from)
{
    static unsigned number;
    char payload[16];
    const char *topic = topics[pick(ARRAY_LEN(topics))];
    uint8_t qos = (uint8_t)pick(3);
    (void)snprintf(payload, sizeof payload, "m%u", ++number);
    for (unsigned i = 0; i < CLIENTS; i++)
        players[i].got = 0;
    sim_publish(from->conn, &(struct sim_publish){.topic = topic,
                                                  .qos = qos,
                                                  .retain = pick(8) == 0,
                                                  .payload = slice_str(payload)});
    if (qos == 2)
        sim_ack(from->conn, MQTT_PUBREL, 1);
    sim_settle(sim);
    drain(payload);
    bool may = allowed(from, ACL_PUBLISH, slice_str(topic));
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct player *to = &players[i];
        bool wants = false;
        for (unsigned f = 0; f < FILTERS; f++)
            wants |= to->filters[f] && topic_matches(slice_str(to->filters[f]), slice_str(topic));
        bool reads = allowed(to, ACL_RECEIVE, slice_str(topic));
        withheld += may && wants && !reads;
        queued += may && wants && reads && !to->conn && qos > 0;
        if (to->conn)
            cr_assert_eq(to->got, may && wants && reads, "%s at %u to %s: %u", topic, qos, to->user,
                         to->got);
    }
}

static void
subscribe(struct player *player)
{
    unsigned f = pick(FILTERS);
    const char *filter = filters[pick(ARRAY_LEN(filters))];
    for (unsigned i = 0; i < FILTERS; i++)
        if (player->filters[i] == filter)
            return;
    if (player->filters[f])
        sim_unsubscribe(player->conn, player->filters[f]);
    sim_subscribe(player->conn, &(struct sim_subscribe){.filter = filter, .options = 2});
    sim_settle(sim);
    struct server_packet packet;
    uint8_t reason = 0;
    bool hopeless = true;
    for (unsigned i = 0; i < ARRAY_LEN(topics); i++)
        hopeless &= !topic_matches(slice_str(filter), slice_str(topics[i])) ||
                    !allowed(player, ACL_RECEIVE, slice_str(topics[i]));
    while (sim_next(player->conn, &packet)) {
        if (packet.type == MQTT_SUBACK)
            reason = packet.reason;
        if (packet.type != MQTT_PUBLISH)
            continue;
        cr_assert(allowed(player, ACL_RECEIVE, packet.topic));
        if (packet.qos > 0)
            sim_ack(player->conn, packet.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet.packet_id);
    }
    cr_assert(reason < 3 || (reason == 0x87 && hopeless), "%s: 0x%02x", filter, reason);
    player->filters[f] = reason < 3 ? filter : NULL;
    drain(NULL);
}

static void
come_or_go(struct player *player)
{
    if (player->conn) {
        sim_close(player->conn, 0);
        player->conn = NULL;
    } else {
        player->conn = sim_connect(
            sim, &(struct sim_connect){
                     .id = player->id, .user = player->user, .keep = true, .expiry_s = 100000});
        cr_assert(player->conn->hello.session_present);
    }
    sim_settle(sim);
    drain(NULL);
}

static void
play(uint64_t seed)
{
    state = seed * UINT64_C(0x9e3779b97f4a7c15);
    rules = NULL;
    sim = sim_new(SHARDS, sim_config());
    for (unsigned i = 0; i < CLIENTS; i++) {
        players[i] = (struct player){.id = id_on(sim, i % SHARDS), .user = users[i % USERS]};
        players[i].conn = sim_connect(sim, &(struct sim_connect){.id = players[i].id,
                                                                 .user = players[i].user,
                                                                 .keep = true,
                                                                 .expiry_s = 100000});
    }
    for (unsigned step = 0; step < 150; step++) {
        struct player *player = &players[pick(CLIENTS)];
        unsigned what = pick(10);
        if (what == 0)
            change_rules();
        else if (what < 3)
            come_or_go(player);
        else if (player->conn && what < 5)
            subscribe(player);
        else if (player->conn)
            publish(player);
    }
    end_empty(sim);
}

Test(rights_random, nobody_is_sent_what_it_may_not_read, .timeout = 300)
{
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 1;
    for (unsigned i = 0; i < 600; i++, seed++) {
        fprintf(stderr, "\rSEED=%llu ", (unsigned long long)seed); // the last one is where it ended
        play(seed);
    }
    cr_assert(delivered > 5000 && withheld > 1000 && queued > 1000,
              "%u delivered, %u withheld, %u queued", delivered, withheld, queued);
}
