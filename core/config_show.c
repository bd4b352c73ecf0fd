// config_show.c - the configuration in force, key by key, as lines that could be read again.
//
// Keys with a field are written as their type says; the others have a function here, as they have
// one that sets them. What may be a secret is replaced by SECRET.
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

#define SECRET "***"

struct show {
    const struct config *config;
    const struct listener_config *listener; // NULL: keys of the broker
    struct config_shown shown;
    void (*fn)(void *arg, const struct config_shown *shown);
    void *arg;
};

static void
say(struct show *show, const char *value)
{
    must(show->shown.key && value);
    show->shown.value = value;
    show->fn(show->arg, &show->shown);
}

static void
say_set(struct show *show, const char *value)
{
    if (value)
        say(show, value);
}

static void PRINTF_LIKE(2) say_text(struct show *show, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(show, text);
}

// Of a URL no query, which may hold a token: https://host/path?***
static void
say_string(struct show *show, const char *value)
{
    const char *query = strstr(value, "://") ? strchr(value, '?') : NULL;
    if (!query) {
        say(show, value);
        return;
    }
    size_t len = (size_t)(query + 1 - value);
    char *text = mem_alloc(len + sizeof SECRET);
    memcpy(text, value, len);
    memcpy(text + len, SECRET, sizeof SECRET);
    say(show, text);
    mem_free(text);
}

// ---- Keys with a field --------------------------------------------------------------------------

static void
show_duration(struct show *show, const struct config_key *key, uint64_t seconds)
{
    static const struct {
        uint32_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {1, 's'}};
    if (seconds == key->never) {
        say(show, "never");
        return;
    }
    unsigned i = 0;
    while (seconds % units[i].seconds != 0)
        i++;
    say_text(show, "%" PRIu64 "%c", seconds / units[i].seconds, units[i].unit);
}

static void
show_choice(struct show *show, const struct config_key *key, uint64_t position)
{
    const char *at = key->choices;
    for (; position > 0; position--)
        at = strchr(at, '|') + 1;
    say_text(show, "%.*s", (int)strcspn(at, "|"), at);
}

static void
show_field(struct show *show, const struct config_key *key, const void *base)
{
    if (key->type == TYPE_STRING) {
        const char *text = config_value_text(key, base);
        if (text)
            say_string(show, text);
        return;
    }
    uint64_t value = config_value_get(key, base);
    // 0 follows what the host grants; what that is by now is no key.
    if (show->config->memory_follows && key->offset == offsetof(struct config, memory_max) &&
        key->scope == SCOPE_GLOBAL)
        value = 0;
    switch (key->type) {
    case TYPE_BOOL:
        say(show, value ? "true" : "false");
        return;
    case TYPE_UINT:
        if (key->unset != 0 && value == key->unset)
            say(show, "auto");
        else
            say_text(show, "%" PRIu64, value);
        return;
    case TYPE_DURATION:
        show_duration(show, key, value);
        return;
    default:
        must(key->type == TYPE_CHOICE);
        show_choice(show, key, value);
    }
}

// ---- Keys with functions of their own -----------------------------------------------------------

static void
show_anonymous(struct show *show)
{
    say(show, show->listener->allow_anonymous ? "true" : "false");
}

static void
show_domain(struct show *show)
{
    if (show->listener->socket_domain != 0)
        say_text(show, "ipv%u", show->listener->socket_domain);
}

static void
show_protocol(struct show *show)
{
    say(show, show->listener->entry.protocol == PROTOCOL_WEBSOCKETS ? "websockets" : "mqtt");
}

static void
show_tls_version(struct show *show)
{
    if (show->listener->entry.tls_asked)
        say(show, show->listener->entry.tls_version == TLS_AT_LEAST_1_3 ? "tlsv1.3" : "tlsv1.2");
}

static void
show_psk_file(struct show *show)
{
    say_set(show, show->listener->entry.psk_file);
}

static void
show_password_file(struct show *show)
{
    say_set(show, show->listener->entry.password_file);
}

static void
show_acl_file(struct show *show)
{
    say_set(show, show->listener->entry.acl_file);
}

static void
show_origins(struct show *show)
{
    char *const *origins = show->listener->entry.websockets_origins;
    for (; origins && *origins; origins++)
        say(show, *origins);
}

static void
show_proxy(struct show *show)
{
    static const char *const texts[] = {
        [0] = "false",
        [PROXY_PROTOCOL_V1] = "1",
        [PROXY_PROTOCOL_V2] = "2",
        [PROXY_PROTOCOL_V1 | PROXY_PROTOCOL_V2] = "true",
    };
    must(show->listener->entry.proxy_protocol < ARRAY_LEN(texts));
    say(show, texts[show->listener->entry.proxy_protocol]);
}

static void
show_proxies(struct show *show)
{
    const struct listener_entry *entry = &show->listener->entry;
    for (uint32_t i = 0; i < entry->proxy_count; i++) {
        const struct network *network = &entry->proxies[i];
        char host[INET6_ADDRSTRLEN];
        if (inet_ntop(network->ipv6 ? AF_INET6 : AF_INET, network->address, host, sizeof host))
            say_text(show, "%s/%u", host, network->bits);
    }
}

static void
show_headers(struct show *show)
{
    char *const *headers = show->config->auth_http.headers;
    for (; headers && *headers; headers++)
        say_text(show, "%.*s: " SECRET, (int)min_u64(strcspn(*headers, ":"), 128), *headers);
}

static void
show_matches(struct show *show)
{
    char *const *matches = show->config->auth_jwt.matches;
    for (; matches && *matches; matches++)
        say(show, *matches);
}

static void
show_log_dest(struct show *show)
{
    const struct log_options *log = &show->config->log;
    if (log->dests & LOG_D_STDERR)
        say(show, "stderr");
    if (log->dests & LOG_D_STDOUT)
        say(show, "stdout");
    if (log->dests & LOG_D_SYSLOG)
        say(show, "syslog");
    if (log->dests & LOG_D_FILE) {
        char *text = mem_alloc(strlen("file ") + strlen(log->file) + 1);
        (void)stpcpy(stpcpy(text, "file "), log->file);
        say(show, text);
        mem_free(text);
    }
    if (log->dests == 0)
        say(show, "none");
}

static void
show_log_type(struct show *show)
{
    uint32_t types = show->config->log.types;
    for (unsigned i = 0; i < LOG_TYPES; i++)
        if (types >> i & 1)
            say(show, log_type_names[i]);
    if (types == 0)
        say(show, "none");
}

static void
show_log_facility(struct show *show)
{
    static const int local[] = {LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3,
                                LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7};
    for (unsigned i = 0; i < ARRAY_LEN(local); i++)
        if (show->config->log.syslog_facility == local[i])
            say_text(show, "%u", i);
}

static const struct own {
    const char *key;
    bool of_listener;
    void (*show)(struct show *show); // NULL: other keys say what it has set
} owns[] = {
    {"listener", true, NULL},
    {"port", true, NULL},
    {"bind_address", true, NULL},
    {"allow_anonymous", true, show_anonymous},
    {"socket_domain", true, show_domain},
    {"protocol", true, show_protocol},
    {"tls_version", true, show_tls_version},
    {"psk_file", true, show_psk_file},
    {"password_file", true, show_password_file},
    {"acl_file", true, show_acl_file},
    {"websockets_origin", true, show_origins},
    {"enable_proxy_protocol", true, show_proxy},
    {"proxy_protocol_from", true, show_proxies},
    {"plugin", false, NULL},
    {"plugin_opt_config_file", false, NULL},
    {"auth_http_header", false, show_headers},
    {"auth_jwt_match", false, show_matches},
    {"log_dest", false, show_log_dest},
    {"log_type", false, show_log_type},
    {"log_facility", false, show_log_facility},
    {"include_dir", false, NULL},
};

static const struct own *
find_own(const struct config_key *key)
{
    for (unsigned i = 0; i < ARRAY_LEN(owns); i++)
        if (strcmp(owns[i].key, key->name) == 0)
            return &owns[i];
    must(false); // a key that is set by a function, and shown by none
    return NULL;
}

// ---- The whole ----------------------------------------------------------------------------------

static void
show_keys(struct show *show, const void *base, bool of_listener)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->status != KEY_SUPPORTED)
            continue;
        show->shown.key = key->name;
        if (key->type == TYPE_OWN) {
            const struct own *own = find_own(key);
            if (own->of_listener == of_listener && own->show)
                own->show(show);
        } else if ((key->scope == SCOPE_LISTENER) == of_listener) {
            show_field(show, key, base);
        }
    }
}

static void
show_listener(struct show *show)
{
    const struct listener_config *listener = show->listener;
    char text[32];
    const char *where = listener->unix_path       ? listener->unix_path
                        : listener->loopback_only ? "localhost"
                                                  : listener->address;
    show->shown.key = "listener";
    (void)snprintf(text, sizeof text, "%u ", listener->port);
    if (!where) {
        say_text(show, "%u", listener->port);
        return;
    }
    char *value = mem_alloc(sizeof text + strlen(where) + 1);
    (void)stpcpy(stpcpy(value, text), where);
    say(show, value);
    mem_free(value);
}

void
config_show(const struct config *config, void (*fn)(void *arg, const struct config_shown *shown),
            void *arg)
{
    struct show show = {.config = config, .fn = fn, .arg = arg, .shown.listener = -1};
    must(config->listener_count > 0);
    show_keys(&show, config, false);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        show.listener = &config->listeners[i];
        if (show.listener->node) // cluster_bind has said it
            continue;
        show.shown.listener++;
        show_listener(&show);
        show_keys(&show, show.listener, true);
    }
}
