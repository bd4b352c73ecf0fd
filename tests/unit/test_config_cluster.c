// test_config_cluster.c - the keys of the cluster.
#include "tests/unit/test_config.h"

#define GOOD                                                                                   \
    OPEN "listener 1883\ncluster_name c\ncluster_secret_file /s\ncluster_bind 10.0.0.1:7946\n" \
         "cluster_plain true\n"

static bool
host_port(const char *text, const char *host, uint16_t port)
{
    char found[CONFIG_HOST_MAX];
    uint16_t number = 0;
    if (!config_host_port(slice_str(text), found, &number))
        return false;
    cr_assert_str_eq(found, host);
    cr_assert_eq(number, port);
    return true;
}

Test(config_cluster, an_address_and_a_port)
{
    cr_assert(host_port("10.0.0.1:7946", "10.0.0.1", 7946));
    cr_assert(host_port("a.example:1", "a.example", 1));
    cr_assert(host_port("[::1]:65535", "::1", 65535));
    cr_assert(host_port("[fe80::1%eth0]:07", "fe80::1%eth0", 7));
    static const char *const bad[] = {
        "",          ":",     ":1",     "a",      "a:",     "a:0",   "a:65536", "a:99999999999",
        "a:1x",      "a: 1",  "a:-1",   "::1",    "::1:80", "[]:1",  "[a:1",    "a]:1",
        "[[::1]]:1", "[::1]", "[::1]:", "[::1:1", "::1]:1", "[a]:1", "a:b:1",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(host_port(bad[i], "", 0), "%s", bad[i]);
    char longest[CONFIG_HOST_MAX + 8], host[CONFIG_HOST_MAX];
    uint16_t port;
    memset(longest, 'a', sizeof longest);
    memcpy(longest + CONFIG_HOST_MAX - 1, ":1", 3);
    cr_assert(config_host_port(slice_str(longest), host, &port));
    memcpy(longest + CONFIG_HOST_MAX - 1, "a:1", 4);
    cr_assert_not(config_host_port(slice_str(longest), host, &port));
}

Test(config_cluster, a_name_has_a_port_or_the_default)
{
    char host[CONFIG_HOST_MAX];
    uint16_t port;
    cr_assert(config_name_port(slice_str("a.example"), 7, host, &port));
    cr_assert_str_eq(host, "a.example");
    cr_assert_eq(port, 7);
    cr_assert(config_name_port(slice_str("a.example:8"), 7, host, &port));
    cr_assert_eq(port, 8);
    cr_assert_not(config_name_port(slice_str(""), 7, host, &port));
    cr_assert_not(config_name_port(slice_str("a:"), 7, host, &port));
    char longest[CONFIG_HOST_MAX + 1];
    memset(longest, 'a', sizeof longest);
    cr_assert_not(config_name_port(slice_of(longest, CONFIG_HOST_MAX), 7, host, &port));
    cr_assert(config_name_port(slice_of(longest, CONFIG_HOST_MAX - 1), 7, host, &port));
}

Test(config_cluster, without_a_name_there_is_none)
{
    struct config *config = load_clean(OPEN "listener 1883\n");
    cr_assert_null(config->cluster.name);
    cr_assert_eq(config->listener_count, 1);
    config_free(config);
}

Test(config_cluster, all_of_them)
{
    struct config *config = load_clean(GOOD "node_name n\ncluster_advertise node.example:1\n"
                                            "cluster_seeds a:1 [::1]:2\tb:3\n"
                                            "cluster_dns nodes.example:9\n");
    const struct cluster_config *cluster = &config->cluster;
    cr_assert_str_eq(cluster->name, "c");
    cr_assert_str_eq(cluster->secret_file, "/s");
    cr_assert_str_eq(cluster->node, "n");
    cr_assert_str_eq(cluster->bind, "10.0.0.1:7946");
    cr_assert_str_eq(cluster->advertise, "node.example:1");
    cr_assert_str_eq(cluster->dns, "nodes.example:9");
    cr_assert(cluster->plain);
    cr_assert_eq(config->listener_count, 2);
    const struct listener_config *listener = &config->listeners[1];
    cr_assert(listener->node && !config->listeners[0].node);
    cr_assert_str_eq(listener->address, "10.0.0.1");
    cr_assert_eq(listener->port, 7946);
    config_free(config);
}

Test(config_cluster, each_key_alone_asks_for_a_name)
{
    static const char *const keys[] = {"cluster_secret_file /s", "cluster_bind a:1",
                                       "cluster_advertise a:1",  "cluster_seeds a:1",
                                       "cluster_dns a",          "node_name n"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, OPEN "listener 1883\n%s\n", keys[i]);
        expect_error(text, "cluster_name");
    }
}

Test(config_cluster, a_name_asks_for_the_rest)
{
    expect_error(OPEN "cluster_name c\ncluster_plain true\ncluster_bind a:1\n",
                 "cluster_secret_file");
    expect_error(OPEN "cluster_name c\ncluster_plain true\ncluster_secret_file /s\n",
                 "cluster_bind");
}

Test(config_cluster, what_is_wrong_names_its_key)
{
    static const char *const keys[] = {"cluster_advertise", "cluster_seeds"};
    static const char *const bad[] = {"a", "a:0", "::1", "a:1x"};
    for (unsigned i = 0; i < ARRAY_LEN(keys) * ARRAY_LEN(bad); i++) {
        char text[512];
        const char *key = keys[i / ARRAY_LEN(bad)];
        (void)snprintf(text, sizeof text, GOOD "%s %s\n", key, bad[i % ARRAY_LEN(bad)]);
        expect_error(text, key);
    }
    expect_error(GOOD "cluster_seeds a:1 b\n", "cluster_seeds: \"b\"");
    expect_error(GOOD "cluster_dns a:b\n", "cluster_dns");
    expect_error(GOOD "cluster_dns a b\n", "cluster_dns");
    expect_error(OPEN "cluster_name c\ncluster_secret_file /s\ncluster_plain true\n"
                      "cluster_bind 10.0.0.1\n",
                 "cluster_bind: \"10.0.0.1\"");
}
