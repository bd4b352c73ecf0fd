// address.c - the part of a client's address that limits and bans count by.
#include "core/address.h"

#include <arpa/inet.h>
#include <stdio.h>

// IPv4 addresses stand in 0:1::/32 and the loopback of IPv6 in 0:0:0:2::/64, where nobody is: 0::/8
// is reserved (RFC 4291), but for what is mapped to IPv4 here.
#define V4_TAG   (UINT64_C(1) << 32)
#define LOOPBACK UINT64_C(2)

static uint64_t
of_v4(const uint8_t bytes[4])
{
    return V4_TAG | (uint64_t)bytes[0] << 24 | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 8 |
           bytes[3];
}

static uint64_t
of_v6(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return of_v4(bytes + 12);
    uint64_t prefix = 0;
    for (unsigned i = 0; i < 8; i++)
        prefix = prefix << 8 | bytes[i];
    return prefix == 0 ? LOOPBACK : prefix;
}

uint64_t
address_parse(const char *text)
{
    char host[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    const char *end = strchr(text, ':');
    bool bracket = text[0] == '[';
    if (bracket)
        end = strchr(++text, ']');
    else if (end && strchr(end + 1, ':')) // more than one: they are the address's own
        end = NULL;
    size_t len = end ? (size_t)(end - text) : strlen(text);
    const char *scope = memchr(text, '%', len); // "fe80::1%eth0": which link says nothing here
    if (scope)
        len = (size_t)(scope - text);
    if (len >= sizeof host)
        return ADDRESS_NONE;
    memcpy(host, text, len);
    host[len] = '\0';
    if (!bracket && inet_pton(AF_INET, host, bytes) == 1)
        return of_v4(bytes);
    return inet_pton(AF_INET6, host, bytes) == 1 ? of_v6(bytes) : ADDRESS_NONE;
}

void
address_format(uint64_t address, char ret_text[ADDRESS_TEXT_MAX])
{
    must(address != ADDRESS_NONE);
    if (address >> 32 == V4_TAG >> 32) {
        (void)snprintf(ret_text, ADDRESS_TEXT_MAX, "%u.%u.%u.%u", (unsigned)(address >> 24 & 255),
                       (unsigned)(address >> 16 & 255), (unsigned)(address >> 8 & 255),
                       (unsigned)(address & 255));
        return;
    }
    uint8_t bytes[16] = {0};
    for (unsigned i = 0; i < 8 && address != LOOPBACK; i++)
        bytes[i] = (uint8_t)(address >> (56 - 8 * i));
    char host[INET6_ADDRSTRLEN];
    must(inet_ntop(AF_INET6, bytes, host, sizeof host) != NULL);
    (void)snprintf(ret_text, ADDRESS_TEXT_MAX, "%.40s/64", host);
}
