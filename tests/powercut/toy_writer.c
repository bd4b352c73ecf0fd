// toy_writer.c - commits numbered values to LMDB and marks each number once it counts as safe.
//
//   toy_writer full|delayed|nometasync|nosync|bare THREADS FOLDER
//
// The harness proves itself on it: full and delayed keep what they mark, nometasync may lose the
// last commit, nosync may lose or damage anything. bare is full without the careful creation below.
//
// A thread commits every THREADS-th number, so what it must find again is a prefix of those. Beside
// the numbers a ring of 16 values of all sizes is written over, so that pages are freed and reused.
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/powercut/toy.h"

enum { THREADS_MAX = 8, COMMITS = 150, FAILURES_MAX = 20 };

static struct {
    MDB_env *env;
    MDB_dbi dbi;
    unsigned flags;
    bool delayed, bare;
    unsigned threads;
    int marks;
    char folder[4096];
} toy;

static void
fail(const char *what, int rc)
{
    fprintf(stderr, "toy_writer: %s: %s\n", what, mdb_strerror(rc));
    exit(1);
}

static void
in_folder(const char *name, char ret_path[4200])
{
    snprintf(ret_path, 4200, "%s%s%s", toy.folder, *name ? "/" : "", name);
}

static void
mark(uint64_t number)
{
    char line[32];
    int n = snprintf(line, sizeof line, "%llu\n", (unsigned long long)number);
    if (write(toy.marks, line, (size_t)n) != n)
        fail("mark", errno);
}

static int
env_open(const char *name, unsigned flags, MDB_env **ret_env)
{
    char path[4200];
    int rc = mdb_env_create(ret_env);
    if (rc != 0)
        return rc;
    in_folder(name, path);
    mdb_env_set_mapsize(*ret_env, TOY_MAP_BYTES);
    return mdb_env_open(*ret_env, path, flags, 0600);
}

static int
dbi_open(void)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(toy.env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &toy.dbi);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static void
folder_sync(const char *name)
{
    char path[4200];
    in_folder(name, path);
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fsync(fd) != 0)
        fail("fsync of a folder", errno);
    close(fd);
}

// LMDB writes its two first pages without a sync and cannot open what is left when they are torn:
// so the environment gets its name only when it is complete.
static void
env_make(void)
{
    char fresh[4200], ready[4200], leftover[4200];
    struct stat st;
    MDB_env *env;

    in_folder("env", ready);
    in_folder(toy.bare ? "env" : "fresh", fresh);
    if (stat(ready, &st) == 0)
        return;
    if (mkdir(fresh, 0700) != 0 && errno != EEXIST)
        fail("mkdir", errno);
    if (toy.bare)
        return;
    in_folder("fresh/data.mdb", leftover); // of a creation that did not come to its end
    unlink(leftover);
    int rc = env_open("fresh", 0, &env);
    if (rc == 0)
        rc = mdb_env_sync(env, 1);
    if (rc != 0)
        fail("fresh environment", rc);
    mdb_env_close(env);
    folder_sync("fresh");
    if (rename(fresh, ready) != 0)
        fail("rename", errno);
    folder_sync("");
}

static int
commit(uint64_t number)
{
    static const unsigned TABLES = 2;
    unsigned char bytes[TOY_VALUE_BYTES_MAX];
    MDB_txn *txn;

    int rc = mdb_txn_begin(toy.env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    for (unsigned table = 0; table < TABLES && rc == 0; table++) {
        uint64_t name = table == 0 ? number : TOY_RING + number % TOY_RING_SLOTS;
        MDB_val key = {sizeof name, &name};
        MDB_val value = {toy_value(table, number, bytes), bytes};
        rc = mdb_put(txn, toy.dbi, &key, &value, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

// After an error the disk may have any of the two states, so the environment is read again.
static void
recover(uint64_t number, int rc, int failures)
{
    const char *lift = getenv("POWERCUT_LIFT");

    fprintf(stderr, "toy_writer: commit %llu: %s\n", (unsigned long long)number, mdb_strerror(rc));
    if (failures == FAILURES_MAX || toy.threads > 1)
        fail("giving up", rc);
    if (failures == 3 && lift) {
        int fd = open(lift, O_WRONLY | O_CREAT, 0600);
        if (fd >= 0)
            close(fd);
    }
    mdb_env_close(toy.env);
    rc = env_open("env", toy.flags, &toy.env);
    if (rc == 0)
        rc = dbi_open();
    if (rc != 0)
        fail("opening again", rc);
}

static void *
run(void *argument)
{
    uint64_t first = (uint64_t)(uintptr_t)argument, before = 0;
    int failures = 0;

    for (uint64_t number = first; number <= COMMITS;) {
        int rc = commit(number);
        if (rc != 0) {
            recover(number, rc, ++failures);
            continue;
        }
        // With NOMETASYNC a commit is safe when the next one has synced its meta page.
        if (!toy.delayed)
            mark(number);
        else if (before)
            mark(before);
        before = number;
        number += toy.threads;
    }
    return (void *)(uintptr_t)before;
}

static bool
parse(char **argv)
{
    static const struct {
        const char *name;
        unsigned flags;
    } modes[] = {{"full", 0},
                 {"delayed", MDB_NOMETASYNC},
                 {"nometasync", MDB_NOMETASYNC},
                 {"nosync", MDB_NOSYNC},
                 {"bare", 0}};

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        toy.flags = modes[i].flags;
        toy.delayed = strcmp(argv[1], "delayed") == 0;
        toy.bare = strcmp(argv[1], "bare") == 0;
        toy.threads = (unsigned)strtoul(argv[2], NULL, 10);
        snprintf(toy.folder, sizeof toy.folder, "%s", argv[3]);
        return toy.threads >= 1 && toy.threads <= THREADS_MAX;
    }
    return false;
}

int
main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    const char *marks = getenv("POWERCUT_MARK");

    if (argc != 4 || !parse(argv)) {
        fprintf(stderr, "usage: toy_writer full|delayed|nometasync|nosync|bare THREADS FOLDER\n");
        return 2;
    }
    toy.marks = open(marks ? marks : "/dev/null", O_WRONLY | O_APPEND | O_CREAT, 0600);
    env_make();
    int rc = env_open("env", toy.flags, &toy.env);
    if (rc == 0)
        rc = dbi_open();
    if (rc != 0)
        fail("environment", rc);
    for (unsigned i = 0; i < toy.threads; i++)
        pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1));
    void *last[THREADS_MAX];
    for (unsigned i = 0; i < toy.threads; i++)
        pthread_join(threads[i], &last[i]);
    if (toy.delayed) { // idle: nobody comes after the last ones
        rc = mdb_env_sync(toy.env, 1);
        for (unsigned i = 0; i < toy.threads && rc == 0; i++)
            mark((uint64_t)(uintptr_t)last[i]);
    }
    mdb_env_close(toy.env);
    return rc != 0;
}
