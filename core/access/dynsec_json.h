// dynsec_json.h - clients, groups and roles as JSON: in commands, responses, files and the store.
//
// Job:    reads fields, and whole objects; writes objects in one of three forms.
// Owner:  none. Thread: whoever holds the lock of dynsec.c. Memory: what is returned.
// Limits: see dynsec.h. Private to core/access/dynsec*.c.
//
// Names of fields go without regard to case, because mosquitto's library reads them so, and
// `mosquitto_ctrl dynsec init` relies on it ("textName").
#ifndef TERN_CORE_ACCESS_DYNSEC_JSON_H
#define TERN_CORE_ACCESS_DYNSEC_JSON_H

#include "core/access/dynsec_model.h"
#include "core/access/json_text.h"

// ---- Fields -------------------------------------------------------------------------------------

const json_t *dynsec_field(const json_t *object, const char *name); // borrowed; NULL = not there
// False: it is there, and no string. *ret NULL: not there. Borrowed from object.
bool dynsec_string(const json_t *object, const char *name, const char **ret);
int32_t dynsec_number(const json_t *object, const char *name, int32_t otherwise);
bool dynsec_bool(const json_t *object, const char *name, bool otherwise);

void dynsec_put(json_t *object, const char *name, json_t *value);           // takes value
void dynsec_put_string(json_t *object, const char *name, const char *text); // NULL: nothing
void dynsec_append(json_t *array, json_t *value);                           // takes value

// ---- Lists --------------------------------------------------------------------------------------

// What is wrong with it, or NULL. Texts as mosquitto's.
// "roles" of object, into an empty list. *ret_there: there is such a field.
const char *dynsec_read_roles(const struct dynsec_model *model, const json_t *object,
                              struct dynsec_links *ret, bool *ret_there);
// "acls" of object, into role, which has none. Entries that are none are left out, and counted.
const char *dynsec_read_acls(struct dynsec_model *model, const json_t *object,
                             struct dynsec_role *role, uint32_t *ret_skipped);
const char *dynsec_acl_type_name(enum dynsec_acl_type type);
bool dynsec_acl_type(const char *name, enum dynsec_acl_type *ret);

// ---- Defaults -----------------------------------------------------------------------------------

const char *dynsec_access_name(enum acl_action action);
bool dynsec_access(const char *name, enum acl_action *ret);

// ---- Objects ------------------------------------------------------------------------------------

enum dynsec_form {
    DYNSEC_SHOWN,  // in responses: without passwords
    DYNSEC_STORED, // with passwords, and with the numbers that tell an object from an older one
};

json_t *dynsec_client_json(const struct dynsec_client *client, enum dynsec_form form);
json_t *dynsec_group_json(const struct dynsec_group *group, enum dynsec_form form);
json_t *dynsec_role_json(const struct dynsec_role *role, enum dynsec_form form);
json_t *dynsec_general_json(const struct dynsec_model *model);

// "password", "salt", "iterations". False: they are there and make no sense.
bool dynsec_read_secret(const json_t *object, struct dynsec_client *client);
// Of this length and no control characters.
bool dynsec_name_good(const char *name);
bool dynsec_text_good(const char *text);      // NULL is good
void dynsec_set(char **text, const char *to); // a copy; NULL or what text is to be

#endif
