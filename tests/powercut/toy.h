// toy.h - what toy_writer puts into its environment and toy_checker wants to see there.
//
// Job: the value that belongs to a number, so that every byte can be checked.
// Thread: any; no state.
#ifndef TESTS_POWERCUT_TOY_H
#define TESTS_POWERCUT_TOY_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TOY_MAP_BYTES ((size_t)64 << 20)
#define TOY_RING      ((uint64_t)1 << 32) // keys from here on are the ring's

enum { TOY_VALUE_BYTES_MAX = 16384, TOY_RING_SLOTS = 16 };

// Fills bytes with the value of number in table 0 (small ones) or 1 (up to three overflow pages)
// and returns its length. It begins with the number.
static inline size_t
toy_value(unsigned table, uint64_t number, unsigned char bytes[TOY_VALUE_BYTES_MAX])
{
    uint64_t state = number * 2 + table + 1;
    size_t n = sizeof number + (size_t)(number * 7919 % (table == 0 ? 900 : 11000));

    memcpy(bytes, &number, sizeof number);
    for (size_t i = sizeof number; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state >> 56);
    }
    return n;
}

#endif
