// race_access.c - questions and answers between shards and those who answer, for ThreadSanitizer.
//
// Each shard asks, takes its answers, and now and then gives a client up that was asked about; the
// desk is full at times. At the end every question has come back once, or lies at the desk.
#include <pthread.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/access.h"
#include "core/broker.h"
#include "core/config.h"

enum { SHARDS = 3, ANSWERERS = 2, QUESTIONS = 20000, QUESTIONS_MAX = 50 };

static struct access_desk *desk;
static struct broker *broker;
static _Atomic uint32_t answered;

static void *
answer(void *arg)
{
    struct access_question *question;
    (void)arg;
    while ((question = access_take(desk)) != NULL) {
        must(question->texts.user.len == 3 && memcmp(question->texts.user.data, "ann", 3) == 0);
        question->answer.err = ERR_BAD_CREDENTIALS;
        question->answer.user = slice_of(mem_strdup("bob"), 3);
        access_give(desk, broker, question);
    }
    return NULL;
}

static uint32_t
take_answers(unsigned shard)
{
    struct access_question *question;
    uint32_t count = 0;
    while ((question = access_next_answer(desk, shard)) != NULL) {
        must(question->shard == shard && question->answer.err == ERR_BAD_CREDENTIALS);
        access_question_free(question);
        count++;
    }
    atomic_fetch_add(&answered, count);
    return count;
}

static void *
ask(void *arg)
{
    unsigned shard = (unsigned)(uintptr_t)arg;
    uint32_t asked = 0, back = 0, busy = 0;
    while (asked < QUESTIONS) {
        struct access_question *question = access_question_new(
            &(struct access_texts){.user = slice_str("ann"), .password = slice_str("secret")});
        question->shard = shard;
        if (access_ask(desk, question) == OK) {
            asked++;
        } else {
            access_question_free(question);
            busy++;
            back += take_answers(shard);
        }
    }
    while (back < asked)
        back += take_answers(shard);
    (void)printf("shard %u: %u asked, %u times busy\n", shard, asked, busy);
    return NULL;
}

int
main(void)
{
    pthread_t askers[SHARDS], answerers[ANSWERERS];
    struct config *config = config_defaults();
    broker = broker_new(config, NULL, SHARDS, 1, 1);
    must(broker != NULL);
    desk = access_desk_new(SHARDS, QUESTIONS_MAX);
    for (unsigned i = 0; i < ANSWERERS; i++)
        must(pthread_create(&answerers[i], NULL, answer, NULL) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        must(pthread_create(&askers[i], NULL, ask, (void *)(uintptr_t)i) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        must(pthread_join(askers[i], NULL) == 0);
    access_desk_close(desk);
    for (unsigned i = 0; i < ANSWERERS; i++)
        must(pthread_join(answerers[i], NULL) == 0);
    must(atomic_load(&answered) == SHARDS * QUESTIONS && access_waiting(desk) == 0);
    access_desk_free(desk);
    broker_free(broker);
    config_free(config);
    return 0;
}
