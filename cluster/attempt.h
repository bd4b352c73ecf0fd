// attempt.h - a TCP connection to another node, while it is not there yet.
//
// Job:    begins one, says when it stands or has failed, and when the next one may begin.
// Owner:  whoever wants it. Thread: the owner's. Memory: a descriptor while it is under way.
// Limits: ATTEMPT_MS for each, RETRY_MS between two.
#ifndef TERN_CLUSTER_ATTEMPT_H
#define TERN_CLUSTER_ATTEMPT_H

#include "cluster/gossip_codec.h"

#define ATTEMPT_MS 3000u // for a connection to stand
#define RETRY_MS   500u  // from one that failed to the next

struct attempt {
    int fd;          // -1 = none is under way; POLLOUT: attempt_look
    uint64_t due_ms; // its end, or when the next one may begin
};

enum attempt_state { ATTEMPT_WAITS, ATTEMPT_STANDS, ATTEMPT_FAILED };

// None is under way, and one is due. 0, or the errno of one that failed at once.
int attempt_begin(struct attempt *attempt, const struct gossip_address *address, uint64_t now_ms);
// One is under way. ready: poll says so. STANDS: fd is the caller's, who takes it. FAILED:
// ret_error has an errno, or 0 when nobody answered.
enum attempt_state attempt_look(struct attempt *attempt, bool ready, uint64_t now_ms,
                                int *ret_error);
// Ends what is under way, if anything is.
void attempt_end(struct attempt *attempt);

#endif
