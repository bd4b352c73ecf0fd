// config.c - a configuration's life: defaults, loading, what follows from all keys, its end.
#include "core/config.h"

#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/config_loader.h"
#include "core/host.h"

#define PORT_DEFAULT 1883

// ---- Life ---------------------------------------------------------------------------------------

void
config_listener_init(struct listener_config *listener)
{
    memset(listener, 0, sizeof *listener);
    config_value_defaults(SCOPE_LISTENER, listener);
    must(listener->maximum_qos == 2);
}

void
config_listener_clear(struct listener_config *listener)
{
    config_entry_clear(&listener->entry);
    mem_free(listener->address);
    mem_free(listener->unix_path);
    mem_free(listener->mount_point);
    mem_free(listener->advertise);
    memset(listener, 0, sizeof *listener);
}

struct config *
config_defaults(void)
{
    struct config *config = mem_zalloc(sizeof *config);
    config_value_defaults(SCOPE_GLOBAL, config);
    config->log.types = LOG_T_DEFAULT;
    config->log.dests = LOG_D_STDERR;
    config->log.syslog_facility = LOG_DAEMON;
    must(config->packet_size_max > 0 && config->listener_count == 0);
    return config;
}

void
config_free(struct config *config)
{
    if (!config)
        return;
    must(config->listener_count <= CONFIG_LISTENERS_MAX);
    for (uint32_t i = 0; i < config->listener_count; i++)
        config_listener_clear(&config->listeners[i]);
    for (uint32_t i = 0; i < config_key_count; i++)
        if (config_keys[i].type == TYPE_STRING && config_keys[i].scope == SCOPE_GLOBAL)
            mem_free(*config_value_string(&config_keys[i], config));
    config_auth_http_clear(&config->auth_http);
    config_auth_jwt_clear(&config->auth_jwt);
    mem_free(*config_log_file(config));
    mem_free(config->file);
    for (uint32_t i = 0; config->sources && config->sources[i]; i++)
        mem_free(config->sources[i]);
    mem_free((void *)config->sources);
    mem_free(config);
}

// ---- Blocks -------------------------------------------------------------------------------------

void
config_block_begins(struct config_loader *loader, struct listener_config *block)
{
    must(block != NULL);
    if (loader->block == block)
        return;
    loader->block = block;
    for (uint32_t i = 0; i < config_key_count; i++)
        if (config_keys[i].scope == SCOPE_LISTENER)
            loader->seen[i].file = NULL;
}

struct listener_config *
config_listener_add(struct config_loader *loader)
{
    struct config *config = loader->config;
    if (config->listener_count == CONFIG_LISTENERS_MAX) {
        config_error(loader, "there are more than %d listeners", CONFIG_LISTENERS_MAX);
        return NULL;
    }
    struct listener_config *listener = &config->listeners[config->listener_count++];
    config_listener_init(listener);
    config_block_begins(loader, listener);
    return listener;
}

// ---- What follows from all keys -----------------------------------------------------------------

// The default listener once more, on a port of loopback.
static void
add_loopback(struct config_loader *loader, uint16_t port)
{
    struct listener_config *listener = config_listener_add(loader);
    if (!listener)
        return;
    *listener = loader->default_listener;
    config_entry_copy(&loader->default_listener.entry, &listener->entry);
    listener->address = NULL; // the strings stay where they are
    listener->unix_path = NULL;
    listener->mount_point = NULL;
    listener->advertise = NULL;
    must(port != 0);
    listener->port = port;
    listener->loopback_only = true;
    loader->anonymous_in[loader->config->listener_count - 1] = loader->anonymous_default;
}

static void
add_default(struct config_loader *loader)
{
    struct listener_config *listener = config_listener_add(loader);
    if (!listener)
        return;
    *listener = loader->default_listener;
    memset(&loader->default_listener, 0, sizeof loader->default_listener); // its strings moved
    if (listener->port == 0)
        listener->port = PORT_DEFAULT;
    loader->anonymous_in[loader->config->listener_count - 1] = loader->anonymous_default;
}

static void
finish_anonymous(struct config_loader *loader, bool local)
{
    struct config *config = loader->config;
    bool differs = false;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        enum config_answer own = loader->anonymous_in[i];
        enum config_answer answer = config->per_listener_settings ? own : loader->anonymous;
        config->listeners[i].allow_anonymous = answer == NOT_SAID ? local : answer == SAID_YES;
        differs = differs || (own != NOT_SAID && own != loader->anonymous);
    }
    if (differs && !config->per_listener_settings)
        config_warning(loader, "allow_anonymous differs between listeners; without "
                               "per_listener_settings true the last one holds for all");
}

static void
finish_listeners(struct config_loader *loader, const struct config_options *options)
{
    struct config *config = loader->config;
    must(loader->depth == 0);
    bool local = config->listener_count == 0 && !loader->default_wanted;
    if (!local && !loader->default_wanted && loader->stray[0] != '\0')
        config_warning(loader,
                       "%s stands before any listener, and without a port there is no default "
                       "listener for it: it has no effect",
                       loader->stray);
    for (uint32_t i = 0; options && i < options->port_count; i++)
        add_loopback(loader, options->ports[i]);
    if (loader->default_wanted)
        add_default(loader);
    else if (config->listener_count == 0)
        add_loopback(loader, PORT_DEFAULT);
    must(config->listener_count > 0);
    finish_anonymous(loader, local);
    for (uint32_t i = 0; i < config->listener_count; i++)
        config_entry_finish(loader, &config->listeners[i]);
}

// Can anybody connect there?
static bool
config_admits(const struct config *config, const struct listener_config *listener)
{
    const struct listener_entry *entry = &listener->entry;
    return config->auth_http.url || config->auth_jwt.key_file || config->dynamic_security ||
           listener->allow_anonymous || entry->password_file || entry->use_identity_as_username ||
           entry->use_subject_as_username;
}

// With SO_REUSEPORT the kernel would open both and share out the clients.
static void
check_listeners(struct config_loader *loader)
{
    const struct config *config = loader->config;
    bool open = false;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct listener_config *a = &config->listeners[i];
        open = open || config_admits(config, a);
        for (uint32_t j = 0; j < i; j++) {
            const struct listener_config *b = &config->listeners[j];
            bool families = a->socket_domain == 0 || b->socket_domain == 0 ||
                            a->socket_domain == b->socket_domain;
            if (a->port == b->port && families && config_same_text(a->address, b->address) &&
                config_same_text(a->unix_path, b->unix_path) &&
                a->loopback_only == b->loopback_only)
                config_error(loader, "two listeners on %s%s%u", a->unix_path ? a->unix_path : "",
                             a->unix_path ? ", port " : "port ", a->port);
        }
    }
    if (!open)
        config_warning(loader,
                       "no listener admits anonymous clients, and nothing says who else may "
                       "come: nobody can connect (allow_anonymous true changes that)");
}

static void
finish_logging(struct config_loader *loader, const struct config_options *options)
{
    struct config *config = loader->config;
    config->daemon = options && options->daemon;
    config->quiet = options && options->quiet;
    config->verbose = options && options->verbose;
    if (config->daemon && !loader->dests_said)
        config->log.dests = LOG_D_SYSLOG; // its standard error leads nowhere
    if (config->verbose)
        config->log.types = LOG_T_ALL;
    if (config->quiet)
        config->log.dests = 0;
}

static void
finish(struct config_loader *loader, const struct config_options *options)
{
    loader->here = (struct config_origin){loader->config->file, 0};
    finish_listeners(loader, options);
    check_listeners(loader);
    config_cluster_finish(loader);
    config_auth_http_finish(loader);
    config_auth_jwt_finish(loader);
    config_dynsec_finish(loader);
    finish_logging(loader, options);
}

// ---- Loading ------------------------------------------------------------------------------------

static void
loader_init(struct config_loader *loader, struct config_report *report)
{
    memset(loader, 0, sizeof *loader);
    report->error_count = report->warning_count = 0;
    loader->report = report;
    loader->config = config_defaults();
    config_listener_init(&loader->default_listener);
    loader->block = &loader->default_listener;
}

// Gives the configuration out, or frees it when there were errors.
static err_t
loader_end(struct config_loader *loader, struct config **ret_config)
{
    config_listener_clear(&loader->default_listener);
    mem_free(loader->psk_file);
    mem_free(loader->password_file);
    mem_free(loader->acl_file);
    struct config *config = loader->config;
    config->sources = mem_zalloc((loader->file_count + 1) * sizeof(char *));
    memcpy(config->sources, loader->files, loader->file_count * sizeof(char *));
    if (loader->report->error_count > 0) {
        config_free(loader->config);
        return ERR_CONFIG;
    }
    must(loader->config->listener_count > 0);
    *ret_config = loader->config;
    return OK;
}

// A daemon's reload must find the file again, whatever its working folder.
static char *
absolute(const char *path)
{
    char folder[CONFIG_LINE_MAX];
    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        return mem_strdup(path);
    size_t len = strlen(folder) + strlen(path) + 2;
    char *joined = mem_alloc(len);
    (void)snprintf(joined, len, "%s/%s", folder, path);
    return joined;
}

err_t
config_load(const struct config_options *options, char *const *env, struct config **ret_config,
            struct config_report *ret_report)
{
    must(options != NULL && ret_config != NULL && ret_report != NULL);
    struct config_loader *loader = mem_alloc(sizeof *loader);
    loader_init(loader, ret_report);
    loader->follow_includes = true;
    if (options->file) {
        loader->config->file = absolute(options->file);
        config_read_file(loader, options->file);
    }
    config_read_env(loader, env);
    finish(loader, options);
    struct config *config = loader->config;
    host_probe("", &config->host);
    if (config->memory_max == 0) {
        config->memory_max = host_memory_budget(&config->host);
        config->memory_follows = true;
        must(config->memory_max > 0);
    }
    err_t err = loader_end(loader, ret_config);
    mem_free(loader);
    return err;
}

err_t
config_parse(const char *name, struct slice text, char *const *env, struct config **ret_config,
             struct config_report *ret_report)
{
    must(name != NULL && ret_config != NULL && ret_report != NULL);
    struct config_loader *loader = mem_alloc(sizeof *loader);
    loader_init(loader, ret_report);
    config_read_text(loader, name, text);
    config_read_env(loader, env);
    finish(loader, NULL);
    err_t err = loader_end(loader, ret_config);
    mem_free(loader);
    return err;
}
