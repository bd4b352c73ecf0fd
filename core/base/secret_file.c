// secret_file.c - reads small files whole and leaves nothing of them behind.
#include "core/base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

err_t
file_fail(struct file_problem *problem, const char *format, ...)
{
    must(problem != NULL);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    return ERR_CONFIG;
}

// Fills up to len bytes; how many there were, or -1 with errno set.
static ssize_t
read_all(int fd, uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n = read(fd, data + at, len - at);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        at += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)at;
}

static err_t
read_open(int fd, const char *path, struct secret_file *file, struct file_problem *problem)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return file_fail(problem, "%s: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(st.st_mode))
        return file_fail(problem, "%s is not a file", path);
    if (st.st_size > (off_t)file->len)
        return file_fail(problem, "%s has %lld bytes; at most %u are read", path,
                         (long long)st.st_size, file->len);
    size_t room = (size_t)st.st_size + 1;
    file->data = mem_zalloc(room);
    ssize_t n = read_all(fd, file->data, room);
    if (n < 0 || n == (ssize_t)room) {
        int error = n < 0 ? errno : EBUSY; // it grew while it was read
        file->len = (uint32_t)room;
        secret_file_free(file);
        return file_fail(problem, "%s: %s", path, strerrordesc_np(error));
    }
    file->len = (uint32_t)n;
    return OK;
}

err_t
secret_file_read(const char *path, uint32_t bytes_max, struct secret_file *ret_file,
                 struct file_problem *ret_problem)
{
    must(path != NULL && ret_file != NULL && bytes_max < UINT32_MAX);
    *ret_file = (struct secret_file){.len = bytes_max};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not hold us up
    err_t err = fd < 0 ? file_fail(ret_problem, "%s: %s", path, strerrordesc_np(errno))
                       : read_open(fd, path, ret_file, ret_problem);
    if (fd >= 0)
        (void)close(fd);
    if (err != OK)
        *ret_file = (struct secret_file){0};
    return err;
}

void
secret_file_free(struct secret_file *file)
{
    if (file->data)
        explicit_bzero(file->data, file->len);
    mem_free(file->data);
    *file = (struct secret_file){0};
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool
line_next(struct slice *rest, struct slice *ret_line)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    struct slice line = slice_of(rest->data, end ? (size_t)(end - rest->data) : rest->len);
    uint32_t used = line.len + (end ? 1 : 0);
    must(used > 0 && used <= rest->len);
    *rest = slice_of(rest->data + used, rest->len - used);
    while (line.len > 0 && is_blank(line.data[0]))
        line = slice_of(line.data + 1, line.len - 1);
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    *ret_line = line;
    return true;
}

static bool
begins_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

bool
pem_next(struct slice *rest, struct slice *ret_block)
{
    struct slice line;
    const uint8_t *begin = NULL;
    while (line_next(rest, &line)) {
        if (begins_with(line, "-----BEGIN "))
            begin = line.data;
        else if (begin && begins_with(line, "-----END ")) {
            // With the end of its line, which some parsers insist on.
            *ret_block = slice_of(begin, (size_t)(rest->data - begin));
            must(ret_block->len > line.len);
            return true;
        }
    }
    return false;
}

bool
pem_is(struct slice block, const char *label)
{
    struct slice line;
    if (!line_next(&block, &line) || !begins_with(line, "-----BEGIN "))
        return false;
    line = slice_of(line.data + 11, line.len - 11);
    size_t len = strlen(label);
    return line.len == len + 5 && memcmp(line.data, label, len) == 0;
}
