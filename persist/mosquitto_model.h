// mosquitto_model.h - a mosquitto.db taken apart.
//
// Job:    what the chunks of the file say, looked up by client identifier and store id.
// Owner:  mosquitto_db_read. Thread: any. Memory: arrays that grow with the chunks found, never by
//         a length that the file announces. Limits: as mosquitto_db.h. Private to
//         persist/mosquitto_*.
#ifndef TERN_PERSIST_MOSQUITTO_MODEL_H
#define TERN_PERSIST_MOSQUITTO_MODEL_H

#include "core/base/hash.h"

#include "persist/mosquitto_db.h"

#define MODEL_NONE UINT32_MAX // no index

struct model_client {
    struct slice id, user;
    uint64_t number;     // of the session; 0: it ended when Mosquitto did
    uint64_t expires_ms; // 0: not in the file
    uint32_t expiry_s;
    bool has_v5; // something that only an MQTT 5 client asks for
    uint32_t first_sub, last_sub, first_entry, last_entry;
    uint32_t sub_count;
};

struct model_message {
    uint64_t id;
    struct slice topic, props, payload, source; // props: as in a packet, without their length
    uint64_t expires_ms;                        // 0 = never
    uint64_t number;                            // once it was emitted
    uint32_t forwarded_len;                     // of the props that a subscriber gets
    uint8_t qos;
    bool retain;
};

struct model_sub {
    uint32_t client, next;
    uint32_t ordinal, subscription_id;
    struct slice filter, group;
    uint8_t qos;
    bool no_local, retain_as_published;
};

enum model_state { // mosquitto_msg_state, as far as it matters here
    STATE_PUBLISH_QOS1 = 2,
    STATE_WAIT_PUBACK = 3,
    STATE_PUBLISH_QOS2 = 4,
    STATE_WAIT_PUBREC = 5,
    STATE_RESEND_PUBREL = 6,
    STATE_RESEND_PUBCOMP = 8,
    STATE_WAIT_PUBCOMP = 9,
    STATE_QUEUED = 11,
};

struct model_entry { // a message on its way to or from a client
    uint32_t client, message, next;
    uint32_t ids, id_count; // subscription identifiers, from model.ids on
    uint32_t ordinal;       // of the shared subscription; 0 = none
    uint16_t mid;
    uint8_t qos, state;
    bool incoming, retain, dup;
};

struct model_slot {
    uint32_t hash, item; // item: index + 1; 0 = free
};
struct model_index {
    struct model_slot *slots;
    uint32_t cap, count; // cap: power of two, or 0
};

struct model {
    struct slice file;
    uint32_t version;
    uint64_t wall_ms;
    struct hash_key key;
    struct model_client *clients;
    struct model_message *messages;
    struct model_sub *subs;
    struct model_entry *entries;
    uint32_t *retained; // messages
    uint32_t *ids;
    uint32_t client_count, client_cap, message_count, message_cap, sub_count, sub_cap;
    uint32_t entry_count, entry_cap, retained_count, retained_cap, id_count, id_cap;
    struct model_index by_id, by_store_id;
    uint32_t strays; // left out: of a client or with a message that is not in the file
    char *problem;   // MOSQUITTO_DB_PROBLEM_MAX
};

// MODEL_NONE if there is none. borrowed indices: arrays only grow.
uint32_t model_find_client(const struct model *model, struct slice id);
uint32_t model_find_message(const struct model *model, uint64_t id);
// Add a copy; the first two are not there yet. The others join their client's list.
void model_add_client(struct model *model, const struct model_client *client);
void model_add_message(struct model *model, const struct model_message *message);
void model_add_sub(struct model *model, const struct model_sub *sub);
void model_add_entry(struct model *model, const struct model_entry *entry);
void model_add_retained(struct model *model, uint32_t message);
void model_add_id(struct model *model, uint32_t subscription_id);
void model_free(struct model *model); // what it holds

// mosquitto_chunks.c: fills the model from model->file. ERR_MALFORMED with a problem.
NODISCARD err_t model_read(struct model *model);
// mosquitto_route.c: hands incoming messages on to the subscriptions in the file.
void model_route(struct model *model);
// mosquitto_emit.c: everything, as records.
NODISCARD err_t model_emit(struct model *model, record_sink sink, void *arg);

#endif
