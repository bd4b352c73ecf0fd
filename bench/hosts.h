// hosts.h - the addresses of the broker, or of a cluster's nodes.
//
// Job:    resolve a list "A,B:PORT,[ADDRESS]:PORT", and say which client goes where.
// Owner:  the run. Thread: read-only after hosts_resolve. Memory: itself. Limits: HOSTS_MAX.
#ifndef TERN_BENCH_HOSTS_H
#define TERN_BENCH_HOSTS_H

#include <sys/socket.h>

#include "core/base/err.h"

#define HOSTS_MAX     64u
#define HOSTS_WHY_MAX 128u

struct host {
    struct sockaddr_storage address;
    socklen_t address_len;
};

struct hosts {
    struct host rows[HOSTS_MAX];
    uint32_t count;
    struct host from; // where connections come from; address_len 0 = wherever
};

// port: of those who name none. ERR_CONFIG with a text that says why.
NODISCARD err_t hosts_resolve(const char *list, uint16_t port, struct hosts *ret_hosts,
                              char ret_why[HOSTS_WHY_MAX]);

// address: of this machine, as a number. ERR_CONFIG with a text that says why.
NODISCARD err_t hosts_bind(struct hosts *hosts, const char *address, char ret_why[HOSTS_WHY_MAX]);

// Publisher p goes to host p mod n, everyone else with that number to the next one: so what a pair
// says has to cross between nodes.
static inline const struct host *
hosts_pick(const struct hosts *hosts, uint32_t number, bool publisher)
{
    must(hosts->count > 0);
    return &hosts->rows[(number + (publisher ? 0 : 1)) % hosts->count];
}

#endif
