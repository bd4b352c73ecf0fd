// service.c - answers what shards ask about clients.
#include "core/access/service.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rcu.h"

#include "core/access/authority.h"
#include "core/access/control.h"
#include "core/access/http_hook.h"
#include "core/access/scram.h"
#include "core/access/users.h"
#include "core/access/verified.h"
#include "core/acl.h"
#include "core/broker.h"

#define THREADS_MAX 64u
#define GRACE_NS    500000 // between two looks whether a grace period is over
#define THREAD_NICE 5      // workers come first: a storm of logins is not to slow who is connected

struct access_service {
    pthread_mutex_t mutex;       // of authority
    struct authority *authority; // in force
    struct verified *verified;   // NULL = nothing is kept
    struct http_hook *hook;      // NULL = none yet
    struct dynsec *dynsec;       // NULL = dynamic_security false
    struct broker *broker;
    pthread_mutex_t enforcing; // one after the other, so that the last rules are the latest
    struct rcu_reader *rcu;    // of whoever enforces
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
};

// ---- Life ---------------------------------------------------------------------------------------

err_t
access_service_new(const struct config *config, struct access_service **ret_service,
                   char ret_problem[ACCESS_PROBLEM_MAX])
{
    struct authority *authority;
    err_t err = authority_load(config, &authority, ret_problem);
    if (err != OK)
        return err;
    struct access_service *service = mem_zalloc(sizeof *service);
    pthread_mutex_init(&service->mutex, NULL);
    pthread_mutex_init(&service->enforcing, NULL);
    service->authority = authority;
    if (config->dynamic_security)
        service->dynsec = dynsec_new(DYNSEC_ITERATIONS);
    *ret_service = service;
    return OK;
}

void
access_service_free(struct access_service *service)
{
    if (!service)
        return;
    must(service->thread_count == 0);
    authority_unref(service->authority);
    verified_free(service->verified);
    dynsec_free(service->dynsec);
    pthread_mutex_destroy(&service->enforcing);
    pthread_mutex_destroy(&service->mutex);
    mem_free(service);
}

static struct authority *
in_force(struct access_service *service)
{
    pthread_mutex_lock(&service->mutex);
    struct authority *authority = authority_ref(service->authority);
    pthread_mutex_unlock(&service->mutex);
    return authority;
}

static void
set_users(struct access_rules *rules, uint32_t listener, struct access_users *users)
{
    access_users_unref(rules->listeners[listener].users);
    rules->listeners[listener].users = access_users_ref(users);
}

// Rules for topics are its alone. Of names it knows some, and is asked first.
static void
add_dynsec(struct access_rules *rules, const struct authority *authority, struct dynsec *dynsec)
{
    struct acl *acl = dynsec_compile(dynsec);
    struct access_users *own = access_users_new();
    dynsec_add_users(dynsec, own);
    for (uint32_t i = 0; i < authority->listener_count; i++) {
        const struct authority_listener *from = &authority->listeners[i];
        rules->listeners[i].ask = true;
        must(rules->listeners[i].acl == NULL); // the configuration has seen to that
        rules->listeners[i].acl = acl_ref(acl);
        rules->listeners[i].users_are_all = !authority->tokens && !authority->hook_connects;
        if (!from->users) {
            set_users(rules, i, own);
            continue;
        }
        struct access_users *all = authority_names(from->users);
        dynsec_add_users(dynsec, all);
        set_users(rules, i, all);
        access_users_unref(all);
    }
    access_users_unref(own);
    acl_unref(acl);
    rules->alike = rules->control = true;
}

static struct access_rules *
rules_of(const struct authority *authority)
{
    struct access_rules *rules = access_rules_new();
    rules->alike = authority->alike;
    for (uint32_t i = 0; i < authority->listener_count; i++) {
        const struct authority_listener *from = &authority->listeners[i];
        rules->listeners[i].ask = from->asks;
        rules->listeners[i].acl = acl_ref(from->acl);
        rules->listeners[i].users = access_users_ref(from->names);
        rules->listeners[i].users_are_all =
            from->users && !authority->tokens && !authority->hook_connects;
        rules->listeners[i].ask_publish = authority->hook_topics;
        rules->listeners[i].ask_subscribe = authority->hook_topics;
    }
    return rules;
}

struct access_rules *
access_service_rules(struct access_service *service)
{
    struct authority *authority = in_force(service);
    struct access_rules *rules = rules_of(authority);
    if (service->dynsec)
        add_dynsec(rules, authority, service->dynsec);
    authority_unref(authority);
    return rules;
}

void
access_service_enforce(struct access_service *service)
{
    pthread_mutex_lock(&service->enforcing);
    rcu_move_here(service->rcu);
    rcu_online(service->rcu);
    broker_set_access(service->broker, service->rcu, access_service_rules(service));
    for (unsigned i = 0; i < service->broker->shard_count; i++)
        broker_wake(service->broker, i); // its clients are to be reviewed now
    // A worker that has gone through a grace period has read the new ones.
    do {
        rcu_quiescent(service->rcu);
        rcu_offline(service->rcu);
        (void)nanosleep(&(struct timespec){.tv_nsec = GRACE_NS}, NULL);
        rcu_online(service->rcu);
    } while (rcu_deferred(service->rcu) > 0);
    rcu_offline(service->rcu);
    pthread_mutex_unlock(&service->enforcing);
}

err_t
access_service_open(struct access_service *service, const struct config *config,
                    const struct access_stored *stored, struct access_stored *ret_fresh,
                    char ret_problem[ACCESS_PROBLEM_MAX])
{
    *ret_fresh = (struct access_stored){0};
    if (!service->dynsec)
        return OK;
    return control_open(service->dynsec, stored, config->dynamic_security_file, ret_fresh,
                        ret_problem);
}

// ---- Answering ----------------------------------------------------------------------------------

static void
give(void *arg, struct access_question *question)
{
    const struct access_service *service = arg;
    access_give(service->broker->desk, service->broker, question);
}

enum verdict { VERDICT_GOOD, VERDICT_WRONG, VERDICT_UNKNOWN };

static enum verdict
ask_users(struct verified *verified, const struct authority_listener *listener,
          struct access_question *question)
{
    struct slice user = question->texts.user;
    if (!listener->users || !user.data)
        return VERDICT_UNKNOWN;
    const struct verified_login login = {.mark = users_mark(listener->users, user),
                                         .user = user,
                                         .password = question->texts.password};
    question->answer.mark = login.mark;
    // Unknown users are looked up, too: else they would be refused a little sooner.
    if (login.password.data && verified_has(verified, &login, clock_mono_ms()))
        return VERDICT_GOOD;
    enum users_verdict verdict = users_check(listener->users, user, login.password);
    if (verdict == USERS_GOOD)
        verified_add(verified, &login, clock_mono_ms());
    return verdict == USERS_GOOD    ? VERDICT_GOOD
           : verdict == USERS_WRONG ? VERDICT_WRONG
                                    : VERDICT_UNKNOWN;
}

static enum verdict
ask_dynsec(const struct access_service *service, struct access_question *question)
{
    const struct access_texts *texts = &question->texts;
    if (!service->dynsec || !texts->user.data)
        return VERDICT_UNKNOWN;
    const struct dynsec_login login = {texts->user, texts->client_id, texts->password};
    err_t err = dynsec_check(service->dynsec, &login, service->verified, clock_mono_ms(),
                             &question->answer.mark);
    if (err == ERR_NOT_FOUND)
        return VERDICT_UNKNOWN;
    return err == OK && texts->password.data ? VERDICT_GOOD : VERDICT_WRONG;
}

// A password that is a token is nothing else.
static enum verdict
ask_tokens(const struct authority *authority, struct access_question *question)
{
    const struct access_texts *texts = &question->texts;
    if (!authority->tokens || !texts->password.data)
        return VERDICT_UNKNOWN;
    const struct jwt_request request = {.token = texts->password,
                                        .user = texts->user,
                                        .client_id = texts->client_id,
                                        .now_s = clock_wall_ms() / 1000};
    struct jwt_claims claims = {0};
    const char *why = NULL;
    err_t err = jwt_check(authority->tokens, &authority->jwt, &request, &claims, &why);
    if (err == ERR_NOT_FOUND)
        return VERDICT_UNKNOWN;
    question->answer.why = why;
    if (err != OK)
        return VERDICT_WRONG;
    question->answer.user = claims.user;
    question->answer.expires_s = claims.expires_s;
    question->answer.acl = claims.acl;
    return VERDICT_GOOD;
}

// A message of enhanced authentication. Its two kinds are both SCRAM.
static err_t
answer_scram(const struct authority_listener *listener, struct access_question *question)
{
    enum digest digest;
    const struct access_texts *texts = &question->texts;
    struct access_answer *answer = &question->answer;
    if (!listener->users || !scram_method(texts->auth_method, &digest))
        return ERR_BAD_AUTH_METHOD;
    struct scram_reply reply = {0};
    bool begins = !texts->exchange.data;
    err_t err = begins ? scram_start(listener->users, digest, texts->auth_data, &reply)
                       : scram_finish(listener->users, texts->exchange, texts->auth_data, &reply);
    if (err == OK) {
        answer->more = begins;
        answer->auth_data = reply.message;
        answer->exchange = reply.exchange;
        reply.message = reply.exchange = slice_of(NULL, 0);
    }
    if (err == OK && !begins) {
        answer->user = reply.user;
        answer->mark = reply.mark;
        reply.user = slice_of(NULL, 0);
    }
    scram_reply_clear(&reply);
    return err;
}

// False: the hook has the question now.
static bool
answer_connect(struct access_service *service, const struct authority *authority,
               struct access_question *question)
{
    const struct authority_listener *listener = &authority->listeners[question->listener_index];
    if (question->texts.auth_method.data) {
        question->answer.err = answer_scram(listener, question);
        return true;
    }
    enum verdict verdict = ask_tokens(authority, question);
    if (verdict == VERDICT_UNKNOWN)
        verdict = ask_dynsec(service, question);
    if (verdict == VERDICT_UNKNOWN)
        verdict = ask_users(service->verified, listener, question);
    if (verdict == VERDICT_UNKNOWN && authority->hook_connects) {
        http_hook_ask(service->hook, question);
        return false;
    }
    question->answer.err = verdict == VERDICT_GOOD ? OK : ERR_BAD_CREDENTIALS;
    return true;
}

static void
answer(struct access_service *service, struct access_question *question)
{
    struct authority *authority = in_force(service);
    must(question->listener_index < authority->listener_count);
    bool done = true;
    switch (question->kind) {
    case ACCESS_CONNECT:
        done = answer_connect(service, authority, question);
        break;
    case ACCESS_AUTH:
        question->answer.err =
            answer_scram(&authority->listeners[question->listener_index], question);
        break;
    case ACCESS_PUBLISH:
    case ACCESS_SUBSCRIBE:
        if (authority->hook_topics) {
            http_hook_ask(service->hook, question);
            done = false;
        }
        break; // else the rules have changed meanwhile, and nobody decides about topics any more
    case ACCESS_CONTROL:
        if (control_answer(service->dynsec, service->broker->log, question))
            access_service_enforce(service);
    }
    authority_unref(authority);
    if (done)
        give(service, question);
}

static void *
run(void *arg)
{
    struct access_service *service = arg;
    struct access_question *question;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), THREAD_NICE); // of this thread alone
    while ((question = access_take(service->broker->desk)) != NULL)
        answer(service, question);
    return NULL;
}

// With a URL, from now on there is one.
static err_t
start_hook(struct access_service *service, const struct config *config,
           char problem[ACCESS_PROBLEM_MAX])
{
    struct file_problem bad = {0};
    err_t err = OK;
    if (service->hook)
        err = http_hook_reload(service->hook, config, &bad);
    else if (config->auth_http.url || config->auth_http.acl_url)
        err = http_hook_new(config,
                            &(struct http_hook_host){
                                .log = service->broker->log,
                                .stats = &service->broker->http_stats,
                                .done = give,
                                .arg = service,
                            },
                            &service->hook, &bad);
    if (err != OK)
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "%s", bad.text);
    return err;
}

// Which keys of the file are of no use here; a client that needs one would wonder.
static void
tell_of_keys(struct access_service *service, const struct config *config)
{
    struct authority *authority = in_force(service);
    const char *note = authority->tokens ? jwt_keys_note(authority->tokens) : "";
    if (note[0] != '\0' && config->auth_jwt.key_file)
        log_line(service->broker->log, LOG_T_WARNING, "Warning: %s: %s", config->auth_jwt.key_file,
                 note);
    authority_unref(authority);
}

err_t
access_service_start(struct access_service *service, struct broker *broker, unsigned threads,
                     char ret_problem[ACCESS_PROBLEM_MAX])
{
    must(service->thread_count == 0 && broker->desk != NULL && threads >= 1);
    service->broker = broker;
    service->rcu = rcu_register(broker->rcu);
    rcu_offline(service->rcu);
    err_t err = verified_new(VERIFIED_ENTRIES, VERIFIED_TTL_MS, &service->verified);
    if (err == OK)
        err = start_hook(service, atomic_load(&broker->config), ret_problem);
    if (err != OK)
        return err;
    for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
        int rc = pthread_create(&service->threads[i], NULL, run, service);
        if (rc != 0) {
            (void)snprintf(ret_problem, ACCESS_PROBLEM_MAX, "no thread that checks passwords: %s",
                           strerrordesc_np(rc));
            return ERR_IO;
        }
        service->thread_count++;
    }
    tell_of_keys(service, atomic_load(&broker->config));
    return OK;
}

err_t
access_service_reload(struct access_service *service, const struct config *config,
                      char ret_problem[ACCESS_PROBLEM_MAX])
{
    struct authority *fresh, *old;
    err_t err = authority_load(config, &fresh, ret_problem);
    if (err != OK)
        return err;
    err = start_hook(service, config, ret_problem);
    if (err != OK) {
        authority_unref(fresh);
        return err;
    }
    pthread_mutex_lock(&service->mutex);
    old = service->authority;
    service->authority = fresh;
    pthread_mutex_unlock(&service->mutex);
    authority_unref(old);
    tell_of_keys(service, config);
    return OK;
}

void
access_service_tidy(struct access_service *service)
{
    verified_expire(service->verified, clock_mono_ms());
}

void
access_service_stop(struct access_service *service)
{
    if (service->broker)
        access_desk_close(service->broker->desk);
    for (unsigned i = 0; i < service->thread_count; i++)
        (void)pthread_join(service->threads[i], NULL);
    service->thread_count = 0;
    http_hook_free(service->hook);
    service->hook = NULL;
    if (service->rcu) {
        rcu_move_here(service->rcu);
        rcu_online(service->rcu);
        rcu_unregister(service->rcu);
        service->rcu = NULL;
    }
}

// ---- Files --------------------------------------------------------------------------------------

uint32_t
access_service_files(const struct config *config, const char *ret_files[ACCESS_FILES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct listener_entry *entry = &config->listeners[i].entry;
        if (entry->password_file)
            ret_files[count++] = entry->password_file;
        if (entry->acl_file)
            ret_files[count++] = entry->acl_file;
    }
    if (config->auth_jwt.key_file)
        ret_files[count++] = config->auth_jwt.key_file;
    if (config->auth_http.ca_file)
        ret_files[count++] = config->auth_http.ca_file;
    must(count <= ACCESS_FILES_MAX);
    return count;
}
