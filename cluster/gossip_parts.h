// gossip_parts.h - what the files of the membership machine share.
//
// Job:    the machine's structures, and what one of its files asks of another.
// Owner:  gossip.c. Thread: the machine's.
// Memory: each member is an allocation of its own, so pointers to it hold until it is forgotten.
// Limits: as in gossip.h.
#ifndef TERN_CLUSTER_GOSSIP_PARTS_H
#define TERN_CLUSTER_GOSSIP_PARTS_H

#include "core/base/hash.h"
#include "core/base/list.h"

#include "cluster/gossip.h"

#define GOSSIP_MAGIC       0x67736970u
#define SENDS_MAX          24u // GOSSIP_RETRANSMIT * ceil(log10(65536)) and some
#define ACCUSERS_MAX       3u
#define NEVER              UINT64_MAX
#define CONFIRM            4u   // members, on average, that probe at once whom another one suspects
#define REFUSED_WAIT_MS    500u // the one probe that a member has after a refused dial
#define RELAY_WAIT_MS      400u // so that the answer is there before the asker's time is over
#define HEAL_DEAD          3u   // dead members tried at a time
#define HEAL_SEEDS_ALONE   3u
#define LEAVE_TOLD         64u // told of our leaving by ourselves
#define LEAVE_TOLD_STREAM  8u
#define EXCHANGE_FIRST_MS  1000u  // after tables that differed, at least, and for each member:
#define EXCHANGE_MEMBER_MS 20u    // 20 bytes of a page each, a thousand bytes a second in all
#define FORGET_MS          60000u // between looks for who has been dead for too long

struct member {
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint32_t version;
    uint32_t details_version, details_held; // the newest that was heard of; what we have
    enum gossip_state state;
    uint32_t at;       // in order
    uint64_t since;    // SUSPECT, DEAD, LEFT: for how long
    struct list doubt; // in suspects
    uint32_t accusers[ACCUSERS_MAX];
    uint8_t accuser_count;
    uint8_t sends;       // of the rumour
    bool rumor_details;  // the rumour is about details
    struct list rumor;   // in rumors[sends]
    struct list refusal; // in refused
    uint64_t refused_until;
    uint32_t refused_seq;
    uint32_t name_hash;
    struct gossip_address address;
    uint8_t *details; // owned; as in a record
    uint32_t details_len;
    uint64_t digest_number;
    uint8_t digest_len, digest[GOSSIP_DIGEST_MAX];
};

struct probe {
    struct member *target; // NULL: none is under way
    uint32_t seq;
    uint64_t timeout_at, end_at; // timeout_at NEVER: others have been asked
    unsigned asked, nacks;
};

struct relay {
    uint64_t until; // 0: free
    uint32_t seq, origin_seq;
    struct gossip_uuid target;
    struct gossip_address origin;
    bool reliable;
};

// Who sent what is being handled.
struct source {
    struct gossip_uuid uuid;
    uint64_t incarnation;
    struct member *member; // NULL: not known, or not in this incarnation
    bool trusted;          // what it says of others counts
    bool page;             // in an exchange: what it says may be old
    bool answerable;
    bool reliable;                 // answers go over a stream
    struct gossip_address address; // for answers
};

struct want { // a member whose details, in this life, we lack
    struct gossip_uuid uuid;
    uint64_t incarnation;
};

struct gossip {
    uint32_t magic;
    uint64_t cluster;
    struct hash_key key, table_key;
    uint64_t random;
    uint64_t time, last_now; // time: what has passed, without jumps; deadlines are in it
    struct member *self;
    bool left;
    struct member **order; // all but oneself, shuffled: the order of probes
    uint32_t count, cap, cursor, members_max;
    uint32_t alive;        // of these, alive or under suspicion
    struct member **table; // by uuid, open addressing, oneself included
    uint32_t table_mask;
    struct list rumors[SENDS_MAX + 1]; // by how often they were sent
    uint32_t rumor_count;
    struct list suspects, refused;
    struct probe probe;
    struct member *doubted;    // probed next, out of turn; NULL: none
    const struct member *busy; // the sender of the message at hand: it is not forgotten meanwhile
    struct relay relays[GOSSIP_RELAYS];
    uint32_t relay_count;
    uint32_t seq, awareness;
    uint32_t exchange_ms; // until the next one: less after tables that differed
    uint64_t probe_at, rumor_at, rumor_last, exchange_at, heal_at, doubt_at, refused_at, relay_at,
        forget_at;
    struct gossip_address seeds[GOSSIP_SEEDS_MAX];
    uint32_t seed_count;
    struct want wants[GOSSIP_PULL_MAX]; // of the message at hand
    uint32_t want_count;
    struct gossip_stats stats;
    struct gossip_actions *out; // of the step at hand
};

// gossip_members.c
struct member *members_find(const struct gossip *g, const struct gossip_uuid *uuid);
// Adds the member of a record with details; NULL: there is no room.
struct member *members_add(struct gossip *g, const struct gossip_record *record);
void members_forget(struct gossip *g, struct member *m);
void members_forget_old(struct gossip *g);
void member_set_details(struct member *m, struct slice details,
                        const struct gossip_address *address);
void member_set_digest(struct member *m, uint64_t number, struct slice digest);
struct slice member_name(const struct member *m);
struct slice member_meta(const struct member *m);
static inline bool
member_lives(const struct member *m)
{
    return m->state == GOSSIP_ALIVE || m->state == GOSSIP_SUSPECT;
}
// Up to max members, other than not (NULL is fine), that live, or that do not; at random.
uint32_t members_pick(struct gossip *g, bool living, const struct member *not_this,
                      struct member **ret, uint32_t max);
void members_free(struct gossip *g);
uint64_t random_next(struct gossip *g);
uint32_t random_below(struct gossip *g, uint32_t n); // n > 0

// gossip_merge.c: what is believed.
void merge_records(struct gossip *g, struct slice records, const struct source *from);
// The sender lives, at this version.
void merge_brief(struct gossip *g, const struct gossip_message *message, struct source *from);
void suspect(struct gossip *g, struct member *m, uint32_t accuser);
void declare(struct gossip *g, struct member *m, enum gossip_state state, uint32_t age_s);
void merge_forget(struct gossip *g, const struct gossip_event *event);
void merge_tick(struct gossip *g); // suspicions that have lasted
uint64_t suspicion_end(const struct gossip *g, const struct member *m);

// gossip_rumor.c: telling.
void rumor_start(struct gossip *g, struct member *m, bool details);
void rumor_stop(struct gossip *g, struct member *m);
void rumor_tick(struct gossip *g);
void record_of(const struct gossip *g, const struct member *m, bool details,
               struct gossip_record *ret);
struct gossip_draft { // a message that is being written
    struct gossip_writer writer;
    uint8_t bytes[GOSSIP_PLAIN_MAX];
};
// The brief is filled in. about: what we hold against whom it goes to is the first record.
void draft_begin(struct gossip *g, struct gossip_draft *draft, struct gossip_message *message,
                 const struct member *to);
void draft_send(struct gossip *g, const struct gossip_draft *draft,
                const struct gossip_address *address, bool reliable);
// A whole message, filled up with rumours. to may be NULL.
void tell(struct gossip *g, struct gossip_message *message, const struct member *to,
          const struct gossip_address *address, bool reliable);
void tell_leaving(struct gossip *g);
void act(struct gossip *g, enum gossip_action_kind kind, const struct member *m);

// gossip_probe.c: who answers.
void probe_tick(struct gossip *g);
void probe_message(struct gossip *g, const struct gossip_message *message,
                   const struct source *from);
void probe_next(struct gossip *g, struct member *m); // others suspect it
void probe_refused(struct gossip *g, struct member *m);
void probe_forget(struct gossip *g, const struct member *m);
void probe_give_up(struct gossip *g); // without a verdict
void aware(struct gossip *g, int delta);

// gossip_sync.c: whole tables; the healer.
void sync_tick(struct gossip *g);
void sync_message(struct gossip *g, const struct gossip_message *message,
                  const struct source *from);
void sync_want(struct gossip *g, const struct gossip_uuid *uuid, uint64_t incarnation);
void sync_pull(struct gossip *g, const struct source *from); // what is wanted, from the sender
void sync_seeds(struct gossip *g, const struct gossip_event *event);

#endif
