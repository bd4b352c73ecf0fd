// share.h - which worker has which client.
//
// Job:    deal the clients of a run out to its workers, wherever those are: threads of one process,
//         or of many on as many machines. Owner: none. Thread: any. Memory: none. Limits: none.
#ifndef TERN_BENCH_SHARE_H
#define TERN_BENCH_SHARE_H

#include "bench/scenario.h"

// The number of the worker that has the client, below `workers`.
uint32_t share_owner(const struct shape *shape, enum role role, uint32_t number, uint32_t workers);
// Whether a publisher and its subscribers may have different workers.
bool share_crosses(const struct shape *shape);

#endif
