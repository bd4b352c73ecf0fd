// fuzz_dynsec.c - commands and files of dynamic security.
//
// Payloads of commands, one after the other, or a dynamic-security.json: no crash, responses that
// are JSON, rules that compile, and what was stored makes the same clients, groups and roles again.
#include <jansson.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/access.h"
#include "core/access/dynsec.h"
#include "core/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// ---- A store ------------------------------------------------------------------------------------

struct table {
    struct dynsec_setting *rows;
    uint32_t count, cap;
};

static struct slice
copy(struct slice text)
{
    uint8_t *bytes = mem_alloc(text.len + 1u);
    memcpy(bytes, text.len ? text.data : bytes, text.len);
    return slice_of(bytes, text.len);
}

static void
drop(struct table *table, uint32_t at)
{
    mem_free(unconst(table->rows[at].name.data));
    mem_free(unconst(table->rows[at].value.data));
    table->rows[at] = table->rows[--table->count];
}

static void
keep(struct table *table, const struct dynsec_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct dynsec_setting *setting = &settings->list[i];
        for (uint32_t at = 0; at < table->count; at++)
            if (slice_equal(table->rows[at].name, setting->name)) {
                drop(table, at);
                break;
            }
        if (setting->value.len == 0)
            continue;
        table->rows = mem_grow(table->rows, &table->cap, table->count + 1, sizeof *table->rows);
        table->rows[table->count++] =
            (struct dynsec_setting){copy(setting->name), copy(setting->value)};
    }
}

// ---- What is there ------------------------------------------------------------------------------

static const char everything[] =
    "{\"commands\":[{\"command\":\"listClients\",\"verbose\":true},"
    "{\"command\":\"listGroups\",\"verbose\":true},{\"command\":\"listRoles\",\"verbose\":true},"
    "{\"command\":\"getDefaultACLAccess\"},{\"command\":\"getAnonymousGroup\"}]}";

static struct slice
run(struct dynsec *dynsec, struct slice payload, struct table *table)
{
    struct dynsec_outcome outcome;
    dynsec_execute(dynsec, slice_str("a"), payload, &outcome);
    struct slice reply = outcome.reply;
    outcome.reply = slice_of(NULL, 0);
    must(outcome.rules || outcome.settings.count == 0);
    if (table)
        keep(table, &outcome.settings);
    dynsec_outcome_free(&outcome);
    json_t *json = json_loadb((const char *)reply.data, reply.len, 0, NULL);
    must(json_is_array(json_object_get(json, "responses")));
    json_decref(json);
    return reply;
}

static void
compile(struct dynsec *dynsec)
{
    struct acl *acl = dynsec_compile(dynsec);
    struct rights *rights = rights_new(acl, slice_str("a"), slice_str("b"));
    (void)rights_allow(rights, ACL_PUBLISH, slice_str("a/b"));
    (void)rights_allow_filter(rights, ACL_SUBSCRIBE, slice_str("a/#"));
    rights_free(rights);
    acl_unref(acl);
    struct access_users *users = access_users_new();
    dynsec_add_users(dynsec, users);
    access_users_unref(users);
    uint64_t mark;
    struct dynsec_login login = {slice_str("a"), slice_str("b"), slice_str("c")};
    err_t err = dynsec_check(dynsec, &login, NULL, 0, &mark);
    must(err == OK || err == ERR_NOT_FOUND || err == ERR_NOT_AUTHORIZED);
}

static void
compare(struct dynsec *dynsec, const struct table *table)
{
    char problem[200];
    struct dynsec *again = dynsec_new(1);
    err_t err = dynsec_load(again, table->rows, table->count, problem, sizeof problem);
    must(err == OK);
    struct slice one = run(dynsec, slice_str(everything), NULL),
                 other = run(again, slice_str(everything), NULL);
    must(slice_equal(one, other));
    mem_free(unconst(one.data));
    mem_free(unconst(other.data));
    dynsec_free(again);
}

// ---- The input ----------------------------------------------------------------------------------

// Iterations that a file asks for take what they take: not here.
static bool
is_dear(struct slice text)
{
    json_t *root = json_loadb((const char *)text.data, text.len, 0, NULL);
    char *flat = root ? json_dumps(root, JSON_COMPACT) : NULL;
    bool dear = false;
    for (const char *p = flat; p && (p = strcasestr(p, "\"iterations\":")) != NULL; p++)
        dear |= strtod(p + sizeof "\"iterations\":" - 1, NULL) > 1000;
    free(flat);
    json_decref(root);
    return dear;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dynsec *dynsec = dynsec_new(1);
    struct table table = {0};
    struct slice rest = slice_of(data, size);
    if (size > 0 && data[0] == '!') {
        struct dynsec_import done;
        char problem[200];
        struct slice file = slice_of(data + 1, size - 1);
        if (!is_dear(file) && dynsec_import(dynsec, file, &done, problem, sizeof problem) == OK) {
            keep(&table, &done.settings);
            dynsec_settings_free(&done.settings);
        }
        rest.len = 0;
    }
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        struct slice payload = slice_of(rest.data, end ? (size_t)(end - rest.data) : rest.len);
        struct slice reply = run(dynsec, payload, &table);
        mem_free(unconst(reply.data));
        rest = end ? slice_of(end + 1, rest.len - payload.len - 1) : slice_of(NULL, 0);
    }
    compile(dynsec);
    compare(dynsec, &table);
    while (table.count > 0)
        drop(&table, table.count - 1);
    mem_free(table.rows);
    dynsec_free(dynsec);
    return 0;
}
