// test_io_worker.c - whole workers: threads, both backends, real sockets.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/config.h"
#include "core/shard.h"
#include "io/worker.h"

enum { WORKERS = 2, CLIENTS = 16 };

static struct config *config;
static struct listen_set *set;
static struct broker *broker;
static struct worker *workers[WORKERS];
static char path[64];

// load: the second worker's fails.
static void
set_up(enum io_backend asked, worker_load_fn load)
{
    struct worker_features features;
    if (!worker_probe(asked, &features))
        cr_skip_test("%s", features.text);
    cr_assert_eq(features.io, asked);
    char problem[256];
    snprintf(path, sizeof path, "/tmp/test_io_worker.%d", (int)getpid());
    config = config_defaults();
    config->listener_count = 1;
    config->listeners[0].unix_path = mem_strdup(path);
    config->listeners[0].allow_anonymous = true;
    config->connect_timeout_s = 1;
    cr_assert_eq(listen_open(config, WORKERS, &set, problem, sizeof problem), OK, "%s", problem);
    broker = broker_new(config, NULL, WORKERS, clock_mono_ms(), clock_wall_ms());
    broker->io = features.io;
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = worker_new(broker, set, i, load, NULL);
        cr_assert_eq(worker_start(workers[i]), load && i == 1 ? ERR_IO : OK);
    }
}

static void
stop(void)
{
    for (unsigned i = 0; i < WORKERS && workers[i]; i++)
        worker_stop(workers[i]);
    for (unsigned i = 0; i < WORKERS && workers[i]; i++)
        worker_join(workers[i]);
}

static void
tear_down(void)
{
    if (!broker)
        return;
    stop();
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(workers[i]);
    broker_free(broker);
    listen_close(set);
    config_free(config);
}

static void
set_up_uring(void)
{
    set_up(IO_BACKEND_URING, NULL);
}

static void
set_up_epoll(void)
{
    set_up(IO_BACKEND_EPOLL, NULL);
}

static bool
load_first(void *arg, struct shard *shard)
{
    (void)arg;
    return shard->index == 0;
}

Test(io_worker, one_that_cannot_start_leaves_the_others_to_be_stopped, .timeout = 30)
{
    set_up(IO_BACKEND_EPOLL, load_first);
    worker_free(workers[1]);
    workers[1] = NULL;
    tear_down();
}

TestSuite(io_worker_uring, .init = set_up_uring, .fini = tear_down, .timeout = 30);
TestSuite(io_worker_epoll, .init = set_up_epoll, .fini = tear_down, .timeout = 30);

// A test with each of them.
#define BOTH(name)              \
    static void name(void);     \
    Test(io_worker_uring, name) \
    {                           \
        name();                 \
    }                           \
    Test(io_worker_epoll, name) \
    {                           \
        name();                 \
    }                           \
    static void name(void)

static int
dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

// recv, in spite of signals: with SO_RCVTIMEO they are not restarted.
static ssize_t
receive(int fd, void *buf, size_t len)
{
    ssize_t n, got = 0;
    while (got < (ssize_t)len && (n = recv(fd, (uint8_t *)buf + got, len - (size_t)got, 0)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        cr_assert_geq(n, 0, "%m");
        got += n;
    }
    return got;
}

static void
expect(int fd, const void *want, size_t len)
{
    uint8_t got[64];
    cr_assert_eq(receive(fd, got, len), (ssize_t)len);
    cr_assert_arr_eq(got, want, len);
}

// CONNECT of version 3.1.1 or 5 with a client identifier of one letter, PINGREQ behind it.
static int
dial_as(char id, uint8_t version)
{
    uint8_t packet[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0, 1, 0, 0xc0, 0};
    uint8_t *tail = packet + 12;
    packet[8] = version;
    if (version == 5) {
        packet[1]++;
        *tail++ = 0;
    }
    memcpy(tail, (uint8_t[]){0, 1, (uint8_t)id, 0xc0, 0}, 5);
    int fd = dial();
    cr_assert_eq(send(fd, packet, (size_t)packet[1] + 4, 0), packet[1] + 4);
    return fd;
}

BOTH(clients_of_all_shards_are_served_wherever_they_were_accepted)
{
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = dial_as((char)('a' + i), 4);
    for (int i = 0; i < CLIENTS; i++)
        expect(fds[i], (uint8_t[]){0x20, 2, 0, 0, 0xd0, 0}, 6);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
}

BOTH(stopping_says_goodbye_and_does_not_take_long)
{
    int silent = dial(); // first: it is accepted before those that are answered
    int old = dial_as('o', 4), young = dial_as('y', 5);
    uint8_t buf[64];
    expect(old, (uint8_t[]){0x20, 2, 0, 0, 0xd0, 0}, 6);
    cr_assert_eq(receive(young, buf, 1), 1);
    uint8_t len = 0;
    cr_assert_eq(receive(young, &len, 1), 1);
    cr_assert_eq(receive(young, buf, len + 2u), len + 2, "CONNACK and PINGRESP");
    uint64_t begin = clock_mono_ms();
    stop();
    cr_assert_lt(clock_mono_ms() - begin, 10000);
    cr_assert_gt(receive(young, buf, sizeof buf), 2);
    cr_assert_eq(buf[0], 0xe0, "DISCONNECT");
    cr_assert_eq(buf[2], 0x8b, "server shutting down");
    cr_assert_eq(receive(old, buf, 1), 0, "version 3.1.1 has no word for it");
    cr_assert_eq(receive(silent, buf, 1), 0);
    close(old);
    close(young);
    close(silent);
}

BOTH(time_to_connect_runs_from_accept_however_it_drips)
{
    int fd = dial();
    uint64_t begin = clock_mono_ms();
    uint8_t byte = 0x10;
    cr_assert_eq(send(fd, &byte, 1, 0), 1);
    cr_assert_eq(receive(fd, &byte, 1), 0);
    uint64_t took = clock_mono_ms() - begin;
    cr_assert(took >= 900 && took < 15000, "%u ms", (unsigned)took);
    close(fd);
}

BOTH(stopping_twice_is_fine)
{
    stop();
    stop();
}
