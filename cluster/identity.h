// identity.h - who this node is: a uuid that stays, an incarnation that grows at each start.
//
// Job:    keeps both in a file beside the store; without a store they are new each time.
// Owner:  none. Thread: main, at start. Memory: none. Limits: none.
#ifndef TERN_CLUSTER_IDENTITY_H
#define TERN_CLUSTER_IDENTITY_H

#include "cluster/gossip_codec.h"

#define IDENTITY_PROBLEM_MAX 512u

struct identity {
    struct gossip_uuid uuid;
    uint64_t incarnation; // one more than at the last start, and on the disk
    uint64_t boot;        // random
    bool stays;           // after this process; false: without a folder
};

// folder: where the file `node` is, or is made; NULL: nowhere. ERR_IO with a text that says why.
NODISCARD err_t identity_load(const char *folder, struct identity *ret_identity,
                              char ret_problem[IDENTITY_PROBLEM_MAX]);
// 32 hexadecimal digits.
void uuid_text(const struct gossip_uuid *uuid, char ret_text[33]);
bool uuid_read(const char *text, struct gossip_uuid *ret_uuid);

#endif
