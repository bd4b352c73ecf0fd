// control.h - what coordinator and agents say to each other.
//
// Job:    requests and their replies as JSON objects, one a line: written, and read from a peer
//         that may send anything. Numbers are 64 bits as they stand in memory, hence signed.
// Owner:  none. Thread: any. Memory: a request that was read keeps its texts until
//         control_request_free. Limits: CONTROL_LINE_MAX and those below.
// Each request gets one reply, in turn. The order: hello; clock some times; make; begin; phase,
// look and sample as the course wants; clock; end.
#ifndef TERN_BENCH_CONTROL_H
#define TERN_BENCH_CONTROL_H

#include <jansson.h>

#include "core/base/err.h"

#include "bench/run.h"

#define CONTROL_PROTOCOL   1u
#define CONTROL_LINE_MAX   (1u << 20) // five full histograms are half of it
#define CONTROL_AGENTS_MAX RUN_AGENTS_MAX
#define CONTROL_WORDS_MAX  64u // options in a request
#define CONTROL_TEXT_MAX   160u

#define CONTROL_COUNTERS   (offsetof(struct counters, failed) / sizeof(uint64_t))
#define CONTROL_SAMPLE     (sizeof(struct sample) / sizeof(uint64_t))
#define CONTROL_HISTOGRAMS 5u
// Builds whose figures or phases differ do not understand each other, whatever their protocol says.
#define CONTROL_LAYOUT                                                                         \
    ((uint64_t)CONTROL_COUNTERS << 48 | (uint64_t)CONTROL_SAMPLE << 40 |                       \
     (uint64_t)(sizeof(struct tally) / sizeof(uint64_t)) << 32 | (uint64_t)PHASE_CLOSE << 24 | \
     CONTROL_HISTOGRAMS << 16 | HISTOGRAM_BUCKETS)

enum control_type {
    CONTROL_HELLO,   // are we of one kind?
    CONTROL_CLOCK,   // what is your time?
    CONTROL_MAKE,    // make the clients of a run
    CONTROL_BEGIN,   // connect them
    CONTROL_PHASE,   // go on to this phase
    CONTROL_LOOK,    // what have you counted?
    CONTROL_MEASURE, // the same with CPU time, and the broker's figures
    CONTROL_END,     // close, and tell all
};

struct control_request {
    uint64_t type;
    uint64_t protocol, layout;                                // hello
    uint64_t agent, agents, run, clock_shift_us;              // make; agents count from 0 here
    uint64_t broker_pid;                                      // make; 0 = do not watch
    uint64_t phase, start_us, measure_from_us, measure_to_us; // phase; the coordinator's clock
    char *words[CONTROL_WORDS_MAX];                           // make: options as on a command line
    uint32_t word_count;
    json_t *json; // of one that was read: holds the words
};

struct control_reply {
    uint64_t type;
    char error[CONTROL_TEXT_MAX];        // the request cannot be met; then nothing else counts
    char failure[CONTROL_TEXT_MAX];      // the run's first failure so far
    uint64_t protocol, layout;           // hello
    uint64_t now_us;                     // clock: the agent's
    uint64_t failed;                     // look: clients were lost while they were set up
    uint64_t counters[CONTROL_COUNTERS]; // look, end
    uint64_t sample[CONTROL_SAMPLE];     // sample
    struct tally tally;                  // end
    struct histogram histograms[CONTROL_HISTOGRAMS]; // end: as control_histogram says
};

// The i-th of the histograms of a result, of CONTROL_HISTOGRAMS.
struct histogram *control_histogram(struct result *result, uint32_t i);

// Both return new, a line without its end; free().
char *control_request_text(const struct control_request *request);
char *control_reply_text(const struct control_reply *reply);
// ERR_MALFORMED for whatever is not as above. A request wants control_request_free, a failed one
// does not.
NODISCARD err_t control_request_read(struct slice line, struct control_request *ret_request);
void control_request_free(struct control_request *request);
NODISCARD err_t control_reply_read(struct slice line, struct control_reply *ret_reply);

#endif
