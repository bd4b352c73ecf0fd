// config_options.c - the command line, and the texts that are made from the tables.
#include <stdio.h>
#include <stdlib.h>

#include "core/config_loader.h"

// ---- The command line ---------------------------------------------------------------------------

static const struct option {
    char letter; // 0: none
    const char *name;
    const char *value; // NULL: takes none
    size_t flag;       // of the bool in struct config_options
    const char *help;
} options_table[] = {
#define FLAG(field) offsetof(struct config_options, field)
    {'c', "config-file", "FILE", 0, "read this configuration; without it, serve loopback only"},
    {'p', "port", "PORT", 0, "listen on this port of loopback; may be repeated"},
    {'d', "daemon", NULL, FLAG(daemon), "go to the background, log to syslog"},
    {'v', "verbose", NULL, FLAG(verbose), "log everything"},
    {'q', "quiet", NULL, FLAG(quiet), "log nothing"},
    {0, "export", "FILE", 0, "write the store as lines of JSON to FILE (-: standard output)"},
    {0, "import", "FILE", 0, "take FILE, of --export or a mosquitto.db, into an empty store"},
    {0, "backup", NULL, FLAG(backup), "have the running broker copy its store, and wait for it"},
    {0, "test-config", NULL, FLAG(test_config), "tell what is wrong with the configuration"},
    {0, "example-config", NULL, FLAG(example_config), "print a configuration with all keys"},
    {0, "version", NULL, FLAG(version), "print the version"},
    {'h', "help", NULL, FLAG(help), "print this"},
#undef FLAG
};

static const struct option *
find_option(const char *arg)
{
    for (uint32_t i = 0; i < ARRAY_LEN(options_table); i++) {
        const struct option *option = &options_table[i];
        if (arg[0] == '-' && arg[1] == '-' && strcmp(arg + 2, option->name) == 0)
            return option;
        if (option->letter && arg[0] == '-' && arg[1] == option->letter && arg[2] == '\0')
            return option;
    }
    return NULL;
}

static void
take_value(struct config_loader *loader, const struct option *option, char *value,
           struct config_options *options)
{
    if (option->letter == 'c') {
        if (value[0] == '\0')
            config_error(loader, "-c needs a file");
        options->file = value;
        return;
    }
    if (option->letter == 0) {
        bool export = strcmp(option->name, "export") == 0;
        *(export ? &options->export_file : &options->import_file) = value;
        return;
    }
    must(option->letter == 'p');
    uint64_t port;
    if (!config_uint(loader, slice_str(value), 1, UINT16_MAX, &port))
        return;
    if (options->port_count == CONFIG_PORTS_MAX)
        config_error(loader, "-p is there more than %d times", CONFIG_PORTS_MAX);
    else
        options->ports[options->port_count++] = (uint16_t)port;
}

err_t
config_options_parse(int argc, char **argv, struct config_options *ret_options,
                     struct config_report *ret_report)
{
    must(argc >= 0 && ret_options != NULL && ret_report != NULL);
    memset(ret_options, 0, sizeof *ret_options);
    ret_report->error_count = ret_report->warning_count = 0;
    struct config_loader loader = {.report = ret_report, .here = {"command line", 0}};
    for (int i = 1; i < argc; i++) {
        const struct option *option = find_option(argv[i]);
        if (!option) {
            config_error(&loader, "unknown option \"%.64s\"; --help tells what there is", argv[i]);
        } else if (!option->value) {
            *(bool *)(void *)((uint8_t *)ret_options + option->flag) = true;
        } else if (i + 1 == argc) {
            config_error(&loader, "%s needs a value", argv[i]);
        } else {
            take_value(&loader, option, argv[i + 1], ret_options);
            i++;
        }
    }
    must(ret_options->port_count <= CONFIG_PORTS_MAX);
    return ret_report->error_count == 0 ? OK : ERR_CONFIG;
}

// ---- --help -------------------------------------------------------------------------------------

static bool
is_offered(const struct config_key *key)
{
    return key->status == KEY_SUPPORTED;
}

// Lines of at most 80 columns, each after prefix.
static void
write_wrapped(FILE *out, const char *prefix, const char *text)
{
    must(strlen(prefix) < 40);
    const size_t width = 80 - strlen(prefix);
    while (*text) {
        size_t len = strlen(text);
        if (len > width) {
            len = width;
            while (len > 0 && text[len] != ' ')
                len--;
            must(len > 0); // no word of the table is that long
        }
        (void)fprintf(out, "%s%.*s\n", prefix, (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

static void
write_help_key(FILE *out, const struct config_key *key)
{
    if (key->fallback)
        (void)fprintf(out, "  %-30s %s\n", key->name, key->fallback);
    else
        (void)fprintf(out, "  %s\n", key->name);
    write_wrapped(out, "      ", key->help);
}

void
config_write_help(void *file)
{
    FILE *out = file;
    (void)fprintf(out, "ternmq, an MQTT broker\n\nUsage: ternmq [OPTION...]\n\n");
    for (uint32_t i = 0; i < ARRAY_LEN(options_table); i++) {
        const struct option *option = &options_table[i];
        char letter[8] = "    ", name[32];
        if (option->letter)
            (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
        (void)snprintf(name, sizeof name, "%s %s", option->name,
                       option->value ? option->value : "");
        (void)fprintf(out, "  %s--%-17s  %s\n", letter, name, option->help);
    }
    (void)fprintf(out, "\nSignals: HUP reloads the configuration, TERM and INT stop, USR1 reopens "
                       "the log,\nUSR2 logs the subscriptions, RTMIN copies the store.\n");
    (void)fprintf(out, "\nKeys of the configuration, their defaults and meanings. Each can also "
                       "come from the\nenvironment, as " CONFIG_ENV_PREFIX
                       "MAX_QOS for max_qos, and then wins over the file.\n");
    int group = -1;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!is_offered(key))
            continue;
        if ((int)key->group != group)
            (void)fprintf(out, "\n%s\n", config_group_names[key->group]);
        group = (int)key->group;
        write_help_key(out, key);
    }
}

// ---- --example-config ---------------------------------------------------------------------------

static void
write_kind(FILE *out, const struct config_key *key)
{
    must(is_offered(key));
    char text[200];
    if (key->type == TYPE_UINT)
        (void)snprintf(text, sizeof text, "%s, %llu to %llu%s", key->unit,
                       (unsigned long long)key->min, (unsigned long long)key->max,
                       key->unset ? ", or auto" : "");
    else if (key->type == TYPE_BOOL)
        (void)snprintf(text, sizeof text, "true | false");
    else if (key->type == TYPE_DURATION)
        (void)snprintf(text, sizeof text, "number and s, h, d, w, m (30 days) or y, or never");
    else
        (void)snprintf(text, sizeof text, "%s", key->choices ? key->choices : key->unit);
    char line[256];
    (void)snprintf(line, sizeof line, "(%s%s%s)", text,
                   key->scope == SCOPE_LISTENER ? "; of a listener" : "",
                   key->fixed ? "; a reload does not change it" : "");
    write_wrapped(out, "# ", line);
}

void
config_write_example(void *file)
{
    FILE *out = file;
    write_wrapped(out, "# ",
                  "Configuration of ternmq: every key with its default, or with an example "
                  "where there is none. Written by ternmq --example-config.");
    int group = -1;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!is_offered(key))
            continue;
        if ((int)key->group != group)
            (void)fprintf(out, "\n# ---- %s ----\n", config_group_names[key->group]);
        group = (int)key->group;
        (void)fprintf(out, "\n");
        write_wrapped(out, "# ", key->help);
        write_kind(out, key);
        (void)fprintf(out, "#%s %s\n", key->name, key->fallback ? key->fallback : key->example);
    }
}
