// race_jwt.c - many threads check tokens by one set of keys, which others replace meanwhile, for
// ThreadSanitizer.
//
// Keys never change and wolfCrypt's own are made for each check: nothing is locked.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/access/jwt.h"

// Keys and tokens of the unit tests.
#include "tests/unit/test_access_jwt.h"

#define THREADS 4
#define ROUNDS  150

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct jwt_keys *in_force; // behind the mutex, as in core/access/service.c

static const char *const tokens[] = {rs256_token, es256_token, eddsa_token,
                                     hs256_token, hs384_token, hs512_token};

static struct jwt_keys *
keys_new(void)
{
    static char set[4096];
    struct file_problem problem;
    struct jwt_keys *keys = NULL;
    int len = snprintf(set, sizeof set,
                       "{\"keys\":[{\"kty\":\"oct\",\"k\":"
                       "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1"
                       "Njc4OWFiY2RlZg\"},"
                       "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"},"
                       "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"},"
                       "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}]}",
                       rsa_n, p256_x, p256_y, ed25519_x);
    must(len > 0 && (size_t)len < sizeof set);
    err_t err = jwt_keys_parse("keys", slice_of(set, (size_t)len), &keys, &problem);
    must(err == OK && jwt_keys_count(keys) == 4);
    return keys;
}

static void *
check(void *arg)
{
    unsigned first = *(const unsigned *)arg;
    char user[] = "sub", acl[] = "acl";
    struct auth_jwt_config config = {.user_claim = user, .acl_claim = acl};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct jwt_request request = {.token = slice_str(tokens[(first + i) % ARRAY_LEN(tokens)]),
                                      .client_id = slice_str("c"),
                                      .now_s = 1900000000};
        struct jwt_claims claims = {0};
        const char *why = NULL;
        pthread_mutex_lock(&mutex);
        struct jwt_keys *keys = jwt_keys_ref(in_force);
        pthread_mutex_unlock(&mutex);
        err_t err = jwt_check(keys, &config, &request, &claims, &why);
        must(err == OK && slice_equal(claims.user, slice_str("meter-7")));
        jwt_claims_clear(&claims);
        jwt_keys_unref(keys);
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[THREADS];
    unsigned firsts[THREADS];
    in_force = keys_new();
    for (unsigned i = 0; i < THREADS; i++) {
        firsts[i] = i;
        must(pthread_create(&threads[i], NULL, check, &firsts[i]) == 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct jwt_keys *fresh = keys_new();
        pthread_mutex_lock(&mutex);
        struct jwt_keys *old = in_force;
        in_force = fresh;
        pthread_mutex_unlock(&mutex);
        jwt_keys_unref(old);
    }
    for (unsigned i = 0; i < THREADS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    jwt_keys_unref(in_force);
    return 0;
}
