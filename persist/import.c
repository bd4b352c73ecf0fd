// import.c - whole stores from a file and to one.
#include "persist/import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "persist/json.h"
#include "persist/mosquitto_db.h"

_Static_assert(IMPORT_PROBLEM_MAX == JSON_PROBLEM_MAX, "passed through");
_Static_assert(IMPORT_PROBLEM_MAX == MOSQUITTO_DB_PROBLEM_MAX, "passed through");

PRINTF_LIKE(3)
static err_t
fail(char *problem, err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem, IMPORT_PROBLEM_MAX, format, args);
    va_end(args);
    return err;
}

static bool
is_dash(const char *path)
{
    return strcmp(path, "-") == 0;
}

// ---- Import -------------------------------------------------------------------------------------

static err_t
put(void *arg, const struct record *record)
{
    return store_import_put(arg, record);
}

// Puts the position that the reader found behind the file's name.
static void
prefix(char *problem, const char *path)
{
    char text[IMPORT_PROBLEM_MAX];
    memcpy(text, problem, sizeof text);
    text[sizeof text - 1] = '\0';
    (void)snprintf(problem, IMPORT_PROBLEM_MAX, "%.200s: %.300s", path, text);
}

static err_t
read_all(FILE *in, struct slice *ret, char *problem)
{
    enum { STEP = 1 << 20 };
    uint8_t *bytes = NULL;
    uint32_t len = 0, cap = 0;
    size_t more;
    do {
        if (len > UINT32_MAX - STEP) {
            mem_free(bytes);
            return fail(problem, ERR_FULL, "a mosquitto.db of 4 GiB or more");
        }
        bytes = mem_grow(bytes, &cap, len + STEP, 1);
        more = fread(bytes + len, 1, STEP, in);
        must(more <= STEP);
        len += (uint32_t)more;
    } while (more > 0);
    *ret = slice_of(bytes, len);
    if (!ferror(in))
        return OK;
    mem_free(bytes);
    return fail(problem, ERR_IO, "it cannot be read: %m");
}

static err_t
read_mosquitto(struct store *store, FILE *in, char *problem)
{
    struct slice file;
    err_t err = read_all(in, &file, problem);
    if (err)
        return err;
    err = mosquitto_db_read(file, clock_wall_ms(), put, store, problem);
    mem_free(unconst(file.data));
    return err;
}

static err_t
read_records(struct store *store, FILE *in, char *problem)
{
    int first = getc(in);
    if (first != EOF && ungetc(first, in) == EOF)
        return fail(problem, ERR_IO, "it cannot be read: %m");
    // No line of JSON begins with a NUL; a mosquitto.db does.
    err_t err =
        first == '\0' ? read_mosquitto(store, in, problem) : json_read(in, put, store, problem);
    if (err && problem[0] == '\0')
        return fail(problem, err, "%s", err_text(err));
    return err;
}

err_t
import_file(struct store *store, const char *path, char problem[static IMPORT_PROBLEM_MAX])
{
    must(store != NULL && path != NULL);
    problem[0] = '\0';
    err_t err = store_import_begin(store);
    if (err == ERR_FULL)
        return fail(problem, err,
                    "the store holds sessions or retained messages already; import "
                    "needs an empty one");
    if (err)
        return fail(problem, err, "the store takes no import: %s", err_text(err));
    FILE *in = is_dash(path) ? stdin : fopen(path, "rbe");
    if (!in)
        return fail(problem, ERR_IO, "%s: it cannot be opened: %m", path);
    err = read_records(store, in, problem);
    if (!is_dash(path))
        (void)fclose(in); // nothing was written
    if (problem[0] != '\0')
        prefix(problem, path);
    if (err)
        return err;
    err = store_import_end(store);
    return err ? fail(problem, err, "the store cannot keep it: %s", err_text(err)) : OK;
}

// ---- Export -------------------------------------------------------------------------------------

struct exporter {
    FILE *out;
    uint64_t records;
};

static err_t
write_record(void *arg, const struct record *record)
{
    struct exporter *exporter = arg;
    err_t err = json_write(exporter->out, record);
    if (err == OK)
        exporter->records++;
    return err;
}

static err_t
write_records(struct store *store, FILE *out, uint64_t *ret_records, char *problem)
{
    must(out != NULL);
    struct exporter exporter = {.out = out};
    err_t err = store_export(store, write_record, &exporter);
    if (err == OK && fflush(out) != 0)
        err = ERR_IO;
    if (err == ERR_IO && ferror(out))
        return fail(problem, err, "it cannot be written: %m");
    if (err)
        return fail(problem, err, "after %" PRIu64 " records: %s", exporter.records, err_text(err));
    *ret_records = exporter.records;
    return OK;
}

// The name is safe on the disk, too, once its folder is.
static int
sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(folder);
    if (fd < 0)
        return -1;
    int failed = fsync(fd);
    (void)close(fd); // nothing was written to it
    return failed;
}

// Writes, syncs and closes fd, which is taken.
static err_t
write_synced(struct store *store, int fd, uint64_t *ret_records, char *problem)
{
    must(fd >= 0);
    FILE *out = fdopen(fd, "wb");
    must(out != NULL); // fd is open for writing
    err_t err = write_records(store, out, ret_records, problem);
    if (err == OK && fsync(fd) != 0)
        err = fail(problem, ERR_IO, "it cannot be synced: %m");
    if (fclose(out) != 0 && err == OK)
        err = fail(problem, ERR_IO, "it cannot be written: %m");
    return err;
}

err_t
export_file(struct store *store, const char *path, uint64_t *ret_records,
            char problem[static IMPORT_PROBLEM_MAX])
{
    must(store != NULL && path != NULL);
    problem[0] = '\0';
    *ret_records = 0;
    if (is_dash(path))
        return write_records(store, stdout, ret_records, problem);
    size_t size = strlen(path) + sizeof ".XXXXXX";
    char *beside = mem_alloc(size);
    (void)snprintf(beside, size, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    err_t err;
    if (fd < 0) {
        err = fail(problem, ERR_IO, "no file can be made beside it: %m");
        goto out;
    }
    err = write_synced(store, fd, ret_records, problem);
    if (err == OK && (rename(beside, path) != 0 || sync_folder(path) != 0))
        err = fail(problem, ERR_IO, "the new file cannot take its place: %m");
    if (err)
        (void)unlink(beside); // it may have its name already
out:
    if (err)
        prefix(problem, path);
    mem_free(beside);
    return err;
}
