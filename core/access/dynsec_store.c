// dynsec_store.c - the model to settings and back, and from a dynamic-security.json.
//
// A setting for each client, group and role, and one for what is left ("dynsec/general"). A client
// names its roles and groups by name and number; a role or group that is deleted takes its own
// setting with it and no other: what still names it is not found, also when there is a new one of
// that name.
#include "core/access/dynsec_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/access/dynsec_json.h"

// ---- To settings --------------------------------------------------------------------------------

static json_t *
setting_json(const struct dynsec_model *model, const char *name)
{
    static const size_t client = sizeof "client/" - 1, group = sizeof "group/" - 1,
                        role = sizeof "role/" - 1;
    if (strncmp(name, "client/", client) == 0) {
        const struct dynsec_client *found = dynsec_find_client(model, name + client);
        return found ? dynsec_client_json(found, DYNSEC_STORED) : NULL;
    }
    if (strncmp(name, "group/", group) == 0) {
        const struct dynsec_group *found = dynsec_find_group(model, name + group);
        return found ? dynsec_group_json(found, DYNSEC_STORED) : NULL;
    }
    if (strncmp(name, "role/", role) == 0) {
        const struct dynsec_role *found = dynsec_find_role(model, name + role);
        return found ? dynsec_role_json(found, DYNSEC_STORED) : NULL;
    }
    must(strcmp(name, "general") == 0);
    return dynsec_general_json(model);
}

static int
compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void
dynsec_collect(struct dynsec_model *model, struct dynsec_settings *ret)
{
    struct dynsec_names *touched = &model->touched;
    *ret = (struct dynsec_settings){0};
    if (touched->count > 1)
        qsort(touched->items, touched->count, sizeof *touched->items, compare_texts);
    for (uint32_t i = 0; i < touched->count; i++) {
        char *name = touched->items[i];
        must(strncmp(name, DYNSEC_SETTINGS, sizeof DYNSEC_SETTINGS - 1) == 0);
        if (i + 1 < touched->count && strcmp(name, touched->items[i + 1]) == 0) {
            mem_free(name);
            continue;
        }
        json_t *json = setting_json(model, name + sizeof DYNSEC_SETTINGS - 1);
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        ret->list = mem_grow(ret->list, &ret->cap, ret->count + 1, sizeof *ret->list);
        ret->list[ret->count++] = (struct dynsec_setting){
            .name = slice_str(name),
            .value = text ? slice_str(text) : slice_of("", 0),
        };
    }
    must(ret->count <= touched->count);
    touched->count = 0;
}

void
dynsec_settings_free(struct dynsec_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        struct slice value = settings->list[i].value;
        mem_free(unconst(settings->list[i].name.data));
        if (value.len == 0)
            continue;
        explicit_bzero(unconst(value.data), value.len);
        mem_free(unconst(value.data));
    }
    mem_free(settings->list);
    *settings = (struct dynsec_settings){0};
}

// ---- Objects from JSON --------------------------------------------------------------------------

// The field that names an object, good for a new one.
static const char *
take_name(const json_t *json, const char *field)
{
    const char *name;
    if (!dynsec_string(json, field, &name) || !name || !*name || strlen(name) > DYNSEC_NAME_MAX ||
        !dynsec_name_good(name))
        return NULL;
    return name;
}

static void
take_texts(const json_t *json, struct dynsec_object *object)
{
    const char *text;
    if (dynsec_string(json, "textname", &text) && dynsec_text_good(text))
        dynsec_set(&object->text_name, text);
    if (dynsec_string(json, "textdescription", &text) && dynsec_text_good(text))
        dynsec_set(&object->text_description, text);
}

static void
take_id(const json_t *json, struct dynsec_object *object)
{
    const json_t *id = dynsec_field(json, "id");
    if (json_is_integer(id) && json_integer_value(id) > 0)
        object->id = (uint64_t)json_integer_value(id);
}

// Is it the one that is meant? What comes from a file has no numbers.
static bool
is_same(const json_t *json, const struct dynsec_object *object)
{
    const json_t *id = dynsec_field(json, "id");
    return !id || (json_is_integer(id) && (uint64_t)json_integer_value(id) == object->id);
}

// The roles that there are. Returns how many others were named.
static uint32_t
take_roles(const struct dynsec_model *model, const json_t *json, struct dynsec_links *roles)
{
    const json_t *list = dynsec_field(json, "roles"), *entry;
    uint32_t skipped = 0;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        const char *name;
        struct dynsec_role *role = NULL;
        if (dynsec_string(entry, "rolename", &name) && name)
            role = dynsec_find_role(model, name);
        if (!role || !is_same(entry, &role->object) ||
            dynsec_hold_role(roles, role, dynsec_number(entry, "priority", DYNSEC_NO_PRIORITY)) !=
                OK)
            skipped++;
    }
    return skipped;
}

// Each: *ret_skipped: lists' entries that were left out. False: it is none, or too many.

static bool
take_role(struct dynsec_model *model, const json_t *json, uint32_t *ret_skipped)
{
    const char *name = take_name(json, "rolename");
    if (!name || dynsec_find_role(model, name) || model->roles.count >= DYNSEC_ROLES_MAX)
        return false;
    struct dynsec_role *role = dynsec_add_role(model, name);
    take_texts(json, &role->object);
    take_id(json, &role->object);
    if (dynsec_read_acls(model, json, role, ret_skipped) == NULL)
        return true;
    dynsec_remove_role(model, role); // half a role would allow what another rule denies
    return false;
}

static bool
take_group(struct dynsec_model *model, const json_t *json, uint32_t *ret_skipped)
{
    const char *name = take_name(json, "groupname");
    if (!name || dynsec_find_group(model, name) || model->groups.count >= DYNSEC_GROUPS_MAX)
        return false;
    struct dynsec_group *group = dynsec_add_group(model, name);
    take_texts(json, &group->object);
    take_id(json, &group->object);
    *ret_skipped = take_roles(model, json, &group->roles);
    return true;
}

static bool
take_client(struct dynsec_model *model, const json_t *json, uint32_t *ret_skipped)
{
    const char *name = take_name(json, "username"), *client_id;
    if (!name || dynsec_find_client(model, name) || model->clients.count >= DYNSEC_CLIENTS_MAX ||
        !dynsec_string(json, "clientid", &client_id) || !dynsec_text_good(client_id))
        return false;
    struct dynsec_client *client = dynsec_add_client(model, name);
    if (!dynsec_read_secret(json, client)) {
        dynsec_remove_client(model, client);
        return false;
    }
    take_texts(json, &client->object);
    take_id(json, &client->object);
    dynsec_set(&client->client_id, client_id && *client_id ? client_id : NULL);
    client->disabled = dynsec_bool(json, "disabled", false);
    *ret_skipped = take_roles(model, json, &client->roles);
    return true;
}

// The groups that a stored client names.
static void
join_groups(struct dynsec_model *model, const json_t *json)
{
    struct dynsec_client *client = dynsec_find_client(model, take_name(json, "username"));
    const json_t *list = dynsec_field(json, "groups"), *entry;
    size_t i;
    must(client);
    json_array_foreach(list, i, entry)
    {
        const char *name;
        struct dynsec_group *group = NULL;
        if (dynsec_string(entry, "groupname", &name) && name)
            group = dynsec_find_group(model, name);
        if (!group || !is_same(entry, &group->object))
            continue; // it was deleted since
        err_t err =
            dynsec_join(group, client, dynsec_number(entry, "priority", DYNSEC_NO_PRIORITY));
        must(err == OK || err == ERR_PROTOCOL || err == ERR_FULL); // it was in it when stored
    }
}

static void
take_general(struct dynsec_model *model, const json_t *json)
{
    const json_t *access = dynsec_field(json, "defaultACLAccess");
    const char *name;
    for (enum acl_action action = 0; action < ACL_ACTIONS; action++)
        model->allowed[action] = dynsec_bool(access, dynsec_access_name(action), false);
    if (!dynsec_string(json, "anonymousGroup", &name) || !name)
        return;
    struct dynsec_group *group = dynsec_find_group(model, name);
    if (group && is_same(json, &group->object))
        model->anonymous = group;
}

// ---- From settings ------------------------------------------------------------------------------

// In the order in which they depend on each other.
static const struct {
    const char *prefix;
    bool (*take)(struct dynsec_model *model, const json_t *json, uint32_t *ret_skipped);
} kinds[] = {
    {DYNSEC_SETTINGS "role/", take_role},
    {DYNSEC_SETTINGS "group/", take_group},
    {DYNSEC_SETTINGS "client/", take_client},
};

static bool
has_prefix(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static err_t
bad_setting(const struct dynsec_setting *setting, char *problem, size_t size)
{
    (void)snprintf(problem, size, "the stored setting %.*s cannot be understood",
                   (int)setting->name.len, (const char *)setting->name.data);
    return ERR_CONFIG;
}

static bool
take_setting(struct dynsec_model *model, size_t kind, const struct dynsec_setting *setting)
{
    uint32_t skipped;
    must(has_prefix(setting->name, kinds[kind].prefix));
    struct file_problem problem;
    json_t *json = json_text_read(setting->value, &problem);
    bool good = json && kinds[kind].take(model, json, &skipped);
    if (good && kinds[kind].take == take_client)
        join_groups(model, json);
    json_decref(json);
    return good;
}

err_t
dynsec_take_settings(struct dynsec_model *model, const struct dynsec_setting *list, uint32_t count,
                     char *problem, size_t size)
{
    for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
        for (uint32_t i = 0; i < count; i++)
            if (has_prefix(list[i].name, kinds[kind].prefix) &&
                !take_setting(model, kind, &list[i]))
                return bad_setting(&list[i], problem, size);
    for (uint32_t i = 0; i < count; i++) {
        if (!slice_equal(list[i].name, slice_str(DYNSEC_SETTINGS "general")))
            continue;
        struct file_problem bad;
        json_t *json = json_text_read(list[i].value, &bad);
        if (!json)
            return bad_setting(&list[i], problem, size);
        take_general(model, json);
        json_decref(json);
    }
    return OK;
}

// ---- From a file --------------------------------------------------------------------------------

static uint32_t
take_list(struct dynsec_model *model, const json_t *root, const char *field, size_t kind,
          uint32_t *skipped)
{
    const json_t *list = dynsec_field(root, field), *entry;
    uint32_t taken = 0;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        uint32_t left_out = 0;
        bool good = kinds[kind].take(model, entry, &left_out);
        taken += good;
        *skipped += left_out + !good;
    }
    return taken;
}

// In a file the groups name their clients.
static void
join_clients(struct dynsec_model *model, const json_t *root, uint32_t *skipped)
{
    const json_t *groups = dynsec_field(root, "groups"), *clients, *entry;
    size_t i, j;
    json_array_foreach(groups, i, entry)
    {
        const char *name = take_name(entry, "groupname");
        struct dynsec_group *group = name ? dynsec_find_group(model, name) : NULL;
        clients = group ? dynsec_field(entry, "clients") : NULL;
        const json_t *member;
        json_array_foreach(clients, j, member)
        {
            struct dynsec_client *client = NULL;
            if (dynsec_string(member, "username", &name) && name)
                client = dynsec_find_client(model, name);
            if (!client || dynsec_join(group, client,
                                       dynsec_number(member, "priority", DYNSEC_NO_PRIORITY)) != OK)
                ++*skipped;
        }
    }
}

static void
touch_table(struct dynsec_model *model, const struct dynsec_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        dynsec_touch(model, table->items[i]);
}

err_t
dynsec_take_file(struct dynsec_model *model, struct slice text, struct dynsec_import *ret,
                 char *problem, size_t size)
{
    struct file_problem bad = {"it is larger than 256 MiB"};
    *ret = (struct dynsec_import){0};
    json_t *root = text.len <= DYNSEC_FILE_MAX ? json_text_read(text, &bad) : NULL;
    if (!json_is_object(root)) {
        (void)snprintf(problem, size, "%s", root ? "it is no object" : bad.text);
        json_decref(root);
        return ERR_CONFIG;
    }
    ret->roles = take_list(model, root, "roles", 0, &ret->skipped);
    ret->groups = take_list(model, root, "groups", 1, &ret->skipped);
    ret->clients = take_list(model, root, "clients", 2, &ret->skipped);
    join_clients(model, root, &ret->skipped);
    take_general(model, root);
    json_decref(root);
    touch_table(model, &model->roles);
    touch_table(model, &model->groups);
    touch_table(model, &model->clients);
    dynsec_touch_general(model);
    return OK;
}
