// subs.h - the shard's subscriber vectors, found by the trie's handle.
//
// Job:    which sessions of this shard want a filter; for a share group, which member is next.
// Owner:  the shard. Thread: its worker.
// Memory: 24 bytes for each slot of the trie, which is all for one subscriber; with more of them
//         16 bytes each.
// Limits: those of the trie's slots.
#ifndef TERN_CORE_SUBS_H
#define TERN_CORE_SUBS_H

#include "core/base/base.h"

#include "core/trie.h"

struct session;

// Subscription Options [MQTT5 3.8.3.1] as kept.
struct sub_options {
    uint8_t qos : 2;
    uint8_t no_local : 1;
    uint8_t retain_as_published : 1;
    uint8_t partly : 1; // not all that the filter matches may be read: each message is asked for
    uint8_t node : 1;   // another node's: it gets what comes from here alone
    uint8_t moves : 1;  // its session moves between nodes: one of both gets a message
};

struct sub {
    struct session *session;
    uint32_t subscription_id; // 0 = none
    uint32_t back : 24;       // index of the session's own entry: session->subs[back]
    struct sub_options options;
};

// Share groups: other nodes' sessions, and how many members of the group their nodes have.
struct sub_nodes {
    uint32_t sessions, members;
};

struct sub_list {
    uint32_t count, cap;
    uint32_t connected; // share groups: members [0, connected) have a connection
    uint32_t rotor;     // share groups: whose turn it is
    uint32_t durable;   // subscribers whose sessions outlive their connections
    struct sub_nodes nodes, nodes_connected;
    struct sub items[];
};

// The subscribers of one filter. Most filters have one: the fields of a list of one are here.
struct sub_vector {
    uint32_t generation; // of the slot's handle; 0: it is not used by this shard
    bool is_list;
    uint8_t count, connected, durable; // without a list, 0 or 1
    union {
        struct sub one;
        struct sub_list *list;
    };
};
_Static_assert(sizeof(struct sub_vector) == 24, "there is one for each slot and shard");

struct subs;
struct subs *subs_new(void);       // returns new
void subs_free(struct subs *subs); // takes; NULL is fine

// The vector of a handle, or NULL when this shard has no subscriber under it (any more). Borrowed
// until the next subs_add.
struct sub_vector *subs_find(const struct subs *subs, struct trie_handle handle);
static inline struct sub *
subs_items(struct sub_vector *vector)
{
    return vector->is_list ? vector->list->items : &vector->one;
}
static inline uint32_t
subs_count(const struct sub_vector *vector)
{
    return vector->is_list ? vector->list->count : vector->count;
}
// Share groups: how many members have a connection; they come first.
static inline uint32_t
subs_connected(const struct sub_vector *vector)
{
    return vector->is_list ? vector->list->connected : vector->connected;
}
// Share groups: members, those of other nodes among them, and those alone.
struct sub_sums {
    uint32_t connected, members;
    uint32_t nodes_connected, nodes;
};
struct sub_sums subs_sums(const struct sub_vector *vector);
// Share groups: whose turn it is, modulo their number; among those with a connection if there are
// any. Other nodes' sessions stand for all members there; own: for none, as another node has
// chosen.
uint32_t subs_weighted_turn(struct sub_vector *vector, uint32_t turn, bool own);
static inline uint32_t
subs_turn(struct sub_vector *vector, bool own)
{
    uint32_t turn = vector->is_list ? vector->list->rotor++ : 0;
    return likely(!vector->is_list || vector->list->nodes.sessions == 0)
               ? turn
               : subs_weighted_turn(vector, turn, own);
}
// One durable subscriber more or less. Returns how many there are.
uint32_t subs_count_durable(struct sub_vector *vector, bool added);
// Adds a subscriber, returns its index. The handle is this filter's present one.
uint32_t subs_add(struct subs *subs, struct trie_handle handle, const struct sub *sub);
// Another subscription of the same session takes the place of that at index.
void subs_replace(struct sub_vector *vector, uint32_t index, const struct sub *sub);
// Removes the subscriber at index; another one may take its place (its session is told). True when
// the vector is now empty and its slot free: the caller removes the filter from the trie.
bool subs_remove(struct subs *subs, struct trie_handle handle, uint32_t index);
// A member of a share group connected or went: keeps [0, connected) in order.
void subs_set_connected(struct sub_vector *vector, uint32_t index, bool connected);

#endif
