// wire.h - builds Control Packets of a client.
//
// Job:    integers, texts, properties, the fixed header; the finished packet goes to the broker.
// Owner:  none. Thread: any. Memory: until wire_end. Limits: none.
#ifndef TERN_TESTS_SIM_WIRE_H
#define TERN_TESTS_SIM_WIRE_H

#include "tests/sim/sim_conn.h"

#define WIRE_HEAD 5u // room for the fixed header before the body

struct wire {
    struct sim_bytes body; // begins after WIRE_HEAD bytes
};

static inline struct wire
wire_begin(void)
{
    struct wire wire = {0};
    sim_append(&wire.body, "\0\0\0\0\0", WIRE_HEAD);
    return wire;
}

static inline void
wire_int(struct wire *wire, uint32_t value, uint32_t bytes)
{
    for (uint32_t i = bytes; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        sim_append(&wire->body, &byte, 1);
    }
}

static inline void
wire_varint(struct wire *wire, uint32_t value)
{
    do {
        uint32_t more = value > 127 ? 128 : 0;
        wire_int(wire, (value & 127) | more, 1);
        value >>= 7;
    } while (value > 0);
}

static inline void
wire_text(struct wire *wire, const char *text)
{
    wire_int(wire, (uint32_t)strlen(text), 2);
    sim_append(&wire->body, text, strlen(text));
}

// A property that has an integer.
static inline void
wire_prop(struct wire *wire, uint32_t id, uint32_t value, uint32_t bytes)
{
    wire_int(wire, id, 1);
    wire_int(wire, value, bytes);
}

// The properties as one block, which this frees.
static inline void
wire_props(struct wire *wire, struct wire *props)
{
    wire_varint(wire, props->body.len - WIRE_HEAD);
    sim_append(&wire->body, props->body.data + WIRE_HEAD, props->body.len - WIRE_HEAD);
    mem_free(props->body.data);
}

// The fixed header goes before the body; the packet goes to the broker.
static inline void
wire_end(struct wire *wire, struct sim_conn *conn, uint32_t first)
{
    uint32_t len = wire->body.len - WIRE_HEAD;
    struct wire head = {0};
    wire_int(&head, first, 1);
    wire_varint(&head, len);
    uint8_t *start = wire->body.data + WIRE_HEAD - head.body.len;
    memcpy(start, head.body.data, head.body.len);
    sim_feed(conn, start, head.body.len + len);
    mem_free(head.body.data);
    mem_free(wire->body.data);
}

#endif
