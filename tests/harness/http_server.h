// http_server.h - a small HTTP server that misbehaves on demand, and one who asks a hook.
//
// Job:    answers by path from a table of pages; counts; keeps the last request.
// Owner:  a test. Thread: one for accepting, one for each connection. Memory: as it comes.
// Limits: HTTP_CLIENTS_MAX connections in all, requests of HTTP_REQUEST_ROOM bytes.
#ifndef TERN_TESTS_HTTP_SERVER_H
#define TERN_TESTS_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
// Behind its options everything of wolfSSL.
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/secret_file.h"

#include "core/access/http_hook.h"

#define HTTP_CLIENTS_MAX  512
#define HTTP_REQUEST_ROOM (512u << 10)

enum http_page_way {
    PAGE_ANSWERS, // status, body
    PAGE_RAW,     // body as it is, and the connection is closed
    PAGE_HANGS,   // until the server stops
    PAGE_SLOW,    // 100 ms, then as PAGE_ANSWERS
    PAGE_SLOWER,  // a second: long enough for a busy machine to do something meanwhile
    PAGE_DRIPS,   // a byte of an endless body every 10 ms
    PAGE_FLOODS,  // 10 MiB of body
    PAGE_HEADS,   // headers without end
    PAGE_CLOSES,  // no byte
    PAGE_LEAVES,  // as PAGE_ANSWERS; the connection, said to be kept, is closed
};

struct http_page {
    const char *path;
    enum http_page_way way;
    unsigned status;
    const char *body;
};

struct http_server;
struct http_client {
    struct http_server *server;
    int fd;
    WOLFSSL *ssl; // NULL = plain
    pthread_t thread;
};

struct http_server {
    const struct http_page *pages; // ends with a path of NULL
    WOLFSSL_CTX *tls;
    int fd;
    unsigned port;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic unsigned requests, connections;
    struct http_client clients[HTTP_CLIENTS_MAX];
    pthread_mutex_t mutex;
    char last[HTTP_REQUEST_ROOM]; // the last request; under the mutex
};

static inline void
http_sleep(unsigned ms)
{
    must(usleep(ms * 1000) == 0);
}

// ---- One connection -----------------------------------------------------------------------------

static inline bool
http_put(struct http_client *client, const void *bytes, size_t len)
{
    if (client->ssl)
        return wolfSSL_write(client->ssl, bytes, (int)len) == (int)len;
    for (const char *at = bytes; len > 0;) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool
http_put_str(struct http_client *client, const char *text)
{
    return http_put(client, text, strlen(text));
}

static int
http_tls_receive(WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    const struct http_client *client = arg;
    ssize_t n = recv(client->fd, to, (size_t)len, 0);
    return n > 0 ? (int)n : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

static int
http_tls_send(WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    const struct http_client *client = arg;
    ssize_t n = send(client->fd, from, (size_t)len, MSG_NOSIGNAL);
    return n > 0 ? (int)n : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

// A whole request with its body, NUL-terminated; false: the connection has ended.
static inline bool
http_get(struct http_client *client, char *request)
{
    size_t len = 0;
    for (;;) {
        request[len] = '\0';
        char *end = strstr(request, "\r\n\r\n");
        char *length = strcasestr(request, "\r\nContent-Length:");
        if (end && length && length < end &&
            len >= (size_t)(end + 4 - request) + strtoul(length + 17, NULL, 10))
            return true;
        must(len < HTTP_REQUEST_ROOM - 1);
        ssize_t n = client->ssl ? wolfSSL_read(client->ssl, request + len,
                                               (int)(HTTP_REQUEST_ROOM - 1 - len))
                                : recv(client->fd, request + len, HTTP_REQUEST_ROOM - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
}

static inline bool
http_answer(struct http_client *client, unsigned status, const char *body)
{
    char head[256];
    if (!body)
        body = "";
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %u Yes\r\nContent-Type: application/json\r\n"
                       "Location: /elsewhere\r\n%s",
                       status, status == 204 ? "\r\n" : "");
    if (status != 204)
        len += snprintf(head + len, sizeof head - (size_t)len, "Content-Length: %zu\r\n\r\n",
                        strlen(body));
    return http_put(client, head, (size_t)len) && http_put_str(client, body);
}

static inline void
http_trickle(struct http_client *client, const struct http_page *page)
{
    static const char block[1024] = {[0 ... 1023] = ' '};
    bool good = http_put_str(client, "HTTP/1.1 200 OK\r\n");
    if (page->way != PAGE_HEADS)
        good = good && http_put_str(client, "Content-Length: 10485760\r\n\r\n");
    for (unsigned i = 0; good && !atomic_load(&client->server->stop); i++) {
        if (page->way == PAGE_DRIPS)
            http_sleep(10);
        if (page->way == PAGE_HEADS)
            good = http_put_str(client, "X-More: of the same, and so on, without an end\r\n");
        else
            good = http_put(client, block, page->way == PAGE_DRIPS ? 1 : sizeof block) && i < 10240;
    }
}

// False: the connection is done with.
static inline bool
http_serve(struct http_client *client, const struct http_page *page)
{
    switch (page->way) {
    case PAGE_SLOW:
    case PAGE_SLOWER:
        http_sleep(page->way == PAGE_SLOW ? 100 : 1000);
        return http_answer(client, page->status, page->body);
    case PAGE_ANSWERS:
        return http_answer(client, page->status, page->body);
    case PAGE_LEAVES:
        (void)http_answer(client, page->status, page->body);
        return false;
    case PAGE_RAW:
        (void)http_put_str(client, page->body);
        return false;
    case PAGE_HANGS:
        while (!atomic_load(&client->server->stop))
            http_sleep(5);
        return false;
    case PAGE_CLOSES:
        return false;
    default:
        http_trickle(client, page);
        return false;
    }
}

static inline const struct http_page *
http_page_of(const struct http_server *server, const char *request)
{
    static const struct http_page none = {.status = 404};
    must(strncmp(request, "POST ", 5) == 0);
    const char *path = request + 5;
    size_t len = strcspn(path, " ");
    for (const struct http_page *page = server->pages; page->path; page++)
        if (strlen(page->path) == len && memcmp(page->path, path, len) == 0)
            return page;
    return &none;
}

static void *
http_client_run(void *arg)
{
    struct http_client *client = arg;
    struct http_server *server = client->server;
    char *request = mem_alloc(HTTP_REQUEST_ROOM);
    bool good = true;
    if (server->tls) {
        client->ssl = wolfSSL_new(server->tls);
        must(client->ssl != NULL);
        wolfSSL_SetIOReadCtx(client->ssl, client);
        wolfSSL_SetIOWriteCtx(client->ssl, client);
        good = wolfSSL_accept(client->ssl) == WOLFSSL_SUCCESS;
    }
    while (good && http_get(client, request)) {
        pthread_mutex_lock(&server->mutex);
        strcpy(server->last, request);
        pthread_mutex_unlock(&server->mutex);
        atomic_fetch_add(&server->requests, 1);
        good = http_serve(client, http_page_of(server, request));
    }
    if (client->ssl)
        wolfSSL_free(client->ssl);
    mem_free(request);
    (void)shutdown(client->fd, SHUT_RDWR); // the number stays taken until the end
    return NULL;
}

// ---- The server ---------------------------------------------------------------------------------

static void *
http_server_run(void *arg)
{
    struct http_server *server = arg;
    while (!atomic_load(&server->stop)) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0)
            break;
        int yes = 1; // head and body are two writes
        must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
        unsigned n = atomic_load(&server->connections);
        must(n < HTTP_CLIENTS_MAX);
        struct http_client *client = &server->clients[n];
        *client = (struct http_client){.server = server, .fd = fd};
        must(pthread_create(&client->thread, NULL, http_client_run, client) == 0);
        atomic_store(&server->connections, n + 1);
    }
    return NULL;
}

static inline WOLFSSL_CTX *
http_server_tls(const char *cert, const char *key)
{
    struct secret_file file;
    struct file_problem problem;
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
    must(ctx != NULL);
    wolfSSL_CTX_SetIORecv(ctx, http_tls_receive);
    wolfSSL_CTX_SetIOSend(ctx, http_tls_send);
    must(secret_file_read(cert, 1u << 20, &file, &problem) == OK);
    must(wolfSSL_CTX_use_certificate_chain_buffer(ctx, file.data, file.len) == WOLFSSL_SUCCESS);
    secret_file_free(&file);
    must(secret_file_read(key, 1u << 20, &file, &problem) == OK);
    must(wolfSSL_CTX_use_PrivateKey_buffer(ctx, file.data, file.len, WOLFSSL_FILETYPE_PEM) ==
         WOLFSSL_SUCCESS);
    secret_file_free(&file);
    return ctx;
}

// port 0: any. cert NULL: plain HTTP.
static inline struct http_server *
http_server_open(unsigned port, const struct http_page *pages, const char *cert, const char *key)
{
    struct http_server *server = mem_zalloc(sizeof *server);
    server->pages = pages;
    pthread_mutex_init(&server->mutex, NULL);
    if (cert) {
        must(wolfSSL_Init() == WOLFSSL_SUCCESS);
        server->tls = http_server_tls(cert, key);
    }
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int yes = 1;
    must(setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    must(bind(server->fd, (struct sockaddr *)&address, len) == 0);
    must(listen(server->fd, 256) == 0);
    must(getsockname(server->fd, (struct sockaddr *)&address, &len) == 0);
    server->port = ntohs(address.sin_port);
    must(pthread_create(&server->thread, NULL, http_server_run, server) == 0);
    return server;
}

static inline struct http_server *
http_server_new(const struct http_page *pages, const char *cert, const char *key)
{
    return http_server_open(0, pages, cert, key);
}

static inline struct http_server *
http_server_at(unsigned port, const struct http_page *pages)
{
    return http_server_open(port, pages, NULL, NULL);
}

static inline void
http_server_free(struct http_server *server)
{
    atomic_store(&server->stop, true);
    (void)shutdown(server->fd, SHUT_RDWR);
    must(pthread_join(server->thread, NULL) == 0);
    for (unsigned i = 0; i < atomic_load(&server->connections); i++) {
        struct http_client *client = &server->clients[i];
        (void)shutdown(client->fd, SHUT_RDWR);
        must(pthread_join(client->thread, NULL) == 0);
        (void)close(client->fd);
    }
    (void)close(server->fd);
    wolfSSL_CTX_free(server->tls);
    pthread_mutex_destroy(&server->mutex);
    mem_free(server);
}

// ---- Who asks -----------------------------------------------------------------------------------

struct http_asker {
    pthread_mutex_t mutex;
    pthread_cond_t come;
    struct list answered;
    unsigned count;
    struct access_http_stats stats; // of its hook
};

static inline void
http_asker_init(struct http_asker *asker)
{
    pthread_mutex_init(&asker->mutex, NULL);
    pthread_cond_init(&asker->come, NULL);
    list_init(&asker->answered);
    asker->count = 0;
    memset(&asker->stats, 0, sizeof asker->stats);
}

static inline void
http_asker_done(void *arg, struct access_question *question)
{
    struct http_asker *asker = arg;
    pthread_mutex_lock(&asker->mutex);
    list_push(&asker->answered, &question->node);
    asker->count++;
    pthread_cond_broadcast(&asker->come);
    pthread_mutex_unlock(&asker->mutex);
}

static inline struct http_hook_host
http_asker_host(struct http_asker *asker)
{
    return (struct http_hook_host){.stats = &asker->stats, .done = http_asker_done, .arg = asker};
}

static inline uint64_t
http_asker_stat(const struct http_asker *asker, enum access_http_count which)
{
    return atomic_load(&asker->stats.counts[which]);
}

// The next answer; waits. The caller frees it.
static inline struct access_question *
http_asker_next(struct http_asker *asker)
{
    pthread_mutex_lock(&asker->mutex);
    while (list_empty(&asker->answered))
        pthread_cond_wait(&asker->come, &asker->mutex);
    struct list *node = list_pop(&asker->answered);
    pthread_mutex_unlock(&asker->mutex);
    return container_of(node, struct access_question, node);
}

static inline struct access_question *
http_question(enum access_kind kind, const char *user, const char *password, const char *topic)
{
    struct access_texts texts = {
        .client_id = slice_str("sensor-1"),
        .user = user ? slice_str(user) : slice_of(NULL, 0),
        .password = password ? slice_str(password) : slice_of(NULL, 0),
        .peer = slice_str("192.0.2.7:4711"),
        .topic = topic ? slice_str(topic) : slice_of(NULL, 0),
    };
    struct access_question *question = access_question_new(&texts);
    question->kind = kind;
    question->version = 5;
    question->qos = 1;
    return question;
}

#endif
