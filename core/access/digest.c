// digest.c - SHA-256 and SHA-512 by wolfCrypt; HMAC and PBKDF2 with both pads hashed once.
#include "core/access/digest.h"

// Must be the first of wolfSSL's: how it was built.
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

#define BLOCK_MAX 128

// A hash that has taken some bytes.
struct state {
    enum digest kind;
    union {
        wc_Sha256 sha256;
        wc_Sha512 sha512;
    };
};

static void
state_begin(struct state *state, enum digest kind)
{
    state->kind = kind;
    int wrong =
        kind == DIGEST_SHA256 ? wc_InitSha256(&state->sha256) : wc_InitSha512(&state->sha512);
    must(wrong == 0);
}

static void
state_copy(struct state *to, struct state *from)
{
    to->kind = from->kind;
    int wrong = from->kind == DIGEST_SHA256 ? wc_Sha256Copy(&from->sha256, &to->sha256)
                                            : wc_Sha512Copy(&from->sha512, &to->sha512);
    must(wrong == 0);
}

static void
state_add(struct state *state, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    int wrong = state->kind == DIGEST_SHA256
                    ? wc_Sha256Update(&state->sha256, bytes.data, bytes.len)
                    : wc_Sha512Update(&state->sha512, bytes.data, bytes.len);
    must(wrong == 0);
}

// Ends it, too.
static void
state_finish(struct state *state, uint8_t *ret)
{
    int wrong = state->kind == DIGEST_SHA256 ? wc_Sha256Final(&state->sha256, ret)
                                             : wc_Sha512Final(&state->sha512, ret);
    must(wrong == 0);
    if (state->kind == DIGEST_SHA256)
        wc_Sha256Free(&state->sha256);
    else
        wc_Sha512Free(&state->sha512);
}

void
digest_of(enum digest kind, struct slice a, struct slice b, uint8_t *ret)
{
    struct state state;
    state_begin(&state, kind);
    state_add(&state, a);
    state_add(&state, b);
    state_finish(&state, ret);
    explicit_bzero(&state, sizeof state);
}

// ---- HMAC ---------------------------------------------------------------------------------------

// The key's two pads, hashed: what an HMAC costs besides its message, paid once for PBKDF2's many.
struct pads {
    struct state inner, outer;
};

static void
pads_begin(struct pads *pads, enum digest kind, struct slice key)
{
    uint8_t block[BLOCK_MAX] = {0}, pad[BLOCK_MAX];
    uint32_t block_len = kind == DIGEST_SHA256 ? 64 : 128;
    if (key.len > block_len)
        digest_of(kind, key, slice_of(NULL, 0), block);
    else if (key.len > 0)
        memcpy(block, key.data, key.len);
    for (uint32_t i = 0; i < block_len; i++)
        pad[i] = block[i] ^ 0x36;
    state_begin(&pads->inner, kind);
    state_add(&pads->inner, slice_of(pad, block_len));
    for (uint32_t i = 0; i < block_len; i++)
        pad[i] = block[i] ^ 0x5c;
    state_begin(&pads->outer, kind);
    state_add(&pads->outer, slice_of(pad, block_len));
    explicit_bzero(block, sizeof block);
    explicit_bzero(pad, sizeof pad);
}

static void
pads_hmac(struct pads *pads, struct slice a, struct slice b, uint8_t *ret)
{
    struct state state;
    state_copy(&state, &pads->inner);
    state_add(&state, a);
    state_add(&state, b);
    state_finish(&state, ret);
    state_copy(&state, &pads->outer);
    state_add(&state, slice_of(ret, digest_len(pads->outer.kind)));
    state_finish(&state, ret);
}

static void
pads_end(struct pads *pads)
{
    uint8_t rest[DIGEST_LEN_MAX];
    state_finish(&pads->inner, rest);
    state_finish(&pads->outer, rest);
    explicit_bzero(rest, sizeof rest);
    explicit_bzero(pads, sizeof *pads);
}

void
digest_hmac(enum digest kind, struct slice key, struct slice a, struct slice b, uint8_t *ret)
{
    struct pads pads;
    pads_begin(&pads, kind, key);
    pads_hmac(&pads, a, b, ret);
    pads_end(&pads);
}

void
digest_pbkdf2(enum digest kind, struct slice password, struct slice salt, uint32_t iterations,
              uint8_t *ret)
{
    must(iterations > 0);
    static const uint8_t first_block[] = {0, 0, 0, 1};
    const uint32_t len = digest_len(kind);
    must(len <= DIGEST_LEN_MAX);
    uint8_t u[DIGEST_LEN_MAX];
    struct pads pads;
    pads_begin(&pads, kind, password);
    pads_hmac(&pads, salt, slice_of(first_block, sizeof first_block), u);
    memcpy(ret, u, len);
    for (uint32_t i = 1; i < iterations; i++) {
        pads_hmac(&pads, slice_of(u, len), slice_of(NULL, 0), u);
        for (uint32_t j = 0; j < len; j++)
            ret[j] ^= u[j];
    }
    pads_end(&pads);
    explicit_bzero(u, sizeof u);
}

bool
digest_equal(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    uint8_t differs = 0;
    for (uint32_t i = 0; i < len; i++) {
        differs |= a[i] ^ b[i];
        __asm__ volatile("" : "+r"(differs)); // or a compiler may leave the loop early
    }
    return differs == 0;
}
