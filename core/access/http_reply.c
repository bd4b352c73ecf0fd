// http_reply.c - what the HTTP service answered.
#include "core/access/http_reply.h"

#include <jansson.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access/acl_json.h"

static bool
is(const json_t *value, const char *text)
{
    const char *string = json_string_value(value);
    return string && strcmp(string, text) == 0 && json_string_length(value) == strlen(text);
}

// true, "true", 1, "1" and their opposites: services are written in many languages.
static bool
read_bool(const json_t *value, bool *ret_bool)
{
    json_int_t number = json_integer_value(value);
    bool yes = json_is_true(value) || is(value, "true") || is(value, "1") ||
               (json_is_integer(value) && number == 1);
    bool no = json_is_false(value) || is(value, "false") || is(value, "0") ||
              (json_is_integer(value) && number == 0);
    *ret_bool = yes;
    return yes || no;
}

static enum http_verdict
verdict_of(const json_t *object)
{
    const json_t *result = json_object_get(object, "result");
    const json_t *ok = json_object_get(object, "Ok");
    if (!ok)
        ok = json_object_get(object, "ok");
    if (result)
        return is(result, "allow")    ? HTTP_ALLOW
               : is(result, "deny")   ? HTTP_DENY
               : is(result, "ignore") ? HTTP_IGNORE
                                      : HTTP_NO_SENSE;
    if (!ok)
        return HTTP_IGNORE;
    return json_is_true(ok) ? HTTP_ALLOW : json_is_false(ok) ? HTTP_DENY : HTTP_NO_SENSE;
}

static const char *
read_user(const json_t *value, struct slice *ret_user)
{
    if (!value || json_is_null(value))
        return NULL;
    struct slice user = slice_of(json_string_value(value), json_string_length(value));
    if (!user.data || user.len == 0 || user.len > HTTP_USER_MAX || !utf8_valid(user))
        return "user is not a name";
    *ret_user = slice_of(mem_strndup(user.data, user.len), user.len);
    return NULL;
}

static const char *
read_expiry(const json_t *value, uint64_t *ret_expires_s)
{
    if (!value || json_is_null(value))
        return NULL;
    json_int_t number = json_integer_value(value);
    // Whoever means milliseconds would let everybody in for ages.
    if (!json_is_integer(value) || number <= 0 || number > INT64_C(99999999999))
        return "expire_at is not a time in seconds since 1970";
    *ret_expires_s = (uint64_t)number;
    return NULL;
}

// What comes with a yes. NULL, or what is wrong.
static const char *
read_grant(const json_t *object, struct http_reply *reply)
{
    const json_t *superuser = json_object_get(object, "is_superuser");
    const json_t *rules = json_object_get(object, "acl");
    if (superuser && !json_is_null(superuser) && !read_bool(superuser, &reply->superuser))
        return "is_superuser is neither true nor false";
    const char *problem = read_user(json_object_get(object, "user"), &reply->user);
    if (!problem)
        problem = read_expiry(json_object_get(object, "expire_at"), &reply->expires_s);
    if (problem || !rules || json_is_null(rules))
        return problem;
    err_t err = acl_json_compile(rules, &reply->acl, &problem);
    must((err == OK) == (problem == NULL));
    return problem;
}

static void
read_json(struct slice body, struct http_reply *reply)
{
    json_t *object = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    reply->verdict = HTTP_NO_SENSE;
    if (!json_is_object(object)) {
        reply->problem = "it is not a JSON object";
        json_decref(object);
        return;
    }
    enum http_verdict verdict = verdict_of(object);
    const char *problem = NULL;
    if (verdict == HTTP_NO_SENSE)
        problem = "its result is none of allow, deny, ignore";
    else if (verdict == HTTP_ALLOW)
        problem = read_grant(object, reply);
    json_decref(object);
    if (problem)
        http_reply_clear(reply);
    reply->verdict = problem ? HTTP_NO_SENSE : verdict;
    reply->problem = problem;
}

void
http_reply_read(enum auth_http_response form, long status, struct slice body,
                struct http_reply *ret_reply)
{
    *ret_reply = (struct http_reply){.verdict = HTTP_FAILED};
    if (status >= 400 && status < 500 && status != 408 && status != 429) {
        ret_reply->verdict = HTTP_DENY;
    } else if (form == AUTH_HTTP_STATUS) {
        if (status >= 200 && status < 300)
            ret_reply->verdict = HTTP_ALLOW;
    } else if (status == 204 || (status == 200 && body.len == 0)) {
        ret_reply->verdict = HTTP_ALLOW;
    } else if (status == 200) {
        read_json(body, ret_reply);
    } else if (status >= 200 && status < 300) {
        ret_reply->verdict = HTTP_NO_SENSE;
        ret_reply->problem = "its status is neither 200 nor 204";
    }
}

void
http_reply_clear(struct http_reply *reply)
{
    mem_free(unconst(reply->user.data));
    acl_unref(reply->acl);
    *reply = (struct http_reply){.verdict = reply->verdict};
}
