// err.h - every error that a peer, an operator or exhaustion can cause, in one table.
//
// Job:    one list: name, MQTT 5 reason code, MQTT 3.x CONNACK return code (0 = close in silence),
//         text.
// Thread: any. Memory: none. Limits: none.
// A programmer's error is not here: that is must().
#ifndef TERN_CORE_BASE_ERR_H
#define TERN_CORE_BASE_ERR_H

#include "core/base/base.h"

// clang-format off
#define ERR_TABLE(X)                                                                               \
    X(OK,                         0x00, 0, "ok")                                                   \
    X(ERR_NEED_MORE,              0x81, 0, "more bytes needed")                                    \
    X(ERR_WAIT,                   0x80, 0, "the answer to a question is awaited")                  \
    X(ERR_MALFORMED,              0x81, 0, "malformed packet")                                     \
    X(ERR_PROTOCOL,               0x82, 0, "protocol error")                                       \
    X(ERR_UNSPECIFIED,            0x80, 0, "unspecified error")                                    \
    X(ERR_IMPLEMENTATION,         0x83, 0, "implementation specific error")                        \
    X(ERR_PROTOCOL_VERSION,       0x84, 1, "unsupported protocol version")                         \
    X(ERR_CLIENT_ID,              0x85, 2, "client identifier not valid")                          \
    X(ERR_BAD_CREDENTIALS,        0x86, 4, "bad user name or password")                            \
    X(ERR_NOT_AUTHORIZED,         0x87, 5, "not authorised")                                       \
    X(ERR_SERVER_UNAVAILABLE,     0x88, 3, "server unavailable")                                   \
    X(ERR_SERVER_BUSY,            0x89, 3, "server busy")                                          \
    X(ERR_BANNED,                 0x8a, 5, "banned")                                               \
    X(ERR_SHUTTING_DOWN,          0x8b, 0, "server shutting down")                                 \
    X(ERR_BAD_AUTH_METHOD,        0x8c, 0, "bad authentication method")                            \
    X(ERR_KEEP_ALIVE_TIMEOUT,     0x8d, 0, "keep alive timeout")                                   \
    X(ERR_SESSION_TAKEN_OVER,     0x8e, 0, "session taken over")                                   \
    X(ERR_TOPIC_FILTER_INVALID,   0x8f, 0, "topic filter invalid")                                 \
    X(ERR_TOPIC_NAME_INVALID,     0x90, 0, "topic name invalid")                                   \
    X(ERR_PACKET_ID_IN_USE,       0x91, 0, "packet identifier in use")                             \
    X(ERR_PACKET_ID_NOT_FOUND,    0x92, 0, "packet identifier not found")                          \
    X(ERR_RECEIVE_MAX_EXCEEDED,   0x93, 0, "receive maximum exceeded")                             \
    X(ERR_TOPIC_ALIAS_INVALID,    0x94, 0, "topic alias invalid")                                  \
    X(ERR_PACKET_TOO_LARGE,       0x95, 0, "packet too large")                                     \
    X(ERR_MESSAGE_RATE,           0x96, 0, "message rate too high")                                \
    X(ERR_QUOTA_EXCEEDED,         0x97, 3, "quota exceeded")                                       \
    X(ERR_ADMINISTRATIVE,         0x98, 0, "administrative action")                                \
    X(ERR_PAYLOAD_FORMAT,         0x99, 0, "payload format invalid")                               \
    X(ERR_RETAIN_NOT_SUPPORTED,   0x9a, 0, "retain not supported")                                 \
    X(ERR_QOS_NOT_SUPPORTED,      0x9b, 0, "QoS not supported")                                    \
    X(ERR_USE_ANOTHER_SERVER,     0x9c, 3, "use another server")                                   \
    X(ERR_CONNECT_RATE,           0x9f, 3, "connection rate exceeded")                             \
    X(ERR_CONNECT_TIMEOUT,        0x8d, 0, "no CONNECT in time")                                   \
    X(ERR_CONNECT_TIME,           0xa0, 0, "maximum connect time")                                 \
    X(ERR_NO_MEMORY,              0x97, 3, "memory budget reached")                                \
    X(ERR_FULL,                   0x97, 3, "a limit was reached")                                  \
    X(ERR_NOT_FOUND,              0x11, 0, "not found")                                            \
    X(ERR_IO,                     0x80, 0, "input/output error")                                   \
    X(ERR_CONFIG,                 0x80, 0, "configuration error")
// clang-format on

enum err {
#define X(name, reason, connack, text) name,
    ERR_TABLE(X)
#undef X
};
typedef enum err err_t;

// The MQTT 5 reason code [MQTT5 section 2.4] that tells a peer of this error.
uint8_t err_reason(err_t err);
// The MQTT 3.1/3.1.1 CONNACK return code [MQTT-3.2.2-6]; 0 when none fits and the close is silent.
uint8_t err_connack(err_t err);
// English text without a full stop, never NULL.
const char *err_text(err_t err);

#endif
