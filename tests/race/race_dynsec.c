// race_dynsec.c - administrators, logins and the compiler at the same time; orders decide in the
// end.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access.h"
#include "core/access/dynsec.h"
#include "core/acl.h"
#include "tests/race/random.h"

enum { ADMINISTRATORS = 3, ROUNDS = 300, NAMES = 6 };

static struct dynsec *dynsec;
static _Atomic bool over;

// What an administrator's shard would have journaled.
struct kept {
    struct dynsec_setting list[4 * ROUNDS];
    uint64_t order[4 * ROUNDS];
    uint32_t count;
};
static struct kept kept[ADMINISTRATORS];

static struct slice
copy(struct slice text)
{
    uint8_t *bytes = mem_alloc(text.len + 1u);
    memcpy(bytes, text.len ? text.data : bytes, text.len);
    return slice_of(bytes, text.len);
}

static void *
administrate(void *arg)
{
    struct kept *mine = arg;
    uint64_t random = (uint64_t)(mine - kept) + 1;
    for (int i = 0; i < ROUNDS; i++) {
        static const char *const commands[] = {
            "createClient", "deleteClient", "disableClient", "enableClient", "modifyClient",
        };
        char payload[300];
        (void)snprintf(payload, sizeof payload,
                       "{\"commands\":[{\"command\":\"%s\",\"username\":\"u%u\",\"password\":\"p\","
                       "\"textname\":\"%d\",\"roles\":[{\"rolename\":\"r\"}]}]}",
                       commands[next_random(&random) % ARRAY_LEN(commands)],
                       (unsigned)(next_random(&random) % NAMES), i);
        struct dynsec_outcome outcome;
        dynsec_execute(dynsec, slice_str("admin"), slice_str(payload), &outcome);
        for (uint32_t n = 0; n < outcome.settings.count; n++) {
            must(mine->count < ARRAY_LEN(mine->list));
            mine->order[mine->count] = outcome.order;
            mine->list[mine->count++] = (struct dynsec_setting){
                copy(outcome.settings.list[n].name), copy(outcome.settings.list[n].value)};
        }
        dynsec_outcome_free(&outcome);
    }
    return NULL;
}

static void *
log_in(void *arg)
{
    (void)arg;
    uint64_t random = 77;
    while (!atomic_load(&over)) {
        char name[16];
        uint64_t mark;
        (void)snprintf(name, sizeof name, "u%u", (unsigned)(next_random(&random) % NAMES));
        struct dynsec_login login = {slice_str(name), slice_str("c"), slice_str("p")};
        err_t err = dynsec_check(dynsec, &login, NULL, 0, &mark);
        must(err == OK || err == ERR_NOT_FOUND || err == ERR_NOT_AUTHORIZED);
    }
    return NULL;
}

static void *
compile(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        struct access_users *users = access_users_new();
        dynsec_add_users(dynsec, users);
        access_users_unref(users);
        acl_unref(dynsec_compile(dynsec));
    }
    return NULL;
}

// ---- What is on the disk in the end -------------------------------------------------------------

static const char list[] = "{\"commands\":[{\"command\":\"listClients\",\"verbose\":true}]}";

static struct slice
listed(struct dynsec *from)
{
    struct dynsec_outcome outcome;
    dynsec_execute(from, slice_str("admin"), slice_str(list), &outcome);
    struct slice reply = outcome.reply;
    outcome.reply = slice_of(NULL, 0);
    dynsec_outcome_free(&outcome);
    return reply;
}

// Of each name the setting with the highest order.
static void
check(struct dynsec_setting role)
{
    struct dynsec_setting last[NAMES + 1] = {role};
    uint64_t orders[NAMES + 1] = {0};
    uint32_t count = 1;
    for (int a = 0; a < ADMINISTRATORS; a++) {
        for (uint32_t i = 0; i < kept[a].count; i++) {
            uint32_t at = 1;
            while (at < count && !slice_equal(last[at].name, kept[a].list[i].name))
                at++;
            count = max_u32(count, at + 1);
            if (kept[a].order[i] <= orders[at])
                continue;
            orders[at] = kept[a].order[i];
            last[at] = kept[a].list[i];
        }
    }
    uint32_t there = 0;
    for (uint32_t i = 0; i < count; i++)
        if (last[i].value.len > 0)
            last[there++] = last[i];
    char problem[200];
    struct dynsec *again = dynsec_new(1);
    err_t err = dynsec_load(again, last, there, problem, sizeof problem);
    must(err == OK);
    struct slice one = listed(dynsec), other = listed(again);
    must(slice_equal(one, other));
    mem_free(unconst(one.data));
    mem_free(unconst(other.data));
    dynsec_free(again);
}

int
main(void)
{
    pthread_t administrators[ADMINISTRATORS], others[2];
    struct dynsec_outcome outcome;
    dynsec = dynsec_new(1);
    dynsec_execute(dynsec, slice_str("admin"),
                   slice_str("{\"commands\":[{\"command\":\"createRole\",\"rolename\":\"r\"}]}"),
                   &outcome);
    must(outcome.settings.count == 1);
    struct dynsec_setting role = {copy(outcome.settings.list[0].name),
                                  copy(outcome.settings.list[0].value)};
    dynsec_outcome_free(&outcome);
    for (int i = 0; i < ADMINISTRATORS; i++)
        must(pthread_create(&administrators[i], NULL, administrate, &kept[i]) == 0);
    must(pthread_create(&others[0], NULL, log_in, NULL) == 0);
    must(pthread_create(&others[1], NULL, compile, NULL) == 0);
    for (int i = 0; i < ADMINISTRATORS; i++)
        (void)pthread_join(administrators[i], NULL);
    atomic_store(&over, true);
    (void)pthread_join(others[0], NULL);
    (void)pthread_join(others[1], NULL);
    check(role);
    for (int a = 0; a < ADMINISTRATORS; a++) {
        for (uint32_t i = 0; i < kept[a].count; i++) {
            mem_free(unconst(kept[a].list[i].name.data));
            mem_free(unconst(kept[a].list[i].value.data));
        }
    }
    mem_free(unconst(role.name.data));
    mem_free(unconst(role.value.data));
    dynsec_free(dynsec);
    return 0;
}
