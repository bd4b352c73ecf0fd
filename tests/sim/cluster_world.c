// cluster_world.c - nodes, a network and time, all from one seed.
#include "tests/sim/cluster_world.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "tests/sim/cluster_routes.h"

#define NOBODY       UINT32_MAX
#define EVENTS_MAX   5000u // a second and node; a whole table of 1,000 is some 60
#define IP_UDP       28u   // headers
#define IP_TCP       40u
#define RESET_MS_MAX 50u
#define PUMP_EACH    (100 * MS)
#define PARCELS_MAX  300u // what a socket holds while its process does not read

enum parcel_kind {
    PARCEL_MESSAGE,
    PARCEL_WAKE,
    PARCEL_PUMP,    // a moment of the links
    PARCEL_REFUSED, // to is told that from's process is gone
};

struct parcel {
    uint64_t at, order;
    enum parcel_kind kind;
    bool reliable;
    uint32_t from, to_node; // to_node: of WAKE, REFUSED
    uint32_t from_address, to_address;
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint32_t len;
    uint8_t bytes[];
};

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t
world_random(struct world *world, uint32_t n)
{
    must(n > 0);
    return (uint32_t)(((next_random(&world->random) >> 32) * n) >> 32);
}

void
world_fail(struct world *world, const char *format, ...)
{
    if (world->problem[0])
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(world->problem, sizeof world->problem, format, args);
    va_end(args);
}

// ---- Events in order ----------------------------------------------------------------------------

static bool
before(const struct parcel *a, const struct parcel *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void
heap_put(struct world *world, struct parcel *parcel)
{
    parcel->order = ++world->order;
    must(parcel->at >= world->now);
    world->heap =
        mem_grow(world->heap, &world->heap_cap, world->heap_count + 1, sizeof(struct parcel *));
    uint32_t i = world->heap_count++;
    for (; i > 0 && before(parcel, world->heap[(i - 1) / 2]); i = (i - 1) / 2)
        world->heap[i] = world->heap[(i - 1) / 2];
    world->heap[i] = parcel;
}

static struct parcel *
heap_take(struct world *world)
{
    struct parcel *first = world->heap[0], *last = world->heap[--world->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count && before(world->heap[child + 1], world->heap[child]))
            child++;
        if (!before(world->heap[child], last))
            break;
        world->heap[i] = world->heap[child];
        i = child;
    }
    world->heap[i] = last;
    return first;
}

// ---- Addresses ----------------------------------------------------------------------------------

static struct gossip_address
address_of(uint32_t number)
{
    struct gossip_address address = {.port = 7946};
    address.ip[10] = address.ip[11] = 0xff;
    address.ip[12] = 10;
    address.ip[13] = (uint8_t)(number >> 16);
    address.ip[14] = (uint8_t)(number >> 8);
    address.ip[15] = (uint8_t)number;
    return address;
}

static uint32_t
number_of(const struct gossip_address *address)
{
    return (uint32_t)address->ip[13] << 16 | (uint32_t)address->ip[14] << 8 | address->ip[15];
}

static void
own(struct world *world, uint32_t address, uint32_t node)
{
    uint32_t old = world->owners_cap;
    world->owners =
        mem_grow(world->owners, &world->owners_cap, address + 1, sizeof world->owners[0]);
    for (uint32_t i = old; i < world->owners_cap; i++)
        world->owners[i] = NOBODY;
    world->owners[address] = node;
}

static uint32_t
new_address(struct world *world, uint32_t node)
{
    uint32_t address = world->next_address++;
    own(world, address, node);
    return address;
}

// ---- The network --------------------------------------------------------------------------------

bool
world_cut(const struct world *world, uint32_t from, uint32_t to)
{
    if (world->nodes[from].side != world->nodes[to].side || world->nodes[to].deaf)
        return true;
    for (uint32_t i = 0; i < world->one_way_count; i++)
        if (world->one_ways[i].from == from && world->one_ways[i].to == to)
            return true;
    return false;
}

static void
post(struct world *world, const struct parcel *parcel, uint64_t delay)
{
    struct parcel *copy = mem_alloc(sizeof *copy + parcel->len);
    memcpy(copy, parcel, sizeof *copy + parcel->len);
    copy->at = world->now + delay;
    heap_put(world, copy);
}

// Loses, doubles and delays; what is cut is lost on arrival, too.
static void
ship(struct world *world, const struct parcel *parcel)
{
    uint64_t delay = 200 + world_random(world, 2000);
    bool lost = world_random(world, 1000) < world->loss;
    if (world_random(world, 1000) < world->late)
        delay += world_random(world, 300 * MS);
    if (parcel->reliable && !world->streams_lose) { // dialled, and sent again when it is lost
        delay = delay * 3 + (lost ? 200 * MS : 0);
    } else if (lost) {
        return;
    }
    post(world, parcel, delay);
    if (!parcel->reliable && world_random(world, 1000) < world->twice)
        post(world, parcel, delay + world_random(world, 50 * MS));
}

// ---- What a node is told ------------------------------------------------------------------------

static uint32_t
node_of(const struct world *world, const struct gossip_uuid *uuid)
{
    uint32_t n = gossip_uuid_short(uuid);
    must(n < world->node_count);
    return n;
}

static void
watch_state(struct world *world, uint32_t observer, const struct gossip_action *action)
{
    uint32_t n = node_of(world, &action->uuid);
    struct node *subject = &world->nodes[n];
    struct seen *seen = &world->nodes[observer].seen[n];
    if (seen->known && action->incarnation < seen->incarnation)
        world_fail(world, "node %u took incarnation %llu of %u after %llu", observer,
                   (unsigned long long)action->incarnation, n,
                   (unsigned long long)seen->incarnation);
    if (seen->known && seen->state == GOSSIP_LEFT && action->state != GOSSIP_LEFT &&
        action->incarnation == seen->incarnation)
        world_fail(world, "node %u raised incarnation %llu of %u, which has left", observer,
                   (unsigned long long)action->incarnation, n);
    if (action->incarnation > subject->incarnation)
        world_fail(world, "node %u knows a life of %u that never was", observer, n);
    if (subject->cluster != world->nodes[observer].cluster)
        world_fail(world, "node %u took the stranger %u for a member", observer, n);
    if (action->state == GOSSIP_DEAD && (!seen->known || seen->state != GOSSIP_DEAD) &&
        subject->gossip && !subject->paused && action->incarnation == subject->incarnation &&
        !world_cut(world, observer, n) && !world_cut(world, n, observer))
        world->false_deaths++;
    *seen = (struct seen){action->incarnation, action->state, true};
}

static void
take_actions(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    union {
        struct parcel parcel;
        uint8_t room[sizeof(struct parcel) + GOSSIP_DATAGRAM_MAX];
    } box;
    memset(&box.parcel, 0, sizeof box.parcel);
    for (uint32_t i = 0; i < world->actions.count; i++) {
        const struct gossip_action *action = &world->actions.items[i];
        struct slice message = slice_of(world->actions.bytes + action->offset, action->len);
        switch (action->kind) {
        case GOSSIP_SEND:
            box.parcel.kind = PARCEL_MESSAGE;
            box.parcel.reliable = action->reliable;
            box.parcel.from = n;
            box.parcel.from_address = node->address;
            box.parcel.to_address = number_of(&action->address);
            box.parcel.uuid = node->uuid;
            box.parcel.incarnation = node->incarnation;
            if (node->seal) {
                box.parcel.len = seal_close(node->seal, message, box.parcel.bytes);
            } else {
                box.parcel.len = message.len;
                memcpy(box.parcel.bytes, message.data, message.len);
            }
            node->bytes_out += action->len + SEAL_OVERHEAD + (action->reliable ? IP_TCP : IP_UDP);
            node->datagrams_out++;
            ship(world, &box.parcel);
            break;
        case GOSSIP_MEMBER:
            watch_state(world, n, action);
            break;
        case GOSSIP_OUTDATED:
        case GOSSIP_GIVEN_UP:
            world_fail(world, "node %u was told that it is outdated, or has left", n);
            break;
        case GOSSIP_NAME_TWICE:
            world->names_twice++;
            break;
        case GOSSIP_NEWS:
            if (world->routes && node->cluster == 0)
                routes_news(world, n, node_of(world, &action->uuid));
            break;
        case GOSSIP_FORGOTTEN:
            break;
        }
    }
}

// ---- Driving a node -----------------------------------------------------------------------------

static uint64_t
clock_of(const struct world *world, const struct node *node)
{
    return (uint64_t)((int64_t)(world->now / MS) + node->clock_ms);
}

static void
plan_wake(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    int64_t until = (int64_t)gossip_wait_until(node->gossip) - node->clock_ms;
    uint64_t at = max_u64((uint64_t)until * MS, world->now);
    if (node->wake_at > world->now && node->wake_at <= at)
        return; // it wakes early and plans anew
    node->wake_at = at;
    struct parcel wake = {.kind = PARCEL_WAKE, .to_node = n};
    post(world, &wake, at - world->now);
}

void
world_event(struct world *world, uint32_t n, const struct gossip_event *event)
{
    struct node *node = &world->nodes[n];
    if (!node->gossip || node->paused)
        return;
    gossip_step(node->gossip, clock_of(world, node), event, &world->actions);
    take_actions(world, n);
    plan_wake(world, n);
}

// What a name server says: where some of the members are, or were when they died.
static void
resolve(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    struct gossip_address seeds[3];
    struct gossip_event event = {.kind = GOSSIP_SEEDS, .seeds = seeds, .seed_count = 3};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t member =
            world->members <= 3 ? i % world->members : world_random(world, world->members);
        seeds[i] = address_of(world->nodes[member].address);
    }
    world_event(world, n, &event);
    node->resolve_at = world->now + (gossip_alive(node->gossip) > 1 ? 30 : 5) * SECOND;
}

void
world_wake(struct world *world, uint32_t n)
{
    struct gossip_event tick = {.kind = GOSSIP_TICK};
    struct node *node = &world->nodes[n];
    node->wake_at = 0;
    if (node->gossip && !node->paused && world->now >= node->resolve_at)
        resolve(world, n);
    world_event(world, n, &tick);
}

static void
deliver(struct world *world, uint32_t n, const struct parcel *parcel)
{
    struct node *node = &world->nodes[n];
    uint8_t room[GOSSIP_PLAIN_MAX];
    struct gossip_event event = {
        .kind = GOSSIP_RECEIVED,
        .uuid = parcel->uuid,
        .incarnation = parcel->incarnation,
        .reliable = parcel->reliable,
        .address = address_of(parcel->from_address),
        .bytes = slice_of(parcel->bytes, parcel->len),
    };
    if (node->seal) {
        struct seal_opened opened;
        if (seal_open(node->seal, event.bytes, room, &opened) != OK) {
            world->strangers += world->nodes[parcel->from].cluster != node->cluster;
            return;
        }
        must(gossip_uuid_equal(&opened.uuid, &parcel->uuid));
        event.bytes = opened.message;
    }
    world_event(world, n, &event);
}

static void
arrive(struct world *world, struct parcel *parcel)
{
    uint32_t n =
        parcel->to_address < world->owners_cap ? world->owners[parcel->to_address] : NOBODY;
    if (n == NOBODY || world_cut(world, parcel->from, n) ||
        (parcel->reliable && world_cut(world, n, parcel->from)))
        return;
    struct node *node = &world->nodes[n];
    if (!node->gossip)
        return;
    if (!node->paused) {
        deliver(world, n, parcel);
    } else if (node->parcel_count < PARCELS_MAX) {
        struct parcel *copy = mem_alloc(sizeof *copy + parcel->len);
        memcpy(copy, parcel, sizeof *copy + parcel->len);
        node->parcels = mem_grow(node->parcels, &node->parcel_cap, node->parcel_count + 1,
                                 sizeof(struct parcel *));
        node->parcels[node->parcel_count++] = copy;
    }
}

static void
drop_parcels(struct node *node)
{
    for (uint32_t i = 0; i < node->parcel_count; i++)
        mem_free(node->parcels[i]);
    node->parcel_count = 0;
}

// ---- Life and death -----------------------------------------------------------------------------

static void
sum_stats(struct gossip_stats *sum, const struct gossip_stats *more)
{
#define X(name) sum->name += more->name;
    GOSSIP_STATS(X)
#undef X
}

static void
stop(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    sum_stats(&world->past, gossip_stats(node->gossip));
    routes_stop(world, n);
    gossip_check(node->gossip);
    gossip_free(node->gossip);
    seal_free(node->seal);
    node->gossip = NULL;
    node->seal = NULL;
    node->paused = false;
    node->dead_at = world->now;
    node->wake_at = 0;
    drop_parcels(node);
    memset(node->seen, 0, world->node_count * sizeof *node->seen);
}

void
world_start(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    char name[32], cluster[32];
    static const char secret[] = "one secret for all of them";
    must(!node->gossip);
    (void)snprintf(name, sizeof name, "node-%u", n);
    (void)snprintf(cluster, sizeof cluster, "cluster-%u", node->cluster);
    node->incarnation++;
    node->dead_at = node->restart_at = 0;
    struct gossip_config config = {
        .cluster = seal_cluster(slice_str(cluster)),
        .uuid = node->uuid,
        .incarnation = node->incarnation,
        .name = slice_str(name),
        .meta = slice_str("8 bytes."),
        .address = address_of(node->address),
        .members_max = 2048,
        .seed = next_random(&world->random),
    };
    node->gossip = gossip_new(&config, clock_of(world, node));
    if (world->sealed) {
        struct seal_config seal = {
            .cluster_name = slice_str(cluster),
            .secrets = {slice_str(secret)},
            .secret_count = 1,
            .uuid = node->uuid,
            .incarnation = node->incarnation,
            .boot = next_random(&world->random),
        };
        err_t err = seal_new(&seal, &node->seal);
        must(err == OK);
    }
    node->resolve_at = 0;
    if (world->routes && node->cluster == 0)
        routes_start(world, n);
    world_wake(world, n);
}

void
world_add_routes(struct world *world)
{
    struct parcel pump = {.kind = PARCEL_PUMP};
    world->routes = world->changes = true;
    post(world, &pump, PUMP_EACH);
}

void
world_crash(struct world *world, uint32_t n, bool told)
{
    uint64_t incarnation = world->nodes[n].incarnation;
    stop(world, n);
    for (uint32_t i = 0; told && i < world->members; i++) {
        if (i == n || world_cut(world, n, i) || world_cut(world, i, n))
            continue;
        struct parcel refused = {.kind = PARCEL_REFUSED, .from = n, .to_node = i};
        refused.incarnation = incarnation;
        refused.uuid = world->nodes[n].uuid;
        post(world, &refused, MS + world_random(world, RESET_MS_MAX * MS));
    }
}

void
world_leave(struct world *world, uint32_t n)
{
    struct gossip_event event = {.kind = GOSSIP_LEAVE};
    world_event(world, n, &event);
    stop(world, n);
}

void
world_pause(struct world *world, uint32_t n)
{
    world->nodes[n].paused = true;
}

void
world_resume(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    struct parcel **parcels = node->parcels;
    uint32_t count = node->parcel_count;
    node->paused = false;
    node->resume_at = 0;
    node->parcels = NULL;
    node->parcel_count = node->parcel_cap = 0;
    for (uint32_t i = 0; i < count; i++) {
        deliver(world, n, parcels[i]);
        mem_free(parcels[i]);
    }
    mem_free(parcels);
    world_wake(world, n);
}

void
world_move(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    if (world->owners[node->address] == n)
        world->owners[node->address] = NOBODY;
    node->address = new_address(world, n);
    struct gossip_event event = {.kind = GOSSIP_ADDRESS, .address = address_of(node->address)};
    world_event(world, n, &event);
}

void
world_swap(struct world *world, uint32_t a, uint32_t b)
{
    uint32_t address = world->nodes[a].address;
    must(!world->nodes[a].gossip && !world->nodes[b].gossip);
    world->nodes[a].address = world->nodes[b].address;
    world->nodes[b].address = address;
    own(world, world->nodes[a].address, a);
    own(world, address, b);
}

struct world *
world_new(uint64_t seed, uint32_t members, uint32_t strangers, bool sealed)
{
    struct world *world = mem_zalloc(sizeof *world);
    must(members >= 1 && members + strangers <= WORLD_NODES_MAX);
    world->seed = seed;
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15) + members;
    world->node_count = members + strangers;
    world->members = members;
    world->sealed = sealed;
    world->now = 10 * SECOND;
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        for (unsigned j = 0; j < 16; j++)
            node->uuid.bytes[j] = (uint8_t)(j < 4 ? i >> (24 - 8 * j) : world_random(world, 256));
        node->cluster = i < members ? 0 : 1 + i - members;
        node->clock_ms = (int64_t)world_random(world, 100000000);
        node->address = new_address(world, i);
        node->seen = mem_zalloc(world->node_count * sizeof *node->seen);
    }
    return world;
}

void
world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        routes_stop(world, i);
        gossip_free(node->gossip);
        seal_free(node->seal);
        drop_parcels(node);
        mem_free(node->parcels);
        mem_free(node->seen);
    }
    for (uint32_t i = 0; i < world->heap_count; i++)
        mem_free(world->heap[i]);
    mem_free(world->heap);
    mem_free(world->owners);
    gossip_actions_free(&world->actions);
    mem_free(world);
}

static void
happen(struct world *world, struct parcel *parcel)
{
    struct node *node = &world->nodes[parcel->to_node];
    switch (parcel->kind) {
    case PARCEL_MESSAGE:
        arrive(world, parcel);
        break;
    case PARCEL_WAKE:
        if (node->gossip && !node->paused && node->wake_at == parcel->at)
            world_wake(world, parcel->to_node);
        break;
    case PARCEL_PUMP: {
        struct parcel again = {.kind = PARCEL_PUMP};
        routes_pump(world, world->changes);
        post(world, &again, PUMP_EACH);
        break;
    }
    case PARCEL_REFUSED: {
        struct gossip_event event = {
            .kind = GOSSIP_REFUSED, .uuid = parcel->uuid, .incarnation = parcel->incarnation};
        world_event(world, parcel->to_node, &event);
    }
    }
}

void
world_run(struct world *world, uint64_t until)
{
    while (world->heap_count > 0 && world->heap[0]->at <= until && !world->problem[0]) {
        struct parcel *parcel = heap_take(world);
        must(parcel->at >= world->now);
        if (parcel->at / SECOND != world->now / SECOND)
            world->happened = 0;
        if (++world->happened > EVENTS_MAX * world->node_count)
            world_fail(world, "a storm: %llu events within a second",
                       (unsigned long long)world->happened);
        world->now = parcel->at;
        happen(world, parcel);
        mem_free(parcel);
    }
    world->now = max_u64(world->now, until);
}

// ---- Looking at it ------------------------------------------------------------------------------

static void
tell_difference(const struct world *world, uint32_t observer, char ret_why[160])
{
    const struct gossip *gossip = world->nodes[observer].gossip;
    for (uint32_t i = 0; i < world->members; i++) {
        struct gossip_view view = {.state = GOSSIP_DEAD};
        bool known = gossip_find(gossip, &world->nodes[i].uuid, &view);
        bool lives = view.state == GOSSIP_ALIVE || view.state == GOSSIP_SUSPECT;
        if (lives == (world->nodes[i].gossip != NULL))
            continue;
        (void)snprintf(ret_why, 160,
                       "%u sees %u %s: state %d, incarnation %llu of %llu, version %u", observer, i,
                       lives   ? "alive"
                       : known ? "gone"
                               : "not",
                       (int)view.state, (unsigned long long)view.incarnation,
                       (unsigned long long)world->nodes[i].incarnation, view.version);
        return;
    }
    (void)snprintf(ret_why, 160, "%u miscounts", observer);
}

bool
world_agrees(struct world *world, char ret_why[160])
{
    uint64_t hash = 0;
    uint32_t running = 0, first = NOBODY;
    for (uint32_t i = 0; i < world->members; i++)
        running += world->nodes[i].gossip != NULL;
    for (uint32_t i = 0; i < world->members; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->gossip)
            continue;
        if (first == NOBODY) {
            hash = gossip_hash(node->gossip);
            first = i;
        }
        if (gossip_alive(node->gossip) != running) {
            tell_difference(world, i, ret_why);
            return false;
        }
        if (gossip_hash(node->gossip) != hash) {
            (void)snprintf(ret_why, 160, "%u and %u have different tables", first, i);
            return false;
        }
    }
    // One table is all tables: is it true?
    for (uint32_t i = 0; first != NOBODY && i < world->members; i++) {
        const struct node *node = &world->nodes[i];
        struct gossip_view view;
        if (node->gossip)
            gossip_check(node->gossip);
        if (!gossip_find(world->nodes[first].gossip, &node->uuid, &view)) {
            if (!node->gossip)
                continue;
            (void)snprintf(ret_why, 160, "%u is not known", i);
            return false;
        }
        bool lives = view.state == GOSSIP_ALIVE || view.state == GOSSIP_SUSPECT;
        if (lives != (node->gossip != NULL) ||
            (lives && (view.incarnation != node->incarnation ||
                       number_of(&view.address) != node->address))) {
            (void)snprintf(ret_why, 160, "what is said of %u is not true", i);
            return false;
        }
    }
    return true;
}

bool
world_buried(const struct world *world, uint32_t n)
{
    for (uint32_t i = 0; i < world->members; i++) {
        struct gossip_view view;
        if (!world->nodes[i].gossip || i == n)
            continue;
        if (gossip_find(world->nodes[i].gossip, &world->nodes[n].uuid, &view) &&
            (view.state == GOSSIP_ALIVE || view.state == GOSSIP_SUSPECT))
            return false;
    }
    return true;
}

void
world_stats(const struct world *world, struct gossip_stats *ret_sum)
{
    *ret_sum = world->past;
    for (uint32_t i = 0; i < world->members; i++)
        if (world->nodes[i].gossip)
            sum_stats(ret_sum, gossip_stats(world->nodes[i].gossip));
}

uint64_t
world_bytes(const struct world *world)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world->members; i++)
        sum += world->nodes[i].bytes_out;
    return sum;
}
