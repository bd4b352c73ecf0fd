// acl_json.h - rules for one client, as JSON.
//
// Job:    what tokens and services say that a client may do, in the two forms that EMQX knows:
//         {"pub": [FILTER...], "sub": [FILTER...], "all": [FILTER...]}, all of it allowed;
//         [{"permission": "allow" | "deny", "action": "publish" | "subscribe" | "all",
//           "topic": FILTER}...], of which the first that matches decides.
// Owner:  the caller. Thread: any. Memory: the compiled rules.
// Limits: acl.h's.
//
// What no rule allows is denied. Rules about subscribing say what may be received; what may be
// subscribed to follows from that. In a FILTER, ${clientid} or %c and ${username} or %u stand for
// the client's names; "eq FILTER" means the filter itself and not what it matches. "pub" and "sub"
// are actions, too; "topics" may have a list; qos and retain may be there where they leave nothing
// out. A rule that says more than this cannot be held, and is an error: to ignore its condition
// could allow too much.
#ifndef TERN_CORE_ACCESS_ACL_JSON_H
#define TERN_CORE_ACCESS_ACL_JSON_H

#include <jansson.h>

#include "core/acl.h"

// OK: returns new. ERR_MALFORMED: ret_problem says why, for a log line; it is a constant, and goes
// on from whose rules these are: "its acl has ...".
NODISCARD err_t acl_json_compile(const json_t *rules, struct acl **ret_acl,
                                 const char **ret_problem);

#endif
