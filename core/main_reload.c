// main_reload.c - what has changed while the broker runs: configuration, certificates, passwords,
// rules.
#include <signal.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "core/access.h"
#include "core/access/service.h"
#include "core/broker.h"
#include "core/main.h"
#include "io/entry.h"
#include "io/file_watch.h"
#include "io/listener.h"
#include "io/tls_context.h"

bool
main_has_tls(const struct config *config)
{
    const char *files[ENTRY_FILES_MAX];
    return entry_files(config, files) > 0;
}

#define FILES_MAX (ENTRY_FILES_MAX + ACCESS_FILES_MAX)

// Those that are watched. Borrowed from the configuration.
static uint32_t
files_of(const struct config *config, const char *ret_files[FILES_MAX])
{
    uint32_t count = entry_files(config, ret_files);
    return count + access_service_files(config, ret_files + count);
}

static bool
has_files(const struct config *config)
{
    const char *files[FILES_MAX];
    return files_of(config, files) > 0;
}

// ---- Files that change --------------------------------------------------------------------------

void
main_wake_workers(const struct server *server)
{
    for (unsigned i = 0; i < server->started; i++)
        worker_wake(server->workers[i]);
}

static void
on_files_changed(void *arg)
{
    (void)arg;
    (void)kill(getpid(), PROCESS_SIGNAL_FILES); // main waits for it
}

static void
on_config_changed(void *arg)
{
    (void)arg;
    (void)kill(getpid(), SIGHUP); // as an operator would
}

static void
watch_config(struct server *server)
{
    char *const *sources = server->config->sources;
    uint32_t count = 0;
    while (sources && sources[count])
        count++;
    file_watch_set(server->config_watch, (const char *const *)sources, count);
}

// From now on, before they are read: a change meanwhile is seen.
static void
watch_files(struct server *server, const struct config *config)
{
    const char *files[FILES_MAX];
    file_watch_set(server->watch, files, files_of(config, files));
}

void
main_watch(struct server *server)
{
    must(!server->watch && !server->config_watch);
    server->config_watch = file_watch_new(on_config_changed, NULL);
    watch_config(server);
    server->watch = file_watch_new(on_files_changed, NULL);
    watch_files(server, server->config);
}

void
main_watch_start(struct server *server)
{
    if (has_files(server->config))
        file_watch_start(server->watch);
    if (server->config->file)
        file_watch_start(server->config_watch);
}

void
main_watch_end(struct server *server)
{
    file_watch_free(server->watch);
    file_watch_free(server->config_watch);
    server->watch = server->config_watch = NULL;
}

// What the operator should know of the contexts in force.
static void
log_context(const struct server *server, uint32_t listener, const struct tls_context *context)
{
    if (context->notes[0] != '\0')
        log_line(server->log, LOG_T_WARNING, "Warning: listener %s: %s",
                 listen_text(server->listeners, listener), context->notes);
    if (context->expires_s <= (int64_t)(clock_wall_ms() / 1000))
        log_line(server->log, LOG_T_WARNING, "Warning: listener %s: the certificate has expired",
                 listen_text(server->listeners, listener));
}

static void
note_ends(const struct server *server)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        const struct tls_context *context = listen_tls(server->listeners, i);
        if (context && context->expires_s < first)
            first = context->expires_s;
    }
    atomic_store(&server->broker->certificate_ends_s, first);
}

void
main_log_contexts(const struct server *server)
{
    for (uint32_t i = 0; i < server->config->listener_count; i++)
        if (listen_tls(server->listeners, i))
            log_context(server, i, listen_tls(server->listeners, i));
    note_ends(server);
}

static void
unref_context(void *context)
{
    tls_context_unref(context);
}

// While workers run.
static void
exchange_context(struct server *server, uint32_t listener, struct tls_context *context)
{
    if (server->config->listeners[listener].node)
        return; // it is not of the configuration's files
    struct tls_context *old = listen_set_tls(server->listeners, listener, context);
    rcu_online(server->rcu);
    if (old)
        rcu_defer(server->rcu, old, unref_context);
    rcu_offline(server->rcu);
    if (context)
        log_context(server, listener, context);
}

// Each listener whose new files are good gets them.
static void
reload_tls(struct server *server)
{
    bool failed = false;
    char problem[ENTRY_PROBLEM_MAX];
    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        struct tls_context *context;
        if (entry_context_new(server->config, i, server->worker_count, &context, problem) == OK) {
            exchange_context(server, i, context);
            continue;
        }
        failed = true;
        log_line(server->log, LOG_T_ERROR, "Error: %s; what was loaded before holds", problem);
    }
    atomic_store(&server->broker->tls_reload_failed, failed);
    note_ends(server);
    if (!failed)
        log_line(server->log, LOG_T_INFORMATION, "Certificates and keys reloaded.");
}

// ---- Passwords and rules ------------------------------------------------------------------------

static void
exchange_rules(struct server *server)
{
    access_service_enforce(server->access);
    atomic_store(&server->broker->access_reload_failed, 0);
}

// All of them, or none.
static void
reload_access(struct server *server)
{
    char problem[ACCESS_PROBLEM_MAX];
    if (access_service_reload(server->access, server->config, problem) != OK) {
        atomic_store(&server->broker->access_reload_failed, 1);
        log_line(server->log, LOG_T_ERROR, "Error: %s; what was loaded before holds", problem);
        return;
    }
    exchange_rules(server);
    main_wake_workers(server);
    log_line(server->log, LOG_T_INFORMATION, "Passwords and access rules reloaded.");
}

void
main_reload_files(struct server *server)
{
    const char *files[ACCESS_FILES_MAX];
    watch_files(server, server->config);
    if (main_has_tls(server->config))
        reload_tls(server);
    if (access_service_files(server->config, files) > 0)
        reload_access(server);
}

// ---- The configuration --------------------------------------------------------------------------

void
main_log_problems(const struct server *server)
{
    const struct config_report *report = &server->report;
    for (uint32_t i = 0; i < min_u32(report->error_count, CONFIG_PROBLEMS_MAX); i++)
        log_line(server->log, LOG_T_ERROR, "Error: %s", report->errors[i].text);
    for (uint32_t i = 0; i < min_u32(report->warning_count, CONFIG_PROBLEMS_MAX); i++)
        log_line(server->log, LOG_T_WARNING, "Warning: %s", report->warnings[i].text);
}

void
main_reopen_log(const struct server *server)
{
    if (log_reopen(server->log, &server->config->log) != OK)
        log_line(server->log, LOG_T_ERROR, "Error: cannot reopen the log; the old one goes on");
}

// Takes fresh. With its certificates, keys, passwords and rules, or not at all.
static err_t
take_config(struct server *server, struct config *fresh)
{
    must(fresh->listener_count == server->config->listener_count);
    struct entry_contexts contexts;
    watch_files(server, fresh);
    err_t err = entry_contexts_new(fresh, server->worker_count, &contexts, server->problem);
    if (err == OK) {
        err = access_service_reload(server->access, fresh, server->problem);
        if (err != OK)
            entry_contexts_free(&contexts);
    }
    if (err != OK) {
        log_line(server->log, LOG_T_ERROR, "Error: %s", server->problem);
        watch_files(server, server->config);
        config_free(fresh);
        return err;
    }
    for (uint32_t i = 0; i < fresh->listener_count; i++)
        exchange_context(server, i, contexts.of[i]);
    rcu_online(server->rcu);
    broker_set_config(server->broker, server->rcu, fresh); // frees the old one in time
    rcu_offline(server->rcu);
    exchange_rules(server);
    server->config = fresh;
    atomic_store(&server->broker->tls_reload_failed, 0);
    note_ends(server);
    if (has_files(fresh))
        file_watch_start(server->watch);
    return OK;
}

// Bad news leaves everything as it is.
err_t
main_reload(struct server *server)
{
    server->problem[0] = '\0';
    process_notify_reloading(clock_mono_us());
    struct config *fresh = NULL;
    watch_config(server); // what changes from now on is news
    err_t err = config_reload(server->config, &server->options, environ, &fresh, &server->report);
    main_log_problems(server);
    must((err == OK) == (fresh != NULL));
    if (err == OK)
        err = take_config(server, fresh);
    atomic_store(&server->broker->config_reload_failed, err != OK);
    if (err == OK) {
        watch_config(server); // it may name other files
        main_wake_workers(server);
        log_line(server->log, LOG_T_INFORMATION, "Config reloaded.");
    } else {
        log_line(server->log, LOG_T_ERROR,
                 "Error: the configuration was not reloaded; the last good one holds");
    }
    main_reopen_log(server); // also where only the log file was moved away
    main_notify_ready(server);
    return err;
}

// ---- Another configuration ----------------------------------------------------------------------

err_t
main_check_files(const struct config *config, char ret_problem[MAIN_PROBLEM_MAX])
{
    struct entry_contexts contexts;
    struct access_service *access;
    err_t err = entry_contexts_new(config, 1, &contexts, ret_problem);
    if (err != OK)
        return err;
    entry_contexts_free(&contexts);
    err = access_service_new(config, &access, ret_problem);
    if (err == OK)
        access_service_free(access);
    return err;
}

err_t
main_check(struct server *server, const char *file)
{
    const struct config_options options = {.file = unconst(file)};
    struct config *config = NULL;
    must(file != NULL);
    server->problem[0] = '\0';
    err_t err = config_load(&options, environ, &config, &server->report);
    if (err == OK)
        err = main_check_files(config, server->problem);
    config_free(config);
    return err;
}
