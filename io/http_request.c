// http_request.c - a strict reader of an HTTP request's head.
#include "io/http_request.h"

#include <strings.h>

static bool
is_token_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(struct slice text)
{
    for (uint32_t i = 0; i < text.len; i++)
        if (!is_token_char(text.data[i]))
            return false;
    return text.len > 0;
}

static struct slice
trim(struct slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_of(text.data + 1, text.len - 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool
same_word(struct slice a, const char *b)
{
    return a.len == strlen(b) && strncasecmp((const char *)a.data, b, a.len) == 0;
}

uint32_t
http_head_len(struct slice bytes)
{
    const uint8_t *end = bytes.len > 0 ? memmem(bytes.data, bytes.len, "\r\n\r\n", 4) : NULL;
    return end ? (uint32_t)(end - bytes.data) + 4 : 0;
}

// Cuts off what stands before the mark. False when it does not occur.
static bool
cut(struct slice *rest, const char *mark, struct slice *ret_part)
{
    size_t len = strlen(mark);
    const uint8_t *at = rest->len > 0 ? memmem(rest->data, rest->len, mark, len) : NULL;
    if (!at)
        return false;
    *ret_part = slice_of(rest->data, (size_t)(at - rest->data));
    must(ret_part->len + len <= rest->len);
    *rest = slice_of(at + len, rest->len - ret_part->len - len);
    return true;
}

static unsigned
parse_request_line(struct slice line, struct http_request *request)
{
    struct slice version = line;
    if (!cut(&version, " ", &request->method) || !cut(&version, " ", &request->target) ||
        !is_token(request->method))
        return 400;
    if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0)
        return 400;
    if (!slice_equal(version, slice_str("HTTP/1.1")))
        return 505;
    if (request->target.len == 0 || request->target.data[0] != '/')
        return 400;
    for (uint32_t i = 0; i < request->target.len; i++)
        if (request->target.data[i] <= ' ' || request->target.data[i] >= 0x7f)
            return 400;
    return 0;
}

static unsigned
parse_field(struct slice line, struct http_request *request)
{
    if (request->field_count == HTTP_FIELDS_MAX)
        return 431;
    struct http_field *field = &request->fields[request->field_count++];
    field->value = line;
    if (!cut(&field->value, ":", &field->name) || !is_token(field->name))
        return 400; // also a folded line, which begins with a blank
    field->value = trim(field->value);
    for (uint32_t i = 0; i < field->value.len; i++) {
        uint8_t c = field->value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return 400; // also a CR or LF on its own
    }
    return 0;
}

unsigned
http_request_parse(struct slice head, struct http_request *ret_request)
{
    must(head.len >= 4 && http_head_len(head) == head.len);
    struct slice rest = head, line;
    ret_request->field_count = 0;
    unsigned status = cut(&rest, "\r\n", &line) ? parse_request_line(line, ret_request) : 400;
    while (status == 0 && cut(&rest, "\r\n", &line) && line.len > 0)
        status = parse_field(line, ret_request);
    must(ret_request->field_count <= HTTP_FIELDS_MAX);
    return status;
}

struct slice
http_field_find(const struct http_request *request, const char *name, uint32_t *ret_count)
{
    struct slice value = slice_of(NULL, 0);
    *ret_count = 0;
    for (uint32_t i = 0; i < request->field_count; i++) {
        if (!same_word(request->fields[i].name, name))
            continue;
        value = request->fields[i].value;
        (*ret_count)++;
    }
    return value;
}

bool
http_word_next(struct slice *rest, struct slice *ret_word)
{
    while (rest->len > 0) {
        struct slice word;
        if (!cut(rest, ",", &word)) {
            word = *rest;
            *rest = slice_of(NULL, 0);
        }
        *ret_word = trim(word);
        if (ret_word->len > 0)
            return true;
    }
    return false;
}

bool
http_field_has(const struct http_request *request, const char *name, const char *word)
{
    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice rest = request->fields[i].value, found;
        if (!same_word(request->fields[i].name, name))
            continue;
        while (http_word_next(&rest, &found))
            if (same_word(found, word))
                return true;
    }
    return false;
}
