// seal.c - datagrams that only members of the cluster can make, each taken once.
//
// Keys: extract(salt = cluster name, secret) -> expand("ternmq gossip hint") for the hint, and
// expand("ternmq gossip key" uuid incarnation boot) for each sender's life. The nonce is its
// counter. A sender is remembered only after one of its datagrams has opened: strangers leave
// nothing here.
#include "cluster/seal.h"

#include <wolfssl/options.h>
//
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include "cluster/wire_int.h"

#define SEAL_MAGIC  0x7365616cu
#define SEAL_FORMAT 1u
#define KEY_LEN     32u
#define NONCE_LEN   12u
#define HINT_LABEL  "ternmq gossip hint"
#define KEY_LABEL   "ternmq gossip key"
#define LIFE_AT     5u // in the head: uuid, incarnation, boot
#define LIFE_LEN    32u
#define TABLE_SIZE  ((size_t)SEAL_SENDERS_MAX * 2)

struct secret {
    uint8_t master[KEY_LEN];
    uint32_t hint;
};

struct sender {
    struct gossip_uuid uuid;
    uint64_t incarnation, boot;
    uint32_t hint; // of the secret that its key is from
    uint64_t highest;
    uint64_t window[SEAL_WINDOW / 64]; // bit n % SEAL_WINDOW: counter n was taken
    struct list used;                  // in seal->used, the latest last
    struct sender *next;               // in its row
    Aes aes;
};

struct seal {
    uint32_t magic;
    struct secret secrets[SEAL_SECRETS_MAX];
    uint32_t secret_count;
    uint8_t life[LIFE_LEN]; // our own, as in the head
    uint64_t counter;
    Aes aes;
    struct hash_key key;
    struct sender **rows; // by uuid
    struct list used;
    uint32_t sender_count;
    struct seal_stats stats;
};

// ---- Keys ---------------------------------------------------------------------------------------

static void
expand(const uint8_t master[KEY_LEN], const void *info, size_t info_len, uint8_t *ret, size_t len)
{
    int err = wc_HKDF_Expand(WC_SHA256, master, KEY_LEN, info, (word32)info_len, ret, (word32)len);
    must(err == 0); // the sizes are right, and nothing else can be wrong
}

// The key of a sender's life, as the head has it.
static void
set_key(Aes *aes, const struct secret *secret, const uint8_t life[LIFE_LEN])
{
    uint8_t info[sizeof KEY_LABEL - 1 + LIFE_LEN], key[KEY_LEN];
    memcpy(info, KEY_LABEL, sizeof KEY_LABEL - 1);
    memcpy(info + sizeof KEY_LABEL - 1, life, LIFE_LEN);
    expand(secret->master, info, sizeof info, key, sizeof key);
    int err = wc_AesGcmSetKey(aes, key, sizeof key);
    must(err == 0);
    mem_wipe(key, sizeof key);
}

err_t
seal_set_secrets(struct seal *seal, const struct seal_config *config)
{
    must(seal->magic == SEAL_MAGIC && config->secret_count <= SEAL_SECRETS_MAX);
    if (config->secret_count == 0)
        return ERR_CONFIG;
    for (uint32_t i = 0; i < config->secret_count; i++)
        if (config->secrets[i].len < SEAL_SECRET_MIN)
            return ERR_CONFIG;
    mem_wipe(seal->secrets, sizeof seal->secrets);
    seal->secret_count = config->secret_count;
    for (uint32_t i = 0; i < config->secret_count; i++) {
        struct secret *secret = &seal->secrets[i];
        uint8_t hint[4];
        int err = wc_HKDF_Extract(WC_SHA256, config->cluster_name.data, config->cluster_name.len,
                                  config->secrets[i].data, config->secrets[i].len, secret->master);
        must(err == 0);
        expand(secret->master, HINT_LABEL, sizeof HINT_LABEL - 1, hint, sizeof hint);
        secret->hint = get_u32(hint);
    }
    // The counter goes on: after a swap back, the first secret's nonces are still new ones.
    set_key(&seal->aes, &seal->secrets[0], seal->life);
    return OK;
}

// ---- Senders ------------------------------------------------------------------------------------

static struct sender **
row_of(const struct seal *seal, const struct gossip_uuid *uuid)
{
    return &seal->rows[hash_bytes(&seal->key, uuid->bytes, sizeof uuid->bytes) % TABLE_SIZE];
}

static struct sender *
find(const struct seal *seal, const struct gossip_uuid *uuid)
{
    struct sender *s = *row_of(seal, uuid);
    while (s && !gossip_uuid_equal(&s->uuid, uuid))
        s = s->next;
    return s;
}

static void
forget(struct seal *seal, struct sender *s)
{
    struct sender **at = row_of(seal, &s->uuid);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    list_remove(&s->used);
    wc_AesFree(&s->aes);
    mem_wipe(s, sizeof *s);
    mem_free(s);
    must(seal->sender_count > 0);
    seal->sender_count--;
}

static struct sender *
add(struct seal *seal, const struct gossip_uuid *uuid)
{
    if (seal->sender_count == SEAL_SENDERS_MAX) {
        seal->stats.forgotten++;
        forget(seal, container_of(seal->used.next, struct sender, used));
    }
    struct sender *s = mem_zalloc(sizeof *s), **row = row_of(seal, uuid);
    int err = wc_AesInit(&s->aes, NULL, INVALID_DEVID);
    must(err == 0);
    s->uuid = *uuid;
    list_init(&s->used);
    s->next = *row;
    *row = s;
    seal->sender_count++;
    return s;
}

// Was this counter taken, or may it have been?
static bool
replayed(const struct sender *s, uint64_t counter)
{
    if (counter > s->highest)
        return false;
    if (s->highest - counter >= SEAL_WINDOW)
        return true;
    return s->window[counter % SEAL_WINDOW / 64] >> (counter % 64) & 1;
}

static void
take(struct sender *s, uint64_t counter)
{
    must(!replayed(s, counter));
    if (counter > s->highest) {
        uint64_t steps = min_u64(counter - s->highest, SEAL_WINDOW);
        for (uint64_t i = 1; i <= steps; i++) {
            uint64_t n = s->highest + i; // when all go, it does not matter which is which
            s->window[n % SEAL_WINDOW / 64] &= ~(UINT64_C(1) << (n % 64));
        }
        s->highest = counter;
    }
    s->window[counter % SEAL_WINDOW / 64] |= UINT64_C(1) << (counter % 64);
}

// ---- Life ---------------------------------------------------------------------------------------

err_t
seal_new(const struct seal_config *config, struct seal **ret_seal)
{
    struct seal *seal = mem_zalloc(sizeof *seal);
    seal->magic = SEAL_MAGIC;
    list_init(&seal->used);
    seal->key = (struct hash_key){config->boot, config->incarnation};
    memcpy(seal->life, config->uuid.bytes, 16);
    put_u64(seal->life + 16, config->incarnation);
    put_u64(seal->life + 24, config->boot);
    int initialised = wc_AesInit(&seal->aes, NULL, INVALID_DEVID);
    must(initialised == 0 && config->incarnation > 0);
    err_t err = seal_set_secrets(seal, config);
    if (err != OK) {
        seal_free(seal);
        return err;
    }
    seal->rows = mem_zalloc(TABLE_SIZE * sizeof(struct sender *));
    *ret_seal = seal;
    return OK;
}

void
seal_free(struct seal *seal)
{
    if (!seal)
        return;
    must(seal->magic == SEAL_MAGIC);
    while (!list_empty(&seal->used))
        forget(seal, container_of(seal->used.next, struct sender, used));
    must(seal->sender_count == 0);
    mem_free(seal->rows);
    wc_AesFree(&seal->aes);
    mem_wipe(seal, sizeof *seal);
    mem_free(seal);
}

uint64_t
seal_cluster(struct slice cluster_name)
{
    static const uint8_t no_secret[] = "ternmq cluster";
    uint8_t digest[KEY_LEN];
    int err = wc_HKDF_Extract(WC_SHA256, cluster_name.data, cluster_name.len, unconst(no_secret),
                              sizeof no_secret - 1, digest);
    must(err == 0);
    return get_u64(digest);
}

const struct seal_stats *
seal_stats(const struct seal *seal)
{
    return &seal->stats;
}

// ---- Sealing and opening ------------------------------------------------------------------------

uint32_t
seal_close(struct seal *seal, struct slice message, uint8_t ret[GOSSIP_DATAGRAM_MAX])
{
    uint8_t nonce[NONCE_LEN] = {0};
    must(seal->magic == SEAL_MAGIC && message.len > 0 && message.len <= GOSSIP_PLAIN_MAX);
    must(seal->counter < UINT64_MAX);
    seal->counter++;
    ret[0] = SEAL_FORMAT;
    put_u32(ret + 1, seal->secrets[0].hint);
    memcpy(ret + LIFE_AT, seal->life, LIFE_LEN);
    put_u64(ret + LIFE_AT + LIFE_LEN, seal->counter);
    put_u64(nonce + 4, seal->counter);
    int err =
        wc_AesGcmEncrypt(&seal->aes, ret + SEAL_HEAD, message.data, message.len, nonce,
                         sizeof nonce, ret + SEAL_HEAD + message.len, SEAL_TAG, ret, SEAL_HEAD);
    must(err == 0);
    return message.len + SEAL_OVERHEAD;
}

static err_t
refuse(uint64_t *counter)
{
    (*counter)++;
    return ERR_NOT_AUTHORIZED;
}

static const struct secret *
secret_of(const struct seal *seal, uint32_t hint)
{
    for (uint32_t i = 0; i < seal->secret_count; i++)
        if (seal->secrets[i].hint == hint)
            return &seal->secrets[i];
    return NULL;
}

static bool
decrypt(Aes *aes, struct slice datagram, uint8_t *room, struct slice *ret_message)
{
    uint8_t nonce[NONCE_LEN] = {0};
    uint32_t len = datagram.len - SEAL_OVERHEAD;
    memcpy(nonce + 4, datagram.data + LIFE_AT + LIFE_LEN, 8);
    *ret_message = slice_of(room, len);
    return wc_AesGcmDecrypt(aes, room, datagram.data + SEAL_HEAD, len, nonce, sizeof nonce,
                            datagram.data + SEAL_HEAD + len, SEAL_TAG, datagram.data,
                            SEAL_HEAD) == 0;
}

// The datagram of a sender whose life, or whose secret, is not the one that we have a key for.
static bool
decrypt_new(const struct secret *secret, struct slice datagram, uint8_t *room,
            struct slice *ret_message)
{
    Aes aes;
    int err = wc_AesInit(&aes, NULL, INVALID_DEVID);
    must(err == 0);
    set_key(&aes, secret, datagram.data + LIFE_AT);
    bool good = decrypt(&aes, datagram, room, ret_message);
    wc_AesFree(&aes);
    mem_wipe(&aes, sizeof aes);
    return good;
}

// It has opened: a new sender, a new life, or another secret in the same life.
static struct sender *
remember(struct seal *seal, struct sender *s, const struct seal_opened *opened, uint64_t boot)
{
    if (!s)
        s = add(seal, &opened->uuid);
    if (s->incarnation != opened->incarnation) {
        must(opened->incarnation > s->incarnation);
        s->incarnation = opened->incarnation;
        s->boot = boot;
        s->highest = 0;
        memset(s->window, 0, sizeof s->window);
    }
    return s;
}

err_t
seal_open(struct seal *seal, struct slice datagram, uint8_t room[GOSSIP_PLAIN_MAX],
          struct seal_opened *ret_opened)
{
    must(seal->magic == SEAL_MAGIC);
    if (datagram.len <= SEAL_OVERHEAD || datagram.len > GOSSIP_PLAIN_MAX + SEAL_OVERHEAD ||
        datagram.data[0] != SEAL_FORMAT)
        return refuse(&seal->stats.malformed);
    const struct secret *secret = secret_of(seal, get_u32(datagram.data + 1));
    const uint8_t *life = datagram.data + LIFE_AT;
    if (!secret)
        return refuse(&seal->stats.strangers);
    memcpy(ret_opened->uuid.bytes, life, 16);
    ret_opened->incarnation = get_u64(life + 16);
    uint64_t boot = get_u64(life + 24), counter = get_u64(life + LIFE_LEN);
    if (ret_opened->incarnation == 0 || counter == 0)
        return refuse(&seal->stats.malformed);

    struct sender *s = find(seal, &ret_opened->uuid);
    bool same_life = s && s->incarnation == ret_opened->incarnation && s->boot == boot;
    if (same_life && replayed(s, counter))
        return refuse(&seal->stats.replayed);
    bool good = same_life && s->hint == secret->hint
                    ? decrypt(&s->aes, datagram, room, &ret_opened->message)
                    : decrypt_new(secret, datagram, room, &ret_opened->message);
    if (!good)
        return refuse(&seal->stats.forged);
    // From here on it is from somebody who has the secret.
    if (s && ret_opened->incarnation < s->incarnation)
        return refuse(&seal->stats.stale);
    if (s && ret_opened->incarnation == s->incarnation && !same_life)
        return refuse(&seal->stats.clones);
    s = remember(seal, s, ret_opened, boot);
    if (!same_life || s->hint != secret->hint) {
        set_key(&s->aes, secret, life);
        s->hint = secret->hint;
    }
    take(s, counter);
    list_remove(&s->used);
    list_push(&seal->used, &s->used);
    seal->stats.opened++;
    return OK;
}
