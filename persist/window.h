// window.h - a stretch of the log in memory, and what is left of it in the end.
//
// Job:    takes blobs or single records; remembers for each thing the last that was said of it, so
//         that what began and ended inside the window costs no write.
// Owner:  whoever folds (fold.h). Thread: one.
// Memory: the bytes (as much as the caller puts in) and 64 to 128 bytes for each thing; kept until
//         window_release.
// Limits: things_max, checked between blobs; pages_max, by who folds.
#ifndef TERN_PERSIST_WINDOW_H
#define TERN_PERSIST_WINDOW_H

#include "core/base/err.h"

#include "core/record.h"
#include "persist/slots.h"

#define WINDOW_THINGS (1u << 18) // a fold of so many takes a second or two when all must be written

// Kinds of slots: what a and b are.
enum thing {
    THING_SESSION = 1,      // session, 0
    THING_SUBSCRIPTION = 2, // session, ordinal
    THING_ENTRY = 3,        // session, seq
    THING_RECEIVED = 4,     // session, packet identifier
    THING_RETAINED = 5,     // 128 bits of hash of the topic
    THING_SETTING = 6,      // of the name
};

// Flags of a slot. at: the last SESSION, SUBSCRIBE, ENQUEUE; RETAIN or RETAIN_CLEAR with the
// highest order, and so SETTING.
enum {
    THING_GONE = 1,     // ended, unsubscribed, done, released: there is no more of it
    THING_RELEASED = 2, // ENTRY: PUBREC came
};

struct window_message {
    uint64_t number;
    uint32_t at;
};

struct window {
    uint8_t *bytes;
    uint32_t len, cap;
    uint64_t seed;       // of the store, for topics
    uint32_t things_max; // WINDOW_THINGS, unless the reader's owner says less
    uint32_t pages_max;  // that its fold may change; 0 = no limit
    struct slots things;
    struct window_message *messages; // in the order of the log, some of them more than once
    uint32_t message_count, message_cap;
    uint32_t ended; // sessions
    // Entries whose ENQUEUE was left out because their end stands further on in the log: `passed`
    // in this window, `known` in earlier ones, whose ends may be in this one.
    struct slots passed, known;
    uint64_t next_session, next_message, next_order; // above all that was seen
    uint64_t records;
};

struct window *window_new(uint64_t seed);   // returns new, empty
void window_free(struct window *window);    // takes; NULL is fine
void window_clear(struct window *window);   // keeps the memory
void window_release(struct window *window); // the same, and gives the memory back

// Room for len bytes at the end, for window_apply. Moves what is there.
uint8_t *window_room(struct window *window, uint32_t len);
// The records in the last len bytes of room. ERR_MALFORMED: some of it is none, which a checksum
// should have told.
NODISCARD err_t window_apply(struct window *window, uint32_t len);
// The same for a good blob, head included.
NODISCARD err_t window_apply_blob(struct window *window, uint32_t len);

// Looks at a good blob that comes later: entries of the window that end there are as good as gone.
void window_look_ahead(struct window *window, struct slice blob);
// The window is in the state: what its look ahead found is known from now on.
void window_folded(struct window *window);

// The whole record that begins there.
struct slice window_record(const struct window *window, uint32_t at);

#endif
