// service.c - answers what shards ask about clients.
#include "core/access/service.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/access/authority.h"
#include "core/access/users.h"
#include "core/acl.h"
#include "core/broker.h"

#define THREADS_MAX 64u
#define THREAD_NICE 5 // workers come first: a storm of logins is not to slow who is connected

struct access_service {
    pthread_mutex_t mutex;       // of authority
    struct authority *authority; // in force
    struct broker *broker;
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
    service->authority = authority;
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
        rules->listeners[i].users_are_all = from->users != NULL;
    }
    return rules;
}

struct access_rules *
access_service_rules(const struct access_service *service)
{
    return rules_of(service->authority);
}

err_t
access_service_reload(struct access_service *service, const struct config *config,
                      struct access_rules **ret_rules, char ret_problem[ACCESS_PROBLEM_MAX])
{
    struct authority *fresh, *old;
    err_t err = authority_load(config, &fresh, ret_problem);
    if (err != OK)
        return err;
    *ret_rules = rules_of(fresh);
    pthread_mutex_lock(&service->mutex);
    old = service->authority;
    service->authority = fresh;
    pthread_mutex_unlock(&service->mutex);
    authority_unref(old);
    return OK;
}

// ---- Answering ----------------------------------------------------------------------------------

enum verdict { VERDICT_GOOD, VERDICT_WRONG, VERDICT_UNKNOWN };

static enum verdict
ask_users(const struct authority_listener *listener, struct access_question *question)
{
    struct slice user = question->texts.user;
    if (!listener->users || !user.data)
        return VERDICT_UNKNOWN;
    enum users_verdict verdict = users_check(listener->users, user, question->texts.password);
    if (verdict == USERS_GOOD)
        question->answer.mark = users_mark(listener->users, user);
    return verdict == USERS_GOOD    ? VERDICT_GOOD
           : verdict == USERS_WRONG ? VERDICT_WRONG
                                    : VERDICT_UNKNOWN;
}

static void
answer_connect(const struct authority_listener *listener, struct access_question *question)
{
    enum verdict verdict = ask_users(listener, question);
    question->answer.err = verdict == VERDICT_GOOD ? OK : ERR_BAD_CREDENTIALS;
}

static void
answer(struct access_service *service, struct access_question *question)
{
    struct authority *authority = in_force(service);
    must(question->listener_index < authority->listener_count);
    const struct authority_listener *listener = &authority->listeners[question->listener_index];
    switch (question->kind) {
    case ACCESS_CONNECT:
        answer_connect(listener, question);
        break;
    default:
        question->answer.err = ERR_NOT_AUTHORIZED;
    }
    authority_unref(authority);
    access_give(service->broker->desk, service->broker, question);
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

err_t
access_service_start(struct access_service *service, struct broker *broker, unsigned threads)
{
    must(service->thread_count == 0 && broker->desk != NULL && threads >= 1);
    service->broker = broker;
    for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
        if (pthread_create(&service->threads[i], NULL, run, service) != 0)
            return ERR_IO;
        service->thread_count++;
    }
    return OK;
}

void
access_service_stop(struct access_service *service)
{
    if (service->broker)
        access_desk_close(service->broker->desk);
    for (unsigned i = 0; i < service->thread_count; i++)
        (void)pthread_join(service->threads[i], NULL);
    service->thread_count = 0;
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
    must(count <= ACCESS_FILES_MAX);
    return count;
}
