// dynsec_client.c - the commands about clients.
#include "core/base/mem.h"

#include "core/access/dynsec_command.h"

static const char *
take_client(const struct dynsec_run *run, struct dynsec_client **ret)
{
    const char *name, *problem = dynsec_take_name(run, DYNSEC_CLIENT, &name);
    if (problem)
        return problem;
    *ret = dynsec_find_client(run->model, name);
    return *ret ? NULL : "Client not found";
}

// "clientid"; NULL: none, or the empty one, which binds to nothing.
static const char *
take_client_id(const struct dynsec_run *run, const char *missing, const char **ret)
{
    if (!dynsec_string(run->command, "clientid", ret))
        return missing;
    if (*ret && (!dynsec_name_good(*ret) || !dynsec_text_good(*ret)))
        return "Client ID not valid UTF-8";
    if (*ret && !**ret)
        *ret = NULL;
    return NULL;
}

// A group that is named in "groups", with its priority.
struct wanted_group {
    struct dynsec_group *group;
    int32_t priority;
};

struct wanted_groups {
    struct wanted_group list[DYNSEC_MEMBERSHIPS_MAX];
    uint32_t count;
    bool there; // there is such a field
};

static bool
is_wanted(const struct wanted_groups *wanted, const struct dynsec_group *group)
{
    for (uint32_t i = 0; i < wanted->count; i++)
        if (wanted->list[i].group == group)
            return true;
    return false;
}

static const char *
take_groups(const struct dynsec_run *run, const char *not_found, struct wanted_groups *ret)
{
    const json_t *list = dynsec_field(run->command, "groups"), *entry;
    size_t i;
    ret->count = 0;
    ret->there = list != NULL;
    if (list && !json_is_array(list))
        return "'groups' not an array";
    json_array_foreach(list, i, entry)
    {
        const char *name;
        if (!dynsec_string(entry, "groupname", &name) || !name)
            return "'groups' contains an object with an invalid 'groupname'";
        struct dynsec_group *group = dynsec_find_group(run->model, name);
        if (!group)
            return not_found;
        if (is_wanted(ret, group))
            continue; // what is there twice counts once, with its first priority
        if (ret->count == DYNSEC_MEMBERSHIPS_MAX)
            return "Too many groups";
        ret->list[ret->count++] =
            (struct wanted_group){group, dynsec_number(entry, "priority", DYNSEC_NO_PRIORITY)};
    }
    return NULL;
}

static void
join_groups(struct dynsec_client *client, const struct wanted_groups *wanted)
{
    must(client->groups.count == 0);
    for (uint32_t i = 0; i < wanted->count; i++) {
        err_t err = dynsec_join(wanted->list[i].group, client, wanted->list[i].priority);
        must(err == OK);
    }
}

static void
set_secret(struct dynsec_client *client, const struct dynsec_secret *secret)
{
    must(secret->iterations >= 1);
    client->secret = *secret;
    client->has_secret = true;
}

// ---- Coming and going ---------------------------------------------------------------------------

const char *
dynsec_create_client(struct dynsec_run *run)
{
    const char *name, *password, *client_id;
    struct dynsec_texts texts;
    struct wanted_groups groups;
    struct dynsec_links roles = {0};
    bool there;
    const char *problem = dynsec_take_name(run, DYNSEC_CLIENT, &name);
    if (!problem)
        problem = dynsec_new_name_problem(DYNSEC_CLIENT, name);
    if (!problem && !dynsec_string(run->command, "password", &password))
        problem = "Invalid/missing password";
    if (!problem)
        problem = take_client_id(run, "Invalid/missing client id", &client_id);
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (!problem && dynsec_find_client(run->model, name))
        problem = "Client already exists";
    if (!problem && run->model->clients.count >= DYNSEC_CLIENTS_MAX)
        problem = "Too many clients";
    if (!problem)
        problem = dynsec_read_roles(run->model, run->command, &roles, &there);
    if (!problem)
        problem = take_groups(run, "Group not found", &groups);
    if (problem) {
        dynsec_links_free(&roles);
        return problem;
    }
    struct dynsec_client *client = dynsec_add_client(run->model, name);
    client->roles = roles;
    join_groups(client, &groups);
    dynsec_set(&client->client_id, client_id);
    dynsec_set(&client->object.text_name, texts.name);
    dynsec_set(&client->object.text_description, texts.description);
    if (run->secret)
        set_secret(client, run->secret);
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_delete_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *problem = take_client(run, &client);
    if (problem)
        return problem;
    dynsec_changed(run, &client->object);
    dynsec_remove_client(run->model, client);
    return NULL;
}

// ---- One field ----------------------------------------------------------------------------------

const char *
dynsec_enable_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *problem = take_client(run, &client);
    if (problem)
        return problem;
    client->disabled = false;
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_disable_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *problem = take_client(run, &client);
    if (problem)
        return problem;
    client->disabled = true;
    // Whoever is connected stays out also when it is enabled again at once.
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_set_client_id(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *name, *client_id;
    const char *problem = dynsec_take_name(run, DYNSEC_CLIENT, &name);
    if (!problem)
        problem = take_client_id(run, "Invalid/missing client ID", &client_id);
    if (!problem)
        problem = take_client(run, &client);
    if (problem)
        return problem;
    dynsec_set(&client->client_id, client_id);
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_set_client_password(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *name, *password;
    const char *problem = dynsec_take_name(run, DYNSEC_CLIENT, &name);
    if (!problem && (!dynsec_string(run->command, "password", &password) || !password))
        problem = "Invalid/missing password";
    if (!problem && !*password)
        problem = "Empty password is not allowed";
    if (!problem)
        problem = take_client(run, &client);
    if (problem)
        return problem;
    must(run->secret);
    set_secret(client, run->secret);
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

// ---- Everything at once -------------------------------------------------------------------------

static void
change_groups(struct dynsec_client *client, const struct wanted_groups *wanted)
{
    while (client->groups.count > 0)
        dynsec_leave((struct dynsec_group *)client->groups.items[0].to, client);
    join_groups(client, wanted);
}

const char *
dynsec_modify_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    struct wanted_groups groups;
    struct dynsec_texts texts;
    struct dynsec_links roles = {0};
    const char *client_id;
    bool there = false;
    const char *problem = take_client(run, &client);
    if (!problem)
        problem = dynsec_read_roles(run->model, run->command, &roles, &there);
    if (!problem)
        problem = take_groups(
            run, "'groups' contains an object with a 'groupname' that does not exist", &groups);
    if (!problem)
        problem = take_client_id(run, "Invalid/missing client ID", &client_id);
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (problem) {
        dynsec_links_free(&roles);
        return problem;
    }
    if (dynsec_field(run->command, "clientid"))
        dynsec_set(&client->client_id, client_id);
    dynsec_change_texts(run, &client->object);
    if (there) {
        dynsec_links_free(&client->roles);
        client->roles = roles;
    }
    if (groups.there)
        change_groups(client, &groups);
    if (run->secret)
        set_secret(client, run->secret);
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

// ---- Roles --------------------------------------------------------------------------------------

static const char *
take_client_and_role(const struct dynsec_run *run, struct dynsec_client **ret_client,
                     struct dynsec_role **ret_role)
{
    const char *client, *role;
    const char *problem = dynsec_take_name(run, DYNSEC_CLIENT, &client);
    if (!problem)
        problem = dynsec_take_name(run, DYNSEC_ROLE, &role);
    if (problem)
        return problem;
    *ret_client = dynsec_find_client(run->model, client);
    *ret_role = dynsec_find_role(run->model, role);
    return !*ret_client ? "Client not found" : !*ret_role ? "Role not found" : NULL;
}

const char *
dynsec_add_client_role(struct dynsec_run *run)
{
    struct dynsec_client *client;
    struct dynsec_role *role;
    const char *problem = take_client_and_role(run, &client, &role);
    if (problem)
        return problem;
    err_t err = dynsec_hold_role(&client->roles, role, dynsec_take_priority(run));
    if (err != OK)
        return err == ERR_FULL ? "Too many roles" : "Client is already in this role";
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

const char *
dynsec_remove_client_role(struct dynsec_run *run)
{
    struct dynsec_client *client;
    struct dynsec_role *role;
    const char *problem = take_client_and_role(run, &client, &role);
    if (problem || !dynsec_find_link(&client->roles, role))
        return problem;
    dynsec_drop_role(&client->roles, role);
    dynsec_kick_client(run->model, client);
    dynsec_changed(run, &client->object);
    return NULL;
}

// ---- Telling ------------------------------------------------------------------------------------

const char *
dynsec_get_client(struct dynsec_run *run)
{
    struct dynsec_client *client;
    const char *problem = take_client(run, &client);
    return problem ? problem : dynsec_get(run, &client->object, "client");
}

const char *
dynsec_list_clients(struct dynsec_run *run)
{
    return dynsec_list(run, &run->model->clients, "clients");
}
