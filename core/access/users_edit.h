// users_edit.h - the text of a password file, changed in one place.
//
// Job:    sets a user's hash, removes a user, hashes what is in plain text; all other lines stay as
//         they are. What comes out is a file that users_parse takes, or nothing comes out.
// Owner:  the caller. Thread: any. Memory: the new text, once; wiped when it is no use.
// Limits: users.h's.
#ifndef TERN_CORE_ACCESS_USERS_EDIT_H
#define TERN_CORE_ACCESS_USERS_EDIT_H

#include "core/base/secret_file.h"

#include "core/access/password_hash.h"

struct users_edit {
    const char *name;         // of the file, for the problem
    struct slice text;        // as it is; borrowed
    struct secret_file fresh; // as it shall be, when OK; the caller frees it
    uint32_t changed;         // lines that were there and are other ones, or none
    struct file_problem problem;
};

// All three: ERR_CONFIG with the problem, "NAME:LINE: ...".

// Sets or adds. user: users_name_problem has nothing against it, and neither colon nor `#` nor
// blanks are where they have a meaning. hash: as password_hash_make writes it. A user that stands
// twice stands once afterwards.
NODISCARD err_t users_edit_set(struct users_edit *edit, struct slice user, struct slice hash);
// changed is 0 where the user is not there.
NODISCARD err_t users_edit_remove(struct users_edit *edit, struct slice user);
// Lines whose hash is one already stay. A password may hold colons; blanks around it are no part.
NODISCARD err_t users_edit_upgrade(struct users_edit *edit, const struct password_hash *parameters);

#endif
