// about.c - what a node says of itself to all others, by gossip.
#include "cluster/about.h"

#include "cluster/wire_int.h"
#include "core/advertised.h"
#include "core/broker.h"
#include "core/cluster.h"
#include "core/shard.h"

_Static_assert(ABOUT_META_MAX <= GOSSIP_META_MAX, "metadata fit");
_Static_assert(ABOUT_DIGEST_LEN <= GOSSIP_DIGEST_MAX, "a digest fits");

#define FLAG_NO_STORE   1u
#define FLAG_DRAINS     2u
#define FLAG_GIVEN_UP   4u
#define FLAG_FORGOTTEN  8u // others say so for it
#define KIND_VERSION    1u
#define KIND_ADVERTISED 2u
#define FORM            1u

// ---- Metadata -----------------------------------------------------------------------------------

static uint32_t
put_field(uint8_t *at, uint8_t kind, struct slice bytes)
{
    must(bytes.len > 0 && bytes.len <= UINT8_MAX);
    at[0] = kind;
    at[1] = (uint8_t)bytes.len;
    memcpy(at + 2, bytes.data, bytes.len);
    return 2 + bytes.len;
}

uint32_t
about_write_meta(const struct about_self *self, uint8_t ret[ABOUT_META_MAX])
{
    must(self->advertised_len <= NODE_ADVERTISED_MAX);
    struct slice version = slice_of(self->version, strnlen(self->version, NODE_VERSION_LEN));
    ret[0] = (self->no_store ? FLAG_NO_STORE : 0) | (self->draining ? FLAG_DRAINS : 0) |
             (self->given_up ? FLAG_GIVEN_UP : 0);
    uint32_t len = 1 + put_field(ret + 1, KIND_VERSION, version);
    if (self->advertised_len > 0)
        len +=
            put_field(ret + len, KIND_ADVERTISED, slice_of(self->advertised, self->advertised_len));
    must(len <= ABOUT_META_MAX);
    return len;
}

void
about_begin(const struct config *config, struct about_self *ret)
{
    *ret = (struct about_self){.version = TERN_VERSION};
    bool fits = advertised_write(config, ret->advertised, &ret->advertised_len);
    must(fits); // or the configuration would have been refused
}

bool
about_follow(struct about_self *self, const struct broker *broker)
{
    bool drained = self->draining, given_up = self->given_up;
    struct move_view view = {.state = ""};
    if (broker->cluster)
        broker->cluster->ops->move_view(broker->cluster, &view);
    self->draining = drain_is_on(&broker->drain);
    self->given_up = strcmp(view.state, "done") == 0;
    return self->draining != drained || self->given_up != given_up;
}

bool
about_has_nothing(struct slice meta)
{
    return meta.len > 0 && (meta.data[0] & (FLAG_NO_STORE | FLAG_GIVEN_UP));
}

bool
about_is_forgotten(struct slice meta)
{
    return meta.len > 0 && (meta.data[0] & FLAG_FORGOTTEN);
}

uint32_t
about_forget(struct slice meta, uint8_t ret[GOSSIP_META_MAX])
{
    must(meta.len <= GOSSIP_META_MAX);
    if (meta.len > 0)
        memcpy(ret, meta.data, meta.len);
    else
        ret[0] = 0;
    ret[0] |= FLAG_GIVEN_UP | FLAG_FORGOTTEN;
    must(about_is_forgotten(slice_of(ret, 1)) && about_has_nothing(slice_of(ret, 1)));
    return max_u32(meta.len, 1);
}

bool
about_drains(struct slice meta)
{
    return meta.len > 0 && (meta.data[0] & FLAG_DRAINS);
}

// The first field of that kind. Len 0: there is none.
static struct slice
find_field(struct slice meta, uint8_t kind)
{
    must(meta.len == 0 || meta.data);
    for (uint32_t at = 1; at + 2 <= meta.len;) {
        const uint8_t *field = meta.data + at;
        if (field[1] > meta.len - at - 2)
            break; // cut off
        if (field[0] == kind)
            return slice_of(field + 2, field[1]);
        at += 2u + field[1];
    }
    return slice_of(NULL, 0);
}

void
about_version(struct slice meta, char ret_version[NODE_VERSION_LEN + 1])
{
    struct slice version = find_field(meta, KIND_VERSION);
    uint32_t len = min_u32(version.len, NODE_VERSION_LEN);
    if (len > 0)
        memcpy(ret_version, version.data, len);
    ret_version[len] = '\0';
}

struct slice
about_advertised(struct slice meta)
{
    struct slice advertised = find_field(meta, KIND_ADVERTISED);
    return advertised.len <= NODE_ADVERTISED_MAX ? advertised : slice_of(NULL, 0);
}

// ---- The digest ---------------------------------------------------------------------------------

static uint8_t *
put(uint8_t *at, uint64_t number)
{
    put_u32(at, (uint32_t)min_u64(number, UINT32_MAX));
    return at + 4;
}

static uint32_t
take(const uint8_t **at)
{
    uint32_t value = get_u32(*at);
    *at += 4;
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
        ret_load->clients += stat_get(&shard->stats.clients_connected);
        for (unsigned k = 0; k < ARRAY_LEN(shard->listeners); k++) {
            in += stat_get(&shard->listeners[k].publish_received);
            out += stat_get(&shard->listeners[k].publish_sent);
        }
    }
    ret_load->in_rate = rate(meter->in, in, for_ms);
    ret_load->out_rate = rate(meter->out, out, for_ms);
    *meter = (struct about_meter){now_ms, in, out};
}
