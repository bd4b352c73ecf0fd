// dynsec_model.c - clients, groups and roles, and how they belong to each other.
#include "core/access/dynsec_model.h"

#include <sys/random.h>

#include "core/base/mem.h"

_Static_assert(DYNSEC_HELD_ROLES_MAX + DYNSEC_MEMBERSHIPS_MAX * DYNSEC_HELD_ROLES_MAX + 1 <=
                   ACL_LISTS_MAX,
               "a client's lists of rules, and one for all");
_Static_assert(3 * DYNSEC_ALL_ACLS_MAX + 1 <= ACL_RULES_MAX, "and the rule for all");

// ---- Tables -------------------------------------------------------------------------------------

// Where the name is, or belongs.
static uint32_t
table_place(const struct dynsec_table *table, const char *name, bool *ret_found)
{
    uint32_t low = 0, high = table->count;
    *ret_found = false;
    // Settings and files are sorted: what comes next belongs at the end.
    if (high > 0 && strcmp(table->items[high - 1]->name, name) < 0)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(table->items[middle]->name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void *
table_find(const struct dynsec_table *table, const char *name)
{
    bool found;
    uint32_t at = table_place(table, name, &found);
    return found ? table->items[at] : NULL;
}

// Takes object.
static void
table_add(struct dynsec_table *table, struct dynsec_object *object)
{
    bool found;
    uint32_t at = table_place(table, object->name, &found);
    must(!found && object->id != 0);
    must(table->count < DYNSEC_CLIENTS_MAX); // the largest of the three
    table->items =
        mem_grow(table->items, &table->cap, table->count + 1, sizeof(struct dynsec_object *));
    memmove(table->items + at + 1, table->items + at,
            (table->count - at) * sizeof(struct dynsec_object *));
    table->items[at] = object;
    table->count++;
}

static void
table_remove(struct dynsec_table *table, const struct dynsec_object *object)
{
    bool found;
    uint32_t at = table_place(table, object->name, &found);
    must(found && table->items[at] == object);
    table->count--;
    memmove(table->items + at, table->items + at + 1,
            (table->count - at) * sizeof(struct dynsec_object *));
}

static void
object_init(struct dynsec_object *object, enum dynsec_kind kind, const char *name)
{
    must(name[0] != '\0' && strlen(name) <= DYNSEC_NAME_MAX);
    object->kind = kind;
    object->name = mem_strdup(name);
    ssize_t got = getrandom(&object->id, sizeof object->id, 0);
    must(got == sizeof object->id);    // short reads of less than 256 bytes there are none
    object->id = object->id >> 11 | 1; // a JSON number is exact up to 2^53
}

static void
object_free(struct dynsec_object *object)
{
    mem_free(object->name);
    mem_free(object->text_name);
    mem_free(object->text_description);
}

// ---- Links --------------------------------------------------------------------------------------

// Does l stand before r?
static bool
link_before(const struct dynsec_link *l, const struct dynsec_link *r)
{
    if (l->to->kind != DYNSEC_CLIENT && l->priority != r->priority)
        return l->priority > r->priority;
    return strcmp(l->to->name, r->to->name) < 0;
}

static err_t
links_add(struct dynsec_links *links, struct dynsec_link link, uint32_t max)
{
    must(link.to != NULL && links->count <= max);
    if (dynsec_find_link(links, link.to))
        return ERR_PROTOCOL;
    if (links->count >= max)
        return ERR_FULL;
    uint32_t low = 0, high = links->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (link_before(&links->items[middle], &link))
            low = middle + 1;
        else
            high = middle;
    }
    links->items = mem_grow(links->items, &links->cap, links->count + 1, sizeof *links->items);
    memmove(links->items + low + 1, links->items + low,
            (links->count - low) * sizeof *links->items);
    links->items[low] = link;
    links->count++;
    return OK;
}

// By name, which works for clients alone: other links stand in the order of their priorities.
static const struct dynsec_link *
find_client_link(const struct dynsec_links *links, const struct dynsec_object *client)
{
    uint32_t low = 0, high = links->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(links->items[middle].to->name, client->name);
        if (order == 0)
            return &links->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct dynsec_link *
dynsec_find_link(const struct dynsec_links *links, const void *to)
{
    const struct dynsec_object *object = to;
    must(object != NULL);
    if (object->kind == DYNSEC_CLIENT)
        return find_client_link(links, object);
    for (uint32_t i = 0; i < links->count; i++)
        if (links->items[i].to == object)
            return &links->items[i];
    return NULL;
}

static void
links_remove(struct dynsec_links *links, const struct dynsec_object *to)
{
    const struct dynsec_link *link = dynsec_find_link(links, to);
    if (!link)
        return;
    uint32_t at = (uint32_t)(link - links->items);
    must(at < links->count && links->items[at].to == to);
    links->count--;
    memmove(links->items + at, links->items + at + 1, (links->count - at) * sizeof *links->items);
}

void
dynsec_links_free(struct dynsec_links *links)
{
    mem_free(links->items);
    *links = (struct dynsec_links){0};
}

// ---- Relating -----------------------------------------------------------------------------------

err_t
dynsec_hold_role(struct dynsec_links *roles, struct dynsec_role *role, int32_t priority)
{
    must(role->object.kind == DYNSEC_ROLE);
    struct dynsec_link link = {.to = &role->object, .priority = priority};
    return links_add(roles, link, DYNSEC_HELD_ROLES_MAX);
}

void
dynsec_drop_role(struct dynsec_links *roles, const struct dynsec_role *role)
{
    links_remove(roles, &role->object);
}

err_t
dynsec_join(struct dynsec_group *group, struct dynsec_client *client, int32_t priority)
{
    must(group->object.kind == DYNSEC_GROUP && client->object.kind == DYNSEC_CLIENT);
    struct dynsec_link to_group = {.to = &group->object, .priority = priority};
    struct dynsec_link to_client = {.to = &client->object, .priority = priority};
    err_t err = links_add(&client->groups, to_group, DYNSEC_MEMBERSHIPS_MAX);
    if (err != OK)
        return err;
    err = links_add(&group->clients, to_client, DYNSEC_CLIENTS_MAX);
    must(err == OK); // both ends are in step
    return OK;
}

void
dynsec_leave(struct dynsec_group *group, struct dynsec_client *client)
{
    must(!dynsec_find_link(&client->groups, group) ==
         !dynsec_find_link(&group->clients, client)); // both ends, or none
    links_remove(&client->groups, &group->object);
    links_remove(&group->clients, &client->object);
}

static void
acl_free(struct dynsec_acl *acl)
{
    mem_free(acl->topic);
}

err_t
dynsec_add_acl(struct dynsec_model *model, struct dynsec_role *role, enum dynsec_acl_type type,
               const struct dynsec_acl *acl)
{
    must(type < DYNSEC_ACL_TYPES && acl->topic != NULL);
    struct dynsec_acls *acls = &role->acls[type];
    uint32_t at = acls->count, of_role = 0;
    for (uint32_t i = 0; i < DYNSEC_ACL_TYPES; i++)
        of_role += role->acls[i].count;
    for (uint32_t i = 0; i < acls->count; i++)
        if (strcmp(acls->items[i].topic, acl->topic) == 0)
            return ERR_PROTOCOL;
    if (of_role >= DYNSEC_ACLS_MAX || model->acl_count >= DYNSEC_ALL_ACLS_MAX)
        return ERR_FULL;
    while (at > 0 && acls->items[at - 1].priority < acl->priority)
        at--;
    acls->items = mem_grow(acls->items, &acls->cap, acls->count + 1, sizeof *acls->items);
    memmove(acls->items + at + 1, acls->items + at, (acls->count - at) * sizeof *acls->items);
    acls->items[at] = *acl;
    acls->items[at].topic = mem_strdup(acl->topic);
    acls->count++;
    model->acl_count++;
    return OK;
}

err_t
dynsec_remove_acl(struct dynsec_model *model, struct dynsec_role *role, enum dynsec_acl_type type,
                  const char *topic)
{
    must(type < DYNSEC_ACL_TYPES && topic != NULL);
    struct dynsec_acls *acls = &role->acls[type];
    for (uint32_t i = 0; i < acls->count; i++) {
        if (strcmp(acls->items[i].topic, topic) != 0)
            continue;
        acl_free(&acls->items[i]);
        acls->count--;
        memmove(acls->items + i, acls->items + i + 1, (acls->count - i) * sizeof *acls->items);
        must(model->acl_count > 0);
        model->acl_count--;
        return OK;
    }
    return ERR_NOT_FOUND;
}

void
dynsec_clear_acls(struct dynsec_model *model, struct dynsec_role *role)
{
    for (uint32_t type = 0; type < DYNSEC_ACL_TYPES; type++) {
        struct dynsec_acls *acls = &role->acls[type];
        for (uint32_t i = 0; i < acls->count; i++)
            acl_free(&acls->items[i]);
        must(model->acl_count >= acls->count);
        model->acl_count -= acls->count;
        mem_free(acls->items);
        *acls = (struct dynsec_acls){0};
    }
}

// ---- Finding, making ----------------------------------------------------------------------------

struct dynsec_client *
dynsec_find_client(const struct dynsec_model *model, const char *name)
{
    return table_find(&model->clients, name);
}

struct dynsec_group *
dynsec_find_group(const struct dynsec_model *model, const char *name)
{
    return table_find(&model->groups, name);
}

struct dynsec_role *
dynsec_find_role(const struct dynsec_model *model, const char *name)
{
    return table_find(&model->roles, name);
}

struct dynsec_client *
dynsec_add_client(struct dynsec_model *model, const char *name)
{
    must(model->next_mark != 0); // 0 is nobody's
    struct dynsec_client *client = mem_zalloc(sizeof *client);
    object_init(&client->object, DYNSEC_CLIENT, name);
    client->mark = model->next_mark++;
    table_add(&model->clients, &client->object);
    return client;
}

struct dynsec_group *
dynsec_add_group(struct dynsec_model *model, const char *name)
{
    struct dynsec_group *group = mem_zalloc(sizeof *group);
    object_init(&group->object, DYNSEC_GROUP, name);
    table_add(&model->groups, &group->object);
    return group;
}

struct dynsec_role *
dynsec_add_role(struct dynsec_model *model, const char *name)
{
    struct dynsec_role *role = mem_zalloc(sizeof *role);
    object_init(&role->object, DYNSEC_ROLE, name);
    table_add(&model->roles, &role->object);
    return role;
}

// ---- Removing -----------------------------------------------------------------------------------

static void
client_free(struct dynsec_client *client)
{
    object_free(&client->object);
    mem_free(client->client_id);
    dynsec_links_free(&client->roles);
    dynsec_links_free(&client->groups);
    explicit_bzero(client, sizeof *client);
    mem_free(client);
}

static void
group_free(struct dynsec_group *group)
{
    object_free(&group->object);
    dynsec_links_free(&group->roles);
    dynsec_links_free(&group->clients);
    mem_free(group);
}

static void
role_free(struct dynsec_model *model, struct dynsec_role *role)
{
    object_free(&role->object);
    dynsec_clear_acls(model, role);
    mem_free(role);
}

void
dynsec_remove_client(struct dynsec_model *model, struct dynsec_client *client)
{
    while (client->groups.count > 0)
        dynsec_leave((struct dynsec_group *)client->groups.items[0].to, client);
    must(client->object.kind == DYNSEC_CLIENT);
    table_remove(&model->clients, &client->object);
    client_free(client);
}

void
dynsec_remove_group(struct dynsec_model *model, struct dynsec_group *group)
{
    must(group->object.kind == DYNSEC_GROUP && group != model->anonymous);
    for (uint32_t i = 0; i < group->clients.count; i++) {
        struct dynsec_client *client = (struct dynsec_client *)group->clients.items[i].to;
        links_remove(&client->groups, &group->object);
    }
    table_remove(&model->groups, &group->object);
    group_free(group);
}

void
dynsec_remove_role(struct dynsec_model *model, struct dynsec_role *role)
{
    must(role->object.kind == DYNSEC_ROLE);
    for (uint32_t i = 0; i < model->clients.count; i++)
        dynsec_drop_role(&((struct dynsec_client *)model->clients.items[i])->roles, role);
    for (uint32_t i = 0; i < model->groups.count; i++)
        dynsec_drop_role(&((struct dynsec_group *)model->groups.items[i])->roles, role);
    table_remove(&model->roles, &role->object);
    role_free(model, role);
}

void
dynsec_model_init(struct dynsec_model *model)
{
    *model = (struct dynsec_model){.next_mark = 1};
}

void
dynsec_model_free(struct dynsec_model *model)
{
    for (uint32_t i = 0; i < model->clients.count; i++)
        client_free((struct dynsec_client *)model->clients.items[i]);
    for (uint32_t i = 0; i < model->groups.count; i++)
        group_free((struct dynsec_group *)model->groups.items[i]);
    for (uint32_t i = 0; i < model->roles.count; i++)
        role_free(model, (struct dynsec_role *)model->roles.items[i]);
    must(model->acl_count == 0);
    mem_free(model->clients.items);
    mem_free(model->groups.items);
    mem_free(model->roles.items);
    for (uint32_t i = 0; i < model->touched.count; i++)
        mem_free(model->touched.items[i]);
    mem_free(model->touched.items);
}

// ---- What a change means ------------------------------------------------------------------------

static void
touch(struct dynsec_model *model, const char *kind, const char *name)
{
    struct dynsec_names *touched = &model->touched;
    size_t size = sizeof DYNSEC_SETTINGS + strlen(kind) + strlen(name);
    touched->items =
        mem_grow(touched->items, &touched->cap, touched->count + 1, sizeof *touched->items);
    char *setting = mem_alloc(size);
    char *end = stpcpy(stpcpy(stpcpy(setting, DYNSEC_SETTINGS), kind), name);
    must(end == setting + size - 1);
    touched->items[touched->count++] = setting;
}

void
dynsec_touch(struct dynsec_model *model, const struct dynsec_object *object)
{
    static const char *const kinds[] = {
        [DYNSEC_CLIENT] = "client/", [DYNSEC_GROUP] = "group/", [DYNSEC_ROLE] = "role/"};
    touch(model, kinds[object->kind], object->name);
}

void
dynsec_touch_general(struct dynsec_model *model)
{
    touch(model, "general", "");
}

void
dynsec_kick_client(struct dynsec_model *model, struct dynsec_client *client)
{
    must(client->mark < model->next_mark);
    client->mark = model->next_mark++;
}

void
dynsec_kick_group(struct dynsec_model *model, struct dynsec_group *group)
{
    for (uint32_t i = 0; i < group->clients.count; i++)
        dynsec_kick_client(model, (struct dynsec_client *)group->clients.items[i].to);
}

void
dynsec_kick_role(struct dynsec_model *model, const struct dynsec_role *role)
{
    for (uint32_t i = 0; i < model->clients.count; i++) {
        struct dynsec_client *client = (struct dynsec_client *)model->clients.items[i];
        if (dynsec_find_link(&client->roles, role))
            dynsec_kick_client(model, client);
    }
    for (uint32_t i = 0; i < model->groups.count; i++) {
        struct dynsec_group *group = (struct dynsec_group *)model->groups.items[i];
        if (dynsec_find_link(&group->roles, role))
            dynsec_kick_group(model, group);
    }
}
