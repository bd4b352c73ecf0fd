// http_socket.c - the socket that HTTP is served on.
#include "http/http_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/config_http.h"

#define BACKLOG 128 // probes come one by one

// -1 with errno set.
static int
open_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    int rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6) // [::] is every address, those of IPv4, too
        rc |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (rc == 0 && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

static void
name_place(const struct addrinfo *ai, char ret_place[HTTP_PLACE_MAX])
{
    char host[128], port[16];
    int rc = getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV);
    must(rc == 0); // numbers need no look-up, and fit
    (void)snprintf(ret_place, HTTP_PLACE_MAX,
                   ai->ai_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

err_t
http_socket_open(const char *address, int *ret_fd, char ret_place[HTTP_PLACE_MAX],
                 char *ret_problem, size_t problem_len)
{
    struct slice host;
    uint16_t number;
    bool good = config_http_address(slice_str(address), &host, &number);
    must(good); // the configuration has looked at it
    char name[256], port[8];
    (void)snprintf(name, sizeof name, "%.*s", host.len ? (int)host.len : 9,
                   host.len ? (const char *)host.data : "127.0.0.1");
    (void)snprintf(port, sizeof port, "%u", number);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(name, port, &hints, &list);
    int fd = -1;
    for (const struct addrinfo *ai = list; rc == 0 && ai && fd < 0; ai = ai->ai_next) {
        fd = open_one(ai);
        if (fd >= 0)
            name_place(ai, ret_place);
    }
    if (fd < 0)
        (void)snprintf(ret_problem, problem_len, "http_listener %s: %s", address,
                       rc == 0 || rc == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(rc));
    if (list)
        freeaddrinfo(list);
    *ret_fd = fd;
    return fd >= 0 ? OK : ERR_IO;
}
