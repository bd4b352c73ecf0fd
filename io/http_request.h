// http_request.h - the one HTTP request that a WebSocket connection begins with.
//
// Job:    reads a request's head, strictly: whatever two readers could understand differently is an
//         error (bare LF, folded lines, blanks before a colon, repeated fields that may stand
//         once).
// Owner:  the caller. Thread: any. Memory: none; everything is borrowed from the bytes.
// Limits: HTTP_FIELDS_MAX fields; the bytes are bounded by whoever collects them.
#ifndef TERN_IO_HTTP_REQUEST_H
#define TERN_IO_HTTP_REQUEST_H

#include "core/base/base.h"

#define HTTP_FIELDS_MAX 64u

struct http_field {
    struct slice name, value;
};

struct http_request {
    struct slice method, target; // target: as sent, with its query
    uint32_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

// How many bytes the head has, with its empty line; 0: its end is not there yet.
uint32_t http_head_len(struct slice bytes);
// head: as long as http_head_len says. 0: good; else the status to answer with.
unsigned http_request_parse(struct slice head, struct http_request *ret_request);
// The field's value, or data NULL when it is not there. *ret_count: how often it is.
struct slice http_field_find(const struct http_request *request, const char *name,
                             uint32_t *ret_count);
// Whether one of the comma separated words of all fields of this name is the word, in any case.
bool http_field_has(const struct http_request *request, const char *name, const char *word);
// The next of a field's comma separated words, without blanks. False at the end.
bool http_word_next(struct slice *rest, struct slice *ret_word);

#endif
