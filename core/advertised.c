// advertised.c - how clients reach this node, as it tells the others.
#include "core/advertised.h"

#include <stdio.h>

#include "core/config.h"

#define PLACE_BYTES 3u // a listener and its port

_Static_assert(NODE_REFERENCE_MAX >= NODE_ADVERTISED_MAX + 6, "a host, a colon and a port");
_Static_assert(CONFIG_LISTENERS_MAX <= UINT8_MAX, "a listener's number is a byte");

// ---- Texts --------------------------------------------------------------------------------------

static bool
is_one_of(uint8_t c, const char *others)
{
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return plain || (c != '\0' && strchr(others, c) != NULL);
}

// A name or an address: nothing that a client could take for the end of it.
static bool
is_host(struct slice host)
{
    bool brackets = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (brackets)
        host = slice_of(host.data + 1, host.len - 2);
    if (host.len == 0 || host.len > UINT8_MAX)
        return false;
    for (uint32_t i = 0; i < host.len; i++)
        if (!is_one_of(host.data[i], brackets ? ":." : "-_."))
            return false;
    return true;
}

bool
advertised_split(struct slice text, struct slice *ret_host, uint16_t *ret_port)
{
    const uint8_t *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    const uint8_t *bracket = text.len > 0 ? memrchr(text.data, ']', text.len) : NULL;
    const uint8_t *end = text.data + text.len;
    *ret_host = text;
    *ret_port = 0;
    if (!colon || colon < bracket)
        return is_host(text);
    uint32_t port = 0;
    for (const uint8_t *digit = colon + 1; digit < end; digit++) {
        if (*digit < '0' || *digit > '9' || port > UINT16_MAX)
            return false;
        port = port * 10 + (uint32_t)(*digit - '0');
    }
    *ret_host = slice_of(text.data, (size_t)(colon - text.data));
    *ret_port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX && is_host(*ret_host);
}

// ---- Writing ------------------------------------------------------------------------------------

// How clients reach the listener. False: by no way that others could be told. Clients that come by
// a proxy, or from this machine alone, would not find a port by the node's name.
static bool
place_of(const struct config *config, uint32_t i, struct slice *ret_host, uint16_t *ret_port)
{
    const struct listener_config *listener = &config->listeners[i];
    if (listener->node || listener->unix_path)
        return false;
    if (listener->advertise)
        return advertised_split(slice_str(listener->advertise), ret_host, ret_port);
    if (!config->cluster.advertise_host || listener->loopback_only ||
        listener->entry.proxy_protocol)
        return false;
    *ret_host = slice_str(config->cluster.advertise_host);
    *ret_port = listener->port;
    return true;
}

// Listeners from this one on that are at its host. Counts those that fit, too.
static uint32_t
write_places(const struct config *config, uint32_t first, uint8_t *ret, uint32_t room)
{
    struct slice host, other;
    uint16_t port;
    uint32_t count = 0;
    bool there = place_of(config, first, &host, &port);
    must(there);
    for (uint32_t i = first; i < config->listener_count; i++) {
        if (!place_of(config, i, &other, &port) || !slice_equal(host, other))
            continue;
        uint8_t place[PLACE_BYTES] = {(uint8_t)i, (uint8_t)(port >> 8), (uint8_t)port};
        if ((count + 1) * PLACE_BYTES <= room)
            memcpy(ret + (size_t)count * PLACE_BYTES, place, PLACE_BYTES);
        count++;
    }
    return count;
}

static bool
is_first_of_its_host(const struct config *config, uint32_t i, struct slice host)
{
    struct slice other;
    uint16_t port;
    for (uint32_t before = 0; before < i; before++)
        if (place_of(config, before, &other, &port) && slice_equal(host, other))
            return false;
    return true;
}

bool
advertised_write(const struct config *config, uint8_t ret[NODE_ADVERTISED_MAX], uint32_t *ret_len)
{
    uint32_t len = 0;
    must(config->listener_count <= CONFIG_LISTENERS_MAX);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        struct slice host;
        uint16_t port;
        if (!place_of(config, i, &host, &port) || !is_first_of_its_host(config, i, host))
            continue;
        uint32_t head = 2 + host.len;
        bool fits = len + head <= NODE_ADVERTISED_MAX;
        uint8_t *at = ret + (fits ? len : 0);
        uint32_t count =
            write_places(config, i, at + head, fits ? NODE_ADVERTISED_MAX - len - head : 0);
        if (fits) {
            at[0] = (uint8_t)host.len;
            memcpy(at + 1, host.data, host.len);
            at[1 + host.len] = (uint8_t)count;
        }
        len += head + count * PLACE_BYTES;
    }
    *ret_len = len;
    return len <= NODE_ADVERTISED_MAX;
}

// ---- Reading ------------------------------------------------------------------------------------

bool
advertised_find(struct slice bytes, uint32_t listener, char ret_text[NODE_REFERENCE_MAX + 1])
{
    const uint8_t *at = bytes.data, *end = at + bytes.len;
    while (end - at > 2 && end - at >= 2 + at[0]) {
        struct slice host = slice_of(at + 1, at[0]);
        uint32_t count = at[1 + host.len];
        at += 2 + host.len;
        if ((uint32_t)(end - at) < count * PLACE_BYTES || !is_host(host) ||
            host.len > NODE_ADVERTISED_MAX)
            return false; // cut off, or nothing that was written above
        for (uint32_t i = 0; i < count; i++, at += PLACE_BYTES) {
            uint32_t port = (uint32_t)at[1] << 8 | at[2];
            if (at[0] != listener)
                continue;
            char suffix[8] = "";
            if (port > 0)
                (void)snprintf(suffix, sizeof suffix, ":%u", port);
            (void)snprintf(ret_text, NODE_REFERENCE_MAX + 1, "%.*s%s", (int)host.len,
                           (const char *)host.data, suffix);
            return true;
        }
    }
    return false;
}
