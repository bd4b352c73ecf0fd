// link.c - a connection between coordinator and agent: lines of text over TCP.
#include "bench/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/control.h"

#define RECEIVE_BYTES 65536u
#define BACKLOG       16

static err_t
resolve(const char *where, bool passive, struct addrinfo **ret_found, const char **ret_why)
{
    char text[256];
    const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = passive ? AI_PASSIVE : 0,
    };
    int len = snprintf(text, sizeof text, "%s%s", strchr(where, ':') ? "" : "127.0.0.1:", where);
    if (len < 0 || (size_t)len >= sizeof text) {
        *ret_why = "the address is too long";
        return ERR_IO;
    }
    char *port = strrchr(text, ':'), *host = text;
    *port++ = '\0';
    size_t host_len = strlen(host);
    if (host[0] == '[' && host_len >= 2 && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        host++;
    }
    if (host[0] == '\0' || port[0] == '\0') {
        *ret_why = "expected ADDRESS:PORT";
        return ERR_IO;
    }
    int error = getaddrinfo(host, port, &hints, ret_found);
    if (error != 0)
        *ret_why = gai_strerror(error);
    return error == 0 ? OK : ERR_IO;
}

static uint32_t
port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char port[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    (void)getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    uint32_t number = 0;
    for (const char *p = port; *p >= '0' && *p <= '9'; p++)
        number = number * 10 + (uint32_t)(*p - '0');
    return number;
}

err_t
link_listen(const char *where, int *ret_fd, uint32_t *ret_port, const char **ret_why)
{
    struct addrinfo *found = NULL;
    int on = 1;
    if (resolve(where, true, &found, ret_why) != OK)
        return ERR_IO;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    freeaddrinfo(found);
    if (!good) {
        *ret_why = strerrordesc_np(errno);
        if (fd >= 0)
            (void)close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    *ret_port = port_of(fd);
    return OK;
}

static struct link
new_link(int fd, const char *name)
{
    struct link link = {.fd = fd};
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)snprintf(link.name, sizeof link.name, "%s", name);
    return link;
}

// Milliseconds until then, rounded up.
static int
left_ms(uint64_t until_us)
{
    uint64_t now_us = clock_mono_us();
    return until_us <= now_us ? 0 : (int)min_u64((until_us - now_us + 999) / 1000, 3600000);
}

static bool
is_ready(int fd, short events, uint64_t until_us)
{
    struct pollfd ready = {.fd = fd, .events = events};
    int got;
    do
        got = poll(&ready, 1, left_ms(until_us));
    while (got < 0 && errno == EINTR);
    return got > 0;
}

// True when the connection stands. Otherwise errno tells why not.
static bool
try_connect(int fd, const struct addrinfo *to, uint64_t until_us)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS)
        return false;
    if (!is_ready(fd, POLLOUT, until_us)) {
        errno = ETIMEDOUT;
        return false;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    errno = error;
    return error == 0;
}

err_t
link_connect(const char *where, uint64_t until_us, struct link *ret_link, const char **ret_why)
{
    struct addrinfo *found = NULL;
    if (resolve(where, false, &found, ret_why) != OK)
        return ERR_IO;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0 && try_connect(fd, found, until_us);
    freeaddrinfo(found);
    if (!good) {
        *ret_why = strerrordesc_np(errno);
        if (fd >= 0)
            (void)close(fd);
        return ERR_IO;
    }
    *ret_link = new_link(fd, where);
    return OK;
}

err_t
link_accept(int listen_fd, struct link *ret_link)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[LINK_NAME_MAX - 9] = "", port[8] = "", name[LINK_NAME_MAX];
    int fd = accept4(listen_fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return ERR_IO;
    (void)getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(name, sizeof name, "%s:%s", host, port);
    *ret_link = new_link(fd, name);
    return OK;
}

void
link_close(struct link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    buffer_free(&link->in);
}

static err_t
send_bytes(struct link *link, const char *data, size_t len, int flags)
{
    uint64_t until_us = clock_mono_us() + LINK_SEND_S * 1000000ull;
    while (len > 0) {
        ssize_t sent = send(link->fd, data, len, flags | MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        } else if (errno != EINTR && (errno != EAGAIN || !is_ready(link->fd, POLLOUT, until_us))) {
            return ERR_IO;
        }
    }
    return OK;
}

err_t
link_send(struct link *link, const char *text)
{
    size_t len = strlen(text);
    must(len <= CONTROL_LINE_MAX && memchr(text, '\n', len) == NULL);
    err_t err = send_bytes(link, text, len, MSG_MORE);
    return err == OK ? send_bytes(link, "\n", 1, 0) : err;
}

// A line that has arrived whole, searched for from `from` on.
static bool
take_line(struct link *link, uint32_t from, struct slice *ret_line)
{
    struct buffer *in = &link->in;
    const uint8_t *begin = in->data + link->taken;
    const uint8_t *end = from < in->len ? memchr(in->data + from, '\n', in->len - from) : NULL;
    if (end == NULL)
        return false;
    *ret_line = slice_of(begin, (size_t)(end - begin));
    link->taken = (uint32_t)(end - in->data) + 1;
    return true;
}

err_t
link_receive(struct link *link, uint64_t until_us, struct slice *ret_line)
{
    struct buffer *in = &link->in;
    if (link->taken > 0) {
        memmove(in->data, in->data + link->taken, in->len - link->taken);
        in->len -= link->taken;
        link->taken = 0;
    }
    uint32_t searched = 0;
    while (!take_line(link, searched, ret_line)) {
        searched = in->len;
        if (in->len > CONTROL_LINE_MAX)
            return ERR_MALFORMED;
        uint8_t *at = buffer_add(in, RECEIVE_BYTES);
        ssize_t got = recv(link->fd, at, RECEIVE_BYTES, 0);
        in->len = searched + (got > 0 ? (uint32_t)got : 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return ERR_IO;
        if (got < 0 && !is_ready(link->fd, POLLIN, until_us))
            return ERR_NEED_MORE;
    }
    return OK;
}
