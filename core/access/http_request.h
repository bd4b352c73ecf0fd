// http_request.h - a question as the body of an HTTP request, and as a key.
//
// Job:    which fields the service is told, and how they are written: JSON, or a form.
// Owner:  the caller. Thread: any. Memory: one allocation for a body, wiped when it is freed.
// Limits: HTTP_QUESTION_MAX bytes of texts; the caller looks first.
#ifndef TERN_CORE_ACCESS_HTTP_REQUEST_H
#define TERN_CORE_ACCESS_HTTP_REQUEST_H

#include "core/access.h"
#include "core/config.h"

#define HTTP_QUESTION_MAX 65536u // user name, password, topic: long ones are no longer names
#define HTTP_DIGEST_SIZE  32

enum http_ask { HTTP_ASK_USER, HTTP_ASK_SUPERUSER, HTTP_ASK_ACL, HTTP_ASKS };

// The listener that a client came by, as the configuration has it. Borrowed.
struct http_place {
    const char *listener;    // "8883", "8883 127.0.0.1", "/run/mqtt.sock"
    const char *mount_point; // NULL = none
};

struct http_body {
    uint8_t *data;
    uint32_t len;
};

// So many bytes of texts are told of.
uint32_t http_question_size(const struct access_question *question);
// Returns new.
struct http_body http_body_new(const struct access_question *question, enum http_ask ask,
                               const struct http_place *place, enum auth_http_request form);
void http_body_free(struct http_body *body); // wipes, frees; a zeroed one is fine

// A keyed digest (HMAC-SHA-256) of all that http_body_new would tell: equal questions have equal
// ones, and a password cannot be found out from it. key: HTTP_DIGEST_SIZE random bytes.
void http_question_digest(const struct access_question *question, enum http_ask ask,
                          const struct http_place *place, const uint8_t *key, uint8_t *ret_digest);

#endif
