// client_limits.c - what a client meets at a limit.
#include "core/client_limits.h"

#include "core/address.h"
#include "core/admission.h"
#include "core/bans.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/mqtt.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/topic.h"

void
client_refused_by(struct client *client, const char *key)
{
    struct shard *shard = client->shard;
    must(client->magic == CLIENT_MAGIC && key != NULL);
    log_limited(shard->log, &shard->log_limits, shard->now_ms, LOG_T_NOTICE,
                "Client %s [%s]: refused because of %s.",
                client->session ? client->session->id : "<unknown>", client->peer, key);
}

err_t
client_check_connect_rate(struct client *client)
{
    struct shard *shard = client->shard;
    const struct admission_rates rates = {.all = shard->config->connect_rate,
                                          .address = shard->config->address_connect_rate};
    uint64_t address = rates.address ? address_parse(client->peer) : ADDRESS_NONE;
    const char *key = admission_connect(shard->broker->admission, address, &rates, shard->now_ms);
    if (likely(!key))
        return OK;
    stat_add(&shard->stats.refused_connect_rate, 1);
    client_refused_by(client, key);
    return ERR_CONNECT_RATE;
}

// Whom another node brings, it would bring again wherever it is sent: its session is here.
bool
client_refer(struct client *client, uint32_t packet_max)
{
    struct shard *shard = client->shard;
    struct cluster *cluster = shard->broker->cluster;
    if (!cluster || client->version != MQTT_5 || client->link == LINK_VISIT ||
        packet_max < CLIENT_REFERENCE_ROOM + NODE_REFERENCE_MAX)
        return false;
    return cluster->ops->refer(cluster, client->listener_index, shard_random(shard),
                               shard->reference);
}

err_t
client_check_drain(struct client *client, const struct connect_view *view)
{
    struct shard *shard = client->shard;
    struct drain *drain = &shard->broker->drain;
    if (likely(!drain_is_on(drain)))
        return OK;
    struct drain_view now;
    drain_look(drain, shard->now_ms, &now);
    if (!now.ends || (client->link == LINK_VISIT && !now.all))
        return OK;
    stat_add(&shard->stats.refused_draining, 1);
    client_refused_by(client, now.last ? "drain_time" : "ternmqctl drain");
    return client_refer(client, view->packet_max) ? ERR_USE_ANOTHER_SERVER : ERR_SERVER_BUSY;
}

err_t
client_check_bans(struct client *client, const struct connect_view *view)
{
    struct shard *shard = client->shard;
    const struct config *config = shard->config;
    struct bans *bans = shard->broker->bans;
    if (likely(config->flapping_max == 0 && bans_count(bans) == 0))
        return OK;
    const struct ban_rule rule = {.max = config->flapping_max,
                                  .window_ms = (uint64_t)config->flapping_window_s * 1000,
                                  .ban_ms = (uint64_t)config->flapping_ban_s * 1000};
    const struct ban_subject who = {.client_id = view->client_id,
                                    .user = view->has_user ? view->user : slice_of(NULL, 0),
                                    .address = address_parse(client->peer)};
    bool hit = bans_hit(bans, &who, shard->now_ms);
    if (!hit && bans_on_connect(bans, &who, &rule, shard->now_ms)) {
        hit = true;
        stat_add(&shard->stats.bans_made, 1);
        log_limited(shard->log, &shard->log_bans, shard->now_ms, LOG_T_WARNING,
                    "Warning: client %.*s [%s] is banned for %u s: more than %u CONNECTs in %u s "
                    "(flapping_max).",
                    (int)min_u32(who.client_id.len, 128), (const char *)who.client_id.data,
                    client->peer, config->flapping_ban_s, config->flapping_max,
                    config->flapping_window_s);
    }
    if (likely(!hit))
        return OK;
    stat_add(&shard->stats.refused_banned, 1);
    return ERR_BANNED;
}

bool
client_is_too_deep(struct client *client, struct slice topic)
{
    struct shard *shard = client->shard;
    uint32_t max = shard->config->topic_levels_max, levels = 1;
    must_hot(max >= 1 && max <= TOPIC_LEVELS_MAX);
    if (topic.len < max) // so many levels need so many bytes
        return false;
    for (uint32_t i = 0; i < topic.len; i++)
        levels += topic.data[i] == '/';
    if (levels <= max)
        return false;
    stat_add(&shard->stats.refused_topic_levels, 1);
    client_refused_by(client, "max_topic_levels");
    return true;
}

void
client_login_failed(struct client *client)
{
    struct shard *shard = client->shard;
    const struct config *config = shard->config;
    const struct ban_rule rule = {.max = config->login_failures_max,
                                  .window_ms = (uint64_t)config->login_failure_window_s * 1000,
                                  .ban_ms = (uint64_t)config->login_failure_ban_s * 1000};
    stat_add(&shard->stats.login_failures, 1);
    uint64_t address = address_parse(client->peer);
    if (!bans_on_login_failure(shard->broker->bans, address, &rule, shard->now_ms))
        return;
    stat_add(&shard->stats.bans_made, 1);
    char text[ADDRESS_TEXT_MAX];
    address_format(address, text);
    log_limited(shard->log, &shard->log_bans, shard->now_ms, LOG_T_WARNING,
                "Warning: address %s is banned for %u s: more than %u failed logins in %u s "
                "(max_login_failures).",
                text, config->login_failure_ban_s, config->login_failures_max,
                config->login_failure_window_s);
}
