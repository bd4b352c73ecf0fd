// test_cluster_resolver.c - names become addresses, and who asks never waits.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>

#include "core/base/clock.h"

#include "cluster/endpoint.h"
#include "cluster/resolver.h"

static struct resolver_found found;

static bool
has(const char *want)
{
    for (uint32_t i = 0; i < found.count; i++) {
        char text[ENDPOINT_TEXT];
        endpoint_text(&found.addresses[i], text);
        if (strcmp(text, want) == 0)
            return true;
    }
    return false;
}

static bool
take_within(struct resolver *resolver, uint64_t ms)
{
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; (void)poll(NULL, 0, 5))
        if (resolver_take(resolver, &found))
            return true;
    return false;
}

Test(cluster_resolver, addresses_are_there_at_once)
{
    struct resolver *resolver = resolver_new(&(struct resolver_config){
        .seeds = "10.0.0.1:1 no.such.name.invalid:2  [::1]:3\t10.0.0.1:1", .ipv6 = true});
    cr_assert(resolver_take(resolver, &found));
    cr_assert_eq(found.count, 2);
    cr_assert(has("10.0.0.1:1") && has("[::1]:3"));
    cr_assert_str_eq(found.problem, "");
    cr_assert_not(resolver_take(resolver, &found));
    resolver_free(resolver);
    resolver_free(NULL);
}

Test(cluster_resolver, who_has_ipv4_alone_gets_no_other)
{
    struct resolver *resolver =
        resolver_new(&(struct resolver_config){.seeds = "10.0.0.1:1 [::1]:3"});
    cr_assert(resolver_take(resolver, &found));
    cr_assert(found.count == 1 && has("10.0.0.1:1"));
    resolver_free(resolver);
}

Test(cluster_resolver, a_name_is_looked_up_by_the_thread)
{
    struct resolver *resolver = resolver_new(
        &(struct resolver_config){.seeds = "10.0.0.1:1", .dns = "localhost", .dns_port = 7});
    cr_assert(resolver_take(resolver, &found) && found.count == 1);
    cr_assert_eq(resolver_start(resolver), OK);
    cr_assert(take_within(resolver, 30000));
    cr_assert(found.count == 2 && has("10.0.0.1:1") && has("127.0.0.1:7"), "%s", found.problem);
    resolver_set_alone(resolver, false);
    resolver_set_alone(resolver, true);
    resolver_free(resolver);
}

Test(cluster_resolver, while_alone_it_looks_again_soon)
{
    struct resolver *resolver =
        resolver_new(&(struct resolver_config){.dns = "127.0.0.5:9", .dns_port = 7});
    cr_assert(resolver_take(resolver, &found) && found.count == 0);
    cr_assert_eq(resolver_start(resolver), OK);
    cr_assert(take_within(resolver, 30000) && has("127.0.0.5:9"));
    cr_assert(take_within(resolver, RESOLVER_ALONE_MS + 20000));
    resolver_set_alone(resolver, false);
    cr_assert_not(take_within(resolver, RESOLVER_ALONE_MS + 1000));
    resolver_free(resolver);
}

// Whether the name service says that there is none, or does not answer.
Test(cluster_resolver, a_name_that_is_not_there_is_named)
{
    struct resolver *resolver =
        resolver_new(&(struct resolver_config){.seeds = "no.such.name.invalid:2 10.0.0.1:1"});
    cr_assert(resolver_take(resolver, &found));
    cr_assert_eq(resolver_start(resolver), OK);
    if (take_within(resolver, 20000)) {
        cr_assert_not_null(strstr(found.problem, "no.such.name.invalid: "), "%s", found.problem);
        cr_assert(has("10.0.0.1:1"));
    }
    uint64_t before = clock_mono_ms();
    resolver_free(resolver);
    cr_assert_lt(clock_mono_ms() - before, 4000);
}

Test(cluster_resolver, more_than_fit_are_left_out)
{
    char seeds[4096] = "";
    size_t len = 0;
    for (unsigned i = 1; i <= GOSSIP_SEEDS_MAX + 10; i++)
        len += (size_t)snprintf(seeds + len, sizeof seeds - len, "10.0.0.%u:1 ", i);
    struct resolver *resolver = resolver_new(&(struct resolver_config){.seeds = seeds});
    cr_assert(resolver_take(resolver, &found));
    cr_assert_eq(found.count, GOSSIP_SEEDS_MAX);
    cr_assert(has("10.0.0.1:1") && has("10.0.0.64:1"));
    resolver_free(resolver);
}
