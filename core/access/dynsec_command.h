// dynsec_command.h - one command of an administrator, and what the files of commands share.
//
// Job:    each command takes its fields from `command`, changes the model or not, may leave `data`
//         for the response, and returns what is wrong, in mosquitto's words where it has any.
// Owner:  dynsec_control.c. Thread: whoever holds the lock of dynsec.c. Memory: data.
// Limits: see dynsec.h. Private to core/access/dynsec*.c.
//
// A command that fails has changed nothing.
#ifndef TERN_CORE_ACCESS_DYNSEC_COMMAND_H
#define TERN_CORE_ACCESS_DYNSEC_COMMAND_H

#include "core/access/dynsec_json.h"

struct dynsec_run {
    struct dynsec_model *model;
    const json_t *command;
    const struct dynsec_secret *secret; // of command's "password", made beforehand; NULL = none
    json_t *data;                       // the command's; NULL: none
    uint32_t room;                      // of the response, in bytes, about
    bool changed;
};

typedef const char *(*dynsec_command)(struct dynsec_run *run); // NULL: done

// ---- What they share ----------------------------------------------------------------------------

// The command's field with the name of an object of this kind; "" is good only for looking up.
const char *dynsec_take_name(const struct dynsec_run *run, enum dynsec_kind kind, const char **ret);
// "textname" and "textdescription"; NULL = not there.
struct dynsec_texts {
    const char *name, *description;
};
const char *dynsec_take_texts(const struct dynsec_run *run, struct dynsec_texts *ret);
// Sets those that are there in the object. dynsec_take_texts has seen them.
void dynsec_change_texts(const struct dynsec_run *run, struct dynsec_object *object);
const char *dynsec_new_name_problem(enum dynsec_kind kind, const char *name);
// "priority".
int32_t dynsec_take_priority(const struct dynsec_run *run);
// The list of a table, as its "verbose", "count" and "offset" say, under this name.
const char *dynsec_list(struct dynsec_run *run, const struct dynsec_table *table, const char *name);
// The object, shown.
const char *dynsec_get(struct dynsec_run *run, const struct dynsec_object *object,
                       const char *name);
// Something changed that is to be stored, and that rules depend on.
void dynsec_changed(struct dynsec_run *run, const struct dynsec_object *object);

// ---- Commands -----------------------------------------------------------------------------------

const char *dynsec_create_client(struct dynsec_run *run);
const char *dynsec_delete_client(struct dynsec_run *run);
const char *dynsec_enable_client(struct dynsec_run *run);
const char *dynsec_disable_client(struct dynsec_run *run);
const char *dynsec_set_client_id(struct dynsec_run *run);
const char *dynsec_set_client_password(struct dynsec_run *run);
const char *dynsec_modify_client(struct dynsec_run *run);
const char *dynsec_get_client(struct dynsec_run *run);
const char *dynsec_list_clients(struct dynsec_run *run);
const char *dynsec_add_client_role(struct dynsec_run *run);
const char *dynsec_remove_client_role(struct dynsec_run *run);

const char *dynsec_create_group(struct dynsec_run *run);
const char *dynsec_delete_group(struct dynsec_run *run);
const char *dynsec_modify_group(struct dynsec_run *run);
const char *dynsec_get_group(struct dynsec_run *run);
const char *dynsec_list_groups(struct dynsec_run *run);
const char *dynsec_add_group_client(struct dynsec_run *run);
const char *dynsec_remove_group_client(struct dynsec_run *run);
const char *dynsec_add_group_role(struct dynsec_run *run);
const char *dynsec_remove_group_role(struct dynsec_run *run);
const char *dynsec_set_anonymous_group(struct dynsec_run *run);
const char *dynsec_get_anonymous_group(struct dynsec_run *run);

const char *dynsec_create_role(struct dynsec_run *run);
const char *dynsec_delete_role(struct dynsec_run *run);
const char *dynsec_modify_role(struct dynsec_run *run);
const char *dynsec_get_role(struct dynsec_run *run);
const char *dynsec_list_roles(struct dynsec_run *run);
const char *dynsec_add_role_acl(struct dynsec_run *run);
const char *dynsec_remove_role_acl(struct dynsec_run *run);

const char *dynsec_set_default_access(struct dynsec_run *run);
const char *dynsec_get_default_access(struct dynsec_run *run);

// ---- A payload ----------------------------------------------------------------------------------

// Parsed, and with the passwords that are to be set hashed already, which takes long and needs no
// lock.
struct dynsec_batch {
    json_t *root;
    const json_t *commands; // an array; NULL: problem
    const char *problem;
    struct dynsec_secret *secrets; // of each command; iterations 0 = none
};
void dynsec_batch_begin(struct slice payload, uint32_t iterations, struct dynsec_batch *ret);
void dynsec_batch_end(struct dynsec_batch *batch); // frees and wipes what it holds

// Executes it; the response. Returns new. by: for the log. *ret_log: mem_alloc'ed, or NULL.
json_t *dynsec_batch_run(struct dynsec_model *model, const struct dynsec_batch *batch,
                         bool *ret_changed, char **ret_log);

#endif
