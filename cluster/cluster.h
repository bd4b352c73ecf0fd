// cluster.h - this broker as a node of a cluster.
//
// Job:    finds the other nodes, keeps a link to each, tells them what our clients want, and what
//         they tell us is done here.
// Owner:  main. Thread: main's, but for what core calls (core/cluster.h).
// Memory: a few KB for each node, and a key for each filter that our clients subscribe to.
// Limits: CLUSTER_NODES_MAX nodes; ROUTES_MAX filters.
#ifndef TERN_CLUSTER_CLUSTER_H
#define TERN_CLUSTER_CLUSTER_H

#include "core/base/err.h"

#include "core/cluster.h"

struct broker;
struct config;
struct log;

#define CLUSTER_NODES_MAX   64u
#define CLUSTER_PROBLEM_MAX 600u
// Settings of the store (core/record.h) with these prefixes are the cluster's.
#define CLUSTER_SETTINGS "kept/"
#define CLUSTER_MOVES    "move/"
#define CLUSTER_GONE     "gone/"

// Before privileges go: reads the secret, opens the socket. Returns new. ERR_CONFIG, ERR_IO: the
// problem says which key or file, and why.
NODISCARD err_t cluster_new(const struct config *config, struct cluster **ret_cluster,
                            char ret_problem[CLUSTER_PROBLEM_MAX]);
// Afterwards: who we are. The broker has no shards yet. folder: where that is kept; NULL: nowhere.
NODISCARD err_t cluster_join(struct cluster *cluster, struct broker *broker, const char *folder,
                             char ret_problem[CLUSTER_PROBLEM_MAX]);
// What the store has under them, one by one. Before there are shards. Returns OK.
struct record;
err_t cluster_recall(void *cluster, const struct record *setting);
err_t cluster_recall_move(void *cluster, const struct record *setting);
err_t cluster_recall_gone(void *cluster, const struct record *setting);
// The workers run.
NODISCARD err_t cluster_start(struct cluster *cluster);
// We leave; the workers still run, and say no more to other nodes.
void cluster_stop(struct cluster *cluster);
void cluster_free(struct cluster *cluster); // takes; NULL is fine; the workers are gone

#endif
