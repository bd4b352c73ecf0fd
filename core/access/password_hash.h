// password_hash.h - a password as a password file holds it.
//
// Job:    the forms that mosquitto's files know and two for SCRAM: read, written, computed,
//         checked.
// Owner:  the caller. Thread: any but workers (a check takes milliseconds).
// Memory: argon2id's parameter, while it is computed; the rest is the stack. Secrets are wiped.
// Limits: PASSWORD_*_MAX, which keep one check below about four seconds and 256 MiB.
//
//   $6$SALT$HASH                             SHA-512 of the password and the salt: mosquitto 1
//   $7$ITERATIONS$SALT$HASH                  PBKDF2-HMAC-SHA-512: mosquitto 2
//   $argon2id$v=19$m=KIB,t=N,p=N$SALT$HASH   argon2id [RFC 9106], base64 without padding
//   $scram-sha-256$ITERATIONS$SALT$STOREDKEY$SERVERKEY   [RFC 5802 section 3]: TernMQ's own. Who
//   $scram-sha-512$ITERATIONS$SALT$STOREDKEY$SERVERKEY   steals these cannot log in with them.
//
// The hash of a $7$ is the SaltedPassword of SCRAM-SHA-512, so such a user can do that, too.
#ifndef TERN_CORE_ACCESS_PASSWORD_HASH_H
#define TERN_CORE_ACCESS_PASSWORD_HASH_H

#include "core/base/err.h"

#include "core/access/digest.h"

// In this order those that can do one kind of SCRAM stand together.
enum password_form {
    PASSWORD_SHA512,
    PASSWORD_ARGON2ID,
    PASSWORD_SCRAM_SHA256,
    PASSWORD_SCRAM_SHA512,
    PASSWORD_PBKDF2,
    PASSWORD_FORMS,
};

#define PASSWORD_SALT_MIN       8u // argon2's own
#define PASSWORD_SALT_MAX       64u
#define PASSWORD_HASH_MAX       128u // two keys of SCRAM-SHA-512
#define PASSWORD_BYTES_MAX      (PASSWORD_SALT_MAX + PASSWORD_HASH_MAX)
#define PASSWORD_TEXT_MAX       512u      // as written, with the NUL
#define PASSWORD_ITERATIONS_MAX 10000000u // of PBKDF2: three seconds
#define PASSWORD_MEMORY_MAX     262144u   // KiB of argon2id: 256 MiB for each thread that checks
#define PASSWORD_PASSES_MAX     1000u     // of argon2id
#define PASSWORD_WORK_MAX       4194304u  // KiB times passes: three seconds
#define PASSWORD_LANES_MAX      16u       // of argon2id; one thread computes them all

struct password_hash {
    enum password_form form;
    uint32_t iterations; // PBKDF2's, argon2id's passes
    uint32_t memory_kib; // argon2id
    uint32_t lanes;      // argon2id
    uint32_t salt_len, hash_len;
    const uint8_t *bytes; // the salt, then the hash (SCRAM: stored key, server key); borrowed
};

// bytes: room for PASSWORD_BYTES_MAX, which ret_hash borrows. ERR_CONFIG: problem says what was
// found and what was expected, and nothing of the text itself, which may be a password.
NODISCARD err_t password_hash_parse(struct slice text, uint8_t *bytes,
                                    struct password_hash *ret_hash, char *problem, size_t size);
// Returns the length without the NUL.
uint32_t password_hash_write(const struct password_hash *hash, char dst[PASSWORD_TEXT_MAX]);

// What password gives with the parameters and the salt of hash: hash_len bytes.
void password_hash_compute(const struct password_hash *hash, struct slice password, uint8_t *ret);
// Any bytes are a password, none too. The time depends on hash and the password's length alone.
// With HMAC a password and the same one with bytes of zero behind it are one [RFC 2104 section 2],
// so they are with PBKDF2 and SCRAM.
bool password_hash_check(const struct password_hash *hash, struct slice password);

bool password_hash_does_scram(const struct password_hash *hash, enum digest digest);
// The keys that SCRAM needs: digest_len bytes each. It must do this one.
void password_hash_scram_keys(const struct password_hash *hash, uint8_t *ret_stored_key,
                              uint8_t *ret_server_key);

// What new entries of this form get: everything but bytes.
struct password_hash password_hash_default(enum password_form form);
// "argon2id", "sha512-pbkdf2", "sha512", "scram-sha-256", "scram-sha-512". False: no such form.
bool password_form_of(const char *name, enum password_form *ret_form);
// The text of a new hash: these parameters, a salt from the kernel's random source. ERR_IO: that
// gives nothing.
NODISCARD err_t password_hash_make(const struct password_hash *parameters, struct slice password,
                                   char dst[PASSWORD_TEXT_MAX]);

#endif
