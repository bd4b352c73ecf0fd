// test_bench_hosts.c - the load generator's list of addresses.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "bench/hosts.h"

static struct hosts hosts;
static char why[HOSTS_WHY_MAX];

// Address and port as text.
static const char *
text_of(const struct host *host)
{
    static char text[80];
    char address[INET6_ADDRSTRLEN];
    if (host->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&host->address;
        (void)snprintf(text, sizeof text, "%s %u",
                       inet_ntop(AF_INET, &in->sin_addr, address, sizeof address),
                       ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&host->address;
        (void)snprintf(text, sizeof text, "%s %u",
                       inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof address),
                       ntohs(in6->sin6_port));
    }
    return text;
}

Test(bench_hosts, one_and_many)
{
    cr_assert_eq(hosts_resolve("127.0.0.1", 1883, &hosts, why), OK);
    cr_assert_eq(hosts.count, 1);
    cr_assert_str_eq(text_of(&hosts.rows[0]), "127.0.0.1 1883");
    cr_assert_eq(hosts_resolve("127.0.0.2:99,127.0.0.3,[::1]:7,::1,[::1]", 1883, &hosts, why), OK,
                 "%s", why);
    cr_assert_eq(hosts.count, 5);
    cr_assert_str_eq(text_of(&hosts.rows[0]), "127.0.0.2 99");
    cr_assert_str_eq(text_of(&hosts.rows[1]), "127.0.0.3 1883");
    cr_assert_str_eq(text_of(&hosts.rows[2]), "::1 7");
    cr_assert_str_eq(text_of(&hosts.rows[3]), "::1 1883");
    cr_assert_str_eq(text_of(&hosts.rows[4]), "::1 1883");
}

Test(bench_hosts, a_pair_crosses_between_nodes)
{
    cr_assert_eq(hosts_resolve("127.0.0.1,127.0.0.2,127.0.0.3", 1, &hosts, why), OK);
    cr_assert_eq(hosts_pick(&hosts, 4, true), &hosts.rows[1]);
    cr_assert_eq(hosts_pick(&hosts, 4, false), &hosts.rows[2]);
    cr_assert_eq(hosts_pick(&hosts, 5, false), &hosts.rows[0]);
}

Test(bench_hosts, what_is_no_address_is_told)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "127.0.0.1,",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:70000",
                                      "127.0.0.1:1x",
                                      "[::1]x",
                                      "[::1]:",
                                      ":5"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why[0] = '\0';
        cr_assert_eq(hosts_resolve(bad[i], 1883, &hosts, why), ERR_CONFIG, "%s", bad[i]);
        cr_assert_not_null(strstr(why, "expected NAME or NAME:PORT"), "%s: %s", bad[i], why);
    }
}

Test(bench_hosts, there_is_a_limit)
{
    char list[HOSTS_MAX * 4 + 8] = "";
    for (uint32_t i = 0; i <= HOSTS_MAX; i++)
        (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s::1", i > 0 ? "," : "");
    cr_assert_eq(hosts_resolve(list, 1, &hosts, why), ERR_CONFIG);
    list[strlen(list) - 4] = '\0';
    cr_assert_eq(hosts_resolve(list, 1, &hosts, why), OK, "%s", why);
    cr_assert_eq(hosts.count, HOSTS_MAX);
}
