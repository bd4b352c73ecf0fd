// fuzz_hook.c - any bytes as the HTTP service's answer: nothing that is no yes lets anybody in, and
// rules that come with one hold.
//
// The first byte is the form of the answer (a bit) and its status; the rest is its body.
#include <jansson.h>

#include "core/base/utf8.h"

#include "core/access/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Any rights are good as long as they can be asked.
static void
use_rules(struct acl *acl, struct slice user)
{
    struct rights *rights = rights_new(acl, user, slice_str("sensor-1"));
    for (int round = 0; round < 2; round++) {
        (void)rights_allow(rights, ACL_PUBLISH, slice_str("a/sensor-1/b"));
        (void)rights_allow(rights, ACL_RECEIVE, slice_str("$SYS/broker"));
        (void)rights_allow_filter(rights, ACL_SUBSCRIBE, slice_str("a/+/#"));
    }
    must(rights_allow_filter(rights, ACL_UNSUBSCRIBE, slice_str("a/+/#")));
    rights_free(rights);
}

// A yes has to be spelled out, or to be no answer at all.
static void
check_allowed(enum auth_http_response form, long status, struct slice body)
{
    must(status >= 200 && status < 300);
    if (form == AUTH_HTTP_STATUS || status == 204 || body.len == 0)
        return;
    must(status == 200);
    json_t *object = json_loadb((const char *)body.data, body.len, 0, NULL);
    must(object != NULL);
    const char *result = json_string_value(json_object_get(object, "result"));
    bool ok =
        json_is_true(json_object_get(object, "Ok")) || json_is_true(json_object_get(object, "ok"));
    must(result ? strcmp(result, "allow") == 0 : ok);
    json_decref(object);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 204, 404, 500, 201, 301, 429, 0};
    if (size == 0)
        return 0;
    enum auth_http_response form = data[0] & 1 ? AUTH_HTTP_STATUS : AUTH_HTTP_SAYS;
    long status = statuses[data[0] >> 1 & 7];
    struct slice body = slice_of(data + 1, size - 1);
    struct http_reply reply;
    http_reply_read(form, status, body, &reply);
    must((reply.problem != NULL) == (reply.verdict == HTTP_NO_SENSE));
    if (reply.verdict == HTTP_ALLOW) {
        check_allowed(form, status, body);
        must(!reply.user.data || (reply.user.len > 0 && utf8_valid(reply.user)));
        if (reply.acl)
            use_rules(reply.acl, reply.user);
    } else {
        must(!reply.superuser && !reply.user.data && !reply.acl && reply.expires_s == 0);
    }
    http_reply_clear(&reply);
    return 0;
}
