// log.c - the queue between those who log and the thread that writes.
//
// A bounded queue for many producers and one consumer. Each cell carries a turn: with lap = the
// position without its index bits,
//   turn == lap                     free for the producer at that position
//   turn == lap + 1                 written, for the consumer
//   turn == lap + LOG_QUEUE_LINES   free again, which is the lap of the next position here
// A producer takes a position by compare-and-swap of tail, and only when the cell is free for it:
// so nobody ever waits for a cell. It writes the cell and stores the turn (release); the consumer
// loads the turn (acquire) before it reads the cell; and the same the other way round when the cell
// is given back. Turns are relative to the cell's index, so zeroed memory is an empty queue. The
// consumer sleeps on a semaphore after { sleeping = 1; FENCE; queue still empty }, producers look
// at the flag after { store turn; FENCE }. Both fences are seq_cst: either the consumer sees the
// line or the producer sees the flag. Whoever takes the flag from 1 to 0 posts, so one post per
// sleep.
#include "core/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log_sink.h"
#include "core/base/mem.h"

#define LOG_MAGIC 0x4c4f4721u
// A file on a dead server or a hung syslog can keep the thread for ever. The process may still end.
#define CLOSE_PATIENCE_S 5
#define BATCH_LINES      256

_Static_assert((LOG_QUEUE_LINES & (LOG_QUEUE_LINES - 1)) == 0, "positions are masked");

struct cell {
    _Atomic uint64_t turn;
    uint64_t wall_ms;
    enum log_type type;
    uint32_t len;
    char *text; // of the producer's making, freed by the log thread
};

struct log {
    uint32_t magic;
    _Atomic uint32_t types;
    struct cell *cells;
    pthread_t thread;
    sem_t wake;

    CACHE_ALIGNED _Atomic uint64_t tail; // next position for a producer
    _Atomic uint64_t dropped;
    CACHE_ALIGNED _Atomic uint32_t sleeping;
    atomic_bool closing;
    _Atomic(struct log_sink *) next_sink; // to be used from the next batch on

    // The log thread's own.
    CACHE_ALIGNED uint64_t head;
    uint64_t dropped_told;
    struct log_sink *sink;
};

const char *const log_type_names[LOG_TYPES] = {"error",       "warning",    "notice",
                                               "information", "debug",      "subscribe",
                                               "unsubscribe", "websockets", "internal"};

bool
log_types_of(struct slice name, uint32_t *ret_types)
{
    *ret_types = slice_equal(name, slice_str("all")) ? LOG_T_ALL : 0;
    for (unsigned i = 0; i < LOG_TYPES && *ret_types == 0; i++)
        if (slice_equal(name, slice_str(log_type_names[i])))
            *ret_types = UINT32_C(1) << i;
    return *ret_types != 0 || slice_equal(name, slice_str("none"));
}

// ---- The queue --------------------------------------------------------------------------------

static inline uint64_t
lap_of(uint64_t position)
{
    return position & ~(uint64_t)(LOG_QUEUE_LINES - 1);
}

static inline struct cell *
cell_at(struct log *log, uint64_t position)
{
    return &log->cells[position & (LOG_QUEUE_LINES - 1)];
}

// Wakes the thread if it sleeps. Call after the store that it should see.
static void
log_wake(struct log *log)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&log->sleeping, memory_order_relaxed) == 0)
        return;
    if (atomic_exchange_explicit(&log->sleeping, 0, memory_order_relaxed) == 1)
        (void)sem_post(&log->wake);
}

// False when the queue is full.
static bool
queue_put(struct log *log, enum log_type type, const char *text, uint32_t len)
{
    must(len <= LOG_LINE_MAX);
    struct cell *cell;
    uint64_t position = atomic_load_explicit(&log->tail, memory_order_relaxed);
    for (;;) {
        cell = cell_at(log, position);
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (turn < lap_of(position))
            return false;
        if (turn > lap_of(position)) // somebody else has taken this position
            position = atomic_load_explicit(&log->tail, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&log->tail, &position, position + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
            break;
    }
    cell->wall_ms = clock_wall_ms();
    cell->type = type;
    cell->len = len;
    cell->text = mem_alloc(len + 1);
    memcpy(cell->text, text, len);
    atomic_store_explicit(&cell->turn, lap_of(position) + 1, memory_order_release);
    log_wake(log);
    return true;
}

static bool
queue_ready(struct log *log)
{
    struct cell *cell = cell_at(log, log->head);
    return atomic_load_explicit(&cell->turn, memory_order_acquire) == lap_of(log->head) + 1;
}

// ---- The log thread ---------------------------------------------------------------------------

// Says how many lines were lost since this was last said.
static void
tell_dropped(struct log *log, uint64_t dropped)
{
    char text[64];
    if (dropped == log->dropped_told)
        return;
    int len = snprintf(text, sizeof(text), "%llu log lines were lost.",
                       (unsigned long long)(dropped - log->dropped_told));
    must(len > 0 && len < (int)sizeof(text));
    log_sink_add(log->sink,
                 &(struct log_record){clock_wall_ms(), LOG_T_WARNING, slice_of(text, (size_t)len)});
}

// Writes a batch. False when there was nothing to write.
static bool
drain(struct log *log)
{
    if (!queue_ready(log))
        return false;
    uint64_t dropped = atomic_load_explicit(&log->dropped, memory_order_relaxed);
    tell_dropped(log, dropped);
    for (unsigned n = 0; n < BATCH_LINES && queue_ready(log); n++) {
        struct cell *cell = cell_at(log, log->head);
        log_sink_add(log->sink, &(struct log_record){cell->wall_ms, cell->type,
                                                     slice_of(cell->text, cell->len)});
        mem_free(cell->text);
        atomic_store_explicit(&cell->turn, lap_of(log->head) + LOG_QUEUE_LINES,
                              memory_order_release);
        log->head++;
    }
    uint64_t lost = log_sink_flush(log->sink);
    if (lost == 0)
        log->dropped_told = dropped;
    else // perhaps also the line that told of it: tell again
        (void)atomic_fetch_add_explicit(&log->dropped, lost, memory_order_relaxed);
    return true;
}

// The last thing to say, when no next line will say it.
static void
finish(struct log *log)
{
    tell_dropped(log, atomic_load_explicit(&log->dropped, memory_order_relaxed));
    (void)log_sink_flush(log->sink);
}

static bool
adopt_sink(struct log *log)
{
    struct log_sink *next = atomic_exchange_explicit(&log->next_sink, NULL, memory_order_acquire);
    if (next == NULL)
        return false;
    log_sink_free(log->sink);
    log->sink = next;
    return true;
}

static void
sleep_until_woken(struct log *log)
{
    atomic_store_explicit(&log->sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    bool idle = !queue_ready(log) && !atomic_load_explicit(&log->closing, memory_order_relaxed) &&
                atomic_load_explicit(&log->next_sink, memory_order_relaxed) == NULL;
    // Not idle after all: stay awake, unless somebody took the flag and so owes a post.
    if (!idle && atomic_exchange_explicit(&log->sleeping, 0, memory_order_relaxed) == 1)
        return;
    while (sem_wait(&log->wake) != 0)
        must(errno == EINTR);
}

static void *
log_main(void *arg)
{
    struct log *log = arg;
    for (;;) {
        // Read first: what was queued before the end was asked for is seen by the drain behind it.
        bool closing = atomic_load_explicit(&log->closing, memory_order_acquire);
        bool adopted = adopt_sink(log);
        if (drain(log) || adopted)
            continue;
        if (closing)
            break;
        sleep_until_woken(log);
    }
    finish(log);
    return NULL;
}

// ---- Opening and closing ----------------------------------------------------------------------

static uint32_t
wanted_types(const struct log_options *options)
{
    return options->dests == 0 ? 0 : options->types;
}

// No signal is for this thread: neither main's, nor SIGPIPE for a stderr that nobody reads.
static int
start_thread(struct log *log)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&log->thread, NULL, log_main, log);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        (void)pthread_setname_np(log->thread, "tern-log");
    return rc;
}

static void
free_log(struct log *log)
{
    log_sink_free(atomic_load_explicit(&log->next_sink, memory_order_relaxed));
    log_sink_free(log->sink);
    (void)sem_destroy(&log->wake);
    mem_free(log->cells);
    log->magic = 0;
    mem_free(log);
}

err_t
log_open(const struct log_options *options, struct log **ret_log)
{
    must(options != NULL && ret_log != NULL);
    struct log_sink *sink;
    err_t err = log_sink_open(options, &sink);
    if (err != OK) {
        (void)fprintf(stderr, "ternmq: cannot open log file %s: %m\n", options->file);
        return err;
    }
    struct log *log = mem_alloc_aligned(CACHE_LINE, sizeof(*log));
    log->cells = mem_zalloc(LOG_QUEUE_LINES * sizeof(*log->cells));
    log->sink = sink;
    atomic_init(&log->types, wanted_types(options));
    int rc = sem_init(&log->wake, 0, 0);
    must(rc == 0);
    log->magic = LOG_MAGIC;
    rc = start_thread(log);
    if (rc != 0) {
        errno = rc;
        (void)fprintf(stderr, "ternmq: cannot start the log thread: %m\n");
        free_log(log);
        return ERR_IO;
    }
    *ret_log = log;
    return OK;
}

err_t
log_reopen(struct log *log, const struct log_options *options)
{
    must(log != NULL && log->magic == LOG_MAGIC);
    struct log_sink *sink;
    err_t err = log_sink_open(options, &sink);
    if (err != OK)
        return err;
    atomic_store_explicit(&log->types, wanted_types(options), memory_order_relaxed);
    // One that the thread has not come to yet was never used.
    log_sink_free(atomic_exchange_explicit(&log->next_sink, sink, memory_order_acq_rel));
    log_wake(log);
    return OK;
}

void
log_close(struct log *log)
{
    if (log == NULL)
        return;
    must(log->magic == LOG_MAGIC);
    struct timespec until;
    atomic_store_explicit(&log->closing, true, memory_order_release);
    log_wake(log);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_PATIENCE_S;
    // When it hangs, its memory has to stay: the thread may come back to it while the process ends.
    if (pthread_timedjoin_np(log->thread, NULL, &until) == 0)
        free_log(log);
    else
        (void)pthread_detach(log->thread);
}

// ---- Logging ----------------------------------------------------------------------------------

uint32_t
log_types(const struct log *log)
{
    must(log->magic == LOG_MAGIC);
    return atomic_load_explicit(&log->types, memory_order_relaxed);
}

void
log_set_types(struct log *log, uint32_t types)
{
    must(log->magic == LOG_MAGIC && (types & ~(uint32_t)LOG_T_ALL) == 0);
    atomic_store_explicit(&log->types, types, memory_order_relaxed);
}

bool
log_wants(const struct log *log, enum log_type type)
{
    return log != NULL && (atomic_load_explicit(&log->types, memory_order_relaxed) & type) != 0;
}

// Shortens a line of which vsnprintf kept LOG_LINE_MAX - 1 bytes, without cutting a character.
static uint32_t
ellipsis(char text[LOG_LINE_MAX])
{
    static const char dots[] = "...";
    uint32_t len = LOG_LINE_MAX - sizeof(dots);
    while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
        len--;
    memcpy(text + len, dots, sizeof(dots) - 1);
    return len + (uint32_t)sizeof(dots) - 1;
}

static void log_va(struct log *log, enum log_type type, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void
log_va(struct log *log, enum log_type type, const char *format, va_list args)
{
    char text[LOG_LINE_MAX];
    must(log->magic == LOG_MAGIC);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): both callers start it
    int len = vsnprintf(text, sizeof(text), format, args);
    if (len < 0)
        return; // a wide character that has no encoding: nothing of ours
    uint32_t kept = (size_t)len < sizeof(text) ? (uint32_t)len : ellipsis(text);
    if (!queue_put(log, type, text, kept))
        (void)atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
}

void
log_line(struct log *log, enum log_type type, const char *format, ...)
{
    va_list args;
    if (!log_wants(log, type))
        return;
    va_start(args, format);
    log_va(log, type, format, args);
    va_end(args);
}

void
log_limited(struct log *log, struct log_limit *limit, uint64_t now_ms, enum log_type type,
            const char *format, ...)
{
    va_list args;
    must(limit != NULL);
    if (!log_wants(log, type))
        return;
    uint64_t second = now_ms / 1000;
    if (second != limit->second) {
        uint32_t suppressed = limit->suppressed;
        *limit = (struct log_limit){.second = second};
        if (suppressed > 0)
            log_line(log, type, "%u similar lines were suppressed.", suppressed);
    }
    if (limit->seen == LOG_LIMIT_BURST) {
        limit->suppressed += limit->suppressed < UINT32_MAX;
        return;
    }
    limit->seen++;
    va_start(args, format);
    log_va(log, type, format, args);
    va_end(args);
}

uint64_t
log_dropped(const struct log *log)
{
    return log == NULL ? 0 : atomic_load_explicit(&log->dropped, memory_order_relaxed);
}
