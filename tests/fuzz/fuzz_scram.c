// fuzz_scram.c - any bytes as a client's two messages of SCRAM.
//
// A byte says which method, then comes the first message, a line end, and the second one. The
// server's nonce is fixed, so that the second one can be one of this exchange.
#include "core/base/mem.h"

#include "core/access/scram.h"
#include "tests/unit/test_access_passwords.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// "open sesame", but for user, whose is "pencil".
#define USERS                          \
    "user:" HASH_RFC7677 "\n"          \
    "other:" HASH_SCRAM_SHA512 "\n"    \
    "anna:" HASH_MOSQUITTO_PBKDF2 "\n" \
    "a,b=c:" HASH_SCRAM_SHA256 "\n"
#define NONCE "XYZ"

static bool
begins_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len > len && memcmp(text.data, prefix, len) == 0;
}

static void
try_finish(const struct users *users, struct slice exchange, struct slice message)
{
    struct scram_reply reply = {0};
    err_t err = scram_finish(users, exchange, message, &reply);
    must((err == OK) == (reply.mark != 0));
    if (err == OK)
        must(begins_with(reply.message, "v=") && users_mark(users, reply.user) == reply.mark);
    scram_reply_clear(&reply);
}

static void
try_both(const struct users *users, enum digest digest, struct slice text)
{
    const uint8_t *end = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
    struct slice first = slice_of(text.data, end ? (size_t)(end - text.data) : text.len);
    struct slice second = end ? slice_of(end + 1, text.len - first.len - 1) : slice_of(NULL, 0);
    struct scram_reply reply = {0};
    err_t err = scram_start_with(users, digest, first, slice_str(NONCE), &reply);
    must((err == OK) == (reply.exchange.data != NULL));
    if (err == OK) {
        must(begins_with(reply.message, "r=") && reply.user.len > 0);
        try_finish(users, reply.exchange, second);
    }
    scram_reply_clear(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct users *users; // parsed once: it takes longer than an exchange
    if (!users) {
        char problem[256];
        err_t err = users_parse("users", slice_str(USERS), &users, problem, sizeof problem);
        must(err == OK);
    }
    if (size < 2)
        return 0;
    // A copy of just this size, so that a byte too many is seen.
    uint8_t *copy = mem_alloc(size - 1);
    memcpy(copy, data + 1, size - 1);
    try_both(users, data[0] & 1 ? DIGEST_SHA512 : DIGEST_SHA256, slice_of(copy, size - 1));
    mem_free(copy);
    return 0;
}
