// config_cluster.c - the keys of the cluster, and the listener that comes of them.
#include <stdlib.h>
#include <string.h>

#include "core/advertised.h"
#include "core/config_loader.h"

static bool
has(struct slice text, char c)
{
    return text.len > 0 && memchr(text.data, c, text.len) != NULL;
}

bool
config_host_port(struct slice text, char ret_host[CONFIG_HOST_MAX], uint16_t *ret_port)
{
    const uint8_t *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    if (!colon)
        return false;
    struct slice host = slice_of(text.data, (size_t)(colon - text.data));
    const uint8_t *digit = colon + 1, *end = text.data + text.len;
    uint32_t port = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9' && port <= UINT16_MAX; digit++)
        port = port * 10 + (uint32_t)(*digit - '0');
    bool brackets = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (brackets)
        host = slice_of(host.data + 1, host.len - 2);
    if (digit != end || port == 0 || port > UINT16_MAX || host.len == 0 ||
        host.len >= CONFIG_HOST_MAX || has(host, ':') != brackets || has(host, '[') ||
        has(host, ']'))
        return false;
    memcpy(ret_host, host.data, host.len);
    ret_host[host.len] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

bool
config_name_port(struct slice text, uint16_t port, char ret_host[CONFIG_HOST_MAX],
                 uint16_t *ret_port)
{
    if (has(text, ':'))
        return config_host_port(text, ret_host, ret_port);
    if (text.len == 0 || text.len >= CONFIG_HOST_MAX)
        return false;
    memcpy(ret_host, text.data, text.len);
    ret_host[text.len] = '\0';
    *ret_port = port;
    return true;
}

static bool
check_dns(struct config_loader *loader, const char *text)
{
    char host[CONFIG_HOST_MAX];
    uint16_t port;
    if (config_name_port(slice_str(text), 1, host, &port) && !strpbrk(host, " \t"))
        return true;
    config_error(loader, "cluster_dns: \"%.200s\": expected NAME or NAME:PORT", text);
    return false;
}

static bool
check_place(struct config_loader *loader, const char *key, struct slice text)
{
    char host[CONFIG_HOST_MAX];
    uint16_t port;
    if (config_host_port(text, host, &port))
        return true;
    config_error(loader, "%s: \"%.*s\": expected ADDRESS:PORT, or [ADDRESS]:PORT", key,
                 (int)min_u32(text.len, 200), (const char *)text.data);
    return false;
}

bool
config_check_advertise(struct config_loader *loader, struct slice value)
{
    struct slice host;
    uint16_t port;
    if (advertised_split(value, &host, &port))
        return true;
    config_error(loader, "\"%.*s\" is not HOST or HOST:PORT, as mqtt-1.example.org:1883 is",
                 (int)min_u32(value.len, 200), (const char *)value.data);
    return false;
}

bool
config_check_advertise_host(struct config_loader *loader, struct slice value)
{
    struct slice host;
    uint16_t port;
    if (advertised_split(value, &host, &port) && port == 0)
        return true;
    config_error(loader, "\"%.*s\" is not a HOST without a port, as mqtt-1.example.org is",
                 (int)min_u32(value.len, 200), (const char *)value.data);
    return false;
}

// All nodes are told by gossip, which has its limits.
static void
check_advertised(struct config_loader *loader)
{
    uint8_t bytes[NODE_ADVERTISED_MAX];
    uint32_t len;
    if (!advertised_write(loader->config, bytes, &len))
        config_error(
            loader,
            "advertise, advertise_host: %u bytes for all listeners, and other nodes can be "
            "told %u: shorter names, or the same for several listeners",
            len, NODE_ADVERTISED_MAX);
}

static void
warn_of_advertised(struct config_loader *loader)
{
    const struct config *config = loader->config;
    bool there = config->cluster.advertise_host != NULL;
    for (uint32_t i = 0; i < config->listener_count; i++)
        there |= config->listeners[i].advertise != NULL;
    if (there)
        config_warning(loader, "advertise and advertise_host have no effect without cluster_name");
}

// Other nodes come by a listener as clients do.
static void
add_listener(struct config_loader *loader, const struct cluster_config *cluster)
{
    char host[CONFIG_HOST_MAX];
    uint16_t port;
    struct listener_config *listener = config_listener_add(loader);
    if (!listener || !config_host_port(slice_str(cluster->bind), host, &port))
        return;
    config_string(&listener->address, slice_str(host));
    listener->port = port;
    listener->node = true;
}

void
config_cluster_finish(struct config_loader *loader)
{
    const struct cluster_config *cluster = &loader->config->cluster;
    bool others = cluster->secret_file || cluster->bind || cluster->seeds || cluster->dns ||
                  cluster->node || cluster->advertise;
    if (!cluster->name) {
        if (others)
            config_error(loader, "keys of the cluster are there, and cluster_name is not");
        warn_of_advertised(loader);
        return;
    }
    bool good = true;
    if (!cluster->secret_file || !cluster->bind) {
        config_error(loader, "cluster_name needs cluster_secret_file and cluster_bind");
        good = false;
    }
    if (cluster->bind)
        good = check_place(loader, "cluster_bind", slice_str(cluster->bind)) && good;
    if (cluster->advertise)
        good = check_place(loader, "cluster_advertise", slice_str(cluster->advertise)) && good;
    if (cluster->dns)
        good = check_dns(loader, cluster->dns) && good;
    struct slice rest = slice_str(cluster->seeds ? cluster->seeds : "");
    while (rest.len > 0) {
        struct slice word = config_word(rest, &rest);
        if (word.len > 0)
            good = check_place(loader, "cluster_seeds", word) && good;
    }
    check_advertised(loader);
    if (good)
        add_listener(loader, cluster);
}
