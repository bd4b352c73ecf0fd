// dynsec_compile.c - from roles to rules.
//
// A client's lists: its roles, then its groups' roles, each in the order of priority, and the first
// rule that matches decides, as mosquitto has it. In a role, literal filters come before patterns.
#include "core/access/dynsec_compile.h"

#include "core/base/mem.h"

#include "core/access.h"
#include "core/topic.h"

static const struct {
    enum acl_action action;
    bool literal;
} meanings[DYNSEC_ACL_TYPES] = {
    [DYNSEC_PUBLISH_SEND] = {ACL_PUBLISH, false},
    [DYNSEC_PUBLISH_RECEIVE] = {ACL_RECEIVE, false},
    [DYNSEC_SUBSCRIBE_LITERAL] = {ACL_SUBSCRIBE, true},
    [DYNSEC_SUBSCRIBE_PATTERN] = {ACL_SUBSCRIBE, false},
    [DYNSEC_UNSUBSCRIBE_LITERAL] = {ACL_UNSUBSCRIBE, true},
    [DYNSEC_UNSUBSCRIBE_PATTERN] = {ACL_UNSUBSCRIBE, false},
};

static void
add_rule(struct acl_builder *builder, const struct dynsec_role *role, enum dynsec_acl_type type,
         bool allow, struct slice filter)
{
    struct acl_rule rule = {
        .actions = ACL_BIT(meanings[type].action),
        .allow = allow,
        .literal = meanings[type].literal,
        .pattern = !meanings[type].literal,
        .whole = true, // as mosquitto has it: what is denied in a wider filter is not delivered
        .filter = filter,
    };
    // A filter that is none, which files may have, matches nothing.
    err_t err = acl_builder_rule(builder, role->list, &rule);
    must(err == OK || err == ERR_TOPIC_FILTER_INVALID);
}

// Of subscriptions, a wildcard at the beginning covers for mosquitto what begins with `$`, too.
static void
add_dollar_rules(struct acl_builder *builder, const struct dynsec_role *role,
                 enum dynsec_acl_type type, const struct dynsec_acl *acl)
{
    static const char *const roots[] = {"$SYS", "$CONTROL"};
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        char filter[DYNSEC_TEXT_MAX + 16];
        const char *rest = acl->topic[0] == '#' ? "/#" : acl->topic + 1;
        must(strlen(roots[i]) + strlen(rest) < sizeof filter);
        char *end = stpcpy(stpcpy(filter, roots[i]), rest);
        add_rule(builder, role, type, acl->allow, slice_of(filter, (size_t)(end - filter)));
    }
}

// The broker asks for the filter that is inside a shared subscription. The group may be a wildcard.
static struct slice
unshared(struct slice filter)
{
    struct slice rest = filter, level;
    if (!topic_next_level(&rest, &level) || !slice_equal(level, slice_str("$share")) ||
        !topic_next_level(&rest, &level))
        return filter;
    if (rest.data)
        return rest;
    return slice_equal(level, slice_str("#")) ? level : filter;
}

static void
compile_acl(struct acl_builder *builder, const struct dynsec_role *role, enum dynsec_acl_type type,
            const struct dynsec_acl *acl)
{
    bool of_filters =
        meanings[type].action == ACL_SUBSCRIBE || meanings[type].action == ACL_UNSUBSCRIBE;
    struct slice filter = slice_str(acl->topic);
    add_rule(builder, role, type, acl->allow, of_filters ? unshared(filter) : filter);
    if (of_filters && !meanings[type].literal &&
        (acl->topic[0] == '#' || strncmp(acl->topic, "+/", 2) == 0))
        add_dollar_rules(builder, role, type, acl);
}

static void
compile_role(struct acl_builder *builder, struct dynsec_role *role)
{
    role->list = acl_builder_list(builder);
    must(role->list != 0); // the first one is for all
    acl_builder_name(builder, role->list, role->object.name);
    for (enum dynsec_acl_type type = 0; type < DYNSEC_ACL_TYPES; type++)
        for (uint32_t i = 0; i < role->acls[type].count; i++)
            compile_acl(builder, role, type, &role->acls[type].items[i]);
}

// The lists of one client, each once: the first place decides.
struct lists {
    uint32_t list[ACL_LISTS_MAX], count;
};

static void
add_list(struct lists *lists, uint32_t list)
{
    for (uint32_t i = 0; i < lists->count; i++)
        if (lists->list[i] == list)
            return;
    must(lists->count < ACL_LISTS_MAX);
    lists->list[lists->count++] = list;
}

static void
add_roles(struct lists *lists, const struct dynsec_links *roles)
{
    for (uint32_t i = 0; i < roles->count; i++)
        add_list(lists, ((const struct dynsec_role *)roles->items[i].to)->list);
}

static void
compile_client(struct acl_builder *builder, const struct dynsec_client *client, uint32_t last,
               struct lists *lists)
{
    lists->count = 0;
    add_roles(lists, &client->roles);
    for (uint32_t i = 0; i < client->groups.count; i++)
        add_roles(lists, &((const struct dynsec_group *)client->groups.items[i].to)->roles);
    add_list(lists, last);
    err_t err =
        acl_builder_user(builder, slice_str(client->object.name), lists->list, lists->count);
    must(err == OK);
}

// What nobody has by default: it is given by an ACL alone.
static uint32_t
control_list(struct acl_builder *builder)
{
    uint32_t list = acl_builder_list(builder);
    struct acl_rule rule = {.actions = ACL_ALL, .filter = slice_str("$CONTROL/#")};
    err_t err = acl_builder_rule(builder, list, &rule);
    must(err == OK);
    return list;
}

struct acl *
dynsec_compile_model(struct dynsec_model *model)
{
    uint8_t allowed = 0;
    for (enum acl_action action = 0; action < ACL_ACTIONS; action++)
        allowed |= (uint8_t)(model->allowed[action] ? ACL_BIT(action) : 0);
    struct acl_builder *builder = acl_builder_new(allowed);
    uint32_t last = control_list(builder);
    for (uint32_t i = 0; i < model->roles.count; i++)
        compile_role(builder, (struct dynsec_role *)model->roles.items[i]);
    struct lists *lists = mem_zalloc(sizeof *lists);
    for (uint32_t i = 0; i < model->clients.count; i++)
        compile_client(builder, (const struct dynsec_client *)model->clients.items[i], last, lists);
    lists->count = 0;
    if (model->anonymous)
        add_roles(lists, &model->anonymous->roles);
    add_list(lists, last);
    err_t err = acl_builder_anonymous(builder, lists->list, lists->count);
    must(err == OK);
    err = acl_builder_others(builder, &last, 1);
    must(err == OK);
    mem_free(lists);
    return acl_builder_finish(builder);
}

void
dynsec_model_users(const struct dynsec_model *model, struct access_users *users)
{
    for (uint32_t i = 0; i < model->clients.count; i++) {
        const struct dynsec_client *client = (const struct dynsec_client *)model->clients.items[i];
        // Disabled ones, too: nobody is connected with the mark that one has then, and its session
        // is still its own.
        access_users_add(users, slice_str(client->object.name), client->mark);
    }
}
