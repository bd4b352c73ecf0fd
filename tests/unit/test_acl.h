// test_acl.h - an ACL file from text, and questions about it in a line each.
//
// Job:    what the tests of acl share. Owner: none. Thread: one. Memory: the test's. Limits: none.
#ifndef TERN_TESTS_UNIT_TEST_ACL_H
#define TERN_TESTS_UNIT_TEST_ACL_H

#include <criterion/criterion.h>

#include "core/acl.h"

static inline struct acl *
acl_of(const char *text)
{
    struct acl *acl = NULL;
    char problem[256] = "";
    err_t err = acl_parse("acl", slice_str(text), &acl, problem, sizeof problem);
    cr_assert(err == OK, "%s", problem);
    return acl;
}

static inline struct slice
name_of(const char *name)
{
    return name ? slice_str(name) : (struct slice){0};
}

// Of somebody new, and of somebody who has been asked before: always the same.
static inline bool
may(struct acl *acl, const char *user, const char *id, enum acl_action action, const char *topic)
{
    struct rights *rights = rights_new(acl, name_of(user), slice_str(id));
    bool first = rights_allow(rights, action, slice_str(topic));
    bool again = rights_allow(rights, action, slice_str(topic));
    bool away = acl_allows(acl, name_of(user), slice_str(id), action, slice_str(topic));
    rights_free(rights);
    cr_assert(first == again && first == away, "%s", topic);
    return first;
}

static inline bool
may_read(struct acl *acl, const char *user, const char *id, const char *topic)
{
    return may(acl, user, id, ACL_RECEIVE, topic);
}

static inline bool
may_write(struct acl *acl, const char *user, const char *id, const char *topic)
{
    return may(acl, user, id, ACL_PUBLISH, topic);
}

static inline enum acl_cover
cover_of(struct acl *acl, const char *user, const char *id, const char *filter)
{
    struct rights *rights = rights_new(acl, name_of(user), slice_str(id));
    enum acl_cover cover = rights_cover(rights, ACL_RECEIVE, slice_str(filter));
    rights_free(rights);
    return cover;
}

#endif
