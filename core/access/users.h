// users.h - the users of a password file, and whether a password is theirs.
//
// Job:    the file as a whole, or an error with its line; password checks that tell nobody who
//         there is; what SCRAM needs.
// Owner:  counted. Thread: users never change and may be used by all but workers.
// Memory: 80 bytes a user, its name, and the bytes of its hash; wiped when the last reference goes.
// Limits: USERS_FILE_MAX; USERS_NAME_MAX; password_hash.h's.
//
// A line is `name:hash`; blanks around either are not part of it; `#` begins a comment line. A bad
// line, or a name that stands twice, makes the whole file bad: so no typing error ever removes a
// user in silence, or lets one in without a password.
//
// Unknown names. A name that is not in the file borrows the parameters of one that is, chosen by a
// keyed hash of the name: the same one each time, and each entry with the same chance, so among
// unknown names the kinds of hashes have the shares that they have in the file. How long a check
// takes, or what SCRAM tells of salt and iterations, is thus as likely for the one as for the
// other, also where the file mixes them.
#ifndef TERN_CORE_ACCESS_USERS_H
#define TERN_CORE_ACCESS_USERS_H

#include "core/access/password_hash.h"

#define USERS_FILE_MAX (256u << 20) // bytes that one should read of it
#define USERS_NAME_MAX 65535u       // of an MQTT string

struct users;

// OK: returns new, with one reference. ERR_CONFIG: problem (of size bytes) says "NAME:LINE: what
// was found; what was expected", and never a secret. Borrows nothing.
NODISCARD err_t users_parse(const char *name, struct slice text, struct users **ret_users,
                            char *problem, size_t size);
struct users *users_ref(struct users *users); // returns the same; NULL is fine
void users_unref(struct users *users);        // takes one; NULL is fine

// Why no user can have this name, or NULL. In a file it can also not begin with `#`, hold a colon,
// or begin or end with a blank.
const char *users_name_problem(struct slice name);

enum users_line {
    USERS_LINE_NONE, // empty, or a comment
    USERS_LINE_USER, // the parts are borrowed, and not looked at further
    USERS_LINE_BAD,  // no colon
};
// Takes a line without its end apart.
enum users_line users_line_split(struct slice line, struct slice *ret_name, struct slice *ret_hash);

enum users_verdict {
    USERS_GOOD,
    USERS_WRONG,
    USERS_UNKNOWN, // no such user. A peer must not learn that this is not USERS_WRONG
};
// Takes milliseconds, and as long for an unknown user as for a wrong password. password.data NULL:
// none was sent, which is never good [CVE-2016-9877]; then it returns at once.
enum users_verdict users_check(const struct users *users, struct slice user, struct slice password);

uint32_t users_count(const struct users *users);
// The i-th of users_count, borrowed, with its mark.
struct slice users_name(const struct users *users, uint32_t i, uint64_t *ret_mark);
// Of the user's name and hash: the same for the same line, in another file and process, too, and
// never 0. 0 = unknown. Two lines have one mark by design alone, of whoever writes the file.
uint64_t users_mark(const struct users *users, struct slice user);

// What the server side of SCRAM needs to know of a user.
struct users_scram {
    bool known;    // and can do this one; else the rest is made up, and no proof may be good
    uint64_t mark; // 0 = not known
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[PASSWORD_SALT_MAX];
    uint8_t stored_key[DIGEST_LEN_MAX]; // digest_len
    uint8_t server_key[DIGEST_LEN_MAX];
};
// What is made up for a name is the same until this process ends. The caller wipes it.
void users_scram(const struct users *users, enum digest digest, struct slice user,
                 struct users_scram *ret_scram);

#endif
