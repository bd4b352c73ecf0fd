// route_replica.c - the routes that point to another node, as it has told them.
#include "core/base/mem.h"

#include "cluster/route_log.h"
#include "cluster/route_set.h"

#define REPLICA_MAGIC 0x7265706cu

struct copy {
    uint64_t incarnation, applied;
    struct route_set set;
};

struct route_replica {
    uint32_t magic, routes_max;
    struct copy live, coming; // coming: a snapshot, if incarnation is not 0
    struct route_replica_stats stats;
};

struct route_replica *
route_replica_new(uint32_t routes_max)
{
    struct route_replica *replica = mem_zalloc(sizeof *replica);
    must(routes_max > 0);
    replica->magic = REPLICA_MAGIC;
    replica->routes_max = routes_max;
    return replica;
}

static void
copy_clear(struct copy *copy)
{
    route_set_free(&copy->set);
    copy->incarnation = copy->applied = 0;
}

void
route_replica_free(struct route_replica *replica)
{
    if (!replica)
        return;
    must(replica->magic == REPLICA_MAGIC);
    copy_clear(&replica->live);
    copy_clear(&replica->coming);
    replica->magic = 0;
    mem_free(replica);
}

void
route_replica_link_up(struct route_replica *replica, uint64_t *ret_incarnation,
                      uint64_t *ret_applied)
{
    copy_clear(&replica->coming);
    *ret_incarnation = replica->live.incarnation;
    *ret_applied = replica->live.applied;
}

static void
put(struct route_replica *replica, struct copy *copy, const struct route_op *op)
{
    must(op->key.len <= ROUTE_KEY_MAX);
    if (op->weight > 0 && copy->set.count >= replica->routes_max &&
        route_set_weight(&copy->set, op->key) == 0)
        replica->stats.refused++;
    else
        (void)route_set_put(&copy->set, op->key, op->weight); // known already: fine
}

static err_t
take_change(struct route_replica *replica, uint64_t incarnation, const struct route_op *op)
{
    struct copy *copy = replica->coming.incarnation != 0 ? &replica->coming : &replica->live;
    if (incarnation != copy->incarnation || op->seq > copy->applied + 1) {
        replica->stats.gaps++;
        return ERR_PROTOCOL;
    }
    if (op->seq <= copy->applied) {
        replica->stats.repeated++;
        return OK;
    }
    put(replica, copy, op);
    copy->applied = op->seq;
    replica->stats.applied++;
    return OK;
}

static err_t
take_end(struct route_replica *replica, uint64_t incarnation, const struct route_digest *digest)
{
    struct copy *coming = &replica->coming;
    if (incarnation == 0 || incarnation != coming->incarnation || coming->applied != digest->seq ||
        coming->set.hash != digest->hash) {
        replica->stats.broken++;
        copy_clear(coming); // the old routes stay
        return ERR_PROTOCOL;
    }
    copy_clear(&replica->live);
    replica->live = *coming;
    *coming = (struct copy){0};
    replica->stats.snapshots++;
    return OK;
}

err_t
route_replica_take(struct route_replica *replica, uint64_t incarnation, enum route_step step,
                   const struct route_op *op, const struct route_digest *digest)
{
    must(replica->magic == REPLICA_MAGIC);
    if (incarnation < replica->live.incarnation) // a life that is over
        return ERR_PROTOCOL;
    switch (step) {
    case ROUTE_NOTHING:
        return OK;
    case ROUTE_BEGIN:
        copy_clear(&replica->coming);
        replica->coming.incarnation = incarnation;
        replica->coming.applied = op->seq;
        return incarnation > 0 ? OK : ERR_PROTOCOL;
    case ROUTE_ENTRY:
        if (incarnation == 0 || incarnation != replica->coming.incarnation || op->weight == 0)
            return ERR_PROTOCOL;
        put(replica, &replica->coming, op);
        return OK;
    case ROUTE_CHANGE:
        return take_change(replica, incarnation, op);
    case ROUTE_END:
        return take_end(replica, incarnation, digest);
    case ROUTE_DIGEST:
        return route_replica_check(replica, incarnation, digest);
    }
    return ERR_PROTOCOL;
}

err_t
route_replica_check(struct route_replica *replica, uint64_t incarnation,
                    const struct route_digest *digest)
{
    struct copy *live = &replica->live;
    if (incarnation != live->incarnation || digest->seq != live->applied ||
        digest->hash == live->set.hash)
        return OK;
    replica->stats.diverged++;
    live->applied = 0; // what is there stays in use until it is replaced
    live->incarnation = 0;
    return ERR_PROTOCOL;
}

uint32_t
route_replica_weight(const struct route_replica *replica, struct slice key)
{
    return route_set_weight(&replica->live.set, key);
}

uint32_t
route_replica_count(const struct route_replica *replica)
{
    return replica->live.set.count;
}

struct route_digest
route_replica_digest(const struct route_replica *replica)
{
    return (struct route_digest){replica->live.applied, replica->live.set.hash};
}

const struct route_replica_stats *
route_replica_stats(const struct route_replica *replica)
{
    return &replica->stats;
}
