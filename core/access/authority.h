// authority.h - all that answers come from, as loaded at one time.
//
// Job:    what the files of a configuration say, for each listener; one struct that is replaced as
//         a whole.
// Owner:  counted: the service, and each thread while it answers. Thread: any; immutable.
// Memory: what the files hold; files that several listeners share are there once.
// Limits: those of the files.
#ifndef TERN_CORE_ACCESS_AUTHORITY_H
#define TERN_CORE_ACCESS_AUTHORITY_H

#include "core/access/jwt.h"
#include "core/access/service.h"

struct users;

struct authority_listener {
    struct users *users;        // NULL = no password file
    struct acl *acl;            // NULL = no ACL file
    struct access_users *names; // of users
    bool asks;                  // about clients that name themselves
};

struct authority {
    _Atomic uint32_t refs;
    bool alike;                 // the listeners' ACLs are the same
    struct jwt_keys *tokens;    // NULL = no tokens are taken
    struct auth_jwt_config jwt; // with texts of its own
    bool hook_connects;         // the HTTP service is asked about clients,
    bool hook_topics;           // about topics and filters
    uint32_t listener_count;
    struct authority_listener listeners[CONFIG_LISTENERS_MAX];
};

// OK: returns new, one reference. ERR_CONFIG: as access_service_new.
NODISCARD err_t authority_load(const struct config *config, struct authority **ret_authority,
                               char ret_problem[ACCESS_PROBLEM_MAX]);
// The users of a password file with their marks; users NULL: nobody. Returns new.
struct access_users *authority_names(const struct users *users);
struct authority *authority_ref(struct authority *authority);
void authority_unref(struct authority *authority); // takes one; NULL is fine

#endif
