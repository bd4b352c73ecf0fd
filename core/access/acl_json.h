// acl_json.h - rules for one client, as JSON.
//
// Job:    [{"permission", "action", "topic"}...] as services and tokens for EMQX have it, compiled.
// Owner:  the caller. Thread: any. Memory: the compiled rules.
// Limits: acl.h's.
//
// permission: "allow", "deny". action: "publish" or "pub", "subscribe" or "sub", "all". topic, or
// topics with a list: a filter, or "eq " and a filter that is meant literally; ${clientid} and
// ${username} stand for the client's. The first rule that matches decides; what none matches is
// denied. qos and retain may be there where they leave nothing out. A rule that says more than this
// cannot be held, and is an error: to ignore its condition could allow too much.
#ifndef TERN_CORE_ACCESS_ACL_JSON_H
#define TERN_CORE_ACCESS_ACL_JSON_H

#include <jansson.h>

#include "core/acl.h"

// OK: returns new. ERR_MALFORMED: ret_problem says why, for a log line; it is a constant.
NODISCARD err_t acl_json_compile(const json_t *rules, struct acl **ret_acl,
                                 const char **ret_problem);

#endif
