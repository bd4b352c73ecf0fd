// endpoint.c - where a node is: as gossip has it, as a socket wants it, as people read it.
#include "cluster/endpoint.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "core/config.h"

bool
endpoint_is_ipv4(const struct gossip_address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address->ip, mapped, sizeof mapped) == 0;
}

bool
endpoint_of(const struct sockaddr *from, struct gossip_address *ret_address)
{
    *ret_address = (struct gossip_address){0};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        ret_address->ip[10] = ret_address->ip[11] = 0xff;
        memcpy(ret_address->ip + 12, &in.sin_addr, 4);
        ret_address->port = ntohs(in.sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof in);
        memcpy(ret_address->ip, &in.sin6_addr, 16);
        ret_address->port = ntohs(in.sin6_port);
        return true;
    }
    return false;
}

socklen_t
endpoint_sockaddr(const struct gossip_address *address, bool ipv6, struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){0};
    must(ipv6 || endpoint_is_ipv4(address));
    if (!ipv6) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&in.sin_addr, address->ip + 12, 4);
        memcpy(ret, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memcpy(&in.sin6_addr, address->ip, 16);
    memcpy(ret, &in, sizeof in);
    return sizeof in;
}

void
endpoint_text(const struct gossip_address *address, char ret_text[ENDPOINT_TEXT])
{
    struct sockaddr_storage storage;
    bool ipv4 = endpoint_is_ipv4(address);
    socklen_t len = endpoint_sockaddr(address, !ipv4, &storage);
    char host[ENDPOINT_TEXT - 9] = "?";
    (void)getnameinfo((struct sockaddr *)&storage, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    (void)snprintf(ret_text, ENDPOINT_TEXT, ipv4 ? "%s:%u" : "[%s]:%u", host, address->port);
}

bool
endpoint_resolve(struct slice text, bool passive, struct gossip_address *ret_address)
{
    char host[CONFIG_HOST_MAX], port_text[8];
    uint16_t port;
    if (!config_host_port(text, host, &port))
        return false;
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                                   .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port_text, &hints, &found) != 0)
        return false;
    bool good = endpoint_of(found->ai_addr, ret_address);
    freeaddrinfo(found);
    return good;
}
