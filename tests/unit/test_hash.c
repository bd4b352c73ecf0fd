// test_hash.c - the keyed hash: determinism, key dependence, avalanche, collisions.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"

static const struct hash_key key_a = {0x0123456789abcdef, 0xfedcba9876543210};
static const struct hash_key key_b = {0x0123456789abcdef, 0xfedcba9876543211};
static const struct hash_key key_zero = {0, 0};

Test(hash, random_keys_differ)
{
    struct hash_key a, b;
    cr_assert_eq(hash_key_random(&a), OK);
    cr_assert_eq(hash_key_random(&b), OK);
    cr_assert(a.k0 != b.k0 && a.k1 != b.k1);
}

Test(hash, does_not_depend_on_alignment)
{
    _Alignas(8) uint8_t buf[256 + 8];
    uint8_t text[256];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof(text); len++) {
        uint64_t want = hash_bytes(&key_a, text, len);
        for (size_t shift = 1; shift < 8; shift++) {
            memset(buf, (int)shift, sizeof(buf));
            memcpy(buf + shift, text, len);
            cr_assert_eq(hash_bytes(&key_a, buf + shift, len), want);
        }
    }
}

Test(hash, reads_nothing_beyond_the_bytes)
{
    for (size_t len = 0; len <= 64; len++) { // exact allocations, for the address sanitizer
        uint8_t *exact = malloc(len + (len == 0));
        memset(exact, 7, len);
        (void)hash_bytes(&key_a, exact, len);
        free(exact);
    }
    cr_assert_eq(hash_bytes(&key_a, NULL, 0), hash_bytes(&key_a, "", 0));
}

Test(hash, every_key_bit_matters)
{
    for (size_t len = 0; len < 50; len++) {
        char text[50] = {0};
        for (unsigned bit = 0; bit < 128; bit++) {
            struct hash_key key = key_a;
            *(bit < 64 ? &key.k0 : &key.k1) ^= UINT64_C(1) << bit % 64;
            cr_assert_neq(hash_bytes(&key, text, len), hash_bytes(&key_a, text, len));
            cr_assert_neq(hash_u64(&key, len), hash_u64(&key_a, len));
        }
    }
}

Test(hash, zeros_of_every_length_differ)
{
    static const uint8_t zeros[1024];
    static uint64_t seen[1024];
    const struct hash_key *keys[] = {&key_a, &key_b, &key_zero};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        for (size_t len = 0; len < 1024; len++) {
            seen[len] = hash_bytes(keys[k], zeros, len);
            for (size_t i = 0; i < len; i++)
                cr_assert_neq(seen[i], seen[len]);
        }
    }
}

// Flipping any one bit of the input flips each bit of the value about half of the time. (A single
// byte has too few values for statistics.)
Test(hash, avalanche)
{
    const struct hash_key *keys[] = {&key_a, &key_zero};
    static const size_t lens[] = {2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64};
    for (size_t l = 0; l < ARRAY_LEN(lens) * ARRAY_LEN(keys); l++) {
        const struct hash_key *key = keys[l % ARRAY_LEN(keys)];
        size_t len = lens[l / ARRAY_LEN(keys)];
        uint8_t text[64];
        uint64_t state = 42;
        for (size_t bit = 0; bit < len * 8; bit++) {
            unsigned flips[64] = {0};
            for (unsigned round = 0; round < 256; round++) {
                for (size_t i = 0; i < len; i++)
                    text[i] = (uint8_t)((state = state * 6364136223846793005u + 1) >> 56);
                uint64_t before = hash_bytes(key, text, len);
                text[bit / 8] ^= (uint8_t)(1u << bit % 8);
                uint64_t differ = before ^ hash_bytes(key, text, len);
                for (unsigned out = 0; out < 64; out++)
                    flips[out] += differ >> out & 1;
            }
            for (unsigned out = 0; out < 64; out++) // 128 expected, deviation 8
                cr_assert(flips[out] > 68 && flips[out] < 188, "len %zu bit %zu->%u: %u", len, bit,
                          out, flips[out]);
        }
    }
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

#define NAMES 1000000
static uint64_t names[NAMES];

Test(hash, a_million_client_names_do_not_collide)
{
    const struct hash_key *keys[] = {&key_a, &key_zero};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        for (unsigned i = 0; i < NAMES; i++) {
            char name[40];
            int len = snprintf(name, sizeof(name), "sensor-%u/room/%u", i, i % 7);
            names[i] = hash_bytes(keys[k], name, (size_t)len);
        }
        qsort(names, NAMES, sizeof(names[0]), compare_u64);
        for (unsigned i = 1; i < NAMES; i++)
            cr_assert_neq(names[i - 1], names[i]);
    }
}

// Names that a peer aims at one bucket under one key are spread again under another.
Test(hash, collisions_of_buckets_do_not_carry_over_to_another_key)
{
    unsigned found = 0, still = 0;
    for (uint64_t i = 0; found < 1000; i++) {
        if (hash_bytes(&key_a, &i, sizeof(i)) % 1024 != 0)
            continue;
        found++;
        still += hash_bytes(&key_b, &i, sizeof(i)) % 1024 == 0;
    }
    cr_assert_leq(still, 10); // 1 expected
}

Test(hash, both_halves_of_a_step_are_masked)
{
    // A half that meets its plain constant or plain key must not silence the other half.
    static const uint64_t lures[] = {0,
                                     UINT64_MAX,
                                     0x6a09e667f3bcc909,
                                     0xbb67ae8584caa73b,
                                     0x0123456789abcdef,
                                     0xfedcba9876543210};
    for (size_t i = 0; i < ARRAY_LEN(lures); i++) {
        for (unsigned half = 0; half < 2; half++) {
            uint64_t words[4] = {1, 1, 3, 4};
            words[half] = lures[i];
            uint64_t one = hash_bytes(&key_a, words, sizeof(words));
            words[!half] = 2;
            cr_assert_neq(one, hash_bytes(&key_a, words, sizeof(words)));
        }
    }
}

Test(hash, integers_hash_without_collision_and_spread_low_bits)
{
    unsigned bucket[256] = {0};
    for (unsigned i = 0; i < NAMES; i++) {
        names[i] = hash_u64(&key_a, i);
        bucket[names[i] % 256]++;
    }
    for (unsigned b = 0; b < 256; b++) // 3906 expected, deviation 62
        cr_assert(bucket[b] > 3500 && bucket[b] < 4300, "bucket %u: %u", b, bucket[b]);
    qsort(names, NAMES, sizeof(names[0]), compare_u64);
    for (unsigned i = 1; i < NAMES; i++)
        cr_assert_neq(names[i - 1], names[i]);
}
