// race_log.c - many threads log while the log is reopened, for ThreadSanitizer.
//
// What every writer wrote has to come out whole and in its order; what is missing has to be
// counted.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"

#define WRITERS 4
#define LINES   150000
#define REOPENS 50

struct writer {
    struct log *log;
    pthread_t thread;
    int number;
};

static void *
write_lines(void *arg)
{
    struct writer *w = arg;
    // Without pauses, so that the queue is full and a cell is written again right after it was
    // read: later on, ThreadSanitizer has forgotten the reading.
    for (int i = 0; i < LINES; i++)
        log_line(w->log, LOG_T_NOTICE, "writer %d %d %d", w->number, i, w->number ^ i);
    return NULL;
}

// Returns how many lines there are, or -1 when one is torn or out of order.
static long
check(FILE *file, uint64_t *ret_told)
{
    char line[256];
    long count = 0;
    int last[WRITERS] = {-1, -1, -1, -1};
    *ret_told = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        int writer, number, both;
        unsigned long long lost;
        if (sscanf(line, "%llu log lines were lost.", &lost) == 1) {
            *ret_told += lost;
            continue;
        }
        if (sscanf(line, "writer %d %d %d", &writer, &number, &both) != 3 || writer < 0 ||
            writer >= WRITERS || both != (writer ^ number) || number <= last[writer])
            return -1;
        last[writer] = number;
        count++;
    }
    return count;
}

int
main(void)
{
    char path[] = "/tmp/ternmq-race-log-XXXXXX";
    struct writer writers[WRITERS];
    struct log *log;
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    struct log_options options = {.types = LOG_T_ALL, .dests = LOG_D_FILE, .file = path};
    if (file == NULL || log_open(&options, &log) != OK)
        return 1;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.log = log, .number = i};
        if (pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]) != 0)
            return 1;
    }
    for (int i = 0; i < REOPENS; i++)
        if (log_reopen(log, &options) != OK)
            return 1;
    for (int i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i].thread, NULL);
    uint64_t dropped = log_dropped(log), told;
    log_close(log);
    long written = check(file, &told);
    (void)fclose(file);
    (void)unlink(path);
    bool ok = written >= 0 && (uint64_t)written + dropped == WRITERS * LINES && told == dropped;
    printf("race_log: %s, %ld written, %llu dropped\n", ok ? "ok" : "FAILED", written,
           (unsigned long long)dropped);
    return ok ? 0 : 1;
}
