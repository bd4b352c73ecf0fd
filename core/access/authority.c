// authority.c - all that answers come from, as loaded at one time.
#include "core/access/authority.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/secret_file.h"

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

static struct access_users *
names_of(const struct users *users)
{
    struct access_users *names = access_users_new();
    for (uint32_t i = 0; i < users_count(users); i++) {
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
            listener->names = names_of(listener->users);
    }
    if (err == OK && entry->acl_file && !listener->acl)
        err = load_acl(entry->acl_file, &listener->acl, problem);
    listener->asks = listener->users != NULL;
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
    err_t err = OK;
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
    mem_free(authority);
}
