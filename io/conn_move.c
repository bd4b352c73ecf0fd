// conn_move.c - a lane's connections leave one worker's backend and go on with another's.
//
// Nothing is lost on the way: what arrives meanwhile waits in the sockets, what there is to say in
// the out-queues.
#include "io/conn.h"

void
conn_poll(struct conns *conns, struct conn *conn)
{
    must(conn_is_blocked(conn) && !conn->polling);
    if (conns->moving)
        return;
    conn->polling = true;
    conns->io->ops->writable(conns->io, conn->fd, conn->token);
}

static void
stop(struct conns *conns, const struct conn *conn)
{
    if (conn->receiving)
        conns->io->ops->stop(conns->io, IO_RECV, conn->fd, conn->token);
    if (conn->polling)
        conns->io->ops->stop(conns->io, IO_WRITABLE, conn->fd, conn->token);
}

static bool
is_used(const struct conn *conn)
{
    return conn->state != CONN_FREE && conn->state != CONN_DOOMED;
}

void
conns_stop(struct conns *conns)
{
    must(!conns->moving);
    conns->moving = true;
    (void)conns_stopped(conns, true);
}

bool
conns_stopped(struct conns *conns, bool again)
{
    must(conns->moving);
    bool stopped = conns->flight_count == 0 && list_empty(&conns->doomed);
    for (uint32_t i = 0; i < conns->slots; i++) {
        const struct conn *conn = conn_at(conns, i);
        if (!is_used(conn) || !(conn->receiving || conn->polling))
            continue;
        stopped = false;
        if (again)
            stop(conns, conn);
    }
    return stopped;
}

void
conns_resume(struct conns *conns, struct backend *io)
{
    must(conns->moving);
    conns->moving = false;
    conns->io = io;
    for (uint32_t i = 0; i < conns->slots; i++) {
        struct conn *conn = conn_at(conns, i);
        if (!is_used(conn))
            continue;
        bool rearm = conn->rearm;
        conn->rearm = false;
        if (rearm && !conn->receiving)
            conn_receive(conns, conn);
        if (conn_is_blocked(conn) && !conn->polling)
            conn_poll(conns, conn);
    }
}
