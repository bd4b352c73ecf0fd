// test_access_http_hook.c - the hook against a server that does what servers do on bad days.
#include <criterion/criterion.h>

#include "core/access/http_request.h"
#include "core/acl.h"
#include "tests/harness/http_server.h"

#define FILE_OF(n) TERN_CERTIFICATES "/" n

static const struct http_page pages[] = {
    {"/allow", PAGE_ANSWERS, 200, "{\"result\":\"allow\"}"},
    {"/deny", PAGE_ANSWERS, 200, "{\"result\":\"deny\"}"},
    {"/ignore", PAGE_ANSWERS, 200, "{\"result\":\"ignore\"}"},
    {"/empty", PAGE_ANSWERS, 200, ""},
    {"/none", PAGE_ANSWERS, 204, NULL},
    {"/text", PAGE_ANSWERS, 200, "ok"},
    {"/array", PAGE_ANSWERS, 200, "[true]"},
    {"/half", PAGE_ANSWERS, 200, "{\"result\":\"allow\""},
    {"/full", PAGE_ANSWERS, 200,
     "{\"result\":\"allow\",\"is_superuser\":true,\"user\":\"anna\",\"expire_at\":4102444800,"
     "\"acl\":[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a/#\"}]}"},
    {"/past", PAGE_ANSWERS, 200, "{\"result\":\"allow\",\"expire_at\":1000000000}"},
    {"/401", PAGE_ANSWERS, 401, "{\"result\":\"allow\"}"},
    {"/403", PAGE_ANSWERS, 403, ""},
    {"/301", PAGE_ANSWERS, 301, ""},
    {"/302", PAGE_ANSWERS, 302, "{\"result\":\"allow\"}"},
    {"/429", PAGE_ANSWERS, 429, ""},
    {"/500", PAGE_ANSWERS, 500, "{\"result\":\"allow\"}"},
    {"/503", PAGE_ANSWERS, 503, ""},
    {"/elsewhere", PAGE_ANSWERS, 200, "{\"result\":\"allow\"}"},
    {"/slow", PAGE_SLOW, 200, "{\"result\":\"allow\"}"},
    {"/slower", PAGE_SLOWER, 200, "{\"result\":\"allow\"}"},
    {"/slow-deny", PAGE_SLOW, 403, ""},
    {"/hang", PAGE_HANGS, 0, NULL},
    {"/drip", PAGE_DRIPS, 0, NULL},
    {"/flood", PAGE_FLOODS, 0, NULL},
    {"/heads", PAGE_HEADS, 0, NULL},
    {"/close", PAGE_CLOSES, 0, NULL},
    {"/leave", PAGE_LEAVES, 200, "{\"result\":\"allow\"}"},
    {"/raw", PAGE_RAW, 0, "this is not HTTP\r\n\r\n"},
    {"/cut", PAGE_RAW, 0, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\":\"allow\"}"},
    {NULL, PAGE_ANSWERS, 0, NULL},
};

static struct http_server *server;
static struct http_hook *hook;
static struct config *config;
static struct http_asker asker;
static char urls[HTTP_ASKS][128];
static char *headers[3];

static void
begin(const char *cert, const char *key)
{
    server = http_server_new(pages, cert, key);
    config = config_defaults();
    config->listener_count = 1;
    config->listeners[0].port = 1883;
    http_asker_init(&asker);
}

static char *
url(unsigned slot, const char *scheme, const char *path)
{
    (void)snprintf(urls[slot], sizeof urls[slot], "%s://127.0.0.1:%u%s", scheme, server->port,
                   path);
    return urls[slot];
}

static void
start(void)
{
    struct file_problem problem;
    const struct http_hook_host host = http_asker_host(&asker);
    err_t err = http_hook_new(config, &host, &hook, &problem);
    cr_assert_eq(err, OK, "%s", problem.text);
}

static void
end(void)
{
    http_hook_free(hook);
    struct list *node;
    while ((node = list_pop(&asker.answered)) != NULL)
        access_question_free(container_of(node, struct access_question, node));
    http_server_free(server);
    struct auth_http_config *http = &config->auth_http; // its texts are the test's own
    http->url = http->superuser_url = http->acl_url = http->ca_file = NULL;
    http->headers = NULL;
    config_free(config);
}

#define STAT(name) http_asker_stat(&asker, ACCESS_HTTP_##name)

// The gauge follows the answers.
static bool
keeps(uint64_t count)
{
    for (unsigned i = 0; i < 200 && STAT(cached) != count; i++)
        http_sleep(5);
    return STAT(cached) == count;
}

static struct access_question *
ask(enum access_kind kind, const char *user, const char *password, const char *topic)
{
    http_hook_ask(hook, http_question(kind, user, password, topic));
    return http_asker_next(&asker);
}

static err_t
connects(void)
{
    struct access_question *question = ask(ACCESS_CONNECT, "anna", "secret", NULL);
    err_t err = question->answer.err;
    access_question_free(question);
    return err;
}

// One CONNECT against a page of its own server.
static err_t
connects_at(const char *path)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", path);
    config->auth_http.timeout_ms = 1500;
    start();
    err_t err = connects();
    return err;
}

Test(http_hook, answers_decide)
{
    static const struct {
        const char *path;
        err_t err;
    } cases[] = {
        {"/allow", OK},
        {"/empty", OK},
        {"/none", OK},
        {"/deny", ERR_NOT_AUTHORIZED},
        {"/401", ERR_NOT_AUTHORIZED},
        {"/403", ERR_NOT_AUTHORIZED},
        {"/404", ERR_NOT_AUTHORIZED},
        {"/past", ERR_NOT_AUTHORIZED},
        {"/ignore", ERR_NOT_AUTHORIZED},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_eq(connects_at(cases[i].path), cases[i].err, "%s", cases[i].path);
        cr_assert_eq(STAT(requests), 1);
        end();
    }
}

Test(http_hook, trouble_refuses_and_is_counted_by_reason)
{
    static const struct {
        const char *path;
        enum access_http_count count;
    } cases[] = {
        {"/500", ACCESS_HTTP_refused_failed},        {"/503", ACCESS_HTTP_refused_failed},
        {"/429", ACCESS_HTTP_refused_failed},        {"/301", ACCESS_HTTP_refused_failed},
        {"/302", ACCESS_HTTP_refused_failed},        {"/text", ACCESS_HTTP_refused_no_sense},
        {"/array", ACCESS_HTTP_refused_no_sense},    {"/half", ACCESS_HTTP_refused_no_sense},
        {"/flood", ACCESS_HTTP_refused_no_sense},    {"/heads", ACCESS_HTTP_refused_no_sense},
        {"/hang", ACCESS_HTTP_refused_timeout},      {"/drip", ACCESS_HTTP_refused_timeout},
        {"/close", ACCESS_HTTP_refused_unreachable}, {"/cut", ACCESS_HTTP_refused_unreachable},
        {"/raw", ACCESS_HTTP_refused_unreachable},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t began_ms = clock_mono_ms();
        cr_assert_eq(connects_at(cases[i].path), ERR_SERVER_UNAVAILABLE, "%s", cases[i].path);
        cr_assert(clock_mono_ms() - began_ms < 4500);
        cr_assert_eq(http_asker_stat(&asker, cases[i].count), 1, "%s", cases[i].path);
        cr_assert_eq(STAT(allowed) + STAT(denied) + STAT(ignored) + STAT(under_way), 0);
        end();
    }
}

Test(http_hook, nobody_listens)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/allow");
    http_server_free(server);
    start();
    cr_assert_eq(connects(), ERR_SERVER_UNAVAILABLE);
    cr_assert_eq(STAT(refused_unreachable), 1);
    server = http_server_new(pages, NULL, NULL);
    end();
}

Test(http_hook, a_full_answer_arrives)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/full");
    start();
    struct access_question *question = ask(ACCESS_CONNECT, "a", "b", NULL);
    struct access_answer *answer = &question->answer;
    cr_assert(answer->err == OK && answer->superuser && !answer->ignored);
    cr_assert_eq(answer->expires_s, 4102444800);
    cr_assert(slice_equal(answer->user, slice_str("anna")));
    cr_assert_eq(answer->valid_ms, 0);
    struct rights *rights = rights_new(answer->acl, slice_str("anna"), slice_str("c"));
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str("a/b")));
    cr_assert_not(rights_allow(rights, ACL_PUBLISH, slice_str("b")));
    cr_assert_not(rights_allow(rights, ACL_RECEIVE, slice_str("a/b")));
    rights_free(rights);
    access_question_free(question);
    end();
}

Test(http_hook, ignore_says_so_and_so_does_a_missing_url)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/ignore");
    start();
    struct access_question *question = ask(ACCESS_CONNECT, "a", "b", NULL);
    cr_assert(question->answer.ignored && question->answer.err == ERR_NOT_AUTHORIZED);
    access_question_free(question);
    question = ask(ACCESS_PUBLISH, "a", NULL, "t");
    cr_assert(question->answer.ignored && question->answer.err == ERR_NOT_AUTHORIZED);
    access_question_free(question);
    cr_assert_eq(STAT(requests), 1);
    cr_assert_eq(STAT(ignored), 2);
    end();
}

Test(http_hook, the_request_is_what_the_readme_says)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/allow");
    config->auth_http.acl_url = url(1, "http", "/allow");
    headers[0] = "Authorization: Bearer abc";
    headers[1] = "X-Site: 7";
    config->auth_http.headers = headers;
    start();
    cr_assert_eq(connects(), OK);
    cr_assert_not_null(strstr(server->last, "POST /allow HTTP/1.1\r\n"));
    cr_assert_not_null(strstr(server->last, "\r\nAuthorization: Bearer abc\r\n"));
    cr_assert_not_null(strstr(server->last, "\r\nX-Site: 7\r\n"));
    cr_assert_not_null(strstr(server->last, "\r\nContent-Type: application/json\r\n"));
    cr_assert_null(strstr(server->last, "Expect"));
    cr_assert_str_eq(strstr(server->last, "\r\n\r\n") + 4,
                     "{\"kind\":\"connect\",\"clientid\":\"sensor-1\",\"username\":\"anna\","
                     "\"password\":\"secret\",\"peerhost\":\"192.0.2.7\",\"protocol_version\":5,"
                     "\"listener\":\"1883\",\"mount_point\":null,\"cert_name\":null}");
    access_question_free(ask(ACCESS_PUBLISH, NULL, NULL, "a/b"));
    cr_assert_str_eq(strstr(server->last, "\r\n\r\n") + 4,
                     "{\"kind\":\"publish\",\"clientid\":\"sensor-1\",\"username\":null,"
                     "\"peerhost\":\"192.0.2.7\",\"protocol_version\":5,\"listener\":\"1883\","
                     "\"mount_point\":null,\"cert_name\":null,\"topic\":\"a/b\","
                     "\"action\":\"publish\",\"acc\":2,\"qos\":1,\"retain\":false}");
    end();
}

Test(http_hook, services_that_answer_with_a_status_alone)
{
    begin(NULL, NULL);
    config->auth_http.response = AUTH_HTTP_STATUS;
    config->auth_http.request = AUTH_HTTP_FORM;
    config->auth_http.url = url(0, "http", "/text");
    config->auth_http.superuser_url = url(1, "http", "/403");
    config->auth_http.acl_url = url(2, "http", "/text");
    start();
    struct access_question *question = ask(ACCESS_CONNECT, "a b", "p&=+%", NULL);
    cr_assert(question->answer.err == OK && !question->answer.superuser);
    access_question_free(question);
    cr_assert_eq(STAT(requests), 2);
    cr_assert_str_eq(strstr(server->last, "\r\n\r\n") + 4,
                     "kind=superuser&clientid=sensor-1&username=a%20b&peerhost=192.0.2.7&"
                     "protocol_version=5&listener=1883&mount_point=&cert_name=");
    question = ask(ACCESS_SUBSCRIBE, "a b", NULL, "x/+");
    cr_assert_eq(question->answer.err, OK);
    cr_assert_not_null(strstr(server->last, "&topic=x%2F%2B&action=subscribe&acc=4&qos=1&"));
    access_question_free(question);
    end();
}

Test(http_hook, a_second_url_makes_superusers)
{
    static const struct {
        const char *path;
        err_t err;
        bool superuser;
    } cases[] = {{"/allow", OK, true},
                 {"/deny", OK, false},
                 {"/ignore", OK, false},
                 {"/500", ERR_SERVER_UNAVAILABLE, false},
                 {"/hang", ERR_SERVER_UNAVAILABLE, false}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        begin(NULL, NULL);
        config->auth_http.timeout_ms = 1500;
        config->auth_http.url = url(0, "http", "/allow");
        config->auth_http.superuser_url = url(1, "http", cases[i].path);
        start();
        struct access_question *question = ask(ACCESS_CONNECT, "a", "b", NULL);
        cr_assert_eq(question->answer.err, cases[i].err, "%s", cases[i].path);
        cr_assert_eq(question->answer.superuser, cases[i].superuser, "%s", cases[i].path);
        access_question_free(question);
        cr_assert_null(strstr(server->last, "password"));
        end();
    }
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/deny");
    config->auth_http.superuser_url = url(1, "http", "/allow");
    start();
    cr_assert_eq(connects(), ERR_NOT_AUTHORIZED);
    cr_assert_eq(STAT(requests), 1);
    end();
}

Test(http_hook, answers_to_topics_are_kept)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/allow");
    start();
    struct access_question *question = ask(ACCESS_PUBLISH, "a", NULL, "t/1");
    cr_assert_eq(question->answer.valid_ms, 10000);
    access_question_free(question);
    question = ask(ACCESS_PUBLISH, "a", NULL, "t/1");
    cr_assert(question->answer.err == OK && question->answer.valid_ms <= 10000 &&
              question->answer.valid_ms > 5000);
    access_question_free(question);
    cr_assert_eq(STAT(requests), 1);
    cr_assert_eq(STAT(cache_hits), 1);
    access_question_free(ask(ACCESS_PUBLISH, "a", NULL, "t/2"));
    access_question_free(ask(ACCESS_SUBSCRIBE, "a", NULL, "t/1"));
    access_question_free(ask(ACCESS_PUBLISH, "b", NULL, "t/1"));
    cr_assert_eq(STAT(requests), 4);
    cr_assert(keeps(4));
    struct file_problem problem;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    access_question_free(ask(ACCESS_PUBLISH, "a", NULL, "t/1"));
    cr_assert_eq(STAT(requests), 5);
    cr_assert_eq(STAT(cache_hits), 1);
    end();
}

Test(http_hook, a_kept_answer_ends)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/403");
    config->auth_http.cache_deny_ttl_s = 3;
    start();
    for (unsigned i = 0; i < 2; i++) {
        struct access_question *question = ask(ACCESS_PUBLISH, "a", NULL, "t/1");
        cr_assert(question->answer.err == ERR_NOT_AUTHORIZED && question->answer.valid_ms <= 3000);
        access_question_free(question);
    }
    cr_assert_eq(STAT(requests), 1);
    http_sleep(3050);
    access_question_free(ask(ACCESS_PUBLISH, "a", NULL, "t/1"));
    cr_assert_eq(STAT(requests), 2);
    end();
}

Test(http_hook, trouble_is_not_kept)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/500");
    start();
    for (unsigned i = 0; i < 3; i++) {
        struct access_question *question = ask(ACCESS_SUBSCRIBE, "a", NULL, "t/1");
        cr_assert_eq(question->answer.err, ERR_IMPLEMENTATION);
        cr_assert_eq(question->answer.valid_ms, 0);
        access_question_free(question);
    }
    cr_assert_eq(STAT(requests), 3);
    end();
}

Test(http_hook, whoever_connects_is_asked_about_each_time_by_default)
{
    begin(NULL, NULL);
    config->auth_http.url = url(0, "http", "/full");
    start();
    cr_assert(connects() == OK && connects() == OK);
    cr_assert_eq(STAT(requests), 2);
    config->auth_http.cache_connect_ttl_s = 5;
    struct file_problem problem;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    cr_assert(connects() == OK && connects() == OK);
    cr_assert_eq(STAT(requests), 3);
    struct access_question *question = ask(ACCESS_CONNECT, "anna", "secret", NULL);
    cr_assert(question->answer.superuser && question->answer.acl && question->answer.user.len == 4);
    access_question_free(question);
    cr_assert_eq(STAT(cache_hits), 2);
    access_question_free(ask(ACCESS_CONNECT, "anna", "secret2", NULL)); // another password
    cr_assert_eq(STAT(requests), 4);
    end();
}

Test(http_hook, equal_questions_are_one_request)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/slower");
    start();
    for (unsigned i = 0; i < 50; i++)
        http_hook_ask(hook, http_question(ACCESS_PUBLISH, "a", NULL, "t"));
    for (unsigned i = 0; i < 50; i++) {
        struct access_question *question = http_asker_next(&asker);
        cr_assert_eq(question->answer.err, OK);
        access_question_free(question);
    }
    cr_assert_eq(STAT(requests), 1);
    cr_assert_eq(STAT(joined), 49);
    cr_assert_eq(STAT(allowed), 50);
    end();
}

// A question of its own each.
static void
ask_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%u", i);
        http_hook_ask(hook, http_question(ACCESS_PUBLISH, "a", NULL, topic));
    }
}

static unsigned
take_many(unsigned count, err_t err)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        struct access_question *question = http_asker_next(&asker);
        found += question->answer.err == err;
        access_question_free(question);
    }
    return found;
}

Test(http_hook, connections_are_kept_and_bounded)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/slow");
    config->auth_http.connections_max = 4;
    start();
    uint64_t began_ms = clock_mono_ms();
    ask_many(40);
    cr_assert_eq(take_many(40, OK), 40);
    uint64_t took_ms = clock_mono_ms() - began_ms;
    cr_assert(took_ms >= 1000, "%u ms for ten rounds of 100", (unsigned)took_ms);
    cr_assert_eq(atomic_load(&server->connections), 4);
    cr_assert_eq(STAT(requests), 40);
    end();
}

Test(http_hook, a_kept_connection_that_is_gone_costs_a_new_one)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/leave");
    config->auth_http.connections_max = 1;
    start();
    for (unsigned i = 0; i < 5; i++) {
        ask_many(i + 1);
        cr_assert_eq(take_many(i + 1, OK), i + 1);
        http_sleep(20);
    }
    cr_assert_eq(STAT(refused_unreachable), 0);
    end();
}

Test(http_hook, whoever_waits_for_a_connection_has_no_more_time)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/hang");
    config->auth_http.connections_max = 2;
    config->auth_http.timeout_ms = 300;
    start();
    uint64_t began_ms = clock_mono_ms();
    ask_many(20);
    cr_assert_eq(take_many(20, ERR_IMPLEMENTATION), 20);
    uint64_t took_ms = clock_mono_ms() - began_ms;
    cr_assert(took_ms >= 290 && took_ms < 2500, "%u ms", (unsigned)took_ms);
    cr_assert_eq(STAT(refused_timeout), 20);
    end();
}

Test(http_hook, too_many_and_too_large_are_refused_at_once)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/slower");
    config->auth_http.requests_max = 10;
    start();
    ask_many(30);
    cr_assert_eq(take_many(20, ERR_IMPLEMENTATION), 20);
    cr_assert_eq(take_many(10, OK), 10);
    cr_assert_eq(STAT(refused_busy), 20);
    char *topic = mem_zalloc(HTTP_QUESTION_MAX + 1);
    memset(topic, 'x', HTTP_QUESTION_MAX);
    http_hook_ask(hook, http_question(ACCESS_PUBLISH, "a", NULL, topic));
    cr_assert_eq(take_many(1, ERR_IMPLEMENTATION), 1);
    cr_assert_eq(STAT(refused_too_large), 1);
    memset(topic + HTTP_QUESTION_MAX - 100, '\0', 1);
    http_hook_ask(hook, http_question(ACCESS_PUBLISH, "a", NULL, topic));
    cr_assert_eq(take_many(1, OK), 1);
    mem_free(topic);
    end();
}

Test(http_hook, a_dead_service_costs_one_time_out_and_comes_back)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/hang");
    config->auth_http.url = url(1, "http", "/allow");
    config->auth_http.timeout_ms = 1500;
    start();
    ask_many(HTTP_FAILURES_MAX);
    cr_assert_eq(take_many(HTTP_FAILURES_MAX, ERR_IMPLEMENTATION), HTTP_FAILURES_MAX);
    uint64_t began_ms = clock_mono_ms();
    ask_many(50);
    cr_assert_eq(take_many(50, ERR_IMPLEMENTATION), 50);
    cr_assert(clock_mono_ms() - began_ms < 900);
    cr_assert_eq(STAT(refused_down), 50);
    cr_assert_eq(STAT(requests), HTTP_FAILURES_MAX);
    cr_assert_eq(connects(), OK); // another service
    http_sleep(HTTP_PAUSE_MS);
    ask_many(10); // one of them tries
    cr_assert_eq(take_many(10, ERR_IMPLEMENTATION), 10);
    cr_assert_eq(STAT(requests), HTTP_FAILURES_MAX + 2);
    cr_assert_eq(STAT(refused_down), 59);
    config->auth_http.acl_url = url(0, "http", "/allow");
    struct file_problem problem;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    ask_many(10);
    cr_assert_eq(take_many(10, OK), 10);
    end();
}

Test(http_hook, a_service_that_fails_fast_is_not_dead)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/500");
    start();
    ask_many(50);
    cr_assert_eq(take_many(50, ERR_IMPLEMENTATION), 50);
    cr_assert_eq(STAT(refused_failed), 50);
    end();
}

// Nobody listens there, and the kernel gives it to no other program's connection.
static int
hold_port(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

Test(http_hook, a_service_that_was_down_is_asked_again)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/allow");
    unsigned port = server->port;
    http_server_free(server);
    int held = hold_port(port);
    start();
    ask_many(40);
    cr_assert_eq(take_many(40, ERR_IMPLEMENTATION), 40);
    cr_assert_eq(STAT(refused_unreachable) + STAT(refused_down), 40);
    cr_assert_geq(STAT(refused_unreachable), HTTP_FAILURES_MAX);
    server = http_server_at(port, pages);
    (void)close(held);
    http_sleep(HTTP_PAUSE_MS);
    ask_many(1);
    cr_assert_eq(take_many(1, OK), 1);
    ask_many(40);
    cr_assert_eq(take_many(40, OK), 40);
    end();
}

Test(http_hook, tls_is_verified)
{
    static const struct {
        const char *ca, *cert, *host;
        err_t err;
    } cases[] = {
        {FILE_OF("ca.pem"), "chain", "127.0.0.1", OK},
        {FILE_OF("ca.pem"), "chain", "localhost", OK},
        {FILE_OF("other-ca.pem"), "chain", "127.0.0.1", ERR_SERVER_UNAVAILABLE},
        {NULL, "chain", "127.0.0.1", ERR_SERVER_UNAVAILABLE}, // not one that the system knows
        {FILE_OF("other-ca.pem"), "stranger", "127.0.0.1", ERR_SERVER_UNAVAILABLE}, // not its name
        {FILE_OF("clients.pem"), "expired", "127.0.0.1", ERR_SERVER_UNAVAILABLE},
        {FILE_OF("ca.pem"), "chain", "127.0.0.2", ERR_SERVER_UNAVAILABLE}, // nor this one
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        char cert[256], key[256];
        (void)snprintf(cert, sizeof cert, "%s/%s.pem", TERN_CERTIFICATES, cases[i].cert);
        (void)snprintf(key, sizeof key, "%s/%s.key", TERN_CERTIFICATES, cases[i].cert);
        begin(cert, key);
        (void)snprintf(urls[0], sizeof urls[0], "https://%s:%u/allow", cases[i].host, server->port);
        config->auth_http.url = urls[0];
        config->auth_http.ca_file = unconst(cases[i].ca);
        start();
        cr_assert_eq(connects(), cases[i].err, "case %u", i);
        cr_assert_eq(connects(), cases[i].err, "case %u", i);
        if (cases[i].err == OK)
            cr_assert_eq(atomic_load(&server->connections), 1, "it was kept");
        else
            cr_assert_eq(atomic_load(&server->requests), 0, "case %u got a password", i);
        end();
    }
}

Test(http_hook, other_cas_are_other_connections)
{
    begin(FILE_OF("chain.pem"), FILE_OF("chain.key"));
    config->auth_http.url = url(0, "https", "/allow");
    config->auth_http.ca_file = FILE_OF("ca.pem");
    start();
    cr_assert_eq(connects(), OK);
    config->auth_http.ca_file = FILE_OF("other-ca.pem");
    struct file_problem problem;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    cr_assert_eq(connects(), ERR_SERVER_UNAVAILABLE);
    cr_assert_eq(atomic_load(&server->requests), 1);
    end();
}

Test(http_hook, proxies_of_the_environment_do_not_exist)
{
    cr_assert_eq(setenv("http_proxy", "http://127.0.0.1:9", 1), 0);
    cr_assert_eq(setenv("ALL_PROXY", "http://127.0.0.1:9", 1), 0);
    cr_assert_eq(connects_at("/allow"), OK);
    end();
}

Test(http_hook, what_is_wrong_with_the_configuration_is_told)
{
    static const struct {
        const char *url, *ca, *problem;
    } cases[] = {
        {"http://127.0.0.1:99999/", NULL, "auth_http_url"},
        {"ftp://127.0.0.1/", NULL, "neither http nor https"},
        {"http://127.0.0.1/", "/nowhere/ca.pem", "/nowhere/ca.pem"},
        {"http://127.0.0.1/", FILE_OF("chain.key"), "holds no certificate"},
    };
    begin(NULL, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct file_problem problem;
        config->auth_http.url = unconst(cases[i].url);
        config->auth_http.ca_file = unconst(cases[i].ca);
        const struct http_hook_host host = http_asker_host(&asker);
        cr_assert_eq(http_hook_new(config, &host, &hook, &problem), ERR_CONFIG);
        cr_assert_not_null(strstr(problem.text, cases[i].problem), "%s", problem.text);
    }
    config->auth_http.url = url(0, "http", "/allow");
    config->auth_http.ca_file = NULL;
    start();
    struct file_problem problem;
    config->auth_http.ca_file = "/nowhere/ca.pem";
    cr_assert_eq(http_hook_reload(hook, config, &problem), ERR_CONFIG);
    cr_assert_eq(connects(), OK); // by the old one
    end();
}

Test(http_hook, the_end_refuses_what_is_there)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/hang");
    config->auth_http.connections_max = 3;
    start();
    ask_many(20);
    http_sleep(50);
    ask_many(2); // these join
    http_hook_free(hook);
    hook = NULL;
    cr_assert_eq(asker.count, 22);
    cr_assert_eq(take_many(22, ERR_IMPLEMENTATION), 22);
    end();
}

Test(http_hook, a_reload_lets_those_under_way_end)
{
    begin(NULL, NULL);
    config->auth_http.acl_url = url(0, "http", "/slower");
    config->auth_http.connections_max = 8;
    start();
    ask_many(12);
    for (unsigned n = 0; atomic_load(&server->requests) < 8 && n < 10000; n++)
        http_sleep(1);
    config->auth_http.acl_url = url(1, "http", "/403");
    config->auth_http.connections_max = 2;
    struct file_problem problem;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    ask_many(12); // equal to those under way, but not theirs to answer
    unsigned denied = take_many(24, ERR_NOT_AUTHORIZED);
    cr_assert_eq(denied, 16, "%u", denied); // the four that had no connection, and the twelve
    cr_assert_eq(STAT(allowed), 8);
    cr_assert(keeps(12));
    config->auth_http.acl_url = NULL;
    cr_assert_eq(http_hook_reload(hook, config, &problem), OK);
    ask_many(3);
    cr_assert_eq(take_many(3, ERR_NOT_AUTHORIZED), 3);
    cr_assert_eq(STAT(ignored), 3);
    end();
}
