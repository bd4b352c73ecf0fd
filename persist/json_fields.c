// json_fields.c - which fields a line has, for both directions.
#include "persist/json_fields.h"

#include "core/mqtt.h"

#define AT(member)    .offset = offsetof(struct record, member)
#define WIDTH(member) .bytes = sizeof(((struct record *)0)->member)
// clang-format off
#define NUMBER(text, member, least, most) \
    {.name = (text), AT(member), WIDTH(member), .form = FORM_NUMBER, .min = (least), .max = (most)}
#define OTHER(text, member, what) \
    {.name = (text), AT(member), WIDTH(member), .form = (what)}
#define MESSAGE_FIELDS                                    \
    OTHER("topic", msg.topic, FORM_TOPIC),                \
    NUMBER("qos", msg.qos, 0, 2),                         \
    OTHER("retain", msg.retain, FORM_BOOL),               \
    NUMBER("publisher", msg.publisher, 0, UINT64_MAX),    \
    OTHER("arrived", msg.arrived_ms, FORM_TIME)
#define CONTENT_FIELDS                                    \
    OTHER("properties", msg.props, FORM_PROPS),           \
    OTHER("payload", msg.payload, FORM_PAYLOAD)

static const struct json_field session_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    OTHER("client_id", id, FORM_TEXT),
    OTHER("user", user, FORM_USER),
    NUMBER("version", version, MQTT_31, MQTT_5),
    OTHER("connected", connected, FORM_BOOL),
    OTHER("expiry_s", expiry_s, FORM_EXPIRY),
    OTHER("expires", expires_ms, FORM_DEADLINE),
    NUMBER("sent", sent, 0, UINT64_MAX),
};
static const struct json_field will_fields[] = {
    NUMBER("delay_s", will_delay_s, 0, UINT32_MAX),
    OTHER("due", will_due_ms, FORM_DUE),
    NUMBER("expiry_ms", msg.expires_ms, 0, UINT64_MAX),
    MESSAGE_FIELDS,
    CONTENT_FIELDS,
};
static const struct json_field session_end_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
};
static const struct json_field subscription_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    NUMBER("ordinal", ordinal, 1, UINT32_MAX),
    OTHER("filter", filter, FORM_FILTER),
    OTHER("group", group, FORM_GROUP),
    NUMBER("qos", qos, 0, 2),
    OTHER("no_local", no_local, FORM_BOOL),
    OTHER("retain_as_published", retain_as_published, FORM_BOOL),
    NUMBER("subscription_id", subscription_id, 0, MQTT_REMAINING_LENGTH_MAX),
};
static const struct json_field unsubscribe_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    NUMBER("ordinal", ordinal, 0, UINT32_MAX),
};
static const struct json_field message_fields[] = {
    NUMBER("message", message, 0, UINT64_MAX),
    MESSAGE_FIELDS,
    OTHER("expires", msg.expires_ms, FORM_UNTIL),
    CONTENT_FIELDS,
};
static const struct json_field queued_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    NUMBER("seq", seq, 0, UINT64_MAX),
    NUMBER("message", message, 0, UINT64_MAX),
    NUMBER("size", size, 0, UINT32_MAX),
    NUMBER("qos", qos, 0, 2),
    OTHER("retain", retain, FORM_BOOL),
    NUMBER("shared_ordinal", ordinal, 0, UINT32_MAX),
    OTHER("subscription_ids", ids, FORM_NUMBER_LIST),
};
static const struct json_field state_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    NUMBER("seq", seq, 0, UINT64_MAX),
    OTHER("state", state, FORM_STATE),
};
static const struct json_field packet_id_fields[] = {
    NUMBER("session", session, 0, UINT64_MAX),
    NUMBER("packet_id", packet_id, 1, UINT16_MAX),
};
static const struct json_field retained_fields[] = {
    NUMBER("order", order, 0, UINT64_MAX),
    MESSAGE_FIELDS,
    OTHER("expires", msg.expires_ms, FORM_UNTIL),
    CONTENT_FIELDS,
};
static const struct json_field source_fields[] = {
    OTHER("client_id", id, FORM_TEXT),
    OTHER("user", user, FORM_USER),
    NUMBER("port", port, 0, UINT16_MAX),
};
static const struct json_field retain_clear_fields[] = {
    NUMBER("order", order, 0, UINT64_MAX),
    OTHER("topic", msg.topic, FORM_TOPIC),
};

static const struct json_field setting_fields[] = {
    NUMBER("order", order, 0, UINT64_MAX),
    OTHER("name", msg.topic, FORM_NAME),
    OTHER("payload", msg.payload, FORM_PAYLOAD),
};

#define KIND(name, table) {.type = (name), .fields = (table), .count = ARRAY_LEN(table)}
const struct json_kind json_kinds[JOURNAL_KINDS] = {
    [JOURNAL_SESSION] = KIND("session", session_fields),
    [JOURNAL_SESSION_END] = KIND("session_end", session_end_fields),
    [JOURNAL_SUBSCRIBE] = KIND("subscription", subscription_fields),
    [JOURNAL_UNSUBSCRIBE] = KIND("unsubscribe", unsubscribe_fields),
    [JOURNAL_MESSAGE] = KIND("message", message_fields),
    [JOURNAL_ENQUEUE] = KIND("queued", queued_fields),
    [JOURNAL_STATE] = KIND("state", state_fields),
    [JOURNAL_RECEIVED] = KIND("received", packet_id_fields),
    [JOURNAL_RELEASED] = KIND("released", packet_id_fields),
    [JOURNAL_RETAIN] = KIND("retained", retained_fields),
    [JOURNAL_RETAIN_CLEAR] = KIND("retain_clear", retain_clear_fields),
    [JOURNAL_SETTING] = KIND("setting", setting_fields),
};
const struct json_kind json_will = KIND("will", will_fields);
const struct json_kind json_source = KIND("source", source_fields);
// clang-format on

const char *const json_state_names[3] = {
    [ENTRY_RELEASED] = "released",
    [ENTRY_DONE] = "done",
};

_Static_assert(sizeof(bool) == 1, "a flag is read and written as one byte");
