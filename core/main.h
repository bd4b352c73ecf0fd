// main.h - what the files of the program itself share.
//
// Job:    everything that is put together; taking what has changed while it runs.
// Owner:  main. Thread: main's. Memory: as long as the process. Limits: none of its own.
#ifndef TERN_CORE_MAIN_H
#define TERN_CORE_MAIN_H

#include "core/access/service.h"
#include "core/config.h"
#include "core/process.h"
#include "core/trie.h"
#include "io/entry.h"
#include "io/worker.h"

struct access_desk;
struct broker;
struct cluster;
struct control_desk;
struct ctl_server;
struct file_watch;
struct http_server;
struct keeper;
struct listen_set;
struct rcu_reader;
struct store;

// Room for what is wrong with a file, whoever reads it.
#define MAIN_PROBLEM_MAX (ENTRY_PROBLEM_MAX + ACCESS_PROBLEM_MAX)

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
    struct cluster *cluster;  // NULL: alone
    struct http_server *http; // NULL: nobody asked for one
    struct ctl_server *ctl;   // the same
    struct control_desk *control;
    struct rcu_reader *rcu;
    unsigned worker_count, started;
    struct worker *workers[TRIE_SHARDS_MAX];
    sigset_t signals;
    uint64_t serving_ms;  // since when it serves; monotonic
    uint64_t watchdog_ms; // how often systemd wants to hear that it lives; 0: never
    int ready;            // tells the parent of a daemon; -1
    bool pid_file_made;   // and is ours to remove
    char user_text[PROCESS_TEXT_MAX];
    char problem[MAIN_PROBLEM_MAX]; // of the last reload, beside what the report has
};

// ---- main_reload.c ------------------------------------------------------------------------------

// Sets the watches for what the configuration and its files are now; call it before these are read.
void main_watch(struct server *server);
void main_watch_start(struct server *server); // from now on changes are taken
void main_watch_end(struct server *server);
void main_wake_workers(const struct server *server);
// What the operator should know of certificates.
void main_log_contexts(const struct server *server);
void main_log_problems(const struct server *server); // of the last reading of the configuration
void main_reopen_log(const struct server *server);
// The configuration and all its files anew, as a whole. Bad news leaves everything as it is.
err_t main_reload(struct server *server);
// Would the broker start with this file? The report and problem say what is wrong. Nothing changes.
err_t main_check(struct server *server, const char *file);
// Are the files good that it names: certificates, keys, passwords and rules?
err_t main_check_files(const struct config *config, char ret_problem[MAIN_PROBLEM_MAX]);
// The files that it names, which have changed: TLS by listener, passwords and rules as a whole.
void main_reload_files(struct server *server);
bool main_has_tls(const struct config *config);

// ---- main_notify.c ------------------------------------------------------------------------------

// To systemd, where it asked. It serves, with the configuration that is in force now.
void main_notify_ready(const struct server *server);
// It lives: said only while every worker's loop comes round, as /livez judges. Else which does not.
void main_notify_alive(const struct server *server);

#endif
