// test_io_conn_filter.c - connections through PROXY header, TLS and WebSocket.
#include <arpa/inet.h>

#include "core/msg.h"
#include "core/route.h"
#include "io/entry.h"
#include "io/proxy_header.h"
#include "io/tls.h"
#include "io/tls_context.h"
#include "io/websocket.h"
#include "tests/harness/tls_client.h"
#include "tests/unit/test_io_conn.h"

#define FILE_OF(name) TERN_CERTIFICATES "/" name

static const uint8_t connack[] = {0x20, 2, 0, 0};
static struct tls_context *context;
static struct tls_pair *client; // its server's side is not used: that is the connection

static struct listener_entry *
entry(void)
{
    return &config->listeners[0].entry;
}

static void
set_up_filter(void)
{
    set_up();
    entry()->websockets_head_max = WEBSOCKET_HEAD_DEFAULT;
}

static void
tear_down_filter(void)
{
    if (client)
        pair_free(client);
    tear_down();
}

TestSuite(io_conn_filter, .init = set_up_filter, .fini = tear_down_filter);

static struct conn *
the_conn(void)
{
    return conn_at(conns, 0);
}

// ---- WebSocket ----------------------------------------------------------------------------------

static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

// A frame as a client sends it, under a mask of zeros.
static size_t
frame(uint8_t *to, uint8_t opcode, const void *payload, size_t len)
{
    cr_assert_lt(len, 126);
    const uint8_t head[] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | len), 0, 0, 0, 0};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, payload, len);
    return sizeof head + len;
}

static void
receive_frame(uint8_t opcode, const void *payload, size_t len)
{
    uint8_t bytes[140];
    receive(bytes, frame(bytes, opcode, payload, len));
}

static void
upgraded(void)
{
    entry()->protocol = PROTOCOL_WEBSOCKETS;
    accept_one();
    receive(request, sizeof request - 1);
    tick(0);
    tick(0);
    cr_assert_eq(memcmp(sim.sent, "HTTP/1.1 101 ", 13), 0);
    cr_assert_eq(memcmp(sim.sent + sim.sent_len - 4, "\r\n\r\n", 4), 0);
    sim.sent_len = 0;
    cr_assert(sim.recv.once, "no client yet");
}

static void
connected_by_websocket(void)
{
    uint8_t packet[32];
    upgraded();
    receive_frame(2, packet, connect_packet(packet, 0, 4));
    tick(0);
    tick(0);
    cr_assert_eq(sim.sent_len, 6);
    cr_assert_arr_eq(sim.sent, "\x82\x04", 2);
    cr_assert_arr_eq(sim.sent + 2, connack, 4);
    sim.sent_len = 0;
}

Test(io_conn_filter, websocket_connects_and_says_goodbye)
{
    static const uint8_t disconnect[] = {0xe0, 0};
    connected_by_websocket();
    cr_assert(sim.recv.armed && !sim.recv.once);
    receive_frame(2, pingreq, 2);
    receive_frame(9, "hi", 2);
    tick(0);
    cr_assert_eq(sim.sent_len, 8, "pong and PINGRESP, whole frames each");
    cr_assert_not_null(memmem(sim.sent, 8, "\x8a\x02hi", 4));
    cr_assert_not_null(memmem(sim.sent, 8, "\x82\x02\xd0\0", 4));
    sim.sent_len = 0;
    receive_frame(2, disconnect, 2);
    tick(0);
    tick(0);
    cr_assert_eq(sim.sent_len, 4);
    cr_assert_arr_eq(sim.sent, "\x88\x02\x03\xe8", 4, "close 1000");
    cr_assert_eq(the_conn()->state, CONN_LINGER);
    event(0, NULL, false);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn_filter, websocket_may_come_byte_by_byte)
{
    uint8_t bytes[64], packet[32];
    entry()->protocol = PROTOCOL_WEBSOCKETS;
    accept_one();
    for (size_t i = 0; i < sizeof request - 1; i++)
        receive(request + i, 1);
    size_t len = frame(bytes, 2, packet, connect_packet(packet, 0, 4));
    for (size_t i = 0; i < len; i++) {
        cr_assert(sim.recv.once);
        receive(bytes + i, 1);
    }
    cr_assert_not(sim.recv.once);
    tick(0);
    cr_assert_arr_eq(sim.sent + sim.sent_len - 4, connack, 4);
}

Test(io_conn_filter, a_refused_upgrade_is_told_and_not_waited_for)
{
    entry()->protocol = PROTOCOL_WEBSOCKETS;
    accept_one();
    receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    tick(0);
    tick(0);
    cr_assert_eq(memcmp(sim.sent, "HTTP/1.1 4", 10), 0);
    cr_assert_eq(the_conn()->state, CONN_LINGER);
    cr_assert_eq(stat_get(&conns->shard->stats.upgrades_refused), 1);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn_filter, a_wrong_frame_ends_the_client_with_a_code)
{
    connected_by_websocket();
    receive_frame(1, "text", 4);
    tick(0);
    tick(0);
    cr_assert_arr_eq(sim.sent, "\x88\x02\x03\xeb", 4, "close 1003");
    cr_assert_eq(stat_get(&conns->shard->stats.clients_connected), 0);
    cr_assert_eq(the_conn()->state, CONN_LINGER);
}

Test(io_conn_filter, pings_whose_answers_nobody_reads_are_bounded)
{
    connected_by_websocket();
    sim.room = 0;
    for (int i = 0; i < 20000; i++)
        receive_frame(9, "0123456789012345678901234567890123456789", 40);
    tick(0);
    cr_assert_lt(conns->shard->pool.in_use, 2 * FILTER_ENCODE_MAX);
    cr_assert_eq(conns->open, 1);
    sim.room = INT64_MAX;
}

// What the connection has sent goes to the client of TLS.
static void
to_client(void)
{
    if (sim.sent_len == 0)
        return;
    memcpy(outq_reserve(&client->out, &client->pool, sim.sent_len), sim.sent, sim.sent_len);
    outq_commit(&client->out, sim.sent_len);
    sim.sent_len = 0;
}

// Over what is for wolfSSL alone, after which it may ask for more too early.
static int
client_read(void *to, size_t size)
{
    for (;;) {
        uint64_t before = outq_bytes(&client->out);
        int rc = wolfSSL_read(client->client, to, (int)size);
        if (rc > 0 || outq_bytes(&client->out) == 0 || outq_bytes(&client->out) == before)
            return rc;
    }
}

// ---- What is long -------------------------------------------------------------------------------

// Subscribed to #, it gets a message of so many bytes.
static void
subscribe_and_publish(uint32_t len, void (*send)(const void *bytes, size_t len))
{
    static const uint8_t subscribe[] = {0x82, 6, 0, 1, 0, 1, '#', 0};
    send(subscribe, sizeof subscribe);
    tick(0);
    tick(0);
    if (client) {
        uint8_t suback[8];
        to_client();
        cr_assert_eq(client_read(suback, sizeof suback), 5);
    }
    sim.sent_len = 0;
    uint8_t *payload = mem_alloc(len);
    for (uint32_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 7 + i / 251);
    struct pub pub = {.topic = slice_str("t"), .payload = slice_of(payload, len)};
    struct route_result result;
    cr_assert_eq(route_publish(conns->shard, &pub, &result), OK);
    pub_done(&pub);
    mem_free(payload);
}

static void
send_frame(const void *bytes, size_t len)
{
    receive_frame(2, bytes, len);
}

Test(io_conn_filter, a_long_message_goes_out_through_a_narrow_socket)
{
    enum { LEN = 300000 };
    connected_by_websocket();
    sim.room = 1000;
    subscribe_and_publish(LEN, send_frame);
    for (int i = 0; i < 200 && sim.sent_len < LEN + 3 + 4 + 10; i++) {
        tick(0);
        sim.room = 20000;
        if (the_conn()->polling)
            conn_on_writable(conns, sim.recv.token);
    }
    uint32_t at = 0, total = 0;
    uint8_t *got = mem_alloc(LEN + 16);
    while (at < sim.sent_len) { // frames that are whole and follow one another
        cr_assert_eq(sim.sent[at], 0x82);
        uint8_t size = sim.sent[at + 1];
        uint32_t head = size < 126 ? 2 : size == 126 ? 4 : 10;
        uint64_t len = head == 2 ? size : 0;
        for (uint32_t i = 2; i < head; i++)
            len = len << 8 | sim.sent[at + i];
        memcpy(got + total, sim.sent + at + head, len);
        total += (uint32_t)len;
        at += head + (uint32_t)len;
    }
    cr_assert_eq(total, LEN + 7, "behind a header of four bytes and the topic t");
    for (uint32_t i = 0; i < LEN; i++)
        cr_assert_eq(got[7 + i], (uint8_t)(i * 7 + i / 251));
    mem_free(got);
    sim.room = INT64_MAX;
}

// ---- TLS ----------------------------------------------------------------------------------------

static void
make_context(void)
{
    char problem[ENTRY_PROBLEM_MAX];
    entry()->cert_file = mem_strdup(FILE_OF("chain.pem"));
    entry()->key_file = mem_strdup(FILE_OF("chain.key"));
    entry()->tls_asked = true;
    cr_assert_eq(entry_context_new(config, 0, 2, &context, problem), OK, "%s", problem);
    cr_assert_null(listen_set_tls(set, 0, context));
    static const struct tls_client_options options = {.ca = FILE_OF("ca.pem")};
    client = pair_new(context, &options);
}

static void
to_server(void)
{
    uint8_t bytes[16384];
    uint32_t n = client->to_server_len;
    cr_assert_leq(n, sizeof bytes);
    if (n == 0)
        return;
    memcpy(bytes, client->to_server, n);
    client->to_server_len = 0;
    receive(bytes, n);
}

static void
shaken(void)
{
    make_context();
    accept_one();
    for (int i = 0; i < 5; i++) {
        int rc = wolfSSL_connect(client->client);
        to_server();
        tick(0);
        tick(0);
        to_client();
        if (rc == WOLFSSL_SUCCESS)
            break;
    }
    cr_assert_eq(stat_get(&conns->shard->stats.tls_handshakes), 1);
}

static void
send_encrypted(const void *bytes, size_t len)
{
    cr_assert_eq(wolfSSL_write(client->client, bytes, (int)len), (int)len);
    to_server();
}

static void
connected_by_tls(void)
{
    uint8_t packet[32], answer[4];
    shaken();
    cr_assert(sim.recv.once);
    send_encrypted(packet, connect_packet(packet, 0, 4));
    cr_assert_not(sim.recv.once);
    tick(0);
    tick(0);
    to_client();
    cr_assert_eq(client_read(answer, 4), 4);
    cr_assert_arr_eq(answer, connack, 4);
}

Test(io_conn_filter, tls_connects_and_says_goodbye)
{
    static const uint8_t disconnect[] = {0xe0, 0};
    uint8_t answer[16];
    connected_by_tls();
    send_encrypted(pingreq, 2);
    tick(0);
    to_client();
    cr_assert_eq(client_read(answer, 16), 2);
    cr_assert_arr_eq(answer, pingresp, 2);
    send_encrypted(disconnect, 2);
    tick(0);
    tick(0);
    to_client();
    cr_assert_leq(client_read(answer, 16), 0);
    cr_assert_eq(wolfSSL_get_error(client->client, 0), WOLFSSL_ERROR_ZERO_RETURN, "close_notify");
    cr_assert_eq(the_conn()->state, CONN_LINGER);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(conns->shard->pool.in_use, 0);
}

Test(io_conn_filter, close_notify_ends_the_client)
{
    connected_by_tls();
    (void)wolfSSL_shutdown(client->client);
    to_server();
    cr_assert_eq(the_conn()->state, CONN_PARTING);
    cr_assert_eq(stat_get(&conns->shard->stats.clients_connected), 0);
    tick(0);
    tick(0);
    cr_assert_eq(the_conn()->state, CONN_LINGER);
}

Test(io_conn_filter, what_is_not_tls_gets_an_alert)
{
    uint8_t packet[32];
    make_context();
    accept_one();
    receive(packet, connect_packet(packet, 0, 4));
    tick(0);
    tick(0);
    cr_assert_eq(sim.sent_len, 7);
    cr_assert_eq(sim.sent[0], 21, "alert");
    cr_assert_eq(stat_get(&conns->shard->stats.tls_failures), 1);
    cr_assert_eq(the_conn()->state, CONN_LINGER);
}

Test(io_conn_filter, a_damaged_record_ends_the_client)
{
    connected_by_tls();
    cr_assert_eq(wolfSSL_write(client->client, pingreq, 2), 2);
    client->to_server[client->to_server_len - 1] ^= 1;
    to_server();
    cr_assert_eq(the_conn()->state, CONN_PARTING);
    cr_assert_eq(stat_get(&conns->shard->stats.tls_failures), 1);
    tick(0);
    cr_assert_gt(sim.sent_len, 0, "an alert");
}

static void
on_record(void *arg, unsigned from, const struct spsc_record *record)
{
    (void)arg;
    cr_assert_eq(from, 0);
    conn_on_handover(conns, record); // taken here, as the other worker would
}

Test(io_conn_filter, the_home_shard_gets_the_tls_connection)
{
    uint8_t packet[32], answer[16];
    shaken();
    size_t len = connect_packet(packet, 1, 4);
    memcpy(packet + len, pingreq, 2);
    send_encrypted(packet, len + 2);
    cr_assert_not(sim.recv.armed, "nobody reads on the way");
    cr_assert_eq(conns->open, 0);
    tick(0);
    struct conns *first = conns;
    conns = conns_new(&sim.base, other, wheel, set);
    shard_tick_begin(other, now);
    shard_drain(other, on_record, NULL);
    cr_assert_eq(conns->open, 1);
    cr_assert_eq(conn_at(conns, 0)->filter->conn, conn_at(conns, 0));
    conns_flush(conns, IO_SENDS_MAX);
    settle();
    to_client();
    cr_assert_eq(client_read(answer, 16), 6);
    cr_assert_arr_eq(answer, connack, 4);
    cr_assert_arr_eq(answer + 4, pingresp, 2);
    cr_assert_eq(first->shard->pool.in_use, 0);
    conns_abandon(conns);
    conns_bury(conns);
    conns_free(conns);
    conns = first;
}

Test(io_conn_filter, a_long_message_is_encrypted_in_parts_and_without_waiting)
{
    enum { LEN = 500000 };
    connected_by_tls();
    subscribe_and_publish(LEN, send_encrypted);
    uint8_t *got = mem_alloc(LEN + 16);
    uint32_t total = 0;
    for (int i = 0; i < 20 && total < LEN + 7; i++) {
        tick(0);
        cr_assert(conns->settle_soon || total + sim.sent_len >= LEN,
                  "who sleeps now sends the rest when something else comes");
        cr_assert_lt(sim.sent_len, 3 * FILTER_ENCODE_MAX);
        to_client();
        int n;
        while ((n = client_read(got + total, LEN + 16 - total)) > 0)
            total += (uint32_t)n;
    }
    cr_assert_eq(total, LEN + 7);
    for (uint32_t i = 0; i < LEN; i++)
        cr_assert_eq(got[7 + i], (uint8_t)(i * 7 + i / 251));
    mem_free(got);
}

// ---- Time ---------------------------------------------------------------------------------------

Test(io_conn_filter, a_handshake_waits_for_its_turn)
{
    uint8_t hello[2048];
    make_context();
    accept_one();
    (void)wolfSSL_connect(client->client);
    uint32_t len = client->to_server_len;
    memcpy(hello, client->to_server, len);
    client->to_server_len = 0;
    conns->handshakes_us = HANDSHAKE_TICK_US; // others were first
    receive(hello, len);
    cr_assert_not(sim.recv.armed, "no more of it before its turn");
    cr_assert_not(list_empty(&conns->shaking));
    cr_assert(conns_are_busy(conns));
    conns_shake(conns); // this tick has no time left
    cr_assert_not(list_empty(&conns->shaking));
    memset(hello, 0, sizeof hello);
    conns_shake(conns);
    cr_assert(list_empty(&conns->shaking));
    cr_assert(sim.recv.armed);
    tick(0);
    cr_assert_gt(sim.sent_len, 500, "ServerHello and certificate");
}

Test(io_conn_filter, one_that_waits_may_go)
{
    make_context();
    accept_one();
    (void)wolfSSL_connect(client->client);
    conns->handshakes_us = HANDSHAKE_TICK_US;
    to_server();
    tick(config->connect_timeout_s * 1000 + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert(list_empty(&conns->shaking));
    cr_assert_eq(stat_get(&conns->shard->stats.handshake_timeouts), 1);
}

Test(io_conn_filter, a_handshake_that_is_not_finished_is_closed_in_time)
{
    make_context();
    accept_one();
    (void)wolfSSL_connect(client->client);
    to_server();
    for (uint32_t s = 0; s < config->connect_timeout_s; s++)
        tick(990);
    cr_assert_eq(conns->open, 1);
    tick(200);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(stat_get(&conns->shard->stats.handshake_timeouts), 1);
}

Test(io_conn_filter, a_lane_moves_with_what_it_has_not_said)
{
    uint8_t answer[16];
    connected_by_tls();
    sim.room = 0;
    send_encrypted(pingreq, 2);
    tick(0);
    tick(0);
    cr_assert(the_conn()->filter->blocked && the_conn()->client.blocked);
    conns_stop(conns);
    event(-ECANCELED, NULL, false);
    conn_on_writable(conns, sim.recv.token);
    tick(0);
    cr_assert(conns_stopped(conns, false));
    sim.room = INT64_MAX;
    uint32_t polls = sim.writable;
    conns_resume(conns, &sim.base);
    cr_assert(sim.recv.armed);
    cr_assert_eq(sim.writable, polls + 1);
    conn_on_writable(conns, sim.recv.token);
    tick(0);
    to_client();
    cr_assert_eq(client_read(answer, 16), 2);
}

// ---- Pending ------------------------------------------------------------------------------------

static uint64_t
pending(void)
{
    return stat_get(&conns->shard->stats.handshakes_pending);
}

Test(io_conn_filter, what_is_not_through_is_pending)
{
    uint8_t packet[32];
    connected(); // plain TCP never is
    cr_assert_eq(pending(), 0);
    event(0, NULL, false);
    tick(0);
    make_context();
    entry()->protocol = PROTOCOL_WEBSOCKETS;
    accept_one();
    cr_assert_eq(pending(), 1);
    for (int i = 0; i < 5 && wolfSSL_connect(client->client) != WOLFSSL_SUCCESS; i++) {
        to_server();
        tick(0);
        tick(0);
        to_client();
    }
    to_server();
    cr_assert_eq(stat_get(&conns->shard->stats.tls_handshakes), 1);
    cr_assert_eq(pending(), 1, "the upgrade has not come");
    send_encrypted(request, sizeof request - 1);
    cr_assert_eq(pending(), 0);
    uint8_t bytes[64];
    send_encrypted(bytes, frame(bytes, 2, packet, connect_packet(packet, 0, 4)));
    cr_assert_eq(the_conn()->state, CONN_LIVE);
    cr_assert_eq(pending(), 0);
}

Test(io_conn_filter, what_comes_to_nothing_is_pending_no_longer)
{
    make_context();
    accept_one();
    receive("GET / HTTP/1.1\r\n\r\n", 18);
    cr_assert_eq(the_conn()->state, CONN_PARTING);
    cr_assert_eq(pending(), 0, "no TLS");
    tick(0);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    sim.recv.armed = false;
    accept_one();
    cr_assert_eq(pending(), 1);
    event(0, NULL, false);
    cr_assert_eq(pending(), 0, "the client has gone");
    tick(0);
    accept_one();
    tick(config->connect_timeout_s * 1000 + 20);
    cr_assert_eq(pending(), 0, "too late");
    entry()->proxy_protocol = PROXY_PROTOCOL_V1;
    sim.recv.armed = false;
    accept_one();
    cr_assert_eq(pending(), 1);
    receive("PROXY UNKNOWN\r\n", 15);
    cr_assert_eq(pending(), 1, "TLS follows");
    conns_refuse(conns);
    cr_assert_eq(pending(), 0, "the server stops");
}

// Another connection, whose receive the simulated backend forgets about.
static int
accept_another(void)
{
    sim.recv.armed = false;
    accept_one();
    return peer;
}

Test(io_conn_filter, at_the_limit_the_oldest_gives_way)
{
    char c;
    int peers[4];
    config->handshakes_max = 5; // three for each of two workers
    make_context();
    for (int i = 0; i < 3; i++)
        peers[i] = accept_another();
    cr_assert_eq(conns->open, 3);
    cr_assert_eq(stat_get(&conns->shard->stats.handshakes_refused), 0);
    peers[3] = accept_another();
    tick(0);
    cr_assert_eq(conns->open, 3);
    cr_assert_eq(pending(), 3);
    cr_assert_eq(recv(peers[0], &c, 1, MSG_DONTWAIT), 0, "closed");
    cr_assert_eq(recv(peers[1], &c, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(recv(peers[3], &c, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(stat_get(&conns->shard->stats.handshakes_refused), 1);
    entry()->tls_asked = false; // who needs no handshake comes in, as ever
    tls_context_unref(listen_set_tls(set, 0, NULL));
    sim.recv.armed = false;
    connected();
    for (int i = 0; i < 3; i++)
        close(peers[i]);
}

Test(io_conn_filter, at_the_limit_nobody_gives_way_who_waits_for_us)
{
    char c;
    config->handshakes_max = 2; // one for each
    make_context();
    int first = accept_another();
    (void)wolfSSL_connect(client->client);
    conns->handshakes_us = HANDSHAKE_TICK_US;
    to_server();
    cr_assert_not(list_empty(&conns->shaking));
    int second = accept_another();
    conns_bury(conns);
    cr_assert_eq(recv(second, &c, 1, MSG_DONTWAIT), 0, "closed");
    cr_assert_eq(recv(first, &c, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(pending(), 1);
    cr_assert_eq(stat_get(&conns->shard->stats.handshakes_refused), 1);
    peer = first;
    close(second);
}

// ---- PROXY --------------------------------------------------------------------------------------

Test(io_conn_filter, the_proxy_tells_who_comes)
{
    static const char header[] = "PROXY TCP4 9.8.7.6 1.2.3.4 55 66\r\n";
    uint8_t packet[64];
    entry()->proxy_protocol = PROXY_PROTOCOL_V1;
    accept_one();
    for (size_t i = 0; i < sizeof header - 1; i++)
        receive(header + i, 1);
    receive(packet, connect_packet(packet, 0, 4));
    tick(0);
    cr_assert_arr_eq(sim.sent, connack, 4);
    cr_assert_str_eq(the_conn()->client.peer, "9.8.7.6:55");
}

Test(io_conn_filter, a_header_and_connect_at_once_and_another_version)
{
    static const char header[] = "PROXY TCP6 ::1 ::2 55 66\r\n";
    uint8_t bytes[96];
    memcpy(bytes, header, sizeof header - 1);
    size_t len = sizeof header - 1;
    len += connect_packet(bytes + len, 0, 4);
    entry()->proxy_protocol = PROXY_PROTOCOL_V1;
    accept_one();
    receive(bytes, len);
    tick(0);
    cr_assert_arr_eq(sim.sent, connack, 4);
    cr_assert_str_eq(the_conn()->client.peer, "[::1]:55");
    event(0, NULL, false);
    tick(0);
    entry()->proxy_protocol = PROXY_PROTOCOL_V2;
    accept_one();
    receive(bytes, len);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(stat_get(&conns->shard->stats.proxies_refused), 1);
}

Test(io_conn_filter, what_is_no_header_is_closed)
{
    uint8_t packet[32];
    entry()->proxy_protocol = PROXY_PROTOCOL_V1 | PROXY_PROTOCOL_V2;
    accept_one();
    receive(packet, connect_packet(packet, 0, 4));
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(sim.sent_len, 0);
}

// A connection over loopback, whose address counts.
static int
accept_tcp(int *ret_far)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    *ret_far = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(*ret_far, (struct sockaddr *)&address, len), 0);
    int fd = accept(listener, NULL, NULL);
    close(listener);
    return fd;
}

Test(io_conn_filter, only_known_proxies_may_come)
{
    char c;
    entry()->proxy_protocol = PROXY_PROTOCOL_V1;
    entry()->proxies = mem_zalloc(sizeof *entry()->proxies);
    entry()->proxies[0] = (struct network){.address = {127, 0, 0, 2}, .bits = 32};
    entry()->proxy_count = 1;
    conn_on_accept(conns, accept_tcp(&peer), 0);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(recv(peer, &c, 1, 0), 0, "closed");
    cr_assert_eq(stat_get(&conns->shard->stats.proxies_refused), 1);
    close(peer);
    entry()->proxies[0].bits = 30; // 127.0.0.0 to 127.0.0.3
    entry()->proxies[0].address[3] = 0;
    conn_on_accept(conns, accept_tcp(&peer), 0);
    tick(0);
    cr_assert_eq(conns->open, 1);
}

// A header of version 2 with the TLV of a client's certificate.
static size_t
proxy_with_name(uint8_t *to, bool verified)
{
    static const uint8_t head[] = {'\r', '\n', '\r', '\n', 0,   '\r', '\n', 'Q', 'U', 'I',
                                   'T',  '\n', 0x21, 0x11, 0,   26,   9,    8,   7,   6,
                                   1,    2,    3,    4,    0,   55,   0,    66, // 12 bytes
                                   0x20, 0,    11,   0x07, 0,   0,    0,    0,  // SSL
                                   0x22, 0,    3,    'b',  'o', 'x'};           // its CN
    memcpy(to, head, sizeof head);
    to[35] = verified ? 0 : 1;
    return sizeof head;
}

Test(io_conn_filter, a_certificate_that_the_proxy_verified_is_a_user_name)
{
    uint8_t bytes[128];
    entry()->proxy_protocol = PROXY_PROTOCOL_V2;
    entry()->use_identity_as_username = true;
    for (int verified = 0; verified <= 1; verified++) {
        size_t len = proxy_with_name(bytes, verified);
        len += connect_packet(bytes + len, 0, 4);
        accept_one();
        sim.sent_len = 0;
        receive(bytes, len);
        tick(0);
        cr_assert_eq(sim.sent_len, 4);
        cr_assert_eq(sim.sent[3], verified ? 0 : 5, "CONNACK");
        if (verified)
            cr_assert_str_eq(the_conn()->client.name, "box");
        tick(0);
        event(0, NULL, false);
        tick(0);
        tick(CONN_LINGER_MS + 20);
        tick(0);
        close(peer);
    }
    peer = -1;
}
