// config_entry.c - the ways into a listener: TLS, WebSockets, PROXY protocol.
#include <arpa/inet.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

#define LIST_MAX    256u // origins, networks
#define TEXT(slice) (int)min_u32((slice).len, 64), (const char *)(slice).data

// ---- Life ---------------------------------------------------------------------------------------

// Every string of the structure, by its key in the table: none can be forgotten.
static void
each_string(struct listener_config *listener, void (*fn)(char **string))
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->group == GROUP_ENTRY && key->type == TYPE_STRING)
            fn(config_value_string(key, listener));
    }
    fn(&listener->entry.psk_file);
    fn(&listener->entry.password_file);
    fn(&listener->entry.acl_file);
}

static void
string_copy(char **string)
{
    *string = *string ? mem_strdup(*string) : NULL;
}

static void
string_clear(char **string)
{
    mem_free(*string);
    *string = NULL;
}

static struct listener_config *
listener_of(struct listener_entry *entry)
{
    return container_of(entry, struct listener_config, entry);
}

static uint32_t
origin_count(const struct listener_entry *entry)
{
    uint32_t count = 0;
    while (entry->websockets_origins && entry->websockets_origins[count])
        count++;
    return count;
}

static void
origins_add(struct listener_entry *entry, char *origin)
{
    uint32_t count = origin_count(entry);
    must(count < LIST_MAX);
    entry->websockets_origins =
        mem_realloc((void *)entry->websockets_origins, (count + 2) * sizeof(char *));
    entry->websockets_origins[count] = origin;
    entry->websockets_origins[count + 1] = NULL;
}

void
config_entry_copy(const struct listener_entry *from, struct listener_entry *to)
{
    *to = *from;
    each_string(listener_of(to), string_copy);
    to->websockets_origins = NULL;
    for (uint32_t i = 0, count = origin_count(from); i < count; i++)
        origins_add(to, mem_strdup(from->websockets_origins[i]));
    to->proxies = NULL;
    if (from->proxy_count > 0) {
        to->proxies = mem_alloc(from->proxy_count * sizeof *to->proxies);
        memcpy(to->proxies, from->proxies, from->proxy_count * sizeof *to->proxies);
    }
    must(origin_count(to) == origin_count(from));
}

void
config_entry_clear(struct listener_entry *entry)
{
    each_string(listener_of(entry), string_clear);
    for (uint32_t i = 0, count = origin_count(entry); i < count; i++)
        mem_free(entry->websockets_origins[i]);
    mem_free((void *)entry->websockets_origins);
    mem_free(entry->proxies);
    memset(entry, 0, sizeof *entry);
}

// ---- TLS ----------------------------------------------------------------------------------------

void
config_set_tls_version(struct config_loader *loader, struct slice value)
{
    struct slice word = config_single_word(loader, value);
    struct listener_entry *entry = &loader->block->entry;
    if (config_is(word, "tlsv1.3")) {
        entry->tls_version = TLS_AT_LEAST_1_3;
    } else if (config_is(word, "tlsv1.2")) {
        entry->tls_version = TLS_AT_LEAST_1_2;
    } else if (config_is(word, "tlsv1.1") || config_is(word, "tlsv1")) {
        config_warning(loader, "tls_version %.*s: nothing below tlsv1.2 is spoken", TEXT(word));
        entry->tls_version = TLS_AT_LEAST_1_2;
    } else {
        config_error(loader, "\"%.*s\" is neither tlsv1.2 nor tlsv1.3", TEXT(word));
    }
    entry->tls_asked = true;
}

// Files that are all listeners', the last one said, or with per_listener_settings each one's own.

void
config_set_psk_file(struct config_loader *loader, struct slice value)
{
    config_string(&loader->psk_file, value);
    config_string(&loader->block->entry.psk_file, value);
}

void
config_set_password_file(struct config_loader *loader, struct slice value)
{
    config_string(&loader->password_file, value);
    config_string(&loader->block->entry.password_file, value);
}

void
config_set_acl_file(struct config_loader *loader, struct slice value)
{
    config_string(&loader->acl_file, value);
    config_string(&loader->block->entry.acl_file, value);
}

static void
share_files(struct config_loader *loader, struct listener_entry *entry)
{
    if (loader->config->per_listener_settings)
        return;
    if (loader->psk_file)
        config_string(&entry->psk_file, slice_str(loader->psk_file));
    if (loader->password_file)
        config_string(&entry->password_file, slice_str(loader->password_file));
    if (loader->acl_file)
        config_string(&entry->acl_file, slice_str(loader->acl_file));
}

// ---- WebSockets ---------------------------------------------------------------------------------

// One, or several with commas.
void
config_set_websockets_origin(struct config_loader *loader, struct slice value)
{
    struct listener_entry *entry = &loader->block->entry;
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        struct slice origin = {value.data, comma ? (uint32_t)(comma - value.data) : value.len};
        uint32_t used = origin.len + (comma ? 1 : 0);
        value = (struct slice){value.data + used, value.len - used};
        origin = config_trim(origin);
        if (memmem(origin.data, origin.len, "://", 3) == NULL ||
            memchr(origin.data, ' ', origin.len) != NULL) {
            config_error(loader, "\"%.*s\" is not an origin, as https://app.example.org is",
                         TEXT(origin));
            continue;
        }
        if (origin_count(entry) == LIST_MAX) {
            config_error(loader, "there are more than %u origins", LIST_MAX);
            return;
        }
        origins_add(entry, mem_strndup(origin.data, origin.len));
    }
}

// ---- PROXY --------------------------------------------------------------------------------------

void
config_set_proxy_protocol(struct config_loader *loader, struct slice value)
{
    struct listener_entry *entry = &loader->block->entry;
    struct slice rest;
    struct slice word = config_word(value, &rest); // whatever follows is a remark
    if (config_is(word, "true"))
        entry->proxy_protocol = PROXY_PROTOCOL_V1 | PROXY_PROTOCOL_V2;
    else if (config_is(word, "1"))
        entry->proxy_protocol = PROXY_PROTOCOL_V1;
    else if (config_is(word, "2"))
        entry->proxy_protocol = PROXY_PROTOCOL_V2;
    else if (config_is(word, "false") || config_is(word, "0"))
        entry->proxy_protocol = 0;
    else
        config_error(loader, "\"%.*s\" is not one of true, false, 1, 2", TEXT(word));
}

// ADDRESS or ADDRESS/BITS, with no bit set behind them.
static bool
parse_network(struct slice word, struct network *ret_network)
{
    char text[INET6_ADDRSTRLEN + 4];
    if (word.len == 0 || word.len >= sizeof text)
        return false;
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    char *slash = strchr(text, '/');
    memset(ret_network, 0, sizeof *ret_network);
    if (slash)
        *slash = '\0';
    ret_network->ipv6 = strchr(text, ':') != NULL;
    uint32_t bits = ret_network->ipv6 ? 128 : 32, max = bits;
    if (inet_pton(ret_network->ipv6 ? AF_INET6 : AF_INET, text, ret_network->address) != 1)
        return false;
    if (slash) {
        size_t len = strlen(slash + 1);
        if (len == 0 || len > 3 || strspn(slash + 1, "0123456789") != len)
            return false;
        bits = 0;
        for (const char *p = slash + 1; *p; p++)
            bits = bits * 10 + (uint32_t)(*p - '0');
    }
    if (bits > max)
        return false;
    ret_network->bits = (uint8_t)bits;
    for (uint32_t i = bits; i < max; i++)
        if (ret_network->address[i / 8] & (0x80 >> i % 8))
            return false;
    return true;
}

// One, or several with commas or blanks.
void
config_set_proxy_from(struct config_loader *loader, struct slice value)
{
    struct listener_entry *entry = &loader->block->entry;
    for (uint32_t at = 0; at < value.len;) {
        uint32_t end = at;
        while (end < value.len && value.data[end] != ',' && value.data[end] != ' ')
            end++;
        struct slice word = {value.data + at, end - at};
        at = end + 1;
        struct network network;
        if (word.len == 0)
            continue;
        if (!parse_network(word, &network)) {
            config_error(loader, "\"%.*s\" is not an address or a network, as 10.0.0.0/8 is",
                         TEXT(word));
            continue;
        }
        if (entry->proxy_count == LIST_MAX) {
            config_error(loader, "there are more than %u networks", LIST_MAX);
            return;
        }
        entry->proxies =
            mem_realloc(entry->proxies, (entry->proxy_count + 1) * sizeof *entry->proxies);
        entry->proxies[entry->proxy_count++] = network;
    }
}

// ---- What follows -------------------------------------------------------------------------------

static void
name_of(const struct listener_config *listener, char *ret_name, size_t size)
{
    (void)snprintf(ret_name, size, "listener %u %s", listener->port,
                   listener->unix_path ? listener->unix_path
                   : listener->address ? listener->address
                                       : "");
}

void
config_entry_finish(struct config_loader *loader, struct listener_config *listener)
{
    struct listener_entry *entry = &listener->entry;
    char name[128];
    name_of(listener, name, sizeof name);
    share_files(loader, entry);
    // Any of these says that clients are to come by TLS. Without a certificate io will refuse to
    // open the listener, rather than open it without TLS.
    entry->tls_asked = entry->tls_asked || entry->cert_file || entry->key_file || entry->ca_file ||
                       entry->ca_path || entry->crl_file || entry->ciphers ||
                       entry->ciphers_tls13 || entry->psk_hint || entry->ticket_key_file ||
                       entry->ocsp_file || entry->require_certificate;
    if (entry->use_identity_as_username && entry->use_subject_as_username)
        config_error(loader,
                     "%s: use_identity_as_username and use_subject_as_username exclude each other",
                     name);
    bool named = entry->use_identity_as_username || entry->use_subject_as_username;
    if (named && !entry->tls_asked && !(entry->proxy_protocol & PROXY_PROTOCOL_V2))
        config_error(loader, "%s: user names from certificates need TLS (certfile, keyfile)", name);
    if (entry->proxy_protocol && entry->proxy_count == 0 && !listener->unix_path)
        config_error(loader,
                     "%s: enable_proxy_protocol needs proxy_protocol_from, the addresses of the "
                     "proxies: anybody else could claim to be anybody",
                     name);
    if (!entry->proxy_protocol && entry->proxy_count > 0)
        config_warning(loader,
                       "%s: proxy_protocol_from has no effect without enable_proxy_protocol", name);
    if (entry->protocol != PROTOCOL_WEBSOCKETS &&
        (entry->websockets_origins || entry->websockets_path))
        config_warning(loader,
                       "%s: websockets_path and websockets_origin have no effect without "
                       "protocol websockets",
                       name);
    if (entry->websockets_path && entry->websockets_path[0] != '/')
        config_error(loader, "%s: websockets_path begins with /", name);
}
