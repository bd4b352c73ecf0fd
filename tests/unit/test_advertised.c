// test_advertised.c - how clients reach a node's listeners, as its peers are told.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/advertised.h"
#include "core/config.h"

static bool
is_good(const char *text, const char *want_host, uint16_t want_port)
{
    struct slice host;
    uint16_t port;
    return advertised_split(slice_str(text), &host, &port) &&
           slice_equal(host, slice_str(want_host)) && port == want_port;
}

static bool
is_bad(const char *text)
{
    struct slice host;
    uint16_t port;
    return !advertised_split(slice_str(text), &host, &port);
}

Test(advertised, a_host_and_perhaps_a_port)
{
    cr_assert(is_good("mqtt-1.example.org:1883", "mqtt-1.example.org", 1883));
    cr_assert(is_good("a", "a", 0));
    cr_assert(is_good("10.0.0.1:65535", "10.0.0.1", 65535));
    cr_assert(is_good("[::1]:1", "[::1]", 1));
    cr_assert(is_good("[fe80::1]", "[fe80::1]", 0));
    static const char *const bad[] = {
        "",   ":1",   "a:",     "a:0",   "a:65536", "a:1x",          "a b",      "a b:1", "::1",
        "[]", "[]:1", "[::1]x", "[a b]", "a/b",     "a:99999999999", "\xc3\xa4", "a\n"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert(is_bad(bad[i]), "%s", bad[i]);
}

static struct config *
configuration(const char *text)
{
    struct config *config;
    struct config_report report = {0};
    err_t err = config_parse("test", slice_str(text), NULL, &config, &report);
    cr_assert_eq(err, OK, "%s", report.errors[0].text);
    return config;
}

#define CLUSTER "cluster_name c\ncluster_secret_file /s\ncluster_bind 127.0.0.1:7946\n"

Test(advertised, listeners_come_back)
{
    static const char *const want[] = {
        "a.example:1883", "a.example:8883", NULL, "b", "a.example:1", NULL, NULL};
    struct config *config = configuration("advertise_host a.example\n"
                                          "listener 1883\nlistener 8883\nlistener 0 /sock\n"
                                          "listener 8080\nadvertise b\n"
                                          "listener 9000\nadvertise a.example:1\n"
                                          "listener 9001\nenable_proxy_protocol true\n"
                                          "proxy_protocol_from 10.0.0.1\n" CLUSTER);
    uint8_t bytes[NODE_ADVERTISED_MAX];
    uint32_t len;
    cr_assert(advertised_write(config, bytes, &len));
    cr_assert_eq(len, 2 + 9 + 3 * 3 + 2 + 1 + 3, "each host once");
    cr_assert_eq(config->listener_count, ARRAY_LEN(want), "with that of the nodes");
    for (uint32_t i = 0; i < ARRAY_LEN(want); i++) {
        char text[NODE_REFERENCE_MAX + 1] = "";
        bool found = advertised_find(slice_of(bytes, len), i, text);
        cr_assert_eq(found, want[i] != NULL, "%u", i);
        if (want[i])
            cr_assert_str_eq(text, want[i]);
    }
    config_free(config);
}

Test(advertised, what_is_cut_off_or_no_host_is_nothing)
{
    char text[NODE_REFERENCE_MAX + 1];
    const uint8_t good[] = "\1a\1\0\7\133\1b\1\1\0\0";
    cr_assert(advertised_find(slice_of(good, 12), 0, text));
    cr_assert_str_eq(text, "a:1883");
    cr_assert(advertised_find(slice_of(good, 12), 1, text));
    cr_assert_str_eq(text, "b");
    for (uint32_t len = 0; len < 12; len++)
        cr_assert_not(advertised_find(slice_of(good, len), 1, text), "%u", len);
    cr_assert_not(advertised_find(slice_of("\1 \1\0\7\133", 6), 0, text), "a blank");
    cr_assert_not(advertised_find(slice_of("\0\1\0\7\133", 5), 0, text), "no host");
    cr_assert_not(advertised_find(slice_of(NULL, 0), 0, text));
}

Test(advertised, what_does_not_fit_is_an_error_of_the_configuration)
{
    struct config *config;
    struct config_report report = {0};
    const char *long_host = "a23456789.b23456789.c23456789.d23456789.e23456789.f23456789."
                            "g23456789.h23456789.i2345";
    char text[1024];
    // 2 bytes and 3 for the listener: 86 are left for the host.
    (void)snprintf(text, sizeof text, "listener 1883\nadvertise %.85s\n" CLUSTER, long_host);
    config_free(configuration(text));
    (void)snprintf(text, sizeof text,
                   "listener 1883\nadvertise %.85s\nlistener 1884\n"
                   "advertise %.85s\n" CLUSTER,
                   long_host, long_host);
    cr_assert_eq(config_parse("test", slice_str(text), NULL, &config, &report), ERR_CONFIG);
    cr_assert(strstr(report.errors[0].text, "93 bytes") && strstr(report.errors[0].text, "told 91"),
              "%s", report.errors[0].text);
    report = (struct config_report){0};
    cr_assert_eq(config_parse("test", slice_str("listener 1883\nadvertise a:b\n" CLUSTER), NULL,
                              &config, &report),
                 ERR_CONFIG);
    cr_assert(strstr(report.errors[0].text, "HOST:PORT"), "%s", report.errors[0].text);
    report = (struct config_report){0};
    struct config *alone;
    cr_assert_eq(
        config_parse("test", slice_str("advertise_host a\nlistener 1883\n"), NULL, &alone, &report),
        OK);
    cr_assert(strstr(report.warnings[report.warning_count - 1].text, "no effect"), "%u",
              report.warning_count);
    config_free(alone);
}
