// home.c - which of some nodes a client identifier is for.
#include "cluster/home.h"

#include "core/base/hash.h"

static const struct hash_key shared_key = {UINT64_C(0x7465726e6d71), 2};

static uint64_t
weight_of(const struct gossip_uuid *member, struct slice client_id)
{
    struct hash_key own;
    own.k0 = hash_bytes(&shared_key, member->bytes, sizeof member->bytes);
    own.k1 = hash_u64(&shared_key, own.k0);
    return hash_bytes(&own, client_id.data, client_id.len);
}

uint32_t
home_rank(const struct gossip_uuid *members, uint32_t count, const struct gossip_uuid *member,
          struct slice client_id)
{
    uint64_t ours = weight_of(member, client_id);
    uint32_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t weight = weight_of(&members[i], client_id);
        // Equal weights (once in 2^64) are decided by the uuid, so that order does not matter.
        before += weight > ours || (weight == ours && memcmp(members[i].bytes, member->bytes,
                                                             sizeof member->bytes) > 0);
    }
    must(before < count);
    return before;
}
