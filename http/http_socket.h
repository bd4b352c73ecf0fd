// http_socket.h - the socket that HTTP is served on.
//
// Job:    binds before privileges are dropped.
// Owner:  the caller has the descriptor. Thread: main. Memory: none. Limits: one address.
#ifndef TERN_HTTP_HTTP_SOCKET_H
#define TERN_HTTP_HTTP_SOCKET_H

#include "core/base/err.h"

#define HTTP_PLACE_MAX 320 // "http://[...]:9883"

// address as config_http_address takes it. OK: *ret_fd listens and does not block, ret_place is its
// address as a URL. ERR_IO: ret_problem says what and why.
NODISCARD err_t http_socket_open(const char *address, int *ret_fd, char ret_place[HTTP_PLACE_MAX],
                                 char *ret_problem, size_t problem_len);

#endif
