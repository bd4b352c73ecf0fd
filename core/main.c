// main.c - where the parts are put together: start, signals, stop.
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/access.h"
#include "core/access/service.h"
#include "core/broker.h"
#include "core/governor.h"
#include "core/host.h"
#include "core/keeper.h"
#include "core/process.h"
#include "core/retained.h"
#include "io/entry.h"
#include "io/file_watch.h"
#include "io/listener.h"
#include "io/tls_context.h"
#include "io/worker.h"
#include "persist/command.h"
#include "persist/store.h"

#define FREE_MS 100  // an old configuration waits for its grace period
#define HOST_MS 5000 // how often it is looked whether the host grants something else by now

// Read by jemalloc, which is malloc here: what a burst needed goes back to the system within a
// second or two, also from a worker that sleeps afterwards. Not static: jemalloc looks the name up.
extern const char *const malloc_conf;
const char *const malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

struct server {
    struct config_options options;
    struct config_report report;
    struct config *config; // in force
    struct worker_features features;
    struct log *log;
    struct listen_set *listeners;
    struct file_watch *watch; // of the files of TLS, passwords and rules
    struct file_watch *config_watch;
    struct access_service *access;
    struct store *store;   // NULL: nothing is kept
    struct keeper *keeper; // between the store and the shards
    struct broker *broker;
    struct access_desk *desk;
    struct rcu_reader *rcu;
    unsigned worker_count, started;
    struct worker *workers[TRIE_SHARDS_MAX];
    sigset_t signals;
    int ready;          // tells the parent of a daemon; -1
    bool pid_file_made; // and is ours to remove
    char user_text[PROCESS_TEXT_MAX];
};

// ---- Telling the operator -----------------------------------------------------------------------

static void
print_problems(const struct config_report *report, FILE *out)
{
    for (uint32_t i = 0; i < min_u32(report->error_count, CONFIG_PROBLEMS_MAX); i++)
        (void)fprintf(out, "Error: %s\n", report->errors[i].text);
    for (uint32_t i = 0; i < min_u32(report->warning_count, CONFIG_PROBLEMS_MAX); i++)
        (void)fprintf(out, "Warning: %s\n", report->warnings[i].text);
    if (report->error_count > CONFIG_PROBLEMS_MAX)
        (void)fprintf(out, "Error: %u more errors\n", report->error_count - CONFIG_PROBLEMS_MAX);
}

static void
log_problems(const struct server *server)
{
    const struct config_report *report = &server->report;
    for (uint32_t i = 0; i < min_u32(report->error_count, CONFIG_PROBLEMS_MAX); i++)
        log_line(server->log, LOG_T_ERROR, "Error: %s", report->errors[i].text);
    for (uint32_t i = 0; i < min_u32(report->warning_count, CONFIG_PROBLEMS_MAX); i++)
        log_line(server->log, LOG_T_WARNING, "Warning: %s", report->warnings[i].text);
}

static bool
has_tls(const struct config *config)
{
    const char *files[ENTRY_FILES_MAX];
    return entry_files(config, files) > 0;
}

#define FILES_MAX   (ENTRY_FILES_MAX + ACCESS_FILES_MAX)
#define PROBLEM_MAX (ENTRY_PROBLEM_MAX + ACCESS_PROBLEM_MAX) // room for either

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

static void
log_library(const struct server *server)
{
    if (!has_tls(server->config))
        return;
    log_line(server->log, LOG_T_INFORMATION, "TLS by %s.", tls_library());
    if (!tls_library_is_tuned())
        log_line(server->log, LOG_T_WARNING,
                 "Warning: this is Debian's build of wolfSSL, which is several times slower and "
                 "larger than the one of deploy/wolfssl.");
}

static void
log_start(const struct server *server)
{
    const struct config *config = server->config;
    log_line(server->log, LOG_T_INFORMATION, "ternmq version " TERN_VERSION " starting");
    if (config->file)
        log_line(server->log, LOG_T_INFORMATION, "Config loaded from %s.", config->file);
    else
        log_line(server->log, LOG_T_INFORMATION, "Using default config.");
    log_problems(server);
    if (server->user_text[0] != '\0')
        log_line(server->log, LOG_T_WARNING, "Warning: %s", server->user_text);
    if (server->features.warning[0] != '\0')
        log_line(server->log, LOG_T_WARNING, "Warning: %s", server->features.warning);
    log_line(server->log, LOG_T_INFORMATION, "%s", server->features.text);
    log_library(server);
}

static const char *
how(const struct listener_entry *entry)
{
    static const char *const texts[] = {"", ", TLS", ", WebSocket", ", WebSocket over TLS"};
    return texts[(entry->protocol == PROTOCOL_WEBSOCKETS ? 2 : 0) + entry->tls_asked];
}

static void
log_running(const struct server *server)
{
    const struct config *config = server->config;
    must(config == atomic_load(&server->broker->config));
    for (uint32_t i = 0; i < config->listener_count; i++)
        log_line(server->log, LOG_T_INFORMATION, "Listening on %s%s%s.",
                 listen_text(server->listeners, i), how(&config->listeners[i].entry),
                 config->listeners[i].loopback_only ? " (this machine only; a listener in the "
                                                      "configuration opens the broker to others)"
                                                    : "");
    log_line(server->log, LOG_T_INFORMATION,
             "ternmq version " TERN_VERSION " running, %u worker%s, %s", server->worker_count,
             server->worker_count == 1 ? "" : "s", broker_io_name(server->broker));
}

// ---- Files that change --------------------------------------------------------------------------

static void
wake_all(const struct server *server)
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

static void
log_contexts(const struct server *server)
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
    wake_all(server);
    log_line(server->log, LOG_T_INFORMATION, "Passwords and access rules reloaded.");
}

static void
reload_files(struct server *server)
{
    const char *files[ACCESS_FILES_MAX];
    watch_files(server, server->config);
    if (has_tls(server->config))
        reload_tls(server);
    if (access_service_files(server->config, files) > 0)
        reload_access(server);
}

// ---- Start --------------------------------------------------------------------------------------

static err_t
open_listeners(struct server *server)
{
    char problem[ENTRY_PROBLEM_MAX] = "";
    struct entry_contexts contexts;
    server->config_watch = file_watch_new(on_config_changed, NULL);
    watch_config(server);
    server->watch = file_watch_new(on_files_changed, NULL);
    watch_files(server, server->config);
    err_t err = entry_contexts_new(server->config, server->worker_count, &contexts, problem);
    if (err == OK) {
        err = listen_open(server->config, server->worker_count, &server->listeners, problem,
                          sizeof problem);
        for (uint32_t i = 0; err == OK && i < server->config->listener_count; i++) {
            must(listen_set_tls(server->listeners, i, contexts.of[i]) == NULL);
            contexts.of[i] = NULL;
        }
        entry_contexts_free(&contexts);
    }
    if (err != OK)
        (void)fprintf(stderr, "Error: %s\n", problem);
    return err;
}

static err_t
open_access(struct server *server)
{
    char problem[ACCESS_PROBLEM_MAX];
    err_t err = access_service_new(server->config, &server->access, problem);
    if (err != OK)
        (void)fprintf(stderr, "Error: %s\n", problem);
    return err;
}

// What needs the rights of whoever started the broker, and standard error.
static err_t
take_resources(struct server *server)
{
    const struct config *config = server->config;
    process_raise_descriptors();
    process_block_signals(&server->signals);
    if (!worker_probe(config->io, &server->features)) {
        (void)fprintf(stderr, "Error: %s\n", server->features.text);
        return ERR_IO;
    }
    struct host host;
    host_probe("", &host);
    must(config->listener_count > 0);
    server->worker_count = min_u32(config->workers ? config->workers : host.cpus, TRIE_SHARDS_MAX);
    must(server->worker_count >= 1);
    if (open_listeners(server) != OK || open_access(server) != OK)
        return ERR_IO;
    listen_set_descriptors(server->listeners, process_descriptors());
    if (config->daemon) {
        server->ready = process_daemon();
        if (server->ready < 0) {
            perror("Error: cannot go to the background");
            return ERR_IO;
        }
    }
    if (config->pid_file && process_pid_file_write(config->pid_file) != OK) {
        (void)fprintf(stderr, "Error: cannot write %s: %m\n", config->pid_file);
        return ERR_IO;
    }
    server->pid_file_made = config->pid_file != NULL;
    if (process_drop_privileges(config->user, server->user_text) != OK) {
        (void)fprintf(stderr, "Error: %s\n", server->user_text);
        return ERR_IO;
    }
    return OK;
}

// ---- The store ----------------------------------------------------------------------------------

static err_t
open_store(struct server *server)
{
    struct store_options options = store_options_of(server->config, server->log);
    char problem[STORE_PROBLEM_MAX];
    err_t err = store_open(&options, &server->store, problem);
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s", problem);
    return err;
}

static void
log_store(const struct server *server)
{
    const struct config *config = server->config;
    if (!server->store) {
        log_line(server->log, LOG_T_INFORMATION,
                 "persistence false: sessions and messages are in memory and end with the "
                 "process.");
        return;
    }
    struct store_counts counts;
    store_counts(server->store, &counts);
    log_line(server->log, LOG_T_INFORMATION,
             "Store: %llu sessions, %llu subscriptions, %llu queued and %llu retained messages.",
             (unsigned long long)counts.sessions, (unsigned long long)counts.subscriptions,
             (unsigned long long)counts.entries, (unsigned long long)counts.retained);
    if (config->durability == DURABILITY_ASYNC)
        log_line(server->log, LOG_T_WARNING,
                 "Warning: durability async: a crash may take what was acknowledged in the last "
                 "%u ms.",
                 config->durability_interval_ms);
}

// The numbers that the last process used are not used again, and its retained messages are back.
static err_t
load_store(struct server *server)
{
    struct store_counts counts;
    store_counts(server->store, &counts);
    atomic_store(&server->broker->next_session_number, max_u64(counts.next_session, 1));
    atomic_store(&server->broker->next_message, max_u64(counts.next_message, 1));
    retained_set_next_order(server->broker->retained, max_u64(counts.next_order, 1));
    rcu_online(server->rcu);
    err_t err = store_load_retained(server->store, server->broker, server->rcu);
    rcu_offline(server->rcu);
    return err;
}

// What is kept of dynamic security, or what it begins with.
static err_t
load_access(struct server *server)
{
    struct access_stored stored = {0}, fresh;
    struct store_counts counts = {0};
    char problem[ACCESS_PROBLEM_MAX];
    err_t err = OK;
    if (server->store) {
        store_counts(server->store, &counts);
        stored.next_order = counts.next_order;
        err = store_load_settings(server->store, access_stored_add, &stored);
    }
    if (err != OK) {
        access_stored_free(&stored);
        return err; // it told
    }
    err = access_service_open(server->access, server->config, &stored, &fresh, problem);
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s", problem);
    else if (fresh.text[0] != '\0')
        log_line(server->log, fresh.doubtful ? LOG_T_WARNING : LOG_T_INFORMATION, "%s.",
                 fresh.text);
    if (err == OK && server->store && fresh.count > 0)
        err = store_put_settings(server->store, fresh.records, fresh.count);
    access_stored_free(&stored);
    access_stored_free(&fresh);
    return err;
}

static bool
load_shard(void *arg, struct shard *shard)
{
    struct server *server = arg;
    return store_load_shard(server->store, shard) == OK;
}

static err_t
start_workers(struct server *server)
{
    must(server->broker->shard_count == server->worker_count && server->started == 0);
    for (unsigned i = 0; i < server->worker_count; i++)
        server->workers[i] = worker_new(server->broker, server->listeners, i,
                                        server->store ? load_shard : NULL, server);
    for (; server->started < server->worker_count; server->started++) {
        if (worker_start(server->workers[server->started]) == OK)
            continue;
        log_line(server->log, LOG_T_ERROR, "Error: worker %u cannot start", server->started);
        return ERR_IO;
    }
    return OK;
}

static err_t
start_access(struct server *server)
{
    unsigned threads = server->config->login_threads;
    if (threads == 0)
        threads = (unsigned)max_u32(server->worker_count / 2, 1);
    char problem[ACCESS_PROBLEM_MAX] = "";
    err_t err = access_service_start(server->access, server->broker, threads, problem);
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s", problem);
    return err;
}

static err_t
start(struct server *server)
{
    must(server->config != NULL && server->broker == NULL);
    err_t err = take_resources(server);
    if (err != OK)
        return err;
    err = log_open(&server->config->log, &server->log);
    if (err != OK)
        return err; // it told on standard error
    log_start(server);
    if (server->config->persistence)
        err = open_store(server);
    if (err != OK)
        return err;
    log_store(server);
    err = load_access(server);
    if (err != OK)
        return err;
    server->keeper = keeper_new(server->worker_count, server->store != NULL);
    if (server->store) {
        struct store_counts counts;
        store_counts(server->store, &counts);
        server->keeper->quarantined = counts.quarantined;
    }
    server->broker = broker_new(server->config, server->log, server->worker_count, clock_mono_ms(),
                                clock_wall_ms());
    if (!server->broker) {
        log_line(server->log, LOG_T_ERROR, "Error: the kernel gives no random numbers");
        return ERR_IO;
    }
    server->broker->io = server->features.io;
    server->rcu = rcu_register(server->broker->rcu);
    rcu_offline(server->rcu); // main holds no reference but in reload
    server->broker->keeper = server->keeper;
    server->desk = access_desk_new(server->worker_count, server->config->logins_max);
    server->broker->desk = server->desk;
    broker_set_access(server->broker, server->rcu, access_service_rules(server->access));
    if (server->store)
        err = load_store(server);
    if (err == OK)
        err = start_access(server);
    if (err == OK)
        err = start_workers(server);
    if (err == OK && server->store)
        err = store_start(server->store, server->broker);
    if (err != OK) {
        log_line(server->log, LOG_T_ERROR, "Error: the broker cannot start: %s", err_text(err));
        return err;
    }
    log_contexts(server);
    if (has_files(server->config))
        file_watch_start(server->watch);
    if (server->config->file)
        file_watch_start(server->config_watch);
    log_running(server);
    if (server->ready >= 0)
        process_daemon_ready(server->ready);
    process_notify("READY=1");
    return OK;
}

// ---- Signals ------------------------------------------------------------------------------------

static void
reopen_log(const struct server *server)
{
    if (log_reopen(server->log, &server->config->log) != OK)
        log_line(server->log, LOG_T_ERROR, "Error: cannot reopen the log; the old one goes on");
}

// Takes fresh. With its certificates, keys, passwords and rules, or not at all.
static err_t
take_config(struct server *server, struct config *fresh)
{
    must(fresh->listener_count == server->config->listener_count);
    char problem[PROBLEM_MAX];
    struct entry_contexts contexts;
    watch_files(server, fresh);
    err_t err = entry_contexts_new(fresh, server->worker_count, &contexts, problem);
    if (err == OK) {
        err = access_service_reload(server->access, fresh, problem);
        if (err != OK)
            entry_contexts_free(&contexts);
    }
    if (err != OK) {
        log_line(server->log, LOG_T_ERROR, "Error: %s", problem);
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
static void
reload(struct server *server)
{
    process_notify_reloading(clock_mono_us());
    struct config *fresh = NULL;
    watch_config(server); // what changes from now on is news
    err_t err = config_reload(server->config, &server->options, environ, &fresh, &server->report);
    log_problems(server);
    must((err == OK) == (fresh != NULL));
    if (err == OK)
        err = take_config(server, fresh);
    if (err == OK) {
        watch_config(server); // it may name other files
        wake_all(server);
        log_line(server->log, LOG_T_INFORMATION, "Config reloaded.");
    } else {
        log_line(server->log, LOG_T_ERROR,
                 "Error: the configuration was not reloaded; the last good one holds");
    }
    reopen_log(server); // also where only the log file was moved away
    process_notify("READY=1");
}

static void
back_up(struct server *server)
{
    char name[512];
    if (!server->store) {
        log_line(server->log, LOG_T_WARNING, "Warning: there is no store to copy");
        return;
    }
    store_backup_name(server->config, name, sizeof name);
    store_backup(server->store, name);
}

// True: stop.
static bool
on_signal(struct server *server, int number)
{
    if (number == PROCESS_SIGNAL_BACKUP) { // not a constant of the compiler's
        back_up(server);
        return false;
    }
    if (number == PROCESS_SIGNAL_FILES) {
        reload_files(server);
        return false;
    }
    switch (number) {
    case SIGHUP:
        reload(server);
        return false;
    case SIGUSR1:
        reopen_log(server);
        log_line(server->log, LOG_T_INFORMATION, "Log reopened.");
        return false;
    case SIGUSR2:
        broker_log_subscriptions(server->broker);
        return false;
    case SIGTERM:
    case SIGINT:
        return true;
    default:
        return false; // the time was up
    }
}

// What the host grants may change while we run: a container's memory, and the descriptors.
static void
follow_host(struct server *server)
{
    listen_set_descriptors(server->listeners, process_descriptors());
    if (server->config->memory_follows && governor_follow_host(server->broker))
        wake_all(server);
}

static void
serve(struct server *server)
{
    must(server->started == server->worker_count);
    uint64_t watchdog_ms = process_watchdog_ms();
    uint64_t host_ms = clock_mono_ms();
    bool stop = false;
    while (!stop) {
        uint64_t wait_ms = rcu_deferred(server->rcu) > 0 ? FREE_MS : HOST_MS;
        if (watchdog_ms > 0)
            wait_ms = min_u64(wait_ms, watchdog_ms);
        stop = on_signal(server, process_wait(&server->signals, wait_ms));
        rcu_online(server->rcu);
        rcu_quiescent(server->rcu);
        rcu_offline(server->rcu);
        if (clock_mono_ms() - host_ms >= HOST_MS) {
            host_ms = clock_mono_ms();
            follow_host(server);
            access_service_tidy(server->access);
        }
        if (watchdog_ms > 0)
            process_notify("WATCHDOG=1");
    }
}

// ---- Stop ---------------------------------------------------------------------------------------

static void
stop_workers(struct server *server)
{
    must(server->started <= server->worker_count);
    for (unsigned i = 0; i < server->started; i++)
        worker_stop(server->workers[i]);
    for (unsigned i = 0; i < server->started; i++)
        worker_join(server->workers[i]);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_free(server->workers[i]);
}

// Takes whatever start left, complete or not.
static void
stop(struct server *server)
{
    process_notify("STOPPING=1");
    if (server->log)
        log_line(server->log, LOG_T_INFORMATION, "ternmq version " TERN_VERSION " terminating");
    file_watch_free(server->watch);
    file_watch_free(server->config_watch);
    process_end_on_signal(); // who asks twice does not want to wait
    if (server->access)
        access_service_stop(server->access);
    stop_workers(server);
    if (server->store)
        store_stop(server->store);
    if (server->rcu) {
        rcu_online(server->rcu);
        rcu_unregister(server->rcu);
    }
    broker_free(server->broker);
    access_desk_free(server->desk);
    access_service_free(server->access);
    keeper_free(server->keeper);
    store_close(server->store);
    listen_close(server->listeners);
    log_close(server->log);
    if (server->pid_file_made)
        process_pid_file_remove(server->config->pid_file);
}

// ---- main ---------------------------------------------------------------------------------------

static int
test_config(const struct server *server, err_t err)
{
    print_problems(&server->report, stderr);
    char problem[PROBLEM_MAX];
    struct entry_contexts contexts;
    struct access_service *access;
    if (err == OK) {
        err = entry_contexts_new(server->config, 1, &contexts, problem);
        if (err == OK)
            entry_contexts_free(&contexts);
        else
            (void)fprintf(stderr, "Error: %s\n", problem);
    }
    if (err == OK) {
        err = access_service_new(server->config, &access, problem);
        if (err == OK)
            access_service_free(access);
        else
            (void)fprintf(stderr, "Error: %s\n", problem);
    }
    if (err == OK)
        (void)printf("Configuration is OK.\n");
    return err == OK ? 0 : 1;
}

// The options that print something and end. False: go on.
static bool
only_print(const struct config_options *options)
{
    if (options->help)
        config_write_help(stdout);
    else if (options->version)
        (void)printf("ternmq version " TERN_VERSION "\n");
    else if (options->example_config)
        config_write_example(stdout);
    else
        return false;
    return true;
}

static int
run(struct server *server, int argc, char **argv)
{
    if (config_options_parse(argc, argv, &server->options, &server->report) != OK) {
        print_problems(&server->report, stderr);
        return 1;
    }
    if (only_print(&server->options))
        return 0;
    err_t err = config_load(&server->options, environ, &server->config, &server->report);
    if (server->options.test_config)
        return test_config(server, err);
    if (err != OK) {
        print_problems(&server->report, stderr);
        return 1;
    }
    if (command_wanted(&server->options))
        return command_run(&server->options, server->config);
    err = start(server);
    if (err == OK)
        serve(server);
    stop(server);
    return err == OK ? 0 : 1;
}

int
main(int argc, char **argv)
{
    thread_role = ROLE_MAIN;
    struct server *server = mem_zalloc(sizeof *server);
    server->ready = -1;
    int code = run(server, argc, argv);
    config_free(server->config);
    mem_free(server);
    return code;
}
