// http_server.h - /livez, /readyz, /startupz and /metrics, on a thread of their own.
//
// Job:    answers GET and HEAD with what the broker has in memory; libmicrohttpd speaks HTTP.
// Owner:  main. Thread: main's, for every function; inside, one thread that waits for nobody.
// Memory: HTTP_MEMORY_MAX a connection, and a text for each answer under way.
// Limits: HTTP_CONNECTIONS_MAX connections; when there are so many, the oldest make room. A
//         connection has one request and HTTP_CONNECTION_MS for all of it.
//
// What it answers depends on how far the broker is: it starts, serves, ends. It looks at the
// broker while it serves, and never before or after.
#ifndef TERN_HTTP_HTTP_SERVER_H
#define TERN_HTTP_HTTP_SERVER_H

#include "core/base/err.h"

#define HTTP_CONNECTIONS_MAX 64u
#define HTTP_CONNECTION_MS   10000u
#define HTTP_IDLE_S          5u
#define HTTP_MEMORY_MAX      8192u
// Of the process: connections, the listening socket, epoll, the wake-up.
#define HTTP_DESCRIPTORS (HTTP_CONNECTIONS_MAX + 4u)

struct broker;
struct http_server;
struct listen_set;

// Binds, as http_socket.h says. Returns new; nobody is answered yet.
NODISCARD err_t http_server_open(const char *address, struct http_server **ret_server,
                                 char *ret_problem, size_t problem_len);
// Starts the thread: the broker starts. ERR_IO.
NODISCARD err_t http_server_start(struct http_server *server);
// The broker serves. Both are borrowed until http_server_end.
void http_server_serve(struct http_server *server, const struct broker *broker,
                       const struct listen_set *listeners);
// The broker ends. When it returns, nothing of the broker is looked at any more.
void http_server_end(struct http_server *server);
// Takes, whatever was called before. NULL is fine.
void http_server_free(struct http_server *server);
// Its address as a URL. Borrowed.
const char *http_server_place(const struct http_server *server);

#endif
