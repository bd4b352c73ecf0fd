// identity.c - who this node is: a uuid that stays, an incarnation that grows at each start.
#include "cluster/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define FILE_MAX  128u
#define UUID_TEXT 32

void
uuid_text(const struct gossip_uuid *uuid, char ret_text[33])
{
    for (unsigned i = 0; i < sizeof uuid->bytes; i++)
        (void)snprintf(ret_text + (size_t)2 * i, 3, "%02x", uuid->bytes[i]);
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
uuid_read(const char *text, struct gossip_uuid *ret_uuid)
{
    if (strlen(text) != 2 * sizeof ret_uuid->bytes)
        return false;
    for (unsigned i = 0; i < sizeof ret_uuid->bytes; i++) {
        int high = hex_digit(text[(size_t)2 * i]), low = hex_digit(text[(size_t)2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_uuid->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static err_t
fail(const char *path, const char *what, char *ret_problem)
{
    (void)snprintf(ret_problem, IDENTITY_PROBLEM_MAX, "%.400s: %s", path, what);
    return ERR_IO;
}

static err_t
make(struct identity *ret)
{
    *ret = (struct identity){.incarnation = 1};
    bool good = getrandom(&ret->uuid, sizeof ret->uuid, 0) == (ssize_t)sizeof ret->uuid &&
                getrandom(&ret->boot, sizeof ret->boot, 0) == (ssize_t)sizeof ret->boot;
    return good ? OK : ERR_IO;
}

// "UUID INCARNATION\n". OK with nothing changed where there is no file.
static err_t
read_file(const char *path, struct identity *identity, char *ret_problem)
{
    char text[FILE_MAX] = "", uuid[33];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? OK : fail(path, strerrordesc_np(errno), ret_problem);
    ssize_t len = read(fd, text, sizeof text - 1);
    int error = errno;
    (void)close(fd);
    if (len < 0)
        return fail(path, strerrordesc_np(error), ret_problem);
    char *end = text;
    unsigned long long incarnation = 0;
    if (len > UUID_TEXT && text[UUID_TEXT] == ' ' && text[UUID_TEXT + 1] >= '1' &&
        text[UUID_TEXT + 1] <= '9') {
        memcpy(uuid, text, UUID_TEXT);
        uuid[UUID_TEXT] = '\0';
        incarnation = strtoull(text + UUID_TEXT + 1, &end, 10);
    }
    if (*end != '\n' || incarnation == 0 || incarnation == ULLONG_MAX ||
        !uuid_read(uuid, &identity->uuid))
        return fail(path, "expected a uuid and a number", ret_problem);
    identity->incarnation = incarnation + 1;
    return OK;
}

static bool
write_whole(int fd, const char *text, size_t len)
{
    return write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
}

// Whole or not at all, on the disk.
static err_t
write_file(const char *folder, const char *path, const struct identity *identity, char *ret_problem)
{
    char fresh[IDENTITY_PROBLEM_MAX + 8], text[FILE_MAX], uuid[33];
    uuid_text(&identity->uuid, uuid);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    int len = snprintf(text, sizeof text, "%s %" PRIu64 "\n", uuid, identity->incarnation);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_whole(fd, text, (size_t)len);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (!good)
        return fail(fresh, strerrordesc_np(error), ret_problem);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = dir >= 0 && rename(fresh, path) == 0 && fsync(dir) == 0;
    error = errno;
    if (dir >= 0)
        (void)close(dir);
    return good ? OK : fail(path, strerrordesc_np(error), ret_problem);
}

err_t
identity_load(const char *folder, struct identity *ret_identity,
              char ret_problem[IDENTITY_PROBLEM_MAX])
{
    char path[IDENTITY_PROBLEM_MAX];
    if (make(ret_identity) != OK)
        return fail("random numbers", strerrordesc_np(errno), ret_problem);
    if (!folder)
        return OK;
    int len = snprintf(path, sizeof path, "%s/node", folder);
    must(len > 0);
    if ((size_t)len >= sizeof path)
        return fail(folder, "the path is too long", ret_problem);
    ret_identity->stays = true;
    err_t err = read_file(path, ret_identity, ret_problem);
    return err == OK ? write_file(folder, path, ret_identity, ret_problem) : err;
}
