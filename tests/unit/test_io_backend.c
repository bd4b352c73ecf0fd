// test_io_backend.c - the contract of io/backend.h, held to by both backends.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "io/epoll.h"
#include "io/uring.h"

static struct backend *io;
static bool is_epoll;
static int pair[2];
static struct io_event events[IO_EVENTS_MAX];

static void
set_up_uring(void)
{
    struct uring_probe probe;
    uring_probe(&probe);
    if (!probe.defer)
        cr_skip_test("no io_uring here");
    io = uring_new();
    cr_assert_not_null(io);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void
set_up_epoll(void)
{
    io = epoll_new();
    cr_assert_not_null(io);
    is_epoll = true;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void
tear_down(void)
{
    if (!io)
        return;
    close(pair[0]);
    close(pair[1]);
    io->ops->free(io);
    io = NULL;
}

TestSuite(io_uring, .init = set_up_uring, .fini = tear_down, .timeout = 30);
TestSuite(io_epoll, .init = set_up_epoll, .fini = tear_down, .timeout = 30);

// A test that both have to pass.
#define BOTH(name)          \
    static void name(void); \
    Test(io_uring, name)    \
    {                       \
        name();             \
    }                       \
    Test(io_epoll, name)    \
    {                       \
        name();             \
    }                       \
    static void name(void)

static uint32_t
events_within(int64_t ms)
{
    io->ops->enter(io, ms);
    return io->ops->reap(io, events);
}

static void
send_one(uint32_t id, const void *data, size_t len)
{
    struct iovec piece = {(void *)(uintptr_t)data, len};
    io->ops->send(io, pair[0], id, &piece, 1);
}

BOTH(a_whole_send_says_nothing_and_is_there_after_enter)
{
    uint32_t id;
    int32_t result;
    char buf[8];
    send_one(3, "hello", 5);
    io->ops->enter(io, 0);
    cr_assert_not(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(read(pair[1], buf, sizeof buf), 5);
    cr_assert_arr_eq(buf, "hello", 5);
    cr_assert_eq(events_within(0), 0);
}

BOTH(pieces_arrive_in_order_also_when_there_are_many_sends)
{
    uint32_t id;
    int32_t result;
    enum { SENDS = 1000 }; // more than fit the backend's store of pieces
    for (uint32_t i = 0; i < SENDS; i++) {
        struct iovec pieces[] = {{(void *)(uintptr_t) "ab", 2}, {(void *)(uintptr_t) "c", 1}};
        io->ops->send(io, pair[0], i, pieces, 2);
        if (i % 100 == 99) {
            char buf[400];
            io->ops->enter(io, 0);
            cr_assert_not(io->ops->next_failure(io, &id, &result));
            cr_assert_eq(recv(pair[1], buf, sizeof buf, MSG_WAITALL | MSG_DONTWAIT), 300);
            for (size_t j = 0; j < 300; j++)
                cr_assert_eq(buf[j], "abc"[j % 3]);
            cr_assert_eq(io->ops->reap(io, events), 0);
        }
    }
}

BOTH(a_short_send_tells_how_much_and_a_full_socket_eagain)
{
    size_t size = 8u << 20;
    char *big = calloc(1, size);
    uint32_t id;
    int32_t result;
    send_one(7, big, size);
    io->ops->enter(io, 0);
    cr_assert(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(id, 7);
    cr_assert(result > 0 && result < (int32_t)size);
    cr_assert_not(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(io->ops->reap(io, events), 0, "failures are not events");

    send_one(8, big, size);
    io->ops->enter(io, 0);
    cr_assert(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(id, 8);
    cr_assert_eq(result, -EAGAIN);
    cr_assert_not(io->ops->next_failure(io, &id, &result));
    free(big);
}

BOTH(a_send_to_nobody_fails_without_a_signal)
{
    uint32_t id;
    int32_t result;
    close(pair[1]);
    send_one(0, "x", 1);
    io->ops->enter(io, 0);
    cr_assert(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(result, -EPIPE);
    cr_assert_not(io->ops->next_failure(io, &id, &result));
    pair[1] = dup(pair[0]);
}

BOTH(a_full_socket_is_writable_once_it_is_read)
{
    char chunk[4096] = {0};
    while (send(pair[0], chunk, sizeof chunk, MSG_DONTWAIT) > 0)
        continue;
    io->ops->writable(io, pair[0], 42);
    cr_assert_eq(events_within(20), 0);
    while (recv(pair[1], chunk, sizeof chunk, MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
    cr_assert_eq(events[0].token, 42);
    cr_assert_not(events[0].more);
}

BOTH(a_receive_goes_on_and_one_for_once_takes_no_more)
{
    uint64_t token = IO_TOKEN_END - 1;
    io->ops->recv(io, pair[0], token, false);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(write(pair[1], "abc", 3), 3);
        cr_assert_eq(events_within(1000), 1);
        cr_assert_eq(events[0].kind, IO_RECV);
        cr_assert_eq(events[0].token, token);
        cr_assert_eq(events[0].result, 3);
        cr_assert_arr_eq(events[0].data, "abc", 3);
        cr_assert(events[0].more);
    }
    io->ops->stop(io, IO_RECV, pair[0], token);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].result, -ECANCELED);
    cr_assert_not(events[0].more);

    io->ops->recv(io, pair[0], 5, true);
    cr_assert_eq(write(pair[1], "once", 4), 4);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].result, 4);
    cr_assert_not(events[0].more);
    cr_assert_eq(write(pair[1], "twice", 5), 5);
    cr_assert_eq(events_within(20), 0);
    char buf[8];
    cr_assert_eq(recv(pair[0], buf, sizeof buf, MSG_DONTWAIT), 5);
}

// Sends what the socket takes and lets the kernel move it into buffers, without reaping, until it
// has none left.
static size_t
fill_all_buffers(const uint8_t *data, size_t len)
{
    size_t sent = 0;
    for (int stuck = 0; sent < len && stuck < 8;) {
        ssize_t n = send(pair[1], data + sent, len - sent, MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        stuck = n > 0 ? 0 : stuck + 1;
        io->ops->enter(io, 0);
    }
    return sent;
}

static size_t
reap_into(uint8_t *dst, size_t *ended)
{
    size_t got = 0;
    uint32_t n;
    while ((n = io->ops->reap(io, events)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            if (events[i].result > 0) {
                memcpy(dst + got, events[i].data, (size_t)events[i].result);
                got += (size_t)events[i].result;
            } else {
                cr_assert_eq(events[i].result, -ENOBUFS);
            }
            if (!events[i].more) {
                (*ended)++;
                io->ops->recv(io, pair[0], 1, false);
            }
        }
    }
    return got;
}

BOTH(more_bytes_than_there_are_buffers_lose_nothing)
{
    enum { TOTAL = URING_BUFFER_BYTES * URING_BUFFERS * 3 };
    uint8_t *out = malloc(TOTAL), *in = malloc(TOTAL);
    for (size_t i = 0; i < TOTAL; i++)
        out[i] = (uint8_t)(i * 7 >> 3);
    size_t sent = 0, got = 0, ended = 0;
    io->ops->recv(io, pair[0], 1, false);
    for (int turn = 0; turn < 100 && got < TOTAL; turn++) {
        sent += fill_all_buffers(out + sent, TOTAL - sent);
        io->ops->enter(io, 0);
        got += reap_into(in + got, &ended);
        cr_assert_leq(got, sent);
    }
    cr_assert_eq(got, TOTAL);
    cr_assert(is_epoll || ended > 0, "io_uring runs out");
    cr_assert_arr_eq(in, out, TOTAL);
    free(in);
    free(out);
}

BOTH(every_write_to_the_eventfd_is_an_event_though_nobody_reads_it)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    io->ops->wake(io, fd, 0);
    cr_assert_eq(events_within(20), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(eventfd_write(fd, 1), 0);
        cr_assert_eq(events_within(1000), 1);
        cr_assert_eq(events[0].kind, IO_WAKE);
        cr_assert(events[0].more);
        cr_assert_eq(events_within(20), 0);
    }
    close(fd);
}

BOTH(waiting_ends_in_time)
{
    uint64_t begin = clock_mono_ms();
    cr_assert_eq(events_within(50), 0);
    uint64_t took = clock_mono_ms() - begin;
    cr_assert(took >= 50 && took < 10000);
}

BOTH(of_more_sends_than_the_ring_holds_each_one_goes_out_or_fails)
{
    static char buf[IO_SENDS_MAX];
    uint32_t id, last = 0, failed = 0;
    int32_t result;
    for (uint32_t i = 0; i < IO_SENDS_MAX; i++)
        send_one(i, "z", 1);
    io->ops->enter(io, 0);
    for (; io->ops->next_failure(io, &id, &result); failed++) {
        cr_assert_eq(result, -EAGAIN);
        cr_assert(failed == 0 || id > last);
        last = id;
    }
    ssize_t got = 0, n;
    while ((n = recv(pair[1], buf, sizeof buf, MSG_DONTWAIT)) > 0)
        got += n;
    cr_assert_gt(failed, 0);
    cr_assert_eq(got + failed, IO_SENDS_MAX);
    cr_assert_eq(io->ops->reap(io, events), 0);
}

// ---- Accepting ----------------------------------------------------------------------------------

static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int
listening(void)
{
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/test_io_backend.%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 128), 0);
    return fd;
}

static int
dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
stop_listening(int fd)
{
    close(fd);
    unlink(address.sun_path);
}

BOTH(all_that_knock_come_in_and_nobody_after_stop)
{
    enum { CALLERS = 100 };
    int callers[CALLERS], fd = listening(), accepted = 0;
    io->ops->accept(io, fd, 9);
    cr_assert_eq(events_within(20), 0);
    for (int i = 0; i < CALLERS; i++)
        callers[i] = dial();
    for (uint32_t n; (n = events_within(accepted < CALLERS ? 1000 : 20)) > 0;) {
        for (uint32_t i = 0; i < n; i++, accepted++) {
            cr_assert_eq(events[i].kind, IO_ACCEPT);
            cr_assert_eq(events[i].token, 9);
            cr_assert(events[i].result >= 0 && events[i].more);
            cr_assert(fcntl(events[i].result, F_GETFD) & FD_CLOEXEC);
            cr_assert_not(fcntl(events[i].result, F_GETFL) & O_NONBLOCK);
            close(events[i].result);
        }
    }
    cr_assert_eq(accepted, CALLERS);
    io->ops->stop(io, IO_ACCEPT, fd, 9);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].result, -ECANCELED);
    cr_assert_not(events[0].more);
    int late = dial();
    cr_assert_eq(events_within(20), 0);
    close(late);
    for (int i = 0; i < CALLERS; i++)
        close(callers[i]);
    stop_listening(fd);
}

// How often a wait for an event ends within 200 ms.
static unsigned
wakes_in_vain(void)
{
    unsigned wakes = 0;
    uint64_t until_ms = clock_mono_ms() + 200;
    for (uint64_t now_ms; (now_ms = clock_mono_ms()) < until_ms; wakes++)
        cr_assert_eq(events_within((int64_t)(until_ms - now_ms)), 0);
    return wakes;
}

BOTH(without_descriptors_accepting_ends_and_does_not_spin)
{
    int fd = listening(), caller = dial(), other = dial();
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    io->ops->accept(io, fd, 9);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint32_t count = events_within(1000);
    int32_t result = events[0].result;
    bool more = events[0].more;
    unsigned wakes = wakes_in_vain();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(count, 1);
    cr_assert_eq(result, -EMFILE);
    cr_assert_not(more);
    cr_assert_leq(wakes, 3);

    io->ops->accept(io, fd, 9);
    for (uint32_t got = 0, n; got < 2; got += n) {
        cr_assert_gt(n = events_within(1000), 0);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert_geq(events[i].result, 0);
            close(events[i].result);
        }
    }
    close(caller);
    close(other);
    stop_listening(fd);
}

// ---- The ends of receives -----------------------------------------------------------------------

// All that comes, up to the last event.
static size_t
receive_to_the_end(uint64_t token, uint8_t *dst, size_t size, int32_t *ret_result)
{
    size_t got = 0;
    for (;;) {
        uint32_t n = events_within(1000);
        cr_assert_gt(n, 0);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert_eq(events[i].token, token);
            if (events[i].result > 0) {
                cr_assert_leq(got + (size_t)events[i].result, size);
                memcpy(dst + got, events[i].data, (size_t)events[i].result);
                got += (size_t)events[i].result;
            }
            if (events[i].more)
                continue;
            *ret_result = events[i].result;
            if (*ret_result <= 0 && *ret_result != -ENOBUFS)
                return got;
            io->ops->recv(io, pair[0], token, false);
        }
    }
}

BOTH(what_was_sent_before_the_end_comes_before_the_end)
{
    enum { TOTAL = 100000 };
    static uint8_t out[TOTAL], in[TOTAL];
    int32_t result;
    for (size_t i = 0; i < TOTAL; i++)
        out[i] = (uint8_t)(i * 11 >> 2);
    io->ops->recv(io, pair[0], 5, false);
    cr_assert_eq(send(pair[1], out, TOTAL, MSG_DONTWAIT), TOTAL);
    cr_assert_eq(shutdown(pair[1], SHUT_WR), 0);
    cr_assert_eq(receive_to_the_end(5, in, TOTAL, &result), TOTAL);
    cr_assert_eq(result, 0);
    cr_assert_arr_eq(in, out, TOTAL);
    cr_assert_leq(wakes_in_vain(), 3, "the end is told once");
}

BOTH(a_small_packet_and_its_end_come_both)
{
    uint8_t in[8];
    int32_t result;
    io->ops->recv(io, pair[0], 5, true);
    cr_assert_eq(write(pair[1], "bye", 3), 3);
    cr_assert_eq(shutdown(pair[1], SHUT_WR), 0);
    cr_assert_eq(receive_to_the_end(5, in, sizeof in, &result), 3);
    cr_assert_arr_eq(in, "bye", 3);
    cr_assert_eq(result, 0);
}

// A receive ends short at the mark of urgent data, though there is more behind it.
BOTH(urgent_data_hides_nothing)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM, 0), caller = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&here, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&here, &len), 0);
    cr_assert_eq(connect(caller, (struct sockaddr *)&here, len), 0);
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(send(caller, "ab", 2, 0), 2);
    cr_assert_eq(send(caller, "!", 1, MSG_OOB), 1);
    cr_assert_eq(send(caller, "cd", 2, 0), 2);
    io->ops->recv(io, fd, 3, false);
    char got[8];
    for (size_t n = 0; n < 4;) {
        uint32_t count = events_within(1000);
        cr_assert_gt(count, 0);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(events[i].result > 0 && n + (size_t)events[i].result <= 4);
            memcpy(got + n, events[i].data, (size_t)events[i].result);
            n += (size_t)events[i].result;
        }
    }
    cr_assert_arr_eq(got, "abcd", 4);
    close(fd);
    close(caller);
    close(listener);
}

BOTH(a_stopped_receive_leaves_the_bytes_and_does_not_spin)
{
    enum { CHUNKS = 20, CHUNK = 1000 };
    static uint8_t chunk[CHUNK], in[CHUNKS * CHUNK];
    io->ops->recv(io, pair[0], 5, false);
    io->ops->enter(io, 0);
    io->ops->stop(io, IO_RECV, pair[0], 5);
    io->ops->stop(io, IO_RECV, pair[0], 5); // a second time is nothing
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].result, -ECANCELED);
    for (int i = 0; i < CHUNKS; i++) {
        memset(chunk, i, CHUNK);
        cr_assert_eq(send(pair[1], chunk, CHUNK, MSG_DONTWAIT), CHUNK);
        if (i == CHUNKS / 2)
            cr_assert_leq(wakes_in_vain(), 3);
    }
    cr_assert_leq(wakes_in_vain(), 3);
    io->ops->recv(io, pair[0], 5, false);
    for (size_t got = 0; got < sizeof in;) {
        uint32_t n = events_within(1000);
        cr_assert_gt(n, 0);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(events[i].result > 0 && events[i].more);
            memcpy(in + got, events[i].data, (size_t)events[i].result);
            got += (size_t)events[i].result;
        }
    }
    for (size_t i = 0; i < sizeof in; i++)
        cr_assert_eq(in[i], i / CHUNK);
}

BOTH(whom_nobody_reads_wakes_once_at_most)
{
    unsigned early = 0;
    io->ops->recv(io, pair[0], 5, true);
    cr_assert_eq(write(pair[1], "x", 1), 1);
    cr_assert_eq(events_within(1000), 1);
    for (int i = 0; i < 5; i++) {
        uint64_t begin = clock_mono_ms();
        cr_assert_eq(write(pair[1], "x", 1), 1);
        cr_assert_eq(events_within(30), 0);
        early += clock_mono_ms() - begin < 25;
    }
    cr_assert_leq(early, 1);
    io->ops->recv(io, pair[0], 5, true);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].result, 5);
}

BOTH(what_cannot_be_waited_for_is_told)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    io->ops->recv(io, fd, 5, false);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_RECV);
    cr_assert_lt(events[0].result, 0);
    cr_assert_not(events[0].more);
    io->ops->writable(io, fd, 5);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
    cr_assert_not(events[0].more);
    close(fd);
}

BOTH(what_is_there_comes_also_when_the_receive_is_stopped_at_once)
{
    size_t got = 0;
    cr_assert_eq(write(pair[1], "now", 3), 3);
    io->ops->recv(io, pair[0], 5, false);
    io->ops->stop(io, IO_RECV, pair[0], 5);
    for (bool more = true; more;) {
        uint32_t n = events_within(1000);
        cr_assert_gt(n, 0);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(more, "nothing comes after the last one");
            got += events[i].result > 0 ? (size_t)events[i].result : 0;
            more = events[i].more;
        }
    }
    cr_assert_eq(got, 3);
    cr_assert_eq(write(pair[1], "later", 5), 5);
    cr_assert_eq(events_within(20), 0);
}

BOTH(a_flood_on_one_socket_does_not_hide_another)
{
    static uint8_t flood[200000];
    int quiet[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, quiet), 0);
    io->ops->recv(io, pair[0], 1, false);
    io->ops->recv(io, quiet[0], 2, false);
    io->ops->enter(io, 0);
    cr_assert_gt(send(pair[1], flood, sizeof flood, MSG_DONTWAIT), 100000);
    cr_assert_eq(write(quiet[1], "!", 1), 1);
    uint32_t n = events_within(1000), seen = 0;
    for (uint32_t i = 0; i < n; i++)
        seen += events[i].token == 2 && events[i].result == 1;
    cr_assert_eq(seen, 1, "in the first batch");
    close(quiet[0]);
    close(quiet[1]);
}

// ---- Waiting to send ----------------------------------------------------------------------------

static void
fill(int fd)
{
    char chunk[4096] = {0};
    while (send(fd, chunk, sizeof chunk, MSG_DONTWAIT) > 0)
        continue;
    while (send(fd, chunk, 1, MSG_DONTWAIT) > 0)
        continue;
}

BOTH(a_failure_ends_the_wait)
{
    uint32_t id;
    int32_t result;
    fill(pair[0]);
    uint64_t begin = clock_mono_ms();
    send_one(4, "x", 1);
    io->ops->enter(io, 5000);
    cr_assert_lt(clock_mono_ms() - begin, 2000);
    cr_assert(io->ops->next_failure(io, &id, &result));
    cr_assert_eq(id, 4);
    cr_assert_eq(result, -EAGAIN);
    cr_assert_not(io->ops->next_failure(io, &id, &result));
}

BOTH(waiting_to_send_can_be_stopped_and_begun_again)
{
    static char sink[1 << 20];
    fill(pair[0]);
    io->ops->writable(io, pair[0], 42);
    cr_assert_eq(events_within(20), 0);
    io->ops->stop(io, IO_WRITABLE, pair[0], 42);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
    cr_assert_eq(events[0].result, -ECANCELED);
    while (recv(pair[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(events_within(20), 0);
    io->ops->writable(io, pair[0], 42); // has become so meanwhile
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
}

BOTH(both_ways_of_a_socket_are_told_apart)
{
    static char sink[1 << 20];
    fill(pair[0]);
    io->ops->recv(io, pair[0], 7, false);
    io->ops->writable(io, pair[0], 7);
    cr_assert_eq(events_within(20), 0);
    cr_assert_eq(write(pair[1], "in", 2), 2);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_RECV);
    cr_assert(events[0].more);
    while (recv(pair[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(write(pair[1], "in", 2), 2);
        cr_assert_eq(events_within(1000), 1);
        cr_assert_eq(events[0].kind, IO_RECV);
    }
}

BOTH(whoever_waits_to_send_hears_that_nobody_is_there)
{
    fill(pair[0]);
    io->ops->writable(io, pair[0], 42);
    cr_assert_eq(events_within(20), 0);
    close(pair[1]);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].kind, IO_WRITABLE);
    pair[1] = dup(pair[0]);
}

// ---- Descriptors change hands -------------------------------------------------------------------

BOTH(a_number_that_is_used_again_is_somebody_else)
{
    int fresh[2];
    char buf[8];
    io->ops->recv(io, pair[0], 1, false);
    io->ops->enter(io, 0);
    cr_assert_eq(write(pair[1], "old", 3), 3);
    cr_assert_eq(shutdown(pair[0], SHUT_RDWR), 0);
    io->ops->forget(io, pair[0]);
    io->ops->enter(io, 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fresh), 0);
    cr_assert_eq(dup2(fresh[0], pair[0]), pair[0]); // the old one is closed
    close(fresh[0]);
    cr_assert_eq(write(fresh[1], "fresh", 5), 5);
    for (uint32_t n; (n = events_within(20)) > 0;)
        for (uint32_t i = 0; i < n; i++)
            cr_assert_eq(events[i].token, 1, "of the old one only, if any");
    cr_assert_eq(recv(pair[0], buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT), 5, "nobody took it");
    io->ops->recv(io, pair[0], 2, false);
    cr_assert_eq(events_within(1000), 1);
    cr_assert_eq(events[0].token, 2);
    cr_assert_eq(events[0].result, 5);
    cr_assert_arr_eq(events[0].data, "fresh", 5);
    cr_assert(events[0].more);
    close(fresh[1]);
}

BOTH(a_descriptor_goes_to_another_backend_and_comes_back)
{
    struct backend *here = io, *there = is_epoll ? epoll_new() : uring_new();
    cr_assert_not_null(there);
    for (uint64_t turn = 0; turn < 6; turn++) {
        struct backend *other = io;
        io = turn % 2 ? there : here;
        io->ops->recv(io, pair[0], turn + 1, turn < 3);
        cr_assert_eq(write(pair[1], "go", 2), 2);
        cr_assert_eq(events_within(1000), 1);
        cr_assert_eq(events[0].token, turn + 1);
        cr_assert_eq(events[0].result, 2);
        if (events[0].more) {
            io->ops->stop(io, IO_RECV, pair[0], turn + 1);
            cr_assert_eq(events_within(1000), 1);
            cr_assert_eq(events[0].result, -ECANCELED);
        } else if (turn != 1) { // that one's lane moves: it is not told
            io->ops->forget(io, pair[0]);
        }
        if (other != io) {
            io = other;
            cr_assert_eq(events_within(0), 0);
        }
    }
    there->ops->free(there);
    io = here;
}
