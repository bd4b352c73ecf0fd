// json.c - records as JSON, one object a line: writing.
#include "persist/json.h"

#include <inttypes.h>
#include <jansson.h>

#include "core/base/utf8.h"

#include "core/mqtt.h"
#include "persist/json_content.h"
#include "persist/json_fields.h"
#include "persist/json_values.h"

static uint64_t
number_at(const struct record *record, const struct json_field *field)
{
    must(field->offset + (size_t)field->bytes <= sizeof *record);
    const char *at = (const char *)record + field->offset;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (field->bytes) {
    case 1:
        memcpy(&u8, at, sizeof u8);
        return u8;
    case 2:
        memcpy(&u16, at, sizeof u16);
        return u16;
    case 4:
        memcpy(&u32, at, sizeof u32);
        return u32;
    default:
        must(field->bytes == 8);
        memcpy(&u64, at, sizeof u64);
        return u64;
    }
}

static struct slice
slice_at(const struct record *record, const struct json_field *field)
{
    must(field->bytes == sizeof(struct slice));
    struct slice slice;
    memcpy(&slice, (const char *)record + field->offset, sizeof slice);
    return slice;
}

static json_t *
number_json(uint64_t number)
{
    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, number);
    must(len > 0 && (size_t)len < sizeof text);
    return json_string(text);
}

static json_t *
time_json(uint64_t ms)
{
    char text[TIME_TEXT_LEN + 1];
    return time_text(ms, text) ? json_string(text) : number_json(ms);
}

// A payload that people can read and that JSON does not blow up.
static bool
is_text(struct slice bytes)
{
    if (!utf8_valid(bytes))
        return false;
    for (uint32_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        bool c1 = c == 0xc2 && bytes.data[i + 1] < 0xa0; // U+0080 to U+009F; valid, so not the last
        if (c1 || c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
            return false;
    }
    return true;
}

static json_t *
list_json(const struct record *record)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < record->ids.len / 4; i++)
        if (json_array_append_new(list, json_integer(record_id(record, i))))
            break;
    return list;
}

// The value of a field with one name; NULL: text that is not UTF-8.
static json_t *
value_json(const struct record *record, const struct json_field *field)
{
    uint64_t number = field->bytes <= 8 ? number_at(record, field) : 0;
    switch ((enum field_form)field->form) {
    case FORM_NUMBER:
        return number_json(number);
    case FORM_BOOL:
        return json_boolean(number != 0);
    case FORM_TEXT:
    case FORM_NAME:
    case FORM_TOPIC:
    case FORM_FILTER:
        return json_string_of(slice_at(record, field));
    case FORM_USER:
        return record->user.data ? json_string_of(record->user) : json_null();
    case FORM_GROUP:
        return record->group.len > 0 ? json_string_of(record->group) : json_null();
    case FORM_EXPIRY:
        return number == MQTT_EXPIRY_NEVER ? json_string("never") : number_json(number);
    case FORM_TIME:
        return time_json(number);
    case FORM_UNTIL:
        return number == 0 ? json_string("never") : time_json(number);
    case FORM_DUE:
        return number == 0 ? json_null() : time_json(number);
    case FORM_DEADLINE:
        if (number == RECORD_NEVER)
            return json_string("never");
        return number == 0 ? json_null() : time_json(number);
    case FORM_STATE:
        must(number == ENTRY_RELEASED || number == ENTRY_DONE);
        return json_string(json_state_names[number]);
    case FORM_NUMBER_LIST:
        return list_json(record);
    default:
        must(false); // FORM_PROPS, FORM_PAYLOAD: set_field
    }
}

static bool
set_props(json_t *object, struct slice props)
{
    if (props.len == 0)
        return true;
    json_t *readable = content_decode(props);
    if (readable)
        return json_object_set_new(object, "properties", readable) == 0;
    return json_object_set_new(object, "props_base64", json_base64_of(props)) == 0;
}

static bool
set_payload(json_t *object, struct slice payload)
{
    if (is_text(payload))
        return json_object_set_new(object, "payload", json_string_of(payload)) == 0;
    return json_object_set_new(object, "payload_base64", json_base64_of(payload)) == 0;
}

static bool
set_fields(json_t *object, const struct json_kind *kind, const struct record *record)
{
    must(json_is_object(object) && kind->count > 0);
    for (uint32_t i = 0; i < kind->count; i++) {
        const struct json_field *field = &kind->fields[i];
        bool set;
        if (field->form == FORM_PROPS)
            set = set_props(object, record->msg.props);
        else if (field->form == FORM_PAYLOAD)
            set = set_payload(object, record->msg.payload);
        else
            set = json_object_set_new(object, field->name, value_json(record, field)) == 0;
        if (!set)
            return false;
    }
    return true;
}

static bool
set_will(json_t *object, const struct record *record)
{
    if (!record->has_will)
        return json_object_set_new(object, "will", json_null()) == 0;
    json_t *will = json_object();
    return json_object_set_new(object, "will", will) == 0 && set_fields(will, &json_will, record);
}

static bool
set_source(json_t *object, const struct record *record)
{
    if (record->id.len == 0)
        return true;
    json_t *source = json_object();
    return json_object_set_new(object, "source", source) == 0 &&
           set_fields(source, &json_source, record);
}

// ---- What other nodes of a cluster have to know -------------------------------------------------

static bool
set_claim(json_t *object, const struct record *record)
{
    return record->claim == 0 ||
           json_object_set_new(object, "claim", number_json(record->claim)) == 0;
}

static bool
set_stamp(json_t *object, const struct record *record)
{
    if (record->stamp.at == 0)
        return true;
    json_t *stamp = json_object();
    json_t *node = json_base64_of(slice_of(record->stamp.node, STAMP_NODE_LEN));
    return json_object_set_new(object, "stamp", stamp) == 0 &&
           json_object_set_new(stamp, "at", number_json(record->stamp.at)) == 0 &&
           json_object_set_new(stamp, "node_base64", node) == 0;
}

err_t
json_write(FILE *out, const struct record *record)
{
    must(record->kind >= JOURNAL_SESSION && record->kind < JOURNAL_KINDS);
    const struct json_kind *kind = &json_kinds[record->kind];
    must(kind->type != NULL);
    json_t *object = json_object();
    must(object != NULL);
    err_t err = ERR_MALFORMED;
    if (json_object_set_new(object, "type", json_string(kind->type)) == 0 &&
        set_fields(object, kind, record) &&
        (record->kind != JOURNAL_SESSION ||
         (set_will(object, record) && set_claim(object, record))) &&
        (record->kind != JOURNAL_RETAIN ||
         (set_source(object, record) && set_stamp(object, record))))
        err = OK;
    if (err == OK && (json_dumpf(object, out, JSON_COMPACT) != 0 || fputc('\n', out) == EOF))
        err = ERR_IO;
    json_decref(object);
    return err;
}
