// config_own.c - the keys whose values have a grammar of their own.
#include <sys/un.h>
#include <syslog.h>

#include "core/config_loader.h"

#define TEXT(slice) (int)min_u32((slice).len, 64), (const char *)(slice).data

// ---- Listeners ----------------------------------------------------------------------------------

static bool
take_path(struct config_loader *loader, struct listener_config *listener, struct slice path)
{
    if (path.len == 0 || path.data[0] != '/') {
        config_error(loader, "port 0 is for unix sockets and needs their path, from the root");
        return false;
    }
    if (path.len >= sizeof((struct sockaddr_un *)0)->sun_path) {
        config_error(loader, "the path of a unix socket has at most %zu bytes, not %u",
                     sizeof((struct sockaddr_un *)0)->sun_path - 1, path.len);
        return false;
    }
    config_string(&listener->unix_path, path);
    return true;
}

bool
config_check_control_socket(struct config_loader *loader, struct slice value)
{
    const uint32_t max = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    if (value.len > 1 && value.data[0] == '/' && value.len <= max)
        return true;
    config_error(loader, "\"%.*s\" is not the path of a socket: from the root, at most %u bytes",
                 TEXT(value), max);
    return false;
}

static bool
take_address(struct config_loader *loader, struct listener_config *listener, struct slice value)
{
    struct slice address = config_single_word(loader, value);
    if (address.len == 0 || address.data[0] == '#')
        return true; // all addresses
    if (address.data[0] == '/') {
        config_error(loader, "\"%.*s\" is the path of a unix socket, which needs port 0",
                     TEXT(address));
        return false;
    }
    config_string(&listener->address, address);
    return true;
}

void
config_set_listener(struct config_loader *loader, struct slice value)
{
    struct listener_config listener;
    config_listener_init(&listener);
    struct slice rest;
    struct slice word = config_word(value, &rest);
    uint64_t port = 0;
    bool good =
        config_uint(loader, word, 0, UINT16_MAX, &port) &&
        (port == 0 ? take_path(loader, &listener, rest) : take_address(loader, &listener, rest));
    listener.port = (uint16_t)port;
    // A block with a bad head is still a block: its keys must not land in the one before.
    struct listener_config *added = config_listener_add(loader);
    must(!added || loader->block == added);
    if (good && added) {
        config_listener_clear(added);
        *added = listener;
        return;
    }
    config_listener_clear(&listener);
}

void
config_set_port(struct config_loader *loader, struct slice value)
{
    uint64_t port;
    if (!config_uint(loader, value, 1, UINT16_MAX, &port))
        return;
    if (loader->block != &loader->default_listener)
        config_warning(loader,
                       "port is the default listener's and stands under another; "
                       "write listener %u for one more",
                       (unsigned)port);
    must(port != 0); // which would be a unix socket
    loader->default_listener.port = (uint16_t)port;
    loader->default_wanted = true;
}

void
config_set_bind_address(struct config_loader *loader, struct slice value)
{
    if (loader->block != &loader->default_listener)
        config_warning(loader, "bind_address is the default listener's and stands under another; "
                               "write the address behind that one's port");
    if (take_address(loader, &loader->default_listener, value))
        loader->default_wanted = true;
}

void
config_set_socket_domain(struct config_loader *loader, struct slice value)
{
    struct slice word = config_single_word(loader, value);
    if (config_is(word, "ipv4"))
        loader->block->socket_domain = 4;
    else if (config_is(word, "ipv6"))
        loader->block->socket_domain = 6;
    else if (config_is(word, "unspec"))
        loader->block->socket_domain = 0;
    else
        config_error(loader, "\"%.*s\" is neither ipv4 nor ipv6", TEXT(word));
}

void
config_set_protocol(struct config_loader *loader, struct slice value)
{
    struct slice word = config_single_word(loader, value);
    bool websockets = config_is(word, "websockets");
    if (websockets || config_is(word, "mqtt"))
        loader->block->entry.protocol = websockets ? PROTOCOL_WEBSOCKETS : PROTOCOL_MQTT;
    else if (config_is(word, "http_api"))
        config_error(loader, "protocol http_api: this version speaks mqtt and websockets only");
    else
        config_error(loader, "\"%.*s\" is not a protocol; write mqtt or websockets", TEXT(word));
}

void
config_set_anonymous(struct config_loader *loader, struct slice value)
{
    bool yes;
    if (!config_bool(loader, value, &yes))
        return;
    enum config_answer answer = yes ? SAID_YES : SAID_NO;
    loader->anonymous = answer;
    if (loader->block == &loader->default_listener) {
        loader->anonymous_default = answer;
        return;
    }
    ptrdiff_t index = loader->block - loader->config->listeners;
    must(index >= 0 && index < CONFIG_LISTENERS_MAX);
    loader->anonymous_in[index] = answer;
}

// ---- Logging ------------------------------------------------------------------------------------

void
config_set_log_dest(struct config_loader *loader, struct slice value)
{
    static const struct {
        const char *name;
        uint32_t dest;
    } dests[] = {{"stderr", LOG_D_STDERR},
                 {"stdout", LOG_D_STDOUT},
                 {"syslog", LOG_D_SYSLOG},
                 {"file", LOG_D_FILE},
                 {"none", 0},
                 {"topic", 0},
                 {"dlt", 0},
                 {"android", 0}};
    struct log_options *log = &loader->config->log;
    struct slice path;
    struct slice word = config_word(value, &path);
    uint32_t i = 0;
    while (i < ARRAY_LEN(dests) && !config_is(word, dests[i].name))
        i++;
    if (i == ARRAY_LEN(dests)) {
        config_error(loader, "\"%.*s\" is not one of stderr, stdout, syslog, file PATH, none",
                     TEXT(word));
        return;
    }
    if (dests[i].dest == LOG_D_FILE && path.len == 0) {
        config_error(loader, "log_dest file needs a path");
        return;
    }
    if (dests[i].dest == 0 && !config_is(word, "none")) {
        config_warning(loader, "log_dest %.*s is not available and ignored", TEXT(word));
        return;
    }
    if (dests[i].dest == LOG_D_FILE) {
        config_string(config_log_file(loader->config), path);
    }
    if (!loader->dests_said || dests[i].dest == 0)
        log->dests = 0;
    log->dests |= dests[i].dest;
    must(!(log->dests & LOG_D_FILE) || log->file != NULL);
    loader->dests_said = true;
}

void
config_set_log_type(struct config_loader *loader, struct slice value)
{
    uint32_t types;
    struct slice word = config_single_word(loader, value);
    if (!log_types_of(word, &types)) {
        config_error(loader,
                     "\"%.*s\" is not one of error, warning, notice, information, debug, "
                     "subscribe, unsubscribe, websockets, internal, all, none",
                     TEXT(word));
        return;
    }
    struct log_options *log = &loader->config->log;
    if (!loader->types_said || types == 0)
        log->types = 0;
    log->types |= types;
    must((log->types & ~(uint32_t)LOG_T_ALL) == 0);
    loader->types_said = true;
}

void
config_set_log_facility(struct config_loader *loader, struct slice value)
{
    static const int facilities[] = {LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3,
                                     LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7};
    uint64_t number;
    if (!config_uint(loader, value, 0, ARRAY_LEN(facilities) - 1, &number))
        return;
    loader->config->log.syslog_facility = facilities[number];
}
