// test_registry.c - sessions by client identifier.
#include "core/registry.h"
#include "tests/sim/expect.h"

enum { MANY = 10000 };

static struct registry *registry;
static struct session *sessions[MANY];

static struct session *
make_of(struct slice id, uint32_t hash)
{
    struct session *session = mem_zalloc(sizeof *session + id.len + 1);
    memcpy(session->id, id.data, id.len);
    session->id_len = id.len;
    session->hash = hash;
    return session;
}

static struct session *
make(unsigned i, uint32_t hash)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", i);
    return sessions[i] = make_of(slice_str(text), hash);
}

// Takes it out of the registry, too.
static void
drop(struct session *session)
{
    registry_remove(registry, session);
    mem_free(session);
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
        registry_remove(registry, sessions[i]);
    for (unsigned i = 0; i < MANY; i++) {
        struct session *found = registry_find(registry, session_id(sessions[i]), sessions[i]->hash);
        cr_assert_eq(found, i % 2 ? sessions[i] : NULL);
    }
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 2)
            drop(sessions[i]);
        else
            mem_free(sessions[i]);
    }
    cr_assert_eq(registry_count(registry), 0);
    registry_free(registry);
}

Test(registry, identifiers_with_one_hash_are_still_different)
{
    for (unsigned i = 0; i < 200; i++)
        registry_add(registry, make(i, 77));
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(registry_find(registry, session_id(sessions[i]), 77), sessions[i]);
    cr_assert_null(registry_find(registry, slice_str("200"), 77));
    cr_assert_null(registry_find(registry, slice_str("1"), 78), "and one text has one hash");
    for (unsigned i = 0; i < 200; i++)
        drop(sessions[i]);
    registry_free(registry);
    registry_free(NULL);
}

Test(registry, a_zero_byte_is_a_byte)
{
    struct session *a = make_of(slice_of("a\0b", 3), 1);
    registry_add(registry, a);
    cr_assert_null(registry_find(registry, slice_of("a\0c", 3), 1));
    cr_assert_null(registry_find(registry, slice_of("a", 1), 1));
    cr_assert_eq(registry_find(registry, slice_of("a\0b", 3), 1), a);
    drop(a);
    registry_free(registry);
}

static unsigned met;

static void
leave(struct session *session)
{
    met++;
    drop(session);
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
