// json_props.c - the properties of a message, one by one.
#include "persist/json_props.h"

#include "core/base/utf8.h"

#include "core/mqtt.h"
#include "core/topic.h"

// Fields off the front; what is cut short reads as empty and `cut` stays.
struct bytes {
    const uint8_t *at, *end;
    bool cut;
};

static uint32_t
take_int(struct bytes *from, uint32_t bytes)
{
    uint32_t value = 0;
    if ((size_t)(from->end - from->at) < bytes) {
        from->cut = true;
        return 0;
    }
    for (uint32_t i = 0; i < bytes; i++)
        value = value << 8 | *from->at++;
    return value;
}

static struct slice
take_text(struct bytes *from)
{
    uint32_t len = take_int(from, 2);
    if ((size_t)(from->end - from->at) < len) {
        from->cut = true;
        return (struct slice){0};
    }
    struct slice text = slice_of(from->at, len);
    from->at += len;
    return text;
}

static uint32_t
take_varint(struct bytes *from)
{
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 28; shift += 7) {
        uint32_t byte = take_int(from, 1);
        value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    from->cut = true; // [MQTT-1.5.5-1]
    return 0;
}

err_t
msg_prop_next(struct slice *rest, struct msg_prop *ret)
{
    must(rest->data || rest->len == 0);
    *ret = (struct msg_prop){0};
    if (rest->len == 0)
        return ERR_NEED_MORE;
    struct bytes from = {rest->data, rest->data + rest->len, false};
    ret->id = (uint8_t)take_int(&from, 1);
    switch (ret->id) {
    case PROP_PAYLOAD_FORMAT:
        ret->number = take_int(&from, 1);
        break;
    case PROP_MESSAGE_EXPIRY:
        ret->number = take_int(&from, 4);
        break;
    case PROP_TOPIC_ALIAS:
        ret->number = take_int(&from, 2);
        break;
    case PROP_SUBSCRIPTION_ID:
        ret->number = take_varint(&from);
        break;
    case PROP_CONTENT_TYPE:
    case PROP_RESPONSE_TOPIC:
    case PROP_CORRELATION_DATA:
        ret->text = take_text(&from);
        break;
    case PROP_USER_PROPERTY:
        ret->text = take_text(&from);
        ret->second = take_text(&from);
        break;
    default:
        return ERR_MALFORMED;
    }
    if (from.cut)
        return ERR_MALFORMED;
    ret->raw = slice_of(rest->data, (size_t)(from.at - rest->data));
    must(ret->raw.len > 0 && ret->raw.len <= rest->len);
    *rest = slice_of(from.at, (size_t)(from.end - from.at));
    return OK;
}

static bool
is_forwarded(uint8_t id)
{
    return id != PROP_MESSAGE_EXPIRY && id != PROP_TOPIC_ALIAS && id != PROP_SUBSCRIPTION_ID;
}

err_t
msg_props_forward(struct slice raw, uint8_t *dst, uint32_t *ret_len)
{
    struct msg_prop prop;
    const uint32_t raw_len = raw.len;
    uint32_t len = 0;
    err_t err;
    while ((err = msg_prop_next(&raw, &prop)) == OK) {
        if (!is_forwarded(prop.id))
            continue;
        memcpy(dst + len, prop.raw.data, prop.raw.len);
        len += prop.raw.len;
        must(len <= raw_len);
    }
    must(err != OK);
    *ret_len = len;
    return err == ERR_NEED_MORE ? OK : err;
}

static bool
value_valid(const struct msg_prop *prop)
{
    switch (prop->id) {
    case PROP_PAYLOAD_FORMAT:
        return prop->number <= 1;
    case PROP_CONTENT_TYPE:
        return utf8_valid(prop->text);
    case PROP_RESPONSE_TOPIC:
        return utf8_valid(prop->text) && topic_name_check(prop->text) == OK;
    case PROP_USER_PROPERTY:
        return utf8_valid(prop->text) && utf8_valid(prop->second);
    default:
        must(prop->id == PROP_CORRELATION_DATA);
        return true;
    }
}

bool
msg_props_valid(struct slice props)
{
    struct msg_prop prop;
    uint64_t seen = 0;
    err_t err;
    while ((err = msg_prop_next(&props, &prop)) == OK) {
        must(prop.id < 64);
        bool again = seen >> prop.id & 1;
        if (!is_forwarded(prop.id) || (again && prop.id != PROP_USER_PROPERTY))
            return false;
        if (!value_valid(&prop))
            return false;
        seen |= UINT64_C(1) << prop.id;
    }
    return err == ERR_NEED_MORE;
}
