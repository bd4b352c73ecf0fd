// resolver.h - where nodes may be: cluster_seeds and cluster_dns, looked up off the gossip's
// thread.
//
// Job:    a thread of its own looks the names up, every RESOLVER_ALONE_MS while we are alone, else
//         every RESOLVER_MS, and leaves the addresses for the agent: a name server that does not
//         answer takes seconds, in which nobody may think that we are dead.
// Owner:  the agent. Thread: the agent's. Memory: a few KB.
// Limits: GOSSIP_SEEDS_MAX addresses, of which the seeds are the first; more are left out.
#ifndef TERN_CLUSTER_RESOLVER_H
#define TERN_CLUSTER_RESOLVER_H

#include "cluster/gossip.h"

#define RESOLVER_ALONE_MS 5000u
#define RESOLVER_MS       30000u
#define RESOLVER_PROBLEM  320u

struct resolver;

struct resolver_found {
    struct gossip_address addresses[GOSSIP_SEEDS_MAX];
    uint32_t count;
    char problem[RESOLVER_PROBLEM]; // the first name that was not found, and why; "" = all were
};

struct resolver_config {
    const char *seeds; // "ADDRESS:PORT ...", checked before; NULL = none. Borrowed, as the next one
    const char *dns;   // "NAME[:PORT]", the same
    uint16_t dns_port; // of a name without one
    bool ipv6;         // that we can reach, beside IPv4
};

// Returns new. What of the seeds are addresses, not names, is found at once.
struct resolver *resolver_new(const struct resolver_config *config);
NODISCARD err_t resolver_start(struct resolver *resolver);
// Takes; NULL is fine. Waits for nothing: a lookup that is under way ends by itself, unheard.
void resolver_free(struct resolver *resolver);
// Whether we know of no other node that lives.
void resolver_set_alone(struct resolver *resolver, bool alone);
// False: nothing is new since the last call.
bool resolver_take(struct resolver *resolver, struct resolver_found *ret_found);

#endif
