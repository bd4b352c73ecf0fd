// dynsec.c - dynamic security: the lock around the model, and who comes.
#include "core/access/dynsec.h"

#include <pthread.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/access/digest.h"
#include "core/access/dynsec_command.h"
#include "core/access/dynsec_compile.h"
#include "core/access/dynsec_store.h"
#include "core/access/verified.h"

struct dynsec {
    pthread_mutex_t mutex; // orders the commands, and guards what follows
    struct dynsec_model model;
    uint64_t next_order;
    uint32_t iterations;
    struct hash_key key; // for the cost of names that are unknown
};

struct dynsec *
dynsec_new(uint32_t iterations)
{
    must(iterations >= 1 && iterations <= DYNSEC_ITERATIONS_MAX);
    struct dynsec *dynsec = mem_zalloc(sizeof *dynsec);
    pthread_mutex_init(&dynsec->mutex, NULL);
    dynsec_model_init(&dynsec->model);
    dynsec->iterations = iterations;
    dynsec->next_order = 1;
    uint8_t first[DIGEST_LEN_MAX]; // before there are several threads (digest.h)
    digest_of(DIGEST_SHA512, slice_of(NULL, 0), slice_of(NULL, 0), first);
    err_t err = hash_key_random(&dynsec->key);
    must(err == OK); // the broker itself has had a key by then
    return dynsec;
}

void
dynsec_free(struct dynsec *dynsec)
{
    if (!dynsec)
        return;
    dynsec_model_free(&dynsec->model);
    pthread_mutex_destroy(&dynsec->mutex);
    mem_free(dynsec);
}

static bool
is_empty(const struct dynsec_model *model)
{
    return model->clients.count + model->groups.count + model->roles.count == 0;
}

bool
dynsec_is_empty(struct dynsec *dynsec)
{
    pthread_mutex_lock(&dynsec->mutex);
    bool empty = is_empty(&dynsec->model);
    pthread_mutex_unlock(&dynsec->mutex);
    return empty;
}

// ---- What is stored -----------------------------------------------------------------------------

// Takes model when err is OK, else throws it away.
static err_t
install(struct dynsec *dynsec, struct dynsec_model *model, err_t err)
{
    if (err == OK) {
        pthread_mutex_lock(&dynsec->mutex);
        must(is_empty(&dynsec->model));
        struct dynsec_model empty = dynsec->model;
        dynsec->model = *model;
        *model = empty;
        pthread_mutex_unlock(&dynsec->mutex);
    }
    dynsec_model_free(model);
    return err;
}

void
dynsec_set_next_order(struct dynsec *dynsec, uint64_t order)
{
    must(order >= 1);
    dynsec->next_order = order;
}

err_t
dynsec_load(struct dynsec *dynsec, const struct dynsec_setting *list, uint32_t count, char *problem,
            size_t size)
{
    struct dynsec_model model;
    dynsec_model_init(&model);
    return install(dynsec, &model, dynsec_take_settings(&model, list, count, problem, size));
}

err_t
dynsec_import(struct dynsec *dynsec, struct slice text, struct dynsec_import *ret, char *problem,
              size_t size)
{
    struct dynsec_model model;
    dynsec_model_init(&model);
    err_t err = dynsec_take_file(&model, text, ret, problem, size);
    if (err != OK)
        return install(dynsec, &model, err);
    dynsec_collect(&model, &ret->settings);
    ret->order = dynsec->next_order++; // nobody else knows of it yet
    return install(dynsec, &model, OK);
}

// ---- Commands -----------------------------------------------------------------------------------

static char *
text_of(struct slice text)
{
    return mem_strndup(text.data ? (const char *)text.data : "", text.len);
}

void
dynsec_execute(struct dynsec *dynsec, struct slice by, struct slice payload,
               struct dynsec_outcome *ret)
{
    struct dynsec_batch batch;
    *ret = (struct dynsec_outcome){0};
    dynsec_batch_begin(payload, dynsec->iterations, &batch);
    char *name = text_of(by);
    pthread_mutex_lock(&dynsec->mutex);
    json_t *reply = dynsec_batch_run(&dynsec->model, &batch, &ret->rules, &ret->log);
    dynsec_collect(&dynsec->model, &ret->settings);
    const struct dynsec_client *self = dynsec_find_client(&dynsec->model, name);
    ret->mark = self && !self->disabled ? self->mark : 0;
    ret->order = dynsec->next_order++;
    pthread_mutex_unlock(&dynsec->mutex);
    char *text = json_dumps(reply, JSON_COMPACT);
    must(text);
    must(strlen(text) <= UINT32_MAX);
    ret->reply = slice_of(mem_strdup(text), strlen(text));
    mem_free(text);
    json_decref(reply);
    mem_free(name);
    dynsec_batch_end(&batch);
}

void
dynsec_outcome_free(struct dynsec_outcome *outcome)
{
    mem_free(unconst(outcome->reply.data));
    dynsec_settings_free(&outcome->settings);
    mem_free(outcome->log);
    *outcome = (struct dynsec_outcome){0};
}

// ---- Who comes ----------------------------------------------------------------------------------

// What there is to compare with, and whether it is of any use.
struct candidate {
    struct dynsec_secret secret;
    uint64_t mark;
    bool known, good;
};

// A name that is unknown costs as much as one of the others, always the same: passwords that came
// with a file have other costs than those that were set here, and neither tells a name from
// another.
static uint32_t
usual_iterations(const struct dynsec *dynsec, struct slice user)
{
    const struct dynsec_table *clients = &dynsec->model.clients;
    if (clients->count == 0)
        return dynsec->iterations;
    uint64_t hash = hash_bytes(&dynsec->key, user.data, user.len);
    const struct dynsec_client *other =
        (const struct dynsec_client *)clients->items[hash % clients->count];
    return other->has_secret ? other->secret.iterations : dynsec->iterations;
}

static void
find_candidate(const struct dynsec *dynsec, const char *name, const struct dynsec_login *login,
               struct candidate *ret)
{
    const struct dynsec_client *client = dynsec_find_client(&dynsec->model, name);
    *ret = (struct candidate){.known = client != NULL};
    if (!client || !client->has_secret) {
        dynsec_secret_none(usual_iterations(dynsec, login->user), &ret->secret);
        return;
    }
    ret->secret = client->secret;
    ret->mark = client->mark;
    ret->good = !client->disabled &&
                (!client->client_id || slice_equal(slice_str(client->client_id), login->client_id));
}

static bool
fits(const struct candidate *candidate, const struct dynsec_login *login, struct verified *verified,
     uint64_t now_ms)
{
    const struct verified_login known = {
        .mark = candidate->mark, .user = login->user, .password = login->password};
    if (known.mark && verified && verified_has(verified, &known, now_ms))
        return true;
    if (!dynsec_secret_fits(&candidate->secret, login->password) || !candidate->mark)
        return false;
    if (verified)
        verified_add(verified, &known, now_ms);
    return true;
}

err_t
dynsec_check(struct dynsec *dynsec, const struct dynsec_login *login, struct verified *verified,
             uint64_t now_ms, uint64_t *ret_mark)
{
    struct candidate candidate;
    char *name = text_of(login->user); // MQTT's user names have no NUL
    pthread_mutex_lock(&dynsec->mutex);
    find_candidate(dynsec, name, login, &candidate);
    pthread_mutex_unlock(&dynsec->mutex);
    mem_free(name);
    bool good = fits(&candidate, login, verified, now_ms) && candidate.good;
    explicit_bzero(&candidate.secret, sizeof candidate.secret);
    if (!candidate.known)
        return ERR_NOT_FOUND;
    if (!good)
        return ERR_NOT_AUTHORIZED;
    must(candidate.mark != 0 && candidate.good);
    *ret_mark = candidate.mark;
    return OK;
}

// ---- What shards need ---------------------------------------------------------------------------

struct acl *
dynsec_compile(struct dynsec *dynsec)
{
    pthread_mutex_lock(&dynsec->mutex);
    struct acl *acl = dynsec_compile_model(&dynsec->model);
    pthread_mutex_unlock(&dynsec->mutex);
    return acl;
}

void
dynsec_add_users(struct dynsec *dynsec, struct access_users *users)
{
    pthread_mutex_lock(&dynsec->mutex);
    dynsec_model_users(&dynsec->model, users);
    pthread_mutex_unlock(&dynsec->mutex);
}
