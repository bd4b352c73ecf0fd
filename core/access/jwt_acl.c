// jwt_acl.c - what a token lets its client do.
#include "core/access/jwt_acl.h"

#include "core/base/mem.h"

#include "core/access/json_text.h"

#define PUBLISH   ACL_BIT(ACL_PUBLISH)
#define SUBSCRIBE ACL_BIT(ACL_RECEIVE)

struct compiler {
    struct acl_builder *builder;
    uint32_t list;
    const char *why; // what is wrong
};

static err_t
fail(struct compiler *compiler, const char *why)
{
    must(why != NULL);
    compiler->why = why;
    return ERR_BAD_CREDENTIALS;
}

static bool
begins_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static struct slice
skip(struct slice text, size_t len)
{
    must(len <= text.len);
    return slice_of(text.data + len, text.len - len);
}

// ---- One filter ---------------------------------------------------------------------------------

static const struct {
    const char *theirs, *ours;
} placeholders[] = {{"${clientid}", "%c"}, {"${username}", "%u"}};

// Placeholders become those of ACL files. text has room for filter.len bytes. False: there is one
// that is not known.
static bool
translate(struct slice filter, char *text, uint32_t *ret_len)
{
    uint32_t len = 0;
    while (filter.len > 0) {
        unsigned i = 0;
        while (i < ARRAY_LEN(placeholders) && !begins_with(filter, placeholders[i].theirs))
            i++;
        if (i < ARRAY_LEN(placeholders)) {
            memcpy(text + len, placeholders[i].ours, 2);
            len += 2;
            filter = skip(filter, strlen(placeholders[i].theirs));
            continue;
        }
        if (begins_with(filter, "${"))
            return false;
        text[len++] = (char)filter.data[0];
        filter = skip(filter, 1);
    }
    *ret_len = len;
    return true;
}

// "eq FILTER" means the filter itself and not what it matches. Nobody publishes to a filter; who
// may subscribe to it receives what it matches; who may not is stopped when it subscribes.
static void
take_literally(struct acl_rule *rule)
{
    rule->filter = skip(rule->filter, 3);
    bool wild = memchr(rule->filter.data, '#', rule->filter.len) != NULL ||
                memchr(rule->filter.data, '+', rule->filter.len) != NULL;
    if (!wild)
        return;
    rule->actions &= SUBSCRIBE;
    if (rule->allow || rule->actions == 0)
        return;
    rule->actions = ACL_BIT(ACL_SUBSCRIBE);
    rule->literal = true;
}

static err_t
add_filter(struct compiler *compiler, struct acl_rule rule, const json_t *value)
{
    rule.filter = json_text_of(value);
    rule.pattern = true;
    if (!rule.filter.data)
        return fail(compiler, "a topic in its ACL is not a text");
    if (begins_with(rule.filter, "eq "))
        take_literally(&rule);
    if (rule.actions == 0)
        return OK;
    char *text = mem_alloc((size_t)rule.filter.len + 1);
    uint32_t len;
    err_t err = OK;
    if (!translate(rule.filter, text, &len))
        err = fail(compiler, "a topic in its ACL has a placeholder that is not known");
    else {
        rule.filter = slice_of(text, len);
        if (acl_builder_rule(compiler->builder, compiler->list, &rule) != OK)
            err = fail(compiler, "a topic in its ACL is not a topic filter");
    }
    mem_free(text);
    return err;
}

// ---- {"pub": [...], "sub": [...], "all": [...]} -------------------------------------------------

static err_t
add_lists(struct compiler *compiler, const json_t *claim)
{
    static const struct {
        const char *name;
        uint8_t actions;
    } lists[] = {{"pub", PUBLISH}, {"sub", SUBSCRIBE}, {"all", PUBLISH | SUBSCRIBE}};
    size_t known = 0;
    err_t err = OK;
    for (unsigned i = 0; i < ARRAY_LEN(lists) && err == OK; i++) {
        const json_t *list = json_object_get(claim, lists[i].name);
        if (!list)
            continue;
        known++;
        if (!json_is_array(list))
            return fail(compiler, "pub, sub or all in its ACL is not an array");
        struct acl_rule rule = {.actions = lists[i].actions, .allow = true};
        for (size_t j = 0; j < json_array_size(list) && err == OK; j++)
            err = add_filter(compiler, rule, json_array_get(list, j));
    }
    if (err == OK && known != json_object_size(claim))
        return fail(compiler, "its ACL has more than pub, sub and all");
    return err;
}

// ---- [{"permission": ..., "action": ..., "topic": ...}, ...] ------------------------------------

static bool
is(const json_t *value, const char *text)
{
    return slice_equal(json_text_of(value), slice_str(text));
}

static err_t
add_entry(struct compiler *compiler, const json_t *entry)
{
    const json_t *permission = json_object_get(entry, "permission");
    const json_t *action = json_object_get(entry, "action");
    const json_t *topic = json_object_get(entry, "topic");
    if (json_object_size(entry) != 3 || !permission || !action || !topic)
        return fail(compiler, "a rule of its ACL has not just permission, action and topic");
    struct acl_rule rule = {.allow = is(permission, "allow")};
    if (!rule.allow && !is(permission, "deny"))
        return fail(compiler, "a permission in its ACL is neither allow nor deny");
    if (is(action, "publish") || is(action, "all"))
        rule.actions |= PUBLISH;
    if (is(action, "subscribe") || is(action, "all"))
        rule.actions |= SUBSCRIBE;
    if (rule.actions == 0)
        return fail(compiler, "an action in its ACL is not publish, subscribe or all");
    return add_filter(compiler, rule, topic);
}

static err_t
add_entries(struct compiler *compiler, const json_t *claim)
{
    err_t err = OK;
    for (size_t i = 0; i < json_array_size(claim) && err == OK; i++)
        err = add_entry(compiler, json_array_get(claim, i));
    return err;
}

// ---- ----

// The one list is everybody's: the token came with one client.
static err_t
give_to_all(struct compiler *compiler)
{
    err_t err = acl_builder_anonymous(compiler->builder, &compiler->list, 1);
    if (err == OK)
        err = acl_builder_others(compiler->builder, &compiler->list, 1);
    return err;
}

err_t
jwt_acl_compile(const json_t *claim, struct acl **ret_acl, const char **ret_why)
{
    struct compiler compiler = {
        .builder = acl_builder_new(ACL_BIT(ACL_SUBSCRIBE) | ACL_BIT(ACL_UNSUBSCRIBE))};
    compiler.list = acl_builder_list(compiler.builder);
    err_t err = json_is_object(claim) ? add_lists(&compiler, claim)
                : json_is_array(claim)
                    ? add_entries(&compiler, claim)
                    : fail(&compiler, "its ACL is neither an object nor an array");
    if (err != OK) {
        acl_builder_free(compiler.builder);
        *ret_why = compiler.why;
        return err;
    }
    err = give_to_all(&compiler);
    must(err == OK); // one list is never too many
    *ret_acl = acl_builder_finish(compiler.builder);
    return OK;
}
