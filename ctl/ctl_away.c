// ctl_away.c - what is sent to other nodes: clients, by drain and rebalance, and all sessions.
#include "core/base/clock.h"
#include "core/base/log.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "ctl/ctl_parts.h"

// Over so long connections end where neither the request nor drain_time says it.
#define DRAIN_TIME_S 30u

// ---- Drain --------------------------------------------------------------------------------------

// False: it is answered.
static bool
begin_drain(struct ctl_server *server, struct ctl_conn *conn, enum drain_kind kind)
{
    struct broker *broker = server->parts.broker;
    rcu_online(server->rcu);
    const struct config *config = ctl_config_in_force(server);
    uint32_t delay_s = config->drain_delay_s, time_s = config->drain_time_s;
    rcu_offline(server->rcu);
    must(conn->request.op == CTL_DRAIN || conn->request.op == CTL_DECOMMISSION);
    if (conn->request.for_s > 0 || time_s == 0)
        time_s = conn->request.for_s > 0 ? conn->request.for_s : DRAIN_TIME_S;
    if (!drain_begin(&broker->drain, clock_mono_ms(), delay_s, time_s, kind)) {
        ctl_conn_answer(conn, ctl_bad("refused", "the broker is ending, or gives up its sessions"));
        return false;
    }
    (void)rebalance_stop(&broker->rebalance); // all are to go now
    broker_order(broker);
    log_line(broker->log, LOG_T_NOTICE,
             "%s, by ternmqctl: clients are served for %u s, then their connections end over %u s.",
             kind == DRAIN_STAY ? "Draining" : "Giving up this node", delay_s, time_s);
    return true;
}

void
ctl_away_drain(struct ctl_server *server, struct ctl_conn *conn)
{
    if (!begin_drain(server, conn, DRAIN_STAY))
        return;
    json_t *answer = ctl_good();
    ctl_put_drain(answer, server->parts.broker, clock_mono_ms());
    ctl_conn_answer(conn, answer);
}

void
ctl_away_decommission(struct ctl_server *server, struct ctl_conn *conn)
{
    struct broker *broker = server->parts.broker;
    struct cluster *cluster = broker->cluster;
    must(conn->request.op == CTL_DECOMMISSION);
    if (!cluster) {
        ctl_conn_answer(conn,
                        ctl_bad("no_cluster", "this broker is alone: it has no cluster_name"));
        return;
    }
    if (cluster->ops->decommission(cluster) != OK) {
        ctl_conn_answer(conn, ctl_bad("refused", "no other node takes sessions, or one of an "
                                                 "earlier version is there"));
        return;
    }
    if (!begin_drain(server, conn, DRAIN_FOR_GOOD))
        return;
    json_t *answer = ctl_good();
    ctl_put_drain(answer, broker, clock_mono_ms());
    ctl_put_decommission(answer, broker);
    ctl_conn_answer(conn, answer);
}

void
ctl_away_undo(struct ctl_server *server, struct ctl_conn *conn)
{
    struct broker *broker = server->parts.broker;
    if (!drain_undo(&broker->drain)) {
        ctl_conn_answer(conn, drain_is_on(&broker->drain)
                                  ? ctl_bad("refused", "the broker is ending, or is given up")
                                  : ctl_bad("not_found", "the broker does not drain"));
        return;
    }
    broker_order(broker);
    log_line(broker->log, LOG_T_NOTICE, "The drain is undone: clients may come.");
    json_t *answer = ctl_good();
    ctl_put_drain(answer, broker, clock_mono_ms());
    ctl_conn_answer(conn, answer);
}

// ---- A node that does not come back -------------------------------------------------------------

static json_t *
forgotten(const struct forget_view *view)
{
    json_t *answer = ctl_good(), *object = json_object();
    must(view->id[0] != '\0');
    (void)json_object_set_new(object, "id", json_string(view->id));
    (void)json_object_set_new(object, "name",
                              view->name[0] ? json_string(view->name) : json_null());
    (void)json_object_set_new(object, "state", json_string(view->state));
    ctl_put_number(object, "state_s", view->state_s);
    ctl_put_number(object, "sessions", view->sessions);
    ctl_put_number(object, "waiting", view->waiting);
    ctl_put_number(object, "wills", view->wills);
    (void)json_object_set_new(answer, "forgotten", object);
    return answer;
}

json_t *
ctl_away_forget(const struct broker *broker, const struct ctl_request *request)
{
    struct cluster *cluster = broker->cluster;
    struct forget_view view;
    must(request->op == CTL_FORGET && request->id.len > 0);
    if (!cluster)
        return ctl_bad("no_cluster", "this broker is alone: it has no cluster_name");
    switch (cluster->ops->forget(cluster, request->id, request->dry_run, &view)) {
    case OK:
        return forgotten(&view);
    case ERR_NOT_FOUND:
        return ctl_bad("not_found", "there is no such node, nor anything that waits for it");
    case ERR_ADMINISTRATIVE:
        return ctl_bad("refused", "%s", view.why);
    default:
        return ctl_bad("busy", "that was told to all nodes, and is not on the disk here yet");
    }
}

// ---- Rebalance ----------------------------------------------------------------------------------

struct balance {
    uint64_t nodes, clients, own; // nodes that take clients, this one among them; all theirs; ours
    uint64_t target, surplus;     // what we are to have, and what we have beyond that
};

// As gossip has it: some seconds old.
static void
weigh(const struct broker *broker, struct balance *ret)
{
    struct cluster_node nodes[CLUSTER_MEMBERS_MAX];
    struct cluster *cluster = broker->cluster;
    uint32_t count = cluster->ops->nodes(cluster, nodes);
    must(count <= CLUSTER_MEMBERS_MAX);
    *ret = (struct balance){0};
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_node *node = &nodes[i];
        bool counts = node->self || (strcmp(node->state, "alive") == 0 && node->link.up);
        if (!counts || !node->has_load || node->draining)
            continue;
        ret->nodes++;
        ret->clients += node->load.clients;
        if (node->self)
            ret->own = node->load.clients;
    }
    // A tenth more than the mean is no reason to disturb anybody.
    ret->target = ret->nodes > 0 ? ret->clients * 11 / (10 * ret->nodes) : 0;
    ret->surplus = ret->own > ret->target ? ret->own - ret->target : 0;
    must(ret->own <= ret->clients && ret->surplus <= ret->own);
}

static bool
may_rebalance(const struct broker *broker, struct ctl_conn *conn)
{
    json_t *problem = NULL;
    if (!broker->cluster)
        problem = ctl_bad("no_cluster", "this broker is alone: it has no cluster_name");
    else if (drain_is_on(&broker->drain))
        problem = ctl_bad("refused", "the broker drains: all its clients are to go");
    else if (rebalance_is_on(&broker->rebalance))
        problem = ctl_bad("refused", "one is under way; status shows how far it is");
    if (problem)
        ctl_conn_answer(conn, problem);
    return problem == NULL;
}

void
ctl_away_rebalance(struct ctl_server *server, struct ctl_conn *conn)
{
    struct broker *broker = server->parts.broker;
    const struct ctl_request *request = &conn->request;
    if (!may_rebalance(broker, conn))
        return;
    must(request->op == CTL_REBALANCE && request->rate <= REBALANCE_RATE_MAX);
    struct balance balance;
    weigh(broker, &balance);
    if (balance.nodes < 2) {
        ctl_conn_answer(conn, ctl_bad("refused", "there is no other node that takes clients"));
        return;
    }
    must(broker->cluster && balance.clients >= balance.own);
    uint64_t here = broker_connected(broker), surplus = min_u64(balance.surplus, here);
    struct rebalance_plan plan = {.surplus = surplus,
                                  .goal = here - surplus,
                                  .rate = request->rate > 0 ? request->rate : REBALANCE_RATE,
                                  .all = request->all};
    bool begun = surplus > 0 && !request->dry_run &&
                 rebalance_begin(&broker->rebalance, &plan, clock_mono_ms());
    if (begun) {
        broker_order(broker);
        log_line(broker->log, LOG_T_NOTICE,
                 "Rebalancing: %llu clients here, %llu on %llu nodes: %llu are to go, %u a second.",
                 (unsigned long long)balance.own, (unsigned long long)balance.clients,
                 (unsigned long long)balance.nodes, (unsigned long long)surplus, plan.rate);
    }
    json_t *answer = ctl_good();
    ctl_put_number(answer, "clients", balance.own);
    ctl_put_number(answer, "nodes", balance.nodes);
    ctl_put_number(answer, "mean", balance.clients / balance.nodes);
    ctl_put_number(answer, "target", balance.target);
    ctl_put_number(answer, "surplus", surplus);
    ctl_put_number(answer, "rate", plan.rate);
    (void)json_object_set_new(answer, "begun", json_boolean(begun));
    ctl_conn_answer(conn, answer);
}

void
ctl_away_stop(struct ctl_server *server, struct ctl_conn *conn)
{
    struct broker *broker = server->parts.broker;
    if (!rebalance_stop(&broker->rebalance)) {
        ctl_conn_answer(conn, ctl_bad("not_found", "none is under way"));
        return;
    }
    log_line(broker->log, LOG_T_NOTICE, "The rebalance was stopped.");
    json_t *answer = ctl_good();
    ctl_put_rebalance(answer, broker);
    ctl_conn_answer(conn, answer);
}
