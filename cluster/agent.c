// agent.c - the thread that finds other nodes, and dials those that have no link.
//
// Gossip decides who there is (gossip.h). Whoever lives and has no link is dialled; a connection
// that stands goes to the worker at which the other node's session is.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "cluster/about.h"
#include "cluster/attempt.h"
#include "cluster/endpoint.h"
#include "cluster/forget.h"
#include "cluster/gossip.h"
#include "cluster/nodes_parts.h"
#include "cluster/resolver.h"
#include "cluster/seal.h"
#include "core/config.h"

#define TURN_MS       200u   // the longest wait
#define ALONE_MS      1500u  // after the start: nobody else is there
#define DIGEST_MS     10000u // between two digests of our routes where nothing else is told
#define LOAD_MS       5000u  // between two words about our load
#define STRANGERS_MS  60000u // between two lines about them
#define DATAGRAMS     64u    // taken in one turn
#define ERRANDS_MAX   4096u  // waiting for the thread, and under way
#define ERRANDS_SHARE 1024u  // of them, to one node: one that is away does not take all places
#define SOCKETS_MAX   256u   // of errands at a time
#define SOCKETS_SHARE 64u    // of them, to one node

// A node, as it is dialled.
struct peer {
    struct gossip_uuid uuid;
    uint64_t incarnation;
    struct gossip_address address;
    enum gossip_state state;
    struct link *link; // NULL: none yet, or it was said to be gone
    char name[GOSSIP_NAME_MAX + 1];
    bool has_nothing; // for which something could wait, once it has left (about.h)
    bool left_out;    // beyond CLUSTER_NODES_MAX links
    struct attempt attempt;
    uint32_t sockets; // of errands, in this turn
};

// A connection for a client that is to be relayed.
struct errand {
    struct list node;
    struct gossip_uuid to;
    unsigned shard;
    uint64_t token, until_ms;
    struct attempt attempt;
};

// Errands to one node.
struct share {
    struct gossip_uuid to;
    uint32_t count; // 0: the place is free
};

struct agent {
    struct nodes *nodes;
    struct log *log;
    char *name;
    struct resolver *resolver;      // of cluster_seeds and cluster_dns
    char problem[RESOLVER_PROBLEM]; // of it, as it was logged last
    struct gossip_address address;  // that others reach
    int fd, wake_fd;
    _Atomic bool stop;
    pthread_mutex_t mutex; // of the next three
    struct list asked;     // errands that are new
    struct share shares[2 * CLUSTER_NODES_MAX];
    uint32_t errand_count;
    struct list errands; // of the thread's: those under way
    bool ipv6, started;
    pthread_t thread;
    struct gossip *gossip;
    struct seal *seal;
    struct gossip_actions actions;
    struct peer peers[CLUSTER_NODES_MAX];
    uint32_t peer_count;
    uint64_t digest_ms; // when the next one is due
    uint64_t began_ms;
    struct about_self about;  // what all are told of us
    struct about_meter meter; // of our load
    struct log_limit log_left_out;
    uint64_t strangers, strangers_ms; // as told last; when more may be told
};

// ---- Peers --------------------------------------------------------------------------------------

static void
tell_left_out(struct agent *agent)
{
    log_limited(agent->log, &agent->log_left_out, clock_mono_ms(), LOG_T_WARNING,
                "Warning: more than %u nodes: one is left out.", CLUSTER_NODES_MAX);
}

static struct peer *
find_peer(struct agent *agent, const struct gossip_uuid *uuid)
{
    for (uint32_t i = 0; i < agent->peer_count; i++)
        if (gossip_uuid_equal(&agent->peers[i].uuid, uuid))
            return &agent->peers[i];
    return NULL;
}

static bool
is_here(const struct peer *peer)
{
    return peer->state == GOSSIP_ALIVE || peer->state == GOSSIP_SUSPECT;
}

static void
say_gone(struct agent *agent, struct peer *peer, enum link_gone gone)
{
    char id[NODE_ID_LEN + 1];
    must(!is_here(peer) || gone == LINK_FORGOTTEN);
    uuid_text(&peer->uuid, id);
    attempt_end(&peer->attempt);
    peer->link = NULL;
    nodes_gone(agent->nodes, id, gone);
}

// One for which nothing can wait is gone for good when it has left, or is dead and its name or
// address has come back with another uuid; and its clients' Wills have been published.
static void
find_gone(struct agent *agent)
{
    for (uint32_t i = 0; i < agent->peer_count; i++) {
        struct peer *old = &agent->peers[i];
        if (!old->has_nothing || is_here(old))
            continue;
        bool gone = old->state == GOSSIP_LEFT;
        for (uint32_t n = 0; n < agent->peer_count && !gone; n++) {
            const struct peer *peer = &agent->peers[n];
            gone = is_here(peer) && (strcmp(peer->name, old->name) == 0 ||
                                     gossip_address_equal(&peer->address, &old->address));
        }
        if (gone && !(old->link && atomic_load(&old->link->wills_count) > 0))
            say_gone(agent, old, LINK_FOR_GOOD);
    }
}

static void
on_member(struct agent *agent, const struct gossip_uuid *uuid)
{
    static const char *const states[] = {
        [GOSSIP_ALIVE] = "alive",
        [GOSSIP_SUSPECT] = "suspected",
        [GOSSIP_DEAD] = "dead",
        [GOSSIP_LEFT] = "gone",
    };
    struct gossip_view view;
    if (gossip_uuid_equal(uuid, &agent->nodes->identity.uuid) ||
        !gossip_find(agent->gossip, uuid, &view))
        return;
    gone_note(agent->nodes, &view);
    struct peer *peer = find_peer(agent, uuid);
    if (!peer && agent->peer_count == CLUSTER_NODES_MAX) {
        tell_left_out(agent);
        return;
    }
    must(view.state < ARRAY_LEN(states));
    bool is_new = peer == NULL;
    if (is_new) {
        peer = &agent->peers[agent->peer_count++];
        *peer = (struct peer){.uuid = *uuid, .attempt.fd = -1};
    }
    if (!gossip_address_equal(&peer->address, &view.address))
        attempt_end(&peer->attempt);
    bool changed = is_new || peer->state != view.state || peer->incarnation != view.incarnation;
    peer->incarnation = view.incarnation;
    peer->address = view.address;
    peer->state = view.state;
    peer->has_nothing = about_has_nothing(view.meta);
    (void)snprintf(peer->name, sizeof peer->name, "%.*s", (int)view.name.len,
                   (const char *)view.name.data);
    find_gone(agent);
    char text[ENDPOINT_TEXT];
    endpoint_text(&peer->address, text);
    if (changed && view.state != GOSSIP_SUSPECT)
        log_line(agent->log, LOG_T_NOTICE, "Node %.*s [%s] is %s.", (int)view.name.len,
                 (const char *)view.name.data, text, states[view.state]);
}

static void
forget(struct agent *agent, const struct gossip_uuid *uuid)
{
    struct peer *peer = find_peer(agent, uuid);
    must(agent->peer_count <= CLUSTER_NODES_MAX);
    if (!peer)
        return;
    say_gone(agent, peer, LINK_FORGOTTEN);
    *peer = agent->peers[--agent->peer_count];
}

// ---- Gossip -------------------------------------------------------------------------------------

static void
send_message(struct agent *agent, const struct gossip_action *action)
{
    uint8_t datagram[GOSSIP_DATAGRAM_MAX];
    struct sockaddr_storage to;
    uint32_t len = seal_close(
        agent->seal, slice_of(agent->actions.bytes + action->offset, action->len), datagram);
    must(len > action->len && len <= GOSSIP_DATAGRAM_MAX);
    if (!agent->ipv6 && !endpoint_is_ipv4(&action->address))
        return; // we cannot reach it
    socklen_t to_len = endpoint_sockaddr(&action->address, agent->ipv6, &to);
    // What is lost is sent again, and told by others.
    (void)sendto(agent->fd, datagram, len, MSG_DONTWAIT, (struct sockaddr *)&to, to_len);
}

static void
step(struct agent *agent, const struct gossip_event *event)
{
    gossip_step(agent->gossip, clock_mono_ms(), event, &agent->actions);
    for (uint32_t i = 0; i < agent->actions.count; i++) {
        const struct gossip_action *action = &agent->actions.items[i];
        switch (action->kind) {
        case GOSSIP_SEND:
            send_message(agent, action);
            break;
        case GOSSIP_MEMBER:
            on_member(agent, &action->uuid);
            break;
        case GOSSIP_FORGOTTEN:
            forget(agent, &action->uuid);
            break;
        case GOSSIP_NAME_TWICE:
            log_line(agent->log, LOG_T_WARNING, "Warning: two nodes have one name (node_name).");
            break;
        case GOSSIP_OUTDATED:
            log_line(agent->log, LOG_T_ERROR,
                     "Error: another process lives as this node: was the store copied?");
            break;
        case GOSSIP_GIVEN_UP:
            log_line(agent->log, LOG_T_WARNING,
                     "Warning: others held this node for gone, and are told that it lives: was it "
                     "forgotten (ternmqctl forget), or its store copied?");
            break;
        case GOSSIP_NEWS:
            break;
        }
    }
}

// Every node is told: of our load with what gossip sends anyway, of a drain at once.
static void
tell_about(struct agent *agent, uint64_t now_ms)
{
    struct node_load load;
    uint8_t digest[ABOUT_DIGEST_LEN], meta[ABOUT_META_MAX];
    if (about_follow(&agent->about, agent->nodes->broker)) {
        uint32_t len = about_write_meta(&agent->about, meta);
        step(agent, &(struct gossip_event){.kind = GOSSIP_META, .bytes = slice_of(meta, len)});
    }
    if (now_ms - agent->meter.at_ms < LOAD_MS)
        return;
    about_measure(&agent->meter, agent->nodes->broker, now_ms, &load);
    load.clients -= min_u64(load.clients, roster_connections(agent->nodes));
    about_write_digest(&load, digest);
    step(agent,
         &(struct gossip_event){.kind = GOSSIP_DIGEST, .bytes = slice_of(digest, sizeof digest)});
}

// For figures; and whoever has another secret is told of, once a minute.
static void
note_stranger(struct agent *agent, const struct sockaddr *from)
{
    const struct seal_stats *stats = seal_stats(agent->seal);
    uint64_t strangers = stats->strangers + stats->forged, now_ms = clock_mono_ms();
    struct gossip_address address;
    char text[ENDPOINT_TEXT];
    atomic_store_explicit(&agent->nodes->strangers, strangers, memory_order_relaxed);
    if (strangers == agent->strangers || now_ms < agent->strangers_ms ||
        !endpoint_of(from, &address))
        return;
    endpoint_text(&address, text);
    log_line(agent->log, LOG_T_WARNING,
             "Warning: Node [%s] has another secret or cluster name (%" PRIu64 " times).", text,
             strangers - agent->strangers);
    agent->strangers = strangers;
    agent->strangers_ms = now_ms + STRANGERS_MS;
}

static void
note_nodes(struct agent *agent)
{
    uint64_t dead = 0, left_out = 0, now_ms = clock_mono_ms();
    for (uint32_t i = 0; i < gossip_count(agent->gossip); i++) {
        struct gossip_view view;
        gossip_view(agent->gossip, i, &view);
        dead += view.state == GOSSIP_DEAD;
    }
    for (uint32_t i = 0; i < agent->peer_count; i++) {
        struct peer *peer = &agent->peers[i];
        left_out += peer->left_out && is_here(peer);
        if (peer->link)
            wills_note_node(agent->nodes, peer->link, peer->state, peer->incarnation, now_ms);
    }
    atomic_store_explicit(&agent->nodes->left_out, left_out, memory_order_relaxed);
    atomic_store_explicit(&agent->nodes->alive, gossip_alive(agent->gossip), memory_order_relaxed);
    atomic_store_explicit(&agent->nodes->dead, dead, memory_order_relaxed);
    roster_note(agent->nodes, agent->gossip);
    find_gone(agent);
}

static void
receive(struct agent *agent)
{
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        uint8_t datagram[GOSSIP_DATAGRAM_MAX + 1], room[GOSSIP_PLAIN_MAX];
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        ssize_t len = recvfrom(agent->fd, datagram, sizeof datagram, MSG_DONTWAIT,
                               (struct sockaddr *)&from, &from_len);
        if (len < 0)
            return;
        struct seal_opened opened;
        struct gossip_event event = {.kind = GOSSIP_RECEIVED};
        if (seal_open(agent->seal, slice_of(datagram, (size_t)len), room, &opened) != OK) {
            note_stranger(agent, (struct sockaddr *)&from);
            continue;
        }
        if (!endpoint_of((struct sockaddr *)&from, &event.address))
            continue;
        event.uuid = opened.uuid;
        event.incarnation = opened.incarnation;
        event.bytes = opened.message;
        step(agent, &event);
    }
}

// Which sessions other nodes have is known when all that are there, or were before, have told; or
// when that takes too long.
static void
settle(struct agent *agent, uint64_t now_ms)
{
    struct nodes *nodes = agent->nodes;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire), here = 0;
    must(now_ms >= agent->began_ms && count <= CLUSTER_NODES_MAX);
    uint64_t age_ms = now_ms - agent->began_ms;
    bool all = true;
    for (uint32_t i = 0; i < agent->peer_count; i++) {
        here += is_here(&agent->peers[i]);
        all &= !is_here(&agent->peers[i]) || agent->peers[i].link;
    }
    sync_note(nodes, all, age_ms);
    if (likely(!atomic_load_explicit(&nodes->settling, memory_order_relaxed)))
        return;
    for (uint32_t i = 0; i < count; i++)
        all &= atomic_load(&nodes->links[i]->retired) || atomic_load(&nodes->links[i]->copied);
    if (age_ms < NODE_REACH_MS && !(all && (here > 0 || age_ms >= ALONE_MS)))
        return;
    for (uint32_t i = 0; i < count; i++) { // clients of who is not heard of have waited already
        struct gossip_uuid uuid;
        if (uuid_read(nodes->links[i]->id, &uuid) && !find_peer(agent, &uuid))
            atomic_store(&nodes->links[i]->away_ms, max_u64(agent->began_ms, 1));
    }
    atomic_store_explicit(&nodes->settling, false, memory_order_release);
    nodes_wake_all(nodes);
}

static void
take_seeds(struct agent *agent)
{
    struct resolver_found found;
    resolver_set_alone(agent->resolver, gossip_alive(agent->gossip) <= 1);
    if (!resolver_take(agent->resolver, &found))
        return;
    if (found.problem[0] != '\0' && strcmp(found.problem, agent->problem) != 0)
        log_line(agent->log, LOG_T_WARNING, "Warning: cluster_seeds, cluster_dns: %s.",
                 found.problem);
    memcpy(agent->problem, found.problem, sizeof agent->problem);
    step(agent, &(struct gossip_event){
                    .kind = GOSSIP_SEEDS, .seeds = found.addresses, .seed_count = found.count});
}

// ---- Dialling -----------------------------------------------------------------------------------

// The connection stands: the worker says CONNECT.
static void
give_fd(struct nodes *nodes, int fd, const char *id, unsigned shard, uint64_t token)
{
    struct inbox *inbox = &nodes->inboxes[shard];
    must(fd >= 0 && shard < nodes->broker->shard_count);
    struct dialled_node *item = mem_zalloc(sizeof *item);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    item->dialled.fd = fd;
    item->dialled.token = token;
    (void)snprintf(item->dialled.id, sizeof item->dialled.id, "%s", id);
    nodes_password(nodes, 0, nodes->cluster.id, id, item->dialled.password);
    list_init(&item->node);
    pthread_mutex_lock(&inbox->mutex);
    list_push(&inbox->dialled, &item->node);
    atomic_store_explicit(&inbox->full, true, memory_order_release);
    pthread_mutex_unlock(&inbox->mutex);
    broker_wake(nodes->broker, shard);
}

static void
on_failed(struct agent *agent, const struct peer *peer, int error)
{
    if (error == ECONNREFUSED) // its process is gone: found out at once
        step(agent, &(struct gossip_event){.kind = GOSSIP_REFUSED,
                                           .uuid = peer->uuid,
                                           .incarnation = peer->incarnation});
}

static void
dial(struct agent *agent, struct peer *peer, uint64_t now_ms)
{
    char id[NODE_ID_LEN + 1];
    uuid_text(&peer->uuid, id);
    if (!peer->link)
        peer->link = nodes_link(agent->nodes, id);
    if (!peer->link && !peer->left_out)
        tell_left_out(agent);
    peer->left_out = peer->link == NULL;
    if (!peer->link || atomic_load(&peer->link->up) || now_ms < peer->attempt.due_ms)
        return;
    int error = attempt_begin(&peer->attempt, &peer->address, now_ms);
    if (error != 0)
        on_failed(agent, peer, error);
}

static void
look_at(struct agent *agent, struct peer *peer, bool ready, uint64_t now_ms)
{
    struct attempt *attempt = &peer->attempt;
    int error;
    if (attempt->fd < 0) {
        if (is_here(peer))
            dial(agent, peer, now_ms);
        return;
    }
    switch (attempt_look(attempt, ready, now_ms, &error)) {
    case ATTEMPT_WAITS:
        return;
    case ATTEMPT_STANDS:
        give_fd(agent->nodes, attempt->fd, peer->link->id, peer->link->shard, 0);
        *attempt = (struct attempt){.fd = -1, .due_ms = now_ms + ATTEMPT_MS}; // to be let in
        return;
    case ATTEMPT_FAILED:
        on_failed(agent, peer, error);
    }
}

// ---- Errands ------------------------------------------------------------------------------------

// With the mutex. NULL: there is no place.
static struct share *
share_of(struct agent *agent, const struct gossip_uuid *to)
{
    struct share *free = NULL;
    for (uint32_t i = 0; i < ARRAY_LEN(agent->shares); i++) {
        struct share *share = &agent->shares[i];
        if (share->count == 0)
            free = share;
        else if (gossip_uuid_equal(&share->to, to))
            return share;
    }
    if (free)
        free->to = *to;
    return free;
}

bool
agent_reach(struct agent *agent, const char *node, unsigned shard, uint64_t token)
{
    struct gossip_uuid to;
    if (!uuid_read(node, &to))
        return false;
    pthread_mutex_lock(&agent->mutex);
    struct share *share = share_of(agent, &to);
    bool taken = share && share->count < ERRANDS_SHARE && agent->errand_count < ERRANDS_MAX;
    if (taken) {
        struct errand *errand = mem_zalloc(sizeof *errand);
        *errand = (struct errand){.to = to,
                                  .shard = shard,
                                  .token = token,
                                  .until_ms = clock_mono_ms() + NODE_REACH_MS,
                                  .attempt.fd = -1};
        list_init(&errand->node);
        list_push(&agent->asked, &errand->node);
        share->count++;
        agent->errand_count++;
    }
    pthread_mutex_unlock(&agent->mutex);
    if (!taken)
        return false;
    int rc = eventfd_write(agent->wake_fd, 1);
    must(rc == 0);
    return true;
}

static void
drop_errand(struct agent *agent, struct errand *errand)
{
    pthread_mutex_lock(&agent->mutex);
    struct share *share = share_of(agent, &errand->to);
    must(agent->errand_count > 0 && share && share->count > 0);
    share->count--;
    agent->errand_count--;
    pthread_mutex_unlock(&agent->mutex);
    list_remove(&errand->node);
    attempt_end(&errand->attempt);
    mem_free(errand);
}

static void
look_at_errand(struct agent *agent, struct errand *errand, bool ready, uint64_t now_ms)
{
    char id[NODE_ID_LEN + 1];
    int error;
    if (attempt_look(&errand->attempt, ready, now_ms, &error) != ATTEMPT_STANDS)
        return;
    uuid_text(&errand->to, id);
    give_fd(agent->nodes, errand->attempt.fd, id, errand->shard, errand->token);
    errand->attempt.fd = -1;
    drop_errand(agent, errand);
}

// Those that have a socket, by node, so that one that does not answer keeps it from nobody else.
static uint32_t
count_sockets(struct agent *agent)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < agent->peer_count; i++)
        agent->peers[i].sockets = 0;
    for (struct list *node = agent->errands.next; node != &agent->errands; node = node->next) {
        const struct errand *errand = container_of(node, struct errand, node);
        if (errand->attempt.fd < 0)
            continue;
        struct peer *peer = find_peer(agent, &errand->to);
        if (peer)
            peer->sockets++;
        count++;
    }
    must(count <= SOCKETS_MAX);
    return count;
}

// Dials for an errand if that is of use now. Returns how many sockets that took.
static uint32_t
run_errand(struct agent *agent, struct errand *errand, uint64_t now_ms)
{
    struct peer *peer = find_peer(agent, &errand->to);
    if (!peer || !is_here(peer)) {
        errand->attempt.due_ms = now_ms + TURN_MS; // it may be back in time
        return 0;
    }
    if (peer->sockets == SOCKETS_SHARE ||
        attempt_begin(&errand->attempt, &peer->address, now_ms) != 0)
        return 0;
    peer->sockets++;
    return 1;
}

static void
run_errands(struct agent *agent, uint64_t now_ms)
{
    pthread_mutex_lock(&agent->mutex);
    list_splice(&agent->errands, &agent->asked);
    pthread_mutex_unlock(&agent->mutex);
    uint32_t sockets = count_sockets(agent);
    for (struct list *node = agent->errands.next, *next; node != &agent->errands; node = next) {
        struct errand *errand = container_of(node, struct errand, node);
        next = node->next;
        if (now_ms >= errand->until_ms)
            drop_errand(agent, errand); // its client has been told
        else if (errand->attempt.fd < 0 && now_ms >= errand->attempt.due_ms &&
                 sockets < SOCKETS_MAX)
            sockets += run_errand(agent, errand, now_ms);
    }
}

// Adds what is to be polled, and remembers whose it is. Returns how many.
static uint32_t
poll_errands(struct agent *agent, struct pollfd *fds, struct errand **whose)
{
    uint32_t count = 0;
    for (struct list *node = agent->errands.next; node != &agent->errands; node = node->next) {
        struct errand *errand = container_of(node, struct errand, node);
        if (errand->attempt.fd < 0)
            continue;
        must(count < SOCKETS_MAX);
        whose[count] = errand;
        fds[count++] = (struct pollfd){.fd = errand->attempt.fd, .events = POLLOUT};
    }
    return count;
}

// ---- The thread ---------------------------------------------------------------------------------

// False: it is to end.
static bool
turn(struct agent *agent)
{
    struct pollfd fds[2 + CLUSTER_NODES_MAX + SOCKETS_MAX];
    struct errand *errands[SOCKETS_MAX];
    uint64_t now_ms = clock_mono_ms();
    uint64_t until_ms = min_u64(gossip_wait_until(agent->gossip), now_ms + TURN_MS);
    uint32_t count = agent->peer_count;
    must(count <= CLUSTER_NODES_MAX);
    run_errands(agent, now_ms);
    fds[0] = (struct pollfd){.fd = agent->wake_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = agent->fd, .events = POLLIN};
    for (uint32_t i = 0; i < count; i++)
        fds[2 + i] = (struct pollfd){.fd = agent->peers[i].attempt.fd, .events = POLLOUT};
    uint32_t errand_count = poll_errands(agent, fds + 2 + count, errands);
    (void)poll(fds, 2 + count + errand_count, until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
    eventfd_t ignored;
    if (fds[0].revents != 0)
        (void)eventfd_read(agent->wake_fd, &ignored);
    if (atomic_load(&agent->stop))
        return false;
    now_ms = clock_mono_ms();
    for (uint32_t i = 0; i < errand_count; i++)
        look_at_errand(agent, errands[i], fds[2 + count + i].revents != 0, now_ms);
    // Before anything is received: that may forget peers, and move others.
    for (uint32_t i = 0; i < count && i < agent->peer_count; i++)
        if (agent->peers[i].attempt.fd == fds[2 + i].fd)
            look_at(agent, &agent->peers[i], fds[2 + i].revents != 0, now_ms);
    receive(agent);
    step(agent, &(struct gossip_event){.kind = GOSSIP_TICK});
    struct gossip_event event;
    while (forget_next(agent->nodes, agent->gossip, &event))
        step(agent, &event);
    take_seeds(agent);
    tell_about(agent, now_ms);
    note_nodes(agent);
    settle(agent, now_ms);
    if (now_ms >= agent->digest_ms) {
        agent->digest_ms = now_ms + DIGEST_MS;
        atomic_fetch_add(&agent->nodes->digest_round, 1);
        nodes_wake_links(agent->nodes);
    }
    move_wake(agent->nodes);
    return true;
}

static void *
run(void *arg)
{
    struct agent *agent = arg;
    thread_role = ROLE_CLUSTER;
    (void)pthread_setname_np(pthread_self(), "tern-cluster");
    while (turn(agent))
        ;
    step(agent, &(struct gossip_event){.kind = GOSSIP_LEAVE});
    return NULL;
}

// ---- Life ---------------------------------------------------------------------------------------

err_t
agent_new(const struct config *config, struct agent **ret_agent,
          char ret_problem[CLUSTER_PROBLEM_MAX])
{
    const struct cluster_config *cluster = &config->cluster;
    struct agent *agent = mem_zalloc(sizeof *agent);
    struct gossip_address bound;
    struct sockaddr_storage to;
    char host[GOSSIP_NAME_MAX + 1] = "";
    *ret_agent = agent;
    agent->fd = agent->wake_fd = -1;
    pthread_mutex_init(&agent->mutex, NULL);
    list_init(&agent->asked);
    list_init(&agent->errands);
    (void)gethostname(host, sizeof host - 1);
    agent->name = mem_strdup(cluster->node ? cluster->node : host);
    about_begin(config, &agent->about);
    const char *reached = cluster->advertise ? cluster->advertise : cluster->bind;
    const char *key = "node_name", *why = "expected letters, digits, '-', '_' and '.', at most 63";
    if (!gossip_name_valid(slice_str(agent->name)))
        goto fail;
    key = "cluster_advertise, or cluster_bind without it", why = "expected an address";
    static const uint8_t nowhere[16] = {0}, nowhere_4[16] = {[10] = 0xff, [11] = 0xff};
    if (!endpoint_resolve(slice_str(reached), false, &agent->address) ||
        memcmp(agent->address.ip, nowhere, 16) == 0 ||
        memcmp(agent->address.ip, nowhere_4, 16) == 0)
        goto fail;
    key = "cluster_bind";
    if (!endpoint_resolve(slice_str(cluster->bind), true, &bound))
        goto fail;
    agent->ipv6 = !endpoint_is_ipv4(&bound);
    agent->resolver = resolver_new(&(struct resolver_config){
        .seeds = cluster->seeds,
        .dns = cluster->dns,
        .dns_port = bound.port,
        .ipv6 = agent->ipv6,
    });
    agent->fd = socket(agent->ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    agent->wake_fd = eventfd(0, EFD_CLOEXEC);
    int off = 0; // [::] is every address, those of IPv4, too, whatever the system's default
    if (agent->ipv6 && agent->fd >= 0)
        (void)setsockopt(agent->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    socklen_t len = endpoint_sockaddr(&bound, agent->ipv6, &to);
    if (agent->fd >= 0 && agent->wake_fd >= 0 && bind(agent->fd, (struct sockaddr *)&to, len) == 0)
        return OK;
    why = strerrordesc_np(errno);
fail:
    (void)snprintf(ret_problem, CLUSTER_PROBLEM_MAX, "%s: %s", key, why);
    return ERR_CONFIG;
}

err_t
agent_start(struct agent *agent, struct nodes *nodes)
{
    struct seal_config sealing = {
        .cluster_name = slice_str(nodes->name),
        .secret_count = nodes->secret_count,
        .uuid = nodes->identity.uuid,
        .incarnation = nodes->identity.incarnation,
        .boot = nodes->identity.boot,
    };
    memcpy(sealing.secrets, nodes->secrets, sizeof nodes->secrets);
    uint8_t meta[ABOUT_META_MAX];
    agent->about.no_store = !nodes->identity.stays;
    uint32_t meta_len = about_write_meta(&agent->about, meta);
    struct gossip_config config = {
        .cluster = seal_cluster(slice_str(nodes->name)),
        .uuid = nodes->identity.uuid,
        .incarnation = nodes->identity.incarnation,
        .name = slice_str(agent->name),
        .meta = slice_of(meta, meta_len),
        .address = agent->address,
        .members_max = CLUSTER_NODES_MAX + 1,
        .seed = nodes->identity.boot,
    };
    must(!agent->started && agent->fd >= 0 && agent->wake_fd >= 0);
    agent->nodes = nodes;
    agent->log = nodes->broker->log;
    agent->began_ms = clock_mono_ms();
    must(atomic_load(&nodes->settling));
    err_t err = seal_new(&sealing, &agent->seal);
    if (err != OK)
        return err;
    agent->gossip = gossip_new(&config, clock_mono_ms());
    err = resolver_start(agent->resolver);
    if (err != OK)
        return err;
    agent->started = pthread_create(&agent->thread, NULL, run, agent) == 0;
    return agent->started ? OK : ERR_IO;
}

void
agent_stop(struct agent *agent)
{
    if (!agent->started)
        return;
    must(agent->nodes && agent->wake_fd >= 0);
    atomic_store(&agent->stop, true);
    int rc = eventfd_write(agent->wake_fd, 1);
    must(rc == 0);
    (void)pthread_join(agent->thread, NULL);
    agent->started = false;
}

void
agent_free(struct agent *agent)
{
    if (!agent)
        return;
    agent_stop(agent);
    list_splice(&agent->errands, &agent->asked);
    while (!list_empty(&agent->errands))
        drop_errand(agent, container_of(agent->errands.next, struct errand, node));
    pthread_mutex_destroy(&agent->mutex);
    for (uint32_t i = 0; i < agent->peer_count; i++)
        attempt_end(&agent->peers[i].attempt);
    if (agent->fd >= 0)
        (void)close(agent->fd);
    if (agent->wake_fd >= 0)
        (void)close(agent->wake_fd);
    gossip_free(agent->gossip);
    gossip_actions_free(&agent->actions);
    seal_free(agent->seal);
    mem_free(agent->name);
    resolver_free(agent->resolver);
    mem_free(agent);
}
