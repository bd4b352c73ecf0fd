// race_tls.c - handshakes on two shards while the listener's context is replaced: references,
// tickets, the response that is stapled, and connections that outlive their context.
#include <pthread.h>
#include <stdio.h>

#include "tests/harness/tls_client.h"

#define SHARDS     2
#define ROUNDS     40
#define SWAPS      20
#define FILE_OF(n) TERN_CERTIFICATES "/" n

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tls_context *current; // under the mutex, in RCU's place
static _Atomic bool stop;

static struct tls_context *
make(void)
{
    struct tls_settings settings = {.cert_file = FILE_OF("chain.pem"),
                                    .key_file = FILE_OF("chain.key"),
                                    .ocsp_file = FILE_OF("ocsp.der"),
                                    .alpn = "mqtt"};
    struct tls_context *context;
    struct file_problem problem;
    must(tls_context_new(&settings, SHARDS, &context, &problem) == OK);
    return context;
}

static struct tls_context *
borrow(void)
{
    must(pthread_mutex_lock(&mutex) == 0);
    struct tls_context *context = tls_context_ref(current);
    must(pthread_mutex_unlock(&mutex) == 0);
    return context;
}

struct memory { // of a client: what it may resume, and where
    WOLFSSL_SESSION *session;
    struct tls_context *context; // holds a reference
};

static void
forget(struct memory *memory)
{
    wolfSSL_SESSION_free(memory->session);
    tls_context_unref(memory->context);
    *memory = (struct memory){NULL, NULL};
}

static void
one_client(unsigned shard, unsigned round, struct memory *memory)
{
    struct tls_context *context = borrow();
    if (memory->context != context)
        forget(memory);
    bool staple = round % 3 == 0;
    struct tls_client_options options = {.ca = FILE_OF("clients.pem"),
                                         .version = round % 2 ? WOLFSSL_TLSV1_2 : WOLFSSL_TLSV1_3,
                                         .staple = staple,
                                         .session = staple ? NULL : memory->session,
                                         .shard = shard};
    struct tls_pair *pair = pair_new(context, &options);
    must(pair_shake(pair));
    must(wolfSSL_write(pair->client, "hello", 5) == 5);
    pair_serve(pair);
    must(pair->plain_len == 5);
    must(tls_write(pair->tls, &pair->out, &pair->pool, slice_str("world")) == OK);
    char back[8];
    must(wolfSSL_read(pair->client, back, sizeof back) == 5);
    forget(memory);
    *memory = (struct memory){wolfSSL_get1_session(pair->client), context};
    pair_free(pair);
}

static void *
shake(void *arg)
{
    unsigned shard = *(unsigned *)arg;
    struct memory memories[2] = {{NULL, NULL}, {NULL, NULL}}; // of each version
    for (unsigned round = 0; round < ROUNDS; round++)
        one_client(shard, round, &memories[round % 2]);
    forget(&memories[0]);
    forget(&memories[1]);
    return NULL;
}

static void *
swap(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < SWAPS && !stop; i++) {
        struct tls_context *fresh = make();
        must(pthread_mutex_lock(&mutex) == 0);
        struct tls_context *old = current;
        current = fresh;
        must(pthread_mutex_unlock(&mutex) == 0);
        tls_context_unref(old);
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[SHARDS], swapper;
    unsigned shards[SHARDS];
    current = make();
    must(pthread_create(&swapper, NULL, swap, NULL) == 0);
    for (unsigned i = 0; i < SHARDS; i++) {
        shards[i] = i;
        must(pthread_create(&threads[i], NULL, shake, &shards[i]) == 0);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    stop = true;
    must(pthread_join(swapper, NULL) == 0);
    tls_context_unref(current);
    printf("%u handshakes on %u shards\n", ROUNDS * SHARDS, SHARDS);
    return 0;
}
