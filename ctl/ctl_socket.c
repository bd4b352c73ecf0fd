// ctl_socket.c - the socket by which ternmqctl comes.
#include "ctl/ctl_socket.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128 // those that come at once; most are answered within a millisecond

// 0, or why the place cannot be had.
static int
make_room(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = rc == 0 || errno == EAGAIN ? EADDRINUSE : errno; // EAGAIN: its backlog is full
    (void)close(fd);
    if (error != ECONNREFUSED)
        return error;
    return unlink(address->sun_path) == 0 ? 0 : errno;
}

// The mode of the socket itself becomes that of the file: there is no moment at which others could
// connect.
static int
bind_alone(int fd, const struct sockaddr_un *address, struct ctl_socket *ret)
{
    struct stat st;
    if (fd < 0 || fchmod(fd, 0600) != 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        return errno;
    if (chmod(address->sun_path, 0600) != 0 || listen(fd, BACKLOG) != 0 ||
        lstat(address->sun_path, &st) != 0)
        return errno;
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    return 0;
}

err_t
ctl_socket_open(const char *path, struct ctl_socket *ret, char *ret_problem, size_t problem_len)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    must(strlen(path) < sizeof address.sun_path); // the configuration has looked
    memcpy(address.sun_path, path, strlen(path));
    *ret = (struct ctl_socket){.fd = -1};
    int error = make_room(&address);
    if (error == 0) {
        ret->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = bind_alone(ret->fd, &address, ret);
    }
    if (error == 0)
        return OK;
    (void)snprintf(ret_problem, problem_len, "control_socket %s: %s", path,
                   error == EADDRINUSE ? "another broker listens there" : strerrordesc_np(error));
    if (ret->fd >= 0)
        (void)close(ret->fd);
    ret->fd = -1;
    return ERR_IO;
}

void
ctl_socket_close(struct ctl_socket *socket, const char *path)
{
    struct stat st;
    must(path[0] == '/');
    if (socket->fd < 0)
        return;
    if (lstat(path, &st) == 0 && st.st_dev == socket->dev && st.st_ino == socket->ino)
        (void)unlink(path);
    (void)close(socket->fd);
    socket->fd = -1;
}

bool
ctl_socket_may_come(int fd)
{
    struct ucred peer;
    must(fd >= 0);
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof peer &&
           (peer.uid == 0 || peer.uid == geteuid());
}
