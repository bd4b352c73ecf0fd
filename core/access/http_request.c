// http_request.c - a question as the body of an HTTP request, and as a key.
#include "core/access/http_request.h"

#include <stdio.h>
// wolfSSL's headers want its options first.
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access/base64.h"

// ---- Fields -------------------------------------------------------------------------------------

#define FIELDS_MAX 16

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_BOOL };

struct field {
    const char *name;
    enum field_type type;
    struct slice text; // data NULL: there is none
    uint64_t number;
};

struct fields {
    struct field all[FIELDS_MAX];
    uint32_t count;
};

static struct field *
add(struct fields *fields, const char *name, enum field_type type)
{
    must(fields->count < FIELDS_MAX);
    struct field *field = &fields->all[fields->count++];
    *field = (struct field){.name = name, .type = type};
    return field;
}

static void
add_text(struct fields *fields, const char *name, struct slice text)
{
    add(fields, name, FIELD_TEXT)->text = text;
}

static void
add_number(struct fields *fields, const char *name, uint64_t number)
{
    add(fields, name, FIELD_NUMBER)->number = number;
}

// "1.2.3.4:5" and "[::1]:5" without brackets and port; "unix:PATH" as it is.
static struct slice
host_of(struct slice peer)
{
    if (peer.len > 0 && peer.data[0] == '[') {
        const uint8_t *end = memchr(peer.data, ']', peer.len);
        return end ? slice_of(peer.data + 1, (size_t)(end - peer.data) - 1) : peer;
    }
    const uint8_t *colon = peer.len > 0 ? memrchr(peer.data, ':', peer.len) : NULL;
    if (!colon || (peer.len >= 5 && memcmp(peer.data, "unix:", 5) == 0))
        return peer;
    return slice_of(peer.data, (size_t)(colon - peer.data));
}

static const char *
kind_of(const struct access_question *question, enum http_ask ask)
{
    if (ask == HTTP_ASK_USER)
        return "connect";
    if (ask == HTTP_ASK_SUPERUSER)
        return "superuser";
    return question->kind == ACCESS_PUBLISH ? "publish" : "subscribe";
}

// The numbers are those that plugins of mosquitto hand on: 2 to publish, 4 to subscribe.
static void
add_acl(struct fields *fields, const struct access_question *question)
{
    bool publish = question->kind == ACCESS_PUBLISH;
    add_text(fields, "topic", question->texts.topic);
    add_text(fields, "action", slice_str(publish ? "publish" : "subscribe"));
    add_number(fields, "acc", publish ? 2 : 4);
    add_number(fields, "qos", question->qos);
    add(fields, "retain", FIELD_BOOL)->number = publish && question->retain;
}

static void
fields_of(const struct access_question *question, enum http_ask ask, const struct http_place *place,
          struct fields *ret_fields)
{
    must((ask == HTTP_ASK_ACL) != (question->kind == ACCESS_CONNECT));
    must(question->kind == ACCESS_CONNECT || question->kind == ACCESS_PUBLISH ||
         question->kind == ACCESS_SUBSCRIBE);
    const struct access_texts *texts = &question->texts;
    ret_fields->count = 0;
    add_text(ret_fields, "kind", slice_str(kind_of(question, ask)));
    add_text(ret_fields, "clientid", texts->client_id);
    add_text(ret_fields, "username", texts->user);
    if (ask == HTTP_ASK_USER)
        add_text(ret_fields, "password", texts->password);
    add_text(ret_fields, "peerhost", host_of(texts->peer));
    add_number(ret_fields, "protocol_version", question->version);
    add_text(ret_fields, "listener", slice_str(place->listener));
    add_text(ret_fields, "mount_point",
             place->mount_point ? slice_str(place->mount_point) : slice_of(NULL, 0));
    add_text(ret_fields, "cert_name", texts->name);
    if (ask == HTTP_ASK_ACL)
        add_acl(ret_fields, question);
}

uint32_t
http_question_size(const struct access_question *question)
{
    const struct access_texts *texts = &question->texts;
    return texts->client_id.len + texts->user.len + texts->password.len + texts->peer.len +
           texts->name.len + texts->topic.len;
}

// ---- Writing ------------------------------------------------------------------------------------

static void
put(struct http_body *body, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(body->data + body->len, bytes, len);
    body->len += (uint32_t)len;
}

static void
put_str(struct http_body *body, const char *text)
{
    put(body, text, strlen(text));
}

static void
put_number(struct http_body *body, const struct field *field)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)field->number);
    must(len > 0 && (size_t)len < sizeof digits);
    if (field->type == FIELD_BOOL)
        put_str(body, field->number ? "true" : "false");
    else
        put(body, digits, (size_t)len);
}

static void
put_quoted(struct http_body *body, struct slice text)
{
    static const char hex[] = "0123456789abcdef";
    put_str(body, "\"");
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\')
            put_str(body, "\\");
        if (c < 0x20 || c == 0x7f)
            put(body, escaped, sizeof escaped);
        else
            put(body, &c, 1);
    }
    put_str(body, "\"");
}

static void
put_json(struct http_body *body, const struct field *field, bool first)
{
    put_str(body, first ? "{\"" : ",\"");
    put_str(body, field->name);
    bool text = field->type == FIELD_TEXT && field->text.data;
    if (!text) {
        put_str(body, "\":");
        if (field->type == FIELD_TEXT)
            put_str(body, "null");
        else
            put_number(body, field);
        return;
    }
    if (utf8_valid(field->text)) {
        put_str(body, "\":");
        put_quoted(body, field->text);
        return;
    }
    put_str(body, "_base64\":\""); // JSON has no bytes
    body->len += base64_encode(BASE64_PADDED, field->text, (char *)body->data + body->len);
    put_str(body, "\"");
}

static void
put_form(struct http_body *body, const struct field *field, bool first)
{
    static const char hex[] = "0123456789ABCDEF";
    if (!first)
        put_str(body, "&");
    put_str(body, field->name);
    put_str(body, "=");
    if (field->type != FIELD_TEXT) {
        put_number(body, field);
        return;
    }
    for (uint32_t i = 0; i < field->text.len; i++) {
        uint8_t c = field->text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (plain)
            put(body, &c, 1);
        else
            put(body, escaped, sizeof escaped);
    }
}

struct http_body
http_body_new(const struct access_question *question, enum http_ask ask,
              const struct http_place *place, enum auth_http_request form)
{
    struct fields fields;
    fields_of(question, ask, place, &fields);
    size_t size = 8;
    for (uint32_t i = 0; i < fields.count; i++) // six for a byte at most; names, quotes, a number
        size += strlen(fields.all[i].name) + (size_t)fields.all[i].text.len * 6 + 40;
    struct http_body body = {.data = mem_alloc(size)};
    for (uint32_t i = 0; i < fields.count; i++)
        if (form == AUTH_HTTP_FORM)
            put_form(&body, &fields.all[i], i == 0);
        else
            put_json(&body, &fields.all[i], i == 0);
    if (form == AUTH_HTTP_JSON)
        put_str(&body, "}");
    must(body.len < size);
    return body;
}

void
http_body_free(struct http_body *body)
{
    if (body->data)
        explicit_bzero(body->data, body->len);
    mem_free(body->data);
    *body = (struct http_body){NULL, 0};
}

// ---- The key ------------------------------------------------------------------------------------

static void
digest_field(Hmac *hmac, const struct field *field)
{
    // What a field is stands before it, so that no two questions are the same bytes.
    uint64_t head[3] = {field->type, field->number,
                        field->text.data ? field->text.len + UINT64_C(1) : 0};
    int rc = wc_HmacUpdate(hmac, (const byte *)head, sizeof head);
    must(rc == 0);
    if (field->text.len > 0)
        rc = wc_HmacUpdate(hmac, field->text.data, field->text.len);
    must(rc == 0);
}

void
http_question_digest(const struct access_question *question, enum http_ask ask,
                     const struct http_place *place, const uint8_t *key, uint8_t *ret_digest)
{
    _Static_assert(HTTP_DIGEST_SIZE == WC_SHA256_DIGEST_SIZE, "a digest is SHA-256's");
    struct fields fields;
    fields_of(question, ask, place, &fields);
    Hmac hmac;
    int rc = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    must(rc == 0);
    rc = wc_HmacSetKey(&hmac, WC_SHA256, key, HTTP_DIGEST_SIZE);
    must(rc == 0);
    for (uint32_t i = 0; i < fields.count; i++)
        digest_field(&hmac, &fields.all[i]);
    rc = wc_HmacFinal(&hmac, ret_digest);
    must(rc == 0);
    wc_HmacFree(&hmac);
}
