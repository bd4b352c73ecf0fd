// test_config.c - the configuration: grammar, every kind of value, environment, reload, texts.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "core/config.h"

static struct config_report report;

static struct config *
load_env(const char *text, char *const *env)
{
    struct config *config = NULL;
    err_t err = config_parse("t.conf", slice_str(text), env, &config, &report);
    cr_assert_eq(err, report.error_count ? ERR_CONFIG : OK);
    return config;
}

static struct config *
load(const char *text)
{
    return load_env(text, NULL);
}

// Loads what must be good and say nothing.
static struct config *
load_clean(const char *text)
{
    struct config *config = load(text);
    cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
    cr_assert_eq(report.warning_count, 0, "%s", report.warnings[0].text);
    return config;
}

static void
expect_error(const char *text, const char *error)
{
    cr_assert_null(load(text), "no error for: %s", text);
    cr_assert_not_null(strstr(report.errors[0].text, error), "got: %s", report.errors[0].text);
}

static void
expect_warning(const char *text, const char *warning)
{
    struct config *config = load(text);
    cr_assert_not_null(config, "%s", report.errors[0].text);
    bool found = false;
    for (uint32_t i = 0; i < report.warning_count; i++)
        found = found || strstr(report.warnings[i].text, warning);
    cr_assert(found, "warnings of %s do not say: %s (first: %s)", text, warning,
              report.warning_count ? report.warnings[0].text : "none");
    config_free(config);
}

#define OPEN "allow_anonymous true\n" // else a listener that nobody can use is warned of

Test(config, defaults_are_those_of_mosquitto)
{
    struct config *config = config_defaults();
    cr_assert_eq(config->inflight_messages_max, 20);
    cr_assert_eq(config->queued_messages_max, 1000);
    cr_assert_eq(config->packet_size_max, 2000000);
    cr_assert_eq(config->sys_interval_s, 10);
    cr_assert_eq(config->keep_alive_max_s, 0);
    cr_assert_eq(config->session_expiry_max_s, UINT32_MAX);
    cr_assert(config->retain_available && config->allow_zero_length_clientid);
    cr_assert_not(config->queue_qos0_messages || config->upgrade_outgoing_qos);
    cr_assert_str_eq(config->auto_id_prefix, "auto-");
    cr_assert_eq(config->log.types, LOG_T_DEFAULT);
    cr_assert_eq(config->log.dests, LOG_D_STDERR);
    cr_assert_eq(config->listener_count, 0);
    config_free(config);
    config_free(NULL);
}

Test(config, empty_file_serves_loopback_without_names)
{
    struct config *config = load_clean("");
    cr_assert_eq(config->listener_count, 1);
    cr_assert_eq(config->listeners[0].port, 1883);
    cr_assert(config->listeners[0].loopback_only);
    cr_assert(config->listeners[0].allow_anonymous);
    config_free(config);
}

Test(config, global_keys_alone_open_nothing_to_the_world)
{
    struct config *config = load_clean("max_queued_messages 5\n");
    cr_assert(config->listeners[0].loopback_only && config->listeners[0].allow_anonymous);
    cr_assert_eq(config->queued_messages_max, 5);
    config_free(config);
    config = load("allow_anonymous false\n");
    cr_assert_not(config->listeners[0].allow_anonymous);
    config_free(config);
}

Test(config, listener_refuses_anonymous_unless_told)
{
    struct config *config = load("listener 1884\n");
    cr_assert_not(config->listeners[0].allow_anonymous);
    cr_assert_not(config->listeners[0].loopback_only);
    cr_assert_not_null(strstr(report.warnings[0].text, "nobody can connect"));
    config_free(config);
    config = load("port 1884\n");
    cr_assert_not(config->listeners[0].allow_anonymous);
    config_free(config);
}

Test(config, allow_anonymous_is_global_wherever_it_stands)
{
    struct config *config = load_clean("listener 1\nlistener 2\nallow_anonymous true\n");
    cr_assert(config->listeners[0].allow_anonymous && config->listeners[1].allow_anonymous);
    config_free(config);
    expect_warning("listener 1\nallow_anonymous false\nlistener 2\nallow_anonymous true\n",
                   "the last one holds for all");
}

Test(config, per_listener_settings_separate_anonymous)
{
    struct config *config = load_clean("allow_anonymous true\nport 3\nper_listener_settings true\n"
                                       "listener 1\nlistener 2\nallow_anonymous true\n"
                                       "listener 4\nallow_anonymous false\n");
    cr_assert_eq(config->listener_count, 4);
    cr_assert_not(config->listeners[0].allow_anonymous);
    cr_assert(config->listeners[1].allow_anonymous);
    cr_assert_not(config->listeners[2].allow_anonymous);
    cr_assert(config->listeners[3].allow_anonymous, "said before any listener: the default one");
    config_free(config);
}

Test(config, blocks_take_the_listener_keys_below_them)
{
    struct config *config = load_clean(OPEN "max_connections 7\nport 1000\nbind_address ::1\n"
                                            "listener 1001 10.0.0.1\nmax_connections 8\n"
                                            "socket_domain ipv4\nlistener 1002\nmax_qos 1\n"
                                            "max_topic_alias 0\nprotocol mqtt\n");
    cr_assert_eq(config->listener_count, 3);
    cr_assert_eq(config->listeners[0].port, 1001);
    cr_assert_str_eq(config->listeners[0].address, "10.0.0.1");
    cr_assert_eq(config->listeners[0].connections_max, 8);
    cr_assert_eq(config->listeners[0].socket_domain, 4);
    cr_assert_eq(config->listeners[1].connections_max, 0);
    cr_assert_eq(config->listeners[1].maximum_qos, 1);
    cr_assert_eq(config->listeners[1].topic_alias_max, 0);
    cr_assert_null(config->listeners[1].address);
    cr_assert_eq(config->listeners[2].port, 1000, "the default listener comes last");
    cr_assert_eq(config->listeners[2].connections_max, 7);
    cr_assert_str_eq(config->listeners[2].address, "::1");
    config_free(config);
}

Test(config, unix_socket_listener)
{
    struct config *config = load_clean(OPEN "listener 0 /run/my broker.sock\n");
    cr_assert_str_eq(config->listeners[0].unix_path, "/run/my broker.sock");
    cr_assert_eq(config->listeners[0].port, 0);
    config_free(config);
    expect_error("listener 0\n", "needs their path");
    expect_error("listener 0 relative.sock\n", "needs their path");
    expect_error("listener 1883 /run/x.sock\n", "needs port 0");
    char text[200] = "listener 0 /";
    memset(text + strlen(text), 'x', 107);
    expect_error(text, "at most 107 bytes");
    text[strlen(text) - 1] = '\0';
    config_free(load(text));
    cr_assert_eq(report.error_count, 0);
}

Test(config, two_listeners_on_one_place_are_an_error)
{
    expect_error(OPEN "listener 1883\nlistener 1883\n", "two listeners on port 1883");
    expect_error(OPEN "listener 0 /a\nlistener 0 /a\n", "two listeners on /a");
    config_free(load_clean(OPEN "listener 1883 ::1\nlistener 1883 127.0.0.1\n"));
    config_free(load_clean(OPEN "listener 1883\nsocket_domain ipv4\nlistener 1883\n"
                                "socket_domain ipv6\n"));
}

Test(config, listeners_have_a_limit)
{
    char text[8192] = OPEN;
    for (int i = 0; i <= CONFIG_LISTENERS_MAX; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "listener %d\n", 1000 + i);
        strncat(text, line, sizeof text - strlen(text) - 1);
    }
    expect_error(text, "more than 64 listeners");
}

Test(config, key_before_all_listeners_without_a_port_is_told)
{
    expect_warning(OPEN "max_connections 5\nlistener 1884\n", "t.conf:2: max_connections stands");
}

Test(config, port_under_another_listener_is_the_default_one_and_told)
{
    expect_warning(OPEN "listener 1884\nport 1885\n", "is the default listener's");
}

Test(config, boolean_takes_its_first_word)
{
    struct config *config = load_clean("queue_qos0_messages true # why\nretain_available 0\n");
    cr_assert(config->queue_qos0_messages);
    cr_assert_not(config->retain_available);
    config_free(config);
    expect_error("queue_qos0_messages yes\n", "neither true nor false");
    expect_error("queue_qos0_messages True\n", "neither true nor false");
}

Test(config, numbers_have_bounds)
{
    struct config *config = load_clean("max_inflight_messages 65535\n");
    cr_assert_eq(config->inflight_messages_max, 65535);
    config_free(config);
    static const char *const bad[] = {"65536",
                                      "-1",
                                      "+1",
                                      "1.5",
                                      "0x10",
                                      "12a",
                                      "",
                                      "18446744073709551616",
                                      "99999999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "max_inflight_messages %s\n", bad[i]);
        expect_error(text, i == 6 ? "needs a value" : "not a number from 0 to 65535");
    }
    expect_error("receive_maximum 0\n", "from 1 to 65535");
    expect_error("max_qos 3\n", "from 0 to 2");
    expect_error("port 0\n", "from 1 to 65535");
    expect_error("max_packet_size 19\n", "from 20");
    expect_warning("max_packet_size 30 bytes\n", "\"bytes\" after the value is ignored");
}

Test(config, minus_one_means_unlimited)
{
    struct config *config = load_clean("max_connections -1\nglobal_max_clients -1\n");
    cr_assert_eq(config->listeners[0].connections_max, 0);
    cr_assert_eq(config->clients_max, 0);
    config_free(config);
}

Test(config, packet_size_zero_is_what_mqtt_allows)
{
    struct config *config = load_clean("max_packet_size 0\n");
    cr_assert_eq(config->packet_size_max, 268435460);
    config_free(config);
    expect_warning("max_packet_size 0 bytes\n", "is ignored");
    expect_error("max_packet_size 00\n", "from 20");
}

Test(config, durations_have_units)
{
    static const struct {
        const char *text;
        uint32_t seconds;
    } good[] = {{"30s", 30},           {"2h", 7200},
                {"1d", 86400},         {"2w", 1209600},
                {"3m", 3 * 2592000},   {"1y", 31536000},
                {"never", UINT32_MAX}, {"4294967294s", UINT32_MAX - 1}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "persistent_client_expiration %s\n", good[i].text);
        struct config *config = load_clean(text);
        cr_assert_eq(config->session_expiry_max_s, good[i].seconds, "%s", good[i].text);
        config_free(config);
    }
    static const char *const bad[] = {"30", "h", "0d", "-1d", "1D", "1dd", "137y", "4294967295s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "persistent_client_expiration %s\n", bad[i]);
        expect_error(text, "is not a duration");
    }
    struct config *config = load_clean("retained_message_expiry never\n");
    cr_assert_eq(config->retain_expiry_s, 0);
    config_free(config);
}

Test(config, choices)
{
    struct config *config = load_clean("queue_full_action disconnect\nlog_format json\n");
    cr_assert_eq(config->queue_full_action, QUEUE_FULL_DISCONNECT);
    cr_assert(config->log.json);
    config_free(config);
    expect_error("queue_full_action drop\n", "one of reject|drop_newest|drop_oldest|disconnect");
}

Test(config, strings_go_to_the_end_of_the_line)
{
    struct config *config = load_clean("auto_id_prefix  my # prefix \t \n");
    cr_assert_str_eq(config->auto_id_prefix, "my # prefix");
    config_free(config);
}

Test(config, line_ends_marks_and_blanks)
{
    struct config *config = load_clean("\xef\xbb\xbf# first\r\n\r\n  \t\n\tsys_interval\t5\r\n"
                                       " # comment\nmax_keepalive 9");
    cr_assert_eq(config->sys_interval_s, 5);
    cr_assert_eq(config->keep_alive_max_s, 9);
    config_free(config);
}

Test(config, dirty_lines_are_errors_with_their_number)
{
    static const char nul[] = "sys_interval 5\nsys_\0interval 5\n";
    struct config *config = NULL;
    err_t err = config_parse("t.conf", slice_of(nul, sizeof nul - 1), NULL, &config, &report);
    cr_assert_eq(err, ERR_CONFIG);
    cr_assert_str_eq(report.errors[0].text,
                     "t.conf:2: byte 5 of the line is the control character 0x00");
    static char line[CONFIG_LINE_MAX + 40];
    memset(line, 'x', CONFIG_LINE_MAX + 1);
    expect_error(line, "longer than 4096 bytes");
}

Test(config, unknown_key_names_the_nearest)
{
    expect_error("\nmax_inflight_mesages 5\n",
                 "t.conf:2: unknown key \"max_inflight_mesages\"; did you mean "
                 "\"max_inflight_messages\"?");
    expect_error("Listener 1883\n", "did you mean \"listener\"?");
    expect_error("prot 1883\n", "did you mean \"port\"?");
    expect_error("completely_different_thing 1\n", "unknown key \"completely_different_thing\"");
    cr_assert_null(strstr(report.errors[0].text, "did you mean"));
}

Test(config, all_errors_are_collected_and_counted)
{
    char text[2000] = "";
    for (int i = 0; i < 40; i++)
        strncat(text, "nonsense 1\n", sizeof text - strlen(text) - 1);
    cr_assert_null(load(text));
    cr_assert_eq(report.error_count, 40);
    cr_assert_not_null(strstr(report.errors[CONFIG_PROBLEMS_MAX - 1].text, "t.conf:32: "));
}

Test(config, repeated_scalar_is_told_and_the_last_holds)
{
    expect_warning("sys_interval 1\nsys_interval 2\n",
                   "t.conf:2: sys_interval stands in t.conf:1 already");
    struct config *config = load("sys_interval 1\nsys_interval 2\n");
    cr_assert_eq(config->sys_interval_s, 2);
    config_free(config);
    config_free(load_clean(OPEN "listener 1\nmax_qos 1\nlistener 2\nmax_qos 1\n"));
}

Test(config, harmless_keys_of_others_are_told_and_passed)
{
    expect_warning("autosave_interval 30\n", "autosave_interval has no meaning here");
    expect_warning("allow_duplicate_messages true\n", "has no meaning here");
    expect_warning("retain_expiry_interval 5\n", "has no meaning here");
}

Test(config, keys_that_promise_safety_refuse_to_start)
{
    static const char *const keys[] = {"password_file /p",
                                       "acl_file /a",
                                       "psk_file /p",
                                       "cafile /c",
                                       "capath /c",
                                       "certfile /c",
                                       "keyfile /k",
                                       "crlfile /c",
                                       "auth_plugin /x",
                                       "auth_opt_host x",
                                       "plugin /x",
                                       "plugin_opt_y z",
                                       "mount_point a/",
                                       "tls_version tlsv1.2",
                                       "ciphers X",
                                       "ciphers_tls1.3 X",
                                       "psk_hint x",
                                       "clientid_prefixes x",
                                       "bind_interface eth0",
                                       "connection b",
                                       "bridge_cafile /c",
                                       "require_certificate true",
                                       "enable_proxy_protocol true",
                                       "protocol websockets",
                                       "use_identity_as_username true",
                                       "topic # both"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[200];
        (void)snprintf(text, sizeof text, OPEN "listener 1883\n%s\n", keys[i]);
        expect_error(text, "t.conf:3: ");
        cr_assert_not_null(strstr(report.errors[0].text, "this version"), "%s", keys[i]);
    }
    config_free(load_clean("require_certificate false\nenable_proxy_protocol false\n"));
}

Test(config, bridge_is_refused_once)
{
    cr_assert_null(load("connection a\naddress x\ntopic # both\ntry_private true\n"));
    cr_assert_eq(report.error_count, 1);
}

Test(config, log_destinations_and_types)
{
    struct config *config =
        load_clean("log_dest stdout\nlog_dest file /tmp/my log\nlog_dest syslog\n"
                   "log_type error\nlog_type subscribe\nlog_facility 3\n"
                   "log_timestamp false\nlog_timestamp_format %H:%M\n");
    cr_assert_eq(config->log.dests, LOG_D_STDOUT | LOG_D_FILE | LOG_D_SYSLOG);
    cr_assert_str_eq(config->log.file, "/tmp/my log");
    cr_assert_eq(config->log.types, LOG_T_ERROR | LOG_T_SUBSCRIBE);
    cr_assert_eq(config->log.syslog_facility, LOG_LOCAL3);
    cr_assert_str_eq(config->log.timestamp_format, "%H:%M");
    cr_assert_not(config->log.timestamp);
    config_free(config);
    config = load_clean("log_dest none\nlog_type none\n");
    cr_assert_eq(config->log.dests | config->log.types, 0);
    config_free(config);
    config = load_clean("log_type all\n");
    cr_assert_eq(config->log.types, LOG_T_ALL);
    config_free(config);
    expect_warning("log_dest topic\n", "is not available");
    expect_error("log_dest file\n", "needs a path");
    expect_error("log_dest printer\n", "not one of");
    expect_error("log_type loud\n", "not one of");
    expect_error("log_facility 8\n", "from 0 to 7");
}

Test(config, persistence)
{
    struct config *config = load_clean("persistence true\npersistence_location /var/lib/x/\n"
                                       "durability async\ndurability_interval 50\n"
                                       "persistence_recovery quarantine\n");
    cr_assert(config->persistence);
    cr_assert_str_eq(config->persistence_location, "/var/lib/x/");
    cr_assert_str_eq(config->persistence_file, "ternmq.db");
    cr_assert_eq(config->durability, DURABILITY_ASYNC);
    cr_assert_eq(config->durability_interval_ms, 50);
    cr_assert_eq(config->recovery, RECOVERY_QUARANTINE);
    config_free(config);
    expect_error("durability never\n", "one of sync|async");
    expect_error("durability_interval 0\n", "from 1 to 60000");
}

Test(config, environment_wins_over_the_file)
{
    char *const env[] = {"TERNMQ_MAX_QUEUED_MESSAGES=5",
                         "PATH=/bin",
                         "TERNMQ_PORT=2000",
                         "TERNMQ_BIND_ADDRESS=127.0.0.1",
                         "TERNMQ_LOG_TYPE=error, debug",
                         "TERNMQ_MAX_CONNECTIONS=9",
                         "TERNMQ_ALLOW_ANONYMOUS=true",
                         NULL};
    struct config *config = load_env("max_queued_messages 7\nlog_type notice\nport 1\n", env);
    cr_assert_eq(report.error_count + report.warning_count, 0, "%s", report.warnings[0].text);
    cr_assert_eq(config->queued_messages_max, 5);
    cr_assert_eq(config->listener_count, 1);
    cr_assert_eq(config->listeners[0].port, 2000);
    cr_assert_str_eq(config->listeners[0].address, "127.0.0.1");
    cr_assert_eq(config->listeners[0].connections_max, 9);
    cr_assert_eq(config->log.types, LOG_T_ERROR | LOG_T_DEBUG);
    config_free(config);
}

Test(config, environment_errors_name_the_variable)
{
    char *const env[] = {"TERNMQ_MAX_QOS=7", "TERNMQ_PASSWORD_FILE=/p", "TERNMQ_LISTENER=1", NULL};
    cr_assert_null(load_env("", env));
    cr_assert_eq(report.error_count, 3);
    cr_assert_not_null(strstr(report.errors[0].text, "TERNMQ_MAX_QOS: "));
    cr_assert_not_null(strstr(report.errors[1].text, "password files"));
    cr_assert_not_null(strstr(report.errors[2].text, "TERNMQ_PORT"));
}

Test(config, environment_of_kubernetes_does_no_harm)
{
    char *const env[] = {"TERNMQ_PORT=tcp://10.0.0.1:1883", "TERNMQ_SERVICE_HOST=10.0.0.1",
                         "TERNMQ_PORT_1883_TCP=tcp://10.0.0.1:1883", NULL};
    struct config *config = load_env("", env);
    cr_assert_eq(report.error_count + report.warning_count, 0);
    cr_assert_eq(config->listeners[0].port, 1883);
    config_free(config);
    char *const other[] = {"TERNMQ_COLOUR=blue", "TERNMQ_=x", "TERNMQ", NULL};
    config_free(load_env("", other));
    cr_assert_eq(report.warning_count, 1);
}

// ---- Files, command line, reload ----------------------------------------------------------------

static char folder[] = "/tmp/tern-config-XXXXXX";

static void
make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static char *
path_of(const char *name)
{
    static char paths[4][200];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void
write_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static struct config *
load_file(const char *name, struct config_options *options)
{
    struct config_options plain = {.file = path_of(name)};
    if (!options)
        options = &plain;
    options->file = path_of(name);
    struct config *config = NULL;
    err_t err = config_load(options, NULL, &config, &report);
    cr_assert_eq(err, config ? OK : ERR_CONFIG);
    return config;
}

static void
remove_folder(void)
{
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(config_file, .init = make_folder, .fini = remove_folder);

Test(config_file, missing_file_is_an_error)
{
    cr_assert_null(load_file("none.conf", NULL));
    cr_assert_not_null(strstr(report.errors[0].text, "No such file"));
}

Test(config_file, folder_as_file_is_an_error)
{
    cr_assert_null(load_file(".", NULL));
    cr_assert_not_null(strstr(report.errors[0].text, "cannot read"));
}

Test(config_file, oversize_file_is_an_error)
{
    FILE *f = fopen(path_of("big.conf"), "w");
    for (int i = 0; i <= CONFIG_FILE_BYTES_MAX; i++)
        cr_assert_eq(fputc('\n', f), '\n');
    cr_assert_eq(fclose(f), 0);
    cr_assert_null(load_file("big.conf", NULL));
    cr_assert_not_null(strstr(report.errors[0].text, "larger than"));
}

Test(config_file, include_dir_is_sorted_bytewise_and_one_level_deep)
{
    char text[400];
    cr_assert_eq(mkdir(path_of("d"), 0755), 0);
    cr_assert_eq(mkdir(path_of("d/x.conf"), 0755), 0); // a folder is no file
    write_file("d/b.conf", "auto_id_prefix b\n");
    write_file("d/B.conf", "auto_id_prefix B\nlistener 1001\n");
    write_file("d/a.conf.bak", "nonsense 1\n");
    write_file("d/.hidden.conf", "nonsense 1\n");
    cr_assert_eq(symlink("b.conf", path_of("d/c.conf")), 0); // as mounted ConfigMaps are
    (void)snprintf(text, sizeof text, OPEN "listener 1000\ninclude_dir %s/d\nmax_qos 0\n", folder);
    write_file("main.conf", text);
    struct config *config = load_file("main.conf", NULL);
    cr_assert_not_null(config, "%s", report.errors[0].text);
    cr_assert_str_eq(config->auto_id_prefix, "b");
    cr_assert_eq(config->listener_count, 2);
    cr_assert_eq(config->listeners[0].maximum_qos, 0, "the block goes on after include_dir");
    cr_assert_eq(config->listeners[1].maximum_qos, 2);
    config_free(config);

    (void)snprintf(text, sizeof text, "include_dir %s/d\n", folder);
    write_file("d/d.conf", text); // would never end
    config = load_file("main.conf", NULL);
    cr_assert_not_null(config);
    cr_assert_not_null(strstr(report.warnings[report.warning_count - 1].text, "is ignored"));
    config_free(config);
}

Test(config_file, errors_in_included_files_name_them)
{
    char text[400];
    cr_assert_eq(mkdir(path_of("d"), 0755), 0);
    write_file("d/a.conf", "\n\nnonsense 1\n");
    (void)snprintf(text, sizeof text, "include_dir %s/d\ninclude_dir %s/none\n", folder, folder);
    write_file("main.conf", text);
    cr_assert_null(load_file("main.conf", NULL));
    cr_assert_eq(report.error_count, 2);
    cr_assert_not_null(strstr(report.errors[0].text, "d/a.conf:3: unknown key"));
    cr_assert_not_null(strstr(report.errors[1].text, "main.conf:2: cannot read the folder"));
}

Test(config_file, machine_limits_are_filled_in)
{
    write_file("a.conf", "");
    struct config *config = load_file("a.conf", NULL);
    cr_assert_gt(config->memory_max, 0);
    cr_assert_str_eq(config->file, path_of("a.conf"));
    config_free(config);
    write_file("a.conf", "memory_limit 1000000\n");
    config = load_file("a.conf", NULL);
    cr_assert_eq(config->memory_max, 1000000);
    config_free(config);
}

Test(config_file, ports_of_the_command_line)
{
    struct config_options options = {.ports = {2001, 2002}, .port_count = 2};
    struct config *config = NULL;
    cr_assert_eq(config_load(&options, NULL, &config, &report), OK);
    cr_assert_eq(config->listener_count, 2, "they stand for the default 1883");
    cr_assert_eq(config->listeners[1].port, 2002);
    cr_assert(config->listeners[1].loopback_only && config->listeners[1].allow_anonymous);
    config_free(config);

    write_file("a.conf", "listener 2000\n");
    config = load_file("a.conf", &options);
    cr_assert_eq(config->listener_count, 3);
    cr_assert(config->listeners[2].loopback_only);
    cr_assert_not(config->listeners[2].allow_anonymous, "the file opened a listener");
    config_free(config);
}

Test(config_file, verbosity_and_daemon_change_the_log)
{
    write_file("a.conf", "log_type error\nlog_dest stdout\n");
    write_file("b.conf", "");
    struct config_options options = {.verbose = true, .daemon = true};
    struct config *config = load_file("a.conf", &options);
    cr_assert_eq(config->log.types, LOG_T_ALL);
    cr_assert_eq(config->log.dests, LOG_D_STDOUT);
    config_free(config);
    config = load_file("b.conf", &options);
    cr_assert_eq(config->log.dests, LOG_D_SYSLOG);
    config_free(config);
    options = (struct config_options){.quiet = true};
    config = load_file("a.conf", &options);
    cr_assert_eq(config->log.dests, 0);
    config_free(config);
}

static struct config *
reload(const struct config *old, const char *name)
{
    struct config_options options = {.file = path_of(name)};
    struct config *config = NULL;
    err_t err = config_reload(old, &options, NULL, &config, &report);
    cr_assert_eq(err, config ? OK : ERR_CONFIG);
    return config;
}

static bool
warned_of(const char *what)
{
    for (uint32_t i = 0; i < report.warning_count; i++)
        if (strstr(report.warnings[i].text, what))
            return true;
    return false;
}

Test(config_file, reload_changes_what_can_change)
{
    write_file("a.conf", OPEN "listener 1000\nlistener 1001\nmax_qos 1\nmax_queued_messages 5\n");
    write_file("b.conf", "allow_anonymous false\nlistener 1001\nmax_qos 0\nlistener 1000\n"
                         "max_connections 3\nmax_queued_messages 6\nlog_type all\n");
    struct config *old = load_file("a.conf", NULL);
    struct config *new = reload(old, "b.conf");
    cr_assert_eq(new->queued_messages_max, 6);
    cr_assert_eq(new->log.types, LOG_T_ALL);
    cr_assert_eq(new->listener_count, 2);
    cr_assert_eq(new->listeners[0].port, 1000, "connections know listeners by index");
    cr_assert_eq(new->listeners[0].connections_max, 3);
    cr_assert_eq(new->listeners[1].maximum_qos, 0);
    cr_assert_not(new->listeners[0].allow_anonymous);
    config_free(old);
    config_free(new);
}

Test(config_file, reload_keeps_what_cannot_change)
{
    write_file("a.conf", OPEN "listener 1000\nlistener 0 /tmp/s\nworkers 2\nuser a\npid_file /p\n");
    write_file("b.conf", OPEN "listener 1000\nsocket_domain ipv6\nlistener 1002 ::1\nworkers 3\n"
                              "user b\n");
    struct config *old = load_file("a.conf", NULL);
    struct config *new = reload(old, "b.conf");
    cr_assert_eq(new->workers, 2);
    cr_assert_str_eq(new->user, "a");
    cr_assert_str_eq(new->pid_file, "/p");
    cr_assert_eq(new->listener_count, 2);
    cr_assert_eq(new->listeners[0].socket_domain, 0);
    cr_assert_str_eq(new->listeners[1].unix_path, "/tmp/s");
    cr_assert(warned_of("workers cannot change") && warned_of("user cannot") &&
              warned_of("pid_file cannot"));
    cr_assert(warned_of("listener 1000 keeps its socket_domain"));
    cr_assert(warned_of("listener 0 /tmp/s stays open"));
    cr_assert(warned_of("listener 1002 ::1 is not open yet"));
    config_free(old);
    config_free(new);
}

Test(config_file, bad_reload_gives_nothing)
{
    write_file("a.conf", OPEN "listener 1000\n");
    struct config *old = load_file("a.conf", NULL);
    write_file("a.conf", "listener 1000\npassword_file /p\n");
    cr_assert_null(reload(old, "a.conf"));
    cr_assert_eq(report.error_count, 1);
    config_free(old);
}

static err_t
options_of(struct config_options *options, char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return config_options_parse(argc, argv, options, &report);
}

Test(config, command_line)
{
    struct config_options options;
    char *argv[] = {"ternmq",
                    "-c",
                    "f",
                    "-p",
                    "1",
                    "--port",
                    "2",
                    "-d",
                    "--verbose",
                    "-q",
                    "--test-config",
                    "--example-config",
                    "--version",
                    "-h",
                    NULL};
    cr_assert_eq(options_of(&options, argv), OK);
    cr_assert_str_eq(options.file, "f");
    cr_assert_eq(options.port_count, 2);
    cr_assert(options.ports[0] == 1 && options.ports[1] == 2);
    cr_assert(options.daemon && options.verbose && options.quiet && options.test_config &&
              options.example_config && options.version && options.help);
}

Test(config, command_line_errors)
{
    struct config_options options;
    char *unknown[] = {"ternmq", "--prot", "1", NULL};
    cr_assert_eq(options_of(&options, unknown), ERR_CONFIG);
    cr_assert_eq(report.error_count, 2);
    char *missing[] = {"ternmq", "-c", NULL};
    cr_assert_eq(options_of(&options, missing), ERR_CONFIG);
    char *port[] = {"ternmq", "-p", "0", NULL};
    cr_assert_eq(options_of(&options, port), ERR_CONFIG);
    char *empty[] = {"ternmq", "", NULL};
    cr_assert_eq(options_of(&options, empty), ERR_CONFIG);
    char *many[2 * CONFIG_PORTS_MAX + 4] = {"ternmq"};
    for (int i = 0; i <= CONFIG_PORTS_MAX; i++) {
        many[1 + 2 * i] = "-p";
        many[2 + 2 * i] = "5";
    }
    cr_assert_eq(options_of(&options, many), ERR_CONFIG);
}

// The example is a configuration: every key in it, uncommented, is accepted with the value shown,
// and defaults are what the loader uses.
Test(config, example_is_a_configuration)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    config_write_example(f);
    cr_assert_eq(fclose(f), 0);
    config_free(load_clean(text)); // all comments
    unsigned keys = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t length = strcspn(line, "\n");
        cr_assert_leq(length, 80);
        if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z') {
            char one[200];
            (void)snprintf(one, sizeof one, "%.*s\n", (int)length - 1, line + 1);
            config_free(load(one));
            cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
            keys++;
        }
    }
    cr_assert_gt(keys, 50);
    free(text);
}

Test(config, help_names_every_key)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    config_write_help(f);
    cr_assert_eq(fclose(f), 0);
    static const char *const some[] = {"--config-file", "-p", "max_qos", "log_dest", "workers"};
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        cr_assert_not_null(strstr(text, some[i]));
    cr_assert_null(strstr(text, "password_file"), "what is refused is not offered");
    free(text);
}
