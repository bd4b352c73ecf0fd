// test_config_show.c - the configuration in force is shown so that it could be read again.
#include <criterion/criterion.h>

#include "tests/unit/test_config.h"

struct text {
    char bytes[65536];
    size_t len;
};

static void
add(void *arg, const struct config_shown *shown)
{
    struct text *text = arg;
    int len = snprintf(text->bytes + text->len, sizeof text->bytes - text->len, "%s %s\n",
                       shown->key, shown->value);
    cr_assert(len > 0 && (size_t)len < sizeof text->bytes - text->len);
    text->len += (size_t)len;
}

static const char *
shown(const struct config *config)
{
    static struct text texts[2];
    static unsigned next;
    struct text *text = &texts[next++ % 2];
    text->len = 0;
    config_show(config, add, text);
    return text->bytes;
}

static void
expect_line(const char *text, const char *line)
{
    char whole[300];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    cr_assert(strstr(text, whole), "no line \"%s\" in:\n%s", line, text);
}

// What is shown of one is read, and shown again.
static void
expect_same_again(const char *text)
{
    struct config *config = load(text);
    cr_assert_not_null(config, "%s", report.errors[0].text);
    const char *first = shown(config);
    struct config *again = load(first);
    cr_assert_not_null(again, "%s, of:\n%s", report.errors[0].text, first);
    const char *second = shown(again);
    cr_assert_str_eq(first, second);
    config_free(again);
    config_free(config);
}

Test(config_show, what_is_shown_can_be_read)
{
    expect_same_again("");
    expect_same_again("listener 1883\nallow_anonymous true\n");
    expect_same_again("listener 1883 127.0.0.1\nallow_anonymous true\nmax_qos 1\nsocket_domain "
                      "ipv4\nlistener 8080\nprotocol websockets\nwebsockets_origin a://b\n"
                      "websockets_origin c://d\nlistener 0 /run/x.sock\n");
    expect_same_again("listener 1884\nenable_proxy_protocol 2\nproxy_protocol_from 10.0.0.0/8\n"
                      "proxy_protocol_from 2001:db8::/32\npassword_file /p\nacl_file /a\n");
    expect_same_again("max_inflight_messages auto\nmemory_limit 1000000\nretained_message_expiry "
                      "2w\npersistent_client_expiration 90s\nlog_type none\nlog_dest none\n"
                      "durability async\nqueue_full_action drop_oldest\nmax_packet_size 0\n");
    expect_same_again("log_dest file /var/log/a b\nlog_dest syslog\nlog_facility 3\nlog_type all\n"
                      "auth_jwt_key_file /k\nauth_jwt_match client_id %c\nauth_jwt_match a b\n");
}

Test(config_show, values_are_as_they_are_written)
{
    struct config *config = load("listener 1883 ::1\nallow_anonymous true\nretained_message_expiry "
                                 "36h\nlog_type error\nlog_type debug\npersistence_file x y\n");
    const char *text = shown(config);
    expect_line(text, "retained_message_expiry 36h");
    expect_line(text, "persistent_client_expiration never");
    expect_line(text, "max_inflight_messages auto");
    expect_line(text, "max_queued_messages 1000");
    expect_line(text, "queue_full_action reject");
    expect_line(text, "persistence_file x y");
    expect_line(text, "log_type debug");
    expect_line(text, "log_dest stderr");
    expect_line(text, "listener 1883 ::1");
    expect_line(text, "allow_anonymous true");
    expect_line(text, "max_qos 2");
    cr_assert_null(strstr(text, "log_type notice"));
    cr_assert_null(strstr(text, "\npid_file"), "what has no value is left out");
    config_free(config);
}

Test(config_show, secrets_are_not_shown)
{
    struct config *config = load("auth_http_url https://host:1/path?token=abc&x=1#f\n"
                                 "auth_http_acl_url https://h/a@b\n"
                                 "auth_http_header Authorization: Bearer secret\n");
    cr_assert_not_null(config, "%s", report.errors[0].text);
    const char *text = shown(config);
    expect_line(text, "auth_http_url https://host:1/path?***");
    expect_line(text, "auth_http_acl_url https://h/a@b");
    expect_line(text, "auth_http_header Authorization: ***");
    static const char *const secrets[] = {"token", "abc", "Bearer"};
    for (unsigned i = 0; i < ARRAY_LEN(secrets); i++)
        cr_assert_null(strstr(text, secrets[i]), "%s", secrets[i]);
    config_free(config);
}
