// toy_checker.c - opens what toy_writer left, reads every byte of it and prints "have N" for each
// number.
//
//   toy_checker FOLDER
//
// Exit 0: sound, however much is missing. Anything else, a signal too: damaged. It checks values
// against their numbers, that every page is either used or free, and that the environment takes
// another commit.
#include <errno.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/powercut/toy.h"

static void
damaged(const char *what, int rc)
{
    printf("damaged: %s: %s\n", what, rc ? mdb_strerror(rc) : "wrong");
    exit(1);
}

static void
check_value(const MDB_val *key, const MDB_val *value)
{
    unsigned char expected[TOY_VALUE_BYTES_MAX];
    uint64_t name, number;

    if (key->mv_size != sizeof name || value->mv_size < sizeof number)
        damaged("size of a key or value", 0);
    memcpy(&name, key->mv_data, sizeof name);
    memcpy(&number, value->mv_data, sizeof number);
    if (name < TOY_RING ? number != name : number % TOY_RING_SLOTS != name - TOY_RING)
        damaged("number of a value", 0);
    size_t n = toy_value(name >= TOY_RING, number, expected);
    if (n != value->mv_size || memcmp(expected, value->mv_data, n) != 0)
        damaged("bytes of a value", 0);
    if (name < TOY_RING)
        printf("have %llu\n", (unsigned long long)name);
}

static size_t
pages_of(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, dbi, &stat);
    if (rc != 0)
        damaged("stat", rc);
    return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

// The environment's own list of free pages: its values are a count and then the pages.
static size_t
pages_free(MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t total = 0;

    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0)
        damaged("free list", rc);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        total += *(size_t *)value.mv_data;
    if (rc != MDB_NOTFOUND)
        damaged("free list", rc);
    mdb_cursor_close(cursor);
    return total;
}

static void
check_all(MDB_env *env)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_envinfo info;

    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        damaged("begin", rc);
    rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc != 0 || (rc = mdb_cursor_open(txn, dbi, &cursor)) != 0)
        damaged("open", rc);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        check_value(&key, &value);
    if (rc != MDB_NOTFOUND)
        damaged("walk", rc);
    mdb_cursor_close(cursor);
    mdb_env_info(env, &info);
    size_t used = 2 + pages_of(txn, 0) + pages_of(txn, dbi) + pages_free(txn);
    if (used != info.me_last_pgno + 1) {
        fprintf(stderr, "%zu pages used or free, %zu there\n", used, info.me_last_pgno + 1);
        damaged("account of pages", 0);
    }
    mdb_txn_abort(txn);
}

static void
check_writable(MDB_env *env)
{
    uint64_t name = 0;
    MDB_val key = {sizeof name, &name}, value = {sizeof name, &name};
    MDB_txn *txn;
    MDB_dbi dbi;

    int rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi);
    if (rc == 0)
        rc = mdb_put(txn, dbi, &key, &value, 0);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    if (rc != 0)
        damaged("another commit", rc);
}

int
main(int argc, char **argv)
{
    char path[4200];
    struct stat st;
    MDB_env *env;

    if (argc != 2)
        return 2;
    snprintf(path, sizeof path, "%s/env", argv[1]);
    if (stat(path, &st) != 0 && errno == ENOENT)
        return 0; // not created yet
    int rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, TOY_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_open(env, path, MDB_NOSYNC, 0600); // nobody cuts the power of the image
    if (rc != 0)
        damaged("open", rc);
    check_all(env);
    check_writable(env);
    mdb_env_close(env);
    return 0;
}
