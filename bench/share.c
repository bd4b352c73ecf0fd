// share.c - which worker has which client.
#include "bench/share.h"

bool
share_crosses(const struct shape *shape)
{
    return shape->streams > 0 && shape->stride == 0;
}

// Pairs stay together; where many face one, the one is the first worker's, and the many begin with
// the second.
uint32_t
share_owner(const struct shape *shape, enum role role, uint32_t number, uint32_t workers)
{
    must(workers > 0);
    uint64_t place = number;
    if (shape->stride > 0)
        place *= role == ROLE_PUBLISHER ? shape->stride : 1;
    else if (shape->clients[role] > 1)
        place++;
    return (uint32_t)(place % workers);
}
