// http_hook.h - an HTTP service decides who may come and do what.
//
// Job:    questions of kind CONNECT, PUBLISH and SUBSCRIBE go to it as POST requests, and come back
//         with its answer; answers are kept for a while; equal questions are asked once.
// Owner:  main, or whoever answers the desk's questions. Thread: one of its own; each function says
//         who may call it. Never a thread for a request. (libcurl resolves a host's name on a
//         thread, one for each new connection at most; names are kept for a minute.)
// Memory: a question is about 200 bytes beside itself; a request under way has its body, which is
//         wiped, and up to 64 KiB of answer; libcurl's own copies of a request are not wiped.
// Limits: auth_http_connections requests at a time, each on a connection that is kept;
//         auth_http_max_requests questions; HTTP_QUESTION_MAX bytes of texts in one;
//         HTTP_ANSWER_MAX bytes of answer; auth_http_timeout for all of it, the wait included.
//
// What http_reply.h calls a yes: answer.err is OK. A no: ERR_NOT_AUTHORIZED. "Not mine": ignored is
// set, and err is ERR_NOT_AUTHORIZED for whoever has nobody else to ask; the same where there is no
// URL for this kind of question. Everything else is refused, too, as nobody knows better: no answer
// in time, no connection, a certificate that cannot be trusted, 5xx, an answer that makes no sense,
// too many questions. Then err is ERR_SERVER_UNAVAILABLE (0x88) to CONNECT, and ERR_IMPLEMENTATION
// (0x83) to the others, whose acknowledgements know no 0x88; it is never kept.
//
// A service that has left HTTP_FAILURES_MAX requests in a row without an answer is taken for dead:
// one question tries again every HTTP_PAUSE_MS, the others are refused at once. Else each client
// would wait for the time-out, and with them, behind the connections that hang, questions that
// another service could answer. Answers such as 500 do not count: a name that makes the service
// fail must not shut the others out.
//
// To a topic or filter, answer.valid_ms says how long the answer holds for the same question
// (client, user, action, topic, QoS, retain) of the same client: at most auth_http_cache_ttl or
// auth_http_cache_deny_ttl. It is 0 where nothing may be concluded from it.
#ifndef TERN_CORE_ACCESS_HTTP_HOOK_H
#define TERN_CORE_ACCESS_HTTP_HOOK_H

#include "core/base/log.h"
#include "core/base/secret_file.h"

#include "core/access.h"
#include "core/config.h"

#define HTTP_ANSWER_MAX   65536u
#define HTTP_HEAD_MAX     16384u // of an answer's headers, with those of 1xx
#define HTTP_FAILURES_MAX 5u     // more than bad luck, less than the connections
#define HTTP_PAUSE_MS     1000u

struct http_hook;

// Gives a question back, its answer filled in. On the hook's thread, or within http_hook_ask.
typedef void http_hook_done(void *arg, struct access_question *question);

struct http_hook_host { // all outlive the hook
    struct log *log;    // NULL is fine
    struct access_http_stats *stats;
    http_hook_done *done;
    void *arg;
};
// Begins its thread. Copies what it needs of config. OK: returns new. ERR_CONFIG: a URL or a file
// is bad. ERR_IO: no thread. The problem says which and why.
NODISCARD err_t http_hook_new(const struct config *config, const struct http_hook_host *host,
                              struct http_hook **ret_hook, struct file_problem *ret_problem);
// Refuses what is still there; done has been called for every question afterwards. Ends the
// thread. Nobody asks any more. Takes; NULL is fine. Not from done.
void http_hook_free(struct http_hook *hook);

// Takes the question until done gives it back. ON_ANY.
void http_hook_ask(struct http_hook *hook, struct access_question *question);

// What is asked from now on goes by the new configuration, and kept answers are forgotten.
// ERR_CONFIG as above: the old one stays in force. ON_ANY but workers: it reads a file.
NODISCARD err_t http_hook_reload(struct http_hook *hook, const struct config *config,
                                 struct file_problem *ret_problem);

#endif
