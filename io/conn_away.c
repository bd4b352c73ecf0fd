// conn_away.c - connections that are ended so that their clients go elsewhere.
#include "io/conn_away.h"

#include "core/broker.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/mqtt.h"
#include "core/session.h"
#include "io/conn.h"

// Clients that cannot be told where to go, until it is held that nobody can.
#define REFERENCES_MAX 16u

// The steps are not even: else all lanes, and all nodes, would take theirs in one moment.
static uint64_t
next_step(struct conns *conns)
{
    uint64_t jitter = shard_random(conns->shard) % DRAIN_STEP_MS;
    return conns->shard->now_ms + DRAIN_STEP_MS / 2 + jitter;
}

// ---- A drain ------------------------------------------------------------------------------------

// A client, or one whose session is on another node; not another node. Whom another node brings is
// that node's to move: here it stays as long as its session.
static bool
is_drained(const struct conn *conn, const struct config *config, bool all)
{
    const struct client *client = &conn->client;
    if (conn->state != CONN_LIVE || client->state != CLIENT_CONNECTED)
        return false;
    if (client->link == LINK_VISIT)
        return all;
    bool dialled = client->link == LINK_RELAY && config->listeners[client->listener_index].node;
    return client->link != LINK_IN && client->link != LINK_OUT && !dialled;
}

static uint32_t
count_drained(const struct conns *conns, bool all)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < conns->slots; i++)
        count += is_drained(conn_at(conns, i), conns->shard->config, all);
    return count;
}

static void
begin_drain(struct conns *conns, const struct drain_view *view)
{
    uint32_t of = count_drained(conns, view->all);
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
        if (!is_drained(conn, conns->shard->config, view->all))
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
        if (is_drained(conn, conns->shard->config, view->all))
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

// ---- A rebalance --------------------------------------------------------------------------------

// Where it goes it begins anew: a session that outlives its connection stays here, and so would the
// client, at the end of a longer way.
static bool
may_go(const struct conn *conn, bool all)
{
    const struct client *client = &conn->client;
    return conn->state == CONN_LIVE && client->state == CLIENT_CONNECTED &&
           client->link == LINK_NONE && client->session->expiry_s == 0 &&
           (all || client->version == MQTT_5);
}

// False: it cannot be told where to go, and not all are to go.
static bool
send_one(struct client *client, bool all)
{
    if (client_refer(client, client->packet_max))
        client_fail(client, ERR_USE_ANOTHER_SERVER);
    else if (all)
        client_fail(client, ERR_SERVER_BUSY);
    else
        return false;
    stat_add(&client->shard->stats.rebalanced, 1);
    return true;
}

// The first from a random place on. False: there is nobody.
static bool
send_at_random(struct conns *conns, bool all)
{
    uint32_t tries = REFERENCES_MAX;
    uint32_t first = conns->slots > 0 ? (uint32_t)(shard_random(conns->shard) % conns->slots) : 0;
    for (uint32_t i = 0; i < conns->slots && tries > 0; i++) {
        struct conn *conn = conn_at(conns, (first + i) % conns->slots);
        if (!may_go(conn, all))
            continue;
        if (send_one(&conn->client, all))
            return true;
        tries--;
    }
    return false;
}

static void
log_end(const struct shard *shard, const struct rebalance_view *view)
{
    log_line(shard->log, LOG_T_NOTICE, "Rebalanced: %llu of %llu clients were sent away%s.",
             (unsigned long long)view->sent, (unsigned long long)view->plan.surplus,
             view->state == REBALANCE_NOBODY ? "; the others have nowhere to go, or stay" : "");
}

static void
shed(struct conns *conns)
{
    struct shard *shard = conns->shard;
    struct rebalance *rebalance = &shard->broker->rebalance;
    unsigned lanes = shard->broker->shard_count;
    struct rebalance_view view;
    if (shard->now_ms < conns->away.shed_ms)
        return;
    conns->away.shed_ms = next_step(conns);
    rebalance_look(rebalance, &view);
    uint32_t count = rebalance_take(rebalance, shard->index, lanes, broker_connected(shard->broker),
                                    shard->now_ms);
    while (count > 0 && send_at_random(conns, view.plan.all))
        count--;
    if (count > 0)
        rebalance_give_back(rebalance, shard->index, lanes, count);
    if (rebalance_tell(rebalance, &view))
        log_end(shard, &view);
}

// ---- Both ---------------------------------------------------------------------------------------

void
conns_away(struct conns *conns)
{
    struct broker *broker = conns->shard->broker;
    conns->shard->orders = atomic_load(&broker->orders); // before what they are about
    if (unlikely(drain_is_on(&broker->drain)))
        drain(conns);
    else if (unlikely(rebalance_is_on(&broker->rebalance)))
        shed(conns);
}

uint64_t
conns_away_due(const struct conns *conns)
{
    const struct broker *broker = conns->shard->broker;
    if (unlikely(drain_is_on(&broker->drain)))
        return conns->away.due_ms;
    return unlikely(rebalance_is_on(&broker->rebalance)) ? conns->away.shed_ms : UINT64_MAX;
}
