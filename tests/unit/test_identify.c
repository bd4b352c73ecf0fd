// test_identify.c - who a client is, where a certificate or a pre-shared key says it.
#include <criterion/criterion.h>

#include "core/client_handlers.h"
#include "core/config.h"

static struct listener_config listener;
static struct connect_view view;

static err_t
identify(const char *name, const char *user, const char *client_id)
{
    memset(&view, 0, sizeof view);
    view.has_user = user != NULL;
    view.user = user ? slice_str(user) : slice_of(NULL, 0);
    view.client_id = slice_str(client_id);
    return client_identify(&listener, name, &view);
}

static bool
is(struct slice got, const char *want)
{
    return got.len == strlen(want) && memcmp(got.data, want, got.len) == 0;
}

Test(identify, without_a_key_for_it_the_client_says_who_it_is)
{
    cr_assert_eq(identify("sensor-1", "me", "id"), OK);
    cr_assert(is(view.user, "me") && is(view.client_id, "id"));
    cr_assert_eq(identify(NULL, NULL, ""), OK);
    cr_assert_not(view.has_user);
}

Test(identify, the_certificates_name_replaces_the_clients)
{
    listener.entry.use_identity_as_username = true;
    cr_assert_eq(identify("sensor-1", "root", "id"), OK);
    cr_assert(view.has_user && is(view.user, "sensor-1") && is(view.client_id, "id"));
    listener.entry.use_username_as_clientid = true;
    cr_assert_eq(identify("sensor-1", NULL, "other"), OK);
    cr_assert(is(view.client_id, "sensor-1"));
}

Test(identify, who_has_no_good_name_is_refused)
{
    static const char *const bad[] = {NULL, "", "#", "a/b", "+", "a\xff", "\xed\xa0\x80"};
    for (int subject = 0; subject <= 1; subject++) {
        listener.entry.use_identity_as_username = !subject;
        listener.entry.use_subject_as_username = subject;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
            cr_assert_eq(identify(bad[i], "admin", "id"), ERR_NOT_AUTHORIZED, "%zu", i);
    }
}

Test(identify, user_names_as_client_identifiers_need_one)
{
    listener.entry.use_username_as_clientid = true;
    cr_assert_eq(identify(NULL, "me", "other"), OK);
    cr_assert(is(view.client_id, "me"));
    cr_assert_eq(identify(NULL, NULL, "other"), ERR_NOT_AUTHORIZED);
    cr_assert_eq(identify(NULL, "", "other"), ERR_NOT_AUTHORIZED);
}
