// packet_ids.h - a set of packet identifiers: QoS 2 messages received and not yet released.
//
// Job:    add, has, remove in O(1). Owner: the session. Thread: its worker.
// Memory: none while empty; half a byte an identifier where they come in sequence, at most 32.
// Limits: 65,535 members.
#ifndef TERN_CORE_PACKET_IDS_H
#define TERN_CORE_PACKET_IDS_H

#include "core/base/base.h"

// The members among 64 neighbours: clients number in sequence, so few blocks hold all that is under
// way, and taking one out seldom empties a block.
struct packet_id_block {
    uint64_t members; // bit i: number * 64 + i; 0: the place is free
    uint32_t number;
};

struct packet_ids {
    struct packet_id_block *blocks; // open addressing by number
    uint32_t count;                 // members
    uint16_t cap;                   // power of two, or 0
    uint16_t used;                  // blocks with members, at most 1,024
};

void packet_ids_free(struct packet_ids *set); // empties; reusable
bool packet_ids_has(const struct packet_ids *set, uint16_t id);
bool packet_ids_add(struct packet_ids *set, uint16_t id);    // false: was there
bool packet_ids_remove(struct packet_ids *set, uint16_t id); // false: was not there
// So many that follow each other from first on, none of which is there.
void packet_ids_add_row(struct packet_ids *set, uint16_t first, uint32_t count);
// Removes them up to the first one that is not there. Returns how many.
uint32_t packet_ids_remove_row(struct packet_ids *set, uint16_t first, uint32_t count);

#endif
