// test_registry.c - sessions by client identifier.
#include "core/registry.h"
#include "tests/sim/expect.h"

enum { MANY = 10000 };

static struct registry *registry;
static struct session sessions[MANY];
static char ids[MANY][8];

static struct session *
make(unsigned i, uint32_t hash)
{
    struct session *session = &sessions[i];
    (void)snprintf(ids[i], sizeof ids[i], "%u", i);
    *session = (struct session){.id = ids[i], .id_len = (uint32_t)strlen(ids[i]), .hash = hash};
    return session;
}

static void
set_up(void)
{
    registry = registry_new(&(struct hash_key){1, 2});
}

TestSuite(registry, .init = set_up);

Test(registry, finds_each_of_many_and_no_other)
{
    for (unsigned i = 0; i < MANY; i++) {
        struct session *session = make(i, 0);
        session->hash = registry_hash(registry, session_id(session));
        cr_assert_null(registry_find(registry, session_id(session), session->hash));
        registry_add(registry, session);
    }
    cr_assert_eq(registry_count(registry), MANY);
    for (unsigned i = 0; i < MANY; i += 2)
        registry_remove(registry, &sessions[i]);
    for (unsigned i = 0; i < MANY; i++) {
        struct session *found = registry_find(registry, session_id(&sessions[i]), sessions[i].hash);
        cr_assert_eq(found, i % 2 ? &sessions[i] : NULL);
    }
    for (unsigned i = 1; i < MANY; i += 2)
        registry_remove(registry, &sessions[i]);
    cr_assert_eq(registry_count(registry), 0);
    registry_free(registry);
}

Test(registry, identifiers_with_one_hash_are_still_different)
{
    for (unsigned i = 0; i < 200; i++)
        registry_add(registry, make(i, 77));
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(registry_find(registry, slice_str(ids[i]), 77), &sessions[i]);
    cr_assert_null(registry_find(registry, slice_str("200"), 77));
    cr_assert_null(registry_find(registry, slice_str("1"), 78), "and one text has one hash");
    for (unsigned i = 0; i < 200; i++)
        registry_remove(registry, &sessions[i]);
    registry_free(registry);
    registry_free(NULL);
}

Test(registry, a_zero_byte_is_a_byte)
{
    struct session a = {.id = (char[]){'a', 0, 'b'}, .id_len = 3, .hash = 1};
    registry_add(registry, &a);
    cr_assert_null(registry_find(registry, slice_of("a\0c", 3), 1));
    cr_assert_null(registry_find(registry, slice_of("a", 1), 1));
    cr_assert_eq(registry_find(registry, slice_of("a\0b", 3), 1), &a);
    registry_remove(registry, &a);
    registry_free(registry);
}

static unsigned met;

static void
leave(struct session *session)
{
    met++;
    registry_remove(registry, session);
}

Test(registry, each_may_end_the_session_it_is_given)
{
    for (unsigned i = 0; i < 500; i++)
        registry_add(registry, make(i, i % 7));
    registry_each(registry, leave);
    cr_assert_eq(met, 500);
    cr_assert_eq(registry_count(registry), 0);
    registry_free(registry);
}

Test(registry, the_hash_depends_on_the_key)
{
    struct registry *other = registry_new(&(struct hash_key){3, 4});
    cr_assert_neq(registry_hash(registry, slice_str("a")), registry_hash(other, slice_str("a")));
    registry_free(registry);
    registry_free(other);
}
