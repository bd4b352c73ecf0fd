// entry.c - what a listener's configuration asks of those who come.
#include "io/entry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "io/tls_context.h"

// ---- TLS ----------------------------------------------------------------------------------------

static enum tls_identity
identity_of(const struct listener_entry *entry)
{
    if (entry->use_identity_as_username)
        return TLS_IDENTITY_COMMON_NAME;
    return entry->use_subject_as_username ? TLS_IDENTITY_SUBJECT : TLS_IDENTITY_NONE;
}

static struct tls_settings
settings_of(const struct listener_entry *entry)
{
    return (struct tls_settings){
        .cert_file = entry->cert_file,
        .key_file = entry->key_file,
        .ca_file = entry->ca_file,
        .ca_path = entry->ca_path,
        .crl_file = entry->crl_file,
        .ciphers = entry->ciphers,
        .ciphers_tls13 = entry->ciphers_tls13,
        .psk_file = entry->psk_file,
        .psk_hint = entry->psk_hint,
        .ticket_key_file = entry->ticket_key_file,
        .ocsp_file = entry->ocsp_file,
        .alpn = entry->protocol == PROTOCOL_WEBSOCKETS ? "http/1.1" : "mqtt",
        .version_min = entry->tls_version == TLS_AT_LEAST_1_3 ? TLS_VERSION_1_3 : TLS_VERSION_1_2,
        .identity = identity_of(entry),
        .require_certificate = entry->require_certificate,
    };
}

err_t
entry_context_new(const struct config *config, uint32_t listener, unsigned shards,
                  struct tls_context **ret_context, char ret_problem[ENTRY_PROBLEM_MAX])
{
    must(listener < config->listener_count);
    const struct listener_config *l = &config->listeners[listener];
    *ret_context = NULL;
    if (!l->entry.tls_asked)
        return OK;
    struct tls_settings settings = settings_of(&l->entry);
    struct file_problem problem;
    err_t err = tls_context_new(&settings, shards, ret_context, &problem);
    if (err != OK)
        (void)snprintf(ret_problem, ENTRY_PROBLEM_MAX, "listener %u%s%s: %s", l->port,
                       l->unix_path || l->address ? " " : "",
                       l->unix_path ? l->unix_path
                       : l->address ? l->address
                                    : "",
                       problem.text);
    return err;
}

err_t
entry_contexts_new(const struct config *config, unsigned shards,
                   struct entry_contexts *ret_contexts, char ret_problem[ENTRY_PROBLEM_MAX])
{
    memset(ret_contexts, 0, sizeof *ret_contexts);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        err_t err = entry_context_new(config, i, shards, &ret_contexts->of[i], ret_problem);
        if (err != OK) {
            entry_contexts_free(ret_contexts);
            return err;
        }
    }
    return OK;
}

void
entry_contexts_free(struct entry_contexts *contexts)
{
    for (uint32_t i = 0; i < CONFIG_LISTENERS_MAX; i++)
        tls_context_unref(contexts->of[i]);
    memset(contexts, 0, sizeof *contexts);
}

uint32_t
entry_files(const struct config *config, const char *ret_files[ENTRY_FILES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct listener_entry *entry = &config->listeners[i].entry;
        const char *const files[] = {entry->cert_file, entry->key_file,
                                     entry->ca_file,   entry->ca_path,
                                     entry->crl_file,  entry->ticket_key_file,
                                     entry->ocsp_file, entry->psk_hint ? entry->psk_file : NULL};
        for (uint32_t f = 0; f < ARRAY_LEN(files); f++)
            if (entry->tls_asked && files[f])
                ret_files[count++] = files[f];
    }
    must(count <= ENTRY_FILES_MAX);
    return count;
}

// ---- Proxies and origins ------------------------------------------------------------------------

static bool
is_in(const struct network *network, const uint8_t *address)
{
    uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, whole) != 0)
        return false;
    return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool
entry_trusts(const struct listener_entry *entry, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } peer = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    if (getpeername(fd, &peer.any, &len) != 0)
        return false; // gone already
    if (peer.any.sa_family == AF_UNIX)
        return true; // the socket's file says who may come
    bool ipv6 = peer.any.sa_family == AF_INET6;
    const uint8_t *address =
        ipv6 ? peer.v6.sin6_addr.s6_addr : (const uint8_t *)&peer.v4.sin_addr.s_addr;
    for (uint32_t i = 0; i < entry->proxy_count; i++)
        if (entry->proxies[i].ipv6 == ipv6 && is_in(&entry->proxies[i], address))
            return true;
    return false;
}

uint32_t
entry_origin_count(const struct listener_entry *entry)
{
    uint32_t count = 0;
    while (entry->websockets_origins && entry->websockets_origins[count])
        count++;
    return count;
}
