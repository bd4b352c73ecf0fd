// store_items.h - what store_writer marks and store_checker finds: the same names, the same bytes.
//
// Job:    names of items; payloads that tell whether they are whole. Thread: any.
#ifndef TERN_TESTS_POWERCUT_STORE_STORE_ITEMS_H
#define TERN_TESTS_POWERCUT_STORE_STORE_ITEMS_H

#include <stdio.h>

#include "core/base/mem.h"

#define STORE_NAME  "store.db"
#define ITEM_BYTES  64
#define PAYLOAD_MAX 400000u // more than a blob of the log

// Sizes of all orders, from the number alone.
static inline uint32_t
item_payload_len(uint64_t number)
{
    if (number % 50 == 49)
        return PAYLOAD_MAX;
    return number % 7 == 6 ? 5000 : (uint32_t)(number * 37 % 200);
}

static inline uint8_t
item_byte(uint64_t number, uint32_t i)
{
    return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static inline void
item_entry(char ret[static ITEM_BYTES], uint64_t session, uint64_t seq)
{
    (void)snprintf(ret, ITEM_BYTES, "enq %llu %llu", (unsigned long long)session,
                   (unsigned long long)seq);
}

static inline void
item_subscription(char ret[static ITEM_BYTES], uint64_t session, uint32_t ordinal)
{
    (void)snprintf(ret, ITEM_BYTES, "sub %llu %u", (unsigned long long)session, ordinal);
}

static inline void
item_received(char ret[static ITEM_BYTES], uint64_t session, unsigned packet_id)
{
    (void)snprintf(ret, ITEM_BYTES, "rcv %llu %u", (unsigned long long)session, packet_id);
}

static inline void
item_retained(char ret[static ITEM_BYTES], const char *topic, uint64_t order)
{
    (void)snprintf(ret, ITEM_BYTES, "ret %s %llu", topic, (unsigned long long)order);
}

static inline void
item_session(char ret[static ITEM_BYTES], uint64_t session)
{
    (void)snprintf(ret, ITEM_BYTES, "ses %llu", (unsigned long long)session);
}

#endif
