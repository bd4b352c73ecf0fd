// codec_subscribe.c - SUBSCRIBE and UNSUBSCRIBE.
#include "core/codec.h"
#include "core/codec_props.h"

enum subscription_options {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xc0,
};

// Bits 3 to 0 are 0010 [MQTT-3.8.1-1] [MQTT-3.10.1-1]; 3.1 knows DUP here, for a request sent
// again.
static bool
flags_valid(uint8_t flags, uint8_t version)
{
    return flags == 0x02 || (flags == 0x0a && version == MQTT_31);
}

static bool
is_shared(struct slice filter)
{
    static const char prefix[] = "$share/";
    uint32_t len = sizeof(prefix) - 1;
    return filter.len >= len && memcmp(filter.data, prefix, len) == 0;
}

static err_t
check_options(uint8_t options, struct slice filter, uint8_t version)
{
    uint8_t qos = options & OPTION_QOS;
    if (version != MQTT_5) // 3.1.1: [MQTT-3-8.3-4], which in 3.1 is plain prudence
        return options == qos && qos <= 2 ? OK : ERR_MALFORMED;
    if ((options & OPTION_RESERVED) != 0) // [MQTT-3.8.3-5]
        return ERR_MALFORMED;
    // [MQTT5 3.8.3.1] makes these two Protocol Errors.
    if (qos > 2 || (options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return ERR_PROTOCOL;
    if ((options & OPTION_NO_LOCAL) != 0 && is_shared(filter)) // [MQTT-3.8.3-4]
        return ERR_PROTOCOL;
    return OK;
}

// The packet identifier and, in 5.0, the properties, with which both packets begin.
static err_t
read_head(struct reader *reader, uint8_t version, enum carrier carrier, uint16_t *ret_packet_id,
          uint32_t *ret_subscription_id)
{
    *ret_subscription_id = 0;
    if (!read_u16(reader, ret_packet_id))
        return ERR_MALFORMED;
    if (*ret_packet_id == 0) // 5.0: [MQTT-2.2.1-3]; 3.1.1: [MQTT-2.3.1-1]
        return ERR_PROTOCOL;
    if (version != MQTT_5)
        return OK;
    struct props props;
    err_t err = props_read(reader, carrier, &props);
    if (err == OK)
        *ret_subscription_id = props_number(&props, PROP_SUBSCRIPTION_ID, 0);
    return err;
}

err_t
codec_subscribe(const struct frame *frame, uint8_t version, struct subscribe_view *ret)
{
    must(frame->type == MQTT_SUBSCRIBE && version >= MQTT_31 && version <= MQTT_5);
    *ret = (struct subscribe_view){0};
    if (!flags_valid(frame->flags, version))
        return ERR_MALFORMED;
    struct reader reader = reader_of(frame->body);
    err_t err = read_head(&reader, version, IN_SUBSCRIBE, &ret->packet_id, &ret->subscription_id);
    if (err != OK)
        return err;
    ret->filters = (struct slice){reader.at, reader_left(&reader)};
    while (reader_left(&reader) > 0) {
        struct slice filter;
        uint8_t options;
        if (!read_string(&reader, &filter) || !read_u8(&reader, &options)) // [MQTT-3.8.3-1]
            return ERR_MALFORMED;
        err = check_options(options, filter, version);
        if (err != OK)
            return err;
        ret->count++;
    }
    return ret->count > 0 ? OK : ERR_PROTOCOL; // 5.0: [MQTT-3.8.3-2]; 3.1.1: [MQTT-3.8.3-3]
}

err_t
codec_unsubscribe(const struct frame *frame, uint8_t version, struct unsubscribe_view *ret)
{
    must(frame->type == MQTT_UNSUBSCRIBE && version >= MQTT_31 && version <= MQTT_5);
    *ret = (struct unsubscribe_view){0};
    if (!flags_valid(frame->flags, version))
        return ERR_MALFORMED;
    struct reader reader = reader_of(frame->body);
    uint32_t no_subscription_id;
    err_t err = read_head(&reader, version, IN_UNSUBSCRIBE, &ret->packet_id, &no_subscription_id);
    if (err != OK)
        return err;
    must(no_subscription_id == 0);
    ret->filters = (struct slice){reader.at, reader_left(&reader)};
    while (reader_left(&reader) > 0) {
        struct slice filter;
        if (!read_string(&reader, &filter)) // [MQTT-3.10.3-1]
            return ERR_MALFORMED;
        ret->count++;
    }
    return ret->count > 0 ? OK : ERR_PROTOCOL; // [MQTT-3.10.3-2]
}

bool
codec_next_filter(struct slice *rest, bool options, struct filter_view *ret)
{
    if (rest->len == 0)
        return false;
    struct reader reader = reader_of(*rest);
    *ret = (struct filter_view){0};
    uint8_t byte = 0;
    bool whole = read_binary(&reader, &ret->filter) && (!options || read_u8(&reader, &byte));
    must(whole); // the decoder has been over every filter
    ret->qos = byte & OPTION_QOS;
    ret->no_local = (byte & OPTION_NO_LOCAL) != 0;
    ret->retain_as_published = (byte & OPTION_RETAIN_AS_PUBLISHED) != 0;
    ret->retain_handling = (byte & OPTION_RETAIN_HANDLING) >> 4;
    must(ret->qos <= 2 && ret->retain_handling <= 2);
    *rest = reader_rest(&reader);
    return true;
}
