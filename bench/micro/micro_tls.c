// micro_tls.c - what the TLS filter costs: handshakes, bytes, memory of an idle connection.
//
// Client and server talk in memory. Handshakes count the server's part alone, by the thread's CPU
// clock; for the bytes, the client's part is that of the same library. Prints `name value unit`
// lines.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "core/base/mem.h"

#include "io/tls.h"

#define HANDSHAKES  1000
#define IDLE        2000
#define BULK_BYTES  (256u << 20)
#define ROOM        (64u << 10)
#define CERTIFICATE TERN_CERTIFICATES "/chain.pem"
#define KEY         TERN_CERTIFICATES "/chain.key"

struct side {
    struct tls *tls;
    struct outq out;
    WOLFSSL *client;
    uint8_t to_server[ROOM];
    uint32_t len;
};

static struct outq_pool pool;
static struct tls_context *context;
static double server_ns; // of its part

static double
cpu_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int
client_receive(WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    struct side *side = arg;
    uint32_t n = min_u32((uint32_t)len, (uint32_t)outq_bytes(&side->out));
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(to, side->out.buf + side->out.head, n);
    outq_consume(&side->out, &pool, n);
    return (int)n;
}

static int
client_send(WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    struct side *side = arg;
    must((uint32_t)len <= ROOM - side->len);
    memcpy(side->to_server + side->len, from, (size_t)len);
    side->len += (uint32_t)len;
    return len;
}

static WOLFSSL_CTX *
client_context(bool tls13, const char *ciphers)
{
    WOLFSSL_CTX *ctx =
        wolfSSL_CTX_new(tls13 ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    must(ctx != NULL);
    wolfSSL_CTX_SetIORecv(ctx, client_receive);
    wolfSSL_CTX_SetIOSend(ctx, client_send);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
    if (ciphers)
        must(wolfSSL_CTX_set_cipher_list(ctx, ciphers) == WOLFSSL_SUCCESS);
    return ctx;
}

static void
serve(struct side *side)
{
    static uint8_t plain[TLS_RECORD_MAX];
    double begin = cpu_ns();
    tls_input(side->tls, slice_of(side->to_server, side->len));
    while (tls_read(side->tls, &side->out, &pool, plain, sizeof plain) > 0)
        ;
    side->len = 0;
    server_ns += cpu_ns() - begin;
}

// The client's session is borrowed; NULL: a full handshake.
static struct side *
connect_side(WOLFSSL_CTX *ctx, WOLFSSL_SESSION *session, int curve)
{
    struct side *side = mem_zalloc(sizeof *side);
    double begin = cpu_ns();
    side->tls = tls_new(context, 0);
    server_ns += cpu_ns() - begin;
    side->client = wolfSSL_new(ctx);
    must(side->client != NULL);
    wolfSSL_SetIOReadCtx(side->client, side);
    wolfSSL_SetIOWriteCtx(side->client, side);
    must(wolfSSL_UseSessionTicket(side->client) == WOLFSSL_SUCCESS);
    if (curve)
        must(wolfSSL_UseKeyShare(side->client, (word16)curve) == WOLFSSL_SUCCESS);
    if (session)
        must(wolfSSL_set_session(side->client, session) == WOLFSSL_SUCCESS);
    while (wolfSSL_connect(side->client) != WOLFSSL_SUCCESS)
        serve(side);
    serve(side);
    must(side->tls->state == TLS_OPEN);
    return side;
}

static void
side_free(struct side *side)
{
    double begin = cpu_ns();
    tls_free(side->tls);
    server_ns += cpu_ns() - begin;
    wolfSSL_free(side->client);
    outq_free(&side->out, &pool);
    mem_free(side);
}

static void
handshakes(const char *name, bool tls13, int curve, bool resumed)
{
    WOLFSSL_CTX *ctx = client_context(tls13, NULL);
    WOLFSSL_SESSION *session = NULL;
    for (int i = 0; i < HANDSHAKES + 10; i++) {
        if (i == 10)
            server_ns = 0;
        struct side *side = connect_side(ctx, session, curve);
        must(tls_resumed(side->tls) == (session != NULL));
        if (resumed) { // a ticket is good once
            uint8_t scrap[8];
            (void)wolfSSL_read(side->client, scrap, sizeof scrap);
            wolfSSL_SESSION_free(session);
            session = wolfSSL_get1_session(side->client);
            must(session != NULL);
        }
        side_free(side);
    }
    wolfSSL_SESSION_free(session);
    wolfSSL_CTX_free(ctx);
    printf("handshake_%s %.1f us\n", name, server_ns / HANDSHAKES / 1000);
    printf("handshakes_%s %.0f per_cpu_second\n", name, HANDSHAKES * 1e9 / server_ns);
}

static void
bulk(const char *name, bool tls13, const char *ciphers, uint32_t size)
{
    static uint8_t data[TLS_RECORD_MAX], back[TLS_RECORD_MAX];
    WOLFSSL_CTX *ctx = client_context(tls13, ciphers);
    struct side *side = connect_side(ctx, NULL, 0);
    uint32_t batch = size < 1024 ? 256 : 1; // the clock costs as much as a small record
    uint32_t rounds = min_u32(BULK_BYTES / size, 1u << 20) / batch;
    double out_ns = 0;
    server_ns = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        double begin = cpu_ns();
        for (uint32_t k = 0; k < batch; k++)
            must(tls_write(side->tls, &side->out, &pool, slice_of(data, size)) == OK);
        out_ns += cpu_ns() - begin;
        for (uint32_t k = 0; k < batch; k++) {
            must(wolfSSL_read(side->client, back, sizeof back) == (int)size);
            must(wolfSSL_write(side->client, data, (int)size) == (int)size);
        }
        serve(side);
    }
    double bytes = (double)rounds * batch * size;
    printf("encrypt_%s_%u %.2f GB/s\n", name, size, bytes / out_ns);
    printf("decrypt_%s_%u %.2f GB/s\n", name, size, bytes / server_ns);
    if (size < 1024)
        printf("record_%s_%u %.0f ns_encrypt %.0f ns_decrypt\n", name, size,
               out_ns / rounds / batch, server_ns / rounds / batch);
    side_free(side);
    wolfSSL_CTX_free(ctx);
}

static long
resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    return pages * 4096;
}

// The client goes as soon as it is connected; what is left is the server's. In a process of its
// own, so that what others have freed is not used.
static void
idle_alone(const char *name, bool tls13)
{
    static struct tls *all[IDLE];
    WOLFSSL_CTX *ctx = client_context(tls13, NULL);
    long begin = 0;
    for (int i = 0; i < IDLE; i++) {
        if (i == IDLE / 4) // after what the first ones leave behind for the next
            begin = resident_bytes();
        struct side *side = connect_side(ctx, NULL, WOLFSSL_ECC_SECP256R1);
        uint8_t scrap[8];
        (void)wolfSSL_read(side->client, scrap, sizeof scrap);
        must(wolfSSL_write(side->client, "hello", 5) == 5);
        serve(side);
        all[i] = side->tls;
        wolfSSL_free(side->client);
        outq_free(&side->out, &pool);
        mem_free(side);
    }
    printf("idle_%s %ld bytes\n", name, (resident_bytes() - begin) / (IDLE - IDLE / 4));
    for (int i = 0; i < IDLE; i++)
        tls_free(all[i]);
    wolfSSL_CTX_free(ctx);
}

static void
idle(const char *name, bool tls13)
{
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        idle_alone(name, tls13);
        (void)fflush(stdout);
        _exit(0);
    }
    must(child > 0 && waitpid(child, NULL, 0) == child);
}

int
main(void)
{
    struct tls_settings settings = {.cert_file = CERTIFICATE, .key_file = KEY, .alpn = "mqtt"};
    struct file_problem problem;
    if (tls_context_new(&settings, 1, &context, &problem) != OK) {
        (void)fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    printf("library %s_%s\n", tls_library(), TERN_WOLFSSL);
    idle("tls13", true);
    idle("tls12", false);
    handshakes("tls13_p256", true, WOLFSSL_ECC_SECP256R1, false);
    handshakes("tls13_x25519", true, WOLFSSL_ECC_X25519, false);
    handshakes("tls12", false, 0, false);
    handshakes("tls13_resumed", true, WOLFSSL_ECC_SECP256R1, true);
    handshakes("tls12_resumed", false, 0, true);
    bulk("aes128gcm", true, "TLS13-AES128-GCM-SHA256", 16384);
    bulk("aes256gcm", true, "TLS13-AES256-GCM-SHA384", 16384);
    bulk("chacha20", true, "TLS13-CHACHA20-POLY1305-SHA256", 16384);
    bulk("aes128gcm", true, "TLS13-AES128-GCM-SHA256", 100);
    tls_context_unref(context);
    outq_pool_drain(&pool);
    return 0;
}
