// client_subscribe.c - SUBSCRIBE and UNSUBSCRIBE from a client.
#include "core/base/mem.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_handlers.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/session_walks.h"
#include "core/shard.h"
#include "core/topic.h"

// One filter of a SUBSCRIBE, between the acknowledgement and its retained messages.
struct granted {
    struct slice filter;
    struct trie_handle handle;
    struct sub_options options;
    bool wants_retained;
};

static uint8_t
failure_code(const struct client *client, err_t err)
{
    return client->version == MQTT_5 ? err_reason(err) : REASON_FAILURE; // [MQTT-3.9.3-2]
}

// [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; none for shared subscriptions [MQTT5 4.8.2].
static bool
wants_retained(const struct filter_view *filter, bool shared, bool existed)
{
    if (shared || filter->retain_handling == 2)
        return false;
    return filter->retain_handling == 0 || !existed;
}

// What the HTTP hook has said. It is not asked again: the desk was full.
static err_t
decided(struct client *client, const struct filter_view *text)
{
    const struct access_rules *rules = client->shard->access;
    if (!rules || !rules->listeners[client->listener_index].ask_subscribe)
        return OK;
    return client_decided(client, ACCESS_SUBSCRIBE, text->filter, text->qos, false);
}

// A client has as many subscriptions as it may.
static uint8_t
refuse_filter(struct client *client, const char *key)
{
    stat_add(&client->shard->stats.refused_subscriptions, 1);
    client_refused_by(client, key);
    return failure_code(client, ERR_FULL);
}

// What it could read nothing of is refused, whatever rules there are for subscriptions.
static bool
may_subscribe(const struct client *client, struct slice filter)
{
    const struct rights *rights = client->session->rights;
    if (rights_allow_filter(rights, ACL_SUBSCRIBE, filter) &&
        rights_cover(rights, ACL_RECEIVE, filter) != ACL_COVERS_NOTHING)
        return true;
    stat_add(&client->shard->stats.subscribe_refused, 1);
    return false;
}

static uint8_t
subscribe_one(struct client *client, const struct filter_view *text, uint32_t id,
              struct granted *ret)
{
    struct share_filter share;
    *ret = (struct granted){0};
    err_t err = topic_share_split(text->filter, &share);
    if (err)
        return failure_code(client, err);
    if (client_is_too_deep(client, share.filter) || slice_begins(share.filter, NODE_ROOT))
        return failure_code(client, ERR_TOPIC_FILTER_INVALID);
    if (client->session->rights && !may_subscribe(client, share.filter))
        return failure_code(client, ERR_NOT_AUTHORIZED);
    if (client->shard->level >= GOVERNOR_REFUSE) {
        stat_add(&client->shard->stats.refused_memory, 1);
        client_refused_by(client, "memory_limit");
        return failure_code(client, ERR_QUOTA_EXCEEDED);
    }
    if (unlikely(client->decided_outside)) {
        err = decided(client, text);
        if (err)
            return failure_code(client, err);
    }
    struct filter_view filter = *text;
    filter.filter = share.filter;
    // More than the listener's maximum is accepted, and granted as that [MQTT-3.2.2-10].
    uint8_t max = client->shard->config->listeners[client->listener_index].maximum_qos;
    filter.qos = filter.qos < max ? filter.qos : max;
    bool existed = false;
    err = session_subscribe(client->session, &filter, share.group, id, &ret->handle, &existed);
    if (err)
        return refuse_filter(client, "max_subscriptions, or what other nodes can be told of");
    ret->filter = share.filter;
    ret->options =
        (struct sub_options){.qos = filter.qos & 3u,
                             .no_local = filter.no_local,
                             .retain_as_published = filter.retain_as_published,
                             .partly = session_reads_partly(client->session, share.filter)};
    ret->wants_retained = wants_retained(&filter, share.group.len > 0, existed);
    return filter.qos;
}

static void
log_subscribe(const struct client *client, struct slice filter, uint8_t code)
{
    const struct log *log = client->shard->log;
    if (log_wants(log, LOG_T_SUBSCRIBE))
        log_line(client->shard->log, LOG_T_SUBSCRIBE, "%s %d %.*s", client->session->id, code,
                 (int)min_u32(filter.len, 256), (const char *)filter.data);
}

static void
acknowledge(struct client *client, uint8_t type, uint16_t packet_id, const uint8_t *codes,
            uint32_t count)
{
    struct ack_out ack = {.type = type, .packet_id = packet_id, .codes = codes, .count = count};
    struct ack_wait wait = {.position = session_position(client->session)};
    struct cluster *cluster = client->shard->broker->cluster;
    if (unlikely(cluster != NULL) && type == MQTT_SUBACK) {
        wait.routes = cluster->ops->routes(cluster);
        wait.routes_ms = client->shard->now_ms + NODE_ROUTES_MS;
    }
    client_put_ack_after(client, &wait, &ack);
}

// The HTTP hook is asked about all filters at once; OK: each has its answer.
static err_t
decide_outside(struct client *client, const struct subscribe_view *view)
{
    const struct access_rules *rules = client->shard->access;
    if (!rules || !rules->listeners[client->listener_index].ask_subscribe)
        return OK;
    struct slice rest = view->filters;
    struct filter_view filter;
    bool waits = false;
    for (uint32_t i = 0; i < view->count && codec_next_filter(&rest, true, &filter); i++)
        waits |=
            client_decide(client, ACCESS_SUBSCRIBE, filter.filter, filter.qos, false) == ERR_WAIT;
    return waits ? ERR_WAIT : OK;
}

err_t
client_on_subscribe(struct client *client, const struct frame *frame)
{
    struct subscribe_view view;
    err_t err = codec_subscribe(frame, client->version, &view);
    if (err == OK && unlikely(client->decided_outside))
        err = decide_outside(client, &view);
    if (err)
        return err;
    uint32_t max = client->shard->config->subscribe_filters_max;
    max = min_u32(view.count, max ? max : UINT32_MAX);
    struct granted *granted = mem_alloc(max * sizeof *granted);
    uint8_t *codes = mem_alloc(view.count);
    struct slice rest = view.filters;
    struct filter_view filter;
    for (uint32_t i = 0; i < view.count; i++) {
        bool more = codec_next_filter(&rest, true, &filter);
        must(more);
        codes[i] = i < max ? subscribe_one(client, &filter, view.subscription_id, &granted[i])
                           : refuse_filter(client, "max_subscribe_filters");
        log_subscribe(client, filter.filter, codes[i]);
    }
    acknowledge(client, MQTT_SUBACK, view.packet_id, codes, view.count);
    for (uint32_t i = 0; i < max; i++)
        if (granted[i].wants_retained)
            session_walk_start(client->session, granted[i].filter, granted[i].handle,
                               view.subscription_id, granted[i].options);
    mem_free(codes);
    mem_free(granted);
    return OK;
}

err_t
client_on_unsubscribe(struct client *client, const struct frame *frame)
{
    struct unsubscribe_view view;
    err_t err = codec_unsubscribe(frame, client->version, &view);
    if (err)
        return err;
    uint8_t *codes = mem_alloc(view.count);
    struct slice rest = view.filters;
    struct filter_view filter;
    for (uint32_t i = 0; i < view.count; i++) {
        bool more = codec_next_filter(&rest, false, &filter);
        must(more);
        struct share_filter share;
        err = topic_share_split(filter.filter, &share);
        if (err == OK &&
            !rights_allow_filter(client->session->rights, ACL_UNSUBSCRIBE, share.filter))
            err = ERR_NOT_AUTHORIZED;
        if (err)
            codes[i] = failure_code(client, err);
        else if (session_unsubscribe(client->session, share.filter, share.group))
            codes[i] = REASON_SUCCESS;
        else
            codes[i] = REASON_NO_SUBSCRIPTION_EXISTED;
        if (log_wants(client->shard->log, LOG_T_UNSUBSCRIBE))
            log_line(client->shard->log, LOG_T_UNSUBSCRIBE, "%s %.*s", client->session->id,
                     (int)min_u32(filter.filter.len, 256), (const char *)filter.filter.data);
    }
    acknowledge(client, MQTT_UNSUBACK, view.packet_id, codes, view.count);
    mem_free(codes);
    return OK;
}
