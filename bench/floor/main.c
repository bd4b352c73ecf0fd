// main.c - ternmq-floor: what a broker would cost if it had nothing to think about.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "bench/floor/relay.h"

#define EXIT_USAGE 2
#define BACKLOG    4096

static const char usage[] = "usage: ternmq-floor [--port N] [--threads N]\n\n"
                            "  --port N     on 127.0.0.1 (1883)\n"
                            "  --threads N  1 to 8 (1)\n\n"
                            "Copies the messages of ternmq-bench to where they belong, and does "
                            "nothing else: the floor under\n"
                            "the costs of any broker. It is none: no retained messages, no wills, "
                            "no sessions, no limits.\n";

static bool
parse_number(const char *name, const char *text, unsigned long max, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long number = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text == NULL || errno != 0 || end == text || *end != '\0' || number < 1 || number > max) {
        (void)fprintf(stderr, "ternmq-floor: %s takes a number from 1 to %lu, not \"%s\"\n", name,
                      max, text != NULL ? text : "");
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

static bool
parse(char **argv, uint32_t *ret_port, uint32_t *ret_threads)
{
    for (int i = 1; argv[i] != NULL; i += 2) {
        bool good;
        if (strcmp(argv[i], "--port") == 0) {
            good = parse_number("--port", argv[i + 1], UINT16_MAX, ret_port);
        } else if (strcmp(argv[i], "--threads") == 0) {
            good = parse_number("--threads", argv[i + 1], RELAYS_MAX, ret_threads);
        } else {
            (void)fprintf(stderr, "ternmq-floor: unknown option \"%s\", see --help\n", argv[i]);
            good = false;
        }
        if (!good)
            return false;
    }
    return true;
}

// One for each thread: the kernel spreads the connections over them.
static int
listen_on(uint32_t port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (fd < 0)
        return -1;
    // TCP_NODELAY is handed down to what is accepted.
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int
start(uint32_t port, uint32_t threads)
{
    struct relay *relays = mem_alloc_aligned(CACHE_LINE, threads * sizeof *relays);
    struct topics_wanted *wanted = mem_zalloc(sizeof *wanted);
    for (uint32_t i = 0; i < threads; i++) {
        struct relay *relay = &relays[i];
        relay->number = i;
        relay->count = threads;
        relay->all = relays;
        relay->wanted = wanted;
        relay->listen_fd = listen_on(port);
        if (relay->listen_fd < 0) {
            (void)fprintf(stderr, "ternmq-floor: cannot listen on 127.0.0.1:%u: %s\n", port,
                          strerrordesc_np(errno));
            return EXIT_FAILURE;
        }
        relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        must(relay->wake_fd >= 0);
        for (uint32_t other = 0; other < threads; other++) {
            if (other != i)
                hop_init(&relay->hops[other]);
        }
    }
    for (uint32_t i = 0; i < threads; i++) {
        if (relay_start(&relays[i]) != OK) {
            (void)fprintf(stderr, "ternmq-floor: thread: %s\n", strerrordesc_np(errno));
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    uint32_t port = 1883, threads = 1;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (!parse(argv, &port, &threads))
        return EXIT_USAGE;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    // The threads inherit the mask, so that the signals are this one's.
    sigset_t ends;
    int number;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    must(pthread_sigmask(SIG_BLOCK, &ends, NULL) == 0);
    if (start(port, threads) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    must(sigwait(&ends, &number) == 0);
    _exit(EXIT_SUCCESS); // the threads know no end
}
