// acl_file.c - the text of an ACL file, as mosquitto's.
//
//   user NAME
//   topic [read|write|readwrite|deny] FILTER
//   pattern [read|write|readwrite|deny] FILTER
//
// A client is asked about with its user's denies, its user's allows, the patterns that deny and
// those that allow. So the text is read twice: what denies enters each list first.
#include <stdio.h>

#include "core/base/secret_file.h"
#include "core/base/utf8.h"

#include "core/acl_parts.h"
#include "core/topic.h"

#define SHOWN_MAX 60u // bytes of a line in a problem

struct parser {
    const char *name;
    char *problem;
    size_t size;
    struct acl_builder *builder;
    uint32_t line;
    bool denies;        // this pass takes the rules that deny, else those that allow
    uint32_t anonymous; // lists
    uint32_t patterns;
    uint32_t user; // list of the lines that follow
};

static err_t
fail(struct parser *p, const char *found, struct slice text, const char *expected)
{
    must(p->line > 0 && p->size > 0);
    char shown[SHOWN_MAX + 1];
    uint32_t n = min_u32(text.len, SHOWN_MAX);
    if (n > 0)
        memcpy(shown, text.data, n);
    for (uint32_t i = 0; i < n; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            shown[i] = '?';
    shown[n] = '\0';
    (void)snprintf(p->problem, p->size, "%s:%u: %s%s%s%s; expected %s", p->name, p->line, found,
                   text.len ? " \"" : "", shown, text.len ? "\"" : "", expected);
    return ERR_CONFIG;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

// Takes the first word off *rest, and the blanks around it. Empty when there is none.
static struct slice
take_word(struct slice *rest)
{
    uint32_t from = 0;
    while (from < rest->len && is_blank(rest->data[from]))
        from++;
    uint32_t end = from;
    while (end < rest->len && !is_blank(rest->data[end]))
        end++;
    struct slice word = slice_of(rest->data + from, end - from);
    while (end < rest->len && is_blank(rest->data[end]))
        end++;
    *rest = slice_of(rest->data + end, rest->len - end);
    return word;
}

static bool
is_word(struct slice word, const char *text)
{
    return slice_equal(word, slice_str(text));
}

// ---- Lines --------------------------------------------------------------------------------------

static err_t
on_user(struct parser *p, struct slice name)
{
    if (name.len == 0)
        return fail(p, "no name", name, "\"user NAME\"");
    const struct acl_user *known = acl_builder_find(p->builder, name);
    if (known) {
        must(known->view.count == 2 && known->view.lists[1] == p->patterns);
        p->user = known->view.lists[0];
        return OK;
    }
    p->user = acl_builder_list(p->builder);
    const uint32_t lists[] = {p->user, p->patterns};
    return acl_builder_user(p->builder, name, lists, ARRAY_LEN(lists));
}

static bool
parse_access(struct slice word, struct acl_rule *rule)
{
    static const struct {
        const char *word;
        bool allow;
        uint8_t actions;
    } table[] = {
        {"read", true, ACL_BIT(ACL_RECEIVE)},
        {"write", true, ACL_BIT(ACL_PUBLISH)},
        {"readwrite", true, ACL_BIT(ACL_RECEIVE) | ACL_BIT(ACL_PUBLISH)},
        {"deny", false, ACL_BIT(ACL_RECEIVE) | ACL_BIT(ACL_PUBLISH)},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        if (!is_word(word, table[i].word))
            continue;
        rule->allow = table[i].allow;
        rule->actions = table[i].actions;
        return true;
    }
    return false;
}

static err_t
on_topic(struct parser *p, struct slice rest, bool pattern)
{
    struct acl_rule rule = {.pattern = pattern, .line = p->line};
    struct slice word = take_word(&rest), access = slice_str("readwrite");
    if (word.len == 0)
        return fail(p, "no topic", word, "[read|write|readwrite|deny] FILTER");
    if (rest.len > 0)
        access = word;
    else
        rest = word; // a filter alone, which may be called "read"
    if (!parse_access(access, &rule))
        return fail(p, "access", access, "read, write, readwrite or deny");
    if (topic_filter_check(rest) != OK)
        return fail(p, "topic filter", rest, "\"+\" and \"#\" as whole levels, \"#\" as the last");
    if (rule.allow == p->denies)
        return OK; // the other pass takes it
    must(rule.actions != 0);
    rule.filter = rest;
    err_t err = acl_builder_rule(p->builder, pattern ? p->patterns : p->user, &rule);
    return err ? fail(p, "too many rules", (struct slice){0}, "at most 1000000") : OK;
}

static err_t
on_line(struct parser *p, struct slice line)
{
    if (line.len == 0 || line.data[0] == '#')
        return OK;
    if (!utf8_valid(line))
        return fail(p, "not UTF-8", (struct slice){0}, "text");
    struct slice rest = line, word = take_word(&rest);
    if (is_word(word, "topic"))
        return on_topic(p, rest, false);
    if (is_word(word, "pattern"))
        return on_topic(p, rest, true);
    if (is_word(word, "user"))
        return on_user(p, rest);
    return fail(p, "line", line, "\"user\", \"topic\" or \"pattern\"");
}

static err_t
parse(struct parser *p, struct slice text)
{
    struct slice line;
    p->line = 0;
    p->user = p->anonymous;
    while (line_next(&text, &line)) {
        p->line++;
        err_t err = on_line(p, line);
        if (err)
            return err;
    }
    return OK;
}

// NOLINTBEGIN(readability-non-const-parameter): fail writes to problem
err_t
acl_parse(const char *name, struct slice text, struct acl **ret_acl, char *problem, size_t size)
{
    must(size > 0);
    struct parser p = {.name = name, .problem = problem, .size = size};
    // As mosquitto, every SUBSCRIBE: what is read is decided by message.
    p.builder = acl_builder_new(ACL_BIT(ACL_SUBSCRIBE) | ACL_BIT(ACL_UNSUBSCRIBE));
    acl_builder_source(p.builder, name);
    p.anonymous = acl_builder_list(p.builder);
    p.patterns = acl_builder_list(p.builder);
    const uint32_t lists[] = {p.anonymous, p.patterns};
    err_t err = acl_builder_anonymous(p.builder, lists, 2);
    if (err == OK)
        err = acl_builder_others(p.builder, &p.patterns, 1);
    for (unsigned pass = 0; err == OK && pass < 2; pass++) {
        p.denies = pass == 0;
        err = parse(&p, text);
    }
    if (err) {
        acl_builder_free(p.builder);
        return ERR_CONFIG;
    }
    *ret_acl = acl_builder_finish(p.builder);
    return OK;
}
// NOLINTEND(readability-non-const-parameter)
