// codec_connect.c - CONNECT of MQTT 3.1, 3.1.1 and 5.0.
#include "core/codec.h"
#include "core/codec_props.h"
#include "core/topic.h"

enum connect_flags {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER = 0x80,
};

// Protocol Name and Protocol Level [MQTT-3.1.2-1] [MQTT-3.1.2-2].
static err_t
read_version(struct reader *reader, struct connect_view *ret)
{
    struct slice name;
    uint8_t level;
    if (!read_binary(reader, &name) || !read_u8(reader, &level))
        return ERR_MALFORMED;
    bool is_mqtt = slice_equal(name, slice_str("MQTT"));
    bool is_mqisdp = slice_equal(name, slice_str("MQIsdp"));
    if (!is_mqtt && !is_mqisdp)
        return ERR_MALFORMED;
    if ((is_mqtt && (level == MQTT_311 || level == MQTT_5)) || (is_mqisdp && level == MQTT_31)) {
        ret->version = level;
        return OK;
    }
    // The bit 0x80 is a private one of bridges that speak 3.1.1 at most.
    ret->version = level > MQTT_311 && level < 0x80 ? MQTT_5 : MQTT_311;
    return ERR_PROTOCOL_VERSION;
}

static err_t
take_flags(uint8_t flags, struct connect_view *ret)
{
    bool has_will = (flags & FLAG_WILL) != 0;
    uint8_t will_qos = (flags & FLAG_WILL_QOS) >> 3;
    // 3.1 has no rule for the reserved bit, and says that the Will's bits count with a Will alone.
    if (ret->version != MQTT_31) {
        if ((flags & FLAG_RESERVED) != 0) // [MQTT-3.1.2-3]
            return ERR_MALFORMED;
        // 5.0: [MQTT-3.1.2-11] [MQTT-3.1.2-13]; 3.1.1: [MQTT-3.1.2-11], [-13] and [-15].
        if (!has_will && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0)
            return ERR_MALFORMED;
    }
    if (has_will && will_qos > 2) // 5.0: [MQTT-3.1.2-12]; 3.1.1: [MQTT-3.1.2-14]
        return ERR_MALFORMED;
    ret->clean = (flags & FLAG_CLEAN) != 0;
    ret->has_will = has_will;
    ret->will.qos = has_will ? will_qos : 0;
    ret->will.retain = has_will && (flags & FLAG_WILL_RETAIN) != 0;
    ret->has_user = (flags & FLAG_USER) != 0;
    ret->has_password = (flags & FLAG_PASSWORD) != 0;
    // 3.1.1: [MQTT-3.1.2-22]. MQTT 5 allows a password alone.
    if (ret->version != MQTT_5 && ret->has_password && !ret->has_user)
        return ERR_MALFORMED;
    return OK;
}

static err_t
read_connect_props(struct reader *reader, struct connect_view *ret)
{
    struct props props;
    err_t err = props_read(reader, IN_CONNECT, &props);
    if (err != OK)
        return err;
    ret->session_expiry_s = props_number(&props, PROP_SESSION_EXPIRY, 0);
    ret->receive_max = (uint16_t)props_number(&props, PROP_RECEIVE_MAX, UINT16_MAX);
    ret->packet_max =
        min_u32(props_number(&props, PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX), CODEC_PACKET_MAX);
    ret->topic_alias_max = (uint16_t)props_number(&props, PROP_TOPIC_ALIAS_MAX, 0);
    ret->request_response_info = props_number(&props, PROP_REQUEST_RESPONSE_INFO, 0) != 0;
    ret->request_problem_info = props_number(&props, PROP_REQUEST_PROBLEM_INFO, 1) != 0;
    ret->auth_method = props_data(&props, PROP_AUTH_METHOD);
    ret->auth_data = props_data(&props, PROP_AUTH_DATA);
    // [MQTT5 3.1.2.11.10]: data without a method is a Protocol Error.
    if (props_has(&props, PROP_AUTH_DATA) && !props_has(&props, PROP_AUTH_METHOD))
        return ERR_PROTOCOL;
    must(ret->receive_max > 0 && ret->packet_max > 0);
    return OK;
}

// Will Properties, Will Topic, Will Payload: all there if the flag is set. 5.0: [MQTT-3.1.2-9].
static err_t
read_will(struct reader *reader, uint8_t version, struct will_view *ret)
{
    if (version == MQTT_5) {
        struct props props;
        err_t err = props_read(reader, IN_WILL, &props);
        if (err != OK)
            return err;
        ret->raw_props = props.raw;
        ret->delay_s = props_number(&props, PROP_WILL_DELAY, 0);
        ret->has_expiry = props_has(&props, PROP_MESSAGE_EXPIRY);
        ret->expiry_s = props_number(&props, PROP_MESSAGE_EXPIRY, 0);
    }
    // 5.0: [MQTT-3.1.3-11]; 3.1.1: [MQTT-3.1.3-10].
    if (!read_string(reader, &ret->topic) || !read_binary(reader, &ret->payload))
        return ERR_MALFORMED;
    return topic_name_check(ret->topic);
}

static err_t
read_payload(struct reader *reader, struct connect_view *ret)
{
    if (!read_string(reader, &ret->client_id)) // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
        return ERR_MALFORMED;
    if (ret->has_will) {
        err_t err = read_will(reader, ret->version, &ret->will);
        if (err != OK)
            return err;
    }
    // 5.0: [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-12];
    // 3.1.1: [MQTT-3.1.2-19] [MQTT-3.1.2-21] [MQTT-3.1.3-11].
    if (ret->has_user && !read_string(reader, &ret->user))
        return ERR_MALFORMED;
    if (ret->has_password && !read_binary(reader, &ret->password))
        return ERR_MALFORMED;
    // 5.0: [MQTT-3.1.2-16] [MQTT-3.1.2-18] and [MQTT-3.1.3-1]: nothing that no flag announced.
    return reader_left(reader) == 0 ? OK : ERR_MALFORMED;
}

static bool
client_id_acceptable(const struct connect_view *view)
{
    if (view->client_id.len > 0 || view->version == MQTT_5)
        return true;
    return view->version == MQTT_311 && view->clean; // 3.1.1: [MQTT-3.1.3-7] [MQTT-3.1.3-8]
}

err_t
codec_connect(const struct frame *frame, struct connect_view *ret)
{
    must(frame->type == MQTT_CONNECT);
    *ret = (struct connect_view){
        .receive_max = UINT16_MAX,
        .packet_max = CODEC_PACKET_MAX,
        .request_problem_info = true,
    };
    struct reader reader = reader_of(frame->body);
    err_t err = read_version(&reader, ret);
    if (err != OK)
        return err;
    // The version first, so that a client of 5.0 can be told. [MQTT-2.1.3-1]; 3.1.1:
    // [MQTT-2.2.2-2].
    if (frame->flags != 0)
        return ERR_MALFORMED;
    uint8_t flags;
    if (!read_u8(&reader, &flags) || !read_u16(&reader, &ret->keep_alive_s))
        return ERR_MALFORMED;
    err = take_flags(flags, ret);
    if (err == OK && ret->version == MQTT_5)
        err = read_connect_props(&reader, ret);
    if (err == OK)
        err = read_payload(&reader, ret);
    if (err != OK)
        return err;
    if (ret->version != MQTT_5)
        ret->session_expiry_s = ret->clean ? 0 : MQTT_EXPIRY_NEVER;
    must(ret->version >= MQTT_31 && ret->version <= MQTT_5 && ret->will.qos <= 2);
    return client_id_acceptable(ret) ? OK : ERR_CLIENT_ID;
}
