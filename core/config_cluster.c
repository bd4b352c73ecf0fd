// config_cluster.c - the keys of the cluster, and the listener that comes of them.
#include <stdlib.h>
#include <string.h>

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
    if (good)
        add_listener(loader, cluster);
}
