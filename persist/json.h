// json.h - records as JSON, one object a line: for people, jq and grep.
//
// Job:    one record to a line and back; what was written reads as the same bytes of record_write.
// Owner:  none. Thread: any, one at a time for a stream.
// Memory: one line and its tree. Limits: a line of RECORD_BYTES_MAX bytes.
//
//   {"type":"session","session":12,"client_id":"lamp","user":null,"version":5, ...,"will":null}
//
// Every line has a "type" (session, subscription, message, queued, state, received, retained; of a
// journal also session_end, unsubscribe, released, retain_clear) and exactly the fields of
// json_fields.c; one that is not known is an error, so that a misspelt one is not lost. Times are
// RFC 3339 in UTC with milliseconds (or a number, ms since 1970), "never" where there is none.
// A payload is "payload" where it is text, else "payload_base64". MQTT 5 properties are an object
// in the order of the packet, "properties" (a retained message's "source" is one as well, who
// published it, where there were rules for that); what does not read back as the same bytes that
// way is "props_base64". Numbers beyond 2^63 - 1 are strings of digits. Sessions and retained
// messages of a cluster's node have a "claim" and a "stamp", by which nodes decide what is later.
#ifndef TERN_PERSIST_JSON_H
#define TERN_PERSIST_JSON_H

#include <stdio.h>

#include "core/record.h"
#include "persist/store.h"

#define JSON_PROBLEM_MAX STORE_PROBLEM_MAX

// Appends a line to out. ERR_IO: out refuses. ERR_MALFORMED: a text is not UTF-8 (a record that no
// client can have caused).
NODISCARD err_t json_write(FILE *out, const struct record *record);

// All lines of in, each a record to the sink, which borrows it until it returns; empty lines are
// left out. ERR_MALFORMED: "line N: what was found, what was expected". ERR_IO. What the sink
// returns if not OK.
NODISCARD err_t json_read(FILE *in, record_sink sink, void *arg,
                          char problem[static JSON_PROBLEM_MAX]);

#endif
