// listener.c - opens the listening sockets and counts their connections.
#include "io/listener.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/cluster.h"
#include "io/crew.h"
#include "io/tls_context.h"
#include "io/worker.h"

#define LISTEN_MAGIC 0x6c697374u

// How long a port that is in use is waited for: 1.5 s.
#define IN_USE_TRIES    30u
#define IN_USE_PAUSE_NS 50000000L

struct listener {
    char text[160];
    char *unix_path; // NULL = TCP
    dev_t unix_dev;  // the socket file that is ours to remove
    ino_t unix_ino;
    bool node;                         // other nodes come here, or are dialled: they are no clients
    _Atomic(struct tls_context *) tls; // holds a reference
};

// Kept for the store, logs, certificates and copies: none of them may fail because of connections.
#define DESCRIPTORS_KEPT 64u
// A worker's ring, its eventfd, and the pipes of its store's threads.
#define DESCRIPTORS_OF_WORKER 8u

// Written by all workers at each connection's begin and end; apart from what is only read.
struct counters {
    CACHE_ALIGNED _Atomic uint64_t all; // with nodes
    _Atomic uint64_t clients;
    _Atomic uint64_t descriptors_max; // connections that they allow
    _Atomic uint32_t of[];
};

struct listen_set {
    uint32_t magic;
    uint32_t listener_count;
    unsigned workers;
    struct listener *listeners;
    struct listen_socket *sockets;
    uint32_t socket_count, socket_cap;
    struct counters *counters;
    struct crew *crew;
};

// What is being opened, and where to say what went wrong.
struct opening {
    struct listen_set *set;
    const struct listener_config *config;
    uint32_t index;
    bool nodelay;
    char *problem;
    size_t problem_len;
};

static err_t
fail(const struct opening *o, const char *what, const char *why)
{
    (void)snprintf(o->problem, o->problem_len, "cannot listen on %s: %s", what, why);
    return ERR_IO;
}

static void
add_socket(struct listen_set *set, int fd, uint32_t listener, unsigned worker)
{
    set->sockets =
        mem_grow(set->sockets, &set->socket_cap, set->socket_count + 1, sizeof *set->sockets);
    set->sockets[set->socket_count++] =
        (struct listen_socket){.fd = fd, .listener = listener, .worker = worker};
}

// ---- Texts --------------------------------------------------------------------------------------

static void
address_text(const struct sockaddr *address, char *ret_text, size_t size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    socklen_t len =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int rc = getnameinfo(address, len, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV);
    if (rc != 0)
        (void)snprintf(ret_text, size, "unknown");
    else
        (void)snprintf(ret_text, size, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                       port);
}

void
peer_text(const struct listen_set *set, uint32_t listener, int fd, char ret_text[PEER_TEXT_MAX])
{
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
    } peer = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    if (getpeername(fd, &peer.any, &len) != 0)
        (void)snprintf(ret_text, PEER_TEXT_MAX, "unknown");
    else if (peer.any.sa_family == AF_UNIX)
        (void)snprintf(ret_text, PEER_TEXT_MAX, "unix:%.58s", listen_text(set, listener));
    else
        address_text(&peer.any, ret_text, PEER_TEXT_MAX);
}

const char *
listen_text(const struct listen_set *set, uint32_t i)
{
    must(set->magic == LISTEN_MAGIC && i < set->listener_count);
    return set->listeners[i].text;
}

// ---- TCP ----------------------------------------------------------------------------------------

static int
set_option(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof on);
}

// A bound socket, listening if asked, or -1 with errno set.
static int
open_tcp(const struct opening *o, const struct addrinfo *ai, bool shared, bool listening)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    // Accepted sockets inherit keep alive and TCP_NODELAY: two system calls fewer per connection.
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR) | set_option(fd, SOL_SOCKET, SO_KEEPALIVE);
    if (shared)
        rc |= set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (o->nodelay)
        rc |= set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    if (ai->ai_family == AF_INET6)
        rc |= set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    // A backlog of INT_MAX is cut to net.core.somaxconn.
    if (rc == 0 && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
        (!listening || listen(fd, INT_MAX) == 0))
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

// With SO_REUSEPORT a second broker could take half of the connections of the first one without any
// error, so the address is first tried without it.
static bool
is_free(const struct opening *o, const struct addrinfo *ai)
{
    int fd = open_tcp(o, ai, false, false);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

// A broker that was killed a moment ago holds its port until the kernel has taken its rings apart,
// which goes on after the process has ended.
static bool
await_free(const struct opening *o, const struct addrinfo *ai)
{
    for (unsigned tries = 0; !is_free(o, ai); tries++) {
        if (errno != EADDRINUSE || tries == IN_USE_TRIES)
            return false;
        struct timespec pause = {.tv_nsec = IN_USE_PAUSE_NS};
        (void)nanosleep(&pause, NULL);
        errno = EADDRINUSE;
    }
    return true;
}

// One socket for each worker, or none with errno set.
static bool
open_address(const struct opening *o, const struct addrinfo *ai)
{
    if (!await_free(o, ai))
        return false;
    for (unsigned w = 0; w < o->set->workers; w++) {
        int fd = open_tcp(o, ai, o->set->workers > 1, true);
        if (fd < 0)
            return false;
        add_socket(o->set, fd, o->index, w);
    }
    struct listener *listener = &o->set->listeners[o->index];
    size_t used = strlen(listener->text);
    char text[80];
    address_text(ai->ai_addr, text, sizeof text);
    (void)snprintf(listener->text + used, sizeof listener->text - used, "%s%s", used ? ", " : "",
                   text);
    return true;
}

static bool
seen_before(const struct addrinfo *list, const struct addrinfo *ai)
{
    for (; list != ai; list = list->ai_next)
        if (list->ai_addrlen == ai->ai_addrlen &&
            memcmp(list->ai_addr, ai->ai_addr, ai->ai_addrlen) == 0)
            return true;
    return false;
}

static struct addrinfo *
resolve(const struct opening *o, int *ret_rc)
{
    static const int families[] = {[4] = AF_INET, [6] = AF_INET6};
    const struct listener_config *config = o->config;
    uint8_t domain = config->socket_domain;
    must(domain == 0 || domain == 4 || domain == 6);
    char port[8];
    (void)snprintf(port, sizeof port, "%u", config->port);
    struct addrinfo hints = {
        .ai_family = domain ? families[domain] : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        // Without a name: all addresses, or those of the loopback.
        .ai_flags = AI_NUMERICSERV | (config->loopback_only ? 0 : AI_PASSIVE),
    };
    struct addrinfo *list = NULL;
    *ret_rc = getaddrinfo(config->address, port, &hints, &list);
    return list;
}

static err_t
open_name(const struct opening *o)
{
    char what[128];
    (void)snprintf(what, sizeof what, "%s port %u", o->config->address ? o->config->address : "*",
                   o->config->port);
    int rc;
    struct addrinfo *list = resolve(o, &rc);
    if (rc != 0)
        return fail(o, what, rc == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(rc));
    uint32_t opened = 0;
    int error = 0;
    for (struct addrinfo *ai = list; ai && !error && opened < LISTEN_ADDRESSES_MAX;
         ai = ai->ai_next) {
        if (seen_before(list, ai))
            continue;
        if (open_address(o, ai))
            opened++;
        else if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
            error = errno; // else: a host without that family; the others will do
    }
    freeaddrinfo(list);
    if (error == 0 && opened == 0)
        error = EADDRNOTAVAIL;
    return error ? fail(o, what, strerrordesc_np(error)) : OK;
}

// ---- Unix sockets -------------------------------------------------------------------------------

// Removes what a dead broker left: a socket on which nobody listens. 0, or an errno.
static int
remove_stale(const struct sockaddr_un *address)
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
    int error = rc == 0 ? EADDRINUSE : errno;
    (void)close(fd);
    if (error != ECONNREFUSED) // a full backlog says EAGAIN: somebody lives there
        return error == EAGAIN ? EADDRINUSE : error;
    return unlink(address->sun_path) == 0 ? 0 : errno;
}

static err_t
open_unix(const struct opening *o)
{
    const char *path = o->config->unix_path;
    struct listener *listener = &o->set->listeners[o->index];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return fail(o, path, strerrordesc_np(ENAMETOOLONG));
    memcpy(address.sun_path, path, strlen(path));
    int error = remove_stale(&address);
    if (error)
        return fail(o, path, strerrordesc_np(error));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat st;
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, INT_MAX) != 0 || lstat(path, &st) != 0) {
        error = errno;
        if (fd >= 0)
            (void)close(fd);
        return fail(o, path, strerrordesc_np(error));
    }
    add_socket(o->set, fd, o->index, 0);
    listener->unix_path = mem_strdup(path);
    listener->unix_dev = st.st_dev;
    listener->unix_ino = st.st_ino;
    (void)snprintf(listener->text, sizeof listener->text, "%s", path);
    return OK;
}

// Only the file that we made: another broker may have taken its place.
static void
remove_own(const struct listener *listener)
{
    struct stat st;
    if (listener->unix_path && lstat(listener->unix_path, &st) == 0 &&
        st.st_dev == listener->unix_dev && st.st_ino == listener->unix_ino)
        (void)unlink(listener->unix_path);
}

// ---- The set ------------------------------------------------------------------------------------

static err_t
open_all(const struct config *config, struct opening *o)
{
    for (uint32_t i = 0; i < config->listener_count; i++) {
        o->config = &config->listeners[i];
        o->index = i;
        o->set->listeners[i].node = o->config->node;
        err_t err = o->config->unix_path ? open_unix(o) : open_name(o);
        if (err)
            return err;
    }
    return OK;
}

err_t
listen_open(const struct config *config, unsigned workers, struct listen_set **ret_set,
            char *ret_problem, size_t problem_len)
{
    must(config->listener_count <= CONFIG_LISTENERS_MAX);
    uint32_t count = config->listener_count;
    struct listen_set *set = mem_zalloc(sizeof *set);
    set->magic = LISTEN_MAGIC;
    set->workers = workers;
    set->listener_count = count;
    set->listeners = mem_zalloc((count + 1) * sizeof *set->listeners);
    set->counters = mem_alloc_aligned(
        CACHE_LINE, sizeof *set->counters + (count + CACHE_LINE) * sizeof set->counters->of[0]);
    atomic_store(&set->counters->descriptors_max, UINT64_MAX);
    set->crew = crew_new(workers);
    struct opening o = {.set = set, .nodelay = config->set_tcp_nodelay};
    o.problem = ret_problem;
    o.problem_len = problem_len;
    err_t err = set->crew ? open_all(config, &o) : fail(&o, "eventfd", strerrordesc_np(errno));
    if (err) {
        listen_close(set);
        return err;
    }
    *ret_set = set;
    return OK;
}

void
listen_close(struct listen_set *set)
{
    if (!set)
        return;
    must(set->magic == LISTEN_MAGIC);
    for (uint32_t i = 0; i < set->socket_count; i++)
        (void)close(set->sockets[i].fd);
    for (uint32_t i = 0; i < set->listener_count; i++) {
        remove_own(&set->listeners[i]);
        mem_free(set->listeners[i].unix_path);
        tls_context_unref(atomic_load(&set->listeners[i].tls));
    }
    crew_free(set->crew);
    mem_free(set->counters);
    mem_free(set->sockets);
    mem_free(set->listeners);
    set->magic = 0;
    mem_free(set);
}

const struct listen_socket *
listen_sockets(const struct listen_set *set, uint32_t *ret_count)
{
    must(set->magic == LISTEN_MAGIC);
    *ret_count = set->socket_count;
    return set->sockets;
}

// A worker that has loaded the old pointer is in a tick, and so holds up the grace period after
// which its reference is given back.
struct tls_context *
listen_tls(const struct listen_set *set, uint32_t listener)
{
    must(listener < set->listener_count);
    return atomic_load_explicit(&set->listeners[listener].tls, memory_order_acquire);
}

struct tls_context *
listen_set_tls(struct listen_set *set, uint32_t listener, struct tls_context *context)
{
    must(set->magic == LISTEN_MAGIC && listener < set->listener_count);
    return atomic_exchange(&set->listeners[listener].tls, context);
}

struct crew *
listen_crew(const struct listen_set *set)
{
    must(set->magic == LISTEN_MAGIC);
    return set->crew;
}

void
listen_set_descriptors(const struct listen_set *set, uint64_t descriptors)
{
    must(set->magic == LISTEN_MAGIC);
    uint64_t kept =
        DESCRIPTORS_KEPT + set->socket_count + (uint64_t)set->workers * DESCRIPTORS_OF_WORKER;
    // A process with next to none can still be tried out.
    uint64_t max = descriptors > kept ? descriptors - kept : 0;
    max = descriptors ? max_u64(max, descriptors / 4 + 1) : UINT64_MAX;
    atomic_store_explicit(&set->counters->descriptors_max, max, memory_order_relaxed);
}

// A client, beside as many others.
static enum listen_limit
limit_of_clients(const struct listen_set *set, const struct config *config, uint32_t listener,
                 uint32_t here, uint64_t clients)
{
    uint32_t max =
        listener < config->listener_count ? config->listeners[listener].connections_max : 0;
    if (max != 0 && here >= max)
        return LISTEN_MAX_CONNECTIONS;
    if (config->connections_max != 0 && clients >= config->connections_max)
        return LISTEN_GLOBAL_MAX_CONNECTIONS;
    uint64_t all = atomic_load_explicit(&set->counters->all, memory_order_relaxed);
    uint64_t all_max = atomic_load_explicit(&set->counters->descriptors_max, memory_order_relaxed);
    return all > all_max ? LISTEN_DESCRIPTORS : LISTEN_ADMITTED;
}

// A connection to or from another node: clients do not take its place, though they take all of
// theirs.
static enum listen_limit
limit_of_nodes(const struct listen_set *set, uint32_t here)
{
    uint64_t all = atomic_load_explicit(&set->counters->all, memory_order_relaxed);
    uint64_t all_max = atomic_load_explicit(&set->counters->descriptors_max, memory_order_relaxed);
    if (here >= NODE_CONNECTIONS_MAX)
        return LISTEN_NODES_MAX;
    return here >= NODE_LINKS_MAX && all > all_max ? LISTEN_DESCRIPTORS : LISTEN_ADMITTED;
}

enum listen_limit
listen_admit(const struct listen_set *set, const struct config *config, uint32_t listener)
{
    must(listener < set->listener_count);
    // Counted first and taken back: two workers cannot both take the last place.
    bool node = set->listeners[listener].node;
    uint32_t here = atomic_fetch_add(&set->counters->of[listener], 1);
    (void)atomic_fetch_add(&set->counters->all, 1);
    uint64_t clients = node ? 0 : atomic_fetch_add(&set->counters->clients, 1);
    enum listen_limit limit =
        node ? limit_of_nodes(set, here) : limit_of_clients(set, config, listener, here, clients);
    if (unlikely(limit != LISTEN_ADMITTED))
        listen_leave(set, listener);
    return limit;
}

void
listen_leave(const struct listen_set *set, uint32_t listener)
{
    must(listener < set->listener_count);
    uint32_t here = atomic_fetch_sub(&set->counters->of[listener], 1);
    uint64_t all = atomic_fetch_sub(&set->counters->all, 1);
    must(here > 0 && all > 0);
    if (set->listeners[listener].node)
        return;
    uint64_t clients = atomic_fetch_sub(&set->counters->clients, 1);
    must(clients > 0);
}

uint32_t
listen_count(const struct listen_set *set)
{
    must(set->magic == LISTEN_MAGIC);
    return set->listener_count;
}

uint32_t
listen_connections(const struct listen_set *set, uint32_t listener)
{
    must(set->magic == LISTEN_MAGIC && listener < set->listener_count);
    return atomic_load_explicit(&set->counters->of[listener], memory_order_relaxed);
}
