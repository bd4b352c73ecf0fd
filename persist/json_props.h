// json_props.h - the properties of a message, one by one.
//
// Job:    walk MQTT 5 properties that did not come by a connection: from a file or an import.
// Thread: any. Memory: none; slices borrow from the bytes. Limits: those of the protocol.
#ifndef TERN_PERSIST_JSON_PROPS_H
#define TERN_PERSIST_JSON_PROPS_H

#include "core/base/err.h"

struct msg_prop {
    uint8_t id;                // enum mqtt_property
    uint32_t number;           // byte, integers
    struct slice text, second; // string, binary data; second: a user property's value
    struct slice raw;          // identifier included
};

// Takes the next property of a PUBLISH off *rest (no length before them). ERR_NEED_MORE: there is
// none left. ERR_MALFORMED: cut short, or no property of a PUBLISH.
NODISCARD err_t msg_prop_next(struct slice *rest, struct msg_prop *ret);
// Those that a subscriber gets, in order, as codec_forward_props leaves them. dst has room for
// raw.len. ERR_MALFORMED as above.
NODISCARD err_t msg_props_forward(struct slice raw, uint8_t *dst, uint32_t *ret_len);
// Are these what core may keep as a message's properties? Forwardable ones alone, at most one of
// each but user properties, with values that a publisher could have sent.
bool msg_props_valid(struct slice props);

#endif
