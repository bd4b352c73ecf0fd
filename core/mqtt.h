// mqtt.h - the numbers of the MQTT specifications.
//
// Job:    packet types, property identifiers, versions, fixed limits. No code.
// Thread: any. Memory: none. Limits: those of the protocol.
#ifndef TERN_CORE_MQTT_H
#define TERN_CORE_MQTT_H

// Protocol Level / Protocol Version [MQTT5 3.1.2.2].
enum mqtt_version { MQTT_31 = 3, MQTT_311 = 4, MQTT_5 = 5 };

// MQTT Control Packet types [MQTT5 2.1.2].
enum mqtt_type {
    MQTT_RESERVED = 0,
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
    MQTT_AUTH = 15,
};

// Property identifiers [MQTT5 2.2.2.2].
enum mqtt_property {
    PROP_PAYLOAD_FORMAT = 0x01,
    PROP_MESSAGE_EXPIRY = 0x02,
    PROP_CONTENT_TYPE = 0x03,
    PROP_RESPONSE_TOPIC = 0x08,
    PROP_CORRELATION_DATA = 0x09,
    PROP_SUBSCRIPTION_ID = 0x0b,
    PROP_SESSION_EXPIRY = 0x11,
    PROP_ASSIGNED_CLIENT_ID = 0x12,
    PROP_SERVER_KEEP_ALIVE = 0x13,
    PROP_AUTH_METHOD = 0x15,
    PROP_AUTH_DATA = 0x16,
    PROP_REQUEST_PROBLEM_INFO = 0x17,
    PROP_WILL_DELAY = 0x18,
    PROP_REQUEST_RESPONSE_INFO = 0x19,
    PROP_RESPONSE_INFO = 0x1a,
    PROP_SERVER_REFERENCE = 0x1c,
    PROP_REASON_STRING = 0x1f,
    PROP_RECEIVE_MAX = 0x21,
    PROP_TOPIC_ALIAS_MAX = 0x22,
    PROP_TOPIC_ALIAS = 0x23,
    PROP_MAXIMUM_QOS = 0x24,
    PROP_RETAIN_AVAILABLE = 0x25,
    PROP_USER_PROPERTY = 0x26,
    PROP_MAXIMUM_PACKET_SIZE = 0x27,
    PROP_WILDCARD_AVAILABLE = 0x28,
    PROP_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    PROP_SHARED_AVAILABLE = 0x2a,
};

// Success-side reason codes; the failures are in core/base/err.h.
enum mqtt_reason {
    REASON_SUCCESS = 0x00,
    REASON_GRANTED_QOS_0 = 0x00,
    REASON_DISCONNECT_WITH_WILL = 0x04,
    REASON_NO_MATCHING_SUBSCRIBERS = 0x10,
    REASON_NO_SUBSCRIPTION_EXISTED = 0x11,
    REASON_CONTINUE_AUTHENTICATION = 0x18,
    REASON_RE_AUTHENTICATE = 0x19,
    REASON_FAILURE = 0x80,
};

#define MQTT_REMAINING_LENGTH_MAX 268435455u // [MQTT5 1.5.5]
#define MQTT_FIXED_HEADER_MAX     5u
#define MQTT_STRING_MAX           65535u
#define MQTT_EXPIRY_NEVER         0xffffffffu // Session Expiry Interval [MQTT5 3.1.2.11.2]
#define MQTT_KEEP_ALIVE_MAX       65535u

#endif
