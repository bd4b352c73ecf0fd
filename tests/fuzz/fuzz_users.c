// fuzz_users.c - any bytes as a password file, and as one hash; what is taken is written alike.
#include "core/base/mem.h"

#include "core/access/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROBLEM_MAX 256
#define ASKED_MAX   16u  // users of a file that are looked at
#define CHEAP_MAX   300u // iterations, or KiB times passes, of a hash that is computed

// One text for each hash: what was read is written as it was.
static void
try_hash(struct slice text)
{
    uint8_t bytes[PASSWORD_BYTES_MAX], computed[PASSWORD_HASH_MAX];
    char problem[PROBLEM_MAX] = "", again[PASSWORD_TEXT_MAX];
    struct password_hash hash;
    err_t err = password_hash_parse(text, bytes, &hash, problem, sizeof problem);
    must((err == OK) == (problem[0] == '\0'));
    if (err != OK)
        return;
    uint32_t len = password_hash_write(&hash, again);
    must(slice_equal(slice_of(again, len), text));
    uint64_t work = (uint64_t)hash.iterations * max_u32(hash.memory_kib, 1);
    if (work <= CHEAP_MAX)
        password_hash_compute(&hash, slice_str("password"), computed);
}

static void
ask(const struct users *users)
{
    for (uint32_t i = 0; i < min_u32(users_count(users), ASKED_MAX); i++) {
        uint64_t mark;
        struct slice name = users_name(users, i, &mark);
        must(name.len > 0 && mark != 0 && users_mark(users, name) == mark);
        // No password was sent: nothing is hashed.
        must(users_check(users, name, slice_of(NULL, 0)) == USERS_WRONG);
        struct users_scram scram;
        for (unsigned digest = DIGEST_SHA256; digest <= DIGEST_SHA512; digest++) {
            users_scram(users, (enum digest)digest, name, &scram);
            must(scram.iterations > 0 && scram.salt_len >= PASSWORD_SALT_MIN);
            must(!scram.known || scram.mark == mark);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // A copy of just this size, so that a byte too many is seen.
    uint8_t *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    copy = mem_realloc(copy, size ? size : 1);
    struct slice text = slice_of(copy, size);
    struct users *users = NULL;
    char problem[PROBLEM_MAX] = "";
    try_hash(text);
    err_t err = users_parse("fuzz", text, &users, problem, sizeof problem);
    must((err == OK) == (users != NULL) && (err == OK) == (problem[0] == '\0'));
    must(err == OK || strncmp(problem, "fuzz:", 5) == 0);
    if (users) {
        must(users_check(users, slice_of("", 0), slice_of(NULL, 0)) == USERS_UNKNOWN);
        ask(users);
    }
    users_unref(users);
    mem_free(copy);
    return 0;
}
