// ctl_steer.c - bans, log types and the configuration: what the server's thread does by itself.
#include "core/base/clock.h"
#include "core/base/log.h"

#include "core/address.h"
#include "core/bans.h"
#include "core/broker.h"
#include "ctl/ctl_parts.h"

// ---- Bans ---------------------------------------------------------------------------------------

struct bans_list {
    json_t *rows;
    uint64_t now_ms;
};

static void
add_ban(void *arg, const struct ban *ban)
{
    const struct bans_list *list = arg;
    must(ban->kind <= BAN_CLIENT_AT);
    (void)json_array_append_new(list->rows, ctl_ban(ban, list->now_ms));
}

void
ctl_steer_bans(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    struct bans_list list = {json_array(), clock_mono_ms()};
    uint64_t place = request->cursor.place.bucket;
    if (place >= BANS_END) {
        json_decref(list.rows);
        ctl_conn_answer(conn, ctl_bad("bad_request", "the cursor is not of this broker"));
        return;
    }
    place =
        bans_some(server->parts.broker->bans, place, request->limit, add_ban, &list, list.now_ms);
    json_t *answer = ctl_good();
    (void)json_object_set_new(answer, "bans", list.rows);
    if (place < BANS_END)
        ctl_put_cursor(answer, &(struct ctl_cursor){.place = {.bucket = place}});
    ctl_conn_answer(conn, answer);
}

// Whom the request names: a client, a user, an address, or a client at an address. False: answered.
static bool
take_ban(struct ctl_conn *conn, struct ban *ret)
{
    const struct ctl_request *request = &conn->request;
    bool client = request->id.len > 0, user = request->user.data != NULL;
    bool at = request->address != ADDRESS_NONE;
    if ((!client && !user && !at) || (user && (client || at)) || (request->id.data && !client)) {
        ctl_conn_answer(conn, ctl_bad("bad_request", "a ban is of a client, of a user, of an "
                                                     "address, or of a client at an address"));
        return false;
    }
    *ret = (struct ban){.kind = user           ? BAN_USER
                                : client && at ? BAN_CLIENT_AT
                                : client       ? BAN_CLIENT
                                               : BAN_ADDRESS,
                        .name = user ? request->user : request->id,
                        .address = request->address,
                        .until_ms = BANS_NEVER};
    return true;
}

void
ctl_steer_ban(struct ctl_server *server, struct ctl_conn *conn)
{
    struct ban ban;
    if (!take_ban(conn, &ban))
        return;
    uint64_t now_ms = clock_mono_ms();
    if (conn->request.for_s > 0)
        ban.until_ms = now_ms + (uint64_t)conn->request.for_s * 1000;
    if (bans_add(server->parts.broker->bans, &ban, now_ms) != OK) {
        ctl_conn_answer(conn, ctl_bad("refused", "%u bans are in force", BANS_MAX));
        return;
    }
    json_t *answer = ctl_good();
    (void)json_object_set_new(answer, "ban", ctl_ban(&ban, now_ms));
    ctl_conn_answer(conn, answer);
}

void
ctl_steer_unban(struct ctl_server *server, struct ctl_conn *conn)
{
    struct ban ban;
    if (!take_ban(conn, &ban))
        return;
    must(ban.kind == BAN_ADDRESS || ban.name.len > 0);
    bool found = bans_remove(server->parts.broker->bans, &ban);
    ctl_conn_answer(conn, found ? ctl_good() : ctl_bad("not_found", "there is no such ban"));
}

// ---- Log and configuration ----------------------------------------------------------------------

const struct config *
ctl_config_in_force(const struct ctl_server *server)
{
    const struct config *config =
        atomic_load_explicit(&server->parts.broker->config, memory_order_acquire);
    must(config != NULL);
    return config;
}

void
ctl_steer_log(struct ctl_server *server, struct ctl_conn *conn)
{
    struct log *log = server->parts.broker->log;
    rcu_online(server->rcu);
    const struct log_options options = ctl_config_in_force(server)->log;
    rcu_offline(server->rcu);
    if (options.dests == 0) {
        ctl_conn_answer(conn, ctl_bad("refused", "nothing is logged: log_dest is none, or quiet"));
        return;
    }
    if (conn->request.has_types)
        log_set_types(log, conn->request.types);
    json_t *answer = ctl_good();
    (void)json_object_set_new(answer, "types", ctl_log_types(log_types(log)));
    (void)json_object_set_new(answer, "configured", ctl_log_types(options.types));
    ctl_conn_answer(conn, answer);
}

void
ctl_steer_config(struct ctl_server *server, struct ctl_conn *conn)
{
    rcu_online(server->rcu);
    json_t *answer = ctl_config(ctl_config_in_force(server));
    rcu_offline(server->rcu);
    ctl_conn_answer(conn, answer);
}
