// tls_tickets.c - session tickets: AES-256-GCM under keys that come and go.
//
// A random 96-bit nonce is safe for 2^32 tickets under one key: at 500 handshakes a second, a
// hundred days. Random keys live for two hours; a file's key should live for days.
#include "io/tls_tickets.h"

#include <pthread.h>
#include <sys/random.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/coding.h>

#include "core/base/mem.h"

#define TICKETS_MAGIC    0x7469636bu
#define TICKETS_FILE_MAX 65536u
#define KEY_BYTES        32u

struct key {
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t secret[KEY_BYTES];
};
_Static_assert(sizeof(struct key) == 48, "a line of the file");

struct tls_tickets {
    uint32_t magic;
    bool random;
    uint32_t count;
    uint64_t next_ms; // random: when the next key comes
    pthread_mutex_t mutex;
    struct key keys[TLS_TICKET_KEYS_MAX]; // the first one seals
};

// ---- Keys ---------------------------------------------------------------------------------------

static err_t
take_key(struct tls_tickets *tickets, const char *path, uint32_t n, struct slice line,
         struct file_problem *problem)
{
    if (tickets->count == TLS_TICKET_KEYS_MAX)
        return file_fail(problem, "%s:%u: more than %u keys", path, n, TLS_TICKET_KEYS_MAX);
    struct key *key = &tickets->keys[tickets->count];
    static const uint8_t no_name[TLS_TICKET_NAME_BYTES];
    word32 len = sizeof *key;
    if (Base64_Decode(line.data, line.len, (byte *)key, &len) != 0 || len != sizeof *key ||
        memcmp(key->name, no_name, sizeof no_name) == 0)
        return file_fail(problem, "%s:%u: a ticket key is 48 random bytes in base64", path, n);
    for (uint32_t i = 0; i < tickets->count; i++)
        if (memcmp(tickets->keys[i].name, key->name, sizeof key->name) == 0)
            return file_fail(problem, "%s:%u: the key stands there twice", path, n);
    tickets->count++;
    return OK;
}

static err_t
load(struct tls_tickets *tickets, const char *path, struct file_problem *problem)
{
    struct secret_file file;
    err_t err = secret_file_read(path, TICKETS_FILE_MAX, &file, problem);
    if (err != OK)
        return err;
    struct slice rest = slice_of(file.data, file.len), line;
    for (uint32_t n = 1; err == OK && line_next(&rest, &line); n++)
        if (line.len > 0 && line.data[0] != '#')
            err = take_key(tickets, path, n, line, problem);
    secret_file_free(&file);
    if (err == OK && tickets->count == 0)
        err = file_fail(problem, "%s has no ticket key", path);
    return err;
}

static bool
random_bytes(void *to, size_t len)
{
    must(len <= 256); // up to there it comes whole
    return getrandom(to, len, 0) == (ssize_t)len;
}

// The newest key first. The one before the last goes, and with it what it sealed.
static bool
rotate(struct tls_tickets *tickets, uint64_t now_ms)
{
    must(tickets->random);
    struct key fresh;
    if (tickets->count > 0 && now_ms < tickets->next_ms)
        return true;
    if (!random_bytes(&fresh, sizeof fresh))
        return false;
    // Nobody came for two lives: the last key is too old, too.
    uint64_t life_ms = (uint64_t)TLS_TICKET_LIFE_S * 1000;
    bool stale = tickets->count > 0 && now_ms - tickets->next_ms >= life_ms;
    if (stale)
        explicit_bzero(tickets->keys, sizeof tickets->keys);
    tickets->keys[1] = tickets->keys[0];
    tickets->keys[0] = fresh;
    explicit_bzero(&fresh, sizeof fresh);
    tickets->count = tickets->count == 0 || stale ? 1 : 2;
    tickets->next_ms = now_ms + life_ms;
    return true;
}

err_t
tls_tickets_new(const char *path, struct tls_tickets **ret_tickets,
                struct file_problem *ret_problem)
{
    struct tls_tickets *tickets = mem_zalloc(sizeof *tickets);
    tickets->magic = TICKETS_MAGIC;
    tickets->random = path == NULL;
    must(pthread_mutex_init(&tickets->mutex, NULL) == 0);
    err_t err = path ? load(tickets, path, ret_problem) : OK;
    if (err != OK) {
        tls_tickets_free(tickets);
        return err;
    }
    *ret_tickets = tickets;
    return OK;
}

void
tls_tickets_free(struct tls_tickets *tickets)
{
    if (!tickets)
        return;
    must(tickets->magic == TICKETS_MAGIC);
    must(pthread_mutex_destroy(&tickets->mutex) == 0);
    explicit_bzero(tickets, sizeof *tickets);
    mem_free(tickets);
}

// A copy, so that the mutex is not held while something is computed. False: no such key.
static bool
find_key(struct tls_tickets *tickets, uint64_t now_ms, const uint8_t *name, struct key *ret_key,
         bool *ret_first)
{
    bool found = false;
    must(pthread_mutex_lock(&tickets->mutex) == 0);
    bool ready = !tickets->random || rotate(tickets, now_ms);
    for (uint32_t i = 0; ready && !found && i < tickets->count; i++) {
        if (name && memcmp(tickets->keys[i].name, name, TLS_TICKET_NAME_BYTES) != 0)
            continue;
        *ret_key = tickets->keys[i];
        *ret_first = i == 0;
        found = true;
    }
    must(pthread_mutex_unlock(&tickets->mutex) == 0);
    return found;
}

// ---- Tickets ------------------------------------------------------------------------------------

err_t
tls_ticket_seal(struct tls_tickets *tickets, uint64_t now_ms, uint8_t *data, uint32_t len,
                struct tls_ticket_head *ret_head)
{
    must(tickets->magic == TICKETS_MAGIC);
    struct key key;
    bool first;
    if (!random_bytes(ret_head->iv, sizeof ret_head->iv) ||
        !find_key(tickets, now_ms, NULL, &key, &first))
        return ERR_IO;
    memcpy(ret_head->name, key.name, sizeof ret_head->name);
    Aes aes;
    int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (rc == 0)
        rc = wc_AesGcmSetKey(&aes, key.secret, sizeof key.secret);
    if (rc == 0)
        rc = wc_AesGcmEncrypt(&aes, data, data, len, ret_head->iv, sizeof ret_head->iv,
                              ret_head->tag, sizeof ret_head->tag, ret_head->name,
                              sizeof ret_head->name);
    wc_AesFree(&aes);
    explicit_bzero(&aes, sizeof aes);
    explicit_bzero(&key, sizeof key);
    return rc == 0 ? OK : ERR_IO;
}

enum tls_ticket_answer
tls_ticket_open(struct tls_tickets *tickets, uint64_t now_ms, uint8_t *data, uint32_t len,
                const struct tls_ticket_head *head)
{
    must(tickets->magic == TICKETS_MAGIC);
    struct key key;
    bool first = false;
    if (!find_key(tickets, now_ms, head->name, &key, &first))
        return TICKET_UNKNOWN;
    Aes aes;
    int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (rc == 0)
        rc = wc_AesGcmSetKey(&aes, key.secret, sizeof key.secret);
    if (rc == 0)
        rc = wc_AesGcmDecrypt(&aes, data, data, len, head->iv, sizeof head->iv, head->tag,
                              sizeof head->tag, head->name, sizeof head->name);
    wc_AesFree(&aes);
    explicit_bzero(&aes, sizeof aes);
    explicit_bzero(&key, sizeof key);
    if (rc != 0)
        return TICKET_UNKNOWN;
    return first ? TICKET_GOOD : TICKET_OLD;
}
