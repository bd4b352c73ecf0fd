// json_text.h - JSON that others wrote, read strictly.
//
// Job:    a whole text to jansson's values, with no name twice in an object, and no deeper than
//         JSON_TEXT_DEPTH: what one reader takes, no other reads differently.
// Thread: any. Memory: jansson's, and that is wiped when it is freed: keys and passwords go
//         through here. Limits: JSON_TEXT_DEPTH; the length is the caller's business.
#ifndef TERN_CORE_ACCESS_JSON_TEXT_H
#define TERN_CORE_ACCESS_JSON_TEXT_H

#include <jansson.h>

#include "core/base/secret_file.h"

#define JSON_TEXT_DEPTH 16

// Returns new, for json_decref; NULL: problem says where and what, and is no sentence of the text.
json_t *json_text_read(struct slice text, struct file_problem *ret_problem);
// The text of a string value, borrowed from it; data NULL: value is NULL or no string.
struct slice json_text_of(const json_t *value);

#endif
