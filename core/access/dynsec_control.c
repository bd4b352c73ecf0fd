// dynsec_control.c - a payload of commands, and its response.
#include <stdio.h>
#include <strings.h>

#include "core/base/mem.h"

#include "core/access/dynsec_command.h"

#define LOG_BYTES 400u // of the commands of a payload, in the log

// ---- What commands share ------------------------------------------------------------------------

static const struct {
    const char *field, *missing, *empty, *invalid, *too_long;
} words[] = {
    [DYNSEC_CLIENT] = {"username", "Invalid/missing username", "Empty username",
                       "Username not valid UTF-8", "Username too long"},
    [DYNSEC_GROUP] = {"groupname", "Invalid/missing groupname", "Empty groupname",
                      "Group name not valid UTF-8", "Group name too long"},
    [DYNSEC_ROLE] = {"rolename", "Invalid/missing rolename", "Empty rolename",
                     "Role name not valid UTF-8", "Role name too long"},
};

const char *
dynsec_take_name(const struct dynsec_run *run, enum dynsec_kind kind, const char **ret)
{
    if (!dynsec_string(run->command, words[kind].field, ret) || !*ret)
        return words[kind].missing;
    return dynsec_name_good(*ret) ? NULL : words[kind].invalid;
}

const char *
dynsec_new_name_problem(enum dynsec_kind kind, const char *name)
{
    if (!*name)
        return words[kind].empty;
    return strlen(name) > DYNSEC_NAME_MAX ? words[kind].too_long : NULL;
}

const char *
dynsec_take_texts(const struct dynsec_run *run, struct dynsec_texts *ret)
{
    if (!dynsec_string(run->command, "textname", &ret->name) || !dynsec_text_good(ret->name))
        return "Invalid/missing textname";
    if (!dynsec_string(run->command, "textdescription", &ret->description) ||
        !dynsec_text_good(ret->description))
        return "Invalid/missing textdescription";
    return NULL;
}

void
dynsec_change_texts(const struct dynsec_run *run, struct dynsec_object *object)
{
    const char *text;
    if (dynsec_string(run->command, "textname", &text) && text)
        dynsec_set(&object->text_name, text);
    if (dynsec_string(run->command, "textdescription", &text) && text)
        dynsec_set(&object->text_description, text);
}

int32_t
dynsec_take_priority(const struct dynsec_run *run)
{
    return dynsec_number(run->command, "priority", DYNSEC_NO_PRIORITY);
}

void
dynsec_changed(struct dynsec_run *run, const struct dynsec_object *object)
{
    dynsec_touch(run->model, object);
    run->changed = true;
}

// ---- Telling ------------------------------------------------------------------------------------

static size_t
text_bytes(const char *text)
{
    return text ? strlen(text) : 0;
}

static size_t
links_bytes(const struct dynsec_links *links)
{
    size_t bytes = 16;
    for (uint32_t i = 0; i < links->count; i++)
        bytes += 40 + strlen(links->items[i].to->name);
    return bytes;
}

static size_t
acls_bytes(const struct dynsec_role *role)
{
    size_t bytes = 16;
    for (uint32_t type = 0; type < DYNSEC_ACL_TYPES; type++)
        for (uint32_t i = 0; i < role->acls[type].count; i++)
            bytes += 80 + strlen(role->acls[type].items[i].topic);
    return bytes;
}

// Of it in a response, about.
static size_t
object_bytes(const struct dynsec_object *object, bool verbose)
{
    size_t bytes = 16 + strlen(object->name);
    if (!verbose)
        return bytes;
    bytes += 60 + text_bytes(object->text_name) + text_bytes(object->text_description);
    if (object->kind == DYNSEC_ROLE)
        return bytes + acls_bytes((const struct dynsec_role *)object);
    if (object->kind == DYNSEC_GROUP) {
        const struct dynsec_group *group = (const struct dynsec_group *)object;
        return bytes + links_bytes(&group->roles) + links_bytes(&group->clients);
    }
    const struct dynsec_client *client = (const struct dynsec_client *)object;
    return bytes + text_bytes(client->client_id) + links_bytes(&client->roles) +
           links_bytes(&client->groups);
}

static json_t *
object_json(const struct dynsec_object *object, bool verbose)
{
    if (!verbose)
        return json_string_nocheck(object->name);
    if (object->kind == DYNSEC_CLIENT)
        return dynsec_client_json((const struct dynsec_client *)object, DYNSEC_SHOWN);
    if (object->kind == DYNSEC_GROUP)
        return dynsec_group_json((const struct dynsec_group *)object, DYNSEC_SHOWN);
    return dynsec_role_json((const struct dynsec_role *)object, DYNSEC_SHOWN);
}

static bool
take_room(struct dynsec_run *run, size_t bytes)
{
    must(run->room <= DYNSEC_REPLY_MAX);
    if (bytes > run->room)
        return false;
    run->room -= (uint32_t)bytes;
    return true;
}

static const char too_large[] = "Response too large: use count and offset";

const char *
dynsec_get(struct dynsec_run *run, const struct dynsec_object *object, const char *name)
{
    if (!take_room(run, object_bytes(object, true)))
        return too_large;
    run->data = json_pack("{so}", name, object_json(object, true));
    return NULL;
}

const char *
dynsec_list(struct dynsec_run *run, const struct dynsec_table *table, const char *name)
{
    bool verbose = dynsec_bool(run->command, "verbose", false);
    int32_t count = dynsec_number(run->command, "count", -1);
    int32_t offset = dynsec_number(run->command, "offset", 0);
    uint32_t from = offset < 0 ? 0 : min_u32((uint32_t)offset, table->count);
    // mosquitto takes a count of 0 for one of 1.
    uint32_t most = count < 0 ? table->count : max_u32((uint32_t)count, 1);
    uint32_t end = from + min_u32(most, table->count - from);
    must(from <= end && end <= table->count);
    json_t *list = json_array();
    for (uint32_t i = from; i < end; i++) {
        if (!take_room(run, object_bytes(table->items[i], verbose))) {
            json_decref(list);
            return too_large;
        }
        dynsec_append(list, object_json(table->items[i], verbose));
    }
    run->data = json_pack("{si so}", "totalCount", (int)table->count, name, list);
    return NULL;
}

// ---- The table ----------------------------------------------------------------------------------

static const struct entry {
    const char *name;
    dynsec_command run;
    bool secret; // "password" is one to be set
} entries[] = {
    {"createClient", dynsec_create_client, true},
    {"deleteClient", dynsec_delete_client, false},
    {"enableClient", dynsec_enable_client, false},
    {"disableClient", dynsec_disable_client, false},
    {"setClientId", dynsec_set_client_id, false},
    {"setClientPassword", dynsec_set_client_password, true},
    {"modifyClient", dynsec_modify_client, true},
    {"getClient", dynsec_get_client, false},
    {"listClients", dynsec_list_clients, false},
    {"addClientRole", dynsec_add_client_role, false},
    {"removeClientRole", dynsec_remove_client_role, false},
    {"createGroup", dynsec_create_group, false},
    {"deleteGroup", dynsec_delete_group, false},
    {"modifyGroup", dynsec_modify_group, false},
    {"getGroup", dynsec_get_group, false},
    {"listGroups", dynsec_list_groups, false},
    {"addGroupClient", dynsec_add_group_client, false},
    {"removeGroupClient", dynsec_remove_group_client, false},
    {"addGroupRole", dynsec_add_group_role, false},
    {"removeGroupRole", dynsec_remove_group_role, false},
    {"setAnonymousGroup", dynsec_set_anonymous_group, false},
    {"getAnonymousGroup", dynsec_get_anonymous_group, false},
    {"createRole", dynsec_create_role, false},
    {"deleteRole", dynsec_delete_role, false},
    {"modifyRole", dynsec_modify_role, false},
    {"getRole", dynsec_get_role, false},
    {"listRoles", dynsec_list_roles, false},
    {"addRoleACL", dynsec_add_role_acl, false},
    {"removeRoleACL", dynsec_remove_role_acl, false},
    {"setDefaultACLAccess", dynsec_set_default_access, false},
    {"getDefaultACLAccess", dynsec_get_default_access, false},
};

static const struct entry *
find_entry(const json_t *command)
{
    const char *name = json_string_value(dynsec_field(command, "command"));
    for (size_t i = 0; name && i < ARRAY_LEN(entries); i++)
        if (strcasecmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

// ---- A payload ----------------------------------------------------------------------------------

// The password that a command sets is hashed. Its text is wiped with the payload (json_text.h).
static const char *
prepare(const json_t *command, uint32_t iterations, struct dynsec_secret *ret)
{
    const struct entry *entry = find_entry(command);
    const json_t *password = entry && entry->secret ? dynsec_field(command, "password") : NULL;
    size_t len = json_string_length(password);
    if (len == 0)
        return NULL;
    if (dynsec_secret_make(slice_of(json_string_value(password), len), iterations, ret) != OK)
        return "Internal error";
    return NULL;
}

void
dynsec_batch_begin(struct slice payload, uint32_t iterations, struct dynsec_batch *ret)
{
    const json_t *command;
    size_t i;
    must(iterations >= 1);
    *ret = (struct dynsec_batch){0};
    if (payload.len > DYNSEC_PAYLOAD_MAX) {
        ret->problem = "Payload too large";
        return;
    }
    struct file_problem problem;
    ret->root = json_text_read(payload, &problem);
    const json_t *commands = dynsec_field(ret->root, "commands");
    if (!ret->root)
        ret->problem = "Payload not valid JSON";
    else if (!json_is_array(commands))
        ret->problem = "Invalid/missing commands";
    else if (json_array_size(commands) > DYNSEC_COMMANDS_MAX)
        ret->problem = "Too many commands";
    if (ret->problem)
        return;
    ret->secrets = mem_zalloc((json_array_size(commands) + 1) * sizeof *ret->secrets);
    json_array_foreach(commands, i, command)
    {
        ret->problem = prepare(command, iterations, &ret->secrets[i]);
        if (ret->problem)
            return;
    }
    ret->commands = commands;
}

void
dynsec_batch_end(struct dynsec_batch *batch)
{
    json_decref(batch->root);
    mem_free(batch->secrets);
    *batch = (struct dynsec_batch){0};
}

// Takes data. Its order is mosquitto's.
static json_t *
response(const char *command, const char *problem, json_t *data, const char *correlation)
{
    must(!problem || !data);
    json_t *json = json_pack("{ss}", "command", command);
    dynsec_put_string(json, "error", problem);
    if (data)
        dynsec_put(json, "data", data);
    dynsec_put_string(json, "correlationData", correlation);
    return json;
}

static json_t *
run_command(struct dynsec_run *run, const char **ret_done)
{
    const char *name, *correlation;
    *ret_done = NULL;
    if (!json_is_object(run->command))
        return response("Unknown command", "Command not an object", NULL, NULL);
    if (!dynsec_string(run->command, "command", &name) || !name)
        return response("Unknown command", "Missing command", NULL, NULL);
    if (!dynsec_string(run->command, "correlationData", &correlation))
        return response(name, "Invalid correlationData data type.", NULL, NULL);
    const struct entry *entry = find_entry(run->command);
    if (!entry)
        return response(name, "Unknown command", NULL, correlation);
    const char *problem = entry->run(run);
    must(!problem || !run->changed);
    if (run->changed)
        *ret_done = entry->name;
    return response(entry->name, problem, run->data, correlation);
}

// ---- What the log says --------------------------------------------------------------------------

struct line {
    char text[LOG_BYTES];
    size_t len;
    uint32_t more; // commands that found no room
};

static void
note(struct line *line, const char *name, const json_t *command)
{
    static const char *const fields[] = {"username", "groupname", "rolename", "acltype", "topic"};
    char text[LOG_BYTES];
    size_t len = strlen(name);
    must(len < sizeof text);
    memcpy(text, name, len + 1);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *value;
        if (!dynsec_string(command, fields[i], &value) || !value)
            continue;
        int added = snprintf(text + len, sizeof text - len, " %s", value);
        if (added < 0 || (size_t)added >= sizeof text - len) {
            text[len] = '\0';
            break;
        }
        len += (size_t)added;
    }
    if (line->more > 0 || line->len + len + 2 + 1 > sizeof line->text) {
        line->more++;
        return;
    }
    if (line->len > 0)
        line->len = (size_t)(stpcpy(line->text + line->len, ", ") - line->text);
    line->len = (size_t)(stpcpy(line->text + line->len, text) - line->text);
}

static char *
finish(const struct line *line)
{
    if (line->len == 0 && line->more == 0)
        return NULL;
    char *text = mem_alloc(LOG_BYTES + 40);
    char *end = stpcpy(text, line->text);
    if (line->more > 0)
        (void)snprintf(end, 40, ", and %u more", line->more);
    return text;
}

json_t *
dynsec_batch_run(struct dynsec_model *model, const struct dynsec_batch *batch, bool *ret_changed,
                 char **ret_log)
{
    json_t *list = json_array(), *command;
    struct line line = {0};
    uint32_t room = DYNSEC_REPLY_MAX;
    size_t i;
    must(!batch->problem == (batch->commands != NULL));
    *ret_changed = false;
    if (batch->problem)
        dynsec_append(list, response("Unknown command", batch->problem, NULL, NULL));
    json_array_foreach(batch->commands, i, command)
    {
        const struct dynsec_secret *secret = &batch->secrets[i];
        const char *done;
        struct dynsec_run run = {
            .model = model,
            .command = command,
            .secret = secret->iterations > 0 ? secret : NULL,
            .room = room,
        };
        dynsec_append(list, run_command(&run, &done));
        must(run.room <= room);
        room = run.room;
        *ret_changed |= run.changed;
        if (done)
            note(&line, done, command);
    }
    *ret_log = finish(&line);
    return json_pack("{so}", "responses", list);
}
