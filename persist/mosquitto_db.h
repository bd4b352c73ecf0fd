// mosquitto_db.h - what a Mosquitto broker remembered, as our records.
//
// Job:    read its persistence file (mosquitto.db, autosave and shutdown) and emit sessions,
//         subscriptions, queues, messages in flight and retained messages.
// Owner:  none. Thread: any.
// Memory: about 100 bytes a chunk of the file; texts and payloads stay in the file's bytes.
// Limits: file versions 2 to 6: Mosquitto 1.0 to 2.1, on little-endian machines other than 32-bit
//         x86. What Mosquitto 2.1's sqlite plugin keeps is in another file and not read.
#ifndef TERN_PERSIST_MOSQUITTO_DB_H
#define TERN_PERSIST_MOSQUITTO_DB_H

#include "persist/store.h"

#define MOSQUITTO_DB_PROBLEM_MAX STORE_PROBLEM_MAX

// Does the file begin as one of Mosquitto's?
bool mosquitto_db_recognise(struct slice file);

// Emits, for each session in the order of the file: SESSION, its SUBSCRIBE, its RECEIVED, then its
// queue: MESSAGE before the first ENQUEUE that names it, STATE where PUBCOMP is due; at the end
// RETAIN. Sessions, messages and orders count from 1. wall_ms: now. The sink borrows each record
// until it returns, and the file's bytes are borrowed until this returns. ERR_MALFORMED: problem
// says at which byte what is wrong; the sink may have got records already. OK: problem is empty, or
// says what was left out because it belongs to nothing. What the sink returns if not OK.
NODISCARD err_t mosquitto_db_read(struct slice file, uint64_t wall_ms, record_sink sink, void *arg,
                                  char problem[static MOSQUITTO_DB_PROBLEM_MAX]);

#endif
