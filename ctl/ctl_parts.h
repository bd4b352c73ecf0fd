// ctl_parts.h - what the files of the control server share.
//
// Job:    the server and its connections. Owner: ctl_server.c. Thread: the server's, but where a
//         field says otherwise. Memory, Limits: ctl_server.h's.
#ifndef TERN_CTL_CTL_PARTS_H
#define TERN_CTL_CTL_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/rcu.h"

#include "core/retained.h"
#include "core/trace.h"
#include "ctl/ctl_answer.h"
#include "ctl/ctl_request.h"
#include "ctl/ctl_server.h"
#include "ctl/ctl_socket.h"
#include "persist/store.h"

#define CTL_MAGIC 0x63746c21u
// Of a page's rows; a few rows more may come.
#define CTL_PAGE_BYTES (256u << 10)

enum ctl_state {
    CTL_FREE,    // nobody
    CTL_READING, // a line, or the rest of one, is awaited
    CTL_WAITING, // its request waits for shards, the disk or main, or for those before it
    CTL_WRITING, // an answer is on its way
};

struct ctl_conn {
    enum ctl_state state;
    int fd;            // -1 while WAITING: the peer has gone, and the request ends without it
    bool under_way;    // WAITING: somebody has its request, not only those before it
    uint64_t since_ms; // in this state
    uint64_t turn;     // WAITING: who came first is answered first
    uint8_t *in;
    uint32_t in_len, in_cap;
    char *out;
    size_t out_len, out_at;
    struct ctl_request request; // WAITING
    struct retained_walk *walk; // of its last request, to be gone on with; NULL = none
    uint64_t walk_number;       // by which it is asked for
    struct trace *trace;        // that it has begun; NULL = none
    uint64_t trace_number;      // by which it is asked for
    bool trace_over;            // when all shards were asked, nothing follows
};

enum ctl_errand_state { CTL_ERRAND_NONE, CTL_ERRAND_ASKED, CTL_ERRAND_DONE };

struct ctl_server {
    uint32_t magic;
    char *path;
    struct ctl_socket socket;
    int wake_fd;
    pthread_t thread;
    bool started;
    _Atomic bool stop; // main's
    struct ctl_parts parts;
    struct rcu_reader *rcu;

    struct ctl_conn conns[CTL_CONNECTIONS_MAX];
    uint64_t turns, walks, traces;
    uint64_t accept_ms; // not before: there was no descriptor

    // The question that is with a shard, and whose it is. NULL: none.
    struct ctl_conn *asker;
    unsigned shard;
    struct control_question question;
    uint32_t reserved; // topics that may not be forgotten, of those that were asked for

    struct ctl_conn *copier; // NULL: no copy is under way
    char *copy_folder;
    struct store_copy copy;

    struct ctl_conn *errand_of;    // for whom main does something; NULL: nobody
    struct ctl_errand errand;      // file is owned
    _Atomic uint32_t errand_state; // enum ctl_errand_state
    json_t *errand_answer;         // main's, until DONE
};

// ---- ctl_server.c

// Takes the answer, which ends the connection's request.
void ctl_conn_answer(struct ctl_conn *conn, json_t *answer);
// Nothing is under way for it.
void ctl_conn_free(struct ctl_server *server, struct ctl_conn *conn);

// ---- ctl_watch.c: traces

// What of a trace goes to the connection: its request is checked, and it has a trace for it. False:
// it is answered.
bool ctl_watch_begin(struct ctl_server *server, struct ctl_conn *conn);
// A page of it, and whether there is another one.
json_t *ctl_watch_page(struct ctl_server *server, struct ctl_conn *conn);
void ctl_watch_end(struct ctl_conn *conn);

// ---- ctl_steer.c: what this thread does by itself

void ctl_steer_bans(struct ctl_server *server, struct ctl_conn *conn);
void ctl_steer_ban(struct ctl_server *server, struct ctl_conn *conn);
void ctl_steer_unban(struct ctl_server *server, struct ctl_conn *conn);
void ctl_steer_log(struct ctl_server *server, struct ctl_conn *conn);
void ctl_steer_config(struct ctl_server *server, struct ctl_conn *conn);
// Borrowed while the thread is online.
const struct config *ctl_config_in_force(const struct ctl_server *server);

// ---- ctl_away.c: clients that are sent to other nodes

void ctl_away_drain(struct ctl_server *server, struct ctl_conn *conn);
void ctl_away_decommission(struct ctl_server *server, struct ctl_conn *conn);
void ctl_away_undo(struct ctl_server *server, struct ctl_conn *conn);
void ctl_away_rebalance(struct ctl_server *server, struct ctl_conn *conn);
void ctl_away_stop(struct ctl_server *server, struct ctl_conn *conn);
// The shards have looked at their links. Returns new. It may wait for the disk.
json_t *ctl_away_forget(const struct broker *broker, const struct ctl_request *request);

// ---- ctl_work.c

void ctl_put_cursor(json_t *answer, const struct ctl_cursor *cursor);

// Begins with the connection's request: it is answered, or waits.
void ctl_work_begin(struct ctl_server *server, struct ctl_conn *conn);
// What shards, the store and main have done, and what waited for its turn.
void ctl_work_continue(struct ctl_server *server);
// The peer has gone while its request was under way.
void ctl_work_cancel(struct ctl_server *server, const struct ctl_conn *conn);
// Gives back what the connection holds of the retained store.
void ctl_work_forget(struct ctl_server *server, struct ctl_conn *conn);

#endif
