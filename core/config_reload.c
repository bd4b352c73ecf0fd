// config_reload.c - a new configuration for a broker that already runs.
#include "core/base/mem.h"

#include "core/config_loader.h"

// A key of the kind that only a start can set gets its old value back.
static bool
key_differs(const struct config_key *key, const struct config *old, const struct config *new)
{
    must(key->scope == SCOPE_GLOBAL && key->type != TYPE_OWN);
    if (key->type == TYPE_STRING)
        return !config_same_text(config_value_text(key, old), config_value_text(key, new));
    return config_value_get(key, old) != config_value_get(key, new);
}

static void
key_copy(const struct config_key *key, const struct config *from, struct config *to)
{
    if (key->type != TYPE_STRING) {
        memcpy((uint8_t *)to + key->offset, (const uint8_t *)from + key->offset, key->size);
        return;
    }
    char **string = config_value_string(key, to);
    const char *value = config_value_text(key, from);
    mem_free(*string);
    *string = value ? mem_strdup(value) : NULL;
}

static void
keep_fixed_keys(struct config_loader *loader, const struct config *old)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!key->fixed || key->scope != SCOPE_GLOBAL || key->type == TYPE_OWN ||
            !key_differs(key, old, loader->config))
            continue;
        key_copy(key, old, loader->config);
        must(!key_differs(key, old, loader->config));
        config_warning(loader, "%s cannot change while the broker runs and keeps its value",
                       key->name);
    }
    loader->config->daemon = old->daemon;
}

static bool
same_place(const struct listener_config *a, const struct listener_config *b)
{
    return a->port == b->port && a->loopback_only == b->loopback_only &&
           config_same_text(a->address, b->address) && config_same_text(a->unix_path, b->unix_path);
}

static struct listener_config *
find_place(struct config *config, const struct listener_config *place)
{
    for (uint32_t i = 0; i < config->listener_count; i++)
        if (same_place(&config->listeners[i], place))
            return &config->listeners[i];
    return NULL;
}

static void
copy_listener(const struct listener_config *from, struct listener_config *to)
{
    *to = *from;
    config_entry_copy(&from->entry, &to->entry);
    to->address = from->address ? mem_strdup(from->address) : NULL;
    to->unix_path = from->unix_path ? mem_strdup(from->unix_path) : NULL;
    to->mount_point = from->mount_point ? mem_strdup(from->mount_point) : NULL;
    to->advertise = from->advertise ? mem_strdup(from->advertise) : NULL;
}

static void
warn_of(struct config_loader *loader, const struct listener_config *listener, const char *what)
{
    if (listener->unix_path)
        config_warning(loader, "listener 0 %s %s at the next start", listener->unix_path, what);
    else
        config_warning(loader, "listener %u%s%s %s at the next start", listener->port,
                       listener->address ? " " : "", listener->address ? listener->address : "",
                       what);
}

// Afterwards the new configuration has the old listeners, in their order, with the new settings of
// those that it still names. Connections know their listener by its index.
static void
keep_listeners(struct config_loader *loader, const struct config *old)
{
    struct config *new = loader->config;
    must(old->listener_count <= CONFIG_LISTENERS_MAX);
    struct listener_config kept[CONFIG_LISTENERS_MAX];
    for (uint32_t i = 0; i < old->listener_count; i++) {
        const struct listener_config *place = &old->listeners[i];
        struct listener_config *found = find_place(new, place);
        copy_listener(found ? found : place, &kept[i]);
        if (!found)
            warn_of(loader, place, "stays open; it will be gone");
        else if (found->socket_domain != place->socket_domain)
            warn_of(loader, place, "keeps its socket_domain; it will change");
        if (found && found->entry.protocol != place->entry.protocol)
            warn_of(loader, place, "keeps its protocol; it will change");
        if (found && !config_same_text(found->advertise, place->advertise))
            warn_of(loader, place, "keeps its advertise; it will change");
        mem_free(kept[i].advertise);
        kept[i].advertise = place->advertise ? mem_strdup(place->advertise) : NULL;
        kept[i].entry.protocol = place->entry.protocol;
        kept[i].socket_domain = place->socket_domain;
    }
    for (uint32_t i = 0; i < new->listener_count; i++) {
        struct listener_config *listener = &new->listeners[i];
        const struct listener_config *end = old->listeners + old->listener_count;
        const struct listener_config *at = old->listeners;
        while (at < end && !same_place(at, listener))
            at++;
        if (at == end)
            warn_of(loader, listener, "is not open yet; it will be");
        config_listener_clear(listener);
    }
    memcpy(new->listeners, kept, old->listener_count * sizeof kept[0]);
    new->listener_count = old->listener_count;
}

err_t
config_reload(const struct config *old, const struct config_options *options, char *const *env,
              struct config **ret_config, struct config_report *ret_report)
{
    must(old != NULL && old->listener_count > 0);
    struct config *config;
    err_t err = config_load(options, env, &config, ret_report);
    if (err != OK)
        return err;
    struct config_loader *loader = mem_zalloc(sizeof *loader);
    loader->config = config;
    loader->report = ret_report;
    loader->here = (struct config_origin){config->file, 0};
    keep_fixed_keys(loader, old);
    keep_listeners(loader, old);
    mem_free(loader);
    must(config->listener_count == old->listener_count);
    *ret_config = config;
    return OK;
}
