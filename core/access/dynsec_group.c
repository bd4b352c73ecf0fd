// dynsec_group.c - the commands about groups.
#include "core/base/mem.h"

#include "core/access/dynsec_command.h"

static const char *
take_group(const struct dynsec_run *run, struct dynsec_group **ret)
{
    const char *name, *problem = dynsec_take_name(run, DYNSEC_GROUP, &name);
    if (problem)
        return problem;
    *ret = dynsec_find_group(run->model, name);
    return *ret ? NULL : "Group not found";
}

// ---- Coming and going ---------------------------------------------------------------------------

const char *
dynsec_create_group(struct dynsec_run *run)
{
    const char *name;
    struct dynsec_texts texts;
    struct dynsec_links roles = {0};
    bool there;
    const char *problem = dynsec_take_name(run, DYNSEC_GROUP, &name);
    if (!problem)
        problem = dynsec_new_name_problem(DYNSEC_GROUP, name);
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (!problem && dynsec_find_group(run->model, name))
        problem = "Group already exists";
    if (!problem && run->model->groups.count >= DYNSEC_GROUPS_MAX)
        problem = "Too many groups";
    if (!problem)
        problem = dynsec_read_roles(run->model, run->command, &roles, &there);
    if (problem) {
        dynsec_links_free(&roles);
        return problem;
    }
    struct dynsec_group *group = dynsec_add_group(run->model, name);
    group->roles = roles;
    dynsec_set(&group->object.text_name, texts.name);
    dynsec_set(&group->object.text_description, texts.description);
    dynsec_changed(run, &group->object);
    return NULL;
}

const char *
dynsec_delete_group(struct dynsec_run *run)
{
    struct dynsec_group *group;
    const char *problem = take_group(run, &group);
    if (problem)
        return problem;
    if (group == run->model->anonymous)
        return "Deleting the anonymous group is forbidden";
    dynsec_kick_group(run->model, group);
    dynsec_changed(run, &group->object);
    dynsec_remove_group(run->model, group);
    return NULL;
}

// ---- Everything at once -------------------------------------------------------------------------

struct wanted_client {
    struct dynsec_client *client;
    int32_t priority;
};

struct wanted_clients {
    struct wanted_client *list;
    uint32_t count, cap;
};

static const char *
take_clients(const struct dynsec_run *run, struct wanted_clients *ret)
{
    const json_t *list = dynsec_field(run->command, "clients"), *entry;
    size_t i;
    if (list && !json_is_array(list))
        return "'clients' not an array";
    json_array_foreach(list, i, entry)
    {
        const char *name;
        if (!dynsec_string(entry, "username", &name) || !name)
            return "'clients' contains an object with an invalid 'username'";
        struct dynsec_client *client = dynsec_find_client(run->model, name);
        if (!client)
            return "'clients' contains an object with a 'username' that does not exist";
        ret->list = mem_grow(ret->list, &ret->cap, ret->count + 1, sizeof *ret->list);
        ret->list[ret->count++] =
            (struct wanted_client){client, dynsec_number(entry, "priority", DYNSEC_NO_PRIORITY)};
    }
    return NULL;
}

// Has each of them room for a group more?
static bool
have_room(const struct dynsec_group *group, const struct wanted_clients *wanted)
{
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct dynsec_links *groups = &wanted->list[i].client->groups;
        if (groups->count >= DYNSEC_MEMBERSHIPS_MAX && !dynsec_find_link(groups, group))
            return false;
    }
    return true;
}

static void
change_clients(struct dynsec_run *run, struct dynsec_group *group,
               const struct wanted_clients *wanted)
{
    must(wanted->count <= wanted->cap);
    while (group->clients.count > 0) {
        struct dynsec_client *client =
            (struct dynsec_client *)group->clients.items[group->clients.count - 1].to;
        dynsec_changed(run, &client->object);
        dynsec_leave(group, client);
    }
    for (uint32_t i = 0; i < wanted->count; i++) {
        // What is there twice counts once, with its first priority.
        err_t err = dynsec_join(group, wanted->list[i].client, wanted->list[i].priority);
        must(err == OK || err == ERR_PROTOCOL);
        dynsec_changed(run, &wanted->list[i].client->object);
    }
}

const char *
dynsec_modify_group(struct dynsec_run *run)
{
    struct dynsec_group *group;
    struct dynsec_links roles = {0};
    struct wanted_clients clients = {0};
    struct dynsec_texts texts;
    bool there = false;
    const char *problem = take_group(run, &group);
    if (!problem)
        problem = dynsec_read_roles(run->model, run->command, &roles, &there);
    if (!problem)
        problem = take_clients(run, &clients);
    if (!problem && !have_room(group, &clients))
        problem = "Too many groups";
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (problem) {
        dynsec_links_free(&roles);
        mem_free(clients.list);
        return problem;
    }
    dynsec_change_texts(run, &group->object);
    dynsec_kick_group(run->model, group); // those that were in it
    if (there) {
        dynsec_links_free(&group->roles);
        group->roles = roles;
    }
    if (dynsec_field(run->command, "clients")) {
        change_clients(run, group, &clients);
        dynsec_kick_group(run->model, group); // those that are
    }
    mem_free(clients.list);
    dynsec_changed(run, &group->object);
    return NULL;
}

// ---- Clients ------------------------------------------------------------------------------------

static const char *
take_client_and_group(const struct dynsec_run *run, struct dynsec_client **ret_client,
                      struct dynsec_group **ret_group)
{
    const char *client, *group;
    const char *problem = dynsec_take_name(run, DYNSEC_CLIENT, &client);
    if (!problem)
        problem = dynsec_take_name(run, DYNSEC_GROUP, &group);
    if (problem)
        return problem;
    *ret_client = dynsec_find_client(run->model, client);
    *ret_group = dynsec_find_group(run->model, group);
    return !*ret_client ? "Client not found" : !*ret_group ? "Group not found" : NULL;
}

const char *
dynsec_add_group_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    struct dynsec_group *group;
    const char *problem = take_client_and_group(run, &client, &group);
    if (problem)
        return problem;
    err_t err = dynsec_join(group, client, dynsec_take_priority(run));
    if (err != OK)
        return err == ERR_FULL ? "Too many groups" : "Client is already in this group";
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_remove_group_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    struct dynsec_group *group;
    const char *problem = take_client_and_group(run, &client, &group);
    if (problem || !dynsec_find_link(&client->groups, group))
        return problem;
    dynsec_leave(group, client);
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

// ---- Roles --------------------------------------------------------------------------------------

static const char *
take_group_and_role(const struct dynsec_run *run, struct dynsec_group **ret_group,
                    struct dynsec_role **ret_role)
{
    const char *group, *role;
    const char *problem = dynsec_take_name(run, DYNSEC_GROUP, &group);
    if (!problem)
        problem = dynsec_take_name(run, DYNSEC_ROLE, &role);
    if (problem)
        return problem;
    *ret_group = dynsec_find_group(run->model, group);
    *ret_role = dynsec_find_role(run->model, role);
    return !*ret_group ? "Group not found" : !*ret_role ? "Role not found" : NULL;
}

const char *
dynsec_add_group_role(struct dynsec_run *run)
{
    struct dynsec_group *group;
    struct dynsec_role *role;
    const char *problem = take_group_and_role(run, &group, &role);
    if (problem)
        return problem;
    err_t err = dynsec_hold_role(&group->roles, role, dynsec_take_priority(run));
    if (err != OK)
        return err == ERR_FULL ? "Too many roles" : "Group is already in this role";
    dynsec_kick_group(run->model, group);
    dynsec_changed(run, &group->object);
    return NULL;
}

const char *
dynsec_remove_group_role(struct dynsec_run *run)
{
    struct dynsec_group *group;
    struct dynsec_role *role;
    const char *problem = take_group_and_role(run, &group, &role);
    if (problem || !dynsec_find_link(&group->roles, role))
        return problem;
    dynsec_drop_role(&group->roles, role);
    dynsec_kick_group(run->model, group);
    dynsec_changed(run, &group->object);
    return NULL;
}

// ---- Those without a name -----------------------------------------------------------------------

const char *
dynsec_set_anonymous_group(struct dynsec_run *run)
{
    struct dynsec_group *group;
    const char *problem = take_group(run, &group);
    if (problem)
        return problem;
    run->model->anonymous = group;
    dynsec_touch_general(run->model);
    run->changed = true;
    return NULL;
}

const char *
dynsec_get_anonymous_group(struct dynsec_run *run)
{
    const struct dynsec_group *group = run->model->anonymous;
    run->data = json_pack("{s{ss}}", "group", "groupname", group ? group->object.name : "");
    return NULL;
}

// ---- Telling ------------------------------------------------------------------------------------

const char *
dynsec_get_group(struct dynsec_run *run)
{
    struct dynsec_group *group;
    const char *problem = take_group(run, &group);
    return problem ? problem : dynsec_get(run, &group->object, "group");
}

const char *
dynsec_list_groups(struct dynsec_run *run)
{
    return dynsec_list(run, &run->model->groups, "groups");
}
