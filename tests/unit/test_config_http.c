// test_config_http.c - the key http_listener.
#include "core/config_http.h"
#include "tests/unit/test_config.h"

#define HEAD "allow_anonymous true\nlistener 1883\n"

static void
expect_address(const char *value, const char *host, uint16_t port)
{
    struct slice got;
    uint16_t number;
    cr_assert(config_http_address(slice_str(value), &got, &number), "%s", value);
    cr_assert(slice_equal(got, slice_str(host)), "%s: %.*s", value, (int)got.len, got.data);
    cr_assert_eq(number, port, "%s: %u", value, number);
}

Test(config_http, addresses)
{
    expect_address("9883", "", 9883);
    expect_address("1", "", 1);
    expect_address("65535", "", 65535);
    expect_address("127.0.0.1:9883", "127.0.0.1", 9883);
    expect_address("0.0.0.0:80", "0.0.0.0", 80);
    expect_address("[::]:9883", "::", 9883);
    expect_address("[fe80::1%eth0]:9883", "fe80::1%eth0", 9883);
    expect_address("metrics.example.org:9883", "metrics.example.org", 9883);
}

Test(config_http, what_is_none)
{
    static const char *const bad[] = {
        "",           "0",         "65536",   "99999999999999999999",
        "-1",         "+1",        "9883a",   "9883 ",
        "a b:9883",   ":9883",     "x:",      "x:0",
        "::1",        "::1:9883",  "[]:9883", "[::1]",
        "[::1",       "::1]:9883", "[a]b:1",  "[[::1]]:1",
        "http://x:1", "127.0.0.1", "true",    "9883 # why",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct slice host;
        uint16_t port;
        cr_assert_not(config_http_address(slice_str(bad[i]), &host, &port), "%s", bad[i]);
    }
    char longest[300];
    memset(longest, 'a', sizeof longest);
    struct slice host;
    uint16_t port;
    memcpy(longest + 253, ":1", 2);
    cr_assert(config_http_address(slice_of(longest, 255), &host, &port));
    memcpy(longest + 253, "a:1", 3);
    cr_assert_not(config_http_address(slice_of(longest, 256), &host, &port));
}

Test(config_http, is_off_unless_it_is_said)
{
    struct config *config = load_clean(HEAD);
    cr_assert_null(config->http_listener);
    config_free(config);
    config = load_clean(HEAD "http_listener 0.0.0.0:9883\n");
    cr_assert_str_eq(config->http_listener, "0.0.0.0:9883");
    config_free(config);
    config = load_clean(HEAD "http_listener 9883 # for probes\n");
    cr_assert_str_eq(config->http_listener, "9883");
    config_free(config);
    expect_warning(HEAD "http_listener 9883 127.0.0.1\n",
                   "\"127.0.0.1\" after the value is ignored");
}

Test(config_http, bad_values_name_line_and_what_was_expected)
{
    expect_error(HEAD "http_listener localhost\n",
                 "t.conf:3: http_listener: \"localhost\" is not [ADDRESS:]PORT, as 9883, "
                 "10.0.0.1:9883 and [::]:9883 are");
    expect_error(HEAD "http_listener\n", "t.conf:3: http_listener needs a value");
    expect_error(HEAD "http_listner 1\n", "did you mean \"http_listener\"");
}

Test(config_http, the_environment_wins)
{
    char *env[] = {"TERNMQ_HTTP_LISTENER=[::1]:1234", NULL};
    struct config *config = load_env(HEAD "http_listener 9883\n", env);
    cr_assert_str_eq(config->http_listener, "[::1]:1234");
    config_free(config);
    char *bad[] = {"TERNMQ_HTTP_LISTENER=yes", NULL};
    cr_assert_null(load_env(HEAD, bad));
    cr_assert_not_null(strstr(report.errors[0].text, "TERNMQ_HTTP_LISTENER: http_listener: "));
}
