// about.h - what a node says of itself to all others, by gossip.
//
// Job:    its metadata: whether it has a store, and drains; what runs there; how clients reach it.
//         Its digest, which changes all the time: how long it has been up, and its load.
// Owner:  the caller. Thread: any. Memory: none: what is read is copied.
// Limits: gossip's. What a later version adds behind these fields is left alone; what an earlier
//         one does not say is not known.
//
// Metadata: u8 flags (1: no store, 2: it drains, 4: it has given up its sessions, 8: others say so
// for it), then fields: u8 kind, u8 length, bytes. Kind 1 is the version as a text, kind 2 how
// clients reach its listeners (core/advertised.h). Digest: u8 form, which is 1, then u32 each,
// big-endian: seconds since the start, clients that are connected, messages from and to clients a
// second.
#ifndef TERN_CLUSTER_ABOUT_H
#define TERN_CLUSTER_ABOUT_H

#include "cluster/gossip_codec.h"
#include "core/cluster_node.h"

#define ABOUT_META_MAX   (1u + 2 + NODE_VERSION_LEN + 2 + NODE_ADVERTISED_MAX)
#define ABOUT_DIGEST_LEN 17u

// What there was when our load was measured last.
struct about_meter {
    uint64_t at_ms, in, out; // monotonic; messages
};
struct broker;
// Since then; the shards exist. Links are among the clients. ON_ANY.
void about_measure(struct about_meter *meter, const struct broker *broker, uint64_t now_ms,
                   struct node_load *ret_load);

struct config;
struct about_self {
    bool no_store, draining, given_up;
    const char *version; // cut to NODE_VERSION_LEN bytes
    uint32_t advertised_len;
    uint8_t advertised[NODE_ADVERTISED_MAX];
};
// As the configuration has it; the rest is the caller's.
void about_begin(const struct config *config, struct about_self *ret);
// True: what is to be told is different now. ON_ANY.
bool about_follow(struct about_self *self, const struct broker *broker);
// Returns the length.
uint32_t about_write_meta(const struct about_self *self, uint8_t ret[ABOUT_META_MAX]);
void about_write_digest(const struct node_load *load, uint8_t ret[ABOUT_DIGEST_LEN]);

// Once it has left, nothing can wait for it: its uuid is of one process, or it has given up all.
bool about_has_nothing(struct slice meta);
// It has left, and others have said that for it: `ternmqctl forget`. That makes it so; the length.
bool about_is_forgotten(struct slice meta);
uint32_t about_forget(struct slice meta, uint8_t ret[GOSSIP_META_MAX]);
bool about_drains(struct slice meta);
struct slice
about_advertised(struct slice meta); // borrows; len 0: nothing, or more than there may be
void about_version(struct slice meta, char ret_version[NODE_VERSION_LEN + 1]); // "": not known
// False: not known.
bool about_load(struct slice digest, struct node_load *ret_load);

#endif
