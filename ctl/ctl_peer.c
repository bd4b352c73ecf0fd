// ctl_peer.c - ternmqctl's connection to the broker.
#include "ctl/ctl_peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/mem.h"

#define READ_BYTES 65536u
#define SEND_MS    10000

static bool
fail(struct ctl_peer *peer, const char *why)
{
    (void)snprintf(peer->problem, sizeof peer->problem, "%.150s: %s", peer->path, why);
    return false;
}

bool
ctl_peer_open(struct ctl_peer *peer, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *peer = (struct ctl_peer){.path = path, .fd = -1};
    if (strlen(path) >= sizeof address.sun_path)
        return fail(peer, strerrordesc_np(ENAMETOOLONG));
    memcpy(address.sun_path, path, strlen(path));
    peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval wait = {.tv_sec = SEND_MS / 1000}; // for a place among those that wait
    if (peer->fd < 0 || setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
        connect(peer->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return fail(peer, strerrordesc_np(errno));
    return true;
}

static bool
wait_for(const struct ctl_peer *peer, short events, int wait_ms)
{
    struct pollfd fd = {.fd = peer->fd, .events = events};
    int rc;
    do
        rc = poll(&fd, 1, wait_ms);
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

static bool
send_all(struct ctl_peer *peer, const char *text, size_t len)
{
    while (len > 0) {
        if (!wait_for(peer, POLLOUT, SEND_MS))
            return fail(peer, "the broker takes no request");
        ssize_t sent = send(peer->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            // Who was turned away has an answer, and finds a closed connection.
            return errno == EPIPE || errno == ECONNRESET || fail(peer, strerrordesc_np(errno));
        }
        text += sent > 0 ? sent : 0;
        len -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

// The line's length, without its end; 0: none.
static uint32_t
read_line(struct ctl_peer *peer, int wait_ms)
{
    uint32_t looked = 0;
    for (;;) {
        const char *end =
            peer->len > looked ? memchr(peer->in + looked, '\n', peer->len - looked) : NULL;
        if (end)
            return (uint32_t)(end - peer->in);
        looked = peer->len;
        if (peer->len > CTL_ANSWER_MAX)
            return fail(peer, "the answer is too long");
        if (!wait_for(peer, POLLIN, wait_ms))
            return fail(peer, "the broker does not answer");
        peer->in = mem_grow(peer->in, &peer->cap, peer->len + READ_BYTES, 1);
        ssize_t got = recv(peer->fd, peer->in + peer->len, READ_BYTES, MSG_DONTWAIT);
        if (got == 0)
            return fail(peer, "the broker has closed the connection");
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return fail(peer, strerrordesc_np(errno));
        peer->len += got > 0 ? (uint32_t)got : 0;
        must(peer->len <= peer->cap);
    }
}

json_t *
ctl_peer_ask(struct ctl_peer *peer, const json_t *request, int wait_ms)
{
    must(peer->fd >= 0);
    char *text = json_dumps(request, JSON_COMPACT);
    if (!text) {
        (void)fail(peer, "the request is not UTF-8");
        return NULL;
    }
    size_t size = strlen(text);
    text[size] = '\n';
    bool sent = send_all(peer, text, size + 1);
    mem_free(text);
    uint32_t len = sent ? read_line(peer, wait_ms) : 0;
    if (len == 0)
        return NULL;
    json_error_t error;
    json_t *answer = json_loadb(peer->in, len, JSON_REJECT_DUPLICATES, &error);
    peer->len -= len + 1;
    memmove(peer->in, peer->in + len + 1, peer->len);
    if (!json_is_object(answer)) {
        json_decref(answer);
        (void)fail(peer, "what answers there is no broker");
        return NULL;
    }
    return answer;
}

void
ctl_peer_close(struct ctl_peer *peer)
{
    if (peer->fd >= 0)
        (void)close(peer->fd);
    mem_free(peer->in);
    *peer = (struct ctl_peer){.fd = -1};
}
