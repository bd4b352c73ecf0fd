// fleet.h - devices that drop, leave and return.
//
// Job:    let devices go, one at a time at --drop-rate or many at --storm-at, and note when those
//         of the storm are back. Those that drop without DISCONNECT have a will, which the watcher
//         must get once; those that leave with DISCONNECT have none. All return at once.
// Owner:  the worker. Thread: the worker's. Memory: none. Limits: none.
#ifndef TERN_BENCH_FLEET_H
#define TERN_BENCH_FLEET_H

#include "bench/message.h"
#include "bench/scenario.h"

struct client;
struct worker;

// While messages are published: lets go whoever is due.
void fleet_look(struct worker *w);
// A device is connected again.
void fleet_on_return(struct client *c);
// The will that the next CONNECT of a device carries.
void fleet_will(const struct client *c, char ret_topic[SCENARIO_TEXT_MAX],
                struct message *ret_will);

#endif
