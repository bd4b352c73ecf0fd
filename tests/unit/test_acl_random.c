// test_acl_random.c - decisions on rules and topics at random against a model that shares nothing
// with the broker: levels compared by recursion, and the order of COMPAT written down as it is
// said.
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "tests/unit/test_acl.h"

#define RULES_MAX 12

struct model_rule {
    char user[8]; // "" = anonymous; of patterns: not used
    bool pattern, deny, read, write, literal;
    char filter[64];
};

struct model {
    struct model_rule rules[RULES_MAX];
    unsigned count;
};

static uint64_t state;

static unsigned
pick(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

// ---- The model ----------------------------------------------------------------------------------

// The text up to the first "/", and whether there is one.
static bool
cut(const char *text, char level[64], const char **rest)
{
    size_t n = strcspn(text, "/");
    memcpy(level, text, n);
    level[n] = '\0';
    *rest = text[n] ? text + n + 1 : NULL;
    return *rest != NULL;
}

static bool
model_matches(const char *filter, const char *topic)
{
    if (!filter || !topic)
        return filter == topic || (filter && strcmp(filter, "#") == 0);
    char f[64], t[64];
    const char *f_rest, *t_rest;
    (void)cut(filter, f, &f_rest);
    (void)cut(topic, t, &t_rest);
    if (strcmp(f, "#") == 0)
        return true;
    if (strcmp(f, "+") != 0 && strcmp(f, t) != 0)
        return false;
    return model_matches(f_rest, t_rest);
}

// False when the rule says nothing to this client.
static bool
model_substitute(const struct model_rule *rule, const char *user, const char *id, char out[256])
{
    char *end = out;
    for (const char *p = rule->filter; *p; p++) {
        const char *value = NULL;
        if (rule->pattern && p[0] == '%' && p[1] == 'u')
            value = user ? user : "";
        else if (rule->pattern && p[0] == '%' && p[1] == 'c')
            value = id;
        if (!value) {
            *end++ = *p;
            continue;
        }
        bool bad = !*value || strpbrk(value, "/+#");
        if ((p[1] == 'u' && !user) || (bad && !rule->deny))
            return false;
        // A wildcard from a name must not become one: no topic has this byte.
        for (; *value; value++)
            *end++ = *value == '+' || *value == '#' ? '\x01' : *value;
        p++;
    }
    *end = '\0';
    return true;
}

static bool
model_rule_matches(const struct model_rule *rule, const char *user, const char *id,
                   const char *topic)
{
    char filter[256];
    if (!model_substitute(rule, user, id, filter))
        return false;
    if (topic[0] == '$' && rule->filter[0] != '$')
        return false;
    if (rule->literal)
        return strcmp(filter, topic) == 0;
    return model_matches(filter, topic);
}

// "The user's denies, the user's allows in order, pattern denies, pattern allows, else deny."
static bool
model_allows(const struct model *model, const char *user, const char *id, bool read,
             const char *topic)
{
    for (unsigned step = 0; step < 4; step++) {
        bool patterns = step >= 2, denies = step % 2 == 0;
        for (unsigned i = 0; i < model->count; i++) {
            const struct model_rule *rule = &model->rules[i];
            bool mine = user ? strcmp(rule->user, user) == 0 && *user : !*rule->user;
            if (rule->pattern != patterns || rule->deny != denies || (!rule->pattern && !mine))
                continue;
            if (!rule->deny && !(read ? rule->read : rule->write))
                continue;
            if (model_rule_matches(rule, user, id, topic))
                return !rule->deny;
        }
    }
    return false;
}

static void
append(char *out, size_t size, const char *text)
{
    size_t len = strlen(out);
    (void)snprintf(out + len, size - len, "%s", text);
}

// ---- At random ----------------------------------------------------------------------------------

static void
make_filter(char out[64], bool pattern)
{
    static const char *const levels[] = {"a",  "b",  "",   "ab",  "+",    "a",  "b",
                                         "$S", "%u", "%c", "x%u", "%u%c", "%ux"};
    unsigned depth = 1 + pick(4);
    *out = '\0';
    for (unsigned i = 0; i < depth; i++) {
        if (i > 0)
            append(out, 64, "/");
        if (pick(7) == 0) {
            append(out, 64, "#");
            return;
        }
        append(out, 64, levels[pick(pattern ? ARRAY_LEN(levels) : 8)]);
    }
    if (!*out)
        append(out, 64, "a");
}

static void
make_topic(char out[64])
{
    static const char *const levels[] = {"a", "b", "", "ab", "z", "$S", "xa", "aa", "ax", "ab"};
    unsigned depth = 1 + pick(4);
    *out = '\0';
    for (unsigned i = 0; i < depth; i++) {
        if (i > 0)
            append(out, 64, "/");
        append(out, 64, levels[pick(ARRAY_LEN(levels))]);
    }
    if (!*out)
        append(out, 64, "a");
}

static const char *const users[] = {NULL, "", "a", "b", "ab", "+", "#", "a/b", "$S"};
static const char *const ids[] = {"a", "b", "z", "#", "a/b", "a+"};

static void
make_model(struct model *model)
{
    static const char *const sections[] = {"", "a", "b", "ab", "+", "$S"};
    model->count = pick(RULES_MAX + 1);
    for (unsigned i = 0; i < model->count; i++) {
        struct model_rule *rule = &model->rules[i];
        unsigned access = pick(4);
        *rule = (struct model_rule){
            .pattern = pick(3) == 0, .deny = access == 0, .read = access & 1, .write = access & 2};
        append(rule->user, sizeof rule->user, sections[pick(ARRAY_LEN(sections))]);
        make_filter(rule->filter, rule->pattern);
    }
}

// The anonymous lines first, as they must be.
static void
print_model(const struct model *model, char *text, size_t size)
{
    static const char *const words[] = {"deny", "read", "write", "readwrite"};
    text[0] = '\0'; // nothing is written where there is nothing to write
    FILE *file = fmemopen(text, size, "w");
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < model->count; i++) {
            const struct model_rule *rule = &model->rules[i];
            bool section = *rule->user && !rule->pattern;
            if (section != (pass == 1))
                continue;
            if (section)
                fprintf(file, "user %s\n", rule->user);
            unsigned access = rule->deny ? 0 : rule->read + 2u * rule->write;
            if (access == 3 && pick(2) == 0)
                fprintf(file, "%s %s\n", rule->pattern ? "pattern" : "topic", rule->filter);
            else
                fprintf(file, "%s %s %s\n", rule->pattern ? "pattern" : "topic", words[access],
                        rule->filter);
        }
    fclose(file);
}

static uint64_t
first_seed(void)
{
    const char *given = getenv("SEED");
    return given ? strtoull(given, NULL, 0) : 1;
}

Test(acl_random, files_decide_as_they_are_said_to)
{
    uint64_t seed = first_seed();
    unsigned allowed = 0, asked = 0;
    for (unsigned round = 0; round < 4000; round++, seed++) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct model model;
        char text[4096];
        make_model(&model);
        print_model(&model, text, sizeof text);
        struct acl *acl = acl_of(text);
        const char *user = users[pick(ARRAY_LEN(users))], *id = ids[pick(ARRAY_LEN(ids))];
        struct rights *rights = rights_new(acl, name_of(user), slice_str(id));
        for (unsigned i = 0; i < 60; i++) {
            char topic[64];
            make_topic(topic);
            bool read = pick(2);
            bool want = model_allows(&model, user, id, read, topic);
            bool got = rights_allow(rights, read ? ACL_RECEIVE : ACL_PUBLISH, slice_str(topic));
            cr_assert(want == got, "SEED=%llu user %s id %s %s %s: model %d\n%s",
                      (unsigned long long)seed, user ? user : "-", id, read ? "read" : "write",
                      topic, want, text);
            allowed += got;
            asked++;
        }
        rights_free(rights);
        acl_unref(acl);
    }
    cr_assert(allowed > asked / 20 && allowed < asked / 2, "%u of %u: it asks nothing", allowed,
              asked);
}

// ---- Lists in any order, with a default ---------------------------------------------------------

struct listed {
    struct model_rule rule;
    unsigned list;
};

// The first rule of the first list that matches.
static bool
model_first(const struct listed *rules, unsigned count, const uint32_t *order, unsigned lists,
            const char *topic, bool otherwise)
{
    for (unsigned l = 0; l < lists; l++)
        for (unsigned i = 0; i < count; i++)
            if (rules[i].list == order[l] && rules[i].rule.read &&
                model_rule_matches(&rules[i].rule, "a", "b", topic))
                return !rules[i].rule.deny;
    return otherwise;
}

static unsigned
make_listed(struct listed rules[RULES_MAX], struct acl_builder *builder)
{
    unsigned count = pick(RULES_MAX + 1);
    for (unsigned i = 0; i < count; i++) {
        struct listed *l = &rules[i];
        *l = (struct listed){.list = pick(3)};
        l->rule.pattern = pick(4) == 0;
        l->rule.literal = pick(8) == 0;
        l->rule.deny = pick(2);
        l->rule.read = pick(8) > 0;
        make_filter(l->rule.filter, l->rule.pattern);
        struct acl_rule rule = {
            .actions =
                l->rule.read ? ACL_BIT(ACL_RECEIVE) | ACL_BIT(ACL_SUBSCRIBE) : ACL_BIT(ACL_PUBLISH),
            .allow = !l->rule.deny,
            .literal = l->rule.literal,
            .pattern = l->rule.pattern,
            .filter = slice_str(l->rule.filter),
        };
        cr_assert(acl_builder_rule(builder, l->list, &rule) == OK, "%s", l->rule.filter);
    }
    return count;
}

// All topics of up to four levels of these texts: more levels than a filter has, and one text that
// no filter has, so that what holds for these holds for all.
static const char *const alphabet[] = {"a", "b", "", "ab", "$S", "z", "xa", "ax"};
#define TOPICS (8 + 8 * 8 + 8 * 8 * 8 + 8 * 8 * 8 * 8 + 5 * 5 * 5 * 5 * 5)
static char (*topics)[64];
static unsigned topic_count;

static void
make_topics(void)
{
    topics = mem_alloc(TOPICS * sizeof *topics);
    for (unsigned depth = 1; depth <= 5; depth++) {
        unsigned base = depth < 5 ? 8 : 5, n = 1;
        for (unsigned i = 0; i < depth; i++)
            n *= base;
        for (unsigned k = 0; k < n; k++) {
            char *out = topics[topic_count];
            *out = '\0';
            for (unsigned i = 0, rest = k; i < depth; i++, rest /= base) {
                if (i > 0)
                    append(out, 64, "/");
                append(out, 64, alphabet[rest % base]);
            }
            topic_count += *out != '\0';
        }
    }
}

static bool
filter_matches(const char *filter, const char *topic)
{
    bool hidden = topic[0] == '$' && filter[0] != '$';
    return !hidden && model_matches(filter, topic);
}

Test(acl_random, what_is_said_of_a_filter_holds_for_its_topics, .timeout = 120)
{
    uint64_t seed = first_seed();
    unsigned seen[3] = {0}, exact[3] = {0};
    make_topics();
    for (unsigned round = 0; round < 1500; round++, seed++) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15);
        bool otherwise = pick(3) == 0;
        struct acl_builder *builder = acl_builder_new(otherwise ? ACL_ALL : 0);
        for (unsigned i = 0; i < 3; i++)
            (void)acl_builder_list(builder);
        struct listed rules[RULES_MAX];
        unsigned count = make_listed(rules, builder), lists = pick(4);
        uint32_t order[3] = {pick(3)};
        order[1] = (order[0] + 1) % 3;
        order[2] = (order[0] + 2) % 3;
        cr_assert(acl_builder_user(builder, slice_str("a"), order, lists) == OK);
        struct acl *acl = acl_builder_finish(builder);
        struct rights *rights = rights_new(acl, slice_str("a"), slice_str("b"));
        for (unsigned k = 0; k < 6; k++) {
            char filter[64];
            make_filter(filter, false);
            bool some = false, all = true;
            for (unsigned i = 0; i < topic_count; i++) {
                if (!filter_matches(filter, topics[i]))
                    continue;
                bool want = model_first(rules, count, order, lists, topics[i], otherwise);
                some |= want;
                all &= want;
                if (i % 16 == k)
                    cr_assert(rights_allow(rights, ACL_RECEIVE, slice_str(topics[i])) == want,
                              "SEED=%llu %s", (unsigned long long)seed, topics[i]);
            }
            enum acl_cover cover = rights_cover(rights, ACL_RECEIVE, slice_str(filter));
            cr_assert(cover != ACL_COVERS_ALL || all, "SEED=%llu %s: all", (unsigned long long)seed,
                      filter);
            cr_assert(cover != ACL_COVERS_NOTHING || !some, "SEED=%llu %s: nothing",
                      (unsigned long long)seed, filter);
            seen[cover]++;
            exact[all ? ACL_COVERS_ALL : some ? ACL_COVERS_SOME : ACL_COVERS_NOTHING]++;
        }
        rights_free(rights);
        acl_unref(acl);
    }
    mem_free(topics);
    // It may be unsure, but not of most.
    cr_assert(seen[ACL_COVERS_ALL] * 10 > exact[ACL_COVERS_ALL] * 8, "%u of %u",
              seen[ACL_COVERS_ALL], exact[ACL_COVERS_ALL]);
    cr_assert(seen[ACL_COVERS_NOTHING] * 10 > exact[ACL_COVERS_NOTHING] * 8, "%u of %u",
              seen[ACL_COVERS_NOTHING], exact[ACL_COVERS_NOTHING]);
}

// One rule alone leaves no doubt: what is said of it is exact, of topics and of filters to
// subscribe.
Test(acl_random, one_rule_is_told_exactly, .timeout = 120)
{
    uint64_t seed = first_seed();
    make_topics();
    for (unsigned round = 0; round < 3000; round++, seed++) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct model_rule rule = {.pattern = pick(4) == 0, .deny = pick(2)};
        do // but for this one, whose shortest topic would be empty, which none is
            make_filter(rule.filter, rule.pattern);
        while (strcmp(rule.filter, "/#") == 0);
        struct acl_builder *builder = acl_builder_new(rule.deny ? ACL_ALL : 0);
        uint32_t list = acl_builder_list(builder);
        struct acl_rule given = {.actions = ACL_ALL,
                                 .allow = !rule.deny,
                                 .pattern = rule.pattern,
                                 .filter = slice_str(rule.filter)};
        cr_assert(acl_builder_rule(builder, list, &given) == OK);
        cr_assert(acl_builder_others(builder, &list, 1) == OK);
        struct acl *acl = acl_builder_finish(builder);
        struct rights *rights = rights_new(acl, slice_str("a"), slice_str("b"));
        char filter[64];
        do
            make_filter(filter, false);
        while (strcmp(filter, "/#") == 0);
        bool some = false, all = true; // of the filter's topics are matched by the rule
        for (unsigned i = 0; i < topic_count; i++) {
            if (!filter_matches(filter, topics[i]))
                continue;
            bool matches = model_rule_matches(&rule, "a", "b", topics[i]);
            some |= matches;
            all &= matches;
        }
        enum acl_cover want = all == some && all != rule.deny ? ACL_COVERS_ALL
                              : all == some                   ? ACL_COVERS_NOTHING
                                                              : ACL_COVERS_SOME;
        cr_assert(rights_cover(rights, ACL_RECEIVE, slice_str(filter)) == want,
                  "SEED=%llu %s of %s", (unsigned long long)seed, filter, rule.filter);
        bool may_subscribe = rule.deny ? !some : all;
        cr_assert(rights_allow_filter(rights, ACL_SUBSCRIBE, slice_str(filter)) == may_subscribe,
                  "SEED=%llu %s of %s", (unsigned long long)seed, filter, rule.filter);
        rights_free(rights);
        acl_unref(acl);
    }
    mem_free(topics);
}
