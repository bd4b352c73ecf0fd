// test_access_dynsec_random.c - random sequences of commands against a simple model.
//
// The model is three small matrices: who holds which role, who is in which group. After each
// command the two say the same; now and then everything is loaded anew from what was stored.
#include <stdarg.h>
#include <stdlib.h>

#include "test_access_dynsec.h"

enum { CLIENTS = 4, GROUPS = 3, ROLES = 4, STEPS = 4000, SETTINGS_MAX = 40 };

struct holder { // a client or a group
    bool there;
    int role[ROLES]; // priority; ABSENT
};

struct expected {
    struct holder clients[CLIENTS], groups[GROUPS];
    bool roles[ROLES];
    int member[CLIENTS][GROUPS]; // priority; ABSENT
    bool disabled[CLIENTS];
    int anonymous; // a group; -1
};

enum { ABSENT = -1000 };

static struct expected model;
static struct dynsec *dynsec;
static struct dynsec_setting store[SETTINGS_MAX];
static uint32_t stored;

// ---- The store ----------------------------------------------------------------------------------

static struct slice
copy(struct slice text)
{
    return slice_of(mem_strndup(text.len ? (const char *)text.data : "", text.len), text.len);
}

static void
drop(uint32_t at)
{
    mem_free(unconst(store[at].name.data));
    mem_free(unconst(store[at].value.data));
    store[at] = store[--stored];
}

static void
keep(const struct dynsec_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        for (uint32_t at = 0; at < stored; at++)
            if (slice_equal(store[at].name, settings->list[i].name)) {
                drop(at);
                break;
            }
        if (settings->list[i].value.len == 0)
            continue;
        cr_assert(stored < SETTINGS_MAX);
        store[stored++] =
            (struct dynsec_setting){copy(settings->list[i].name), copy(settings->list[i].value)};
    }
}

static void
load_again(void)
{
    char problem[200];
    dynsec_free(dynsec);
    dynsec = fresh();
    cr_assert_eq(dynsec_load(dynsec, store, stored, problem, sizeof problem), OK, "%s", problem);
}

// ---- What there should be -----------------------------------------------------------------------

struct item {
    int number, priority;
};

static int
compare_items(const void *left, const void *right)
{
    const struct item *l = left, *r = right;
    return l->priority != r->priority ? r->priority - l->priority : l->number - r->number;
}

// Appends; there is always room.
PRINTF_LIKE(2)
static char *
print(char *end, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(end, 200, format, args);
    va_end(args);
    cr_assert(len >= 0 && len < 200);
    return end + len;
}

static size_t
print_links(char *to, const char *field, char letter, const int *priorities, int count)
{
    struct item items[8];
    int n = 0;
    for (int i = 0; i < count; i++)
        if (priorities[i] != ABSENT)
            items[n++] = (struct item){i, priorities[i]};
    qsort(items, (size_t)n, sizeof *items, compare_items);
    char *end = stpcpy(to, "[");
    for (int i = 0; i < n; i++) {
        end = print(end, "%s{'%s':'%c%d'", i ? "," : "", field, letter, items[i].number);
        if (items[i].priority != -1)
            end = print(end, ",'priority':%d", items[i].priority);
        end = stpcpy(end, "}");
    }
    return (size_t)(stpcpy(end, "]") - to);
}

static size_t
print_clients(char *to)
{
    char *end = to;
    for (int i = 0, n = 0; i < CLIENTS; i++) {
        if (!model.clients[i].there)
            continue;
        end = print(end, "%s{'username':'c%d',%s'roles':", n++ ? "," : "", i,
                    model.disabled[i] ? "'disabled':true," : "");
        end += print_links(end, "rolename", 'r', model.clients[i].role, ROLES);
        end = stpcpy(end, ",'groups':");
        end += print_links(end, "groupname", 'g', model.member[i], GROUPS);
        end = stpcpy(end, "}");
    }
    return (size_t)(end - to);
}

static size_t
print_groups(char *to)
{
    char *end = to;
    for (int i = 0, n = 0; i < GROUPS; i++) {
        if (!model.groups[i].there)
            continue;
        end = print(end, "%s{'groupname':'g%d','clients':[", n++ ? "," : "", i);
        for (int c = 0, m = 0; c < CLIENTS; c++)
            if (model.member[c][i] != ABSENT)
                end = print(end, "%s{'username':'c%d'}", m++ ? "," : "", c);
        end = stpcpy(end, "],'roles':");
        end += print_links(end, "rolename", 'r', model.groups[i].role, ROLES);
        end = stpcpy(end, "}");
    }
    return (size_t)(end - to);
}

static int
count(const struct holder *holders, int max)
{
    int n = 0;
    for (int i = 0; i < max; i++)
        n += holders[i].there;
    return n;
}

static void
check(void)
{
    char want[9000], *end = want;
    end = print(end, "{'command':'listClients','data':{'totalCount':%d,'clients':[",
                count(model.clients, CLIENTS));
    end += print_clients(end);
    end = print(end, "]}},{'command':'listGroups','data':{'totalCount':%d,'groups':[",
                count(model.groups, GROUPS));
    end += print_groups(end);
    end = stpcpy(end, "]}},{'command':'getAnonymousGroup','data':{'group':{'groupname':'");
    if (model.anonymous >= 0)
        end = print(end, "g%d", model.anonymous);
    (void)stpcpy(end, "'}}}");
    char full[9300];
    (void)snprintf(full, sizeof full, "{'responses':[%s]}", want);
    char *reply =
        execute(dynsec,
                "{'commands':[{'command':'listClients','verbose':true},"
                "{'command':'listGroups','verbose':true},{'command':'getAnonymousGroup'}]}",
                NULL);
    char *expected = quoted(full);
    cr_assert_str_eq(reply, expected);
    mem_free(expected);
    mem_free(reply);
}

// ---- Commands -----------------------------------------------------------------------------------

// Whether it is to succeed.
static void
command(bool good, const char *format, ...)
{
    char text[400], payload[500];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(payload, sizeof payload, "{'commands':[{'command':%s}]}", text);
    struct dynsec_outcome outcome;
    char *reply = execute(dynsec, payload, &outcome);
    cr_assert_eq(!strstr(reply, "error"), good, "%s: %s", payload, reply);
    cr_assert(good || outcome.settings.count == 0);
    keep(&outcome.settings);
    dynsec_outcome_free(&outcome);
    mem_free(reply);
}

static void
clear(int *priorities, int n)
{
    for (int i = 0; i < n; i++)
        priorities[i] = ABSENT;
}

static void
do_client(int c)
{
    struct holder *client = &model.clients[c];
    switch (rand() % 4) {
    case 0:
        command(!client->there, "'createClient','username':'c%d'", c);
        client->there = true;
        return;
    case 1:
        command(client->there, "'deleteClient','username':'c%d'", c);
        *client = (struct holder){0};
        clear(client->role, ROLES);
        clear(model.member[c], GROUPS);
        model.disabled[c] = false;
        return;
    default:
        model.disabled[c] = client->there && rand() % 2;
        command(client->there, "'%sableClient','username':'c%d'", model.disabled[c] ? "dis" : "en",
                c);
    }
}

static void
do_group(int g)
{
    struct holder *group = &model.groups[g];
    if (rand() % 2) {
        command(!group->there, "'createGroup','groupname':'g%d'", g);
        group->there = true;
        return;
    }
    bool good = group->there && model.anonymous != g;
    command(good, "'deleteGroup','groupname':'g%d'", g);
    if (!good)
        return;
    group->there = false;
    clear(group->role, ROLES);
    for (int c = 0; c < CLIENTS; c++)
        model.member[c][g] = ABSENT;
}

static void
do_role(int r)
{
    bool there = model.roles[r];
    if (rand() % 2) {
        command(!there, "'createRole','rolename':'r%d'", r);
        model.roles[r] = true;
        return;
    }
    command(there, "'deleteRole','rolename':'r%d'", r);
    model.roles[r] = false;
    for (int c = 0; c < CLIENTS; c++)
        model.clients[c].role[r] = ABSENT;
    for (int g = 0; g < GROUPS; g++)
        model.groups[g].role[r] = ABSENT;
}

static void
do_hold(struct holder *holder, const char *kind, const char *field, char letter, int n)
{
    int r = rand() % ROLES, priority = rand() % 4 - 1;
    bool both = holder->there && model.roles[r];
    if (rand() % 2) {
        bool good = both && holder->role[r] == ABSENT;
        command(good, "'add%sRole','%s':'%c%d','rolename':'r%d','priority':%d", kind, field, letter,
                n, r, priority);
        if (good)
            holder->role[r] = priority;
        return;
    }
    command(both, "'remove%sRole','%s':'%c%d','rolename':'r%d'", kind, field, letter, n, r);
    if (both)
        holder->role[r] = ABSENT;
}

static void
do_member(int c, int g)
{
    bool both = model.clients[c].there && model.groups[g].there;
    int priority = rand() % 4 - 1;
    if (rand() % 2) {
        bool good = both && model.member[c][g] == ABSENT;
        command(good, "'addGroupClient','username':'c%d','groupname':'g%d','priority':%d", c, g,
                priority);
        if (good)
            model.member[c][g] = priority;
        return;
    }
    command(both, "'removeGroupClient','username':'c%d','groupname':'g%d'", c, g);
    if (both)
        model.member[c][g] = ABSENT;
}

// The whole list of a group's clients, or of a client's groups, with one in it.
static void
do_modify(int c, int g)
{
    bool both = model.clients[c].there && model.groups[g].there;
    if (rand() % 2) {
        command(both, "'modifyGroup','groupname':'g%d','clients':[{'username':'c%d','priority':2}]",
                g, c);
        for (int i = 0; both && i < CLIENTS; i++)
            model.member[i][g] = i == c ? 2 : ABSENT;
    } else {
        command(both, "'modifyClient','username':'c%d','groups':[{'groupname':'g%d'}]", c, g);
        for (int i = 0; both && i < GROUPS; i++)
            model.member[c][i] = i == g ? -1 : ABSENT;
    }
}

static void
step(void)
{
    int c = rand() % CLIENTS, g = rand() % GROUPS;
    switch (rand() % 8) {
    case 0:
        do_client(c);
        return;
    case 1:
        do_group(g);
        return;
    case 2:
        do_role(rand() % ROLES);
        return;
    case 3:
        do_hold(&model.clients[c], "Client", "username", 'c', c);
        return;
    case 4:
        do_hold(&model.groups[g], "Group", "groupname", 'g', g);
        return;
    case 5:
        do_modify(c, g);
        return;
    case 6:
        if (rand() % 4 == 0) {
            command(model.groups[g].there, "'setAnonymousGroup','groupname':'g%d'", g);
            model.anonymous = model.groups[g].there ? g : model.anonymous;
            return;
        }
        // fall through
    default:
        do_member(c, g);
    }
}

Test(dynsec_random, commands_do_what_a_simple_model_does_and_so_does_what_was_stored)
{
    srand(75);
    dynsec = fresh();
    model.anonymous = -1;
    for (int i = 0; i < CLIENTS; i++) {
        clear(model.clients[i].role, ROLES);
        clear(model.member[i], GROUPS);
    }
    for (int i = 0; i < GROUPS; i++)
        clear(model.groups[i].role, ROLES);
    for (int i = 0; i < STEPS; i++) {
        step();
        if (i % 7 == 0)
            load_again();
        check();
        if (i % 50 == 0)
            acl_unref(dynsec_compile(dynsec));
    }
    while (stored > 0)
        drop(stored - 1);
    dynsec_free(dynsec);
}
