// codec_publish.c - a client's PUBLISH.
#include "core/codec.h"
#include "core/codec_props.h"
#include "core/topic.h"

#define FLAG_DUP    0x08
#define FLAG_RETAIN 0x01

static err_t
read_publish_props(struct reader *reader, bool of_node, struct publish_view *ret)
{
    // No properties at all is the common case, and its one byte says all there is to check.
    if (likely(reader_left(reader) > 0 && *reader->at == 0)) {
        reader->at++;
        ret->raw_props = slice_of(reader->at, 0);
        return OK;
    }
    struct props props;
    err_t err = props_read(reader, IN_PUBLISH, &props);
    if (err != OK)
        return err;
    ret->raw_props = props.raw;
    ret->topic_alias = (uint16_t)props_number(&props, PROP_TOPIC_ALIAS, 0);
    ret->has_expiry = props_has(&props, PROP_MESSAGE_EXPIRY);
    ret->expiry_s = props_number(&props, PROP_MESSAGE_EXPIRY, 0);
    if (props_has(&props, PROP_SUBSCRIPTION_ID) && !of_node)
        return ERR_PROTOCOL; // [MQTT-3.3.4-6]
    ret->subscription_id = props_number(&props, PROP_SUBSCRIPTION_ID, 0);
    ret->strip =
        ret->has_expiry || ret->subscription_id != 0 || props_has(&props, PROP_TOPIC_ALIAS);
    return OK;
}

static inline err_t
decode(const struct frame *frame, uint8_t version, bool of_node, struct publish_view *ret)
{
    must_hot(frame->type == MQTT_PUBLISH && version >= MQTT_31 && version <= MQTT_5);
    *ret = (struct publish_view){
        .dup = (frame->flags & FLAG_DUP) != 0,
        .qos = frame->flags >> 1 & 3,
        .retain = (frame->flags & FLAG_RETAIN) != 0,
    };
    if (ret->qos > 2) // [MQTT-3.3.1-4]
        return ERR_MALFORMED;
    if (ret->dup && ret->qos == 0) // [MQTT-3.3.1-2]
        return ERR_MALFORMED;
    struct reader reader = reader_of(frame->body);
    if (!read_binary(&reader, &ret->topic))
        return ERR_MALFORMED;
    bool plain = topic_name_is_plain(ret->topic);
    if (unlikely(!plain) && !utf8_valid(ret->topic)) // [MQTT-3.3.2-1]
        return ERR_MALFORMED;
    if (ret->qos > 0) {
        if (!read_u16(&reader, &ret->packet_id))
            return ERR_MALFORMED;
        if (ret->packet_id == 0) // 5.0: [MQTT-2.2.1-3]; 3.1.1: [MQTT-2.3.1-1]
            return ERR_PROTOCOL;
    }
    if (version == MQTT_5) {
        err_t err = read_publish_props(&reader, of_node, ret);
        if (unlikely(err != OK))
            return err;
    }
    ret->payload = reader_rest(&reader);
    must_hot((ret->qos == 0) == (ret->packet_id == 0));
    // [MQTT-4.7.3-1]; in 5.0 an alias, of which the session knows the topic, may stand for it.
    if (unlikely(ret->topic.len == 0))
        return ret->topic_alias != 0 ? OK : ERR_PROTOCOL;
    return plain ? OK : topic_name_check(ret->topic); // [MQTT-3.3.2-2]
}

err_t
codec_publish(const struct frame *frame, uint8_t version, struct publish_view *ret)
{
    return decode(frame, version, false, ret);
}

err_t
codec_publish_of_node(const struct frame *frame, struct publish_view *ret)
{
    return decode(frame, MQTT_5, true, ret);
}
