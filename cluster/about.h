// about.h - what a node says of itself to all others, by gossip.
//
// Job:    its metadata, which stay as they are for a life: whether it has a store, what runs there.
//         Its digest, which changes all the time: how long it has been up, and its load.
// Owner:  the caller. Thread: any. Memory: none: what is read is copied.
// Limits: gossip's. What a later version adds behind these fields is left alone; what an earlier
//         one does not say is not known.
//
// Metadata: u8 flags, then fields: u8 kind, u8 length, bytes. Kind 1 is the version as a text.
// Digest: u8 form, which is 1, then u32 each, big-endian: seconds since the start, clients that are
// connected, messages from and to clients a second.
#ifndef TERN_CLUSTER_ABOUT_H
#define TERN_CLUSTER_ABOUT_H

#include "cluster/gossip_codec.h"
#include "core/cluster_node.h"

#define ABOUT_META_MAX   (1u + 2 + NODE_VERSION_LEN)
#define ABOUT_DIGEST_LEN 17u

// What there was when our load was measured last.
struct about_meter {
    uint64_t at_ms, in, out; // monotonic; messages
};
struct broker;
// Since then; the shards exist. Links are among the clients. ON_ANY.
void about_measure(struct about_meter *meter, const struct broker *broker, uint64_t now_ms,
                   struct node_load *ret_load);

// Returns the length. version: cut to NODE_VERSION_LEN bytes.
uint32_t about_write_meta(bool no_store, const char *version, uint8_t ret[ABOUT_META_MAX]);
void about_write_digest(const struct node_load *load, uint8_t ret[ABOUT_DIGEST_LEN]);

bool about_has_no_store(struct slice meta); // its uuid is of one process
void about_version(struct slice meta, char ret_version[NODE_VERSION_LEN + 1]); // "": not known
// False: not known.
bool about_load(struct slice digest, struct node_load *ret_load);

#endif
