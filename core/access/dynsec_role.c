// dynsec_role.c - the commands about roles, their ACLs, and what holds where no ACL matches.
#include "core/base/mem.h"

#include "core/access/dynsec_command.h"
#include "core/topic.h"

static const char *
take_role(const struct dynsec_run *run, const char *not_found, struct dynsec_role **ret)
{
    const char *name, *problem = dynsec_take_name(run, DYNSEC_ROLE, &name);
    if (problem)
        return problem;
    *ret = dynsec_find_role(run->model, name);
    return *ret ? NULL : not_found;
}

// ---- Coming and going ---------------------------------------------------------------------------

const char *
dynsec_create_role(struct dynsec_run *run)
{
    const char *name;
    struct dynsec_texts texts;
    uint32_t skipped;
    const char *problem = dynsec_take_name(run, DYNSEC_ROLE, &name);
    if (!problem)
        problem = dynsec_new_name_problem(DYNSEC_ROLE, name);
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (!problem && dynsec_find_role(run->model, name))
        problem = "Role already exists";
    if (!problem && run->model->roles.count >= DYNSEC_ROLES_MAX)
        problem = "Too many roles";
    if (problem)
        return problem;
    struct dynsec_role *role = dynsec_add_role(run->model, name);
    must(dynsec_find_role(run->model, name) == role);
    problem = dynsec_read_acls(run->model, run->command, role, &skipped);
    if (problem) {
        dynsec_remove_role(run->model, role);
        return problem;
    }
    dynsec_set(&role->object.text_name, texts.name);
    dynsec_set(&role->object.text_description, texts.description);
    dynsec_changed(run, &role->object);
    return NULL;
}

const char *
dynsec_delete_role(struct dynsec_run *run)
{
    struct dynsec_role *role;
    const char *problem = take_role(run, "Role not found", &role);
    if (problem)
        return problem;
    dynsec_kick_role(run->model, role);
    dynsec_changed(run, &role->object);
    dynsec_remove_role(run->model, role);
    return NULL;
}

const char *
dynsec_modify_role(struct dynsec_run *run)
{
    struct dynsec_role *role, made = {0};
    struct dynsec_texts texts;
    uint32_t skipped;
    const char *problem = take_role(run, "Role does not exist", &role);
    if (!problem)
        problem = dynsec_take_texts(run, &texts);
    if (!problem)
        problem = dynsec_read_acls(run->model, run->command, &made, &skipped);
    if (problem || !json_is_array(dynsec_field(run->command, "acls"))) {
        dynsec_clear_acls(run->model, &made);
    } else {
        dynsec_clear_acls(run->model, role);
        memcpy(role->acls, made.acls, sizeof role->acls);
    }
    if (problem)
        return problem;
    dynsec_change_texts(run, &role->object);
    dynsec_kick_role(run->model, role);
    dynsec_changed(run, &role->object);
    return NULL;
}

// ---- ACLs ---------------------------------------------------------------------------------------

// "acltype" and "topic".
static const char *
take_acl(const struct dynsec_run *run, enum dynsec_acl_type *ret_type, const char **ret_topic)
{
    const char *type;
    if (!dynsec_string(run->command, "acltype", &type) || !type)
        return "Invalid/missing acltype";
    if (!dynsec_acl_type(type, ret_type))
        return "Unknown acltype";
    if (!dynsec_string(run->command, "topic", ret_topic) || !*ret_topic)
        return "Invalid/missing topic";
    if (!dynsec_name_good(*ret_topic))
        return "Topic not valid UTF-8";
    if (!dynsec_text_good(*ret_topic) || topic_filter_check(slice_str(*ret_topic)) != OK)
        return "Invalid ACL topic";
    return NULL;
}

const char *
dynsec_add_role_acl(struct dynsec_run *run)
{
    struct dynsec_role *role;
    enum dynsec_acl_type type;
    const char *topic, *problem = take_role(run, "Role not found", &role);
    if (!problem)
        problem = take_acl(run, &type, &topic);
    if (problem)
        return problem;
    must(type < DYNSEC_ACL_TYPES && topic[0] != '\0');
    struct dynsec_acl acl = {
        .topic = unconst(topic), // copied
        .priority = dynsec_number(run->command, "priority", 0),
        .allow = dynsec_bool(run->command, "allow", false),
    };
    err_t err = dynsec_add_acl(run->model, role, type, &acl);
    if (err != OK)
        return err == ERR_FULL ? "Too many ACLs" : "ACL with this topic already exists";
    dynsec_kick_role(run->model, role);
    dynsec_changed(run, &role->object);
    return NULL;
}

const char *
dynsec_remove_role_acl(struct dynsec_run *run)
{
    struct dynsec_role *role;
    enum dynsec_acl_type type;
    const char *topic, *problem = take_role(run, "Role not found", &role);
    if (!problem)
        problem = take_acl(run, &type, &topic);
    if (problem)
        return problem;
    if (dynsec_remove_acl(run->model, role, type, topic) != OK)
        return "ACL not found";
    dynsec_kick_role(run->model, role);
    dynsec_changed(run, &role->object);
    return NULL;
}

// ---- Where none matches -------------------------------------------------------------------------

const char *
dynsec_set_default_access(struct dynsec_run *run)
{
    const json_t *list = dynsec_field(run->command, "acls"), *entry;
    size_t i;
    if (!json_is_array(list))
        return "Missing/invalid actions array";
    json_array_foreach(list, i, entry)
    {
        const char *name;
        enum acl_action action;
        if (dynsec_string(entry, "acltype", &name) && name && dynsec_access(name, &action))
            run->model->allowed[action] = dynsec_bool(entry, "allow", run->model->allowed[action]);
    }
    dynsec_touch_general(run->model);
    run->changed = true;
    return NULL;
}

const char *
dynsec_get_default_access(struct dynsec_run *run)
{
    json_t *list = json_array();
    for (enum acl_action action = 0; action < ACL_ACTIONS; action++) {
        json_t *entry = json_pack("{ss sb}", "acltype", dynsec_access_name(action), "allow",
                                  (int)run->model->allowed[action]);
        dynsec_append(list, entry);
    }
    run->data = json_pack("{so}", "acls", list);
    return NULL;
}

// ---- Telling ------------------------------------------------------------------------------------

const char *
dynsec_get_role(struct dynsec_run *run)
{
    struct dynsec_role *role;
    const char *problem = take_role(run, "Role not found", &role);
    return problem ? problem : dynsec_get(run, &role->object, "role");
}

const char *
dynsec_list_roles(struct dynsec_run *run)
{
    return dynsec_list(run, &run->model->roles, "roles");
}
