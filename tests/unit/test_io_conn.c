// test_io_conn.c - connections on a simulated backend, with the real protocol behind them.
#include "tests/unit/test_io_conn.h"

TestSuite(io_conn, .init = set_up, .fini = tear_down);

// ---- Coming -------------------------------------------------------------------------------------

Test(io_conn, the_home_shard_arms_the_receive_that_goes_on)
{
    uint8_t packet[32];
    accept_one();
    cr_assert(sim.recv.armed && sim.recv.once, "before that, once");
    receive(packet, connect_packet(packet, 0, 4));
    cr_assert(sim.recv.armed && !sim.recv.once);
    tick(0);
    static const uint8_t connack[] = {0x20, 2, 0, 0};
    cr_assert_eq(sim.sent_len, 4);
    cr_assert_arr_eq(sim.sent, connack, 4);
}

Test(io_conn, a_connect_may_come_byte_by_byte)
{
    uint8_t packet[32];
    size_t len = connect_packet(packet, 0, 4);
    accept_one();
    for (size_t i = 0; i < len; i++) {
        cr_assert(sim.recv.once);
        uint8_t byte = packet[i]; // gone after the event
        receive(&byte, 1);
    }
    cr_assert_not(sim.recv.once);
    tick(0);
    cr_assert_eq(sim.sent_len, 4);
}

static unsigned handed_over;
static uint8_t handed_bytes[64];

static void
on_handover(void *arg, unsigned from, const struct spsc_record *record)
{
    (void)arg;
    cr_assert_eq(from, 0);
    cr_assert_eq(record->type, RECORD_HANDOVER);
    handed_over++;
    cr_assert_leq(record->len, 256);
    memcpy(handed_bytes, record->data + record->len - 18, 18);
    conn_on_handover(conns, record); // taken here, as the other worker would
}

Test(io_conn, another_shards_client_goes_there_with_all_its_bytes)
{
    uint8_t packet[32];
    size_t len = connect_packet(packet, 1, 4);
    memcpy(packet + len, pingreq, 2);
    accept_one();
    int fd = conn_at(conns, 0)->fd;
    receive(packet, 5);
    cr_assert_neq(sim.forgotten, fd);
    receive(packet + 5, len - 5 + 2);
    cr_assert_not(sim.recv.armed, "nobody reads on the way");
    cr_assert_eq(sim.forgotten, fd);
    cr_assert_eq(conns->open, 0);
    tick(0);
    struct conns *first = conns;
    conns = conns_new(&sim.base, other, wheel, set);
    shard_tick_begin(other, now);
    shard_drain(other, on_handover, NULL);
    cr_assert_eq(handed_over, 1);
    cr_assert_arr_eq(handed_bytes, packet, 18);
    cr_assert(sim.recv.armed && !sim.recv.once);
    conns_flush(conns, IO_SENDS_MAX);
    settle();
    cr_assert_eq(sim.sent_len, 6);
    cr_assert_arr_eq(sim.sent + 4, pingresp, 2);
    cr_assert_eq(stat_get(&first->shard->stats.handovers), 1);
    conns_abandon(conns);
    conns_bury(conns);
    conns_free(conns);
    conns = first;
}

Test(io_conn, too_many_are_refused_and_places_come_back)
{
    config->listeners[0].connections_max = 1;
    connected();
    int pair[2];
    char c;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    conn_on_accept(conns, pair[0], 0);
    cr_assert_eq(recv(pair[1], &c, 1, MSG_DONTWAIT), 0, "closed");
    close(pair[1]);
    cr_assert_eq(stat_get(&conns->shard->stats.connections_refused), 1);
    event(0, NULL, false);
    tick(0);
    cr_assert_eq(conns->open, 0);
    connected();
}

Test(io_conn, a_silent_one_is_closed_in_time_and_counted)
{
    accept_one();
    tick(config->connect_timeout_s * 1000 - 20);
    cr_assert_eq(conns->open, 1);
    tick(40);
    tick(0);
    cr_assert_eq(stat_get(&conns->shard->stats.connect_timeouts), 1);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn, a_probe_leaves_nothing)
{
    accept_one();
    event(0, NULL, false);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(sim.sends, 0);
}

// ---- Receiving ----------------------------------------------------------------------------------

Test(io_conn, a_receive_that_ended_without_reason_is_armed_again)
{
    connected();
    uint32_t before = sim.recv.armings;
    event(-ENOBUFS, NULL, false);
    cr_assert_eq(sim.recv.armings, before + 1);
    event(2, pingreq, false);
    cr_assert_eq(sim.recv.armings, before + 2);
    tick(0);
    cr_assert_arr_eq(sim.sent, pingresp, 2);
}

Test(io_conn, events_of_the_slots_past_are_ignored)
{
    connected();
    uint64_t old = sim.recv.token;
    event(0, NULL, false);
    tick(0);
    connected();
    cr_assert_eq((uint32_t)old, (uint32_t)sim.recv.token, "the same slot");
    cr_assert_neq(old, sim.recv.token);
    struct io_event late = {.token = old, .result = -ECONNRESET, .kind = IO_RECV};
    conn_on_recv(conns, &late);
    conn_on_writable(conns, old);
    tick(0);
    cr_assert_eq(conns->open, 1);
}

Test(io_conn, a_paused_one_is_not_read_and_goes_on_where_it_was)
{
    connected();
    struct client *client = &conn_find(conns, sim.recv.token)->client;
    client->read_paused = true;
    list_push(&conns->shard->dirty, &client->dirty);
    tick(0);
    cr_assert_eq(sim.recv.stops, 1);
    uint32_t before = sim.recv.armings;
    receive(pingreq, 2); // was on its way
    tick(0);
    cr_assert_eq(sim.sent_len, 2);
    client->read_paused = true; // the core thinks that all is well by now
    event(-ECANCELED, NULL, false);
    cr_assert_eq(sim.recv.armings, before);
    client->read_paused = false;
    if (list_empty(&client->dirty))
        list_push(&conns->shard->dirty, &client->dirty);
    tick(0);
    cr_assert_eq(sim.recv.armings, before + 1);
    cr_assert_eq(sim.recv.stops, 1);
}

Test(io_conn, the_answers_to_one_that_ended_are_sent_before_it_is_closed)
{
    connected();
    receive(pingreq, 2);
    event(0, NULL, false);
    tick(0);
    cr_assert_arr_eq(sim.sent, pingresp, 2);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

// ---- Sending ------------------------------------------------------------------------------------

Test(io_conn, one_send_a_tick_whatever_was_said)
{
    connected();
    uint32_t before = sim.sends;
    for (int i = 0; i < 100; i++)
        receive(pingreq, 2);
    tick(0);
    cr_assert_eq(sim.sends, before + 1);
    cr_assert_eq(sim.sent_len, 200);
}

Test(io_conn, what_a_full_socket_did_not_take_follows_in_order)
{
    connected();
    sim.room = 3;
    for (int i = 0; i < 4; i++)
        receive(pingreq, 2);
    tick(0);
    tick(0);
    cr_assert_eq(sim.sent_len, 3);
    cr_assert_eq(sim.writable, 1);
    receive(pingreq, 2);
    uint32_t before = sim.sends;
    tick(0);
    cr_assert_eq(sim.sends, before, "not tried while blocked");
    sim.room = INT64_MAX;
    conn_on_writable(conns, sim.recv.token);
    tick(0);
    tick(0);
    cr_assert_eq(sim.sent_len, 10);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(sim.sent[i], pingresp[i % 2]);
    cr_assert_not(conn_find(conns, sim.recv.token)->client.blocked);
}

Test(io_conn, a_send_that_fails_is_the_end)
{
    connected();
    sim.room = 0;
    sim.error = EPIPE;
    receive(pingreq, 2);
    tick(0);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(stat_get(&conns->shard->stats.clients_connected), 0);
}

Test(io_conn, after_the_last_words_the_peer_has_time_to_read_them)
{
    char c;
    connected_as(5);
    receive("\x00\x00", 2); // no Control Packet
    tick(0);
    cr_assert_eq(sim.sent[0], 0xe0, "DISCONNECT");
    tick(0);
    cr_assert_eq(recv(peer, &c, 1, MSG_DONTWAIT), 0, "our side is done");
    cr_assert_eq(conns->open, 1);
    receive("more", 4); // thrown away
    tick(CONN_LINGER_MS / 2);
    cr_assert_eq(conns->open, 1);
    int fd = conn_at(conns, 0)->fd;
    cr_assert_neq(sim.forgotten, fd);
    event(0, NULL, false);
    cr_assert_eq(sim.forgotten, fd, "before it is closed");
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn, last_words_that_nobody_takes_do_not_hold_the_slot)
{
    connected();
    sim.room = 1;
    receive(pingreq, 2);
    receive("\x00\x00", 2);
    tick(0);
    tick(0);
    cr_assert_eq(conns->open, 1);
    tick(CONN_FLUSH_MS + 20);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn, refusing_ends_those_without_a_session_and_no_others)
{
    connected();
    sim.recv.armed = false; // the backend knows one at a time
    accept_one();
    cr_assert_eq(conns->open, 2);
    conns_refuse(conns);
    tick(0);
    cr_assert_eq(conns->open, 1);
    conns_abandon(conns);
    conns_bury(conns);
    cr_assert_eq(conns->open, 0);
}

// ---- Moving to another worker -------------------------------------------------------------------

Test(io_conn, a_lane_moves_without_an_operation_left_behind_and_goes_on)
{
    connected();
    uint32_t before = sim.recv.armings;
    conns_stop(conns);
    cr_assert_eq(sim.recv.stops, 1);
    cr_assert_not(conns_stopped(conns, false), "the kernel still holds the receive");
    receive(pingreq, 2); // was faster
    cr_assert_not(conns_stopped(conns, true));
    cr_assert_eq(sim.recv.stops, 2, "told again");
    event(-ECANCELED, NULL, false);
    tick(0);
    cr_assert_arr_eq(sim.sent, pingresp, 2);
    cr_assert_eq(sim.recv.armings, before);
    settle();
    cr_assert(conns_stopped(conns, false));
    struct backend elsewhere = sim.base;
    conns_resume(conns, &elsewhere);
    cr_assert_eq(conns->io, &elsewhere);
    cr_assert(sim.recv.armed && !sim.recv.once);
    receive(pingreq, 2);
    tick(0);
    cr_assert_eq(sim.sent_len, 4);
    settle();
    conns->io = &sim.base;
}

Test(io_conn, a_connect_that_is_under_way_moves_too)
{
    uint8_t packet[32];
    size_t len = connect_packet(packet, 0, 4);
    accept_one();
    receive(packet, 5);
    conns_stop(conns);
    event(-ECANCELED, NULL, false);
    cr_assert(conns_stopped(conns, false));
    conns_resume(conns, &sim.base);
    cr_assert(sim.recv.armed && sim.recv.once);
    receive(packet + 5, len - 5);
    tick(0);
    cr_assert_eq(sim.sent_len, 4);
}

Test(io_conn, a_full_socket_is_waited_for_on_the_new_worker)
{
    connected();
    sim.room = 0;
    receive(pingreq, 2);
    tick(0);
    tick(0);
    cr_assert_eq(sim.writable, 1);
    conns_stop(conns);
    cr_assert_eq(sim.poll_stops, 1);
    event(-ECANCELED, NULL, false);
    cr_assert_not(conns_stopped(conns, false), "the poll is still there");
    conn_on_writable(conns, sim.recv.token);
    tick(0);
    cr_assert_eq(sim.writable, 1, "not asked again here");
    cr_assert(conns_stopped(conns, false));
    conns_resume(conns, &sim.base);
    cr_assert_eq(sim.writable, 2);
    sim.room = INT64_MAX;
    conn_on_writable(conns, sim.recv.token);
    tick(0);
    tick(0);
    cr_assert_arr_eq(sim.sent, pingresp, 2);
}
