// http_server.c - /livez, /readyz, /startupz and /metrics, on a thread of their own.
#include "http/http_server.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/config.h"
#include "core/figures.h"
#include "http/health.h"
#include "http/http_socket.h"
#include "http/metrics.h"

#define HTTP_MAGIC 0x68747470u
// Connections that make room at a time.
#define EVICTIONS 8u
// How often deadlines are looked at while there are connections.
#define LOOK_MS 500
// Below the workers: a flood of requests takes what these leave.
#define NICE 10

struct visitor {
    int fd; // -1: nobody
    bool leaving;
    uint64_t since_ms;
};

struct http_server {
    uint32_t magic;
    int fd, wake_fd; // fd: the daemon's, once there is one
    struct MHD_Daemon *daemon;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    char place[HTTP_PLACE_MAX];

    pthread_mutex_t lock;
    struct health_view view; // under the lock
    const struct listen_set *listeners;
    uint32_t aliases;

    // Of the thread.
    struct visitor visitors[HTTP_CONNECTIONS_MAX];
    uint32_t visitor_count;
    bool room_made; // since libmicrohttpd was last run
};

static void
lock(struct http_server *server)
{
    must(server->magic == HTTP_MAGIC);
    must(pthread_mutex_lock(&server->lock) == 0);
}

static void
unlock(struct http_server *server)
{
    must(pthread_mutex_unlock(&server->lock) == 0);
}

// ---- Answers ------------------------------------------------------------------------------------

// Every answer ends its connection: a place is never held for a next request.
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, const char *type,
       struct MHD_Response *response)
{
    must(status >= 200 && status < 600);
    if (!response)
        return MHD_NO;
    enum MHD_Result good = MHD_YES;
    const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, type},        {MHD_HTTP_HEADER_CONNECTION, "close"},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"}, {"X-Content-Type-Options", "nosniff"},
        {MHD_HTTP_HEADER_ALLOW, "GET, HEAD"},
    };
    size_t count = ARRAY_LEN(headers) - (status == MHD_HTTP_METHOD_NOT_ALLOWED ? 0 : 1);
    for (size_t i = 0; good == MHD_YES && i < count; i++)
        good = MHD_add_response_header(response, headers[i][0], headers[i][1]);
    if (good == MHD_YES)
        good = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return good;
}

static enum MHD_Result
answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), unconst(text), MHD_RESPMEM_MUST_COPY);
    return answer(connection, status, "text/plain; charset=utf-8", response);
}

static enum MHD_Result
answer_health(struct http_server *server, struct MHD_Connection *connection,
              void (*judge)(const struct health_view *view, struct health *ret))
{
    struct health health;
    lock(server);
    server->view.now_ms = clock_mono_ms();
    judge(&server->view, &health);
    unlock(server);
    return answer_text(connection, health.good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                       health.text);
}

static enum MHD_Result
answer_live(struct http_server *server, struct MHD_Connection *connection)
{
    return answer_health(server, connection, health_live);
}

static enum MHD_Result
answer_ready(struct http_server *server, struct MHD_Connection *connection)
{
    return answer_health(server, connection, health_ready);
}

static enum MHD_Result
answer_started(struct http_server *server, struct MHD_Connection *connection)
{
    return answer_health(server, connection, health_started);
}

// The shards exist while the broker serves, and the lock holds up its end.
static enum MHD_Result
answer_metrics(struct http_server *server, struct MHD_Connection *connection)
{
    enum metrics_format format = metrics_choose(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
    struct figures figures;
    char *text = NULL;
    size_t len = 0;
    lock(server);
    bool serves = server->view.stage == HEALTH_SERVING;
    if (serves) {
        figures_gather(server->view.broker, clock_mono_ms(), &figures);
        const struct metrics_source source = {&figures, server->view.broker, server->listeners,
                                              server->aliases};
        text = metrics_write(&source, format, &len);
    }
    unlock(server);
    if (!serves)
        return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                           "the broker is starting or ending\n");
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(len, text, mem_free);
    if (!response)
        mem_free(text);
    return answer(connection, MHD_HTTP_OK, metrics_content_type(format), response);
}

static const struct route {
    const char *path;
    enum MHD_Result (*answer)(struct http_server *server, struct MHD_Connection *connection);
} routes[] = {
    {"/livez", answer_live},
    {"/readyz", answer_ready},
    {"/startupz", answer_started},
    {"/metrics", answer_metrics},
};

// NOLINTBEGIN(readability-function-size,readability-non-const-parameter): libmicrohttpd's type
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *body, size_t *body_len, void **context)
{
    (void)version, (void)body, (void)body_len, (void)context;
    struct http_server *server = arg;
    must(server->magic == HTTP_MAGIC);
    uint32_t i = 0;
    while (i < ARRAY_LEN(routes) && strcmp(url, routes[i].path) != 0)
        i++;
    if (i == ARRAY_LEN(routes))
        return answer_text(connection, MHD_HTTP_NOT_FOUND,
                           "not found: there are /livez, /readyz, /startupz and /metrics\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
    return routes[i].answer(server, connection);
}
// NOLINTEND(readability-function-size,readability-non-const-parameter)

// ---- Connections --------------------------------------------------------------------------------

static void
on_connection(void *arg, struct MHD_Connection *connection, void **place,
              enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct visitor *gone = *place;
        if (!gone)
            return;
        must(gone->fd >= 0 && server->visitor_count > 0);
        gone->fd = -1;
        server->visitor_count--;
        server->room_made = true;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    must(info != NULL);
    *place = NULL;
    if (server->visitor_count == HTTP_CONNECTIONS_MAX) { // by its own count there is room
        (void)shutdown(info->connect_fd, SHUT_RDWR);
        return;
    }
    struct visitor *visitor = server->visitors;
    while (visitor->fd >= 0)
        visitor++;
    *visitor = (struct visitor){.fd = info->connect_fd, .since_ms = clock_mono_ms()};
    server->visitor_count++;
    *place = visitor;
}

// libmicrohttpd finds the end of the connection, and closes it.
static void
show_out(struct visitor *visitor)
{
    must(visitor->fd >= 0 && !visitor->leaving);
    visitor->leaving = true;
    (void)shutdown(visitor->fd, SHUT_RDWR);
}

static struct visitor *
oldest(struct http_server *server)
{
    struct visitor *found = NULL;
    for (uint32_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct visitor *visitor = &server->visitors[i];
        if (visitor->fd >= 0 && !visitor->leaving &&
            (!found || visitor->since_ms < found->since_ms))
            found = visitor;
    }
    return found;
}

// Idle time alone would not do: a byte now and then holds a place for hours. And while all places
// are taken nobody is accepted, not even a probe that decides on the broker's life.
static void
make_room(struct http_server *server)
{
    uint64_t now_ms = clock_mono_ms();
    uint32_t evictions = server->visitor_count == HTTP_CONNECTIONS_MAX ? EVICTIONS : 0;
    struct visitor *visitor;
    while ((visitor = oldest(server)) != NULL &&
           (evictions > 0 || now_ms - visitor->since_ms >= HTTP_CONNECTION_MS)) {
        show_out(visitor);
        evictions -= evictions > 0;
    }
}

// ---- The thread ---------------------------------------------------------------------------------

// Until something comes; with connections, until a deadline may have passed. libmicrohttpd listens
// again, after all places were taken, only when it is run once more.
static int
wait_ms(const struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG due;
    if (server->room_made)
        return 0;
    int wait = server->visitor_count > 0 ? LOOK_MS : -1;
    if (MHD_get_timeout(server->daemon, &due) != MHD_YES)
        return wait;
    return (int)min_u64(due, LOOK_MS);
}

static void *
run(void *arg)
{
    struct http_server *server = arg;
    must(server->magic == HTTP_MAGIC && server->daemon);
    (void)pthread_setname_np(pthread_self(), "tern-http");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); // where it is forbidden, without
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    must(info && info->epoll_fd >= 0);
    struct pollfd fds[] = {{.fd = info->epoll_fd, .events = POLLIN},
                           {.fd = server->wake_fd, .events = POLLIN}};
    while (!atomic_load(&server->stop)) {
        (void)poll(fds, ARRAY_LEN(fds), wait_ms(server));
        server->room_made = false;
        (void)MHD_run(server->daemon);
        make_room(server);
    }
    return NULL;
}

// ---- Main's side --------------------------------------------------------------------------------

err_t
http_server_open(const char *address, struct http_server **ret_server, char *ret_problem,
                 size_t problem_len)
{
    struct http_server *server = mem_zalloc(sizeof *server);
    server->magic = HTTP_MAGIC;
    server->wake_fd = -1;
    must(pthread_mutex_init(&server->lock, NULL) == 0);
    for (uint32_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        server->visitors[i].fd = -1;
    err_t err = http_socket_open(address, &server->fd, server->place, ret_problem, problem_len);
    if (err != OK) {
        http_server_free(server);
        return err;
    }
    *ret_server = server;
    return OK;
}

static struct MHD_Daemon *
start_daemon(struct http_server *server)
{
    // No thread of its own: ours runs it, and sees to deadlines in between.
    return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, server, //
                            MHD_OPTION_LISTEN_SOCKET, server->fd,             //
                            MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_MAX,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
}

err_t
http_server_start(struct http_server *server)
{
    must(server->magic == HTTP_MAGIC && !server->started);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake_fd < 0)
        return ERR_IO;
    server->daemon = start_daemon(server);
    if (!server->daemon)
        return ERR_IO;
    server->fd = -1;
    // Signals are main's; a thread inherits the mask of who makes it.
    sigset_t all, before;
    (void)sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    server->started = pthread_create(&server->thread, NULL, run, server) == 0;
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return server->started ? OK : ERR_IO;
}

void
http_server_serve(struct http_server *server, const struct broker *broker,
                  const struct listen_set *listeners)
{
    lock(server);
    must(server->view.stage == HEALTH_STARTING && broker);
    server->view = (struct health_view){
        .stage = HEALTH_SERVING,
        .broker = broker,
        .serving_ms = clock_mono_ms(),
    };
    server->listeners = listeners;
    server->aliases = atomic_load(&broker->config)->metrics_alias; // no reload changes it
    unlock(server);
}

void
http_server_end(struct http_server *server)
{
    lock(server);
    server->view = (struct health_view){.stage = HEALTH_ENDING};
    server->listeners = NULL;
    unlock(server);
}

void
http_server_free(struct http_server *server)
{
    if (!server)
        return;
    must(server->magic == HTTP_MAGIC);
    if (server->started) {
        atomic_store(&server->stop, true);
        must(eventfd_write(server->wake_fd, 1) == 0);
        must(pthread_join(server->thread, NULL) == 0);
    }
    if (server->daemon)
        MHD_stop_daemon(server->daemon); // closes its socket
    if (server->fd >= 0)
        (void)close(server->fd);
    if (server->wake_fd >= 0)
        (void)close(server->wake_fd);
    must(pthread_mutex_destroy(&server->lock) == 0);
    server->magic = 0;
    mem_free(server);
}

const char *
http_server_place(const struct http_server *server)
{
    must(server->magic == HTTP_MAGIC);
    return server->place;
}
