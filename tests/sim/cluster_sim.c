// cluster_sim.c - membership under everything that networks, clocks and machines do to it.
//
//   cluster_sim                             what continuous integration runs: 3, 5, 64 nodes, 200
//   seeds cluster_sim --nodes 5 --seed 17 -v      one run, told cluster_sim --nodes 1000 --seeds 3
//   the long run cluster_sim --figures                   the table in cluster/README.md
//
// A run: the nodes start, must agree, live through a minute of faults, are left alone, must agree
// again and stay so. What fails prints its seed; the same seed fails in the same way.
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/cluster_routes.h"

#define FAULTS_FOR  (60 * SECOND)
#define AGREE_START (20 * SECOND)
#define AGREE_EACH  (40 * MS)     // more for each node: all of them have to be told of all
#define AGREE_REST  (45 * SECOND) // three rounds of the healer, and what a suspicion takes
#define SETTLE_FOR  (10 * SECOND) // what is agreed is still being told
#define QUIET_FOR   (20 * SECOND)
#define QUIET_BYTES 600u // a second and node

struct run {
    struct world *world;
    uint64_t split_until, loss_until, one_way_until;
    uint32_t base_loss;
};

static double
cpu_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
note(const struct world *world, const char *what, uint32_t node)
{
    if (world->verbose)
        printf("%9.3f s  %s %u\n", (double)world->now / 1e6, what, node);
}

// Runs until all agree; how long that took, or UINT64_MAX when it did not come to that.
static uint64_t
run_until_agreed(struct world *world, uint64_t at_most, char why[160])
{
    uint64_t begin = world->now;
    while (world->now < begin + at_most && !world->problem[0]) {
        world_run(world, world->now + 100 * MS);
        if (world_agrees(world, why) && (world->changes || routes_agree(world, false, why)))
            return world->now - begin;
    }
    return UINT64_MAX;
}

static void
start_all(struct world *world, uint64_t within)
{
    uint64_t begin = world->now;
    for (uint32_t i = 0; i < world->node_count; i++) {
        world_run(world, begin + within * i / world->node_count);
        world_start(world, i);
    }
}

// ---- Faults -------------------------------------------------------------------------------------

static void
restart_later(struct world *world, uint32_t n, bool new_address)
{
    world->nodes[n].restart_at = world->now + (1 + world_random(world, 20)) * SECOND;
    world->nodes[n].new_address = new_address;
}

static void
fault_end_of_process(struct world *world, uint32_t n)
{
    switch (world_random(world, 4)) {
    case 0:
        note(world, "process of a node dies", n);
        world_crash(world, n, true);
        restart_later(world, n, false);
        break;
    case 1:
        note(world, "machine dies, comes back elsewhere", n);
        world_crash(world, n, false);
        restart_later(world, n, true);
        break;
    case 2:
        note(world, "node leaves and comes back", n);
        world_leave(world, n);
        restart_later(world, n, world_random(world, 2));
        break;
    default:
        note(world, "node restarts at once", n);
        world_crash(world, n, true);
        world_start(world, n);
    }
}

static void
fault_address(struct run *run, uint32_t n)
{
    struct world *world = run->world;
    uint32_t other = world->node_count - 1; // a stranger
    switch (world_random(world, 3)) {
    case 0:
        note(world, "address changes under a running node", n);
        world_move(world, n);
        return;
    case 1:
        if (!world->nodes[other].gossip)
            return;
        note(world, "another cluster takes over the address of a node", n);
        world_crash(world, n, false);
        world_crash(world, other, false);
        world_swap(world, n, other);
        world_start(world, other);
        restart_later(world, n, true);
        return;
    default:
        other = (n + 1) % world->members;
        if (!world->nodes[other].gossip)
            return;
        note(world, "restart with each other's addresses: a node and the next", n);
        world_crash(world, n, world_random(world, 2));
        world_crash(world, other, world_random(world, 2));
        world_swap(world, n, other);
        restart_later(world, n, false);
        restart_later(world, other, false);
    }
}

static void
fault_network(struct run *run, uint32_t n)
{
    struct world *world = run->world;
    switch (world_random(world, 4)) {
    case 0: {
        if (run->split_until)
            return;
        uint32_t part = 1 + world_random(world, 9);
        note(world, "split, tenths on the other side:", part);
        for (uint32_t i = 0; i < world->members; i++)
            world->nodes[i].side = world_random(world, 10) < part;
        run->split_until = world->now + (5 + world_random(world, 30)) * SECOND;
        return;
    }
    case 1:
        if (world->one_way_count == WORLD_ONE_WAYS)
            return;
        note(world, "one way is cut from node", n);
        world->one_ways[world->one_way_count++] =
            (struct one_way){n, (n + 1 + world_random(world, world->members - 1)) % world->members};
        run->one_way_until = world->now + (5 + world_random(world, 25)) * SECOND;
        return;
    case 2:
        note(world, "nothing reaches node", n);
        world->nodes[n].deaf = true;
        run->one_way_until = world->now + (5 + world_random(world, 25)) * SECOND;
        return;
    default:
        note(world, "loss rises", 300);
        world->loss = 300;
        run->loss_until = world->now + 5 * SECOND;
    }
}

static void
fault_time(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    switch (world_random(world, 3)) {
    case 0:
        note(world, "clock jumps an hour ahead:", n);
        node->clock_ms += 3600000;
        break;
    case 1:
        note(world, "clock jumps back:", n);
        node->clock_ms -= 600000;
        break;
    default:
        note(world, "pause of", n);
        world_pause(world, n);
        node->resume_at = world->now + (1 + world_random(world, 25)) * SECOND;
        return;
    }
    world_wake(world, n);
}

static void
fault_details(struct world *world, uint32_t n)
{
    struct gossip_event event = {.kind = GOSSIP_META};
    char meta[GOSSIP_META_MAX];
    memset(meta, 'a' + (int)world_random(world, 26), sizeof meta);
    event.bytes = slice_of(meta, world_random(world, GOSSIP_META_MAX + 1));
    note(world, "metadata changes:", n);
    world_event(world, n, &event);
}

static void
fault(struct run *run)
{
    struct world *world = run->world;
    uint32_t n = world_random(world, world->members);
    if (!world->nodes[n].gossip || world->nodes[n].paused)
        return;
    switch (world_random(world, 5)) {
    case 0:
        fault_end_of_process(world, n);
        break;
    case 1:
        fault_address(run, n);
        break;
    case 2:
        fault_network(run, n);
        break;
    case 3:
        fault_time(world, n);
        break;
    default:
        fault_details(world, n);
    }
}

// Ends what has lasted; everything when all is true.
static void
repair(struct run *run, bool all)
{
    struct world *world = run->world;
    if (all || (run->split_until && world->now >= run->split_until)) {
        for (uint32_t i = 0; i < world->members; i++)
            world->nodes[i].side = 0;
        run->split_until = 0;
    }
    if (all || world->now >= run->one_way_until) {
        world->one_way_count = 0;
        for (uint32_t i = 0; i < world->members; i++)
            world->nodes[i].deaf = false;
    }
    if (all || world->now >= run->loss_until)
        world->loss = run->base_loss;
    for (uint32_t i = 0; i < world->members; i++) {
        struct node *node = &world->nodes[i];
        if (node->paused && (all || world->now >= node->resume_at)) {
            note(world, "goes on:", i);
            world_resume(world, i);
        }
        if (node->restart_at && (all || world->now >= node->restart_at)) {
            note(world, "is back:", i);
            if (node->new_address)
                world_move(world, i);
            world_start(world, i);
        }
    }
}

// ---- A run --------------------------------------------------------------------------------------

static void
live_through_faults(struct run *run)
{
    struct world *world = run->world;
    uint64_t end = world->now + FAULTS_FOR;
    // More nodes have more accidents, but not so many that nothing else is left.
    uint32_t pause_ms = 20000 / (2 + min_u32(world->members, 64) / 4);
    while (world->now < end && !world->problem[0]) {
        world_run(world, world->now + (1 + world_random(world, pause_ms)) * MS);
        repair(run, false);
        fault(run);
    }
    repair(run, true);
}

static void
check_quiet(struct world *world)
{
    char why[160];
    world_run(world, world->now + SETTLE_FOR + world->members * AGREE_EACH);
    uint64_t bytes = world_bytes(world);
    world_run(world, world->now + QUIET_FOR);
    bytes = (world_bytes(world) - bytes) / (QUIET_FOR / SECOND) / world->members;
    if (bytes > QUIET_BYTES)
        world_fail(world, "at rest, each node sends %llu bytes a second",
                   (unsigned long long)bytes);
    if (!world->problem[0] && (!world_agrees(world, why) || !routes_agree(world, true, why)))
        world_fail(world, "agreed, and then not any more: %s", why);
}

struct outcome {       // of several runs
    uint64_t rest_max; // the longest that it took until all agreed after the faults
    uint64_t messages, seconds;
};

// True when it was good.
static bool
run_seed(uint32_t nodes, uint64_t seed, bool verbose, struct outcome *outcome)
{
    // Seals and routes cost CPU, and show nothing more with more nodes.
    struct world *world = world_new(seed, nodes, 1, nodes <= 5);
    char why[160] = "";
    world->verbose = verbose;
    struct run run = {.world = world, .base_loss = world_random(world, 3) * 10};
    world->loss = run.base_loss;
    world->twice = world->late = world_random(world, 3) * 10;
    if (nodes <= 5)
        world_add_routes(world);
    start_all(world, 2 * SECOND);
    if (run_until_agreed(world, AGREE_START + nodes * AGREE_EACH, why) == UINT64_MAX)
        world_fail(world, "no agreement after the start: %s", why);
    live_through_faults(&run);
    world->loss = world->twice = world->late = 0;
    world->changes = false;
    uint64_t rest = run_until_agreed(world, AGREE_REST + nodes * AGREE_EACH, why);
    if (rest == UINT64_MAX)
        world_fail(world, "no agreement after the faults: %s", why);
    else
        outcome->rest_max = max_u64(outcome->rest_max, rest);
    if (!world->problem[0])
        check_quiet(world);
    if (!world->problem[0] && world->sealed && world->strangers == 0)
        world_fail(world, "no seal has refused the stranger");
    bool good = !world->problem[0];
    if (!good)
        printf("FAIL  --nodes %u --seed %llu at %.3f s: %s\n", nodes, (unsigned long long)seed,
               (double)world->now / 1e6, world->problem);
    struct gossip_stats stats;
    world_stats(world, &stats);
    outcome->messages += stats.messages_out;
    outcome->seconds += world->now / SECOND;
    world_free(world);
    return good;
}

static bool
run_seeds(uint32_t nodes, uint64_t first, uint64_t count, bool verbose)
{
    struct outcome outcome = {0};
    uint64_t failed = 0;
    double begin = cpu_seconds();
    for (uint64_t seed = first; seed < first + count && failed < 10; seed++)
        failed += !run_seed(nodes, seed, verbose, &outcome);
    printf("%u nodes, %llu seeds: %s, agreed again within %.1f s at most; %llu messages in %llu s, "
           "%.1f s of CPU\n",
           nodes, (unsigned long long)count, failed ? "FAILED" : "good",
           (double)outcome.rest_max / 1e6, (unsigned long long)outcome.messages,
           (unsigned long long)outcome.seconds, cpu_seconds() - begin);
    (void)fflush(stdout);
    return failed == 0;
}

// ---- Figures ------------------------------------------------------------------------------------

static struct world *
settled(uint32_t nodes, uint64_t seed)
{
    char why[160] = "";
    struct world *world = world_new(seed, nodes, 0, false);
    start_all(world, 2 * SECOND);
    if (run_until_agreed(world, 120 * SECOND, why) == UINT64_MAX) {
        printf("%u nodes did not agree at the start: %s\n", nodes, why);
        exit(1);
    }
    return world;
}

// From a crash until everybody knows.
static void
figure_detection(uint32_t nodes, uint64_t seeds, bool told)
{
    double sum = 0, worst = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct world *world = settled(nodes, seed);
        world_run(world, world->now + 5 * SECOND + world_random(world, SECOND));
        uint64_t begin = world->now;
        world_crash(world, nodes / 2, told);
        while (!world_buried(world, nodes / 2) && world->now < begin + 100 * SECOND)
            world_run(world, world->now + 20 * MS);
        double took = (double)(world->now - begin) / 1e6;
        sum += took;
        worst = fmax(worst, took);
        world_free(world);
    }
    printf("%5u nodes: %s seen by all after %.2f s, %.2f s at most (%llu seeds)\n", nodes,
           told ? "refused link" : "silent crash", sum / (double)seeds, worst,
           (unsigned long long)seeds);
}

static void
figure_rest(uint32_t nodes)
{
    struct world *world = settled(nodes, 1);
    world_run(world, world->now + 30 * SECOND);
    uint64_t bytes = world_bytes(world);
    double begin = cpu_seconds();
    world_run(world, world->now + 60 * SECOND);
    printf("%5u nodes: at rest %.0f B/s sent by each, with seal and IP; 60 s cost %.2f s of CPU\n",
           nodes, (double)(world_bytes(world) - bytes) / 60 / nodes, cpu_seconds() - begin);
    world_free(world);
}

// streams: those that are dialled lose nothing; else they are as bad as datagrams.
static void
figure_loss(uint32_t nodes, uint64_t seconds, bool streams)
{
    struct world *world = settled(nodes, 1);
    world_run(world, world->now + 60 * SECOND); // the start is told to the end
    world->streams_lose = !streams;
    struct gossip_stats before, after;
    world_stats(world, &before);
    uint64_t bytes = world_bytes(world), false_before = world->false_deaths;
    world->loss = 200;
    world_run(world, world->now + seconds * SECOND);
    world_stats(world, &after);
    printf(
        "%5u nodes, 20 %% loss%s, %llu s: %llu probes, %llu failed, %llu suspicions, %llu deaths "
        "declared, seen %llu times; %.0f B/s each\n",
        nodes, streams ? "" : " of streams too", (unsigned long long)seconds,
        (unsigned long long)(after.probes - before.probes),
        (unsigned long long)(after.probes_failed - before.probes_failed),
        (unsigned long long)(after.suspected - before.suspected),
        (unsigned long long)(after.deaths - before.deaths),
        (unsigned long long)(world->false_deaths - false_before),
        (double)(world_bytes(world) - bytes) / (double)seconds / nodes);
    world_free(world);
}

// The cut lasts 60 s; from its end until all agree.
static void
figure_split(uint32_t nodes, uint64_t seeds)
{
    double sum = 0, worst = 0;
    char why[160] = "";
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct world *world = settled(nodes, seed);
        for (uint32_t i = 0; i < nodes; i++)
            world->nodes[i].side = i >= (nodes + 1) / 2;
        world_run(world, world->now + 60 * SECOND);
        for (uint32_t i = 0; i < nodes; i++)
            world->nodes[i].side = 0;
        uint64_t took = run_until_agreed(world, 600 * SECOND, why);
        if (took == UINT64_MAX)
            printf("not healed: %s\n", why);
        sum += (double)took / 1e6;
        worst = fmax(worst, (double)took / 1e6);
        world_free(world);
    }
    printf("%5u nodes: a split of 60 s healed after %.1f s, %.1f s at most (%llu seeds)\n", nodes,
           sum / (double)seeds, worst, (unsigned long long)seeds);
}

static void
figures(uint32_t only)
{
    static const uint32_t sizes[] = {3, 5, 10, 64, 100, 1000};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        uint64_t seeds = sizes[i] == 1000 ? 2 : sizes[i] > 10 ? 20 : 200;
        if (only != 0 && only != sizes[i])
            continue;
        figure_detection(sizes[i], seeds, false);
        figure_detection(sizes[i], seeds, true);
        figure_rest(sizes[i]);
        figure_loss(sizes[i], sizes[i] == 1000 ? 60 : 600, true);
        figure_loss(sizes[i], sizes[i] == 1000 ? 60 : 600, false);
        figure_split(sizes[i], seeds);
        (void)fflush(stdout);
    }
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"nodes", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'c'}, {"figures", no_argument, NULL, 'f'},
        {"verbose", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0}};
    uint64_t seed = 1, seeds = 0;
    uint32_t nodes = 0;
    bool verbose = false, good = true, figure = false;
    int option;
    while ((option = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        if (option == 'n')
            nodes = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'c')
            seeds = strtoull(optarg, NULL, 10);
        else if (option == 'v')
            verbose = true;
        else if (option == 'f')
            figure = true;
        else
            return 2;
    }
    if (figure) {
        figures(nodes);
        return 0;
    }
    static const uint32_t usual[] = {3, 5, 64};
    for (unsigned i = 0; i < ARRAY_LEN(usual); i++)
        if (nodes == 0 || i == 0)
            good &= run_seeds(nodes ? nodes : usual[i], seed,
                              seeds   ? seeds
                              : nodes ? 1
                                      : 200,
                              verbose);
    return !good;
}
