// dynsec_json.c - clients, groups and roles as JSON: in commands, responses, files and the store.
#include "core/access/dynsec_json.h"

#include <strings.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access/base64.h"

// ---- Texts --------------------------------------------------------------------------------------

bool
dynsec_text_good(const char *text)
{
    if (!text)
        return true;
    size_t len = strlen(text);
    return len <= DYNSEC_TEXT_MAX && utf8_valid(slice_of(text, len));
}

// As mosquitto has it: no control characters, be they of one byte or of two (U+0080 to U+009F).
bool
dynsec_name_good(const char *name)
{
    const uint8_t *p = (const uint8_t *)name;
    for (; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
            return false;
    return utf8_valid(slice_str(name));
}

void
dynsec_set(char **text, const char *to)
{
    mem_free(*text);
    *text = to ? mem_strdup(to) : NULL;
}

// ---- Fields -------------------------------------------------------------------------------------

const json_t *
dynsec_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (value || !json_is_object(object))
        return value;
    json_t *own = unconst(object); // jansson's iterators change nothing
    for (void *i = json_object_iter(own); i; i = json_object_iter_next(own, i))
        if (strcasecmp(json_object_iter_key(i), name) == 0)
            return json_object_iter_value(i);
    return NULL;
}

bool
dynsec_string(const json_t *object, const char *name, const char **ret)
{
    const json_t *value = dynsec_field(object, name);
    *ret = json_string_value(value);
    return !value || *ret;
}

int32_t
dynsec_number(const json_t *object, const char *name, int32_t otherwise)
{
    const json_t *value = dynsec_field(object, name);
    if (!json_is_number(value))
        return otherwise;
    double number = json_number_value(value);
    return number >= INT32_MAX ? INT32_MAX : number <= INT32_MIN ? INT32_MIN : (int32_t)number;
}

bool
dynsec_bool(const json_t *object, const char *name, bool otherwise)
{
    const json_t *value = dynsec_field(object, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

// ---- Names of types -----------------------------------------------------------------------------

static const char *const acl_type_names[DYNSEC_ACL_TYPES] = {
    [DYNSEC_PUBLISH_SEND] = "publishClientSend",
    [DYNSEC_PUBLISH_RECEIVE] = "publishClientReceive",
    [DYNSEC_SUBSCRIBE_LITERAL] = "subscribeLiteral",
    [DYNSEC_SUBSCRIBE_PATTERN] = "subscribePattern",
    [DYNSEC_UNSUBSCRIBE_LITERAL] = "unsubscribeLiteral",
    [DYNSEC_UNSUBSCRIBE_PATTERN] = "unsubscribePattern",
};

const char *
dynsec_acl_type_name(enum dynsec_acl_type type)
{
    must(type < DYNSEC_ACL_TYPES);
    return acl_type_names[type];
}

bool
dynsec_acl_type(const char *name, enum dynsec_acl_type *ret)
{
    for (enum dynsec_acl_type type = 0; type < DYNSEC_ACL_TYPES; type++) {
        if (strcasecmp(name, acl_type_names[type]) == 0) {
            *ret = type;
            return true;
        }
    }
    return false;
}

static const char *const access_names[ACL_ACTIONS] = {
    [ACL_PUBLISH] = "publishClientSend",
    [ACL_RECEIVE] = "publishClientReceive",
    [ACL_SUBSCRIBE] = "subscribe",
    [ACL_UNSUBSCRIBE] = "unsubscribe",
};

const char *
dynsec_access_name(enum acl_action action)
{
    must(action < ACL_ACTIONS);
    return access_names[action];
}

bool
dynsec_access(const char *name, enum acl_action *ret)
{
    for (enum acl_action action = 0; action < ACL_ACTIONS; action++) {
        if (strcasecmp(name, access_names[action]) == 0) {
            *ret = action;
            return true;
        }
    }
    return false;
}

// ---- Lists --------------------------------------------------------------------------------------

const char *
dynsec_read_roles(const struct dynsec_model *model, const json_t *object, struct dynsec_links *ret,
                  bool *ret_there)
{
    const json_t *list = dynsec_field(object, "roles"), *entry;
    size_t i;
    must(ret->count == 0);
    *ret_there = list != NULL;
    if (list && !json_is_array(list))
        return "'roles' not an array or missing/invalid rolename";
    json_array_foreach(list, i, entry)
    {
        const char *name;
        if (!dynsec_string(entry, "rolename", &name) || !name)
            return "'roles' not an array or missing/invalid rolename";
        struct dynsec_role *role = dynsec_find_role(model, name);
        if (!role)
            return "Role not found";
        // What is there twice counts once, with its first priority.
        if (dynsec_hold_role(ret, role, dynsec_number(entry, "priority", DYNSEC_NO_PRIORITY)) ==
            ERR_FULL)
            return "Too many roles";
    }
    return NULL;
}

const char *
dynsec_read_acls(struct dynsec_model *model, const json_t *object, struct dynsec_role *role,
                 uint32_t *ret_skipped)
{
    const json_t *list = dynsec_field(object, "acls"), *entry;
    size_t i;
    *ret_skipped = 0;
    json_array_foreach(list, i, entry)
    {
        const char *name, *topic;
        enum dynsec_acl_type type;
        if (!dynsec_string(entry, "acltype", &name) || !name || !dynsec_acl_type(name, &type) ||
            !dynsec_string(entry, "topic", &topic) || !topic || !dynsec_text_good(topic)) {
            ++*ret_skipped;
            continue;
        }
        struct dynsec_acl acl = {
            .topic = unconst(topic), // copied
            .priority = dynsec_number(entry, "priority", 0),
            .allow = dynsec_bool(entry, "allow", false),
        };
        err_t err = dynsec_add_acl(model, role, type, &acl);
        if (err == ERR_FULL)
            return "Too many ACLs";
        *ret_skipped += err != OK; // the topic is there twice
    }
    return NULL;
}

// ---- Objects to JSON ----------------------------------------------------------------------------

void
dynsec_put(json_t *object, const char *name, json_t *value)
{
    int rc = json_object_set_new_nocheck(object, name, value);
    must(rc == 0); // there is memory, and what we write is UTF-8
}

void
dynsec_append(json_t *array, json_t *value)
{
    int rc = json_array_append_new(array, value);
    must(rc == 0);
}

void
dynsec_put_string(json_t *object, const char *name, const char *text)
{
    if (text)
        dynsec_put(object, name, json_string_nocheck(text));
}

static json_t *
links_json(const struct dynsec_links *links, const char *name, enum dynsec_form form)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < links->count; i++) {
        const struct dynsec_link *link = &links->items[i];
        json_t *entry = json_object();
        dynsec_put_string(entry, name, link->to->name);
        if (link->priority != DYNSEC_NO_PRIORITY && link->to->kind != DYNSEC_CLIENT)
            dynsec_put(entry, "priority", json_integer(link->priority));
        if (form == DYNSEC_STORED)
            dynsec_put(entry, "id", json_integer((json_int_t)link->to->id));
        dynsec_append(list, entry);
    }
    return list;
}

static void
add_texts(json_t *json, const struct dynsec_object *object)
{
    dynsec_put_string(json, "textname", object->text_name);
    dynsec_put_string(json, "textdescription", object->text_description);
}

static void
add_id(json_t *json, const struct dynsec_object *object, enum dynsec_form form)
{
    if (form == DYNSEC_STORED)
        dynsec_put(json, "id", json_integer((json_int_t)object->id));
}

static void
add_bytes(json_t *object, const char *name, const uint8_t *bytes, uint32_t len)
{
    char text[2 * DYNSEC_HASH_BYTES];
    must(base64_encoded_max(len) < sizeof text);
    (void)base64_encode(BASE64_PADDED, slice_of(bytes, len), text);
    dynsec_put_string(object, name, text);
}

json_t *
dynsec_client_json(const struct dynsec_client *client, enum dynsec_form form)
{
    must(client->object.kind == DYNSEC_CLIENT && client->mark != 0);
    json_t *json = json_object();
    dynsec_put_string(json, "username", client->object.name);
    dynsec_put_string(json, "clientid", client->client_id);
    add_texts(json, &client->object);
    if (client->disabled)
        dynsec_put(json, "disabled", json_true());
    dynsec_put(json, "roles", links_json(&client->roles, "rolename", form));
    dynsec_put(json, "groups", links_json(&client->groups, "groupname", form));
    add_id(json, &client->object, form);
    if (form == DYNSEC_STORED && client->has_secret) {
        const struct dynsec_secret *secret = &client->secret;
        add_bytes(json, "password", secret->hash, DYNSEC_HASH_BYTES);
        add_bytes(json, "salt", secret->salt, secret->salt_len);
        dynsec_put(json, "iterations", json_integer(secret->iterations));
    }
    return json;
}

// Stored, a group does not know its clients: they know their groups.
json_t *
dynsec_group_json(const struct dynsec_group *group, enum dynsec_form form)
{
    must(group->object.kind == DYNSEC_GROUP);
    json_t *json = json_object();
    dynsec_put_string(json, "groupname", group->object.name);
    add_texts(json, &group->object);
    if (form == DYNSEC_SHOWN)
        dynsec_put(json, "clients", links_json(&group->clients, "username", form));
    dynsec_put(json, "roles", links_json(&group->roles, "rolename", form));
    add_id(json, &group->object, form);
    return json;
}

json_t *
dynsec_role_json(const struct dynsec_role *role, enum dynsec_form form)
{
    must(role->object.kind == DYNSEC_ROLE);
    json_t *json = json_object(), *list = json_array();
    dynsec_put_string(json, "rolename", role->object.name);
    add_texts(json, &role->object);
    for (enum dynsec_acl_type type = 0; type < DYNSEC_ACL_TYPES; type++) {
        for (uint32_t i = 0; i < role->acls[type].count; i++) {
            const struct dynsec_acl *acl = &role->acls[type].items[i];
            json_t *entry = json_object();
            dynsec_put_string(entry, "acltype", acl_type_names[type]);
            dynsec_put_string(entry, "topic", acl->topic);
            dynsec_put(entry, "priority", json_integer(acl->priority));
            dynsec_put(entry, "allow", json_boolean(acl->allow));
            dynsec_append(list, entry);
        }
    }
    dynsec_put(json, "acls", list);
    add_id(json, &role->object, form);
    return json;
}

json_t *
dynsec_general_json(const struct dynsec_model *model)
{
    json_t *json = json_object(), *access = json_object();
    for (enum acl_action action = 0; action < ACL_ACTIONS; action++)
        dynsec_put(access, access_names[action], json_boolean(model->allowed[action]));
    dynsec_put(json, "defaultACLAccess", access);
    if (model->anonymous) {
        dynsec_put_string(json, "anonymousGroup", model->anonymous->object.name);
        dynsec_put(json, "id", json_integer((json_int_t)model->anonymous->object.id));
    }
    return json;
}

// ---- Passwords ----------------------------------------------------------------------------------

// False: no base64, or not of these lengths.
static bool
read_bytes(const char *text, uint8_t *dst, uint32_t min, uint32_t max, uint32_t *ret_len)
{
    uint8_t bytes[2 * DYNSEC_HASH_BYTES + 8];
    size_t len = strlen(text);
    if (base64_decoded_max(len) > sizeof bytes ||
        base64_decode(BASE64_PADDED, slice_of(text, len), bytes, ret_len) != OK || *ret_len < min ||
        *ret_len > max)
        return false;
    memcpy(dst, bytes, *ret_len);
    return true;
}

bool
dynsec_read_secret(const json_t *object, struct dynsec_client *client)
{
    const char *password, *salt;
    uint32_t hash_len;
    if (!dynsec_string(object, "password", &password) || !dynsec_string(object, "salt", &salt))
        return false;
    if (!password && !salt)
        return true; // nobody comes under this name
    int32_t iterations = dynsec_number(object, "iterations", 0);
    if (!password || !salt || iterations < 1 || iterations > (int32_t)DYNSEC_ITERATIONS_MAX ||
        !read_bytes(password, client->secret.hash, DYNSEC_HASH_BYTES, DYNSEC_HASH_BYTES,
                    &hash_len) ||
        !read_bytes(salt, client->secret.salt, 0, DYNSEC_SALT_MAX, &client->secret.salt_len))
        return false;
    must(hash_len == DYNSEC_HASH_BYTES && client->secret.salt_len <= DYNSEC_SALT_MAX);
    client->secret.iterations = (uint32_t)iterations;
    client->has_secret = true;
    return true;
}
