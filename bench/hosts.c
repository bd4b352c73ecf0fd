// hosts.c - the addresses of the broker, or of a cluster's nodes.
#include "bench/hosts.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_BYTES 256u

// Cuts "name:port" or "[address]:port". An address with several colons and no brackets has no port.
// Returns where the port begins; NULL when there is none.
static const char *
cut_port(char *name)
{
    char *end = *name == '[' ? strchr(name, ']') : NULL;
    char *colon = strchr(end != NULL ? end : name, ':');
    if (end == NULL && colon != NULL && strchr(colon + 1, ':') != NULL)
        return NULL;
    if (end != NULL) {
        *end = '\0';
        memmove(name, name + 1, strlen(name));
        if (colon != end + 1)
            return end[1] == '\0' ? NULL : ""; // what follows the bracket is no port
    }
    if (colon == NULL)
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static err_t
resolve(char *name, uint16_t default_port, struct host *ret_host, char *ret_why)
{
    char port_text[8], *end = NULL;
    const char *port = cut_port(name);
    unsigned long number = port != NULL ? strtoul(port, &end, 10) : default_port;
    if (*name == '\0' || (port != NULL && (*port < '0' || *port > '9' || *end != '\0')) ||
        number == 0 || number > UINT16_MAX) {
        (void)snprintf(ret_why, HOSTS_WHY_MAX, "--host: \"%.60s\": expected NAME or NAME:PORT",
                       name);
        return ERR_CONFIG;
    }
    (void)snprintf(port_text, sizeof port_text, "%lu", number);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, port_text, &hints, &found);
    if (error != 0) {
        (void)snprintf(ret_why, HOSTS_WHY_MAX, "%.60s: %s", name, gai_strerror(error));
        return ERR_CONFIG;
    }
    must(found->ai_addrlen <= sizeof ret_host->address);
    memcpy(&ret_host->address, found->ai_addr, found->ai_addrlen);
    ret_host->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

err_t
hosts_bind(struct hosts *hosts, const char *address, char ret_why[HOSTS_WHY_MAX])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(address, NULL, &hints, &found);
    if (error != 0) {
        (void)snprintf(ret_why, HOSTS_WHY_MAX, "--bind: \"%.60s\": expected an address", address);
        return ERR_CONFIG;
    }
    must(found->ai_addrlen <= sizeof hosts->from.address);
    memcpy(&hosts->from.address, found->ai_addr, found->ai_addrlen);
    hosts->from.address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

err_t
hosts_resolve(const char *list, uint16_t port, struct hosts *ret_hosts, char ret_why[HOSTS_WHY_MAX])
{
    *ret_hosts = (struct hosts){0};
    for (const char *at = list;; at++) {
        char name[NAME_MAX_BYTES];
        size_t len = strcspn(at, ",");
        if (len >= sizeof name || ret_hosts->count == HOSTS_MAX) {
            (void)snprintf(ret_why, HOSTS_WHY_MAX,
                           "--host: at most %u names of at most %u characters", HOSTS_MAX,
                           NAME_MAX_BYTES - 1);
            return ERR_CONFIG;
        }
        memcpy(name, at, len);
        name[len] = '\0';
        err_t err = resolve(name, port, &ret_hosts->rows[ret_hosts->count], ret_why);
        if (err != OK)
            return err;
        ret_hosts->count++;
        at += len;
        if (*at == '\0')
            return OK;
    }
}
