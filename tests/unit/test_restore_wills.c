// test_restore_wills.c - Wills of clients whose broker was killed.
#include "core/client_out.h"
#include "tests/unit/test_restore.h"

TestSuite(restore_wills, .init = set_up, .fini = tear_down);

Test(restore_wills, a_will_of_who_was_connected_is_due)
{
    struct sim_connect a = {.id = "a",
                            .keep = true,
                            .expiry_s = 1000,
                            .will_topic = "w",
                            .will_payload = "gone",
                            .will_qos = 1,
                            .will_delay_s = 5};
    (void)sim_connect_kept(sim, disk, &a);
    struct sim_conn *w = sim_connect_durable(sim, "watcher");
    subscribe(w, "w", 1);
    crash(0);
    w = sim_connect_durable(sim, "watcher");
    settle();
    expect_nothing(w);
    sim_tick(sim, 5000);
    settle();
    (void)take(w, "gone");
    write_all();
    crash(0);
    w = sim_connect_durable(sim, "watcher");
    sim_tick(sim, 6000);
    settle();
    expect_nothing(w);
}

// ---- Wills of sessions that end with their connection -------------------------------------------

static const struct sim_connect with_will = {
    .id = "a", .will_topic = "w", .will_payload = "gone", .will_qos = 1, .will_delay_s = 5};

static struct sim_conn *
watch_wills(void)
{
    struct sim_conn *w = sim_connect_durable(sim, "watcher");
    subscribe(w, "w", 1);
    return w;
}

// After the crash: what the watcher gets, and nothing but the watcher's session is left.
static void
expect_wills(unsigned count)
{
    struct sim_conn *w = sim_connect_durable(sim, "watcher");
    write_all();
    for (; count > 0; count--)
        (void)take(w, "gone");
    sim_tick(sim, 600000);
    write_all();
    expect_nothing(w);
    cr_assert_eq(broker_sessions(sim->broker), 1);
}

Test(restore_wills, a_will_is_published_though_its_session_ended_with_the_process)
{
    (void)watch_wills();
    (void)sim_connect_kept(sim, disk, &with_will);
    crash(0);
    expect_wills(1);
    crash(0);
    expect_wills(0);
}

Test(restore_wills, but_not_one_that_was_not_wanted_any_more_or_is_published)
{
    struct sim_conn *w = watch_wills();
    sim_disconnect(sim_connect_kept(sim, disk, &with_will), 0);
    write_all();
    sim_close(sim_connect_kept(sim, disk, &with_will), 0);
    write_all();
    (void)take(w, "gone");
    write_all();
    crash(0);
    expect_wills(0);
}

// Its own end is on the disk with what its Will brought to others, or neither is.
Test(restore_wills, a_will_on_its_way_is_published_once)
{
    (void)watch_wills();
    struct sim_conn *a = sim_connect_kept(sim, disk, &with_will);
    sim_close(a, 0);
    sim_settle(sim);
    crash(0); // nothing of that was on the disk
    expect_wills(1);
}

Test(restore_wills, connack_says_that_the_will_is_on_the_disk)
{
    struct sim_conn *a = sim_open(sim, broker_home(sim->broker, slice_str("a")));
    sim_send_connect(a, &with_will);
    sim_settle(sim);
    expect_nothing(a);
    settle();
    expect_packet(a, MQTT_CONNACK);
    sim_close(a, 0);
    settle();
    a = sim_open(sim, broker_home(sim->broker, slice_str("a")));
    sim_send_connect(a, &with_will);
    sim_settle(sim);
    sim_tick(sim, WILL_WAIT_MS - 1);
    expect_nothing(a);
    sim_tick(sim, 1); // and no more, if the disk does not take it
    expect_packet(a, MQTT_CONNACK);
}

Test(restore_wills, who_is_back_first_finds_no_session)
{
    for (unsigned keep = 0; keep < 2; keep++) {
        (void)watch_wills();
        (void)sim_connect_kept(sim, disk, &with_will);
        write_all();
        crash(0);
        struct sim_connect back = {.id = "a", .keep = keep};
        struct sim_conn *a = sim_connect(sim, &back);
        cr_assert_not(a->hello.session_present);
        sim_close(a, 0);
        expect_wills(1);
        crash(0);
    }
}
