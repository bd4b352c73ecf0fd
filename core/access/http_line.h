// http_line.h - a line to the HTTP service: one request at a time.
//
// Job:    a libcurl handle that is used again, the request that is on it, and its answer.
// Owner:  the hook. Thread: the hook's alone.
// Memory: about 6 KiB; with a request, its body and answer. Limits: HTTP_ANSWER_MAX, HTTP_HEAD_MAX.
#ifndef TERN_CORE_ACCESS_HTTP_LINE_H
#define TERN_CORE_ACCESS_HTTP_LINE_H

#include "core/access/http_cache.h"
#include "core/access/http_settings.h"

struct http_line {
    struct list node; // idle or busy: the hook's
    CURL *easy;
    struct http_entry *entry;       // busy: what is asked
    struct http_settings *settings; // busy: by which; a reference
    enum http_ask ask;
    struct http_body body;
    uint8_t *data; // the answer
    uint32_t len, cap;
    uint32_t head_len;
    bool too_long; // the answer was, and was given up
    char error[CURL_ERROR_SIZE];
};

struct http_line *http_line_new(void);
void http_line_free(struct http_line *line); // takes; it holds nothing

// It is this entry's, until http_line_release; by these settings.
void http_line_hold(struct http_line *line, struct http_entry *entry,
                    struct http_settings *settings);
// Puts a request on it. It is the multi handle's until that has said that it is done, or it is
// taken back.
void http_line_send(struct http_line *line, CURLM *multi, const struct access_question *question,
                    enum http_ask ask, long timeout_ms);
void http_line_release(struct http_line *line); // the request is over, or given up

#endif
