// test_persist_import.c - whole stores from files and to files, with a store that only counts.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "persist/import.h"
#include "persist/json.h"

// ---- The store ----------------------------------------------------------------------------------

// Links before the real one.
struct store {
    bool full, ended;
    uint32_t begun, put, fail_at;
    uint32_t holds; // records that export gives
    err_t export_err, end_err;
};

err_t
store_import_begin(struct store *store)
{
    store->begun++;
    return store->full ? ERR_FULL : OK;
}

err_t
store_import_put(struct store *store, const struct record *record)
{
    cr_assert(record->kind != JOURNAL_VOID);
    return ++store->put == store->fail_at ? ERR_MALFORMED : OK;
}

err_t
store_import_end(struct store *store)
{
    store->ended = true;
    return store->end_err;
}

err_t
store_export(struct store *store, record_sink sink, void *arg)
{
    for (uint32_t i = 1; i <= store->holds; i++) {
        err_t err = sink(arg, &(struct record){.kind = JOURNAL_SESSION_END, .session = i});
        if (err)
            return err;
    }
    return store->export_err;
}

// ---- Files --------------------------------------------------------------------------------------

static char folder[] = "/tmp/test_persist_import.XXXXXX";
static char path[sizeof folder + 16];
static char problem[IMPORT_PROBLEM_MAX];

static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void
tear_down(void)
{
    (void)unlink(path);
    cr_expect_eq(rmdir(folder), 0, "a temporary file was left behind");
}

TestSuite(persist_import, .init = set_up, .fini = tear_down);

static void
write_file(const void *bytes, size_t len)
{
    FILE *out = fopen(path, "wb");
    cr_assert_eq(fwrite(bytes, 1, len, out), len);
    fclose(out);
}

static void
copy_data(const char *name)
{
    static char bytes[65536];
    char from[4096];
    int len = (int)(strrchr(__FILE__, '/') - __FILE__);
    snprintf(from, sizeof from, "%.*s/data/%s", len, __FILE__, name);
    FILE *in = fopen(from, "rb");
    cr_assert_not_null(in, "%s", from);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    write_file(bytes, size);
}

static void
expect_problem(const char *text)
{
    char whole[IMPORT_PROBLEM_MAX];
    snprintf(whole, sizeof whole, "%s: %s", path, text);
    cr_expect_str_eq(problem, whole);
}

// ---- Import -------------------------------------------------------------------------------------

Test(persist_import, both_kinds_of_file_are_recognised)
{
    struct store store = {0};
    copy_data("v6-queues.db");
    cr_expect_eq(import_file(&store, path, problem), OK);
    cr_expect_str_eq(problem, "");
    cr_expect(store.put == 27 && store.ended);
    store = (struct store){0};
    copy_data("v6-queues.jsonl");
    cr_expect_eq(import_file(&store, path, problem), OK);
    cr_expect(store.put == 27 && store.ended);
    store = (struct store){0};
    write_file("", 0);
    cr_expect_eq(import_file(&store, path, problem), OK);
    cr_expect(store.put == 0 && store.ended);
}

Test(persist_import, nothing_is_kept_of_a_broken_file)
{
    struct store store = {0};
    write_file("{\"type\":\"session_end\",\"session\":3}\n{", 36);
    cr_expect_eq(import_file(&store, path, problem), ERR_MALFORMED);
    expect_problem("line 2: no JSON: string or '}' expected near end of file (byte 1)");
    cr_expect(store.put == 1 && !store.ended);
    write_file("\0\xb5", 2);
    cr_expect_eq(import_file(&store, path, problem), ERR_MALFORMED);
    expect_problem("byte 0: this is no mosquitto.db, which begins with 00 b5 00 \"mosquitto db\"");
    cr_expect(!store.ended);
}

Test(persist_import, store_has_the_last_word)
{
    struct store store = {.full = true};
    copy_data("v6-queues.jsonl");
    cr_expect_eq(import_file(&store, path, problem), ERR_FULL);
    cr_expect_str_eq(problem, "the store holds sessions or retained messages already; import "
                              "needs an empty one");
    store = (struct store){.fail_at = 3};
    cr_expect_eq(import_file(&store, path, problem), ERR_MALFORMED);
    expect_problem("line 3: not taken: malformed packet");
    copy_data("v6-queues.db");
    store = (struct store){.fail_at = 3};
    cr_expect_eq(import_file(&store, path, problem), ERR_MALFORMED);
    expect_problem("malformed packet");
    store = (struct store){.end_err = ERR_IO};
    cr_expect_eq(import_file(&store, path, problem), ERR_IO);
    cr_expect_str_eq(problem, "the store cannot keep it: input/output error");
}

Test(persist_import, file_that_is_not_there)
{
    struct store store = {0};
    cr_expect_eq(import_file(&store, path, problem), ERR_IO);
    expect_problem("it cannot be opened: No such file or directory");
    cr_expect(!store.ended);
    cr_expect_eq(import_file(&store, folder, problem), ERR_IO);
    cr_expect(strstr(problem, "it cannot be read: Is a directory") != NULL, "%s", problem);
}

// ---- Export -------------------------------------------------------------------------------------

Test(persist_import, export_replaces_the_file_for_its_owner_alone)
{
    struct store store = {.holds = 3};
    uint64_t records;
    write_file("old", 3);
    chmod(path, 0644);
    cr_expect_eq(export_file(&store, path, &records, problem), OK, "%s", problem);
    cr_expect_eq(records, 3);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_expect_eq(import_file(&store, path, problem), OK);
    cr_expect_eq(store.put, 3);
}

Test(persist_import, export_that_fails_leaves_the_old_file)
{
    struct store store = {.holds = 3, .export_err = ERR_IO};
    uint64_t records;
    write_file("old", 3);
    cr_expect_eq(export_file(&store, path, &records, problem), ERR_IO);
    expect_problem("after 3 records: input/output error");
    cr_expect_eq(records, 0);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, 3);
}

Test(persist_import, export_to_a_folder_that_is_not_there)
{
    struct store store = {.holds = 3};
    uint64_t records;
    cr_expect_eq(export_file(&store, "/nowhere/file", &records, problem), ERR_IO);
    cr_expect_str_eq(problem,
                     "/nowhere/file: no file can be made beside it: No such file or directory");
}
