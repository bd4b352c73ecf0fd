// about.c - what a node says of itself to all others, by gossip.
#include "cluster/about.h"

#include "core/broker.h"
#include "core/shard.h"

_Static_assert(ABOUT_META_MAX <= GOSSIP_META_MAX, "metadata fit");
_Static_assert(ABOUT_DIGEST_LEN <= GOSSIP_DIGEST_MAX, "a digest fits");

#define FLAG_NO_STORE 1u
#define KIND_VERSION  1u
#define FORM          1u

// ---- Metadata -----------------------------------------------------------------------------------

uint32_t
about_write_meta(bool no_store, const char *version, uint8_t ret[ABOUT_META_MAX])
{
    uint8_t len = (uint8_t)strnlen(version, NODE_VERSION_LEN);
    must(len > 0);
    ret[0] = no_store ? FLAG_NO_STORE : 0;
    ret[1] = KIND_VERSION;
    ret[2] = len;
    memcpy(ret + 3, version, len);
    return 3u + len;
}

bool
about_has_no_store(struct slice meta)
{
    return meta.len > 0 && (meta.data[0] & FLAG_NO_STORE);
}

void
about_version(struct slice meta, char ret_version[NODE_VERSION_LEN + 1])
{
    ret_version[0] = '\0';
    must(meta.len == 0 || meta.data);
    for (uint32_t at = 1; at + 2 <= meta.len;) {
        const uint8_t *field = meta.data + at;
        if (field[1] > meta.len - at - 2)
            return; // cut off
        if (field[0] == KIND_VERSION) {
            uint32_t len = min_u32(field[1], NODE_VERSION_LEN);
            memcpy(ret_version, field + 2, len);
            ret_version[len] = '\0';
            return;
        }
        at += 2u + field[1];
    }
}

// ---- The digest ---------------------------------------------------------------------------------

static uint8_t *
put(uint8_t *at, uint64_t number)
{
    uint32_t value = (uint32_t)min_u64(number, UINT32_MAX);
    for (unsigned i = 0; i < 4; i++)
        *at++ = (uint8_t)(value >> (24 - 8 * i));
    return at;
}

static uint32_t
take(const uint8_t **at)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value = value << 8 | *(*at)++;
    return value;
}

void
about_write_digest(const struct node_load *load, uint8_t ret[ABOUT_DIGEST_LEN])
{
    uint8_t *at = ret;
    *at++ = FORM;
    at = put(at, load->uptime_s);
    at = put(at, load->clients);
    at = put(at, load->in_rate);
    at = put(at, load->out_rate);
    must(at == ret + ABOUT_DIGEST_LEN);
}

bool
about_load(struct slice digest, struct node_load *ret_load)
{
    *ret_load = (struct node_load){0};
    if (digest.len < ABOUT_DIGEST_LEN || digest.data[0] != FORM)
        return false;
    const uint8_t *at = digest.data + 1;
    ret_load->uptime_s = take(&at);
    ret_load->clients = take(&at);
    ret_load->in_rate = take(&at);
    ret_load->out_rate = take(&at);
    must(at == digest.data + ABOUT_DIGEST_LEN);
    return true;
}

// ---- Our load -----------------------------------------------------------------------------------

// A PUBLISH that turned out to be none is taken back: a counter may go back a little.
static uint64_t
rate(uint64_t before, uint64_t now, uint64_t for_ms)
{
    return now > before && for_ms > 0 ? (now - before) * 1000 / for_ms : 0;
}

void
about_measure(struct about_meter *meter, const struct broker *broker, uint64_t now_ms,
              struct node_load *ret_load)
{
    uint64_t in = 0, out = 0, for_ms = now_ms - meter->at_ms;
    must(now_ms >= meter->at_ms && now_ms >= broker->started_ms);
    *ret_load = (struct node_load){.uptime_s = (now_ms - broker->started_ms) / 1000};
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct shard *shard = broker->shards[i];
        if (!shard)
            continue;
        const struct stats *stats = &shard->stats;
        ret_load->clients += stat_get(&stats->clients_connected);
        in += stat_get(&stats->publish_received);
        out += stat_get(&stats->publish_sent);
    }
    ret_load->in_rate = rate(meter->in, in, for_ms);
    ret_load->out_rate = rate(meter->out, out, for_ms);
    *meter = (struct about_meter){now_ms, in, out};
}
