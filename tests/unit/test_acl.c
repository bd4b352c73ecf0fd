// test_acl.c - who may do what, by ACL files and by rules in lists.
#include "tests/unit/test_acl.h"

#include <stdio.h>

#include "core/base/mem.h"

#include "core/topic.h"

// ---- The file -----------------------------------------------------------------------------------

Test(acl, each_user_has_the_lines_below_its_name)
{
    struct acl *acl = acl_of("topic read open/#\n"
                             "# the gardener\n"
                             "user the gardener\n"
                             "topic garden/#\n"
                             "topic read house/+/light\r\n"
                             "topic write  house/bell\n"
                             "\n"
                             "user cat\n"
                             "topic read house/door\n"
                             "user the gardener\n"
                             "topic read again");
    cr_assert(may_read(acl, NULL, "c", "open/a") && !may_write(acl, NULL, "c", "open/a"));
    cr_assert(!may_read(acl, NULL, "c", "garden/a"));
    const char *gardener = "the gardener";
    cr_assert(!may_read(acl, gardener, "c", "open/a"), "lines before users are for nobody's name");
    cr_assert(may_read(acl, gardener, "c", "garden") &&
              may_write(acl, gardener, "c", "garden/a/b"));
    cr_assert(may_read(acl, gardener, "c", "house/1/light"));
    cr_assert(!may_write(acl, gardener, "c", "house/1/light"));
    cr_assert(!may_read(acl, gardener, "c", "house/1/light/x"));
    cr_assert(may_write(acl, gardener, "c", "house/bell"));
    cr_assert(!may_read(acl, gardener, "c", "house/bell"));
    cr_assert(may_read(acl, gardener, "c", "again"), "a second section adds to the first");
    cr_assert(may_read(acl, "cat", "c", "house/door") && !may_read(acl, "cat", "c", "again"));
    cr_assert(!may_read(acl, "stranger", "c", "open/a"));
    cr_assert(!may_read(acl, "", "c", "open/a"), "an empty name is no absent one (G06)");
    acl_unref(acl);
}

Test(acl, denies_come_first_wherever_they_stand)
{
    struct acl *acl = acl_of("user u\n"
                             "topic readwrite a/#\n"
                             "pattern read all/#\n"
                             "topic deny a/secret/#\n"
                             "pattern deny all/secret\n"
                             "topic read all/secret/mine\n"
                             "topic deny all/x\n");
    cr_assert(may_read(acl, "u", "c", "a/b") && may_write(acl, "u", "c", "a/b"));
    cr_assert(!may_read(acl, "u", "c", "a/secret") && !may_write(acl, "u", "c", "a/secret/b"));
    cr_assert(may_read(acl, "u", "c", "all/y") && may_read(acl, "v", "c", "all/y"));
    cr_assert(!may_read(acl, "u", "c", "all/secret") && !may_read(acl, NULL, "c", "all/secret"));
    cr_assert(may_read(acl, "u", "c", "all/secret/mine"), "the user's come before all patterns");
    cr_assert(!may_read(acl, "u", "c", "all/x") && may_read(acl, "v", "c", "all/x"));
    acl_unref(acl);
}

Test(acl, a_rule_that_grants_the_other_direction_decides_nothing)
{
    struct acl *acl = acl_of("topic read a\ntopic write a\ntopic write b\npattern read b\n");
    cr_assert(may_read(acl, NULL, "c", "a") && may_write(acl, NULL, "c", "a"));
    cr_assert(may_read(acl, NULL, "c", "b") && may_write(acl, NULL, "c", "b"));
    acl_unref(acl);
}

Test(acl, topics_with_a_dollar_match_only_rules_with_one)
{
    struct acl *acl = acl_of("topic #\ntopic +/b\npattern +/c\npattern %u/#\nuser $SYS\n"
                             "user s\ntopic read $SYS/#\ntopic $x/y\ntopic deny #\n");
    cr_assert(may_read(acl, NULL, "c", "a") && !may_read(acl, NULL, "c", "$SYS/broker/uptime"));
    cr_assert(!may_read(acl, NULL, "c", "$a/b") && !may_read(acl, NULL, "c", "$a/c"));
    cr_assert(may_read(acl, "s", "c", "$SYS/broker") && !may_write(acl, "s", "c", "$SYS/broker"));
    cr_assert(may_read(acl, "s", "c", "$SYS") && may_write(acl, "s", "c", "$x/y"));
    cr_assert(!may_read(acl, "s", "c", "a"));
    cr_assert(!may_read(acl, "$SYS", "c", "$SYS/broker"), "nor by a placeholder");
    acl_unref(acl);
}

Test(acl, placeholders_stand_anywhere_in_a_level)
{
    struct acl *acl = acl_of("pattern dev/%u/#\npattern read in/x-%u-%c/+\npattern write %c\n"
                             "topic literal/%u\n");
    cr_assert(may_read(acl, "ann", "c1", "dev/ann") && may_read(acl, "ann", "c1", "dev/ann/x"));
    cr_assert(!may_read(acl, "ann", "c1", "dev/annx/x") && !may_read(acl, "ann", "c1", "dev/an"));
    cr_assert(may_read(acl, "ann", "c1", "in/x-ann-c1/z") &&
              !may_read(acl, "ann", "c1", "in/x-ann-c2/z"));
    cr_assert(!may_read(acl, "ann", "c1", "in/x-ann-c1"));
    cr_assert(may_write(acl, NULL, "c1", "c1") && !may_write(acl, NULL, "c1", "c2"));
    cr_assert(may_read(acl, NULL, "c", "literal/%u") && !may_read(acl, "bob", "c", "literal/bob"));
    acl_unref(acl);
}

// G01, G02, G04: nobody gets at others' topics by the name he chooses.
Test(acl, names_open_no_others_doors)
{
    struct acl *acl = acl_of("pattern readwrite dev/%u/#\npattern readwrite id/%c/data\n"
                             "pattern deny private/%u/#\npattern read private/#\n");
    static const char *const names[] = {"+",     "#",  "a+", "a/#",       "+/+", "/",
                                        "ann/x", "",   ".*", "ann|bob",   "^",   "$",
                                        "[a-z]", "%u", "%c", "ann/../bob"};
    static const char *const topics[] = {"dev/ann/x", "dev/bob",     "dev/ann",     "dev//x",
                                         "dev",       "id/ann/data", "id/bob/data", "id/c/data",
                                         "dev/a/x",   "dev/x"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        const char *id = *names[i] ? names[i] : "c";
        for (unsigned k = 0; k < ARRAY_LEN(topics); k++) {
            bool own = strcmp(topics[k], "id/c/data") == 0 && strcmp(id, "c") == 0;
            cr_assert(may_read(acl, names[i], id, topics[k]) == own, "%s %s", names[i], topics[k]);
            cr_assert(may_write(acl, names[i], id, topics[k]) == own, "%s %s", names[i], topics[k]);
        }
        cr_assert(cover_of(acl, names[i], id, "dev/+/x") != ACL_COVERS_ALL, "%s", names[i]);
        cr_assert(cover_of(acl, names[i], id, "dev/#") != ACL_COVERS_ALL, "%s", names[i]);
        cr_assert(cover_of(acl, names[i], id, "id/+/data") != ACL_COVERS_ALL, "%s", names[i]);
    }
    cr_assert(may_read(acl, ".*", "c", "dev/.*/x"), "a name means itself");
    cr_assert(!may_read(acl, "ann/x", "c", "private/ann/x/1"), "a rule that denies holds");
    cr_assert(may_read(acl, "ann/x", "c", "private/ann/y"));
    acl_unref(acl);
}

// G03
Test(acl, a_rule_with_a_user_name_says_nothing_to_who_has_none)
{
    struct acl *acl = acl_of("pattern readwrite dev/%u/#\npattern deny %u\npattern read x%u/a\n");
    cr_assert(!may_read(acl, NULL, "c", "dev//a") && !may_read(acl, NULL, "c", "dev/%u/a"));
    cr_assert(!may_read(acl, NULL, "c", "x/a") && !may_read(acl, "", "c", "x/a"));
    cr_assert(cover_of(acl, NULL, "c", "dev/#") == ACL_COVERS_NOTHING);
    acl_unref(acl);
}

// G07
Test(acl, an_empty_file_denies_all)
{
    static const char *const texts[] = {"", "\n", "# nothing\n", "   \n#topic #\n", "user a\n"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        struct acl *acl = acl_of(texts[i]);
        cr_assert(!may_read(acl, NULL, "c", "a") && !may_write(acl, "a", "c", "a"));
        cr_assert(!may_read(acl, "a", "c", "$SYS/a"));
        cr_assert(cover_of(acl, "a", "c", "#") == ACL_COVERS_NOTHING);
        struct rights *rights = rights_new(acl, slice_str("a"), slice_str("c"));
        cr_assert(rights_allow_filter(rights, ACL_SUBSCRIBE, slice_str("a/#")));
        cr_assert(rights_allow_filter(rights, ACL_UNSUBSCRIBE, slice_str("a/#")));
        rights_free(rights);
        acl_unref(acl);
    }
}

Test(acl, bad_lines_are_named)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"topic read a\n\ntopics b\n",
         "f:3: line \"topics b\"; expected \"user\", \"topic\" or \"pattern\""},
        {"topic\n", "f:1: no topic; expected [read|write|readwrite|deny] FILTER"},
        {"pattern \n", "f:1: no topic; expected [read|write|readwrite|deny] FILTER"},
        {"user\n", "f:1: no name; expected \"user NAME\""},
        {"user a\ntopic reed b\n", "f:2: access \"reed\"; expected read, write, readwrite or deny"},
        {"topic a b\n", "f:1: access \"a\"; expected read, write, readwrite or deny"},
        {"topic read a/#/b\n", "f:1: topic filter \"a/#/b\"; expected \"+\" and \"#\" as whole "
                               "levels, \"#\" as the last"},
        {"topic a+\n",
         "f:1: topic filter \"a+\"; expected \"+\" and \"#\" as whole levels, \"#\" as the last"},
        {"topic a\ntopic read b#\ntopic deny c#",
         "f:2: topic filter \"b#\"; expected \"+\" and \"#\" as whole levels, \"#\" as the last"},
        {"topic \x80\n", "f:1: not UTF-8; expected text"},
        {"Topic a\x01\n", "f:1: line \"Topic a?\"; expected \"user\", \"topic\" or \"pattern\""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct acl *acl = NULL;
        char problem[256] = "";
        cr_assert(acl_parse("f", slice_str(cases[i].text), &acl, problem, sizeof problem) ==
                  ERR_CONFIG);
        cr_assert_str_eq(problem, cases[i].problem);
        cr_assert_null(acl);
    }
    struct acl *acl = NULL;
    char problem[256];
    static const char zero[] = "topic a\0b\n";
    cr_assert(acl_parse("f", slice_of(zero, sizeof zero - 1), &acl, problem, sizeof problem) ==
              ERR_CONFIG);
}

Test(acl, words_of_the_file_are_topics_too)
{
    struct acl *acl = acl_of("topic read\ntopic deny deny\ntopic write a b/c d\n");
    cr_assert(may_read(acl, NULL, "c", "read") && may_write(acl, NULL, "c", "read"));
    cr_assert(!may_read(acl, NULL, "c", "deny"));
    cr_assert(may_write(acl, NULL, "c", "a b/c d") && !may_read(acl, NULL, "c", "a b/c d"));
    acl_unref(acl);
}

// ---- Lists --------------------------------------------------------------------------------------

static void
add(struct acl_builder *builder, uint32_t list, uint8_t actions, bool allow, const char *filter)
{
    struct acl_rule rule = {.actions = actions, .allow = allow, .filter = slice_str(filter)};
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
}

Test(acl, the_first_rule_of_the_first_list_decides)
{
    struct acl_builder *builder = acl_builder_new(ACL_BIT(ACL_RECEIVE));
    uint32_t strict = acl_builder_list(builder), lax = acl_builder_list(builder);
    add(builder, lax, ACL_BIT(ACL_PUBLISH), true, "#");
    add(builder, strict, ACL_BIT(ACL_PUBLISH), true, "a/+");
    add(builder, strict, ACL_BIT(ACL_PUBLISH), false, "a/b");
    add(builder, strict, ACL_BIT(ACL_PUBLISH), false, "b/#");
    add(builder, strict, ACL_BIT(ACL_PUBLISH), true, "b/c");
    add(builder, strict, ACL_BIT(ACL_RECEIVE), false, "r");
    const uint32_t both[] = {strict, lax}, turned[] = {lax, strict};
    cr_assert(acl_builder_user(builder, slice_str("a"), turned, 2) == OK);
    cr_assert(acl_builder_user(builder, slice_str("a"), both, 2) == OK, "the last call holds");
    cr_assert(acl_builder_user(builder, slice_str("b"), turned, 2) == OK);
    cr_assert(acl_builder_others(builder, &strict, 1) == OK);
    struct acl *acl = acl_builder_finish(builder);
    cr_assert(may_write(acl, "a", "c", "a/b"), "before the one that denies");
    cr_assert(!may_write(acl, "a", "c", "b/c"));
    cr_assert(may_write(acl, "a", "c", "x") && !may_write(acl, "o", "c", "x"));
    cr_assert(may_write(acl, "b", "c", "b/c"));
    cr_assert(may_read(acl, "b", "c", "x") && !may_read(acl, "b", "c", "r"));
    cr_assert(may_read(acl, NULL, "c", "r"), "without lists there is the default");
    acl_unref(acl);
}

Test(acl, literal_rules_mean_their_text)
{
    struct acl_builder *builder = acl_builder_new(0);
    uint32_t list = acl_builder_list(builder);
    struct acl_rule rule = {.actions = ACL_ALL, .allow = true, .literal = true};
    static const char *const filters[] = {"a/#", "+/b", "c"};
    for (unsigned i = 0; i < ARRAY_LEN(filters); i++) {
        rule.filter = slice_str(filters[i]);
        cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    }
    rule.pattern = true;
    rule.filter = slice_str("u/%u/+");
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    cr_assert(acl_builder_others(builder, &list, 1) == OK);
    struct acl *acl = acl_builder_finish(builder);
    cr_assert(!may_write(acl, "n", "i", "a/b") && !may_write(acl, "n", "i", "x/b"));
    cr_assert(may_write(acl, "n", "i", "c"));
    struct rights *rights = rights_new(acl, slice_str("n"), slice_str("i"));
    static const struct {
        const char *filter;
        bool allowed;
    } asked[] = {{"a/#", true}, {"a/b", false},  {"a/+", false},   {"+/b", true},   {"x/b", false},
                 {"c", true},   {"u/n/+", true}, {"u/n/a", false}, {"u/m/+", false}};
    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        struct slice filter = slice_str(asked[i].filter);
        cr_assert(rights_allow_filter(rights, ACL_SUBSCRIBE, filter) == asked[i].allowed, "%s",
                  asked[i].filter);
    }
    cr_assert(rights_cover(rights, ACL_RECEIVE, slice_str("a/#")) == ACL_COVERS_NOTHING);
    cr_assert(rights_cover(rights, ACL_RECEIVE, slice_str("c")) == ACL_COVERS_ALL);
    rights_free(rights);
    acl_unref(acl);
}

Test(acl, filters_are_allowed_where_all_of_them_is)
{
    struct acl_builder *builder = acl_builder_new(0);
    uint32_t list = acl_builder_list(builder);
    add(builder, list, ACL_BIT(ACL_SUBSCRIBE), false, "a/secret/#");
    add(builder, list, ACL_BIT(ACL_SUBSCRIBE), true, "a/#");
    add(builder, list, ACL_BIT(ACL_SUBSCRIBE), true, "+/open");
    add(builder, list, ACL_BIT(ACL_UNSUBSCRIBE), true, "#");
    cr_assert(acl_builder_others(builder, &list, 1) == OK);
    struct acl *acl = acl_builder_finish(builder);
    struct rights *rights = rights_new(acl, slice_str("n"), slice_str("i"));
    static const struct {
        const char *filter;
        bool allowed;
    } asked[] = {{"a/b", true},       {"a/b/#", true},    {"a/+/x", false}, {"a/#", false},
                 {"a/secret", false}, {"a", true},        {"+/open", true}, {"b/open", true},
                 {"#", false},        {"$x/open", false}, {"b/+", false}};
    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        struct slice filter = slice_str(asked[i].filter);
        cr_assert(rights_allow_filter(rights, ACL_SUBSCRIBE, filter) == asked[i].allowed, "%s",
                  asked[i].filter);
    }
    cr_assert(rights_allow_filter(rights, ACL_UNSUBSCRIBE, slice_str("+/x/#")));
    cr_assert(!rights_allow_filter(rights, ACL_UNSUBSCRIBE, slice_str("$SYS/#")));
    cr_assert(rights_allow_filter(NULL, ACL_SUBSCRIBE, slice_str("#")));
    rights_free(rights);
    acl_unref(acl);
}

Test(acl, what_rules_say_of_whole_filters)
{
    static const struct {
        const char *rules, *filter;
        enum acl_cover cover;
    } cases[] = {
        {"topic a/#", "a", ACL_COVERS_ALL},
        {"topic a/#", "a/+", ACL_COVERS_ALL},
        {"topic a/+", "a/#", ACL_COVERS_SOME},
        {"topic a", "a/#", ACL_COVERS_SOME},
        {"topic a/b", "b/#", ACL_COVERS_NOTHING},
        {"topic #", "#", ACL_COVERS_ALL},
        {"topic +/#", "#", ACL_COVERS_ALL},
        {"topic #", "+/#", ACL_COVERS_ALL},
        {"topic #", "$SYS/#", ACL_COVERS_NOTHING},
        {"topic $SYS/#", "#", ACL_COVERS_NOTHING},
        {"topic $SYS/#", "$SYS/broker/+", ACL_COVERS_ALL},
        {"topic +/b", "$x/b", ACL_COVERS_NOTHING},
        {"topic +/b", "a/b", ACL_COVERS_ALL},
        {"topic +/b", "+/+", ACL_COVERS_SOME},
        {"topic +/b", "+/b/#", ACL_COVERS_SOME},
        {"topic #\ntopic deny a", "+", ACL_COVERS_SOME},
        {"topic #\ntopic deny a", "a/#", ACL_COVERS_SOME},
        {"topic #\ntopic deny a", "a/+", ACL_COVERS_ALL},
        {"topic #\ntopic deny a/#", "a/+", ACL_COVERS_NOTHING},
        {"topic #\ntopic deny a/#", "b/#", ACL_COVERS_ALL},
        {"topic write #", "#", ACL_COVERS_NOTHING},
        {"pattern dev/%u/#", "dev/me/+", ACL_COVERS_ALL},
        {"pattern dev/%u/#", "dev/you/+", ACL_COVERS_NOTHING},
        {"pattern dev/%u/#", "dev/+/x", ACL_COVERS_SOME},
        {"pattern x%c/#", "xid/#", ACL_COVERS_ALL},
        {"topic a/#", "#", ACL_COVERS_SOME}, // G20
        {"topic a/#", "+/+", ACL_COVERS_SOME},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "user me\n%s\n", cases[i].rules);
        struct acl *acl = acl_of(text);
        cr_assert(cover_of(acl, "me", "id", cases[i].filter) == cases[i].cover, "%s of %s",
                  cases[i].filter, cases[i].rules);
        acl_unref(acl);
    }
    cr_assert(rights_cover(NULL, ACL_RECEIVE, slice_str("#")) == ACL_COVERS_ALL);
}

// ---- Bounds -------------------------------------------------------------------------------------

Test(acl, bad_filters_and_too_many_lists_are_refused)
{
    struct acl_builder *builder = acl_builder_new(0);
    uint32_t list = acl_builder_list(builder);
    struct acl_rule rule = {.actions = ACL_ALL, .allow = true, .filter = slice_str("a/#b")};
    cr_assert(acl_builder_rule(builder, list, &rule) == ERR_TOPIC_FILTER_INVALID);
    static uint32_t many[ACL_LISTS_MAX + 1];
    cr_assert(acl_builder_user(builder, slice_str("u"), many, ACL_LISTS_MAX + 1) == ERR_FULL);
    cr_assert(acl_builder_others(builder, many, ACL_LISTS_MAX + 1) == ERR_FULL);
    cr_assert(acl_builder_user(builder, slice_str("u"), many, ACL_LISTS_MAX) == OK);
    acl_builder_free(builder);
    acl_builder_free(NULL);
    acl_unref(NULL);
    rights_free(NULL);
    cr_assert_null(acl_ref(NULL));
    cr_assert(rights_allow(NULL, ACL_PUBLISH, slice_str("a")));
    cr_assert_null(rights_acl(NULL));
}

Test(acl, many_rules_and_users_are_all_found)
{
    enum { MANY = 5000 };
    struct acl_builder *builder = acl_builder_new(0);
    uint32_t big = acl_builder_list(builder);
    char text[64];
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof text,
                       i % 2 ? "one/two/%u/#" : "one/two/three/four/five/six/seven/%u/+/end", i);
        add(builder, big, ACL_ALL, true, text);
        uint32_t own = acl_builder_list(builder);
        (void)snprintf(text, sizeof text, "own/%u", i);
        add(builder, own, ACL_ALL, true, text);
        (void)snprintf(text, sizeof text, "user%u", i);
        const uint32_t lists[] = {own, big};
        cr_assert(acl_builder_user(builder, slice_str(text), lists, 2) == OK);
    }
    struct acl *acl = acl_builder_finish(builder);
    for (uint32_t i = 0; i < MANY; i += 7) {
        char user[32], topic[80];
        (void)snprintf(user, sizeof user, "user%u", i);
        (void)snprintf(topic, sizeof topic,
                       i % 2 ? "one/two/%u/x" : "one/two/three/four/five/six/seven/%u/x/end", i);
        cr_assert(may_write(acl, user, "c", topic), "%s", topic);
        (void)snprintf(topic, sizeof topic, "own/%u", i);
        cr_assert(may_write(acl, user, "c", topic));
        (void)snprintf(topic, sizeof topic, "own/%u", i + 1);
        cr_assert(!may_write(acl, user, "c", topic));
        cr_assert(!may_write(acl, "user", "c", topic));
    }
    acl_unref(acl);
}

Test(acl, long_topics_and_deep_rules)
{
    uint8_t *deep = mem_alloc(TOPIC_BYTES_MAX);
    for (uint32_t i = 0; i < 2 * TOPIC_LEVELS_MAX - 1; i++)
        deep[i] = i % 2 ? '/' : 'a';
    struct acl_builder *builder = acl_builder_new(0);
    uint32_t list = acl_builder_list(builder);
    struct acl_rule rule = {
        .actions = ACL_ALL, .allow = true, .filter = slice_of(deep, 2 * TOPIC_LEVELS_MAX - 1)};
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    deep[2 * TOPIC_LEVELS_MAX - 2] = '+';
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    deep[2 * TOPIC_LEVELS_MAX - 2] = 'b';
    cr_assert(acl_builder_others(builder, &list, 1) == OK);
    struct acl *acl = acl_builder_finish(builder);
    struct rights *rights = rights_new(acl, slice_str("u"), slice_str("c"));
    cr_assert(rights_allow(rights, ACL_PUBLISH, slice_of(deep, 2 * TOPIC_LEVELS_MAX - 1)));
    cr_assert(!rights_allow(rights, ACL_PUBLISH, slice_of(deep, 2 * TOPIC_LEVELS_MAX - 3)));
    memset(deep, 'x', TOPIC_BYTES_MAX);
    cr_assert(!rights_allow(rights, ACL_PUBLISH, slice_of(deep, TOPIC_BYTES_MAX)));
    rights_free(rights);
    acl_unref(acl);
    mem_free(deep);
}

// More topics than are remembered, in turns, and some that are too long to be.
Test(acl, what_is_remembered_is_what_was_decided)
{
    struct acl *acl = acl_of("topic read a/+/x\ntopic write a/+/y\n");
    struct rights *rights = rights_new(acl, (struct slice){0}, slice_str("c"));
    char topic[512];
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t number = i * 2654435761u >> 20 & 63;
        bool x = number & 1;
        uint32_t width = number % 5 == 0 ? 300 : number % 3;
        (void)snprintf(topic, sizeof topic, "a/%0*u/%c", (int)width, number, x ? 'x' : 'y');
        cr_assert(rights_allow(rights, ACL_RECEIVE, slice_str(topic)) == x, "%s", topic);
        cr_assert(rights_allow(rights, ACL_PUBLISH, slice_str(topic)) == !x, "%s", topic);
    }
    rights_free(rights);
    acl_unref(acl);
}

// In any order of questions the reason says what is decided.
Test(acl, a_reason_is_what_decides)
{
    struct acl *acl = acl_of("topic read open\nuser eve\ntopic deny a/b\n\ntopic a/#\n"
                             "pattern write home/%c/+\n");
    struct rights *rights = rights_new(acl, slice_str("eve"), slice_str("lamp"));
    static const struct {
        enum acl_action action;
        const char *text, *filter;
        uint32_t line;
        bool allowed;
    } cases[] = {
        {ACL_PUBLISH, "a/b", "a/b", 3, false},
        {ACL_PUBLISH, "a/c", "a/#", 5, true},
        {ACL_RECEIVE, "a", "a/#", 5, true},
        {ACL_PUBLISH, "home/lamp/x", "home/%c/+", 6, true},
        {ACL_RECEIVE, "home/lamp/x", NULL, 0, false},
        {ACL_RECEIVE, "open", NULL, 0, false}, // that is for clients without a name
        {ACL_SUBSCRIBE, "a/+", NULL, 0, true},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct acl_reason reason;
        struct slice text = slice_str(cases[i].text);
        rights_explain(rights, cases[i].action, text, &reason);
        cr_assert_eq(reason.allowed, cases[i].allowed, "%s", cases[i].text);
        cr_assert_eq(reason.by_rule, cases[i].filter != NULL, "%s", cases[i].text);
        cr_assert_eq(reason.line, cases[i].line, "%s: line %u", cases[i].text, reason.line);
        if (cases[i].filter) {
            cr_assert(slice_equal(reason.filter, slice_str(cases[i].filter)));
            cr_assert_str_eq(reason.file, "acl");
            cr_assert_null(reason.role);
        }
        if (cases[i].action <= ACL_RECEIVE)
            cr_assert_eq(rights_allow(rights, cases[i].action, text), reason.allowed);
    }
    rights_free(rights);
    acl_unref(acl);
}
