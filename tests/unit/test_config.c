// test_config.c - the configuration: grammar, every kind of value, environment, texts.
#include "test_config.h"

Test(config, defaults_are_those_of_mosquitto)
{
    struct config *config = config_defaults();
    cr_assert_eq(config->inflight_messages_max, INFLIGHT_AUTO);
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

Test(config, limits_have_their_defaults_and_bounds)
{
    struct config *config = load_clean(OPEN "listener 1\nmax_messages_in_rate 10\n"
                                            "max_bytes_in_rate 20\nlistener 2\n"
                                            "max_messages_out_rate 30\nmax_bytes_out_rate 40\n");
    cr_assert(config->connect_rate == 0 && config->address_connect_rate == 0);
    cr_assert(config->address_connections_max == 0 && config->flapping_max == 0);
    cr_assert(config->flapping_window_s == 60 && config->flapping_ban_s == 300);
    cr_assert(config->login_failures_max == 1000 && config->login_failure_window_s == 60);
    cr_assert_eq(config->login_failure_ban_s, 60);
    cr_assert(config->topic_levels_max == 200 && config->subscribe_filters_max == 10000);
    cr_assert_eq(config->retained_message_max, 0);
    const struct listener_config *first = &config->listeners[0], *second = &config->listeners[1];
    cr_assert(first->messages_in_rate == 10 && first->bytes_in_rate == 20);
    cr_assert(first->messages_out_rate == 0 && first->bytes_out_rate == 0);
    cr_assert(second->messages_in_rate == 0 && second->bytes_in_rate == 0);
    cr_assert(second->messages_out_rate == 30 && second->bytes_out_rate == 40);
    config_free(config);
    expect_error("max_topic_levels 0\n", "max_topic_levels");
    expect_error("max_topic_levels 201\n", "max_topic_levels"); // what the trie is made for
    expect_error("flapping_window 0\n", "flapping_window");
    expect_error("login_failure_ban 0\n", "login_failure_ban");
    expect_error("listener 1\nmax_bytes_in_rate 1099511627777\n", "max_bytes_in_rate");
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
    static const char *const keys[] = {
        "auth_plugin /x",   "auth_opt_host x",     "plugin /x",           "plugin_opt_y z",
        "mount_point a/",   "clientid_prefixes x", "bind_interface eth0", "connection b",
        "bridge_cafile /c", "protocol http_api",   "topic # both"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[200];
        (void)snprintf(text, sizeof text, OPEN "listener 1883\n%s\n", keys[i]);
        expect_error(text, "t.conf:3: ");
        cr_assert_not_null(strstr(report.errors[0].text, "this version"), "%s", keys[i]);
    }
    config_free(load_clean("require_certificate false\nenable_proxy_protocol false\n"));
}

Test(config, mosquittos_plugin_of_dynamic_security_is_built_in)
{
    struct config *config = load_clean(
        "persistence true\nplugin /usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so\n"
        "plugin_opt_config_file /etc/d.json\n");
    cr_assert(config->dynamic_security);
    cr_assert_str_eq(config->dynamic_security_file, "/etc/d.json");
    config_free(config);
    config = load_clean("persistence true\ndynamic_security true\n"
                        "dynamic_security_file /etc/d.json\nlistener 1883\n");
    cr_assert(config->dynamic_security && !config->listeners[0].allow_anonymous);
    config_free(config);
    expect_error("plugin /usr/lib/other.so\n", "this version has no plugins");
    expect_error("persistence true\ndynamic_security true\nacl_file /a\n",
                 "acl_file and dynamic_security exclude each other");
    expect_warning("dynamic_security true\n", "without persistence true");
    expect_warning("dynamic_security_file /a\n", "no effect without dynamic_security");
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
    char *const env[] = {"TERNMQ_MAX_QOS=7", "TERNMQ_CLIENTID_PREFIXES=x", "TERNMQ_LISTENER=1",
                         NULL};
    cr_assert_null(load_env("", env));
    cr_assert_eq(report.error_count, 3);
    cr_assert_not_null(strstr(report.errors[0].text, "TERNMQ_MAX_QOS: "));
    cr_assert_not_null(strstr(report.errors[1].text, "client identifiers"));
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
