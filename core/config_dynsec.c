// config_dynsec.c - dynamic security, and mosquitto's keys for it.
#include <string.h>

#include "core/config_loader.h"

#define PLUGIN "mosquitto_dynamic_security.so"

// Of all plugins there is one that is built in.
void
config_set_plugin(struct config_loader *loader, struct slice value)
{
    const uint8_t *slash = value.len > 0 ? memrchr(value.data, '/', value.len) : NULL;
    const uint8_t *name = slash ? slash + 1 : value.data;
    size_t len = (size_t)(value.data + value.len - name);
    if (slice_equal(slice_of(name, len), slice_str(PLUGIN)))
        loader->config->dynamic_security = true;
    else
        config_error(loader,
                     "plugin %.*s: this version has no plugins; only " PLUGIN
                     " is understood, for dynamic_security true",
                     (int)min_u32(value.len, 200), (const char *)value.data);
}

void
config_set_plugin_file(struct config_loader *loader, struct slice value)
{
    config_string(&loader->config->dynamic_security_file, value);
}

static bool
has_acl_file(const struct config *config)
{
    for (uint32_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].entry.acl_file)
            return true;
    return false;
}

void
config_dynsec_finish(struct config_loader *loader)
{
    const struct config *config = loader->config;
    if (!config->dynamic_security) {
        if (config->dynamic_security_file)
            config_warning(loader,
                           "dynamic_security_file has no effect without dynamic_security true");
        return;
    }
    if (has_acl_file(config))
        config_error(loader, "acl_file and dynamic_security exclude each other: rules for topics "
                             "come from one of them");
    if (!config->persistence)
        config_warning(loader, "dynamic_security without persistence true: what is changed at run "
                               "time is gone with the process");
}
