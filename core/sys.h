// sys.h - the $SYS topics.
//
// Job:    sums the shards' counters every sys_interval and publishes what changed, retained.
// Owner:  shard 0. Thread: its worker. Memory: the last values. Limits: a fixed set of topics.
#ifndef TERN_CORE_SYS_H
#define TERN_CORE_SYS_H

struct shard;
struct sys;

struct sys *sys_new(struct shard *shard); // returns new; arms its timer
void sys_free(struct sys *sys);           // takes; NULL is fine
void sys_on_timer(struct sys *sys);

#endif
