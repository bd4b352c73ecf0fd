// fuzz_acl.c - any bytes as an ACL file, any names, topics and filters asked about.
//
// The input: file, user name, client identifier, then topics and filters, each ended by a zero
// byte.
#include "core/base/utf8.h"

#include "core/acl.h"
#include "core/topic.h"

static struct slice
next_text(struct slice *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->data, 0, rest->len) : NULL;
    struct slice text = slice_of(rest->data, end ? (size_t)(end - rest->data) : rest->len);
    uint32_t used = text.len + (end ? 1 : 0);
    *rest = slice_of(rest->data + used, rest->len - used);
    return text;
}

static void
ask(struct acl *acl, struct rights *rights, struct slice user, struct slice id, struct slice text)
{
    if (topic_name_check(text) == OK) {
        bool may = rights_allow(rights, ACL_RECEIVE, text);
        must(may == rights_allow(rights, ACL_RECEIVE, text));
        must(may == acl_allows(acl, user, id, ACL_RECEIVE, text));
        // A topic is a filter that matches itself alone.
        enum acl_cover cover = rights_cover(rights, ACL_RECEIVE, text);
        must(cover != (may ? ACL_COVERS_NOTHING : ACL_COVERS_ALL));
        (void)rights_allow(rights, ACL_PUBLISH, text);
    }
    if (topic_filter_check(text) == OK) {
        (void)rights_cover(rights, ACL_PUBLISH, text);
        must(rights_allow_filter(rights, ACL_SUBSCRIBE, text)); // a file has no rules for it
        must(rights_allow_filter(rights, ACL_UNSUBSCRIBE, text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), file = next_text(&rest);
    struct slice user = next_text(&rest), id = next_text(&rest);
    struct acl *acl = NULL;
    char problem[200];
    if (acl_parse("file", file, &acl, problem, sizeof problem) != OK) {
        must(acl == NULL && memcmp(problem, "file:", 5) == 0);
        must(strlen(problem) < sizeof problem);
        return 0;
    }
    if (user.len == 0)
        user.data = NULL;
    if (id.len == 0) // nobody has none
        id = slice_str("c");
    struct rights *rights = rights_new(acl, user, id);
    for (uint32_t i = 0; rest.len > 0 && i < 32; i++)
        ask(acl, rights, user, id, next_text(&rest));
    rights_free(rights);
    acl_unref(acl);
    return 0;
}
