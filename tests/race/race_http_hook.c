// race_http_hook.c - two threads ask while a third one changes the configuration: the inbox, the
// counters, settings in the hands of requests, and the end with questions under way.
#include "tests/harness/http_server.h"

#define ASKERS    2
#define QUESTIONS 400
#define RELOADS   40

static const struct http_page pages[] = {
    {"/allow", PAGE_ANSWERS, 200,
     "{\"result\":\"allow\",\"user\":\"anna\",\"acl\":[{\"permission\":\"allow\",\"action\":"
     "\"all\","
     "\"topic\":\"#\"}]}"},
    {"/deny", PAGE_ANSWERS, 403, ""},
    {"/leave", PAGE_LEAVES, 200, "{\"result\":\"allow\"}"},
    {"/close", PAGE_CLOSES, 0, NULL},
    {"/hang", PAGE_HANGS, 0, NULL},
    {NULL, PAGE_ANSWERS, 0, NULL},
};

static struct http_server *server;
static struct http_hook *hook;
static struct http_asker asker;

static struct config *
make_config(unsigned round)
{
    static const char *const paths[] = {"/allow", "/deny", "/leave", "/close"};
    char url[128];
    struct config *config = config_defaults();
    struct auth_http_config *http = &config->auth_http;
    config->listener_count = 1;
    config->listeners[0].port = 1883;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server->port,
                   paths[round % ARRAY_LEN(paths)]);
    http->url = mem_strdup(url);
    if (round % 3)
        http->acl_url = mem_strdup(url);
    if (round % 5 == 0)
        http->superuser_url = mem_strdup(url);
    http->connections_max = 1 + round % 7;
    http->requests_max = 100 + round;
    http->cache_connect_ttl_s = round % 2;
    http->cache_bytes_max = round % 4 ? 20000 : 0;
    return config;
}

static void *
ask(void *arg)
{
    unsigned base = *(unsigned *)arg;
    for (unsigned i = 0; i < QUESTIONS; i++) {
        static const enum access_kind kinds[] = {ACCESS_CONNECT, ACCESS_PUBLISH, ACCESS_SUBSCRIBE};
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%u", (base + i) % 60);
        http_hook_ask(hook, http_question(kinds[i % 3], "anna", "secret", topic));
        if (i % 2 == 1)
            http_sleep(1);
    }
    return NULL;
}

static void
change(void)
{
    for (unsigned round = 1; round <= RELOADS; round++) {
        struct config *config = make_config(round);
        struct file_problem problem;
        must(http_hook_reload(hook, config, &problem) == OK);
        config_free(config);
        uint64_t under_way = http_asker_stat(&asker, ACCESS_HTTP_under_way);
        must(under_way <= ASKERS * QUESTIONS);
        http_sleep(5);
    }
}

static void
take(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        access_question_free(http_asker_next(&asker));
}

// Every question came to one end.
static void
check_counts(unsigned questions)
{
    uint64_t ends = 0;
    for (int i = ACCESS_HTTP_cache_hits; i <= ACCESS_HTTP_refused_end; i++)
        ends += http_asker_stat(&asker, i);
    must(ends == questions && http_asker_stat(&asker, ACCESS_HTTP_under_way) == 0);
    must(http_asker_stat(&asker, ACCESS_HTTP_questions) == questions);
    printf("%u questions: %u requests, %u joined, %u kept\n", questions,
           (unsigned)http_asker_stat(&asker, ACCESS_HTTP_requests),
           (unsigned)http_asker_stat(&asker, ACCESS_HTTP_joined),
           (unsigned)http_asker_stat(&asker, ACCESS_HTTP_cache_hits));
}

int
main(void)
{
    server = http_server_new(pages, NULL, NULL);
    http_asker_init(&asker);
    struct config *config = make_config(0);
    struct file_problem problem;
    const struct http_hook_host host = http_asker_host(&asker);
    must(http_hook_new(config, &host, &hook, &problem) == OK);
    config_free(config);
    pthread_t threads[ASKERS];
    unsigned bases[ASKERS];
    for (unsigned i = 0; i < ASKERS; i++) {
        bases[i] = i * 20;
        must(pthread_create(&threads[i], NULL, ask, &bases[i]) == 0);
    }
    change();
    for (unsigned i = 0; i < ASKERS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    take(ASKERS * QUESTIONS);
    check_counts(ASKERS * QUESTIONS);

    config = make_config(1);
    mem_free(config->auth_http.url);
    char url[128];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/hang", server->port);
    config->auth_http.url = mem_strdup(url);
    must(http_hook_reload(hook, config, &problem) == OK);
    config_free(config);
    for (unsigned i = 0; i < 8; i++)
        http_hook_ask(hook, http_question(ACCESS_CONNECT, i % 2 ? "a" : "b", "x", NULL));
    http_sleep(20);
    http_hook_free(hook);
    take(8);
    must(asker.count == ASKERS * QUESTIONS + 8);
    http_server_free(server);
    return 0;
}
