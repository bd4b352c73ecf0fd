// http_line.c - a line to the HTTP service: one request at a time.
#include "core/access/http_line.h"

#include "core/base/mem.h"

#include "core/access/http_hook.h"

struct http_line *
http_line_new(void)
{
    struct http_line *line = mem_zalloc(sizeof *line);
    list_init(&line->node);
    line->easy = curl_easy_init();
    must(line->easy != NULL);
    return line;
}

void
http_line_free(struct http_line *line)
{
    must(!line->entry && list_empty(&line->node));
    curl_easy_cleanup(line->easy);
    mem_free(line);
}

static size_t
take_body(const char *bytes, size_t size, size_t n, void *arg)
{
    struct http_line *line = arg;
    size_t len = size * n;
    if (len > HTTP_ANSWER_MAX - line->len) {
        line->too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (len == 0)
        return 0;
    line->data = mem_grow(line->data, &line->cap, line->len + (uint32_t)len, 1);
    memcpy(line->data + line->len, bytes, len);
    line->len += (uint32_t)len;
    return len;
}

static size_t
take_head(const char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    struct http_line *line = arg;
    size_t len = size * n;
    if (len > HTTP_HEAD_MAX - line->head_len) {
        line->too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    line->head_len += (uint32_t)len;
    return len;
}

static void
forget_request(struct http_line *line)
{
    http_body_free(&line->body);
    mem_free(line->data);
    line->data = NULL;
    line->len = line->cap = line->head_len = 0;
    line->too_long = false;
}

void
http_line_hold(struct http_line *line, struct http_entry *entry, struct http_settings *settings)
{
    must(!line->entry && !line->settings);
    line->entry = entry;
    line->settings = http_settings_ref(settings);
}

#define SET(option, value) must(curl_easy_setopt(line->easy, option, value) == CURLE_OK)

void
http_line_send(struct http_line *line, CURLM *multi, const struct access_question *question,
               enum http_ask ask, long timeout_ms)
{
    must(line->entry && timeout_ms > 0);
    const struct http_settings *settings = line->settings;
    must(question->listener_index < settings->place_count);
    forget_request(line);
    line->ask = ask;
    line->body = http_body_new(question, ask, &settings->places[question->listener_index],
                               settings->limits.request);
    http_settings_apply(settings, ask, line->easy);
    SET(CURLOPT_POSTFIELDSIZE, (long)line->body.len);
    SET(CURLOPT_POSTFIELDS, line->body.data);
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, line);
    SET(CURLOPT_HEADERFUNCTION, take_head);
    SET(CURLOPT_HEADERDATA, line);
    SET(CURLOPT_ERRORBUFFER, line->error);
    SET(CURLOPT_PRIVATE, line);
    line->error[0] = '\0';
    CURLMcode rc = curl_multi_add_handle(multi, line->easy);
    must(rc == CURLM_OK);
}

void
http_line_release(struct http_line *line)
{
    line->entry = NULL;
    forget_request(line);
    curl_easy_reset(line->easy); // it borrows from settings
    http_settings_unref(line->settings);
    line->settings = NULL;
}
