// jwt_acl.h - what a token lets its client do.
//
// Job:    rules from the claim, in the two forms that EMQX knows:
//         {"pub": [FILTER...], "sub": [FILTER...], "all": [FILTER...]}
//         [{"permission": "allow" | "deny", "action": "publish" | "subscribe" | "all",
//           "topic": FILTER}...], of which the first that matches decides
// Owner:  the caller. Thread: any. Memory: the rules.
// Limits: those of the token.
//
// What no rule allows is denied. What may be subscribed to follows from what may be received. In a
// FILTER, ${clientid} or %c and ${username} or %u stand for the client's names. A rule that asks
// for more than this (a QoS, say) is an error, because without that it would allow too much.
#ifndef TERN_CORE_ACCESS_JWT_ACL_H
#define TERN_CORE_ACCESS_JWT_ACL_H

#include <jansson.h>

#include "core/acl.h"

// OK: returns new. ERR_BAD_CREDENTIALS: why says what is wrong.
NODISCARD err_t jwt_acl_compile(const json_t *claim, struct acl **ret_acl, const char **ret_why);

#endif
