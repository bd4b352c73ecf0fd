// http_hook.c - an HTTP service decides who may come and do what.
//
// Askers leave questions in the inbox, under its mutex. All else is the hook's thread's: it looks a
// question up among kept answers and those under way, queues what is new, and gives each that is
// first in the queue a line: a libcurl handle with one request at a time. The connections below
// belong to libcurl's multi handle, which keeps them.
#include "core/access/http_hook.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/random.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/access/http_cache.h"
#include "core/access/http_line.h"
#include "core/access/http_reply.h"
#include "core/access/http_settings.h"
#include "core/acl.h"

#define WAIT_MAX_MS 10000

struct service { // behind one URL: does it answer at all?
    uint32_t failures;
    uint64_t retry_ms;
    bool trying;
};

struct http_hook {
    struct http_hook_host host;
    pthread_mutex_t mutex;
    struct list inbox;              // under the mutex
    struct http_settings *new_ones; // under the mutex
    bool closing;                   // under the mutex
    _Atomic uint32_t questions_max;
    CURLM *multi; // the thread's, but for curl_multi_wakeup
    // The thread's alone.
    struct http_settings *settings;
    struct http_cache *cache;
    struct list queue;      // entries that wait for a line; the oldest first
    struct list idle, busy; // lines
    uint32_t line_count;    // of both
    struct service services[HTTP_ASKS];
    uint8_t key[HTTP_DIGEST_SIZE];
    struct log_limit log_limit;
    pthread_t thread;
};

static void
count_add(struct http_hook *hook, enum access_http_count which, uint64_t n)
{
    atomic_fetch_add_explicit(&hook->host.stats->counts[which], n, memory_order_relaxed);
}

static uint64_t
wall_s(void)
{
    return clock_wall_ms() / 1000;
}

// ---- Giving back --------------------------------------------------------------------------------

static struct access_question *
question_of(struct list *node)
{
    return container_of(node, struct access_question, node);
}

static struct slice
copy_text(struct slice text)
{
    return text.data ? slice_of(mem_strndup(text.data, text.len), text.len) : text;
}

static void
give(struct http_hook *hook, struct access_question *question, const struct http_answer *answer,
     uint64_t valid_ms)
{
    must(answer->err == OK || !answer->user.data);
    question->answer.err = answer->err;
    question->answer.ignored = answer->ignored;
    question->answer.superuser = answer->superuser;
    question->answer.expires_s = answer->expires_s;
    question->answer.user = copy_text(answer->user);
    question->answer.acl = acl_ref(answer->acl);
    bool lasting = question->kind != ACCESS_CONNECT;
    question->answer.valid_ms = lasting ? (uint32_t)min_u64(valid_ms, UINT32_MAX) : 0;
    count_add(hook, ACCESS_HTTP_under_way, (uint64_t)0 - 1);
    hook->host.done(hook->host.arg, question);
}

static void
refuse(struct http_hook *hook, struct access_question *question, enum access_http_count why)
{
    must(why >= ACCESS_HTTP_refused_busy && why <= ACCESS_HTTP_refused_end);
    bool connects = question->kind == ACCESS_CONNECT;
    struct http_answer answer = {.err = connects ? ERR_SERVER_UNAVAILABLE : ERR_IMPLEMENTATION};
    count_add(hook, why, 1);
    give(hook, question, &answer, 0);
}

static void
refuse_all(struct http_hook *hook, struct list *questions, enum access_http_count why)
{
    struct list *node;
    while ((node = list_pop(questions)) != NULL)
        refuse(hook, question_of(node), why);
}

// Ends what is under way with no answer.
static void
refuse_entry(struct http_hook *hook, struct http_entry *entry, enum access_http_count why)
{
    refuse_all(hook, &entry->waiters, why);
    http_cache_end(hook->cache, entry, 0, 0);
}

static enum access_http_count
count_of(const struct http_answer *answer)
{
    return answer->err == OK ? ACCESS_HTTP_allowed
           : answer->ignored ? ACCESS_HTTP_ignored
                             : ACCESS_HTTP_denied;
}

// How long an answer holds.
static uint64_t
ttl_ms(const struct auth_http_config *limits, enum http_ask ask, const struct http_answer *answer)
{
    uint64_t ttl_s = answer->err == OK ? limits->cache_ttl_s : limits->cache_deny_ttl_s;
    if (ask != HTTP_ASK_ACL)
        ttl_s = answer->err == OK ? limits->cache_connect_ttl_s
                                  : min_u64(limits->cache_connect_ttl_s, ttl_s);
    if (answer->expires_s == 0)
        return ttl_s * 1000;
    uint64_t now_s = wall_s();
    return min_u64(ttl_s, answer->expires_s > now_s ? answer->expires_s - now_s : 0) * 1000;
}

// Ends what is under way with entry->answer.
static void
answer_entry(struct http_hook *hook, struct http_entry *entry, const struct http_line *line)
{
    uint64_t ttl = // of an answer to what was asked before a reload, nothing is kept anywhere
        entry->orphan ? 0 : ttl_ms(&line->settings->limits, line->ask, &entry->answer);
    struct list *node;
    while ((node = list_pop(&entry->waiters)) != NULL) {
        count_add(hook, count_of(&entry->answer), 1);
        give(hook, question_of(node), &entry->answer, ttl);
    }
    http_cache_end(hook->cache, entry, clock_mono_ms(), ttl);
}

// ---- Is the service there? ----------------------------------------------------------------------

// May a question go out? One that may, where there was no answer before, is the one that tries.
static bool
may_ask(struct service *service, uint64_t now_ms)
{
    if (service->failures < HTTP_FAILURES_MAX)
        return true;
    if (service->trying || now_ms < service->retry_ms)
        return false;
    service->trying = true;
    return true;
}

static void
has_answered(struct http_hook *hook, enum http_ask ask)
{
    struct service *service = &hook->services[ask];
    if (service->failures >= HTTP_FAILURES_MAX)
        log_line(hook->host.log, LOG_T_NOTICE, "%s answers again.", http_ask_names[ask]);
    *service = (struct service){.failures = 0};
}

static enum http_ask
first_ask(const struct access_question *question)
{
    return question->kind == ACCESS_CONNECT ? HTTP_ASK_USER : HTTP_ASK_ACL;
}

// What an entry in the queue is about. Somebody waits for it.
static enum http_ask
entry_ask(const struct http_entry *entry)
{
    must(!list_empty(&entry->waiters));
    return first_ask(question_of(entry->waiters.next));
}

static void
refuse_queued(struct http_hook *hook, enum http_ask ask)
{
    struct list rest, *node;
    list_init(&rest);
    while ((node = list_pop(&hook->queue)) != NULL) {
        struct http_entry *entry = container_of(node, struct http_entry, node);
        if (entry_ask(entry) == ask)
            refuse_entry(hook, entry, ACCESS_HTTP_refused_down);
        else
            list_push(&rest, node);
    }
    list_splice(&hook->queue, &rest);
}

static void
has_not_answered(struct http_hook *hook, enum http_ask ask, const char *why)
{
    struct service *service = &hook->services[ask];
    uint64_t now_ms = clock_mono_ms();
    bool was_down = service->failures >= HTTP_FAILURES_MAX;
    if (!was_down)
        service->failures++;
    service->trying = false;
    log_limited(hook->host.log, &hook->log_limit, now_ms, LOG_T_WARNING, "%s: no answer: %s",
                http_ask_names[ask], why);
    if (service->failures < HTTP_FAILURES_MAX)
        return;
    service->retry_ms = now_ms + HTTP_PAUSE_MS;
    if (was_down)
        return;
    log_line(hook->host.log, LOG_T_ERROR,
             "%s has not answered %u times in a row: questions are refused, and one tries again "
             "every %u ms.",
             http_ask_names[ask], HTTP_FAILURES_MAX, HTTP_PAUSE_MS);
    refuse_queued(hook, ask);
}

// ---- A request ----------------------------------------------------------------------------------

static void
send_request(struct http_hook *hook, struct http_line *line, enum http_ask ask, uint64_t now_ms)
{
    must(line->entry->until_ms > now_ms);
    const struct access_question *question = question_of(line->entry->waiters.next);
    http_line_send(line, hook->multi, question, ask, (long)(line->entry->until_ms - now_ms));
    count_add(hook, ACCESS_HTTP_requests, 1);
}

// The request is over, or given up; its line is free.
static void
release(struct http_hook *hook, struct http_line *line)
{
    http_line_release(line);
    list_remove(&line->node);
    if (hook->line_count <= hook->settings->limits.connections_max) {
        list_push(&hook->idle, &line->node);
        return;
    }
    hook->line_count--;
    http_line_free(line);
}

// A superuser, says another URL; or this was its answer already. True: it has to be asked.
static bool
ask_superuser(struct http_hook *hook, struct http_line *line)
{
    struct http_entry *entry = line->entry;
    if (line->ask != HTTP_ASK_USER || entry->answer.err != OK || entry->answer.superuser ||
        !line->settings->urls[HTTP_ASK_SUPERUSER])
        return false;
    uint64_t now_ms = clock_mono_ms();
    enum access_http_count why = ACCESS_HTTP_refused_timeout;
    if (entry->until_ms > now_ms) {
        why = ACCESS_HTTP_refused_down;
        if (may_ask(&hook->services[HTTP_ASK_SUPERUSER], now_ms)) {
            send_request(hook, line, HTTP_ASK_SUPERUSER, now_ms);
            return true;
        }
    }
    // Its owner would stand there without the rights that it has.
    line->entry = NULL;
    refuse_entry(hook, entry, why);
    return true;
}

static void
take_reply(struct http_answer *answer, struct http_reply *reply, const struct http_line *line)
{
    bool allowed = reply->verdict == HTTP_ALLOW;
    if (line->ask == HTTP_ASK_SUPERUSER) { // of one who has been let in
        answer->superuser = allowed;
        return;
    }
    if (reply->expires_s != 0 && reply->expires_s <= wall_s())
        allowed = false;
    answer->err = allowed ? OK : ERR_NOT_AUTHORIZED;
    answer->ignored = reply->verdict == HTTP_IGNORE;
    if (!allowed || line->ask == HTTP_ASK_ACL) // of a topic, yes or no is all there is to say
        return;
    answer->superuser = reply->superuser;
    answer->expires_s = reply->expires_s;
    answer->user = reply->user;
    answer->acl = reply->acl;
    answer->acl_bytes = reply->acl ? line->len * 3 : 0; // 40 bytes a rule, which is 47 as JSON
    reply->user = slice_of(NULL, 0);
    reply->acl = NULL;
}

static void
answered(struct http_hook *hook, struct http_line *line)
{
    long status = 0;
    CURLcode rc = curl_easy_getinfo(line->easy, CURLINFO_RESPONSE_CODE, &status);
    must(rc == CURLE_OK);
    struct http_reply reply;
    http_reply_read(line->settings->limits.response, status, slice_of(line->data, line->len),
                    &reply);
    uint64_t now_ms = clock_mono_ms();
    if (reply.verdict == HTTP_FAILED || reply.verdict == HTTP_NO_SENSE) {
        bool failed = reply.verdict == HTTP_FAILED;
        log_limited(hook->host.log, &hook->log_limit, now_ms, LOG_T_WARNING,
                    "%s: the answer (status %ld) is no good: %s", http_ask_names[line->ask], status,
                    failed ? "the service has failed" : reply.problem);
        refuse_entry(hook, line->entry,
                     failed ? ACCESS_HTTP_refused_failed : ACCESS_HTTP_refused_no_sense);
        return;
    }
    take_reply(&line->entry->answer, &reply, line);
    http_reply_clear(&reply);
    if (ask_superuser(hook, line))
        return;
    answer_entry(hook, line->entry, line);
}

static void
finish(struct http_hook *hook, struct http_line *line, CURLcode code)
{
    CURLMcode rc = curl_multi_remove_handle(hook->multi, line->easy);
    must(rc == CURLM_OK && line->entry);
    struct http_entry *entry = line->entry;
    enum http_ask ask = line->ask;
    if (code == CURLE_OK || line->too_long)
        has_answered(hook, ask);
    if (code == CURLE_OK) {
        answered(hook, line);
        if (line->entry == entry && line->ask != ask)
            return; // the second half of its question is on its way
    } else if (line->too_long) {
        log_limited(hook->host.log, &hook->log_limit, clock_mono_ms(), LOG_T_WARNING,
                    "%s: the answer is too long.", http_ask_names[ask]);
        refuse_entry(hook, entry, ACCESS_HTTP_refused_no_sense);
    } else {
        bool late = code == CURLE_OPERATION_TIMEDOUT;
        refuse_entry(hook, entry,
                     late ? ACCESS_HTTP_refused_timeout : ACCESS_HTTP_refused_unreachable);
        has_not_answered(hook, ask, line->error[0] ? line->error : curl_easy_strerror(code));
    }
    release(hook, line);
}

// ---- The thread ---------------------------------------------------------------------------------

static void
take(struct http_hook *hook, struct access_question *question, uint64_t now_ms)
{
    enum http_ask ask = first_ask(question);
    const struct http_settings *settings = hook->settings;
    if (!settings->urls[ask]) {
        struct http_answer none = {.err = ERR_NOT_AUTHORIZED, .ignored = true};
        count_add(hook, ACCESS_HTTP_ignored, 1);
        give(hook, question, &none, 0);
        return;
    }
    must(question->listener_index < settings->place_count);
    uint8_t digest[HTTP_DIGEST_SIZE];
    http_question_digest(question, ask, &settings->places[question->listener_index], hook->key,
                         digest);
    struct http_entry *entry = http_cache_find(hook->cache, digest, now_ms);
    if (entry && entry->kept) {
        count_add(hook, ACCESS_HTTP_cache_hits, 1);
        give(hook, question, &entry->answer, entry->until_ms - now_ms);
        return;
    }
    if (entry) {
        count_add(hook, ACCESS_HTTP_joined, 1);
        list_push(&entry->waiters, &question->node);
        return;
    }
    if (!may_ask(&hook->services[ask], now_ms)) {
        refuse(hook, question, ACCESS_HTTP_refused_down);
        return;
    }
    entry = http_cache_add(hook->cache, digest);
    entry->until_ms = now_ms + settings->limits.timeout_ms;
    list_push(&entry->waiters, &question->node);
    list_push(&hook->queue, &entry->node);
}

static void
reload(struct http_hook *hook, struct http_settings *settings)
{
    http_settings_unref(hook->settings);
    hook->settings = settings;
    http_cache_clear(hook->cache);
    http_cache_resize(hook->cache, settings->limits.cache_bytes_max);
    memset(hook->services, 0, sizeof hook->services);
    CURLMcode rc = curl_multi_setopt(hook->multi, CURLMOPT_MAXCONNECTS,
                                     (long)settings->limits.connections_max);
    must(rc == CURLM_OK);
    while (hook->line_count > settings->limits.connections_max && !list_empty(&hook->idle)) {
        http_line_free(container_of(list_pop(&hook->idle), struct http_line, node));
        hook->line_count--;
    }
}

// False: the end.
static bool
take_inbox(struct http_hook *hook)
{
    struct list inbox, *node;
    list_init(&inbox);
    pthread_mutex_lock(&hook->mutex);
    list_splice(&inbox, &hook->inbox);
    struct http_settings *settings = hook->new_ones;
    hook->new_ones = NULL;
    bool closing = hook->closing;
    pthread_mutex_unlock(&hook->mutex);
    if (settings)
        reload(hook, settings);
    uint64_t now_ms = clock_mono_ms();
    while ((node = list_pop(&inbox)) != NULL)
        if (closing)
            refuse(hook, question_of(node), ACCESS_HTTP_refused_end);
        else
            take(hook, question_of(node), now_ms);
    return !closing;
}

static bool
has_line(const struct http_hook *hook)
{
    return !list_empty(&hook->idle) || hook->line_count < hook->settings->limits.connections_max;
}

static void
start_one(struct http_hook *hook, struct http_entry *entry, uint64_t now_ms)
{
    enum http_ask ask = entry_ask(entry);
    if (now_ms >= entry->until_ms) {
        hook->services[ask].trying = false; // it was not tried after all
        refuse_entry(hook, entry, ACCESS_HTTP_refused_timeout);
        return;
    }
    if (!hook->settings->urls[ask]) { // a reload took it away
        entry->answer = (struct http_answer){.err = ERR_NOT_AUTHORIZED, .ignored = true};
        struct http_line none = {.settings = hook->settings, .ask = ask};
        answer_entry(hook, entry, &none);
        return;
    }
    struct http_line *line;
    if (list_empty(&hook->idle)) {
        line = http_line_new();
        hook->line_count++;
    } else {
        line = container_of(list_pop(&hook->idle), struct http_line, node);
    }
    http_line_hold(line, entry, hook->settings);
    list_push(&hook->busy, &line->node);
    send_request(hook, line, ask, now_ms);
}

// Gives lines to those that wait, and up those that have waited too long.
static void
start_requests(struct http_hook *hook)
{
    uint64_t now_ms = clock_mono_ms();
    while (!list_empty(&hook->queue)) {
        struct http_entry *entry = container_of(hook->queue.next, struct http_entry, node);
        if (now_ms < entry->until_ms && !has_line(hook))
            return;
        list_remove(&entry->node);
        start_one(hook, entry, now_ms);
    }
}

static void
move(struct http_hook *hook)
{
    int running, left;
    CURLMcode rc = curl_multi_perform(hook->multi, &running);
    must(rc == CURLM_OK);
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(hook->multi, &left)) != NULL) {
        char *line;
        CURLcode code = curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &line);
        must(code == CURLE_OK && msg->msg == CURLMSG_DONE);
        finish(hook, (struct http_line *)(void *)line, msg->data.result);
    }
}

static int
wait_ms(const struct http_hook *hook)
{
    if (list_empty(&hook->queue))
        return WAIT_MAX_MS;
    if (has_line(hook))
        return 0;
    uint64_t now_ms = clock_mono_ms();
    uint64_t until_ms = container_of(hook->queue.next, struct http_entry, node)->until_ms;
    return until_ms > now_ms ? (int)min_u64(until_ms - now_ms, WAIT_MAX_MS) : 0;
}

static void
give_up(struct http_hook *hook)
{
    struct list *node;
    while ((node = list_pop(&hook->queue)) != NULL)
        refuse_entry(hook, container_of(node, struct http_entry, node), ACCESS_HTTP_refused_end);
    while (!list_empty(&hook->busy)) {
        struct http_line *line = container_of(hook->busy.next, struct http_line, node);
        CURLMcode rc = curl_multi_remove_handle(hook->multi, line->easy);
        must(rc == CURLM_OK);
        refuse_entry(hook, line->entry, ACCESS_HTTP_refused_end);
        release(hook, line);
    }
}

static void *
run(void *arg)
{
    struct http_hook *hook = arg;
    while (take_inbox(hook)) {
        start_requests(hook);
        move(hook);
        atomic_store_explicit(&hook->host.stats->counts[ACCESS_HTTP_cached],
                              http_cache_count(hook->cache), memory_order_relaxed);
        atomic_store_explicit(&hook->host.stats->counts[ACCESS_HTTP_cached_bytes],
                              http_cache_bytes(hook->cache), memory_order_relaxed);
        CURLMcode rc = curl_multi_poll(hook->multi, NULL, 0, wait_ms(hook), NULL);
        must(rc == CURLM_OK);
    }
    give_up(hook);
    return NULL;
}

// ---- From other threads -------------------------------------------------------------------------

// What libcurl sends has passwords, and its copies are not left behind.
static void
wiping_free(void *memory)
{
    if (memory)
        mem_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

static void *
wiping_realloc(void *memory, size_t size)
{
    void *larger = malloc(size);
    if (!larger || !memory)
        return larger;
    size_t before = malloc_usable_size(memory);
    memcpy(larger, memory, before < size ? before : size);
    wiping_free(memory);
    return larger;
}

static void
start_libcurl(void)
{
    CURLcode rc = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
                                       strdup, calloc);
    must(rc == CURLE_OK);
}

// No signal is for this thread, nor for those that libcurl begins on it.
static int
start_thread(struct http_hook *hook)
{
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int rc = pthread_create(&hook->thread, NULL, run, hook);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return rc;
}

static void
free_all(struct http_hook *hook)
{
    struct list *node;
    must(list_empty(&hook->inbox) && list_empty(&hook->queue) && list_empty(&hook->busy));
    while ((node = list_pop(&hook->idle)) != NULL)
        http_line_free(container_of(node, struct http_line, node));
    CURLMcode rc = curl_multi_cleanup(hook->multi);
    must(rc == CURLM_OK);
    http_cache_free(hook->cache);
    http_settings_unref(hook->settings);
    http_settings_unref(hook->new_ones);
    explicit_bzero(hook->key, sizeof hook->key);
    pthread_mutex_destroy(&hook->mutex);
    mem_free(hook);
}

err_t
http_hook_new(const struct config *config, const struct http_hook_host *host,
              struct http_hook **ret_hook, struct file_problem *ret_problem)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    must(host->done != NULL && host->stats != NULL);
    pthread_once(&once, start_libcurl);
    struct http_settings *settings;
    err_t err = http_settings_new(config, &settings, ret_problem);
    if (err != OK)
        return err;
    struct http_hook *hook = mem_zalloc(sizeof *hook);
    pthread_mutex_init(&hook->mutex, NULL);
    list_init(&hook->inbox);
    list_init(&hook->queue);
    list_init(&hook->idle);
    list_init(&hook->busy);
    hook->host = *host;
    atomic_store(&hook->questions_max, settings->limits.requests_max);
    hook->cache = http_cache_new();
    hook->multi = curl_multi_init();
    must(hook->multi != NULL);
    reload(hook, settings);
    ssize_t n = getrandom(hook->key, sizeof hook->key, 0); // so few are never cut short
    must(n == (ssize_t)sizeof hook->key);
    int rc = start_thread(hook);
    if (rc != 0) {
        (void)file_fail(ret_problem, "no thread for auth_http_url: %s", strerrordesc_np(rc));
        free_all(hook);
        return ERR_IO;
    }
    *ret_hook = hook;
    return OK;
}

static void
wake(struct http_hook *hook)
{
    CURLMcode rc = curl_multi_wakeup(hook->multi);
    must(rc == CURLM_OK);
}

void
http_hook_free(struct http_hook *hook)
{
    if (!hook)
        return;
    pthread_mutex_lock(&hook->mutex);
    must(!hook->closing);
    hook->closing = true;
    pthread_mutex_unlock(&hook->mutex);
    wake(hook);
    int rc = pthread_join(hook->thread, NULL);
    must(rc == 0 && atomic_load(&hook->host.stats->counts[ACCESS_HTTP_under_way]) == 0);
    free_all(hook);
}

void
http_hook_ask(struct http_hook *hook, struct access_question *question)
{
    must(question->kind == ACCESS_CONNECT || question->kind == ACCESS_PUBLISH ||
         question->kind == ACCESS_SUBSCRIBE);
    must(list_empty(&question->node));
    count_add(hook, ACCESS_HTTP_questions, 1);
    uint64_t before = atomic_fetch_add_explicit(&hook->host.stats->counts[ACCESS_HTTP_under_way], 1,
                                                memory_order_relaxed);
    if (http_question_size(question) > HTTP_QUESTION_MAX) {
        refuse(hook, question, ACCESS_HTTP_refused_too_large);
        return;
    }
    if (before >= atomic_load_explicit(&hook->questions_max, memory_order_relaxed)) {
        refuse(hook, question, ACCESS_HTTP_refused_busy);
        return;
    }
    pthread_mutex_lock(&hook->mutex);
    must(!hook->closing);
    bool first = list_empty(&hook->inbox);
    list_push(&hook->inbox, &question->node);
    pthread_mutex_unlock(&hook->mutex);
    if (first) // else it has been woken, and has not come yet
        wake(hook);
}

err_t
http_hook_reload(struct http_hook *hook, const struct config *config,
                 struct file_problem *ret_problem)
{
    struct http_settings *settings, *unused;
    err_t err = http_settings_new(config, &settings, ret_problem);
    if (err != OK)
        return err;
    atomic_store_explicit(&hook->questions_max, settings->limits.requests_max,
                          memory_order_relaxed);
    pthread_mutex_lock(&hook->mutex);
    unused = hook->new_ones;
    hook->new_ones = settings;
    pthread_mutex_unlock(&hook->mutex);
    http_settings_unref(unused);
    wake(hook);
    return OK;
}
