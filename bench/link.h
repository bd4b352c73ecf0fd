// link.h - a connection between coordinator and agent: lines of text over TCP.
//
// Job:    listen, connect, send and receive lines, none of them for longer than told.
// Owner:  the agent, or the coordinator. Thread: one.
// Memory: what has arrived of a line, until link_close. Limits: CONTROL_LINE_MAX for a line.
#ifndef TERN_BENCH_LINK_H
#define TERN_BENCH_LINK_H

#include "core/base/err.h"

#include "bench/buffer.h"

#define LINK_NAME_MAX 64u
#define LINK_SEND_S   10u // a peer that takes nothing for so long is lost

struct link {
    int fd;           // -1 when closed
    struct buffer in; // from `taken` on not yet returned
    uint32_t taken;
    char name[LINK_NAME_MAX]; // of the peer
};

// "[address:]port", "name:port" or "[address]:port"; without an address 127.0.0.1. ERR_IO with a
// reason in ret_why. link_listen tells the port that it has, which is another one for port 0.
NODISCARD err_t link_listen(const char *where, int *ret_fd, uint32_t *ret_port,
                            const char **ret_why);
NODISCARD err_t link_connect(const char *where, uint64_t until_us, struct link *ret_link,
                             const char **ret_why);
// ERR_IO when there is nobody.
NODISCARD err_t link_accept(int listen_fd, struct link *ret_link);
void link_close(struct link *link); // a closed one is fine

// Appends the end of the line.
NODISCARD err_t link_send(struct link *link, const char *text);
// The next line without its end, good until the next call. ERR_NEED_MORE: not by that time; ERR_IO:
// the connection has ended; ERR_MALFORMED: longer than a line may be.
NODISCARD err_t link_receive(struct link *link, uint64_t until_us, struct slice *ret_line);

#endif
