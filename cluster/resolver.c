// resolver.c - where nodes may be: cluster_seeds and cluster_dns, looked up off the gossip's
// thread.
#include "cluster/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "cluster/endpoint.h"
#include "core/config.h"

struct resolver {
    char *seeds, *dns;
    uint16_t dns_port;
    bool ipv6;

    pthread_mutex_t mutex; // of what follows
    pthread_cond_t changed;
    bool stopping, alone, fresh;
    // The agent, and the thread: getaddrinfo cannot be interrupted, so that whoever of the two is
    // the last one frees.
    unsigned owners;
    struct resolver_found found;
};

// ---- Looking up ---------------------------------------------------------------------------------

static void
add(struct resolver_found *found, const struct gossip_address *address)
{
    must(found->count <= GOSSIP_SEEDS_MAX);
    for (uint32_t i = 0; i < found->count; i++)
        if (gossip_address_equal(&found->addresses[i], address))
            return;
    if (found->count < GOSSIP_SEEDS_MAX)
        found->addresses[found->count++] = *address;
}

// All addresses of a name. False: the name service failed, so nobody knows whether there are any.
static bool
look_up(const struct resolver *resolver, const char *host, uint16_t port, int flags,
        struct resolver_found *found)
{
    char port_text[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {
        .ai_family = resolver->ipv6 ? AF_UNSPEC : AF_INET,
        .ai_socktype = SOCK_DGRAM,
        .ai_flags = AI_NUMERICSERV | flags,
    };
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    int rc = getaddrinfo(host, port_text, &hints, &list);
    for (const struct addrinfo *at = list; rc == 0 && at; at = at->ai_next) {
        struct gossip_address address;
        if (endpoint_of(at->ai_addr, &address))
            add(found, &address);
    }
    if (list)
        freeaddrinfo(list);
    if (rc != 0 && found->problem[0] == '\0')
        (void)snprintf(found->problem, sizeof found->problem, "%s: %s", host, gai_strerror(rc));
    return rc == 0 || rc == EAI_NONAME || rc == EAI_NODATA;
}

static bool
look_up_seeds(const struct resolver *resolver, int flags, struct resolver_found *found)
{
    struct slice rest = slice_str(resolver->seeds ? resolver->seeds : "");
    bool good = true;
    while (rest.len > 0) {
        uint32_t len = 0;
        while (len < rest.len && rest.data[len] != ' ' && rest.data[len] != '\t')
            len++;
        char host[CONFIG_HOST_MAX];
        uint16_t port;
        if (config_host_port(slice_of(rest.data, len), host, &port))
            good = look_up(resolver, host, port, flags, found) && good;
        len += len < rest.len;
        rest = slice_of(rest.data + len, rest.len - len);
    }
    return good;
}

static bool
look_up_all(const struct resolver *resolver, struct resolver_found *found)
{
    char host[CONFIG_HOST_MAX];
    uint16_t port;
    bool good = look_up_seeds(resolver, 0, found);
    if (resolver->dns &&
        config_name_port(slice_str(resolver->dns), resolver->dns_port, host, &port))
        good = look_up(resolver, host, port, 0, found) && good;
    return good;
}

// ---- The thread ---------------------------------------------------------------------------------

static void
release(struct resolver *resolver)
{
    pthread_mutex_lock(&resolver->mutex);
    must(resolver->owners > 0);
    bool last = --resolver->owners == 0;
    pthread_mutex_unlock(&resolver->mutex);
    if (!last)
        return;
    pthread_cond_destroy(&resolver->changed);
    pthread_mutex_destroy(&resolver->mutex);
    mem_free(resolver->seeds);
    mem_free(resolver->dns);
    mem_free(resolver);
}

// Under the mutex. False: it is to end.
static bool
pause_since(struct resolver *resolver, uint64_t since_ms)
{
    while (!resolver->stopping) {
        uint64_t until_ms = since_ms + (resolver->alone ? RESOLVER_ALONE_MS : RESOLVER_MS);
        struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                 .tv_nsec = (long)(until_ms % 1000) * 1000000};
        if (clock_mono_ms() >= until_ms)
            return true;
        (void)pthread_cond_clockwait(&resolver->changed, &resolver->mutex, CLOCK_MONOTONIC, &until);
    }
    return false;
}

static void *
run(void *arg)
{
    struct resolver *resolver = arg;
    struct resolver_found found;
    thread_role = ROLE_CLUSTER;
    (void)pthread_setname_np(pthread_self(), "tern-resolver");
    for (bool goes_on = true; goes_on;) {
        uint64_t begun_ms = clock_mono_ms();
        found = (struct resolver_found){0};
        bool good = look_up_all(resolver, &found);
        pthread_mutex_lock(&resolver->mutex);
        // While the name service fails, nodes stay where they were.
        for (uint32_t i = 0; !good && i < resolver->found.count; i++)
            add(&found, &resolver->found.addresses[i]);
        resolver->found = found;
        resolver->fresh = true;
        goes_on = pause_since(resolver, begun_ms);
        pthread_mutex_unlock(&resolver->mutex);
    }
    release(resolver);
    return NULL;
}

// ---- The agent's --------------------------------------------------------------------------------

struct resolver *
resolver_new(const struct resolver_config *config)
{
    struct resolver *resolver = mem_zalloc(sizeof *resolver);
    resolver->seeds = config->seeds ? mem_strdup(config->seeds) : NULL;
    resolver->dns = config->dns ? mem_strdup(config->dns) : NULL;
    resolver->dns_port = config->dns_port;
    resolver->ipv6 = config->ipv6;
    resolver->owners = 1;
    resolver->alone = resolver->fresh = true;
    pthread_mutex_init(&resolver->mutex, NULL);
    pthread_cond_init(&resolver->changed, NULL);
    (void)look_up_seeds(resolver, AI_NUMERICHOST, &resolver->found);
    resolver->found.problem[0] = '\0'; // names, not addresses
    return resolver;
}

err_t
resolver_start(struct resolver *resolver)
{
    pthread_t thread;
    must(resolver->owners == 1 && !resolver->stopping);
    if (!resolver->seeds && !resolver->dns)
        return OK;
    resolver->owners++; // there is no other thread yet
    if (pthread_create(&thread, NULL, run, resolver) == 0)
        return pthread_detach(thread) == 0 ? OK : ERR_IO;
    resolver->owners--;
    return ERR_IO;
}

void
resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    pthread_mutex_lock(&resolver->mutex);
    resolver->stopping = true;
    pthread_cond_signal(&resolver->changed);
    pthread_mutex_unlock(&resolver->mutex);
    release(resolver);
}

void
resolver_set_alone(struct resolver *resolver, bool alone)
{
    pthread_mutex_lock(&resolver->mutex);
    if (resolver->alone != alone)
        pthread_cond_signal(&resolver->changed);
    resolver->alone = alone;
    pthread_mutex_unlock(&resolver->mutex);
}

bool
resolver_take(struct resolver *resolver, struct resolver_found *ret_found)
{
    pthread_mutex_lock(&resolver->mutex);
    must(!resolver->stopping && resolver->found.count <= GOSSIP_SEEDS_MAX);
    bool fresh = resolver->fresh;
    if (fresh)
        *ret_found = resolver->found;
    resolver->fresh = false;
    pthread_mutex_unlock(&resolver->mutex);
    return fresh;
}
