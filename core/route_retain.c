// route_retain.c - what is retained: here, and told to other nodes.
#include "core/broker.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/shard.h"

// ERR_FULL: there are as many as there may be. ERR_QUOTA_EXCEEDED: it is too large for one.
static err_t
set(struct shard *shard, struct pub *pub)
{
    uint32_t max = shard->config->retained_message_max;
    if (max && pub->payload.len > max)
        return ERR_QUOTA_EXCEEDED;
    struct retained_limits limits = {
        .count_max = shard->config->retained_messages_max,
        .bytes_max = shard->config->retained_bytes_max,
    };
    struct msg *msg = pub_msg(pub);
    err_t err = retained_set(shard->broker->retained, shard->rcu, msg, &limits);
    if (err == OK && pub->publisher != 0) // what the broker itself says ends with it
        journal_retain(shard->journal, msg);
    return err;
}

static err_t
retain(struct shard *shard, struct pub *pub)
{
    uint64_t order;
    if (pub->payload.len > 0)
        return set(shard, pub);
    if (retained_clear(shard->broker->retained, shard->rcu, pub->topic, &order) &&
        pub->publisher != 0)
        journal_retain_clear(shard->journal, pub->topic, order); // [MQTT-3.3.1-6]
    return OK;
}

// Where there are other nodes, the later of two changes is the topic's on all of them. The message
// has a stamp, so it is another one than what was made of pub before.
static err_t
retain_stamped(struct shard *shard, struct pub *pub, struct cluster *cluster, uint64_t *ret_telling)
{
    struct msg_source source = {0};
    struct pub stamped = *pub;
    if (pub->source)
        source = *pub->source;
    if (!cluster->ops->retain_begin(cluster, shard, pub, &source.stamp))
        return OK;
    stamped.source = source.stamp.at || source.client_id.len > 0 ? &source : NULL;
    stamped.msg = NULL;
    stamped.copy = NULL;
    err_t err = OK;
    uint64_t order;
    if (pub->payload.len > 0)
        err = set(shard, &stamped);
    else // what was cleared is journaled by the cluster
        (void)retained_clear(shard->broker->retained, shard->rcu, pub->topic, &order);
    pub_done(&stamped);
    cluster->ops->retain_end(cluster, shard, pub, &source.stamp, err == OK);
    if (err == OK && !pub->from_node) {
        // Apart from what their clients are sent, whether these want it or not.
        *ret_telling = cluster->ops->retained(cluster, shard, pub, &source.stamp);
        shard->outcome = OUTCOME_TAKEN;
    }
    return err;
}

err_t
route_retain(struct shard *shard, struct pub *pub, uint64_t *ret_telling)
{
    struct cluster *cluster = shard->broker->cluster;
    *ret_telling = 0;
    err_t err = unlikely(cluster != NULL) && pub->publisher != 0
                    ? retain_stamped(shard, pub, cluster, ret_telling)
                    : retain(shard, pub);
    return err;
}

void
route_count_unretained(struct listener_stats *counts, err_t err)
{
    must(err != OK);
    stat_add(err == ERR_FULL ? &counts->dropped_retained_full : &counts->dropped_too_large, 1);
}
