// json_content.h - properties of a message as a JSON object, both ways.
//
// Job:    {"payload_format":1,"content_type":"...","response_topic":"...",
//         "correlation_data_base64":"...","user_properties":[["name","value"]]}, keys in the
//         order of the packet. Thread: any. Memory: what is returned. Private to persist/json*.c.
// Limits: those of the protocol.
#ifndef TERN_PERSIST_JSON_CONTENT_H
#define TERN_PERSIST_JSON_CONTENT_H

#include <jansson.h>

#include "core/base/base.h"

// Returns new; NULL: the bytes are such that content_encode would not give the same ones.
json_t *content_decode(struct slice props);
// The bytes, new (mem_free them; NULL when there are none). False: ret_problem says what is wrong;
// nothing is returned.
bool content_encode(const json_t *object, struct slice *ret_props, const char **ret_problem);

// Strings of JSON and bytes. json_text borrows from the string.
struct slice json_text(const json_t *string);
json_t *json_string_of(struct slice text);  // returns new; NULL: not UTF-8
json_t *json_base64_of(struct slice bytes); // returns new
// Decodes a string, new (mem_free it; never NULL). False: it is no base64, nothing is returned.
bool json_base64_bytes(const json_t *string, struct slice *ret_bytes);

#endif
