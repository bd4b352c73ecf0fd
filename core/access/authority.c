// authority.c - all that answers come from, as loaded at one time.
#include "core/access/authority.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/secret_file.h"

#include "core/access/http_settings.h"
#include "core/access/users.h"
#include "core/acl.h"

// ---- Files --------------------------------------------------------------------------------------

static err_t
load_users(const char *path, struct users **ret_users, char problem[ACCESS_PROBLEM_MAX])
{
    struct secret_file file;
    struct file_problem unreadable;
    if (secret_file_read(path, ACCESS_FILE_BYTES_MAX, &file, &unreadable) != OK) {
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "password_file: %s", unreadable.text);
        return ERR_CONFIG;
    }
    err_t err =
        users_parse(path, slice_of(file.data, file.len), ret_users, problem, ACCESS_PROBLEM_MAX);
    secret_file_free(&file);
    return err;
}

static err_t
load_acl(const char *path, struct acl **ret_acl, char problem[ACCESS_PROBLEM_MAX])
{
    struct secret_file file;
    struct file_problem unreadable;
    if (secret_file_read(path, ACCESS_FILE_BYTES_MAX, &file, &unreadable) != OK) {
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "acl_file: %s", unreadable.text);
        return ERR_CONFIG;
    }
    err_t err =
        acl_parse(path, slice_of(file.data, file.len), ret_acl, problem, ACCESS_PROBLEM_MAX);
    secret_file_free(&file);
    return err;
}

struct access_users *
authority_names(const struct users *users)
{
    struct access_users *names = access_users_new();
    for (uint32_t i = 0; users && i < users_count(users); i++) {
        uint64_t mark;
        struct slice name = users_name(users, i, &mark);
        access_users_add(names, name, mark);
    }
    return names;
}

static bool
same_file(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

// ---- Listeners ----------------------------------------------------------------------------------

// A listener before it that has the same file has it loaded.
static err_t
load_listener(const struct config *config, uint32_t i, struct authority *authority,
              char problem[ACCESS_PROBLEM_MAX])
{
    const struct listener_entry *entry = &config->listeners[i].entry;
    struct authority_listener *listener = &authority->listeners[i];
    for (uint32_t j = 0; j < i; j++) {
        const struct listener_entry *other = &config->listeners[j].entry;
        const struct authority_listener *loaded = &authority->listeners[j];
        if (!listener->users && same_file(entry->password_file, other->password_file)) {
            listener->users = users_ref(loaded->users);
            listener->names = access_users_ref(loaded->names);
        }
        if (!listener->acl && same_file(entry->acl_file, other->acl_file))
            listener->acl = acl_ref(loaded->acl);
    }
    err_t err = OK;
    if (entry->password_file && !listener->users) {
        err = load_users(entry->password_file, &listener->users, problem);
        if (err == OK)
            listener->names = authority_names(listener->users);
    }
    if (err == OK && entry->acl_file && !listener->acl)
        err = load_acl(entry->acl_file, &listener->acl, problem);
    listener->asks = listener->users || authority->tokens || authority->hook_connects;
    return err;
}

static char *
copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static char **
copy_list(char *const *list)
{
    uint32_t count = 0;
    while (list && list[count])
        count++;
    char **fresh = mem_zalloc((count + 1) * sizeof(char *));
    for (uint32_t i = 0; i < count; i++)
        fresh[i] = mem_strdup(list[i]);
    return fresh;
}

// Copies of what it says: the configuration may be replaced while a thread still answers by it.
static err_t
load_tokens(const struct auth_jwt_config *config, struct authority *authority,
            char problem[ACCESS_PROBLEM_MAX])
{
    struct file_problem bad;
    if (jwt_keys_read(config->key_file, &authority->tokens, &bad) != OK) {
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "auth_jwt_key_file: %s", bad.text);
        return ERR_CONFIG;
    }
    authority->jwt = (struct auth_jwt_config){
        .issuer = copy(config->issuer),
        .audience = copy(config->audience),
        .user_claim = copy(config->user_claim),
        .acl_claim = copy(config->acl_claim),
        .matches = copy_list(config->matches),
        .leeway_s = config->leeway_s,
    };
    return OK;
}

static void
free_tokens(struct authority *authority)
{
    struct auth_jwt_config *jwt = &authority->jwt;
    mem_free(jwt->issuer);
    mem_free(jwt->audience);
    mem_free(jwt->user_claim);
    mem_free(jwt->acl_claim);
    for (uint32_t i = 0; jwt->matches && jwt->matches[i]; i++)
        mem_free(jwt->matches[i]);
    mem_free((void *)jwt->matches);
    jwt_keys_unref(authority->tokens);
}

// The hook reads its settings itself: here they are only looked at.
static err_t
check_hook(const struct config *config, char problem[ACCESS_PROBLEM_MAX])
{
    struct http_settings *settings;
    struct file_problem bad;
    err_t err = http_settings_new(config, &settings, &bad);
    if (err == OK)
        http_settings_unref(settings);
    else
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "%s", bad.text);
    return err;
}

err_t
authority_load(const struct config *config, struct authority **ret_authority,
               char ret_problem[ACCESS_PROBLEM_MAX])
{
    struct authority *authority = mem_zalloc(sizeof *authority);
    atomic_store(&authority->refs, 1);
    authority->listener_count = config->listener_count;
    authority->alike = true;
    authority->hook_connects = config->auth_http.url != NULL;
    authority->hook_topics = config->auth_http.acl_url != NULL;
    err_t err = check_hook(config, ret_problem);
    if (err == OK && config->auth_jwt.key_file)
        err = load_tokens(&config->auth_jwt, authority, ret_problem);
    for (uint32_t i = 0; err == OK && i < config->listener_count; i++) {
        err = load_listener(config, i, authority, ret_problem);
        authority->alike =
            authority->alike && authority->listeners[i].acl == authority->listeners[0].acl;
    }
    if (err == OK)
        *ret_authority = authority;
    else
        authority_unref(authority);
    return err;
}

struct authority *
authority_ref(struct authority *authority)
{
    atomic_fetch_add_explicit(&authority->refs, 1, memory_order_relaxed);
    return authority;
}

void
authority_unref(struct authority *authority)
{
    if (!authority || atomic_fetch_sub_explicit(&authority->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < authority->listener_count; i++) {
        users_unref(authority->listeners[i].users);
        acl_unref(authority->listeners[i].acl);
        access_users_unref(authority->listeners[i].names);
    }
    free_tokens(authority);
    mem_free(authority);
}
