// client_out.h - packets to one client.
//
// Job:    writes Control Packets into the client's out-queue and marks it dirty.
// Owner:  the client. Thread: its shard's worker. Memory: the out-queue.
// Limits: Maximum Packet Size of the client, for what may be left out.
#ifndef TERN_CORE_CLIENT_OUT_H
#define TERN_CORE_CLIENT_OUT_H

#include "core/base/err.h"
#include "core/base/list.h"

#include "core/codec.h"
#include "core/msg.h"
#include "core/tickets.h"

struct client;
struct delivery_spec;

// False when the packet is too large for the client and was dropped [MQTT-3.1.2-24].
bool client_put_publish(struct client *client, struct pub *pub, const struct delivery_spec *spec,
                        uint16_t packet_id, bool dup);
// May all packets of the run go to the client as they came?
bool client_takes_run(const struct client *client, const struct pub *run,
                      const struct delivery_spec *spec);
// Such packets; at QoS 1 and 2 with packet identifiers from this one on, else it is 0.
void client_put_run(struct client *client, const struct pub_packet *packets, uint8_t qos,
                    uint16_t packet_id);
// One that stands for a full queue, to a client that cannot be told of it, is held so long.
#define ACK_HOLD_MS 1000u
// What an acknowledgement waits for. All zero: for nothing but those before it.
struct ack_wait {
    uint64_t position; // the journal is safe up to here
    struct awaited awaited;
    uint64_t hold_ms;   // not before (monotonic)
    uint64_t routes;    // all linked nodes know these routes (cluster.h); 0 = whatever they know,
    uint64_t routes_ms; // or it is as late as that
    uint64_t until_ms;  // whatever else is above: no longer than this; 0 = for ever
    uint64_t taken_ms;  // CONNACK: its Will of before is out (cluster.h), or it is as late as that
};
// Sends an acknowledgement once its time has come, and that of what the client's CONNECT changed;
// in order with those before it. SUBACK and UNSUBACK have reason codes (copied), the others one
// reason and count 0.
struct ack_out {
    uint8_t type, reason;
    uint16_t packet_id;
    const uint8_t *codes;
    uint32_t count;
};
// Acknowledgements that wait, of one client, in order. There is none without them.
struct parked {
    struct list node; // in shard->parked, but while they are looked at
    struct client *client;
    uint32_t head, count, cap;
    uint32_t quota; // of them: PUBACK and PUBCOMP, owed to the client
    struct parked_ack {
        struct ack_wait wait;
        uint64_t since_ms;
        uint64_t taken_us;  // of its PUBLISH, if that is timed; else 0
        struct ack_out ack; // codes are owned
    } acks[];               // [head, head + count)
};
// One that waits for nothing but those before it, with one reason.
void client_put_ack(struct client *client, uint8_t type, uint16_t packet_id, uint8_t reason);
// So many with success, for packet identifiers from this one on.
void client_put_acks(struct client *client, uint8_t type, uint16_t first, uint32_t count);
void client_put_ack_after(struct client *client, const struct ack_wait *wait,
                          const struct ack_out *ack);
// The same with a message at QoS 0, which belongs to no subscription. Too large for the client: it
// is dropped.
void client_put_message_after(struct client *client, const struct ack_wait *wait,
                              struct slice topic, struct slice payload);
// Sends those whose time has come.
void client_release_parked(struct client *client);
// The acknowledgement of the publication that was taken last is timed from then on (samples.h).
void client_time_ack(struct client *client, uint64_t taken_us);
// They will not be sent. What becomes of their messages is still seen to (tickets_abandon).
void client_drop_parked(struct client *client);
// CONNACK and DISCONNECT with a Server Reference: beside that.
#define CLIENT_REFERENCE_ROOM 24u
void client_put_connack(struct client *client, const struct connack *connack);
// The CONNACK that was just put, and all behind it, goes out once its time has come: it says that
// the client's Will is safe, but waits no longer for that than
#define WILL_WAIT_MS 100u
void client_hold(struct client *client, const struct ack_wait *wait);
void client_put_packet(struct client *client, struct slice packet); // as it is
void client_put_pingresp(struct client *client);
void client_put_auth(struct client *client, uint8_t reason, struct slice method, struct slice data);
// Ends the connection because of err: DISCONNECT or CONNACK with its reason where the version has
// one, then close. The Will stays due unless the caller takes it away. Does nothing when it is
// closing already.
void client_fail(struct client *client, err_t err);
// Ends the connection without a word.
void client_close(struct client *client, err_t reason);
void client_mark_dirty(struct client *client);
// Sets read_paused from what the client itself has not taken.
void client_check_pause(struct client *client);

#endif
