// test_admission.c - connections and CONNECTs, by address and in all.
#include <criterion/criterion.h>

#include "core/admission.h"

static struct hash_key key = {1, 2};
static struct admission *admission;

static void
set_up(void)
{
    admission = admission_new(&key);
}

static void
tear_down(void)
{
    admission_free(admission);
}

TestSuite(admission, .init = set_up, .fini = tear_down);

#define HERE  UINT64_C(0x10a000001)
#define THERE UINT64_C(0x10a000002)

Test(admission, the_last_place_of_an_address_is_given_once_and_comes_back)
{
    uint32_t first, second, third;
    cr_assert(admission_enter(admission, HERE, 2, &first));
    cr_assert(admission_enter(admission, HERE, 2, &second));
    cr_assert_not(admission_enter(admission, HERE, 2, &third));
    cr_assert_eq(third, 0);
    cr_assert(admission_enter(admission, THERE, 2, &third), "another address");
    admission_leave(admission, first);
    cr_assert(admission_enter(admission, HERE, 2, &first));
    cr_assert_not(admission_enter(admission, HERE, 1, &first), "the limit was lowered");
}

static unsigned
connects(uint64_t address, struct admission_rates rates, uint64_t now_ms, unsigned times)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < times; i++)
        taken += admission_connect(admission, address, &rates, now_ms) == NULL;
    return taken;
}

Test(admission, each_address_has_its_own_rate)
{
    struct admission_rates rates = {.address = 10};
    cr_assert_eq(connects(HERE, rates, 1000, 100), 10);
    cr_assert_eq(connects(THERE, rates, 1000, 100), 10);
    cr_assert_eq(connects(HERE, rates, 1500, 100), 5);
    cr_assert_eq(connects(ADDRESS_NONE, rates, 1500, 100), 100, "a unix socket has none");
    cr_assert_str_eq(admission_connect(admission, HERE, &rates, 1500), "connect_rate_per_address");
}

Test(admission, all_have_one_rate_together)
{
    struct admission_rates rates = {.all = 15, .address = 10};
    cr_assert_eq(connects(HERE, rates, 1000, 100), 10);
    cr_assert_eq(connects(THERE, rates, 1000, 100), 5);
    cr_assert_str_eq(admission_connect(admission, THERE, &rates, 1000), "connect_rate");
    // What one of them refuses takes no token of the other.
    cr_assert_eq(connects(THERE, (struct admission_rates){.address = 10}, 1000, 100), 5);
}

Test(admission, no_rate_is_no_limit)
{
    cr_assert_eq(connects(HERE, (struct admission_rates){0}, 1000, 100000), 100000);
}

Test(admission, connections_and_rate_of_an_address_are_one_record)
{
    uint32_t place;
    struct admission_rates rates = {.address = 3};
    cr_assert_eq(connects(HERE, rates, 1000, 100), 3);
    cr_assert(admission_enter(admission, HERE, 1, &place));
    cr_assert_eq(connects(HERE, rates, 1000, 100), 0);
    admission_leave(admission, place);
    cr_assert_eq(connects(HERE, rates, 1000, 100), 0);
}
