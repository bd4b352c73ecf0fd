// test_io_conn.h - connections on a simulated backend, with the real protocol behind them.
//
// Job:    what test_io_conn.c and test_io_conn_filter.c share: a backend that notes what it is
//         asked for, a broker of two shards, whose first one the test drives as its worker would.
// Owner:  a test. Thread: its own. Memory: static. Limits: one connection at a time.
#ifndef TERN_TESTS_TEST_IO_CONN_H
#define TERN_TESTS_TEST_IO_CONN_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/broker.h"
#include "core/config.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/worker.h"

// ---- A backend that notes what it is asked for, and does what the test says ---------------------

enum { SENT_MAX = 1 << 20 };

static struct {
    struct backend base;
    struct {
        uint64_t token;
        bool armed, once;
        uint32_t armings, stops;
    } recv;
    uint32_t writable, poll_stops, sends;
    int forgotten;          // the last one
    uint8_t sent[SENT_MAX]; // all bytes that "the kernel" took
    uint32_t sent_len;
    int64_t room; // how many more bytes it takes
    int error;    // answers sends when there is no room; 0 = EAGAIN
    struct {
        uint32_t id;
        int32_t result;
    } failures[8];
    uint32_t failure_count;
} sim;

static inline void
sim_recv(struct backend *io, int fd, uint64_t token, bool once)
{
    (void)io;
    cr_assert_geq(fd, 0);
    cr_assert_not(sim.recv.armed, "only one receive at a time");
    sim.recv.armed = true;
    sim.recv.token = token;
    sim.recv.once = once;
    sim.recv.armings++;
}

static inline void
sim_writable(struct backend *io, int fd, uint64_t token)
{
    (void)io;
    (void)fd;
    (void)token;
    sim.writable++;
}

static inline void
sim_stop(struct backend *io, enum io_kind kind, int fd, uint64_t token)
{
    (void)io;
    cr_assert_geq(fd, 0);
    cr_assert(kind == IO_RECV || kind == IO_WRITABLE);
    cr_assert_eq(token, sim.recv.token);
    sim.recv.stops += kind == IO_RECV;
    sim.poll_stops += kind == IO_WRITABLE;
}

static inline void
sim_forget(struct backend *io, int fd)
{
    (void)io;
    cr_assert_geq(fd, 0);
    sim.forgotten = fd;
}

static inline void
sim_send(struct backend *io, int fd, uint32_t id, const struct iovec *pieces, uint32_t count)
{
    (void)io;
    (void)fd;
    int64_t asked = 0, taken = 0;
    sim.sends++;
    for (uint32_t i = 0; i < count; i++) {
        size_t n = min_u64(pieces[i].iov_len, (uint64_t)(sim.room - taken));
        memcpy(sim.sent + sim.sent_len, pieces[i].iov_base, n);
        sim.sent_len += (uint32_t)n;
        taken += (int64_t)n;
        asked += (int64_t)pieces[i].iov_len;
    }
    sim.room -= taken;
    if (taken < asked) {
        int error = sim.error ? sim.error : EAGAIN;
        sim.failures[sim.failure_count].id = id;
        sim.failures[sim.failure_count++].result = taken ? (int32_t)taken : -error;
    }
}

static inline bool
sim_next_failure(struct backend *io, uint32_t *ret_id, int32_t *ret_result)
{
    (void)io;
    if (sim.failure_count == 0)
        return false;
    sim.failure_count--;
    *ret_id = sim.failures[sim.failure_count].id;
    *ret_result = sim.failures[sim.failure_count].result;
    return true;
}

static const struct backend_ops sim_ops = {
    .recv = sim_recv,
    .writable = sim_writable,
    .stop = sim_stop,
    .forget = sim_forget,
    .send = sim_send,
    .next_failure = sim_next_failure,
};

// ---- A broker of two shards; the test is the worker of the first --------------------------------

static struct config *config;
static struct listen_set *set;
static struct broker *broker;
static struct wheel *wheel;
static struct conns *conns;
static struct shard *other; // only receives handovers
static int peer;            // the far end of the connection under test
static uint64_t now = 1000;

static inline void
settle(void)
{
    uint32_t id;
    int32_t result;
    while (sim_next_failure(&sim.base, &id, &result))
        conns_on_failure(conns, id % IO_SENDS_MAX, result);
    conns_settle(conns);
}

static inline void
set_up(void)
{
    char problem[256];
    thread_role = ROLE_WORKER;
    config = config_defaults();
    char unix_path[64];
    snprintf(unix_path, sizeof unix_path, "/tmp/test_io_conn.%d", (int)getpid());
    config->listener_count = 1;
    config->listeners[0].unix_path = mem_strdup(unix_path);
    config->listeners[0].allow_anonymous = true;
    cr_assert_eq(listen_open(config, 2, &set, problem, sizeof problem), OK, "%s", problem);
    broker = broker_new(config, NULL, 2, now, now);
    broker->shards[0] = shard_new(broker, 0, now);
    broker->shards[1] = other = shard_new(broker, 1, now);
    wheel = wheel_new(now);
    memset(&sim, 0, sizeof sim);
    sim.base.ops = &sim_ops;
    sim.room = INT64_MAX;
    conns = conns_new(&sim.base, broker->shards[0], wheel, set);
}

static inline void
tear_down(void)
{
    settle();
    conns_abandon(conns);
    conns_bury(conns);
    cr_expect_eq(conns->open, 0);
    conns_free(conns);
    wheel_free(wheel);
    close(peer);
    // Offline: no grace period waits for a shard that this thread cannot drive meanwhile.
    rcu_offline(broker->shards[1]->rcu);
    shard_free(broker->shards[0]);
    broker->shards[0] = NULL;
    rcu_online(other->rcu);
    shard_free(other);
    broker->shards[1] = NULL;
    broker_free(broker);
    listen_close(set);
    config_free(config);
}

// What worker_tick does, without enter.
static inline void
tick(uint64_t ms)
{
    now += ms;
    struct timer *timer;
    shard_tick_begin(conns->shard, now);
    settle();
    while ((timer = wheel_next(wheel, now)) != NULL)
        conn_on_timer(conns, timer);
    shard_timers(conns->shard);
    shard_post(conns->shard);
    conns_shake(conns);
    conns_flush(conns, IO_SENDS_MAX);
    shard_tick_end(conns->shard);
    rcu_quiescent(other->rcu);
    conns_bury(conns);
}

static inline void
accept_one(void)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    peer = pair[1];
    conn_on_accept(conns, pair[0], 0);
}

// In a buffer as the ring's, which is wiped where a password may have been in it.
static inline void
event(int32_t result, const void *data, bool more)
{
    cr_assert(sim.recv.armed);
    sim.recv.armed = more;
    uint8_t *buffer = result > 0 ? mem_alloc((size_t)result) : NULL;
    if (buffer)
        memcpy(buffer, data, (size_t)result);
    struct io_event e = {
        .token = sim.recv.token, .data = buffer, .result = result, .kind = IO_RECV, .more = more};
    conn_on_recv(conns, &e);
    mem_free(buffer);
}

static inline void
receive(const void *data, size_t len)
{
    event((int32_t)len, data, !sim.recv.once);
}

// A CONNECT with a client identifier that lives on the given shard.
static inline size_t
connect_packet(uint8_t *buf, unsigned home, uint8_t version)
{
    static const uint8_t head[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60};
    size_t len = sizeof head;
    memcpy(buf, head, len);
    buf[8] = version;
    if (version == 5) {
        buf[1]++;
        buf[len++] = 0; // no properties
    }
    memcpy(buf + len, "\0\2c", 3);
    len += 3;
    for (char c = 'a'; c <= 'z'; c++) {
        buf[len] = (uint8_t)c;
        if (broker_home(broker, slice_of(buf + len - 1, 2)) == home)
            return len + 1;
    }
    cr_assert_fail("no client identifier for shard %u", home);
    return 0;
}

static inline void
connected_as(uint8_t version)
{
    uint8_t packet[32];
    accept_one();
    receive(packet, connect_packet(packet, 0, version));
    tick(0);
    tick(0);
    cr_assert_geq(sim.sent_len, 4);
    cr_assert_eq(sim.sent[0], 0x20, "CONNACK");
    sim.sent_len = 0;
}

static inline void
connected(void)
{
    connected_as(4);
}

static const uint8_t pingreq[] = {0xc0, 0}, pingresp[] = {0xd0, 0};

#endif
