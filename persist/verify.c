// verify.c - looks at every byte of a store that matters, in a child process if need be.
#include "persist/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "persist/folder.h"
#include "persist/verify_parts.h"
#include "persist/wal.h"

#define OPEN_FLAGS (MDB_RDONLY | MDB_NOLOCK) // nothing is written, not even reader slots

int
verify_bad(struct verifier *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (v->text[0] == '\0')
        (void)vsnprintf(v->text, VERIFY_TEXT_MAX, format, args);
    va_end(args);
    return MDB_CORRUPTED;
}

// ---- Free pages ---------------------------------------------------------------------------------

// LMDB's table 0 lists free pages: for each transaction that freed some, their count and numbers.
// One that is listed twice, or beyond the file, would be given out and overwrite something.
struct free_pages {
    struct verifier *v;
    uint8_t *seen; // a bit for each page
    uint64_t count, pages;
};

static int
take_free_list(struct free_pages *f, const MDB_val *value)
{
    size_t count, page;
    if (value->mv_size < sizeof count)
        return verify_bad(f->v, "free pages: a list that is none");
    must(f->seen && f->pages >= 2);
    memcpy(&count, value->mv_data, sizeof count);
    if (count > value->mv_size / sizeof page - 1)
        return verify_bad(f->v, "free pages: a list that is none");
    for (size_t i = 1; i <= count; i++) {
        memcpy(&page, (const uint8_t *)value->mv_data + i * sizeof page, sizeof page);
        if (page < 2 || page >= f->pages)
            return verify_bad(f->v, "free pages: page %zu is not there", page);
        if (f->seen[page / 8] & 1u << page % 8)
            return verify_bad(f->v, "free pages: page %zu is there twice", page);
        f->seen[page / 8] |= (uint8_t)(1u << page % 8);
        f->count++;
    }
    return 0;
}

static int
walk_free_lists(struct free_pages *f, MDB_env *env)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val k, value;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc == 0) {
        for (rc = mdb_cursor_get(cursor, &k, &value, MDB_FIRST); rc == 0;
             rc = mdb_cursor_get(cursor, &k, &value, MDB_NEXT))
            if ((rc = take_free_list(f, &value)) != 0)
                break;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

// Pages that the file is too short for: LMDB leaves free ones at the end unwritten, others it
// needs.
static int
check_end(struct free_pages *f, MDB_env *env, uint32_t page_size)
{
    struct stat st;
    int fd, rc = mdb_env_get_fd(env, &fd);
    if (rc != 0 || fstat(fd, &st) != 0)
        return rc != 0 ? rc : errno;
    for (uint64_t page = (uint64_t)st.st_size / page_size; page < f->pages; page++)
        if (!(f->seen[page / 8] & 1u << page % 8))
            return verify_bad(f->v, "the file is too short: page %llu is missing",
                              (unsigned long long)page);
    return 0;
}

static int
check_pages(struct verifier *v, MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(env, &info);
    if (rc == 0)
        rc = mdb_env_stat(env, &stat);
    if (rc != 0)
        return rc;
    must(stat.ms_psize >= 512);
    struct free_pages f = {.v = v, .pages = (uint64_t)info.me_last_pgno + 1};
    if (f.pages > info.me_mapsize / stat.ms_psize)
        return verify_bad(v, "more pages than its map has");
    f.seen = mem_zalloc((size_t)(f.pages / 8) + 1);
    rc = walk_free_lists(&f, env);
    if (rc == 0)
        rc = check_end(&f, env, stat.ms_psize);
    mem_free(f.seen);
    return rc;
}

// ---- Both environments --------------------------------------------------------------------------

static int
verify_state(struct verifier *v, const char *path)
{
    uint32_t version;
    int rc = state_open(&v->state, path, OPEN_FLAGS, &version);
    if (rc != 0)
        return rc;
    rc = check_pages(v, v->state.env.mdb);
    if (rc == 0)
        rc = state_begin(&v->state, false, &v->txn);
    if (rc == 0)
        rc = verify_tables(v);
    state_abort(&v->txn);
    state_close(&v->state);
    return rc;
}

static int
verify_log(struct verifier *v, const char *path)
{
    struct wal wal;
    struct wal_window got;
    uint64_t applied = v->state.meta.applied;
    int rc = wal_open(&wal, path, OPEN_FLAGS, applied);
    if (rc != 0)
        return rc;
    rc = check_pages(v, wal.env.mdb);
    struct window *window = window_new(v->state.meta.seed);
    // From the first that is there, also those that only wait to be trimmed.
    for (uint64_t at = wal.first - 1; at + 1 < wal.next && rc == 0; at = got.last) {
        window_clear(window);
        rc = wal_read(&wal, at, wal.next - 1, (uint64_t)BLOB_BYTES * 16, window, &got);
        if (rc == 0 && got.last == 0)
            rc = applied < wal.next - 1 ? ENV_GAP : MDB_NOTFOUND;
        if (rc == MDB_NOTFOUND)
            break; // the state has what the log has lost already
    }
    window_free(window);
    wal_close(&wal);
    if (rc == MDB_CORRUPTED)
        return verify_bad(v, "log: a checksum does not fit");
    return rc == MDB_NOTFOUND ? 0 : rc;
}

enum verdict
verify_store(const char *path, char ret_text[static VERIFY_TEXT_MAX])
{
    struct verifier *v = mem_zalloc(sizeof *v);
    char *state = folder_path("%s/state", path), *log = folder_path("%s/log", path);
    v->text = ret_text;
    ret_text[0] = '\0';
    int rc = verify_state(v, state);
    if (rc == 0)
        rc = verify_log(v, log);
    mem_free(state);
    mem_free(log);
    mem_free(v);
    if (rc == 0)
        return VERDICT_GOOD;
    if (rc == ENV_OTHER_VERSION)
        return VERDICT_OTHER_VERSION;
    if (ret_text[0] == '\0')
        (void)snprintf(ret_text, VERIFY_TEXT_MAX, "%s",
                       rc == ENOENT ? "a file is missing" : env_text(rc));
    return env_is_damage(rc) || rc == ENOENT ? VERDICT_DAMAGED : VERDICT_UNKNOWN;
}

// ---- The child ----------------------------------------------------------------------------------

static NORETURN void
child(const char *path, int fd)
{
    // It must not outlive its parent, whose lock it shares, nor leave a core file of the store.
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        (void)signal(signals[i], SIG_DFL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO); // LMDB's assertions would speak in the parent's name
    char text[VERIFY_TEXT_MAX] = "";
    enum verdict verdict = verify_store(path, text);
    (void)!write(fd, text, strlen(text));
    _exit((int)verdict);
}

static enum verdict
wait_for(pid_t pid, char ret_text[static VERIFY_TEXT_MAX])
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            (void)snprintf(ret_text, VERIFY_TEXT_MAX, "the checking process got lost");
            return VERDICT_UNKNOWN;
        }
    if (WIFEXITED(status) && WEXITSTATUS(status) <= VERDICT_UNKNOWN)
        return (enum verdict)WEXITSTATUS(status);
    (void)snprintf(ret_text, VERIFY_TEXT_MAX, "reading it ends a process (%s %d)",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return VERDICT_DAMAGED;
}

enum verdict
verify_in_child(const char *path, char ret_text[static VERIFY_TEXT_MAX])
{
    int ends[2];
    must(path && path[0] != '\0');
    ret_text[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)snprintf(ret_text, VERIFY_TEXT_MAX, "no pipe for the checking process");
        return VERDICT_UNKNOWN;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        child(path, ends[1]);
    }
    (void)close(ends[1]);
    enum verdict verdict = VERDICT_UNKNOWN;
    if (pid < 0) {
        (void)snprintf(ret_text, VERIFY_TEXT_MAX, "no process to check it");
    } else {
        ssize_t len = read(ends[0], ret_text, VERIFY_TEXT_MAX - 1);
        ret_text[len > 0 ? len : 0] = '\0';
        verdict = wait_for(pid, ret_text);
    }
    (void)close(ends[0]);
    return verdict;
}
