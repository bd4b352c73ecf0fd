// http_reply.h - what the HTTP service answered.
//
// Job:    status and body to a verdict; whatever is not understood is one of its own.
// Owner:  the caller. Thread: any. Memory: the user's name and the rules of the answer.
// Limits: the caller's on the body; names of HTTP_USER_MAX bytes.
//
// 4xx: no (408 and 429 say that the service is busy). 200 or 204 without a body: yes. 200 with a
// JSON object: "result" is "allow", "deny" or "ignore" (EMQX's form), or "Ok" is true or false
// (that of mosquitto-go-auth); with neither, "ignore". With it may come "is_superuser", "user",
// "expire_at" and "acl"; other keys mean nothing here. With AUTH_HTTP_STATUS every 2xx is a yes,
// and the body is not looked at.
#ifndef TERN_CORE_ACCESS_HTTP_REPLY_H
#define TERN_CORE_ACCESS_HTTP_REPLY_H

#include "core/base/err.h"

#include "core/acl.h"
#include "core/config.h"

#define HTTP_USER_MAX 65535u // a UTF-8 Encoded String [MQTT-1.5.4]

enum http_verdict {
    HTTP_ALLOW,
    HTTP_DENY,
    HTTP_IGNORE,  // "not mine"
    HTTP_FAILED,  // the service says that it cannot: 5xx, 408, 429, a redirection
    HTTP_NO_SENSE // the answer is none
};

struct http_reply {
    enum http_verdict verdict;
    bool superuser;
    uint64_t expires_s;  // 0 = never
    struct slice user;   // mem_alloc'ed; data NULL = as asked
    struct acl *acl;     // with a reference; NULL = none
    const char *problem; // HTTP_NO_SENSE: for a log line; a constant
};

void http_reply_read(enum auth_http_response form, long status, struct slice body,
                     struct http_reply *ret_reply);
void http_reply_clear(struct http_reply *reply);

#endif
