// conn_away.c - connections that are ended so that their clients go elsewhere.
#include "io/conn_away.h"

#include "core/broker.h"
#include "io/conn.h"
#include "io/listener.h"

// The steps are not even: else all lanes, and all nodes, would take theirs in one moment.
static uint64_t
next_step(struct conns *conns)
{
    uint64_t jitter = shard_random(conns->shard) % DRAIN_STEP_MS;
    return conns->shard->now_ms + DRAIN_STEP_MS / 2 + jitter;
}

// ---- A drain ------------------------------------------------------------------------------------

// A client, or one whose session is on another node; not another node. Whom another node brings is
// that node's to move: here it stays as long as the broker.
static bool
is_drained(const struct conn *conn, const struct config *config, bool last)
{
    const struct client *client = &conn->client;
    if (conn->state != CONN_LIVE || client->state != CLIENT_CONNECTED)
        return false;
    if (client->link == LINK_VISIT)
        return last;
    bool dialled = client->link == LINK_RELAY && config->listeners[client->listener_index].node;
    return client->link != LINK_IN && client->link != LINK_OUT && !dialled;
}

static uint32_t
count_drained(const struct conns *conns, bool last)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < conns->slots; i++)
        count += is_drained(conn_at(conns, i), conns->shard->config, last);
    return count;
}

static void
begin_drain(struct conns *conns, const struct drain_view *view)
{
    uint32_t of = count_drained(conns, view->last);
    conns->away = (struct conn_away){
        .drain_round = view->round,
        .of = of,
        .slots = conns->slots,
        // Not the oldest first, and no slot before others each time.
        .first = of > 0 ? (uint32_t)(shard_random(conns->shard) % conns->slots) : 0,
    };
}

static void
end_one(struct conn *conn, bool last)
{
    if (last)
        client_shut_down(&conn->client);
    else
        client_send_away(&conn->client);
}

// Those whose time has come. True: all were looked at.
static bool
end_some(struct conns *conns, const struct drain_view *view)
{
    struct conn_away *away = &conns->away;
    uint32_t share = drain_share(view, away->of, conns->shard->now_ms);
    must(away->slots <= conns->slots);
    for (; away->at < away->slots; away->at++) {
        struct conn *conn = conn_at(conns, (away->first + away->at) % away->slots);
        if (!is_drained(conn, conns->shard->config, view->last))
            continue;
        if (away->ended >= share)
            return false;
        end_one(conn, view->last);
        away->ended++;
    }
    return true;
}

// Those that were let in before it began, and whose CONNECT had to wait.
static void
end_late(struct conns *conns, const struct drain_view *view)
{
    for (uint32_t i = 0; i < conns->slots; i++) {
        struct conn *conn = conn_at(conns, i);
        if (is_drained(conn, conns->shard->config, view->last))
            end_one(conn, view->last);
    }
}

static void
drain(struct conns *conns)
{
    struct conn_away *away = &conns->away;
    struct drain *of = &conns->shard->broker->drain;
    struct drain_view view;
    uint64_t now_ms = conns->shard->now_ms;
    drain_look(of, now_ms, &view);
    if (view.on && !view.ends)
        away->due_ms = view.begin_ms;
    if (!view.ends || (away->drain_round == view.round && now_ms < away->due_ms))
        return;
    if (away->drain_round != view.round)
        begin_drain(conns, &view);
    if (away->drained)
        end_late(conns, &view);
    else
        away->drained = end_some(conns, &view);
    drain_tell(of, conns->shard->index, view.round,
               away->drained ? 0 : max_u32(away->of - away->ended, 1));
    away->due_ms = away->drained ? now_ms + DRAIN_LOOK_MS : next_step(conns);
}

// ---- Both ---------------------------------------------------------------------------------------

void
conns_away(struct conns *conns)
{
    if (unlikely(drain_is_on(&conns->shard->broker->drain)))
        drain(conns);
}

uint64_t
conns_away_due(const struct conns *conns)
{
    bool drains = drain_is_on(&conns->shard->broker->drain);
    return unlikely(drains) ? conns->away.due_ms : UINT64_MAX;
}
