// main.c - where the parts are put together: start, signals, stop.
#include "core/main.h"

#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "cluster/cluster.h"
#include "core/access.h"
#include "core/access/dynsec.h"
#include "core/access/service.h"
#include "core/broker.h"
#include "core/control.h"
#include "core/governor.h"
#include "core/host.h"
#include "core/keeper.h"
#include "core/process.h"
#include "core/retained.h"
#include "ctl/ctl_server.h"
#include "http/http_server.h"
#include "io/entry.h"
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
log_library(const struct server *server)
{
    const struct cluster_config *cluster = &server->config->cluster;
    if (!main_has_tls(server->config) && (!cluster->name || cluster->plain))
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
    main_log_problems(server);
    if (server->user_text[0] != '\0')
        log_line(server->log, LOG_T_WARNING, "Warning: %s", server->user_text);
    if (server->features.warning[0] != '\0')
        log_line(server->log, LOG_T_WARNING, "Warning: %s", server->features.warning);
    log_line(server->log, LOG_T_INFORMATION, "%s", server->features.text);
    log_library(server);
}

static const char *
how(const struct config *config, const struct listener_config *listener)
{
    const struct listener_entry *entry = &listener->entry;
    if (listener->node)
        return config->cluster.plain ? ", for other nodes, not encrypted"
                                     : ", for other nodes, TLS";
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
                 listen_text(server->listeners, i), how(config, &config->listeners[i]),
                 config->listeners[i].loopback_only ? " (this machine only; a listener in the "
                                                      "configuration opens the broker to others)"
                                                    : "");
    if (server->http)
        log_line(server->log, LOG_T_INFORMATION, "Health and metrics on %s.",
                 http_server_place(server->http));
    if (server->ctl)
        log_line(server->log, LOG_T_INFORMATION, "ternmqctl is served on %s.",
                 config->control_socket);
    log_line(server->log, LOG_T_INFORMATION,
             "ternmq version " TERN_VERSION " running, %u worker%s, %s", server->worker_count,
             server->worker_count == 1 ? "" : "s", broker_io_name(server->broker));
}

// ---- Start --------------------------------------------------------------------------------------

// NULL: they speak plainly.
static struct tls_context *
node_context(const struct server *server)
{
    const struct node_keys *keys = &server->cluster->keys;
    return keys->count > 0 ? tls_context_of_nodes(keys, server->worker_count) : NULL;
}

static err_t
open_listeners(struct server *server)
{
    char problem[ENTRY_PROBLEM_MAX] = "";
    struct entry_contexts contexts;
    main_watch(server);
    err_t err = entry_contexts_new(server->config, server->worker_count, &contexts, problem);
    if (err == OK) {
        err = listen_open(server->config, server->worker_count, &server->listeners, problem,
                          sizeof problem);
        for (uint32_t i = 0; err == OK && i < server->config->listener_count; i++) {
            if (server->config->listeners[i].node)
                contexts.of[i] = node_context(server);
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

static err_t
open_cluster(struct server *server)
{
    char problem[CLUSTER_PROBLEM_MAX];
    if (!server->config->cluster.name)
        return OK;
    err_t err = cluster_new(server->config, &server->cluster, problem);
    if (err != OK)
        (void)fprintf(stderr, "Error: %s\n", problem);
    return err;
}

static err_t
open_http(struct server *server)
{
    char problem[512];
    if (!server->config->http_listener)
        return OK;
    err_t err =
        http_server_open(server->config->http_listener, &server->http, problem, sizeof problem);
    if (err != OK)
        (void)fprintf(stderr, "Error: %s\n", problem);
    return err;
}

// As whoever the process is by now: it must be able to remove the file at the end.
static err_t
open_ctl(struct server *server)
{
    char problem[512];
    if (!server->config->control_socket)
        return OK;
    err_t err =
        ctl_server_open(server->config->control_socket, &server->ctl, problem, sizeof problem);
    if (err != OK)
        (void)fprintf(stderr, "Error: %s\n", problem);
    return err;
}

// What of the process's descriptors is for MQTT.
static void
set_descriptors(const struct server *server)
{
    uint64_t all = process_descriptors();
    uint64_t others = (server->http ? HTTP_DESCRIPTORS : 0) + (server->ctl ? CTL_DESCRIPTORS : 0);
    others += server->cluster ? NODE_DESCRIPTORS + NODE_LINKS_MAX : 0;
    listen_set_descriptors(server->listeners, all > others ? all - others : all);
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
    must(config->listener_count > 0 && config->host.cpus > 0);
    if (host_is_small(&config->host))
        mem_be_small();
    server->worker_count =
        min_u32(config->workers ? config->workers : config->host.cpus, TRIE_SHARDS_MAX);
    must(server->worker_count >= 1);
    if (open_cluster(server) != OK || open_listeners(server) != OK || open_http(server) != OK ||
        open_access(server) != OK)
        return ERR_IO;
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
    if (open_ctl(server) != OK)
        return ERR_IO;
    set_descriptors(server);
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
warn_of_small_host(const struct server *server)
{
    uint64_t bytes = server->config->host.memory_bytes;
    if (server->store && bytes < HOST_MEMORY_LEAST)
        log_line(server->log, LOG_T_WARNING,
                 "Warning: %llu MiB of memory are granted. With persistence true it takes at least "
                 "%llu MiB, else the kernel may end the process under load.",
                 (unsigned long long)(bytes >> 20), (unsigned long long)(HOST_MEMORY_LEAST >> 20));
}

static void
log_store(const struct server *server)
{
    const struct config *config = server->config;
    warn_of_small_host(server);
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
        err = store_load_settings(server->store, DYNSEC_SETTINGS, access_stored_add, &stored);
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

static err_t
join_cluster(struct server *server)
{
    const struct config *config = server->config;
    const char *folder = config->persistence_location ? config->persistence_location : ".";
    char problem[CLUSTER_PROBLEM_MAX];
    if (!server->cluster)
        return OK;
    err_t err =
        cluster_join(server->cluster, server->broker, server->store ? folder : NULL, problem);
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s", problem);
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

// From here on it can be asked how far the start is.
static err_t
start_http(struct server *server)
{
    err_t err = server->http ? http_server_start(server->http) : OK;
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s cannot be served",
                 http_server_place(server->http));
    return err;
}

static err_t
start_ctl(struct server *server)
{
    const struct ctl_parts parts = {
        .broker = server->broker,
        .listeners = server->listeners,
        .store = server->store,
        .errand_signal = PROCESS_SIGNAL_RELOAD,
    };
    err_t err = server->ctl ? ctl_server_start(server->ctl, &parts) : OK;
    if (err != OK)
        log_line(server->log, LOG_T_ERROR, "Error: %s cannot be served",
                 server->config->control_socket);
    return err;
}

// Without shards yet, with everything that these need.
static err_t
make_broker(struct server *server)
{
    server->keeper = keeper_new(server->worker_count, server->store != NULL);
    if (server->store) {
        struct store_counts counts;
        store_counts(server->store, &counts);
        server->keeper->quarantined = counts.quarantined;
        keeper_set_window(server->keeper, host_store_window(&server->config->host));
    }
    server->broker = broker_new(server->config, server->log, server->worker_count, clock_mono_ms(),
                                clock_wall_ms());
    if (!server->broker) {
        log_line(server->log, LOG_T_ERROR, "Error: the kernel gives no random numbers");
        return ERR_IO;
    }
    server->broker->io = server->features.io;
    server->watchdog_ms = process_watchdog_ms();
    server->broker->watched = server->http || server->watchdog_ms > 0;
    server->rcu = rcu_register(server->broker->rcu);
    rcu_offline(server->rcu); // main holds no reference but in reload
    server->broker->keeper = server->keeper;
    server->desk = access_desk_new(server->worker_count, server->config->logins_max);
    server->broker->desk = server->desk;
    if (server->ctl) {
        server->control = control_desk_new(server->worker_count);
        if (!server->control) {
            log_line(server->log, LOG_T_ERROR, "Error: no descriptor for control_socket: %m");
            return ERR_IO;
        }
    }
    server->broker->control = server->control;
    broker_set_access(server->broker, server->rcu, access_service_rules(server->access));
    return OK;
}

// What the store has of other nodes.
static err_t
recall_cluster(const struct server *server)
{
    static const struct {
        const char *prefix;
        err_t (*recall)(void *cluster, const struct record *setting);
    } kept[] = {
        {CLUSTER_SETTINGS, cluster_recall},
        {CLUSTER_MOVES, cluster_recall_move},
        {CLUSTER_GONE, cluster_recall_gone},
    };
    err_t err = OK;
    for (unsigned i = 0; i < ARRAY_LEN(kept) && err == OK; i++)
        err = store_load_settings(server->store, kept[i].prefix, kept[i].recall, server->cluster);
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
    err = start_http(server);
    process_notify("STATUS=Reading what is stored");
    if (err == OK && server->config->persistence)
        err = open_store(server);
    if (err != OK)
        return err;
    log_store(server);
    err = load_access(server);
    if (err != OK)
        return err;
    err = make_broker(server);
    if (err != OK)
        return err;
    err = join_cluster(server); // what the store has may be for other nodes
    if (err == OK && server->store)
        err = load_store(server);
    if (err == OK && server->store && server->cluster)
        err = recall_cluster(server);
    if (err == OK)
        err = start_access(server);
    if (err == OK)
        err = start_workers(server);
    if (err == OK && server->store)
        err = store_start(server->store, server->broker);
    if (err == OK && server->cluster)
        err = cluster_start(server->cluster);
    if (err == OK)
        err = start_ctl(server);
    if (err != OK) {
        log_line(server->log, LOG_T_ERROR, "Error: the broker cannot start: %s", err_text(err));
        return err;
    }
    main_log_contexts(server);
    main_watch_start(server);
    log_running(server);
    if (server->http)
        http_server_serve(server->http, server->broker, server->listeners);
    if (server->ready >= 0)
        process_daemon_ready(server->ready);
    server->serving_ms = clock_mono_ms();
    main_notify_ready(server);
    return OK;
}

// ---- Signals ------------------------------------------------------------------------------------

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

static void
run_errand(struct server *server)
{
    struct ctl_errand errand;
    if (!server->ctl || !ctl_server_errand(server->ctl, &errand))
        return; // somebody else has sent the signal
    err_t err = errand.reload ? main_reload(server) : main_check(server, errand.file);
    ctl_server_errand_done(server->ctl, err, &server->report, server->problem);
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
        main_reload_files(server);
        return false;
    }
    if (number == PROCESS_SIGNAL_RELOAD) {
        run_errand(server);
        return false;
    }
    switch (number) {
    case SIGHUP:
        (void)main_reload(server);
        return false;
    case SIGUSR1:
        main_reopen_log(server);
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
    set_descriptors(server);
    if (server->config->memory_follows && governor_follow_host(server->broker))
        main_wake_workers(server);
}

// False: there is nothing to wait for, or somebody has asked twice.
static bool
drain(struct server *server)
{
    struct drain *drain = &server->broker->drain;
    uint32_t delay_s = server->config->drain_delay_s, time_s = server->config->drain_time_s;
    if (drain_is_on(drain) || (delay_s == 0 && time_s == 0))
        return false;
    log_line(server->log, LOG_T_NOTICE,
             "Draining: clients are served for %u s, then their connections end over %u s.",
             delay_s, time_s);
    process_notify("STATUS=Draining");
    bool begun = drain_begin(drain, clock_mono_ms(), delay_s, time_s, DRAIN_LAST);
    broker_order(server->broker);
    return begun;
}

static void
serve(struct server *server)
{
    must(server->started == server->worker_count);
    uint64_t host_ms = clock_mono_ms();
    bool stop = false;
    while (!stop) {
        uint64_t wait_ms = rcu_deferred(server->rcu) > 0 ? FREE_MS : HOST_MS;
        if (server->watchdog_ms > 0)
            wait_ms = min_u64(wait_ms, server->watchdog_ms);
        if (drain_is_on(&server->broker->drain))
            wait_ms = min_u64(wait_ms, DRAIN_STEP_MS);
        int number = process_wait(&server->signals, wait_ms);
        stop = on_signal(server, number);
        if (stop && number == SIGTERM)
            stop = !drain(server);
        stop |= drain_is_over(&server->broker->drain, server->worker_count, clock_mono_ms());
        rcu_online(server->rcu);
        rcu_quiescent(server->rcu);
        rcu_offline(server->rcu);
        if (clock_mono_ms() - host_ms >= HOST_MS) {
            host_ms = clock_mono_ms();
            follow_host(server);
            access_service_tidy(server->access);
        }
        if (!stop && server->watchdog_ms > 0)
            main_notify_alive(server);
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
    process_notify("STOPPING=1\nSTATUS=Stopping");
    if (server->http)
        http_server_end(server->http);
    if (server->ctl)
        ctl_server_stop(server->ctl);
    if (server->log)
        log_line(server->log, LOG_T_INFORMATION, "ternmq version " TERN_VERSION " terminating");
    main_watch_end(server);
    process_end_on_signal(); // who asks twice does not want to wait
    if (server->access)
        access_service_stop(server->access);
    if (server->cluster)
        cluster_stop(server->cluster);
    stop_workers(server);
    if (server->store)
        store_stop(server->store);
    if (server->rcu) {
        rcu_online(server->rcu);
        rcu_unregister(server->rcu);
    }
    broker_free(server->broker);
    cluster_free(server->cluster);
    access_desk_free(server->desk);
    control_desk_free(server->control);
    access_service_free(server->access);
    keeper_free(server->keeper);
    store_close(server->store);
    listen_close(server->listeners);
    http_server_free(server->http);
    ctl_server_free(server->ctl);
    log_close(server->log);
    if (server->pid_file_made)
        process_pid_file_remove(server->config->pid_file);
}

// ---- main ---------------------------------------------------------------------------------------

static int
test_config(const struct server *server, err_t err)
{
    print_problems(&server->report, stderr);
    char problem[MAIN_PROBLEM_MAX];
    if (err == OK) {
        err = main_check_files(server->config, problem);
        if (err != OK)
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
