// ctl_trace.c - what traces have recorded, as JSON.
#include "core/base/mem.h"

#include "core/trace_record.h"
#include "ctl/ctl_answer.h"

static void
put(json_t *object, const char *name, json_t *value)
{
    must(value != NULL);
    int rc = json_object_set_new(object, name, value);
    must(rc == 0);
}

static void
put_number(json_t *object, const char *name, uint64_t number)
{
    put(object, name, json_integer((json_int_t)min_u64(number, INT64_MAX)));
}

// ---- Names --------------------------------------------------------------------------------------

static const char *const types[16] = {
    [MQTT_CONNECT] = "CONNECT",   [MQTT_CONNACK] = "CONNACK",
    [MQTT_PUBLISH] = "PUBLISH",   [MQTT_PUBACK] = "PUBACK",
    [MQTT_PUBREC] = "PUBREC",     [MQTT_PUBREL] = "PUBREL",
    [MQTT_PUBCOMP] = "PUBCOMP",   [MQTT_SUBSCRIBE] = "SUBSCRIBE",
    [MQTT_SUBACK] = "SUBACK",     [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE",
    [MQTT_UNSUBACK] = "UNSUBACK", [MQTT_PINGREQ] = "PINGREQ",
    [MQTT_PINGRESP] = "PINGRESP", [MQTT_DISCONNECT] = "DISCONNECT",
    [MQTT_AUTH] = "AUTH",         [MQTT_RESERVED] = "RESERVED",
};

// Those that a record can have.
static const char *const properties[PROP_SHARED_AVAILABLE + 1] = {
    [PROP_PAYLOAD_FORMAT] = "payload_format",
    [PROP_MESSAGE_EXPIRY] = "message_expiry_s",
    [PROP_CONTENT_TYPE] = "content_type",
    [PROP_RESPONSE_TOPIC] = "response_topic",
    [PROP_CORRELATION_DATA] = "correlation_bytes",
    [PROP_SESSION_EXPIRY] = "session_expiry_s",
    [PROP_ASSIGNED_CLIENT_ID] = "assigned_client_id",
    [PROP_SERVER_KEEP_ALIVE] = "server_keep_alive_s",
    [PROP_AUTH_METHOD] = "auth_method",
    [PROP_REQUEST_PROBLEM_INFO] = "request_problem_info",
    [PROP_WILL_DELAY] = "will_delay_s",
    [PROP_REQUEST_RESPONSE_INFO] = "request_response_info",
    [PROP_RESPONSE_INFO] = "response_info",
    [PROP_SERVER_REFERENCE] = "server_reference",
    [PROP_REASON_STRING] = "reason_string",
    [PROP_RECEIVE_MAX] = "receive_maximum",
    [PROP_TOPIC_ALIAS_MAX] = "topic_alias_maximum",
    [PROP_MAXIMUM_QOS] = "maximum_qos",
    [PROP_RETAIN_AVAILABLE] = "retain_available",
    [PROP_USER_PROPERTY] = "user_properties",
    [PROP_MAXIMUM_PACKET_SIZE] = "maximum_packet_size",
    [PROP_WILDCARD_AVAILABLE] = "wildcard_available",
    [PROP_SUBSCRIPTION_ID_AVAILABLE] = "subscription_id_available",
    [PROP_SHARED_AVAILABLE] = "shared_available",
};

// [MQTT5 2.4]; what is success depends on the packet.
static const struct {
    uint8_t code;
    const char *text;
} reasons[] = {
    {0x04, "disconnect with Will"},
    {0x10, "no matching subscribers"},
    {0x11, "no subscription existed"},
    {0x18, "continue authentication"},
    {0x19, "re-authenticate"},
    {0x80, "unspecified error"},
    {0x81, "malformed packet"},
    {0x82, "protocol error"},
    {0x83, "implementation specific error"},
    {0x84, "unsupported protocol version"},
    {0x85, "client identifier not valid"},
    {0x86, "bad user name or password"},
    {0x87, "not authorized"},
    {0x88, "server unavailable"},
    {0x89, "server busy"},
    {0x8a, "banned"},
    {0x8b, "server shutting down"},
    {0x8c, "bad authentication method"},
    {0x8d, "keep alive timeout"},
    {0x8e, "session taken over"},
    {0x8f, "topic filter invalid"},
    {0x90, "topic name invalid"},
    {0x91, "packet identifier in use"},
    {0x92, "packet identifier not found"},
    {0x93, "receive maximum exceeded"},
    {0x94, "topic alias invalid"},
    {0x95, "packet too large"},
    {0x96, "message rate too high"},
    {0x97, "quota exceeded"},
    {0x98, "administrative action"},
    {0x99, "payload format invalid"},
    {0x9a, "retain not supported"},
    {0x9b, "QoS not supported"},
    {0x9c, "use another server"},
    {0x9d, "server moved"},
    {0x9e, "shared subscriptions not supported"},
    {0x9f, "connection rate exceeded"},
    {0xa0, "maximum connect time"},
    {0xa1, "subscription identifiers not supported"},
    {0xa2, "wildcard subscriptions not supported"},
};

static const char *
reason_text(const struct trace_record *record)
{
    static const char *const refusals[] = {
        [1] = "unacceptable protocol version",
        [2] = "identifier rejected",
        [3] = "server unavailable",
        [4] = "bad user name or password",
        [5] = "not authorized",
    };
    bool old = record->type == MQTT_CONNACK && record->version < MQTT_5;
    if (record->reason == 0)
        return "success";
    if (old)
        return record->reason < ARRAY_LEN(refusals) ? refusals[record->reason] : NULL;
    for (unsigned i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].code == record->reason)
            return reasons[i].text;
    return NULL;
}

// ---- A record -----------------------------------------------------------------------------------

// Several subscriptions may have led to a message.
static void
put_subscription(json_t *object, uint32_t id)
{
    json_t *list = json_object_get(object, "subscription_ids");
    if (!list) {
        list = json_array();
        put(object, "subscription_ids", list);
    }
    (void)json_array_append_new(list, json_integer(id));
}

static void
put_props(json_t *object, struct slice rest)
{
    enum mqtt_property id;
    uint32_t number;
    struct slice text;
    while (trace_next_prop(&rest, &id, &number, &text)) {
        must(id < ARRAY_LEN(properties));
        if (id == PROP_SUBSCRIPTION_ID)
            put_subscription(object, number);
        else if (properties[id] && text.data)
            put(object, properties[id], ctl_text(text));
        else if (properties[id])
            put_number(object, properties[id], number);
    }
}

static void
put_connect(json_t *object, const struct trace_record *record)
{
    must(record->type == MQTT_CONNECT && record->peer.data);
    put_number(object, "version", record->version);
    put(object, "address", ctl_text(record->peer));
    if (record->user.data)
        put(object, "user", ctl_text(record->user));
    put(object, "clean", json_boolean(record->clean));
    put_number(object, "keep_alive_s", record->keep_alive_s);
    if (!record->topic.data)
        return;
    json_t *will = json_object();
    put(will, "topic", ctl_text(record->topic));
    put_number(will, "qos", record->qos);
    put(will, "retain", json_boolean(record->retain));
    put_number(will, "bytes", record->payload_len);
    put(object, "will", will);
}

static void
put_publish(json_t *object, const struct trace_record *record)
{
    must(record->type == MQTT_PUBLISH);
    put_number(object, "qos", record->qos);
    put(object, "retain", json_boolean(record->retain));
    put(object, "dup", json_boolean(record->dup));
    put(object, "topic", ctl_text(record->topic));
    put_number(object, "bytes", record->payload_len);
    if (record->topic_alias)
        put_number(object, "topic_alias", record->topic_alias);
}

static void
put_filters(json_t *object, const struct trace_record *record)
{
    json_t *list = json_array();
    struct slice rest = record->list, filter;
    uint8_t options;
    while (trace_next_filter(&rest, record->type, &filter, &options)) {
        json_t *item = json_object();
        put(item, "filter", ctl_text(filter));
        if (record->type == MQTT_SUBSCRIBE) {
            put_number(item, "qos", options & 3u);
            put(item, "no_local", json_boolean(options >> 2 & 1));
            put(item, "retain_as_published", json_boolean(options >> 3 & 1));
            put_number(item, "retain_handling", options >> 4 & 3u);
        }
        (void)json_array_append_new(list, item);
    }
    put(object, "filters", list);
}

static void
put_codes(json_t *object, const struct trace_record *record)
{
    json_t *list = json_array();
    must(record->list.len <= TRACE_TEXT_MAX);
    for (uint32_t i = 0; i < record->list.len; i++)
        (void)json_array_append_new(list, json_integer(record->list.data[i]));
    put(object, "reasons", list);
}

// What the kind of packet has.
static void
put_packet(json_t *object, const struct trace_record *record)
{
    put(object, "type", json_string(types[record->type]));
    if (record->packet_id)
        put_number(object, "packet_id", record->packet_id);
    if (record->type == MQTT_CONNECT)
        put_connect(object, record);
    else if (record->type == MQTT_CONNACK)
        put(object, "session_present", json_boolean(record->session_present));
    else if (record->type == MQTT_PUBLISH)
        put_publish(object, record);
    else if (record->type == MQTT_SUBSCRIBE || record->type == MQTT_UNSUBSCRIBE)
        put_filters(object, record);
    else if (record->type == MQTT_SUBACK || record->type == MQTT_UNSUBACK)
        put_codes(object, record);
    if (record->cut)
        put(object, "cut", json_true());
    if (record->has_reason) {
        const char *text = reason_text(record);
        put_number(object, "reason", record->reason);
        put(object, "reason_text", text ? json_string(text) : json_null());
    }
    put_props(object, record->props);
}

static json_t *
record_of(const struct trace_record *record, const struct ctl_times *now)
{
    static const char *const ways[] = {
        [TRACE_IN] = "in", [TRACE_OUT] = "out", [TRACE_EVENT] = "event"};
    json_t *object = json_object();
    must(record->way < ARRAY_LEN(ways) && record->type < ARRAY_LEN(types));
    uint64_t ago_ms = now->mono_ms > record->at_ms ? now->mono_ms - record->at_ms : 0;
    put_number(object, "time_ms", now->wall_ms - min_u64(ago_ms, now->wall_ms));
    put(object, "way", json_string(ways[record->way]));
    put(object, record->node ? "node" : "client",
        record->client.data ? ctl_text(record->client) : json_null());
    if (record->type != MQTT_RESERVED || record->way != TRACE_EVENT)
        put_packet(object, record);
    if (record->note.data)
        put(object, "event", ctl_text(record->note));
    return object;
}

json_t *
ctl_records(const struct control_rows *rows, const struct ctl_times *now)
{
    json_t *list = json_array();
    struct trace_record record;
    for (uint32_t at = 0; trace_record_next(rows, &at, &record);)
        (void)json_array_append_new(list, record_of(&record, now));
    must(json_array_size(list) == rows->count);
    return list;
}

// ---- Topics -------------------------------------------------------------------------------------

json_t *
ctl_topics(const struct control_rows *rows, bool by_bytes)
{
    json_t *list = json_array();
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(rows, &at, &row);) {
        json_t *object = json_object();
        must(row.over <= row.weight);
        put(object, "topic", ctl_text(row.topic));
        put_number(object, "messages", by_bytes ? row.messages_in : row.weight);
        put_number(object, "bytes", by_bytes ? row.weight : row.messages_out);
        put_number(object, "over", row.over);
        (void)json_array_append_new(list, object);
    }
    must(json_array_size(list) == rows->count);
    return list;
}
