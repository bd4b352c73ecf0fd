// dynsec.h - dynamic security: clients, groups, roles and their rules, changed at run time.
//
// Job:    keeps them, executes the commands that administrators publish to DYNSEC_TOPIC (in the
//         form of mosquitto's plugin 2.0), checks passwords, compiles rules for topics, and says
//         what of it must be stored.
// Owner:  the access service. Thread: any; a lock inside orders the commands.
// Memory: about 300 bytes a client, 100 a group or role, 40 an ACL, and their texts.
// Limits: below; what exceeds them is an error in the response. Numbers in lists are per object.
#ifndef TERN_CORE_ACCESS_DYNSEC_H
#define TERN_CORE_ACCESS_DYNSEC_H

#include "core/base/err.h"

struct access_users;
struct acl;
struct dynsec;
struct verified;

#define DYNSEC_TOPIC           "$CONTROL/dynamic-security/v1"
#define DYNSEC_RESPONSE_TOPIC  "$CONTROL/dynamic-security/v1/response"

#define DYNSEC_PAYLOAD_MAX     (1u << 20)  // bytes of commands
#define DYNSEC_COMMANDS_MAX    1000u       // in one payload
#define DYNSEC_REPLY_MAX       (16u << 20) // bytes of a response, about
#define DYNSEC_FILE_MAX        (256u << 20)
#define DYNSEC_CLIENTS_MAX     100000u
#define DYNSEC_GROUPS_MAX      10000u
#define DYNSEC_ROLES_MAX       10000u
#define DYNSEC_ACLS_MAX        1000u   // of a role
#define DYNSEC_ALL_ACLS_MAX    300000u // of all roles: each may be three rules (ACL_RULES_MAX)
#define DYNSEC_HELD_ROLES_MAX  64u     // of a client or a group
#define DYNSEC_MEMBERSHIPS_MAX 62u     // groups of a client: then its lists fit in ACL_LISTS_MAX
#define DYNSEC_NAME_MAX        400u    // bytes: a key of the store has room for it
#define DYNSEC_TEXT_MAX        4096u   // bytes of textname, textdescription, a topic
#define DYNSEC_ITERATIONS_MAX  10000000u
#define DYNSEC_ITERATIONS      210000u // of passwords that are set here; mosquitto 2.0 has 101

// iterations: of PBKDF2-SHA512 for passwords that are set from now on, at most
// DYNSEC_ITERATIONS_MAX. Returns new, empty: nobody is in it and nothing is allowed.
struct dynsec *dynsec_new(uint32_t iterations);
void dynsec_free(struct dynsec *dynsec); // takes; NULL is fine

// ---- What is stored -----------------------------------------------------------------------------

// A setting: a name that begins with DYNSEC_SETTINGS, and a value (JSON); empty: there is none any
// more. A later order replaces an earlier one.
#define DYNSEC_SETTINGS "dynsec/"

struct dynsec_setting {
    struct slice name, value;
};

struct dynsec_settings {
    struct dynsec_setting *list;
    uint32_t count, cap;
};

void dynsec_settings_free(struct dynsec_settings *settings); // frees what it holds; wipes

// The order of the next change, above all that the store has; 1 where nothing else is said.
void dynsec_set_next_order(struct dynsec *dynsec, uint64_t order);
// Takes what the store has, once, into an empty one. ERR_CONFIG: problem (of size bytes) says what
// could not be understood; nothing is taken then.
NODISCARD err_t dynsec_load(struct dynsec *dynsec, const struct dynsec_setting *list,
                            uint32_t count, char *problem, size_t size);

struct dynsec_import {
    uint32_t clients, groups, roles;
    uint32_t skipped;                // entries that could not be understood or exceed a limit
    uint64_t order;                  // of the settings
    struct dynsec_settings settings; // to be stored; the caller's
};
// Takes a dynamic-security.json into an empty one. ERR_CONFIG: as above.
NODISCARD err_t dynsec_import(struct dynsec *dynsec, struct slice text, struct dynsec_import *ret,
                              char *problem, size_t size);
bool dynsec_is_empty(struct dynsec *dynsec);

// ---- Commands -----------------------------------------------------------------------------------

struct dynsec_outcome {
    struct slice reply;              // JSON, mem_alloc'ed; the caller's
    struct dynsec_settings settings; // what changed; the caller's
    uint64_t order;                  // of these settings: higher than that of all before
    bool rules;                      // rules or users are others than before
    uint64_t mark;                   // of the administrator's own entry from now on; 0 = none
    char *log;                       // one line for each command that changed something, or NULL
};
// Executes a payload. Whatever is wrong with it stands in the reply. by: the administrator's user
// name; data NULL = none.
void dynsec_execute(struct dynsec *dynsec, struct slice by, struct slice payload,
                    struct dynsec_outcome *ret);
void dynsec_outcome_free(struct dynsec_outcome *outcome); // frees what it holds

// ---- Decisions ----------------------------------------------------------------------------------

struct dynsec_login {
    struct slice user, client_id, password;
};
// May this user come? ERR_NOT_FOUND: there is no such client; that takes as long as if there were.
// ERR_NOT_AUTHORIZED: it is disabled, has no or another password, or is bound to another client
// identifier. OK: *ret_mark is that of its entry in dynsec_users. verified: passwords that were
// good a short while ago; NULL is fine. now_ms: monotonic.
NODISCARD err_t dynsec_check(struct dynsec *dynsec, const struct dynsec_login *login,
                             struct verified *verified, uint64_t now_ms, uint64_t *ret_mark);

// Everything about topics, as it is now. Returns new.
struct acl *dynsec_compile(struct dynsec *dynsec);
// Adds everybody whom it knows, with marks: a mark changes when a connected client has to come
// again. Who came without a name stays: its rights follow the rules.
void dynsec_add_users(struct dynsec *dynsec, struct access_users *users);

#endif
