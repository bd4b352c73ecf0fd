// test_config_files.c - configuration files, the command line, reload.
#include "test_config.h"

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
    write_file("a.conf", OPEN
               "listener 1000\nadvertise a\nlistener 0 /tmp/s\nworkers 2\nuser a\npid_file /p\n");
    write_file("b.conf", OPEN "listener 1000\nsocket_domain ipv6\nadvertise b:1\n"
                              "listener 1002 ::1\nworkers 3\nuser b\n");
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
    cr_assert(warned_of("listener 1000 keeps its advertise"));
    cr_assert_str_eq(new->listeners[0].advertise, "a");
    cr_assert(warned_of("listener 0 /tmp/s stays open"));
    cr_assert(warned_of("listener 1002 ::1 is not open yet"));
    config_free(old);
    config_free(new);
}

Test(config_file, bad_reload_gives_nothing)
{
    write_file("a.conf", OPEN "listener 1000\n");
    struct config *old = load_file("a.conf", NULL);
    write_file("a.conf", "listener 1000\nmount_point /p\n");
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

// Keys that mean nothing alone.
static bool
is_of_cluster(const char *line)
{
    return strncmp(line, "cluster_", 8) == 0 || strncmp(line, "node_name", 9) == 0;
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
    char cluster[1000] = "";
    size_t used = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t length = strcspn(line, "\n");
        cr_assert_leq(length, 80);
        if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z') {
            char one[200];
            (void)snprintf(one, sizeof one, "%.*s\n", (int)length - 1, line + 1);
            keys++;
            if (is_of_cluster(one)) {
                if (strncmp(one, "cluster_plain", 13) != 0)
                    used += (size_t)snprintf(cluster + used, sizeof cluster - used, "%s", one);
                continue;
            }
            config_free(load(one));
            cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
        }
    }
    (void)snprintf(cluster + used, sizeof cluster - used, "cluster_plain true\n");
    config_free(load(cluster));
    cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
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
    cr_assert_null(strstr(text, "mount_point"), "what is refused is not offered");
    free(text);
}
