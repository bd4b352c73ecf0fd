// json_content.c - properties of a message as a JSON object, both ways.
#include "persist/json_content.h"

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/mqtt.h"
#include "persist/json_props.h"
#include "persist/json_values.h"

static const struct prop_name {
    const char *name;
    uint8_t id;
} prop_names[] = {
    {"payload_format", PROP_PAYLOAD_FORMAT}, {"content_type", PROP_CONTENT_TYPE},
    {"response_topic", PROP_RESPONSE_TOPIC}, {"correlation_data_base64", PROP_CORRELATION_DATA},
    {"user_properties", PROP_USER_PROPERTY},
};

// ---- Strings and bytes --------------------------------------------------------------------------

struct slice
json_text(const json_t *string)
{
    must(json_is_string(string));
    return slice_of(json_string_value(string), json_string_length(string));
}

json_t *
json_string_of(struct slice text)
{
    if (!utf8_valid(text))
        return NULL;
    json_t *string = json_stringn(text.len > 0 ? (const char *)text.data : "", text.len);
    must(string != NULL); // valid, and memory does not run out (mem.h)
    return string;
}

json_t *
json_base64_of(struct slice bytes)
{
    size_t len = base64_size(bytes.len);
    char *text = mem_alloc(len + 1);
    base64_write(text, bytes);
    json_t *string = json_stringn_nocheck(text, len);
    mem_free(text);
    must(string != NULL);
    return string;
}

bool
json_base64_bytes(const json_t *string, struct slice *ret_bytes)
{
    struct slice text = json_text(string);
    uint8_t *bytes = mem_alloc(text.len + 1);
    uint32_t len;
    if (!base64_read(text, bytes, &len)) {
        mem_free(bytes);
        return false;
    }
    *ret_bytes = slice_of(bytes, len);
    return true;
}

// ---- Bytes to an object -------------------------------------------------------------------------

// The value of one property, new; NULL when it has none in JSON.
static json_t *
value_of(const struct msg_prop *prop)
{
    switch (prop->id) {
    case PROP_PAYLOAD_FORMAT:
        return json_integer(prop->number);
    case PROP_CONTENT_TYPE:
    case PROP_RESPONSE_TOPIC:
        return json_string_of(prop->text);
    case PROP_CORRELATION_DATA:
        return json_base64_of(prop->text);
    default:
        return NULL;
    }
}

static bool
add_user_property(json_t *object, const char *name, const struct msg_prop *prop)
{
    json_t *list = json_object_get(object, name);
    if (!list) {
        list = json_array();
        if (json_object_set_new(object, name, list))
            return false;
    }
    json_t *pair = json_array();
    if (json_array_append_new(list, pair))
        return false;
    return json_array_append_new(pair, json_string_of(prop->text)) == 0 &&
           json_array_append_new(pair, json_string_of(prop->second)) == 0;
}

static bool
add_prop(json_t *object, const struct msg_prop *prop)
{
    for (unsigned i = 0; i < ARRAY_LEN(prop_names); i++) {
        const char *name = prop_names[i].name;
        if (prop_names[i].id != prop->id)
            continue;
        if (prop->id == PROP_USER_PROPERTY)
            return add_user_property(object, name, prop);
        return json_object_set_new(object, name, value_of(prop)) == 0;
    }
    return false;
}

static bool
same_again(const json_t *object, struct slice props)
{
    struct slice again;
    const char *problem;
    if (!content_encode(object, &again, &problem))
        return false;
    must(again.len == 0 || again.data);
    bool same = slice_equal(again, props);
    mem_free(unconst(again.data));
    return same;
}

json_t *
content_decode(struct slice props)
{
    json_t *object = json_object();
    must(object != NULL);
    struct slice rest = props;
    struct msg_prop prop;
    err_t err;
    while ((err = msg_prop_next(&rest, &prop)) == OK)
        if (!add_prop(object, &prop))
            break;
    if (err == ERR_NEED_MORE && same_again(object, props))
        return object;
    json_decref(object);
    return NULL;
}

// ---- An object to bytes -------------------------------------------------------------------------

struct buffer {
    uint8_t *data;
    uint32_t len, cap;
};

static void
put(struct buffer *to, const void *data, uint32_t len)
{
    must(to->len <= UINT32_MAX - len);
    to->data = mem_grow(to->data, &to->cap, to->len + len, 1);
    if (len > 0)
        memcpy(to->data + to->len, data, len);
    to->len += len;
}

static bool
put_text(struct buffer *to, struct slice text)
{
    if (text.len > MQTT_STRING_MAX)
        return false;
    uint8_t head[2] = {(uint8_t)(text.len >> 8), (uint8_t)text.len};
    put(to, head, sizeof head);
    put(to, text.data, text.len);
    return true;
}

// NULL, or what was expected instead of this value.
static const char *
put_user_properties(struct buffer *to, const json_t *list)
{
    static const char expected[] = "\"user_properties\": expected a list of [\"name\",\"value\"]";
    size_t i;
    const json_t *pair;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return expected;
    json_array_foreach(list, i, pair)
    {
        const json_t *name = json_array_get(pair, 0);
        const json_t *value = json_array_get(pair, 1);
        if (json_array_size(pair) != 2 || !json_is_string(name) || !json_is_string(value))
            return expected;
        put(to, (uint8_t[]){PROP_USER_PROPERTY}, 1);
        if (!put_text(to, json_text(name)) || !put_text(to, json_text(value)))
            return "\"user_properties\": expected names and values up to 65535 bytes";
    }
    return NULL;
}

static const char *
put_correlation_data(struct buffer *to, const json_t *value)
{
    static const char expected[] = "\"correlation_data_base64\": expected base64 of up to 65535 "
                                   "bytes";
    struct slice bytes;
    if (!json_is_string(value) || !json_base64_bytes(value, &bytes))
        return expected;
    put(to, (uint8_t[]){PROP_CORRELATION_DATA}, 1);
    bool fits = put_text(to, bytes);
    mem_free(unconst(bytes.data));
    return fits ? NULL : expected;
}

static const char *
put_prop(struct buffer *to, uint8_t id, const json_t *value)
{
    if (id == PROP_USER_PROPERTY)
        return put_user_properties(to, value);
    if (id == PROP_CORRELATION_DATA)
        return put_correlation_data(to, value);
    put(to, &id, 1);
    if (id == PROP_PAYLOAD_FORMAT) {
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        put(to, (uint8_t[]){number == 1}, 1);
        return number == 0 || number == 1 ? NULL : "\"payload_format\": expected 0 or 1";
    }
    must(id == PROP_CONTENT_TYPE || id == PROP_RESPONSE_TOPIC);
    if (json_is_string(value) && put_text(to, json_text(value)))
        return NULL;
    return "\"content_type\" and \"response_topic\": expected text of up to 65535 bytes";
}

static const char *
put_named(struct buffer *to, const char *name, const json_t *value)
{
    for (unsigned i = 0; i < ARRAY_LEN(prop_names); i++)
        if (strcmp(prop_names[i].name, name) == 0)
            return put_prop(to, prop_names[i].id, value);
    return "a property that is not known, expected payload_format, content_type, response_topic, "
           "correlation_data_base64, user_properties";
}

bool
content_encode(const json_t *object, struct slice *ret_props, const char **ret_problem)
{
    must(json_is_object(object));
    struct buffer to = {0};
    *ret_problem = NULL;
    // The iterator goes in the order of insertion, which is that of the text.
    void *at = json_object_iter(unconst(object));
    for (; at && !*ret_problem; at = json_object_iter_next(unconst(object), at))
        *ret_problem = put_named(&to, json_object_iter_key(at), json_object_iter_value(at));
    if (!*ret_problem && !msg_props_valid(slice_of(to.data, to.len)))
        *ret_problem = "a response_topic or text that no publisher could have sent";
    if (*ret_problem) {
        mem_free(to.data);
        return false;
    }
    *ret_props = slice_of(to.data, to.len);
    return true;
}
