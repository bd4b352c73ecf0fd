// config_env.c - keys from the environment, which win over the file.
//
// An unknown name is a warning at most: the variables are not only ours. Beside a service that is
// called ternmq, Kubernetes sets TERNMQ_PORT to tcp://10.0.0.1:1883, TERNMQ_SERVICE_HOST,
// TERNMQ_PORT_1883_TCP and more in every container.
#include "core/config_loader.h"

#define NAME_MAX_LEN 128

// auto_id_prefix -> AUTO_ID_PREFIX, ciphers_tls1.3 -> CIPHERS_TLS1_3
static bool
env_names(const struct config_key *key, struct slice name)
{
    if (strlen(key->name) != name.len)
        return false;
    for (uint32_t i = 0; i < name.len; i++) {
        char c = key->name[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (c == '.')
            c = '_';
        if (c != (char)name.data[i])
            return false;
    }
    return true;
}

static const struct config_key *
env_find(struct slice name)
{
    for (uint32_t i = 0; i < config_key_count; i++)
        if (env_names(&config_keys[i], name))
            return &config_keys[i];
    return NULL;
}

static bool
begins_with(struct slice text, const char *head)
{
    return text.len >= strlen(head) && memcmp(text.data, head, strlen(head)) == 0;
}

static bool
is_from_kubernetes(struct slice name, struct slice value)
{
    return begins_with(name, "SERVICE_") || begins_with(name, "PORT_") ||
           (config_is(name, "PORT") && begins_with(value, "tcp://"));
}

// What the file said is gone; a list has commas, as one variable cannot repeat.
static void
apply_list(struct config_loader *loader, const struct config_key *key, struct slice value)
{
    must(key->repeats && key->type == TYPE_OWN);
    bool *said = key->set == config_set_log_dest ? &loader->dests_said : &loader->types_said;
    *said = false;
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        struct slice item = {value.data, comma ? (uint32_t)(comma - value.data) : value.len};
        uint32_t used = item.len + (comma ? 1 : 0);
        config_apply(loader, key, config_trim(item));
        value = (struct slice){value.data + used, value.len - used};
    }
}

static void
read_variable(struct config_loader *loader, struct slice name, struct slice value)
{
    must(name.len > 0);
    if (is_from_kubernetes(name, value))
        return;
    const struct config_key *key = env_find(name);
    if (!key) {
        config_warning(loader, "no key has this name");
        return;
    }
    if (value.len > CONFIG_LINE_MAX) {
        config_error(loader, "the value is longer than %d bytes", CONFIG_LINE_MAX);
        return;
    }
    if (key->set == config_set_listener) {
        config_error(loader, "listeners stand in a file; here, " CONFIG_ENV_PREFIX "PORT and " //
                     CONFIG_ENV_PREFIX "BIND_ADDRESS set the default one");
        return;
    }
    loader->seen[key - config_keys].file = NULL; // to win is what it is for: no warning
    if (key->set == config_set_log_dest || key->set == config_set_log_type)
        apply_list(loader, key, value);
    else
        config_apply(loader, key, config_trim(value));
    loader->seen[key - config_keys].file = NULL; // the name there ends with its caller
}

// The variables have no order: those that include files come first, so that all others win.
static void
read_pass(struct config_loader *loader, char *const *env, bool including)
{
    for (; env && *env; env++) {
        struct slice pair = slice_str(*env);
        const uint8_t *equals = memchr(pair.data, '=', pair.len);
        if (!begins_with(pair, CONFIG_ENV_PREFIX) || !equals)
            continue;
        uint32_t name_len = (uint32_t)(equals - pair.data);
        uint32_t prefix = (uint32_t)strlen(CONFIG_ENV_PREFIX);
        if (name_len > NAME_MAX_LEN || name_len <= prefix)
            continue;
        struct slice name = {pair.data + prefix, name_len - prefix};
        if (config_is(name, "INCLUDE_DIR") != including)
            continue;
        char variable[NAME_MAX_LEN + 1];
        memcpy(variable, pair.data, name_len);
        variable[name_len] = '\0';
        loader->here = (struct config_origin){variable, 0};
        read_variable(loader, name, (struct slice){equals + 1, pair.len - name_len - 1});
        loader->here = (struct config_origin){NULL, 0};
    }
}

void
config_read_env(struct config_loader *loader, char *const *env)
{
    must(loader->depth == 0);
    config_block_begins(loader, &loader->default_listener);
    read_pass(loader, env, true);
    read_pass(loader, env, false);
}
