// acl_match.c - one rule of an ACL against a topic, and against a whole filter.
//
// Placeholders are replaced while the texts are compared, by plain bytes: a wildcard in a user name
// is never one in a rule. What is left to fear is a value with "/", which would reach into levels
// that the rule's author did not mean (G01, G02); no rule that allows takes such a value.
#include "core/acl_parts.h"
#include "core/topic.h"

static bool
is_usable(struct slice value)
{
    for (uint32_t i = 0; i < value.len; i++)
        if (value.data[i] == '/' || value.data[i] == '+' || value.data[i] == '#')
            return false;
    return value.data != NULL && value.len > 0;
}

void
acl_names_init(struct acl_names *ret, struct slice user, struct slice id)
{
    must(user.data || user.len == 0);
    *ret = (struct acl_names){.user = user, .id = id};
    if (!is_usable(user))
        ret->unusable |= ACL_HAS_USER;
    if (!is_usable(id))
        ret->unusable |= ACL_HAS_ID;
}

// Does a placeholder stand at p? ret_value: what for.
static inline bool
placeholder(const struct acl_stored *rule, const struct acl_names *names, const uint8_t *p,
            struct slice *ret_value)
{
    if (*p != '%' || p + 1 >= rule->text + rule->len)
        return false;
    if (p[1] == 'u' && (rule->flags & ACL_HAS_USER))
        *ret_value = names->user;
    else if (p[1] == 'c' && (rule->flags & ACL_HAS_ID))
        *ret_value = names->id;
    else
        return false;
    return true;
}

// With wildcards, unless it is literal, and placeholders; from byte `from` on.
static bool
matches_in_parts(const struct acl_stored *rule, const struct acl_names *names, struct slice topic,
                 uint32_t from)
{
    const uint8_t *f = rule->text + from, *f_end = rule->text + rule->len;
    const uint8_t *n = topic.data + from, *n_end = topic.data + topic.len;
    bool wild = !(rule->flags & ACL_LITERAL);
    struct slice value;
    while (f < f_end) {
        if (wild && *f == '#')
            return true;
        if (wild && *f == '+') {
            while (n < n_end && *n != '/')
                n++;
            f++;
        } else if (placeholder(rule, names, f, &value)) {
            if ((size_t)(n_end - n) < value.len || memcmp(n, value.data, value.len) != 0)
                return false;
            n += value.len;
            f += 2;
        } else if (n < n_end) {
            if (*f++ != *n++)
                return false;
        } else { // "a/#" matches its parent "a", too
            return wild && f_end - f == 2 && f[0] == '/' && f[1] == '#';
        }
    }
    return n == n_end;
}

bool
acl_rule_matches(const struct acl_stored *rule, const struct acl_names *names, struct slice topic)
{
    must_hot(topic.len > 0 && rule->len > 0);
    if (!(rule->flags & (ACL_WILD | ACL_HAS_USER | ACL_HAS_ID)))
        return slice_equal(topic, slice_of(rule->text, rule->len));
    // [MQTT-4.7.2-1], also where a placeholder stands for "$...".
    if (topic.data[0] == '$' && rule->text[0] != '$')
        return false;
    return matches_in_parts(rule, names, topic, 0);
}

bool
acl_rule_goes_on(const struct acl_stored *rule, const struct acl_names *names, struct slice topic)
{
    uint32_t from = rule->start_len;
    must_hot(from <= topic.len && rule->len > 0);
    if (!(rule->flags & (ACL_WILD | ACL_HAS_USER | ACL_HAS_ID)))
        return rule->len == topic.len &&
               memcmp(rule->text + from, topic.data + from, topic.len - from) == 0;
    if (topic.data[0] == '$' && rule->text[0] != '$')
        return false;
    return matches_in_parts(rule, names, topic, from);
}

// ---- A whole filter -----------------------------------------------------------------------------

static inline bool
is(struct slice level, char wildcard)
{
    return level.len == 1 && level.data[0] == (uint8_t)wildcard;
}

// A level of the rule, and one of the filter without a wildcard.
static bool
same_level(const struct acl_stored *rule, const struct acl_names *names, struct slice mine,
           struct slice theirs)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < mine.len; i++) {
        struct slice value = slice_of(mine.data + i, 1);
        if (placeholder(rule, names, mine.data + i, &value))
            i++;
        if (theirs.len - at < value.len || memcmp(theirs.data + at, value.data, value.len) != 0)
            return false;
        at += value.len;
    }
    return at == theirs.len;
}

// Has the level a placeholder whose value may be more than one level? Then the rule denies.
static bool
is_unusable(const struct acl_stored *rule, const struct acl_names *names, struct slice level)
{
    struct slice value;
    for (uint32_t i = 0; i + 1 < level.len; i++)
        if (placeholder(rule, names, level.data + i, &value) &&
            (names->unusable & (level.data[i + 1] == 'u' ? ACL_HAS_USER : ACL_HAS_ID)))
            return true;
    return false;
}

// Of a rule's level, which is not "#", and a filter's.
static enum acl_relation
level_relation(const struct acl_stored *rule, const struct acl_names *names, struct slice mine,
               struct slice theirs)
{
    if (is(mine, '+'))
        return ACL_COVERS;
    if (is(theirs, '+'))
        return ACL_SHARES;
    return same_level(rule, names, mine, theirs) ? ACL_COVERS : ACL_APART;
}

enum acl_relation
acl_rule_relation(const struct acl_stored *rule, const struct acl_names *names, struct slice filter)
{
    must(filter.len > 0 && rule->len > 0);
    struct slice rest = slice_of(rule->text, rule->len), mine, theirs;
    // A level "+" or "#" at the beginning stands for none that begins with "$" [MQTT-4.7.2-1].
    if ((filter.data[0] == '$') != (rule->text[0] == '$'))
        return ACL_APART;
    enum acl_relation relation = ACL_COVERS; // of the levels so far
    while (topic_next_level(&rest, &mine)) {
        if (is(mine, '#')) // "a/#" has "a", too
            return relation;
        if (unlikely(names->unusable & rule->flags) && is_unusable(rule, names, mine))
            return ACL_SHARES; // it cannot be told
        if (!topic_next_level(&filter, &theirs))
            return ACL_APART;
        if (is(theirs, '#'))
            return ACL_SHARES;
        enum acl_relation here = level_relation(rule, names, mine, theirs);
        if (here == ACL_APART)
            return ACL_APART;
        relation = here < relation ? here : relation;
    }
    if (!topic_next_level(&filter, &theirs))
        return relation;
    return is(theirs, '#') ? ACL_SHARES : ACL_APART;
}
