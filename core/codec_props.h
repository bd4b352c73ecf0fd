// codec_props.h - the properties of MQTT 5, by one table of rules.
//
// Job:    check a property section against the rules of the packet that carries it, and keep the
//         values; private to core/codec_*.c and trace_record.c.
// Owner:  the decoder's stack. Thread: any. Memory: none; slices borrow from the packet.
// Limits: none; linear in the section's length, however many properties it holds.
#ifndef TERN_CORE_CODEC_PROPS_H
#define TERN_CORE_CODEC_PROPS_H

#include "core/base/err.h"

#include "core/codec_reader.h"
#include "core/mqtt.h"

// Where a client may put a property. PUBACK, PUBREC, PUBREL and PUBCOMP have the same ones.
enum carrier {
    IN_CONNECT = 1 << 0,
    IN_WILL = 1 << 1,
    IN_PUBLISH = 1 << 2,
    IN_ACK = 1 << 3,
    IN_SUBSCRIBE = 1 << 4,
    IN_UNSUBSCRIBE = 1 << 5,
    IN_DISCONNECT = 1 << 6,
    IN_AUTH = 1 << 7,
};

#define PROP_COUNT (PROP_SHARED_AVAILABLE + 1)

// Values by property identifier; good only where seen has the identifier's bit, so that nobody pays
// for clearing them. User properties are checked, but found in raw alone.
struct props {
    uint64_t seen;
    struct slice raw; // the section without its length
    uint32_t number[PROP_COUNT];
    struct slice data[PROP_COUNT];
};

struct prop {
    uint8_t id; // enum mqtt_property
    uint32_t number;
    struct slice data, second; // second: a pair's value
};
// Takes one property off, by its type alone. False: unknown identifier (one of two bytes and more
// is unknown, too), or cut off.
bool codec_next_prop(struct reader *reader, struct prop *ret);

// Reads a property length and the properties. ERR_MALFORMED: cut off, identifier unknown, text that
// is not UTF-8. ERR_PROTOCOL: not allowed in this carrier, repeated, or a forbidden value (for
// which the table may name a more exact code).
NODISCARD err_t props_read(struct reader *reader, enum carrier carrier, struct props *ret);

static inline bool
props_has(const struct props *props, enum mqtt_property id)
{
    return (props->seen >> id & 1) != 0;
}

static inline uint32_t
props_number(const struct props *props, enum mqtt_property id, uint32_t absent)
{
    return props_has(props, id) ? props->number[id] : absent;
}

// data is NULL when the property is absent.
static inline struct slice
props_data(const struct props *props, enum mqtt_property id)
{
    return props_has(props, id) ? props->data[id] : (struct slice){0};
}

#endif
