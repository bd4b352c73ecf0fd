// attempt.c - a TCP connection to another node, while it is not there yet.
#include "cluster/attempt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/endpoint.h"

#define UNSENT_MS 10000u // a link whose data nobody acknowledges for so long is dead
// The same where nothing is sent: else a node that lost its machine, and lives again elsewhere,
// would not be told our routes before we have something else for it.
#define IDLE_S 5
#define ASK_S  2
#define ASKS   3

static int
new_socket(const struct gossip_address *address)
{
    int on = 1, unsent_ms = UNSENT_MS, idle_s = IDLE_S, ask_s = ASK_S, asks = ASKS;
    int family = endpoint_is_ipv4(address) ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &ask_s, sizeof ask_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &asks, sizeof asks);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, sizeof unsent_ms);
    return fd;
}

void
attempt_end(struct attempt *attempt)
{
    if (attempt->fd >= 0)
        (void)close(attempt->fd);
    attempt->fd = -1;
}

int
attempt_begin(struct attempt *attempt, const struct gossip_address *address, uint64_t now_ms)
{
    struct sockaddr_storage to;
    must(attempt->fd < 0 && now_ms >= attempt->due_ms);
    attempt->due_ms = now_ms + RETRY_MS;
    attempt->fd = new_socket(address);
    if (attempt->fd < 0)
        return errno;
    socklen_t len = endpoint_sockaddr(address, !endpoint_is_ipv4(address), &to);
    if (connect(attempt->fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
        int error = errno;
        attempt_end(attempt);
        return error;
    }
    attempt->due_ms = now_ms + ATTEMPT_MS;
    return 0;
}

enum attempt_state
attempt_look(struct attempt *attempt, bool ready, uint64_t now_ms, int *ret_error)
{
    socklen_t len = sizeof *ret_error;
    must(attempt->fd >= 0);
    *ret_error = 0;
    if (!ready && now_ms < attempt->due_ms)
        return ATTEMPT_WAITS;
    if (ready && getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, ret_error, &len) == 0 &&
        *ret_error == 0)
        return ATTEMPT_STANDS;
    attempt_end(attempt);
    attempt->due_ms = now_ms + RETRY_MS;
    return ATTEMPT_FAILED;
}
