// acl_json.c - rules for one client, as JSON.
#include "core/access/acl_json.h"

#include "core/base/mem.h"

#define SUBSCRIBES (ACL_BIT(ACL_SUBSCRIBE) | ACL_BIT(ACL_RECEIVE))
#define PUBLISHES  ACL_BIT(ACL_PUBLISH)

static bool
is(const json_t *value, const char *text)
{
    const char *string = json_string_value(value);
    return string && strcmp(string, text) == 0 && json_string_length(value) == strlen(text);
}

// ---- What a rule may say ------------------------------------------------------------------------

static bool
read_action(const json_t *value, uint8_t *ret_actions)
{
    if (is(value, "publish") || is(value, "pub"))
        *ret_actions = PUBLISHES;
    else if (is(value, "subscribe") || is(value, "sub"))
        *ret_actions = SUBSCRIBES;
    else if (is(value, "all"))
        *ret_actions = PUBLISHES | SUBSCRIBES;
    else
        return false;
    return true;
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

// ---- Topics -------------------------------------------------------------------------------------

// Writes a filter with %c and %u where the text has ${clientid} and ${username}. False: it has a
// %c or %u of its own beside them, or a placeholder that nobody fills.
static bool
fill_in(struct slice text, struct slice *ret_filter, bool *ret_pattern)
{
    static const struct {
        const char *name, *stands_for;
    } placeholders[] = {{"${clientid}", "%c"}, {"${username}", "%u"}};
    uint8_t *filter = mem_alloc((size_t)text.len + 1);
    uint32_t len = 0;
    bool pattern = false, percent = false, good = true;
    for (uint32_t i = 0; i < text.len && good;) {
        const char *at = (const char *)text.data + i;
        size_t n = 1;
        if (text.len - i >= 2 && memcmp(at, "${", 2) == 0) {
            good = false;
            for (size_t p = 0; p < ARRAY_LEN(placeholders) && !good; p++) {
                n = strlen(placeholders[p].name);
                good = text.len - i >= n && memcmp(at, placeholders[p].name, n) == 0;
                if (good)
                    memcpy(filter + len, placeholders[p].stands_for, 2);
            }
            len += 2;
            pattern = true;
        } else {
            percent = percent || *at == '%';
            filter[len++] = (uint8_t)*at;
        }
        i += (uint32_t)n;
    }
    *ret_filter = slice_of(filter, len);
    *ret_pattern = pattern;
    return good && !(pattern && percent);
}

struct compiler {
    struct acl_builder *builder;
    uint32_t list;
};

static const char *
add_topic(const struct compiler *compiler, struct acl_rule *rule, const json_t *topic)
{
    if (!json_is_string(topic))
        return "a topic is not a text";
    struct slice text = slice_of(json_string_value(topic), json_string_length(topic));
    rule->literal = text.len >= 3 && memcmp(text.data, "eq ", 3) == 0;
    if (rule->literal)
        text = slice_of(text.data + 3, text.len - 3);
    const char *problem = NULL;
    struct slice filter;
    if (!fill_in(text, &filter, &rule->pattern)) {
        problem = "a topic has a placeholder that is not known";
    } else {
        rule->filter = filter;
        err_t err = acl_builder_rule(compiler->builder, compiler->list, rule);
        if (err != OK)
            problem = err == ERR_FULL ? "there are too many rules" : "a topic is not a filter";
    }
    mem_free(unconst(filter.data));
    return problem;
}

static const char *
add_rule(const struct compiler *compiler, const json_t *json)
{
    const json_t *permission = json_object_get(json, "permission");
    const json_t *topic = json_object_get(json, "topic");
    const json_t *topics = json_object_get(json, "topics");
    struct acl_rule rule = {.allow = is(permission, "allow")};
    if (!json_is_object(json))
        return "a rule is not an object";
    if (!rule.allow && !is(permission, "deny"))
        return "a permission is neither allow nor deny";
    if (!read_action(json_object_get(json, "action"), &rule.actions))
        return "an action is none of publish, subscribe, all";
    if (!says_only_what_we_hold(json))
        return "a rule has a condition that is not known";
    if ((topic != NULL) == (topics != NULL))
        return "a rule has no topic, or topic and topics";
    if (topic)
        return add_topic(compiler, &rule, topic);
    if (!json_is_array(topics))
        return "topics is not a list";
    const char *problem = NULL;
    for (size_t i = 0; i < json_array_size(topics) && !problem; i++)
        problem = add_topic(compiler, &rule, json_array_get(topics, i));
    return problem;
}

err_t
acl_json_compile(const json_t *rules, struct acl **ret_acl, const char **ret_problem)
{
    *ret_problem = NULL;
    if (!json_is_array(rules)) {
        *ret_problem = "acl is not a list";
        return ERR_MALFORMED;
    }
    // To unsubscribe harms nobody.
    struct compiler compiler = {.builder = acl_builder_new(ACL_BIT(ACL_UNSUBSCRIBE))};
    compiler.list = acl_builder_list(compiler.builder);
    for (size_t i = 0; i < json_array_size(rules) && !*ret_problem; i++)
        *ret_problem = add_rule(&compiler, json_array_get(rules, i));
    if (*ret_problem) {
        acl_builder_free(compiler.builder);
        return ERR_MALFORMED;
    }
    err_t err = acl_builder_others(compiler.builder, &compiler.list, 1);
    must(err == OK);
    err = acl_builder_anonymous(compiler.builder, &compiler.list, 1);
    must(err == OK);
    *ret_acl = acl_builder_finish(compiler.builder);
    return OK;
}
