// json_read.c - records as JSON, one object a line: reading.
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/mqtt.h"
#include "core/topic.h"
#include "persist/json.h"
#include "persist/json_content.h"
#include "persist/json_fields.h"
#include "persist/json_props.h"
#include "persist/json_values.h"

// One line on its way to a record. The record borrows from the tree and from what is kept here.
struct line {
    uint64_t number; // from 1
    uint8_t *text;
    uint32_t len, cap;
    json_t *tree;
    struct record record;
    size_t used; // fields of the object that were known
    struct slice props, payload, ids;
    char *problem; // JSON_PROBLEM_MAX
};

PRINTF_LIKE(2)
static err_t
fail(struct line *line, const char *format, ...)
{
    int len = snprintf(line->problem, JSON_PROBLEM_MAX, "line %" PRIu64 ": ", line->number);
    must(len > 0 && len < JSON_PROBLEM_MAX);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line->problem + len, JSON_PROBLEM_MAX - (size_t)len, format, args);
    va_end(args);
    return ERR_MALFORMED;
}

// What a value is, for messages.
static const char *
found(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",    [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

static err_t
unexpected(struct line *line, const struct json_field *field, const json_t *value,
           const char *expected)
{
    if (json_is_string(value))
        return fail(line, "\"%s\" is \"%.60s\", expected %s", field->name, json_string_value(value),
                    expected);
    if (json_is_integer(value))
        return fail(line, "\"%s\" is %" JSON_INTEGER_FORMAT ", expected %s", field->name,
                    json_integer_value(value), expected);
    return fail(line, "\"%s\" is %s, expected %s", field->name, found(value), expected);
}

// ---- Numbers and times --------------------------------------------------------------------------

// An integer, or a string of digits for what JSON's integers here do not hold.
static bool
number_of(const json_t *value, uint64_t *ret)
{
    *ret = 0;
    if (json_is_integer(value)) {
        *ret = (uint64_t)json_integer_value(value);
        return json_integer_value(value) >= 0;
    }
    if (!json_is_string(value))
        return false;
    struct slice text = json_text(value);
    for (uint32_t i = 0; i < text.len; i++) {
        uint32_t digit = (uint32_t)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(*ret, UINT64_C(10), ret) ||
            __builtin_add_overflow(*ret, digit, ret))
            return false;
    }
    return text.len > 0 && *ret > INT64_MAX;
}

static bool
is_never(const json_t *value)
{
    return json_is_string(value) && strcmp(json_string_value(value), "never") == 0;
}

static bool
time_of(const json_t *value, uint64_t *ret_ms)
{
    return number_of(value, ret_ms) ||
           (json_is_string(value) && time_parse(json_text(value), ret_ms));
}

// In place of the times that mean something else, each form has a word.
static err_t
read_time(struct line *line, const struct json_field *field, const json_t *value, uint64_t *ret_ms)
{
    bool plain = field->form == FORM_TIME;
    must(field->form >= FORM_TIME && field->form <= FORM_DEADLINE && field->bytes == 8);
    if (is_never(value) && (field->form == FORM_UNTIL || field->form == FORM_DEADLINE)) {
        *ret_ms = field->form == FORM_UNTIL ? 0 : RECORD_NEVER;
        return OK;
    }
    if (json_is_null(value) && (field->form == FORM_DUE || field->form == FORM_DEADLINE)) {
        *ret_ms = 0;
        return OK;
    }
    if (time_of(value, ret_ms) && (plain || *ret_ms != 0))
        return OK;
    return unexpected(line, field, value,
                      plain                       ? "a time such as 2026-01-31T12:00:00.000Z"
                      : field->form == FORM_UNTIL ? "a time such as 2026-01-31T12:00:00.000Z or "
                                                    "\"never\""
                      : field->form == FORM_DUE ? "a time such as 2026-01-31T12:00:00.000Z or null"
                                                : "a time such as 2026-01-31T12:00:00.000Z, "
                                                  "\"never\" or null");
}

static err_t
read_number(struct line *line, const struct json_field *field, const json_t *value, uint64_t *ret)
{
    char expected[64];
    if (number_of(value, ret) && *ret >= field->min && *ret <= field->max)
        return OK;
    (void)snprintf(expected, sizeof expected, "%" PRIu64 " to %" PRIu64, field->min, field->max);
    return unexpected(line, field, value, expected);
}

static err_t
read_expiry(struct line *line, const struct json_field *field, const json_t *value, uint64_t *ret)
{
    *ret = MQTT_EXPIRY_NEVER;
    if (is_never(value) || (number_of(value, ret) && *ret <= MQTT_EXPIRY_NEVER))
        return OK;
    return unexpected(line, field, value, "seconds or \"never\"");
}

static err_t
read_state(struct line *line, const struct json_field *field, const json_t *value, uint64_t *ret)
{
    for (*ret = ENTRY_RELEASED; *ret <= ENTRY_DONE; ++*ret)
        if (json_is_string(value) && strcmp(json_string_value(value), json_state_names[*ret]) == 0)
            return OK;
    return unexpected(line, field, value, "\"released\" or \"done\"");
}

static void
store_number(struct line *line, const struct json_field *field, uint64_t number)
{
    char *at = (char *)&line->record + field->offset;
    must(field->offset + (size_t)field->bytes <= sizeof line->record);
    must(field->bytes == 8 || number >> (8 * field->bytes) == 0);
    uint8_t u8 = (uint8_t)number;
    uint16_t u16 = (uint16_t)number;
    uint32_t u32 = (uint32_t)number;
    switch (field->bytes) {
    case 1:
        memcpy(at, &u8, sizeof u8);
        return;
    case 2:
        memcpy(at, &u16, sizeof u16);
        return;
    case 4:
        memcpy(at, &u32, sizeof u32);
        return;
    default:
        must(field->bytes == 8);
        memcpy(at, &number, sizeof number);
    }
}

static err_t
take_number(struct line *line, const struct json_field *field, const json_t *value)
{
    uint64_t number = 0;
    err_t err;
    switch ((enum field_form)field->form) {
    case FORM_NUMBER:
        err = read_number(line, field, value, &number);
        break;
    case FORM_BOOL:
        number = json_is_true(value);
        err = json_is_boolean(value) ? OK : unexpected(line, field, value, "true or false");
        break;
    case FORM_EXPIRY:
        err = read_expiry(line, field, value, &number);
        break;
    case FORM_STATE:
        err = read_state(line, field, value, &number);
        break;
    default:
        err = read_time(line, field, value, &number);
    }
    if (err == OK)
        store_number(line, field, number);
    return err;
}

// ---- Texts and lists ----------------------------------------------------------------------------

static bool
text_valid(enum field_form form, struct slice text)
{
    if (text.len > MQTT_STRING_MAX || !utf8_valid(text))
        return false;
    switch (form) {
    case FORM_NAME:
        return text.len > 0 && text.len <= RECORD_SETTING_NAME_MAX;
    case FORM_TOPIC:
        return topic_name_check(text) == OK;
    case FORM_FILTER:
        return topic_filter_check(text) == OK;
    case FORM_USER:
        return true;
    case FORM_GROUP: // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        return text.len > 0 && !memchr(text.data, '/', text.len) &&
               !memchr(text.data, '+', text.len) && !memchr(text.data, '#', text.len);
    default:
        return text.len > 0;
    }
}

static err_t
take_text(struct line *line, const struct json_field *field, const json_t *value)
{
    static const char *const expected[] = {
        [FORM_TEXT] = "a text of 1 to 65535 bytes",
        [FORM_NAME] = "a text of 1 to 480 bytes",
        [FORM_TOPIC] = "a Topic Name",
        [FORM_FILTER] = "a Topic Filter",
        [FORM_USER] = "a text or null",
        [FORM_GROUP] = "a share name or null",
    };
    must(field->form < ARRAY_LEN(expected) && expected[field->form] != NULL);
    if (json_is_null(value) && (field->form == FORM_USER || field->form == FORM_GROUP))
        return OK;
    if (!json_is_string(value) || !text_valid(field->form, json_text(value)))
        return unexpected(line, field, value, expected[field->form]);
    struct slice text = json_text(value);
    must(field->bytes == sizeof text);
    memcpy((char *)&line->record + field->offset, &text, sizeof text);
    return OK;
}

static err_t
take_list(struct line *line, const struct json_field *field, const json_t *list)
{
    if (!json_is_array(list))
        return unexpected(line, field, list, "a list");
    must(line->ids.data == NULL);
    uint8_t *ids = mem_alloc(json_array_size(list) * 4 + 1);
    line->ids = slice_of(ids, json_array_size(list) * 4);
    size_t i;
    const json_t *value;
    json_array_foreach(list, i, value)
    {
        uint64_t id;
        if (!number_of(value, &id) || id == 0 || id > MQTT_REMAINING_LENGTH_MAX)
            return unexpected(line, field, value, "numbers from 1 to 268435455");
        for (uint32_t byte = 0; byte < 4; byte++)
            ids[4 * i + byte] = (uint8_t)(id >> (8 * byte));
    }
    line->record.ids = line->ids;
    return OK;
}

// ---- Fields with two names ----------------------------------------------------------------------

// The one of the two that there is; NULL: none. ERR_MALFORMED: both.
static err_t
one_of(struct line *line, const json_t *object, const char *const names[2], const json_t *ret[2])
{
    for (int i = 0; i < 2; i++) {
        ret[i] = json_object_get(object, names[i]);
        line->used += ret[i] != NULL;
    }
    if (ret[0] && ret[1])
        return fail(line, "both \"%s\" and \"%s\", expected one of them", names[0], names[1]);
    return OK;
}

static err_t
take_payload(struct line *line, const json_t *object)
{
    static const char *const names[] = {"payload", "payload_base64"};
    const json_t *value[2];
    err_t err = one_of(line, object, names, value);
    if (err)
        return err;
    must(line->payload.data == NULL);
    if (value[0]) {
        if (!json_is_string(value[0]))
            return fail(line, "\"payload\" is %s, expected a text", found(value[0]));
        line->record.msg.payload = json_text(value[0]);
        return OK;
    }
    if (!value[1])
        return fail(line, "no \"payload\" and no \"payload_base64\", expected one of them");
    if (!json_is_string(value[1]) || !json_base64_bytes(value[1], &line->payload))
        return fail(line, "\"payload_base64\" is no base64");
    line->record.msg.payload = line->payload;
    return OK;
}

static err_t
take_props(struct line *line, const json_t *object)
{
    static const char *const names[] = {"properties", "props_base64"};
    const json_t *value[2];
    const char *problem;
    err_t err = one_of(line, object, names, value);
    if (err)
        return err;
    must(line->props.data == NULL);
    if (value[0] && !json_is_object(value[0]))
        return fail(line, "\"properties\" is %s, expected an object", found(value[0]));
    if (value[0] && !content_encode(value[0], &line->props, &problem))
        return fail(line, "\"properties\": %s", problem);
    if (value[1] && (!json_is_string(value[1]) || !json_base64_bytes(value[1], &line->props)))
        return fail(line, "\"props_base64\" is no base64");
    if (value[1] && !msg_props_valid(line->props))
        return fail(line, "\"props_base64\" holds no properties that a message can have");
    line->record.msg.props = line->props;
    return OK;
}

// ---- Objects ------------------------------------------------------------------------------------

static err_t
take_field(struct line *line, const json_t *object, const struct json_field *field)
{
    if (field->form == FORM_PROPS)
        return take_props(line, object);
    if (field->form == FORM_PAYLOAD)
        return take_payload(line, object);
    const json_t *value = json_object_get(object, field->name);
    if (!value)
        return fail(line, "no \"%s\", expected it in a line of this type", field->name);
    line->used++;
    switch ((enum field_form)field->form) {
    case FORM_TEXT:
    case FORM_NAME:
    case FORM_TOPIC:
    case FORM_FILTER:
    case FORM_USER:
    case FORM_GROUP:
        return take_text(line, field, value);
    case FORM_NUMBER_LIST:
        return take_list(line, field, value);
    default:
        return take_number(line, field, value);
    }
}

static bool
is_known(const struct json_kind *kind, const char *name)
{
    static const char *const extra[] = {"type",         "will",    "properties",
                                        "props_base64", "payload", "payload_base64",
                                        "source",       "claim",   "stamp"};
    for (uint32_t i = 0; i < kind->count; i++)
        if (strcmp(kind->fields[i].name, name) == 0)
            return true;
    for (unsigned i = 0; i < ARRAY_LEN(extra); i++)
        if (strcmp(extra[i], name) == 0)
            return true;
    return false;
}

// known: how many fields of the object were read elsewhere.
static err_t
take_object(struct line *line, json_t *object, const struct json_kind *kind, size_t known)
{
    must(kind->type != NULL && json_is_object(object));
    line->used = known;
    for (uint32_t i = 0; i < kind->count; i++) {
        err_t err = take_field(line, object, &kind->fields[i]);
        if (err)
            return err;
    }
    if (line->used == json_object_size(object))
        return OK;
    void *at = json_object_iter(object);
    while (at && is_known(kind, json_object_iter_key(at)))
        at = json_object_iter_next(object, at);
    return fail(line, "\"%.60s\" is not known in a line of type \"%s\"",
                at ? json_object_iter_key(at) : "will, claim, source, stamp, properties or payload",
                kind->type);
}

// What only stores of a cluster have. *known: counts it.
static err_t
take_claim(struct line *line, size_t *known)
{
    const json_t *claim = json_object_get(line->tree, "claim");
    *known += claim != NULL;
    if (!claim || (number_of(claim, &line->record.claim) && line->record.claim != 0))
        return OK;
    return fail(line, "\"claim\" is %s, expected a number above 0", found(claim));
}

static err_t
take_stamp(struct line *line, size_t *known)
{
    const json_t *stamp = json_object_get(line->tree, "stamp");
    struct stamp *ret = &line->record.stamp;
    struct slice node = {0};
    *known += stamp != NULL;
    if (!stamp)
        return OK;
    const json_t *at = json_object_get(stamp, "at");
    const json_t *text = json_object_get(stamp, "node_base64");
    bool good = json_object_size(stamp) == 2 && at && number_of(at, &ret->at) && ret->at != 0 &&
                json_is_string(text) && json_base64_bytes(text, &node) &&
                node.len == STAMP_NODE_LEN;
    if (good)
        memcpy(ret->node, node.data, STAMP_NODE_LEN);
    mem_free(unconst(node.data));
    return good ? OK
                : fail(line, "\"stamp\": expected {\"at\":a number above 0,\"node_base64\":16 "
                             "bytes}");
}

static err_t
take_session(struct line *line, const struct json_kind *kind)
{
    json_t *will = json_object_get(line->tree, "will");
    size_t known = 2;
    if (!will)
        return fail(line, "no \"will\", expected null or an object");
    if (!json_is_null(will) && !json_is_object(will))
        return fail(line, "\"will\" is %s, expected null or an object", found(will));
    err_t err = take_claim(line, &known);
    if (err == OK)
        err = take_object(line, line->tree, kind, known);
    if (err || json_is_null(will))
        return err;
    line->record.has_will = true;
    return take_object(line, will, &json_will, 0);
}

static err_t
take_retained(struct line *line, const struct json_kind *kind)
{
    json_t *source = json_object_get(line->tree, "source");
    size_t known = source ? 2 : 1;
    if (source && !json_is_object(source))
        return fail(line, "\"source\" is %s, expected an object", found(source));
    err_t err = take_stamp(line, &known);
    if (err == OK)
        err = take_object(line, line->tree, kind, known);
    return err || !source ? err : take_object(line, source, &json_source, 0);
}

static err_t
take_tree(struct line *line)
{
    const json_t *type = json_object_get(line->tree, "type");
    if (!json_is_string(type))
        return fail(line, "no \"type\", expected \"session\", \"subscription\", \"message\", ...");
    for (uint32_t i = JOURNAL_SESSION; i < JOURNAL_KINDS; i++) {
        if (strcmp(json_kinds[i].type, json_string_value(type)) != 0)
            continue;
        line->record.kind = (uint8_t)i;
        if (i == JOURNAL_SESSION)
            return take_session(line, &json_kinds[i]);
        if (i == JOURNAL_RETAIN)
            return take_retained(line, &json_kinds[i]);
        return take_object(line, line->tree, &json_kinds[i], 1);
    }
    return fail(line,
                "\"type\" is \"%.60s\", expected session, subscription, message, queued, state, "
                "received, retained, setting",
                json_string_value(type));
}

// ---- Lines --------------------------------------------------------------------------------------

static void
line_clear(struct line *line)
{
    json_decref(line->tree);
    mem_free(unconst(line->props.data));
    mem_free(unconst(line->payload.data));
    mem_free(unconst(line->ids.data));
    line->tree = NULL;
    line->props = line->payload = line->ids = (struct slice){0};
    line->record = (struct record){0};
}

// The next line without its end. ERR_NEED_MORE: there is none.
static err_t
line_next(struct line *line, FILE *in)
{
    must(line->tree == NULL && line->len <= RECORD_BYTES_MAX);
    line->len = 0;
    line->number++;
    int c;
    while ((c = getc(in)) != EOF && c != '\n') {
        if (line->len == RECORD_BYTES_MAX)
            return fail(line, "more than %" PRIu32 " bytes, expected an end", RECORD_BYTES_MAX);
        line->text = mem_grow(line->text, &line->cap, line->len + 1, 1);
        line->text[line->len++] = (uint8_t)c;
    }
    if (ferror(in)) {
        (void)fail(line, "it cannot be read: %m");
        return ERR_IO;
    }
    return c == EOF && line->len == 0 ? ERR_NEED_MORE : OK;
}

static bool
is_blank(const struct line *line)
{
    for (uint32_t i = 0; i < line->len; i++)
        if (line->text[i] != ' ' && line->text[i] != '\t' && line->text[i] != '\r')
            return false;
    return true;
}

static err_t
line_take(struct line *line, record_sink sink, void *arg)
{
    json_error_t error;
    line->tree = json_loadb((const char *)line->text, line->len, JSON_REJECT_DUPLICATES, &error);
    if (!line->tree)
        return fail(line, "no JSON: %s (byte %d)", error.text, error.position);
    if (!json_is_object(line->tree))
        return fail(line, "%s, expected an object", found(line->tree));
    err_t err = take_tree(line);
    if (err)
        return err;
    const struct record_msg *msg = &line->record.msg;
    if ((uint64_t)msg->topic.len + msg->props.len + msg->payload.len > MQTT_REMAINING_LENGTH_MAX)
        return fail(line, "a message that is too long for a packet");
    must(line->record.kind >= JOURNAL_SESSION && line->record.kind < JOURNAL_KINDS);
    err = sink(arg, &line->record);
    if (err)
        (void)fail(line, "not taken: %s", err_text(err));
    return err;
}

err_t
json_read(FILE *in, record_sink sink, void *arg, char problem[static JSON_PROBLEM_MAX])
{
    struct line line = {.problem = problem};
    problem[0] = '\0';
    err_t err;
    while ((err = line_next(&line, in)) == OK) {
        if (!is_blank(&line))
            err = line_take(&line, sink, arg);
        line_clear(&line);
        if (err)
            break;
    }
    mem_free(line.text);
    return err == ERR_NEED_MORE ? OK : err;
}
