// acl_json.c - rules for one client, as JSON.
#include "core/access/acl_json.h"

#include "core/base/mem.h"

#include "core/access/json_text.h"

#define PUBLISH   ACL_BIT(ACL_PUBLISH)
#define SUBSCRIBE ACL_BIT(ACL_RECEIVE)

// Functions return what is wrong, or NULL.
struct compiler {
    struct acl_builder *builder;
    uint32_t list;
};

static bool
is(const json_t *value, const char *text)
{
    struct slice found = json_text_of(value);
    return found.data && slice_equal(found, slice_str(text));
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

// Placeholders become those of ACL files. to has room for filter.len bytes. False: there is one
// that nobody fills.
static bool
fill_in(struct slice filter, char *to, uint32_t *ret_len)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"${clientid}", "%c"}, {"${username}", "%u"}};
    uint32_t len = 0, room = filter.len;
    while (filter.len > 0) {
        unsigned i = 0;
        while (i < ARRAY_LEN(names) && !begins_with(filter, names[i].theirs))
            i++;
        if (i < ARRAY_LEN(names)) {
            memcpy(to + len, names[i].ours, 2);
            len += 2;
            filter = skip(filter, strlen(names[i].theirs));
            continue;
        }
        if (begins_with(filter, "${"))
            return false;
        to[len++] = (char)filter.data[0];
        filter = skip(filter, 1);
    }
    must(len <= room);
    *ret_len = len;
    return true;
}

// Takes "eq " away. Nobody publishes to a filter; whoever may subscribe to it receives what it
// matches; whoever may not is stopped when it subscribes, and can have the same by another filter.
static void
take_literally(struct acl_rule *rule)
{
    must(begins_with(rule->filter, "eq "));
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

static const char *
add_filter(const struct compiler *compiler, struct acl_rule rule, const json_t *value)
{
    must(rule.actions != 0 && !rule.literal);
    rule.filter = json_text_of(value);
    rule.pattern = true;
    if (!rule.filter.data)
        return "its acl has a topic that is not a text";
    if (begins_with(rule.filter, "eq "))
        take_literally(&rule);
    if (rule.actions == 0)
        return NULL;
    char *text = mem_alloc((size_t)rule.filter.len + 1);
    uint32_t len;
    const char *problem = NULL;
    if (!fill_in(rule.filter, text, &len)) {
        problem = "its acl has a placeholder that is not known";
    } else {
        rule.filter = slice_of(text, len);
        err_t err = acl_builder_rule(compiler->builder, compiler->list, &rule);
        if (err != OK)
            problem = err == ERR_FULL ? "its acl has too many rules"
                                      : "its acl has a topic that is not a topic filter";
    }
    mem_free(text);
    return problem;
}

static const char *
add_filters(const struct compiler *compiler, struct acl_rule rule, const json_t *list)
{
    if (!json_is_array(list))
        return "its acl has topics that are not a list";
    const char *problem = NULL;
    for (size_t i = 0; i < json_array_size(list) && !problem; i++)
        problem = add_filter(compiler, rule, json_array_get(list, i));
    return problem;
}

// ---- {"pub": [...], "sub": [...], "all": [...]} -------------------------------------------------

static const char *
add_lists(const struct compiler *compiler, const json_t *lists)
{
    static const struct {
        const char *name;
        uint8_t actions;
    } known[] = {{"pub", PUBLISH}, {"sub", SUBSCRIBE}, {"all", PUBLISH | SUBSCRIBE}};
    size_t found = 0;
    const char *problem = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(known) && !problem; i++) {
        const json_t *list = json_object_get(lists, known[i].name);
        struct acl_rule rule = {.actions = known[i].actions, .allow = true};
        found += list != NULL;
        problem = list ? add_filters(compiler, rule, list) : NULL;
    }
    if (!problem && found != json_object_size(lists))
        return "its acl has more than pub, sub and all";
    return problem;
}

// ---- [{"permission": ..., "action": ..., "topic": ...}, ...] ------------------------------------

static uint8_t
actions_of(const json_t *value)
{
    if (is(value, "publish") || is(value, "pub"))
        return PUBLISH;
    if (is(value, "subscribe") || is(value, "sub"))
        return SUBSCRIBE;
    return is(value, "all") ? PUBLISH | SUBSCRIBE : 0;
}

// Every QoS, so that there is no condition.
static bool
is_every_qos(const json_t *value)
{
    if (!json_is_array(value))
        return json_is_null(value) || is(value, "0,1,2");
    unsigned seen = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        json_int_t qos = json_integer_value(item);
        if (!json_is_integer(item) || qos < 0 || qos > 2)
            return false;
        seen |= 1u << qos;
    }
    return seen == 7;
}

static bool
says_only_what_we_hold(const json_t *rule)
{
    static const char *const known[] = {"permission", "action", "topic", "topics"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)unconst(rule), key, value)
    {
        bool good = (strcmp(key, "qos") == 0 && is_every_qos(value)) ||
                    (strcmp(key, "retain") == 0 && (json_is_null(value) || is(value, "all")));
        for (size_t i = 0; i < ARRAY_LEN(known) && !good; i++)
            good = strcmp(key, known[i]) == 0;
        if (!good)
            return false;
    }
    return true;
}

static const char *
add_rule(const struct compiler *compiler, const json_t *json)
{
    const json_t *permission = json_object_get(json, "permission");
    const json_t *topic = json_object_get(json, "topic");
    const json_t *topics = json_object_get(json, "topics");
    struct acl_rule rule = {.actions = actions_of(json_object_get(json, "action")),
                            .allow = is(permission, "allow")};
    if (!json_is_object(json))
        return "its acl has a rule that is not an object";
    if (!rule.allow && !is(permission, "deny"))
        return "its acl has a permission that is neither allow nor deny";
    if (rule.actions == 0)
        return "its acl has an action that is none of publish, subscribe, all";
    if (!says_only_what_we_hold(json))
        return "its acl has a rule with a condition that is not known";
    if ((topic != NULL) == (topics != NULL))
        return "its acl has a rule without a topic, or with topic and topics";
    return topic ? add_filter(compiler, rule, topic) : add_filters(compiler, rule, topics);
}

// ---- The whole ----------------------------------------------------------------------------------

static const char *
add_all(const struct compiler *compiler, const json_t *rules)
{
    if (json_is_object(rules))
        return add_lists(compiler, rules);
    if (!json_is_array(rules))
        return "its acl is neither an object nor a list";
    const char *problem = NULL;
    for (size_t i = 0; i < json_array_size(rules) && !problem; i++)
        problem = add_rule(compiler, json_array_get(rules, i));
    return problem;
}

err_t
acl_json_compile(const json_t *rules, struct acl **ret_acl, const char **ret_problem)
{
    // To unsubscribe harms nobody.
    struct compiler compiler = {
        .builder = acl_builder_new(ACL_BIT(ACL_SUBSCRIBE) | ACL_BIT(ACL_UNSUBSCRIBE))};
    compiler.list = acl_builder_list(compiler.builder);
    *ret_problem = add_all(&compiler, rules);
    if (*ret_problem) {
        acl_builder_free(compiler.builder);
        return ERR_MALFORMED;
    }
    // The one list is everybody's: the rules came with one client.
    err_t err = acl_builder_others(compiler.builder, &compiler.list, 1);
    must(err == OK);
    err = acl_builder_anonymous(compiler.builder, &compiler.list, 1);
    must(err == OK);
    *ret_acl = acl_builder_finish(compiler.builder);
    must(*ret_acl != NULL);
    return OK;
}
