// test_cluster_routes.c - a route log and its replicas, by hand and against a model under faults.
#include <criterion/criterion.h>
#include <stdio.h>

#include "cluster/route_log.h"

#define KEYS 40u

static uint64_t random_state;

static uint32_t
below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(((random_state >> 32) * n) >> 32);
}

static struct slice
key_of(uint32_t i, char room[64])
{
    // Of many lengths, so that changes wrap in the ring at every place.
    int len = snprintf(room, 64, "%u/%.*s", i, (int)(i % 30), "a/filter/of/some/thirty/bytes");
    return slice_of(room, (size_t)len);
}

static err_t
tell(struct route_log *log, struct route_reader *reader, struct route_replica *replica,
     enum route_step *ret_step)
{
    struct route_op op = {0};
    struct route_digest digest = {0};
    *ret_step = route_reader_next(log, reader, &op, &digest);
    return route_replica_take(replica, route_log_incarnation(log), *ret_step, &op, &digest);
}

static void
tell_all(struct route_log *log, struct route_reader *reader, struct route_replica *replica)
{
    enum route_step step;
    do
        cr_assert_eq(tell(log, reader, replica, &step), OK);
    while (step != ROUTE_NOTHING);
}

static void
begin(const struct route_log *log, struct route_replica *replica, struct route_reader *reader)
{
    uint64_t incarnation, applied;
    route_replica_link_up(replica, &incarnation, &applied);
    route_reader_begin(log, incarnation, applied, reader);
}

static void
cr_equal(const struct route_log *log, const struct route_replica *replica)
{
    struct route_digest a = route_log_digest(log), b = route_replica_digest(replica);
    cr_assert_eq(a.seq, b.seq);
    cr_assert_eq(a.hash, b.hash);
    cr_assert_eq(route_log_count(log), route_replica_count(replica));
}

Test(cluster_routes, the_hash_does_not_depend_on_the_way)
{
    struct route_log *a = route_log_new(1, 1024), *b = route_log_new(1, 1024);
    cr_assert(route_log_set(a, slice_str("x"), 1));
    cr_assert(route_log_set(a, slice_str("y"), 2));
    cr_assert_not(route_log_set(a, slice_str("y"), 2));
    cr_assert_not(route_log_set(a, slice_str("z"), 0));
    cr_assert_eq(route_log_digest(a).seq, 2);
    cr_assert(route_log_set(b, slice_str("y"), 5));
    cr_assert(route_log_set(b, slice_str(""), 1));
    cr_assert(route_log_set(b, slice_str("x"), 1));
    cr_assert_neq(route_log_digest(a).hash, route_log_digest(b).hash);
    cr_assert(route_log_set(b, slice_str(""), 0));
    cr_assert(route_log_set(b, slice_str("y"), 2));
    cr_assert_eq(route_log_digest(a).hash, route_log_digest(b).hash);
    cr_assert(route_log_set(b, slice_str("x"), 0));
    cr_assert(route_log_set(b, slice_str("y"), 0));
    cr_assert_eq(route_log_digest(b).hash, 0);
    route_log_free(a);
    route_log_free(b);
}

Test(cluster_routes, a_replica_goes_on_where_it_was_or_takes_a_snapshot)
{
    struct route_log *log = route_log_new(3, 256);
    struct route_replica *replica = route_replica_new(1000);
    struct route_reader reader;
    char room[64];
    begin(log, replica, &reader); // knows nothing, not even an incarnation
    tell_all(log, &reader, replica);
    cr_assert_eq(route_replica_stats(replica)->snapshots, 1);
    (void)route_log_set(log, slice_str("a"), 1);
    (void)route_log_set(log, slice_str("b"), 1);
    begin(log, replica, &reader);
    tell_all(log, &reader, replica);
    cr_equal(log, replica);
    cr_assert_eq(route_replica_stats(replica)->snapshots, 1);
    for (uint32_t i = 0; i < KEYS; i++) // more than the ring holds
        (void)route_log_set(log, key_of(i, room), 1);
    begin(log, replica, &reader);
    tell_all(log, &reader, replica);
    cr_equal(log, replica);
    cr_assert_eq(route_replica_stats(replica)->snapshots, 2);
    cr_assert_eq(route_replica_weight(replica, slice_str("a")), 1);
    route_log_free(log);
    route_replica_free(replica);
}

Test(cluster_routes, old_routes_stay_until_the_snapshot_is_whole)
{
    struct route_log *first = route_log_new(1, 1024), *second = route_log_new(2, 1024);
    struct route_replica *replica = route_replica_new(1000);
    struct route_reader reader;
    enum route_step step;
    (void)route_log_set(first, slice_str("old"), 1);
    begin(first, replica, &reader);
    tell_all(first, &reader, replica);
    (void)route_log_set(second, slice_str("new"), 1);
    begin(second, replica, &reader);
    do {
        cr_assert_eq(route_replica_weight(replica, slice_str("old")), 1);
        cr_assert_eq(route_replica_weight(replica, slice_str("new")), 0);
        cr_assert_eq(tell(second, &reader, replica, &step), OK);
    } while (step != ROUTE_END);
    cr_assert_eq(route_replica_weight(replica, slice_str("old")), 0);
    cr_assert_eq(route_replica_weight(replica, slice_str("new")), 1);
    begin(first, replica, &reader); // a life that is over tells nothing
    cr_assert_eq(tell(first, &reader, replica, &step), ERR_PROTOCOL);
    cr_equal(second, replica);
    route_log_free(first);
    route_log_free(second);
    route_replica_free(replica);
}

Test(cluster_routes, changes_after_a_snapshot_that_was_cut_are_taken)
{
    struct route_log *log = route_log_new(1, 1024);
    struct route_replica *replica = route_replica_new(1000);
    struct route_reader reader;
    enum route_step step;
    begin(log, replica, &reader);
    tell_all(log, &reader, replica);
    (void)route_log_set(log, slice_str("a"), 1);
    route_reader_begin(log, 0, 0, &reader); // a snapshot that need not be
    cr_assert_eq(tell(log, &reader, replica, &step), OK);
    cr_assert_eq(step, ROUTE_BEGIN);
    begin(log, replica, &reader);
    tell_all(log, &reader, replica);
    cr_equal(log, replica);
    route_log_free(log);
    route_replica_free(replica);
}

Test(cluster_routes, what_does_not_follow_or_is_not_so_is_refused_and_counted)
{
    struct route_replica *replica = route_replica_new(2);
    struct route_op op = {.seq = 5, .key = slice_str("k"), .weight = 1};
    struct route_digest digest = {6, 0};
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_ENTRY, &op, NULL), ERR_PROTOCOL);
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_END, NULL, &digest), ERR_PROTOCOL);
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_CHANGE, &op, NULL), ERR_PROTOCOL);
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_BEGIN, &op, NULL), OK);
    op.seq = 7;
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_CHANGE, &op, NULL), ERR_PROTOCOL);
    cr_assert_eq(route_replica_stats(replica)->gaps, 2);
    op.seq = 6;
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_CHANGE, &op, NULL), OK);
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_CHANGE, &op, NULL), OK);
    cr_assert_eq(route_replica_stats(replica)->repeated, 1);
    cr_assert_eq(route_replica_take(replica, 1, ROUTE_END, NULL, &digest), ERR_PROTOCOL);
    cr_assert_eq(route_replica_stats(replica)->broken, 2);
    cr_assert_eq(route_replica_count(replica), 0);

    struct route_log *log = route_log_new(2, 1024);
    struct route_reader reader;
    begin(log, replica, &reader);
    tell_all(log, &reader, replica);
    (void)route_log_set(log, slice_str("1"), 1);
    (void)route_log_set(log, slice_str("2"), 1);
    tell_all(log, &reader, replica);
    digest = route_log_digest(log);
    cr_assert_eq(route_replica_check(replica, 2, &digest), OK);
    (void)route_log_set(log, slice_str("3"), 1); // finds no room there
    tell_all(log, &reader, replica);
    cr_assert_eq(route_replica_stats(replica)->refused, 1);
    digest = route_log_digest(log);
    cr_assert_eq(route_replica_check(replica, 2, &digest), ERR_PROTOCOL);
    cr_assert_eq(route_replica_stats(replica)->diverged, 1);
    cr_assert_eq(route_replica_count(replica), 2); // in use until there is better
    route_log_free(log);
    route_replica_free(replica);
}

Test(cluster_routes, digests_travel)
{
    struct route_digest in = {0x0102030405060708, 0xf1f2f3f4f5f6f7f8}, out;
    uint8_t bytes[ROUTE_DIGEST_LEN];
    route_digest_write(&in, bytes);
    cr_assert_eq(bytes[0], 1);
    cr_assert(route_digest_read(slice_of(bytes, sizeof bytes), &out));
    cr_assert(in.seq == out.seq && in.hash == out.hash);
    cr_assert_not(route_digest_read(slice_of(bytes, sizeof bytes - 1), &out));
}

// Owners that change and restart, readers that are cut anywhere and repeat themselves: at rest,
// equal.
Test(cluster_routes, equal_at_rest_whatever_happened)
{
    uint64_t snapshots = 0, repeated = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_state = seed;
        uint64_t incarnation = 1;
        struct route_log *log = route_log_new(incarnation, 64 + below(600));
        struct route_replica *replica = route_replica_new(1000);
        struct route_reader reader;
        uint32_t model[KEYS] = {0};
        char room[64];
        begin(log, replica, &reader);
        for (unsigned i = 0; i < 2000; i++) {
            enum route_step step;
            uint32_t key = below(KEYS), weight = below(3), what = below(1000);
            if (what < 400) {
                bool changed = route_log_set(log, key_of(key, room), weight);
                cr_assert_eq(changed, model[key] != weight);
                model[key] = weight;
            } else if (what < 980) {
                cr_assert_eq(tell(log, &reader, replica, &step), OK, "seed %lu", seed);
            } else if (what < 990) { // the link is cut and comes back
                begin(log, replica, &reader);
            } else if (what < 996) { // and what was sent before is sent again
                uint64_t in, applied;
                route_replica_link_up(replica, &in, &applied);
                route_reader_begin(log, in, applied > 3 ? applied - 3 : 0, &reader);
            } else {
                route_log_free(log);
                log = route_log_new(++incarnation, 64 + below(600));
                memset(model, 0, sizeof model);
                begin(log, replica, &reader);
            }
        }
        tell_all(log, &reader, replica);
        cr_equal(log, replica);
        for (uint32_t key = 0; key < KEYS; key++)
            cr_assert_eq(route_replica_weight(replica, key_of(key, room)), model[key]);
        cr_assert_eq(route_replica_stats(replica)->broken, 0);
        snapshots += route_replica_stats(replica)->snapshots;
        repeated += route_replica_stats(replica)->repeated;
        route_log_free(log);
        route_replica_free(replica);
    }
    cr_assert_gt(snapshots, 1000); // both ways were taken
    cr_assert_gt(repeated, 100);
}
