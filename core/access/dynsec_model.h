// dynsec_model.h - clients, groups and roles, and how they belong to each other.
//
// Job:    the data behind dynsec.h; keeps both ends of every relation in step.
// Owner:  dynsec.c. Thread: whoever holds its lock. Memory: see dynsec.h. Limits: see dynsec.h.
// Private to core/access/dynsec*.c.
#ifndef TERN_CORE_ACCESS_DYNSEC_MODEL_H
#define TERN_CORE_ACCESS_DYNSEC_MODEL_H

#include "core/access/dynsec.h"
#include "core/access/dynsec_secret.h"
#include "core/acl.h"

// ---- Objects, in the order of their names -------------------------------------------------------

enum dynsec_kind { DYNSEC_CLIENT, DYNSEC_GROUP, DYNSEC_ROLE };

// What clients, groups and roles begin with.
struct dynsec_object {
    enum dynsec_kind kind;
    char *name;
    char *text_name, *text_description; // NULL = none
    // By chance. Clients and groups name roles and groups together with it, so that what refers to
    // one that is gone does not find a later one of the same name.
    uint64_t id;
};

struct dynsec_table {
    struct dynsec_object **items;
    uint32_t count, cap;
};

// ---- Relations ----------------------------------------------------------------------------------

#define DYNSEC_NO_PRIORITY (-1) // and not shown

struct dynsec_link {
    struct dynsec_object *to;
    int32_t priority;
};

// Roles and groups: the highest priority first, then by name. Clients: by name.
struct dynsec_links {
    struct dynsec_link *items;
    uint32_t count, cap;
};

// ---- Roles --------------------------------------------------------------------------------------

enum dynsec_acl_type {
    DYNSEC_PUBLISH_SEND,
    DYNSEC_PUBLISH_RECEIVE,
    DYNSEC_SUBSCRIBE_LITERAL,
    DYNSEC_SUBSCRIBE_PATTERN,
    DYNSEC_UNSUBSCRIBE_LITERAL,
    DYNSEC_UNSUBSCRIBE_PATTERN,
    DYNSEC_ACL_TYPES,
};

struct dynsec_acl {
    char *topic;
    int32_t priority;
    bool allow;
};

// The highest priority first, then the oldest.
struct dynsec_acls {
    struct dynsec_acl *items;
    uint32_t count, cap;
};

struct dynsec_role {
    struct dynsec_object object;
    struct dynsec_acls acls[DYNSEC_ACL_TYPES];
    uint32_t list; // while rules are compiled
};

// ---- Groups and clients -------------------------------------------------------------------------

struct dynsec_group {
    struct dynsec_object object;
    struct dynsec_links roles, clients;
};

struct dynsec_client {
    struct dynsec_object object;
    char *client_id; // NULL: any
    struct dynsec_secret secret;
    bool has_secret, disabled;
    struct dynsec_links roles, groups;
    uint64_t mark; // see dynsec_users
};

struct dynsec_model {
    struct dynsec_table clients, groups, roles;
    struct dynsec_group *anonymous; // clients without a name are in it; NULL = none
    bool allowed[ACL_ACTIONS];      // where no rule matches
    uint32_t acl_count;             // of all roles
    uint64_t next_mark;
    struct dynsec_names {
        char **items; // of settings that changed, some of them more than once
        uint32_t count, cap;
    } touched;
};

void dynsec_model_init(struct dynsec_model *model);
void dynsec_model_free(struct dynsec_model *model); // frees what it holds

// ---- Finding, making, removing ------------------------------------------------------------------

struct dynsec_client *dynsec_find_client(const struct dynsec_model *model, const char *name);
struct dynsec_group *dynsec_find_group(const struct dynsec_model *model, const char *name);
struct dynsec_role *dynsec_find_role(const struct dynsec_model *model, const char *name);

// The name must be new. Each returns borrowed, until it is removed.
struct dynsec_client *dynsec_add_client(struct dynsec_model *model, const char *name);
struct dynsec_group *dynsec_add_group(struct dynsec_model *model, const char *name);
struct dynsec_role *dynsec_add_role(struct dynsec_model *model, const char *name);

// With all that relates to it.
void dynsec_remove_client(struct dynsec_model *model, struct dynsec_client *client);
void dynsec_remove_group(struct dynsec_model *model, struct dynsec_group *group);
void dynsec_remove_role(struct dynsec_model *model, struct dynsec_role *role);

// ---- Relating -----------------------------------------------------------------------------------

// roles: of a client or a group. ERR_FULL; ERR_PROTOCOL: it is there already.
NODISCARD err_t dynsec_hold_role(struct dynsec_links *roles, struct dynsec_role *role,
                                 int32_t priority);
// Nothing when it is not there.
void dynsec_drop_role(struct dynsec_links *roles, const struct dynsec_role *role);
NODISCARD err_t dynsec_join(struct dynsec_group *group, struct dynsec_client *client,
                            int32_t priority);
void dynsec_leave(struct dynsec_group *group, struct dynsec_client *client);
const struct dynsec_link *dynsec_find_link(const struct dynsec_links *links, const void *to);
void dynsec_links_free(struct dynsec_links *links); // frees the list

// A copy of topic, in its place. ERR_FULL; ERR_PROTOCOL: the topic is there already.
NODISCARD err_t dynsec_add_acl(struct dynsec_model *model, struct dynsec_role *role,
                               enum dynsec_acl_type type, const struct dynsec_acl *acl);
NODISCARD err_t dynsec_remove_acl(struct dynsec_model *model, struct dynsec_role *role,
                                  enum dynsec_acl_type type, const char *topic); // ERR_NOT_FOUND
void dynsec_clear_acls(struct dynsec_model *model, struct dynsec_role *role);

// ---- What a change means ------------------------------------------------------------------------

// To be stored anew, or deleted from the store when it is gone by the end of the payload.
void dynsec_touch(struct dynsec_model *model, const struct dynsec_object *object);
void dynsec_touch_general(struct dynsec_model *model); // defaults, and the anonymous group

// Who is connected under it has to come again.
void dynsec_kick_client(struct dynsec_model *model, struct dynsec_client *client);
void dynsec_kick_group(struct dynsec_model *model, struct dynsec_group *group);
void dynsec_kick_role(struct dynsec_model *model, const struct dynsec_role *role);

#endif
