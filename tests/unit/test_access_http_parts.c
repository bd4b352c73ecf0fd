// test_access_http_parts.c - what the service is told, what its answers mean, which are kept.
#include <criterion/criterion.h>
#include <jansson.h>

#include "core/base/mem.h"

#include "core/access/http_cache.h"
#include "core/access/http_reply.h"
#include "core/access/http_request.h"
#include "core/acl.h"

// ---- Requests -----------------------------------------------------------------------------------

static const struct http_place place = {"8883 127.0.0.1", "site/"};
static const uint8_t key[HTTP_DIGEST_SIZE] = {1, 2, 3};

static struct access_question *
make(enum access_kind kind, const struct access_texts *texts)
{
    struct access_question *question = access_question_new(texts);
    question->kind = kind;
    question->version = 4;
    return question;
}

// The body of a question; good until the next call.
static const char *
body_of(const struct access_texts *texts, enum http_ask ask, enum auth_http_request form)
{
    static char text[4096];
    struct access_question *question =
        make(ask == HTTP_ASK_ACL ? ACCESS_PUBLISH : ACCESS_CONNECT, texts);
    struct http_body body = http_body_new(question, ask, &place, form);
    cr_assert_lt(body.len, sizeof text);
    memcpy(text, body.data, body.len);
    text[body.len] = '\0';
    http_body_free(&body);
    access_question_free(question);
    return text;
}

Test(http_request, json_holds_any_text)
{
    static const char name[] = "a\"b\\c\n\x01\x7f\xc3\xa4/\xf0\x9f\x98\x80";
    struct access_texts texts = {.client_id = slice_str(name), .user = slice_of("", 0)};
    json_t *object = json_loads(body_of(&texts, HTTP_ASK_USER, AUTH_HTTP_JSON), 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(object, "clientid")), name);
    cr_assert_str_eq(json_string_value(json_object_get(object, "username")), "");
    cr_assert(json_is_null(json_object_get(object, "password")));
    cr_assert_str_eq(json_string_value(json_object_get(object, "mount_point")), "site/");
    cr_assert_str_eq(json_string_value(json_object_get(object, "listener")), "8883 127.0.0.1");
    json_decref(object);
}

Test(http_request, bytes_that_are_no_text_are_base64)
{
    struct access_texts texts = {.password = slice_of("\xff\x00\x01", 3),
                                 .name = slice_of("a\0b", 3)};
    const char *body = body_of(&texts, HTTP_ASK_USER, AUTH_HTTP_JSON);
    cr_assert_not_null(strstr(body, "\"password_base64\":\"/wAB\""));
    cr_assert_not_null(strstr(body, "\"cert_name_base64\":\"YQBi\""));
    body = body_of(&texts, HTTP_ASK_USER, AUTH_HTTP_FORM);
    cr_assert_not_null(strstr(body, "&password=%FF%00%01&"));
}

Test(http_request, peers_are_told_without_their_port)
{
    static const struct {
        const char *peer, *host;
    } cases[] = {{"192.0.2.7:4711", "\"192.0.2.7\""},
                 {"[2001:db8::1]:80", "\"2001:db8::1\""},
                 {"unix:/run/a:b", "\"unix:/run/a:b\""},
                 {"unknown", "\"unknown\""},
                 {"[", "\"[\""},
                 {"", "\"\""}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct access_texts texts = {.peer = slice_str(cases[i].peer)};
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "\"peerhost\":%s,", cases[i].host);
        cr_assert_not_null(strstr(body_of(&texts, HTTP_ASK_ACL, AUTH_HTTP_JSON), wanted), "%s",
                           cases[i].peer);
    }
}

Test(http_request, the_longest_question_fits)
{
    char *long_text = mem_alloc(HTTP_QUESTION_MAX);
    memset(long_text, 1, HTTP_QUESTION_MAX); // six characters each
    struct access_question *question = make(
        ACCESS_CONNECT, &(struct access_texts){.user = slice_of(long_text, HTTP_QUESTION_MAX)});
    cr_assert_eq(http_question_size(question), HTTP_QUESTION_MAX);
    for (int form = AUTH_HTTP_JSON; form <= AUTH_HTTP_FORM; form++) {
        struct http_body body = http_body_new(question, HTTP_ASK_USER, &place, form);
        cr_assert_gt(body.len, HTTP_QUESTION_MAX * 3);
        http_body_free(&body);
    }
    access_question_free(question);
    mem_free(long_text);
}

static bool
same_key(struct access_question *a, struct access_question *b, enum http_ask ask)
{
    uint8_t first[HTTP_DIGEST_SIZE], second[HTTP_DIGEST_SIZE];
    http_question_digest(a, ask, &place, key, first);
    http_question_digest(b, ask, &place, key, second);
    access_question_free(b);
    return memcmp(first, second, sizeof first) == 0;
}

Test(http_request, keys_tell_all_that_is_told)
{
    const struct access_texts texts = {.client_id = slice_str("c"),
                                       .user = slice_str("u"),
                                       .peer = slice_str("1.2.3.4:5"),
                                       .topic = slice_str("t")};
    struct access_question *a = make(ACCESS_PUBLISH, &texts);
    cr_assert(same_key(a, make(ACCESS_PUBLISH, &texts), HTTP_ASK_ACL));
    cr_assert_not(same_key(a, make(ACCESS_SUBSCRIBE, &texts), HTTP_ASK_ACL));
    struct access_texts other = texts;
    other.peer = slice_str("1.2.3.4:6"); // the port is not told
    cr_assert(same_key(a, make(ACCESS_PUBLISH, &other), HTTP_ASK_ACL));
    other.peer = slice_str("1.2.3.5:5");
    cr_assert_not(same_key(a, make(ACCESS_PUBLISH, &other), HTTP_ASK_ACL));
    other = texts;
    other.client_id = slice_str("cu");
    other.user = slice_of("", 0); // the same bytes in a row
    cr_assert_not(same_key(a, make(ACCESS_PUBLISH, &other), HTTP_ASK_ACL));
    struct access_question *b = make(ACCESS_PUBLISH, &texts);
    b->qos = 1;
    cr_assert_not(same_key(a, b, HTTP_ASK_ACL));
    b = make(ACCESS_PUBLISH, &texts);
    b->retain = true;
    cr_assert_not(same_key(a, b, HTTP_ASK_ACL));
    access_question_free(a);

    a = make(ACCESS_CONNECT, &texts);
    other = texts;
    other.password = slice_of("", 0); // none, and an empty one
    cr_assert_not(same_key(a, make(ACCESS_CONNECT, &other), HTTP_ASK_USER));
    access_question_free(a);
}

// ---- Answers ------------------------------------------------------------------------------------

static struct http_reply
reply_to(const char *body)
{
    struct http_reply reply;
    http_reply_read(AUTH_HTTP_SAYS, 200, slice_str(body), &reply);
    return reply;
}

Test(http_reply, verdicts)
{
    static const struct {
        const char *body;
        enum http_verdict verdict;
    } cases[] = {
        {"{\"result\":\"allow\"}", HTTP_ALLOW},
        {" {\"result\":\"allow\",\"more\":[1]} ", HTTP_ALLOW},
        {"{\"result\":\"deny\"}", HTTP_DENY},
        {"{\"result\":\"ignore\"}", HTTP_IGNORE},
        {"{}", HTTP_IGNORE},
        {"{\"is_superuser\":true}", HTTP_IGNORE},
        {"{\"Ok\":true,\"Error\":\"\"}", HTTP_ALLOW},
        {"{\"ok\":false,\"error\":\"no\"}", HTTP_DENY},
        {"{\"Ok\":\"true\"}", HTTP_NO_SENSE},
        {"{\"result\":\"ALLOW\"}", HTTP_NO_SENSE},
        {"{\"result\":\"allow\\u0000\"}", HTTP_NO_SENSE},
        {"{\"result\":true}", HTTP_NO_SENSE},
        {"{\"result\":null}", HTTP_NO_SENSE},
        {"{\"result\":\"deny\",\"result\":\"allow\"}", HTTP_NO_SENSE},
        {"{\"result\":\"allow\"}}", HTTP_NO_SENSE},
        {"\"allow\"", HTTP_NO_SENSE},
        {"ok", HTTP_NO_SENSE},
        {" ", HTTP_NO_SENSE},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_eq(reply_to(cases[i].body).verdict, cases[i].verdict, "%s", cases[i].body);
}

Test(http_reply, the_status_comes_first)
{
    static const struct {
        long status;
        enum http_verdict json, status_alone;
    } cases[] = {{200, HTTP_ALLOW, HTTP_ALLOW},    {204, HTTP_ALLOW, HTTP_ALLOW},
                 {201, HTTP_NO_SENSE, HTTP_ALLOW}, {301, HTTP_FAILED, HTTP_FAILED},
                 {400, HTTP_DENY, HTTP_DENY},      {401, HTTP_DENY, HTTP_DENY},
                 {408, HTTP_FAILED, HTTP_FAILED},  {429, HTTP_FAILED, HTTP_FAILED},
                 {499, HTTP_DENY, HTTP_DENY},      {500, HTTP_FAILED, HTTP_FAILED},
                 {100, HTTP_FAILED, HTTP_FAILED},  {0, HTTP_FAILED, HTTP_FAILED},
                 {599, HTTP_FAILED, HTTP_FAILED}};
    struct http_reply reply;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice body = slice_str("{\"result\":\"allow\"}");
        http_reply_read(AUTH_HTTP_SAYS, cases[i].status, body, &reply);
        cr_assert_eq(reply.verdict, cases[i].json, "%ld", cases[i].status);
        http_reply_read(AUTH_HTTP_STATUS, cases[i].status, slice_str("no"), &reply);
        cr_assert_eq(reply.verdict, cases[i].status_alone, "%ld", cases[i].status);
    }
}

Test(http_reply, what_comes_with_a_yes)
{
    struct http_reply reply =
        reply_to("{\"result\":\"allow\",\"is_superuser\":\"1\",\"user\":\"\\u00e4\","
                 "\"expire_at\":4102444800,\"acl\":[]}");
    cr_assert(reply.verdict == HTTP_ALLOW && reply.superuser && reply.acl);
    cr_assert_eq(reply.expires_s, 4102444800);
    cr_assert(slice_equal(reply.user, slice_str("\xc3\xa4")));
    http_reply_clear(&reply);
    reply = reply_to("{\"result\":\"allow\",\"is_superuser\":null,\"user\":null,\"expire_at\":null,"
                     "\"acl\":null}");
    cr_assert(reply.verdict == HTTP_ALLOW && !reply.superuser && !reply.acl && !reply.user.data);
    // With a no, nothing does.
    reply = reply_to("{\"result\":\"deny\",\"is_superuser\":true,\"user\":\"a\",\"acl\":[]}");
    cr_assert(reply.verdict == HTTP_DENY && !reply.superuser && !reply.acl && !reply.user.data);
}

Test(http_reply, what_cannot_be_held_is_no_yes)
{
    static const char *const bad[] = {
        "\"is_superuser\":2",
        "\"is_superuser\":\"yes\"",
        "\"user\":7",
        "\"user\":\"\"",
        "\"user\":\"a\\u0000b\"",
        "\"expire_at\":\"4102444800\"",
        "\"expire_at\":4102444800000",
        "\"expire_at\":0",
        "\"expire_at\":1.5",
        "\"acl\":7",
        "\"acl\":{\"read\":[]}",
        "\"acl\":[7]",
        "\"acl\":[{}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"publish\"}]",
        "\"acl\":[{\"permission\":\"Allow\",\"action\":\"publish\",\"topic\":\"a\"}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"write\",\"topic\":\"a\"}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a/#/b\"}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"\"}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"topics\":[]}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topics\":[\"a\",1]}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"qos\":1}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"qos\":[0,1]}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"retain\":false}]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"username\":\"x\"}"
        "]",
        "\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"${peerhost}/a\"}]",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char body[256];
        (void)snprintf(body, sizeof body, "{\"result\":\"allow\",%s}", bad[i]);
        struct http_reply reply = reply_to(body);
        cr_assert_eq(reply.verdict, HTTP_NO_SENSE, "%s", body);
        cr_assert(reply.problem && !reply.acl && !reply.user.data && !reply.superuser);
    }
}

// ---- Rules --------------------------------------------------------------------------------------

static struct http_reply rules;

static struct rights *
rights_of(const char *acl)
{
    char body[1024];
    (void)snprintf(body, sizeof body, "{\"result\":\"allow\",\"acl\":[%s]}", acl);
    rules = reply_to(body);
    cr_assert_eq(rules.verdict, HTTP_ALLOW, "%s", rules.problem);
    return rights_new(rules.acl, slice_str("anna"), slice_str("sensor-1"));
}

static void
done_with(struct rights *rights)
{
    rights_free(rights);
    http_reply_clear(&rules);
}

#define RULE(permission, action, topic) \
    "{\"permission\":\"" permission "\",\"action\":\"" action "\",\"topic\":\"" topic "\"}"

Test(acl_json, rules_that_come_with_an_answer_hold)
{
    struct rights *rights =
        rights_of(RULE("deny", "pub", "a/secret") "," RULE("allow", "publish", "a/+") "," RULE(
            "allow", "sub", "b/${clientid}/#") "," RULE("allow", "all", "c"));
    cr_assert_not(rights_allow(rights, ACL_PUBLISH, slice_str("a/secret")));
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str("a/x")));
    cr_assert_not(rights_allow(rights, ACL_RECEIVE, slice_str("a/x")));
    cr_assert(rights_allow(rights, ACL_RECEIVE, slice_str("b/sensor-1/y")));
    cr_assert_not(rights_allow(rights, ACL_RECEIVE, slice_str("b/sensor-2/y")));
    cr_assert_not(rights_allow(rights, ACL_PUBLISH, slice_str("b/sensor-1/y")));
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str("c")));
    cr_assert(rights_allow(rights, ACL_RECEIVE, slice_str("c")));
    cr_assert_eq(rights_cover(rights, ACL_RECEIVE, slice_str("a/x")), ACL_COVERS_NOTHING);
    cr_assert_eq(rights_cover(rights, ACL_RECEIVE, slice_str("#")), ACL_COVERS_SOME);
    cr_assert(rights_allow_filter(rights, ACL_UNSUBSCRIBE, slice_str("z")));
    done_with(rights);
}

Test(acl_json, a_condition_that_leaves_nothing_out_is_none)
{
    struct rights *rights =
        rights_of("{\"permission\":\"allow\",\"action\":\"all\",\"qos\":[2,1,0],\"retain\":\"all\","
                  "\"topics\":[\"c/${clientid}/#\",\"u/${username}\"]}");
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str("c/sensor-1/x")));
    cr_assert_not(rights_allow(rights, ACL_PUBLISH, slice_str("c/sensor-2/x")));
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str("u/anna")));
    cr_assert_not(rights_allow(rights, ACL_PUBLISH, slice_str("u/${username}")));
    done_with(rights);
}

// ---- What is kept -------------------------------------------------------------------------------

static const uint8_t *
digest(uint32_t n)
{
    static uint8_t bytes[HTTP_DIGEST_SIZE];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &n, sizeof n);
    return bytes;
}

static void
keep(struct http_cache *cache, uint32_t n, uint64_t ttl_ms)
{
    struct http_entry *entry = http_cache_add(cache, digest(n));
    entry->answer.user = slice_of(mem_strdup("anna"), 4);
    http_cache_end(cache, entry, 0, ttl_ms);
}

Test(http_cache, answers_are_found_until_their_end)
{
    struct http_cache *cache = http_cache_new();
    http_cache_resize(cache, 100000);
    keep(cache, 1, 50);
    keep(cache, 2, 0);
    struct http_entry *entry = http_cache_find(cache, digest(1), 49);
    cr_assert(entry && entry->kept && entry->answer.user.len == 4);
    cr_assert_null(http_cache_find(cache, digest(2), 0));
    cr_assert_null(http_cache_find(cache, digest(1), 50));
    cr_assert_eq(http_cache_count(cache), 0);
    cr_assert_eq(http_cache_bytes(cache), 0);
    http_cache_free(cache);
}

Test(http_cache, the_least_recently_used_goes_first)
{
    struct http_cache *cache = http_cache_new();
    http_cache_resize(cache, 1u << 20);
    keep(cache, 0, 1000);
    uint64_t each = http_cache_bytes(cache);
    http_cache_resize(cache, each * 1000);
    for (uint32_t i = 1; i < 2000; i++) { // the table grows meanwhile
        keep(cache, i, 1000);
        cr_assert_not_null(http_cache_find(cache, digest(0), 0));
        cr_assert_leq(http_cache_bytes(cache), each * 1000);
    }
    cr_assert_eq(http_cache_count(cache), 1000);
    cr_assert_null(http_cache_find(cache, digest(1000), 0));
    cr_assert_not_null(http_cache_find(cache, digest(1001), 0));
    http_cache_resize(cache, each * 2);
    cr_assert_eq(http_cache_count(cache), 2);
    http_cache_resize(cache, 0);
    keep(cache, 5, 1000);
    cr_assert_eq(http_cache_count(cache), 0);
    http_cache_free(cache);
}

Test(http_cache, what_is_under_way_at_a_clear_is_not_kept)
{
    struct http_cache *cache = http_cache_new();
    http_cache_resize(cache, 100000);
    struct http_entry *entry = http_cache_add(cache, digest(1));
    cr_assert_eq(http_cache_find(cache, digest(1), 0), entry);
    keep(cache, 2, 1000);
    http_cache_clear(cache);
    cr_assert_null(http_cache_find(cache, digest(1), 0));
    cr_assert_null(http_cache_find(cache, digest(2), 0));
    struct http_entry *second = http_cache_add(cache, digest(1));
    http_cache_end(cache, entry, 0, 1000);
    cr_assert_eq(http_cache_find(cache, digest(1), 0), second);
    http_cache_end(cache, second, 0, 1000);
    cr_assert_eq(http_cache_count(cache), 1);
    http_cache_free(cache);
}
