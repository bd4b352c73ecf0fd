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
struct file_watch;
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
    struct rcu_reader *rcu;
    unsigned worker_count, started;
    struct worker *workers[TRIE_SHARDS_MAX];
    sigset_t signals;
    int ready;          // tells the parent of a daemon; -1
    bool pid_file_made; // and is ours to remove
    char user_text[PROCESS_TEXT_MAX];
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
void main_reload(struct server *server);
// The files that it names, which have changed: TLS by listener, passwords and rules as a whole.
void main_reload_files(struct server *server);
bool main_has_tls(const struct config *config);

#endif
