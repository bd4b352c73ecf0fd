// ctl_socket.h - the socket by which ternmqctl comes.
//
// Job:    makes it, with mode 0600; tells who may come; removes the file that is ours.
// Owner:  ctl_server.c. Thread: any. Memory: none. Limits: a path of 107 bytes.
#ifndef TERN_CTL_CTL_SOCKET_H
#define TERN_CTL_CTL_SOCKET_H

#include <sys/stat.h>

#include "core/base/err.h"

struct ctl_socket {
    int fd; // listening, non-blocking; -1
    dev_t dev;
    ino_t ino; // of the file
};

// A file that no broker listens at any more makes room; any other is left alone. ERR_IO: the
// problem says why.
NODISCARD err_t ctl_socket_open(const char *path, struct ctl_socket *ret, char *ret_problem,
                                size_t problem_len);
// Removes the file, if it is still ours.
void ctl_socket_close(struct ctl_socket *socket, const char *path);
// Is the peer root, or who we are?
bool ctl_socket_may_come(int fd);

#endif
