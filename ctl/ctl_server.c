// ctl_server.c - the broker's side of ternmqctl, on a thread of its own.
#include "ctl/ctl_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/control.h"
#include "ctl/ctl_parts.h"

// How often deadlines are looked at while there are connections.
#define LOOK_MS 500
// Until what was unlinked from the retained store is freed.
#define FREE_MS 100
// Without a descriptor for a connection that waits, until it is tried again.
#define ACCEPT_AGAIN_MS 200u
#define READ_BYTES      16384u
// A long answer's buffer is not kept.
#define KEEP_BYTES 65536u
// Below the workers.
#define NICE 10

// ---- Connections --------------------------------------------------------------------------------

static void
set_state(struct ctl_conn *conn, enum ctl_state state)
{
    conn->state = state;
    conn->since_ms = clock_mono_ms();
}

static void
drop_answer(struct ctl_conn *conn)
{
    must(conn->out_at <= conn->out_len);
    mem_free(conn->out);
    conn->out = NULL;
    conn->out_len = conn->out_at = 0;
}

void
ctl_conn_free(struct ctl_server *server, struct ctl_conn *conn)
{
    must(conn->state != CTL_FREE && conn != server->asker && conn != server->copier &&
         conn != server->errand_of);
    ctl_work_forget(server, conn);
    ctl_watch_end(conn);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    drop_answer(conn);
    mem_free(conn->in);
    ctl_request_clear(&conn->request);
    *conn = (struct ctl_conn){.fd = -1};
}

// The peer goes, or has to. What is under way for it ends first.
static void
hang_up(struct ctl_server *server, struct ctl_conn *conn)
{
    must(conn->state != CTL_FREE && conn->fd >= 0);
    if (!conn->under_way) {
        ctl_conn_free(server, conn);
        return;
    }
    (void)close(conn->fd);
    conn->fd = -1;
    ctl_work_cancel(server, conn);
}

void
ctl_conn_answer(struct ctl_conn *conn, json_t *answer)
{
    must(conn->state == CTL_READING || conn->state == CTL_WAITING);
    must(answer && conn->out == NULL);
    conn->out = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    must(conn->out != NULL);
    conn->out_len = strlen(conn->out);
    conn->out[conn->out_len++] = '\n'; // in the place of its NUL
    conn->under_way = false;
    ctl_request_clear(&conn->request);
    set_state(conn, CTL_WRITING);
}

static void
go_on_writing(struct ctl_server *server, struct ctl_conn *conn)
{
    ssize_t sent = send(conn->fd, conn->out + conn->out_at, conn->out_len - conn->out_at,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent < 0) {
        hang_up(server, conn);
        return;
    }
    conn->out_at += (size_t)sent;
    must(conn->out_at <= conn->out_len);
    if (conn->out_at < conn->out_len)
        return;
    drop_answer(conn);
    set_state(conn, CTL_READING);
}

static void
keep_rest(struct ctl_conn *conn, const uint8_t *rest)
{
    must(rest > conn->in && rest <= conn->in + conn->in_len);
    conn->in_len -= (uint32_t)(rest - conn->in);
    memmove(conn->in, rest, conn->in_len);
    if (conn->in_len > 0 || conn->in_cap <= KEEP_BYTES)
        return;
    mem_free(conn->in);
    conn->in = NULL;
    conn->in_cap = 0;
}

// The first line, if it is there as a whole. What was read of the next one stays for later.
static void
take_line(struct ctl_server *server, struct ctl_conn *conn)
{
    must(conn->state == CTL_READING);
    const uint8_t *end = conn->in_len ? memchr(conn->in, '\n', conn->in_len) : NULL;
    char problem[CTL_PROBLEM_MAX];
    if (!end && conn->in_len > CTL_REQUEST_MAX)
        hang_up(server, conn);
    if (!end)
        return;
    struct slice line = slice_of(conn->in, (size_t)(end - conn->in));
    bool good = ctl_request_read(line, &conn->request, problem);
    keep_rest(conn, end + 1);
    if (!good) {
        ctl_conn_answer(conn, ctl_bad("bad_request", "%s", problem));
        return;
    }
    set_state(conn, CTL_WAITING);
    conn->turn = server->turns++;
    ctl_work_begin(server, conn);
}

static void
go_on_reading(struct ctl_server *server, struct ctl_conn *conn)
{
    must(conn->in_len <= CTL_REQUEST_MAX + READ_BYTES);
    conn->in = mem_grow(conn->in, &conn->in_cap, conn->in_len + READ_BYTES, 1);
    ssize_t got = recv(conn->fd, conn->in + conn->in_len, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(server, conn);
        return;
    }
    conn->in_len += (uint32_t)got;
    take_line(server, conn);
}

static void
serve_conn(struct ctl_server *server, struct ctl_conn *conn, short events)
{
    if (events == 0 || conn->fd < 0)
        return;
    if (conn->state == CTL_WAITING) // nothing is read: it is its end that is looked for
        hang_up(server, conn);
    else if (conn->state == CTL_WRITING)
        go_on_writing(server, conn);
    else
        go_on_reading(server, conn);
    if (conn->state == CTL_READING)
        take_line(server, conn);
}

// ---- Who comes ----------------------------------------------------------------------------------

// Sends what there is room for: who is turned away is not waited for.
static void
turn_away(int fd, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    must(text != NULL);
    size_t len = strlen(text);
    text[len] = '\n';
    (void)!send(fd, text, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    mem_free(text);
    json_decref(answer);
    (void)close(fd);
}

static struct ctl_conn *
oldest_in(struct ctl_server *server, enum ctl_state state)
{
    struct ctl_conn *found = NULL;
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        struct ctl_conn *conn = &server->conns[i];
        if (conn->state == state && (!found || conn->since_ms < found->since_ms))
            found = conn;
    }
    return found;
}

// Who has not asked for anything gives up his place first, then who does not take his answer.
static struct ctl_conn *
find_place(struct ctl_server *server)
{
    struct ctl_conn *conn = oldest_in(server, CTL_FREE);
    if (conn)
        return conn;
    conn = oldest_in(server, CTL_READING);
    if (!conn)
        conn = oldest_in(server, CTL_WRITING);
    if (conn)
        hang_up(server, conn);
    return conn;
}

static void
take_in(struct ctl_server *server, int fd)
{
    if (!ctl_socket_may_come(fd)) {
        turn_away(fd, ctl_bad("forbidden", "only root and the broker's own user may ask"));
        return;
    }
    struct ctl_conn *conn = find_place(server);
    if (!conn) {
        turn_away(fd, ctl_bad("busy", "%u requests are under way", CTL_CONNECTIONS_MAX));
        return;
    }
    must(conn->state == CTL_FREE && conn->fd < 0);
    conn->fd = fd;
    set_state(conn, CTL_READING);
}

static void
take_all_in(struct ctl_server *server)
{
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        int fd = accept4(server->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            take_in(server, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            server->accept_ms = clock_mono_ms() + ACCEPT_AGAIN_MS;
        if (fd < 0)
            return;
    }
}

static void
see_to_deadlines(struct ctl_server *server)
{
    uint64_t now_ms = clock_mono_ms();
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        struct ctl_conn *conn = &server->conns[i];
        uint64_t for_ms = now_ms - conn->since_ms;
        if ((conn->state == CTL_READING && for_ms >= CTL_READ_MS) ||
            (conn->state == CTL_WRITING && for_ms >= CTL_WRITE_MS))
            hang_up(server, conn);
    }
}

// ---- The thread ---------------------------------------------------------------------------------

enum { POLL_SOCKET, POLL_WAKE, POLL_DESK, POLL_CONNS };

// Returns for how long to wait.
static int
prepare(struct ctl_server *server, struct pollfd fds[POLL_CONNS + CTL_CONNECTIONS_MAX])
{
    static const short events[] = {
        [CTL_FREE] = 0, [CTL_READING] = POLLIN, [CTL_WAITING] = 0, [CTL_WRITING] = POLLOUT};
    bool accepts = clock_mono_ms() >= server->accept_ms;
    int wait = rcu_deferred(server->rcu) > 0 ? FREE_MS : accepts ? -1 : (int)ACCEPT_AGAIN_MS;
    fds[POLL_SOCKET] = (struct pollfd){.fd = accepts ? server->socket.fd : -1, .events = POLLIN};
    fds[POLL_WAKE] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
    fds[POLL_DESK] =
        (struct pollfd){.fd = control_desk_fd(server->parts.broker->control), .events = POLLIN};
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        const struct ctl_conn *conn = &server->conns[i];
        fds[POLL_CONNS + i] = (struct pollfd){.fd = conn->fd, .events = events[conn->state]};
        if (conn->fd >= 0 && (wait < 0 || wait > LOOK_MS))
            wait = LOOK_MS;
    }
    return wait;
}

static void
count_memory(struct ctl_server *server)
{
    // While a shard has them, what they may become.
    uint64_t bytes = server->asker ? CTL_PAGE_BYTES : server->question.rows.cap;
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++)
        bytes += server->conns[i].in_cap + server->conns[i].out_len;
    control_desk_set_bytes(server->parts.broker->control, bytes);
}

static void
empty(int fd)
{
    eventfd_t count;
    (void)eventfd_read(fd, &count); // non-blocking: there may be nothing in it
}

static void
round_once(struct ctl_server *server)
{
    struct pollfd fds[POLL_CONNS + CTL_CONNECTIONS_MAX];
    if (poll(fds, ARRAY_LEN(fds), prepare(server, fds)) <= 0)
        for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
            fds[i].revents = 0;
    empty(server->wake_fd);
    empty(control_desk_fd(server->parts.broker->control));
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++)
        if (fds[POLL_CONNS + i].fd == server->conns[i].fd) // it may have gone for another's sake
            serve_conn(server, &server->conns[i], fds[POLL_CONNS + i].revents);
    ctl_work_continue(server);
    see_to_deadlines(server);
    if (fds[POLL_SOCKET].revents != 0)
        take_all_in(server);
    count_memory(server);
    rcu_online(server->rcu);
    rcu_quiescent(server->rcu);
    rcu_offline(server->rcu);
}

static void *
run(void *arg)
{
    struct ctl_server *server = arg;
    must(server->magic == CTL_MAGIC);
    (void)pthread_setname_np(pthread_self(), "tern-ctl");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); // where it is forbidden, without
    server->rcu = rcu_register(server->parts.broker->rcu);
    rcu_offline(server->rcu);
    while (!atomic_load(&server->stop))
        round_once(server);
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        struct ctl_conn *conn = &server->conns[i];
        ctl_work_forget(server, conn);
        if (conn->state != CTL_FREE && conn->fd >= 0)
            hang_up(server, conn);
    }
    rcu_online(server->rcu);
    rcu_unregister(server->rcu);
    server->rcu = NULL;
    return NULL;
}

// ---- Main's side --------------------------------------------------------------------------------

err_t
ctl_server_open(const char *path, struct ctl_server **ret_server, char *ret_problem,
                size_t problem_len)
{
    struct ctl_server *server = mem_zalloc(sizeof *server);
    server->magic = CTL_MAGIC;
    server->wake_fd = -1;
    server->path = mem_strdup(path);
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++)
        server->conns[i].fd = -1;
    err_t err = ctl_socket_open(path, &server->socket, ret_problem, problem_len);
    if (err == OK) {
        *ret_server = server;
        return OK;
    }
    ctl_server_free(server);
    return err;
}

err_t
ctl_server_start(struct ctl_server *server, const struct ctl_parts *parts)
{
    must(server->magic == CTL_MAGIC && !server->started && parts->broker->control);
    server->parts = *parts;
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake_fd < 0)
        return ERR_IO;
    // Signals are main's; a thread inherits the mask of who makes it.
    sigset_t all, before;
    (void)sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    server->started = pthread_create(&server->thread, NULL, run, server) == 0;
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return server->started ? OK : ERR_IO;
}

void
ctl_server_stop(struct ctl_server *server)
{
    must(server->magic == CTL_MAGIC);
    if (server->started) {
        atomic_store(&server->stop, true);
        must(eventfd_write(server->wake_fd, 1) == 0);
        must(pthread_join(server->thread, NULL) == 0);
        server->started = false;
    }
    ctl_socket_close(&server->socket, server->path);
}

void
ctl_server_free(struct ctl_server *server)
{
    if (!server)
        return;
    ctl_server_stop(server);
    must(!server->copier || atomic_load(&server->copy.done));
    server->asker = server->copier = server->errand_of = NULL;
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++)
        if (server->conns[i].state != CTL_FREE)
            ctl_conn_free(server, &server->conns[i]);
    control_rows_free(&server->question.rows);
    json_decref(server->errand_answer);
    mem_free(unconst(server->errand.file));
    if (server->wake_fd >= 0)
        (void)close(server->wake_fd);
    mem_free(server->copy_folder);
    mem_free(server->path);
    server->magic = 0;
    mem_free(server);
}

bool
ctl_server_errand(struct ctl_server *server, struct ctl_errand *ret)
{
    must(server->magic == CTL_MAGIC);
    if (atomic_load(&server->errand_state) != CTL_ERRAND_ASKED)
        return false;
    *ret = server->errand;
    return true;
}

void
ctl_server_errand_done(struct ctl_server *server, err_t err, const struct config_report *report,
                       const char *problem)
{
    must(atomic_load(&server->errand_state) == CTL_ERRAND_ASKED && !server->errand_answer);
    const char *refusal = server->errand.reload
                              ? "the configuration was not reloaded; the last good one holds"
                              : "the broker would not start with that configuration";
    server->errand_answer = ctl_report(refusal, err, report, problem);
    atomic_store(&server->errand_state, CTL_ERRAND_DONE);
    must(eventfd_write(server->wake_fd, 1) == 0);
}
