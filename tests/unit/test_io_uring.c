// test_io_uring.c - the backend on io_uring, on socket pairs.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "io/uring.h"

static struct backend *io;
static int pair[2];
static struct io_event events[IO_EVENTS_MAX];

static void
set_up(void)
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
tear_down(void)
{
    if (!io)
        return;
    close(pair[0]);
    close(pair[1]);
    io->ops->free(io);
    io = NULL;
}

TestSuite(io_uring, .init = set_up, .fini = tear_down);

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

Test(io_uring, a_whole_send_says_nothing_and_is_there_after_enter)
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

Test(io_uring, pieces_arrive_in_order_also_when_there_are_many_sends)
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

Test(io_uring, a_short_send_tells_how_much_and_a_full_socket_eagain)
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

Test(io_uring, a_send_to_nobody_fails_without_a_signal)
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

Test(io_uring, a_full_socket_is_writable_once_it_is_read)
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

Test(io_uring, a_receive_goes_on_and_one_for_once_takes_no_more)
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
    io->ops->stop(io, IO_RECV, token);
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

Test(io_uring, running_out_of_buffers_loses_nothing)
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
    cr_assert_gt(ended, 0);
    cr_assert_arr_eq(in, out, TOTAL);
    free(in);
    free(out);
}

Test(io_uring, every_write_to_the_eventfd_is_an_event_though_nobody_reads_it)
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

Test(io_uring, waiting_ends_in_time)
{
    uint64_t begin = clock_mono_ms();
    cr_assert_eq(events_within(50), 0);
    uint64_t took = clock_mono_ms() - begin;
    cr_assert(took >= 50 && took < 1000);
}

Test(io_uring, of_more_sends_than_the_ring_holds_each_one_goes_out_or_fails)
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
