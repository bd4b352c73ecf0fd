// config_http.c - where health and metrics are served.
#include "core/config_http.h"

#include "core/config_loader.h"

#define HOST_MAX    253u // of a name [RFC 1035 section 2.3.4]
#define TEXT(slice) (int)min_u32((slice).len, 64), (const char *)(slice).data

static bool
take_port(struct slice text, uint16_t *ret_port)
{
    uint32_t port = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        uint32_t digit = text.data[i] - (uint32_t)'0';
        if (digit > 9 || port > UINT16_MAX)
            return false;
        port = port * 10 + digit;
    }
    *ret_port = (uint16_t)port;
    return text.len > 0 && port > 0 && port <= UINT16_MAX;
}

// As far as the resolver need not be asked. An IPv6 address stands in brackets.
static bool
is_host(struct slice text, bool brackets)
{
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c <= ' ' || c >= 0x7f || c == '[' || c == ']' || c == '/' || (c == ':' && !brackets))
            return false;
    }
    return text.len > 0 && text.len <= HOST_MAX;
}

bool
config_http_address(struct slice value, struct slice *ret_host, uint16_t *ret_port)
{
    uint32_t colon = value.len;
    while (colon > 0 && value.data[colon - 1] != ':')
        colon--;
    *ret_host = (struct slice){value.data, 0};
    if (colon == 0)
        return take_port(value, ret_port);
    must(colon <= value.len);
    struct slice host = {value.data, colon - 1};
    bool brackets = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (brackets)
        host = (struct slice){host.data + 1, host.len - 2};
    *ret_host = host;
    return is_host(host, brackets) &&
           take_port((struct slice){value.data + colon, value.len - colon}, ret_port);
}

bool
config_check_http_listener(struct config_loader *loader, struct slice value)
{
    struct slice host;
    uint16_t port;
    if (config_http_address(value, &host, &port))
        return true;
    config_error(loader, "\"%.*s\" is not [ADDRESS:]PORT, as 9883, 10.0.0.1:9883 and [::]:9883 are",
                 TEXT(value));
    return false;
}
