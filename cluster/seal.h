// seal.h - datagrams that only members of the cluster can make, each taken once.
//
// Job:    AES-256-GCM with keys from the cluster's secret and name (HKDF, RFC 5869); a key for each
//         sender's life, so that its counter is a nonce that never comes twice; a window of
//         counters for each sender, so that a datagram that was recorded is not taken again.
// Owner:  whoever owns the socket. Thread: one at a time.
// Memory: about 1.5 KB for each sender that was heard, SEAL_SENDERS_MAX at most.
// Limits: beyond them the sender that was silent for longest is forgotten, and with it what it
//         sent: only who has the secret can cause this.
//
// A datagram: u8 1, u32 hint (which secret: strangers cost a comparison), 16 bytes uuid, u64
// incarnation, u64 boot (random; a copied disk does not make a nonce twice), u64 counter, the
// encrypted message, 16 bytes tag. All before the message is authenticated with it.
//
// What a window cannot know: after a restart of the receiver, a recorded datagram of a sender that
// it has not heard since is taken once. The claims in it are old ones, and lose against newer ones.
#ifndef TERN_CLUSTER_SEAL_H
#define TERN_CLUSTER_SEAL_H

#include "cluster/gossip_codec.h"

#define SEAL_HEAD        45u
#define SEAL_TAG         16u
#define SEAL_OVERHEAD    (SEAL_HEAD + SEAL_TAG)
#define SEAL_SECRET_MIN  16u // bytes; shorter ones can be guessed from a recorded datagram
#define SEAL_SECRETS_MAX 2u
#define SEAL_SENDERS_MAX 4096u
#define SEAL_WINDOW      1024u // counters: streams are slower than datagrams

_Static_assert(GOSSIP_PLAIN_MAX + SEAL_OVERHEAD <= GOSSIP_DATAGRAM_MAX, "a message fits");

struct seal_config {
    struct slice cluster_name;
    // The first seals, all open. To change a secret: add the new one as the second everywhere, then
    // swap the two everywhere, then remove the old one.
    struct slice secrets[SEAL_SECRETS_MAX];
    uint32_t secret_count;
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint64_t boot; // random
};

#define SEAL_STATS(X)                                                 \
    X(opened)                                                         \
    X(malformed) /* too short, too long, another format */            \
    X(strangers) /* none of our secrets, or another cluster's name */ \
    X(forged)    /* the hint is right and the tag is not */           \
    X(replayed)  /* taken before, or too old to tell */               \
    X(stale)     /* of an incarnation that is over */                 \
    X(clones)    /* of a second process with one incarnation */       \
    X(forgotten) /* senders beyond SEAL_SENDERS_MAX */

struct seal_stats {
#define X(name) uint64_t name;
    SEAL_STATS(X)
#undef X
};

struct seal_opened {
    struct gossip_uuid uuid;
    uint64_t incarnation;
    struct slice message; // in the caller's room
};

struct seal;

// Returns new. ERR_CONFIG: no secret, or one that is too short.
NODISCARD err_t seal_new(const struct seal_config *config, struct seal **ret_seal);
void seal_free(struct seal *seal); // takes, wipes; NULL is fine
// Other secrets from now on; what was sealed with those that stay opens as before. ERR_CONFIG:
// nothing has changed.
NODISCARD err_t seal_set_secrets(struct seal *seal, const struct seal_config *config);
// Seals a message of at most GOSSIP_PLAIN_MAX bytes; returns the length.
uint32_t seal_close(struct seal *seal, struct slice message, uint8_t ret[GOSSIP_DATAGRAM_MAX]);
// ERR_NOT_AUTHORIZED: not for us; counted by reason. room is written to in any case.
NODISCARD err_t seal_open(struct seal *seal, struct slice datagram, uint8_t room[GOSSIP_PLAIN_MAX],
                          struct seal_opened *ret_opened);
// Of a cluster's name: what gossip_config wants.
uint64_t seal_cluster(struct slice cluster_name);
const struct seal_stats *seal_stats(const struct seal *seal);

#endif
