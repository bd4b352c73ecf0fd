// packet_ids.h - a set of packet identifiers: QoS 2 messages received and not yet released.
//
// Job:    add, has, remove in O(1). Owner: the session. Thread: its worker.
// Memory: none while empty; 4 bytes or so an identifier. Limits: 65,535 members.
#ifndef TERN_CORE_PACKET_IDS_H
#define TERN_CORE_PACKET_IDS_H

#include "core/base/base.h"

struct packet_ids {
    uint16_t *slots; // open addressing, 0 = free: no packet has identifier 0 [MQTT-2.3.1-1]
    uint32_t cap;    // power of two, or 0
    uint32_t count;
};

void packet_ids_free(struct packet_ids *set); // empties; reusable
bool packet_ids_has(const struct packet_ids *set, uint16_t id);
bool packet_ids_add(struct packet_ids *set, uint16_t id);    // false: was there
bool packet_ids_remove(struct packet_ids *set, uint16_t id); // false: was not there

#endif
