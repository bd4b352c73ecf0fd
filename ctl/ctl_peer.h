// ctl_peer.h - ternmqctl's connection to the broker.
//
// Job:    a line of JSON there, a line of JSON back.
// Owner:  the program. Thread: one. Memory: the answer. Limits: CTL_ANSWER_MAX bytes of it, and the
//         time that the caller gives.
#ifndef TERN_CTL_CTL_PEER_H
#define TERN_CTL_CTL_PEER_H

#include <jansson.h>

#include "core/base/base.h"

#define CTL_ANSWER_MAX (256u << 20)

struct ctl_peer {
    const char *path; // borrowed
    int fd;           // -1: none
    char *in;         // what came behind the last line
    uint32_t len, cap;
    char problem[256];
};

// False: peer->problem says why.
bool ctl_peer_open(struct ctl_peer *peer, const char *path);
// Borrows request. Returns new, an object; NULL: the problem says why. wait_ms: for each part of
// the answer; -1 = as long as it takes.
json_t *ctl_peer_ask(struct ctl_peer *peer, const json_t *request, int wait_ms);
void ctl_peer_close(struct ctl_peer *peer);

#endif
