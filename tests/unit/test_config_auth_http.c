// test_config_auth_http.c - the keys of the HTTP service that decides.
#include "tests/unit/test_config.h"

#define HEAD "allow_anonymous true\nlistener 1883\n"

Test(config_auth_http, defaults)
{
    struct config *config = load_clean(HEAD);
    const struct auth_http_config *http = &config->auth_http;
    cr_assert(!http->url && !http->superuser_url && !http->acl_url && !http->ca_file);
    cr_assert_null(http->headers);
    cr_assert(http->request == AUTH_HTTP_JSON && http->response == AUTH_HTTP_SAYS);
    cr_assert(http->timeout_ms == 5000 && http->connect_timeout_ms == 2000);
    cr_assert(http->connections_max == 16 && http->requests_max == 1000);
    cr_assert_eq(http->cache_bytes_max, 8 << 20);
    cr_assert(http->cache_ttl_s == 10 && http->cache_deny_ttl_s == 2);
    cr_assert_eq(http->cache_connect_ttl_s, 0);
    config_free(config);
}

Test(config_auth_http, all_of_them)
{
    struct config *config =
        load_clean(HEAD "auth_http_url https://auth.example.org/user?site=1\n"
                        "auth_http_superuser_url http://127.0.0.1:8080/super\n"
                        "auth_http_acl_url http://[::1]:8080/acl\n"
                        "auth_http_ca_file /etc/ca.pem\n"
                        "auth_http_header Authorization: Bearer a,b # c\n"
                        "auth_http_header X-Site: 7\n"
                        "auth_http_request form\nauth_http_response status\n"
                        "auth_http_timeout 100\nauth_http_connect_timeout 50\n"
                        "auth_http_connections 4\nauth_http_max_requests 20\n"
                        "auth_http_cache_size 1000\nauth_http_cache_ttl 60\n"
                        "auth_http_cache_deny_ttl 0\nauth_http_cache_connect_ttl 5\n");
    const struct auth_http_config *http = &config->auth_http;
    cr_assert_str_eq(http->url, "https://auth.example.org/user?site=1");
    cr_assert_str_eq(http->superuser_url, "http://127.0.0.1:8080/super");
    cr_assert_str_eq(http->acl_url, "http://[::1]:8080/acl");
    cr_assert_str_eq(http->ca_file, "/etc/ca.pem");
    cr_assert_str_eq(http->headers[0], "Authorization: Bearer a,b # c");
    cr_assert_str_eq(http->headers[1], "X-Site: 7");
    cr_assert_null(http->headers[2]);
    cr_assert(http->request == AUTH_HTTP_FORM && http->response == AUTH_HTTP_STATUS);
    cr_assert(http->timeout_ms == 100 && http->connect_timeout_ms == 50);
    cr_assert(http->connections_max == 4 && http->requests_max == 20);
    cr_assert(http->cache_bytes_max == 1000 && http->cache_ttl_s == 60);
    cr_assert(http->cache_deny_ttl_s == 0 && http->cache_connect_ttl_s == 5);
    config_free(config);
}

Test(config_auth_http, a_header_of_the_environment_wins)
{
    char *env[] = {"TERNMQ_AUTH_HTTP_HEADER=authorization: Bearer env", NULL};
    struct config *config = load_env(HEAD "auth_http_url http://127.0.0.1/\n"
                                          "auth_http_header Authorization: Bearer file\n"
                                          "auth_http_header X: y\n",
                                     env);
    cr_assert_str_eq(config->auth_http.headers[0], "authorization: Bearer env");
    cr_assert_str_eq(config->auth_http.headers[1], "X: y");
    cr_assert_null(config->auth_http.headers[2]);
    config_free(config);
}

Test(config_auth_http, urls_that_are_none)
{
    static const char *const bad[] = {
        "ftp://a/",    "a.example/user",      "https://", "http:///path", "http://u:p@host/",
        "http://a b/", "http://host/\xc3\xa4"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, HEAD "auth_http_acl_url %s\n", bad[i]);
        expect_error(text, "auth_http_acl_url");
    }
}

Test(config_auth_http, headers_that_are_none_and_no_secret_in_a_message)
{
    static const char *const bad[] = {"hunter2",
                                      ": hunter2",
                                      "A B: hunter2",

                                      "Content-Type: hunter2",
                                      "host: hunter2",
                                      "Transfer-Encoding: hunter2",
                                      "A\xc3: hunter2"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, HEAD "auth_http_header %s\n", bad[i]);
        expect_error(text, "header");
        cr_assert_null(strstr(report.errors[0].text, "hunter2"));
    }
    char *env[] = {"TERNMQ_AUTH_HTTP_HEADER=A: hunter2\r\nB: c", NULL};
    cr_assert_null(load_env(HEAD, env));
    cr_assert_not_null(strstr(report.errors[0].text, "control character"));
    cr_assert_null(strstr(report.errors[0].text, "hunter2"));
    char many[4096] = HEAD;
    for (unsigned i = 0; i < 33; i++)
        (void)snprintf(many + strlen(many), 64, "auth_http_header H%u: x\n", i);
    expect_error(many, "more than 32");
}

Test(config_auth_http, warnings)
{
    expect_warning(HEAD "auth_http_url http://auth.example.org/\n", "without https");
    expect_warning(HEAD "auth_http_url http://127.0.0.1.example.org/\n", "without https");
    expect_warning(HEAD "auth_http_ca_file /x\n", "no effect");
    expect_warning(HEAD "auth_http_superuser_url http://127.0.0.1/\n", "no effect");
}
