// proc.c - what the kernel knows about another process.
#include "bench/proc.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096u // of /proc/PID/stat and status; longer ones are cut

// The whole file, NUL-terminated.
static err_t
read_file(const char *path, char ret_text[FILE_BYTES_MAX])
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return ERR_IO;
    size_t len = fread(ret_text, 1, FILE_BYTES_MAX - 1, file);
    ret_text[len] = '\0';
    (void)fclose(file);
    return len > 0 ? OK : ERR_IO;
}

// The number behind "key" at the beginning of a line; 0 when there is none.
static uint64_t
status_number(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0)
            return strtoull(line + len, NULL, 10);
    }
    return 0;
}

// The fields of /proc/PID/stat from the second's end on, NULL when there is no such process. The
// program's name, field 2, stands in brackets and may hold anything: hence from its end.
static char *
read_stat(uint64_t pid, char ret_text[FILE_BYTES_MAX])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    return read_file(path, ret_text) == OK ? strrchr(ret_text, ')') : NULL;
}

bool
proc_is_running(uint64_t pid)
{
    char text[FILE_BYTES_MAX];
    const char *at = read_stat(pid, text);
    return at != NULL && at[1] == ' ' && at[2] != 'Z' && at[2] != 'X';
}

bool
proc_runs_file(uint64_t pid, const char *path)
{
    char link[64];
    struct stat program, file;
    (void)snprintf(link, sizeof link, "/proc/%" PRIu64 "/exe", pid);
    return stat(link, &program) == 0 && stat(path, &file) == 0 && program.st_dev == file.st_dev &&
           program.st_ino == file.st_ino;
}

uint64_t
proc_only_child(uint64_t pid)
{
    char path[64], text[FILE_BYTES_MAX], *end;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%" PRIu64 "/children", pid, pid);
    if (read_file(path, text) != OK)
        return 0;
    uint64_t child = strtoull(text, &end, 10);
    return strtoull(end, NULL, 10) == 0 ? child : 0;
}

static err_t
read_cpu(uint64_t pid, struct proc_sample *sample)
{
    char text[FILE_BYTES_MAX];
    char *at = read_stat(pid, text);
    // utime is field 14, stime 15.
    for (int field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return ERR_IO;
    uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    sample->user_us = strtoull(at, &at, 10) * tick_us;
    sample->system_us = strtoull(at, NULL, 10) * tick_us;
    return OK;
}

static err_t
read_threads(uint64_t pid, struct proc_sample *sample)
{
    char path[64], text[FILE_BYTES_MAX];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return ERR_IO;
    const struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) {
        uint64_t tid = strtoull(entry->d_name, NULL, 10);
        (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%" PRIu64 "/status", pid, tid);
        if (tid == 0 || read_file(path, text) != OK)
            continue; // "." and "..", or a thread that has just ended
        sample->threads++;
        sample->voluntary += status_number(text, "voluntary_ctxt_switches:");
        sample->involuntary += status_number(text, "nonvoluntary_ctxt_switches:");
    }
    (void)closedir(tasks);
    return OK;
}

err_t
proc_sample(uint64_t pid, struct proc_sample *ret_sample)
{
    struct proc_sample sample = {0};
    char path[64], text[FILE_BYTES_MAX];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/status", pid);
    if (read_cpu(pid, &sample) != OK || read_threads(pid, &sample) != OK ||
        read_file(path, text) != OK)
        return ERR_IO;
    sample.rss_bytes = status_number(text, "VmRSS:") * 1024;
    sample.own_bytes = (status_number(text, "RssAnon:") + status_number(text, "RssShmem:")) * 1024;
    *ret_sample = sample;
    return OK;
}
