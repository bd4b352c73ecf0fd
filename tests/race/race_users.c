// race_users.c - passwords are checked while the file is replaced, for ThreadSanitizer.
//
// Threads take the users in force, check, log in by SCRAM's first step, and keep what was good; the
// main thread replaces the file. Each version lets in the same user with the same password, so no
// verdict may ever be another.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access/scram.h"
#include "core/access/users.h"
#include "core/access/verified.h"

#define THREADS  4
#define VERSIONS 300
#define ROUNDS   20 // of each thread in the time of a version, or more

struct shared {
    pthread_mutex_t mutex; // of users
    struct users *users;
    struct verified *verified;
    atomic_bool end;
    atomic_uint rounds, found;
};

// With a new salt each time, so the mark changes.
static struct users *
next_version(void)
{
    struct password_hash parameters = password_hash_default(PASSWORD_PBKDF2);
    parameters.iterations = 2;
    char hash[PASSWORD_TEXT_MAX], text[2 * PASSWORD_TEXT_MAX], problem[256];
    err_t err = password_hash_make(&parameters, slice_str("secret"), hash);
    must(err == OK);
    (void)snprintf(text, sizeof text, "anna:%s\n", hash);
    struct users *users;
    err = users_parse("users", slice_str(text), &users, problem, sizeof problem);
    must(err == OK);
    return users;
}

static struct users *
in_force(struct shared *s)
{
    pthread_mutex_lock(&s->mutex);
    struct users *users = users_ref(s->users);
    pthread_mutex_unlock(&s->mutex);
    return users;
}

static void
ask(struct shared *s, const struct users *users, uint64_t now_ms)
{
    struct slice anna = slice_str("anna"), nobody = slice_str("nobody");
    struct verified_login login = {users_mark(users, anna), anna, slice_str("secret")};
    must(login.mark != 0);
    if (verified_has(s->verified, &login, now_ms))
        atomic_fetch_add(&s->found, 1);
    must(users_check(users, anna, login.password) == USERS_GOOD);
    must(users_check(users, anna, slice_str("wrong")) == USERS_WRONG);
    must(users_check(users, nobody, login.password) == USERS_UNKNOWN);
    verified_add(s->verified, &login, now_ms);
    struct scram_reply reply;
    err_t err = scram_start(users, DIGEST_SHA512, slice_str("n,,n=anna,r=x"), &reply);
    must(err == OK);
    scram_reply_clear(&reply);
}

static void *
run(void *arg)
{
    struct shared *s = arg;
    for (uint64_t now_ms = 1; !atomic_load(&s->end); now_ms++) {
        struct users *users = in_force(s);
        ask(s, users, now_ms);
        users_unref(users);
        atomic_fetch_add(&s->rounds, 1);
    }
    return NULL;
}

int
main(void)
{
    struct shared s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .users = next_version()};
    err_t err = verified_new(1024, 50, &s.verified);
    must(err == OK);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        int rc = pthread_create(&threads[i], NULL, run, &s);
        must(rc == 0);
    }
    for (unsigned version = 1; version <= VERSIONS; version++) {
        while (atomic_load(&s.rounds) < version * ROUNDS)
            (void)sched_yield();
        struct users *fresh = next_version();
        pthread_mutex_lock(&s.mutex);
        struct users *old = s.users;
        s.users = fresh;
        pthread_mutex_unlock(&s.mutex);
        users_unref(old);
        verified_expire(s.verified, version);
    }
    atomic_store(&s.end, true);
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    must(atomic_load(&s.found) > 0);
    verified_free(s.verified);
    users_unref(s.users);
    (void)printf("%u rounds, %u found good before\n", atomic_load(&s.rounds),
                 atomic_load(&s.found));
    return 0;
}
