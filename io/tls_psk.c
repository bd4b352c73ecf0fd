// tls_psk.c - pre-shared keys, sorted by identity.
#include "io/tls_psk.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/cluster.h"

#define PSK_MAGIC 0x70736b73u

struct entry {
    const char *identity; // in the file's bytes
    uint32_t line;
    uint8_t key_len;
    uint8_t key[TLS_PSK_KEY_MAX];
};

struct tls_psk {
    uint32_t magic;
    uint32_t count, cap;
    struct entry *entries;
    struct secret_file file; // its identities are cut out in place
};

static int
compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->identity, right->identity);
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
decode_key(struct slice hex, struct entry *entry)
{
    if (hex.len == 0 || hex.len % 2 != 0 || hex.len / 2 > TLS_PSK_KEY_MAX)
        return false;
    for (uint32_t i = 0; i < hex.len / 2; i++) {
        int high = hex_digit(hex.data[2 * (size_t)i]), low = hex_digit(hex.data[2 * (size_t)i + 1]);
        if (high < 0 || low < 0)
            return false;
        entry->key[i] = (uint8_t)(high << 4 | low);
    }
    entry->key_len = (uint8_t)(hex.len / 2);
    return true;
}

// The growing array is copied by hand: realloc would leave keys behind.
static struct entry *
entry_add(struct tls_psk *psk)
{
    if (psk->count == psk->cap) {
        uint32_t cap = psk->cap ? psk->cap * 2 : 16;
        struct entry *bigger = mem_zalloc(cap * sizeof *bigger);
        if (psk->entries) {
            memcpy(bigger, psk->entries, psk->count * sizeof *bigger);
            explicit_bzero(psk->entries, psk->count * sizeof *bigger);
        }
        mem_free(psk->entries);
        psk->entries = bigger;
        psk->cap = cap;
    }
    return &psk->entries[psk->count++];
}

static err_t
take_line(struct tls_psk *psk, const char *path, uint32_t n, struct slice line,
          struct file_problem *problem)
{
    // The last colon: a key has none, an identity may.
    const uint8_t *colon = line.len > 0 ? memrchr(line.data, ':', line.len) : NULL;
    if (!colon)
        return file_fail(problem, "%s:%u: identity:key expected", path, n);
    struct slice identity = slice_of(line.data, (size_t)(colon - line.data));
    if (identity.len == 0 || identity.len > TLS_PSK_IDENTITY_MAX || !utf8_valid(identity))
        return file_fail(problem, "%s:%u: an identity has 1 to %u bytes of UTF-8", path, n,
                         TLS_PSK_IDENTITY_MAX);
    struct entry *entry = entry_add(psk);
    if (!decode_key(slice_of(colon + 1, line.len - identity.len - 1), entry))
        return file_fail(problem, "%s:%u: a key has 2 to %u hexadecimal digits, an even number",
                         path, n, TLS_PSK_KEY_MAX * 2);
    psk->file.data[colon - psk->file.data] = '\0';
    entry->identity = (const char *)identity.data;
    entry->line = n;
    return OK;
}

static err_t
take_lines(struct tls_psk *psk, const char *path, struct file_problem *problem)
{
    struct slice rest = slice_of(psk->file.data, psk->file.len), line;
    for (uint32_t n = 1; line_next(&rest, &line); n++) {
        if (line.len == 0 || line.data[0] == '#')
            continue;
        err_t err = take_line(psk, path, n, line, problem);
        if (err != OK)
            return err;
    }
    if (psk->count == 0)
        return file_fail(problem, "%s has no identity:key line", path);
    qsort(psk->entries, psk->count, sizeof *psk->entries, compare);
    for (uint32_t i = 1; i < psk->count; i++) {
        const struct entry *a = &psk->entries[i - 1], *b = &psk->entries[i];
        if (compare(a, b) == 0)
            return file_fail(problem, "%s:%u: the identity stands in line %u, too", path,
                             max_u32(a->line, b->line), min_u32(a->line, b->line));
    }
    return OK;
}

err_t
tls_psk_load(const char *path, struct tls_psk **ret_psk, struct file_problem *ret_problem)
{
    must(path != NULL && ret_psk != NULL);
    struct tls_psk *psk = mem_zalloc(sizeof *psk);
    psk->magic = PSK_MAGIC;
    err_t err = secret_file_read(path, TLS_PSK_FILE_MAX, &psk->file, ret_problem);
    if (err == OK)
        err = take_lines(psk, path, ret_problem);
    if (err != OK) {
        tls_psk_free(psk);
        return err;
    }
    *ret_psk = psk;
    return OK;
}

struct tls_psk *
tls_psk_of_nodes(const struct node_keys *keys)
{
    must(keys->count > 0 && keys->count <= ARRAY_LEN(keys->keys));
    _Static_assert(NODE_KEY_LEN <= TLS_PSK_KEY_MAX && NODE_KEY_NAME_LEN <= TLS_PSK_IDENTITY_MAX,
                   "they fit");
    struct tls_psk *psk = mem_zalloc(sizeof *psk);
    psk->magic = PSK_MAGIC;
    psk->file.len = (uint32_t)(keys->count * sizeof keys->keys[0].identity);
    psk->file.data = mem_alloc(psk->file.len);
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct node_key *key = &keys->keys[i];
        uint8_t *identity = psk->file.data + i * sizeof key->identity;
        struct entry *entry = entry_add(psk);
        memcpy(identity, key->identity, sizeof key->identity);
        memcpy(entry->key, key->bytes, sizeof key->bytes);
        entry->identity = (const char *)identity;
        entry->key_len = sizeof key->bytes;
    }
    qsort(psk->entries, psk->count, sizeof *psk->entries, compare);
    return psk;
}

void
tls_psk_free(struct tls_psk *psk)
{
    if (!psk)
        return;
    must(psk->magic == PSK_MAGIC);
    if (psk->entries)
        explicit_bzero(psk->entries, psk->count * sizeof *psk->entries);
    mem_free(psk->entries);
    secret_file_free(&psk->file);
    psk->magic = 0;
    mem_free(psk);
}

uint32_t
tls_psk_count(const struct tls_psk *psk)
{
    must(psk->magic == PSK_MAGIC);
    return psk->count;
}

uint32_t
tls_psk_find(const struct tls_psk *psk, const char *identity, uint8_t ret_key[TLS_PSK_KEY_MAX])
{
    must(psk->magic == PSK_MAGIC);
    struct entry wanted = {.identity = identity};
    const struct entry *found = bsearch(&wanted, psk->entries, psk->count, sizeof wanted, compare);
    if (!found)
        return 0;
    must(found->key_len > 0 && found->key_len <= TLS_PSK_KEY_MAX);
    memcpy(ret_key, found->key, found->key_len);
    return found->key_len;
}
