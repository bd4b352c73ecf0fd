// move.h - sessions that leave a node for good.
//
// Job:    `ternmqctl decommission`: each session that outlives its connection goes to another node,
//         with its queue, and what is published meanwhile goes to one of the two (turn.c,
//         move_out.c, move_in.c; core/session_move.h for what core does).
// Owner:  struct nodes. Thread: each field says.
// Memory: a few KB; a session that is read, a page. Limits: one node at a time (turn.c).
//
// A word is u8 kind, u32 number of the move, then:
//   begin     to B: the session and its subscriptions, as records (core/record.h)
//   begun     to B: u32 pass, u16 count and the uuids of all nodes, when all sessions have begun
//   ready     to A: what has begun is safe, and all nodes know its subscriptions
//   turn      to one node: u32 pass: its shards are to turn, and to say so
//   turned    to all: u8 shard, u8 shards, u32 pass: this one has, and nothing older of it follows
//   entries   to B: u64 place behind the entry before, 0 = there is none; u16 length of the client
//             identifier, client identifier, then any number of
//             u8 1 = it may have gone out, MESSAGE and ENQUEUE, or that and STATE, as records
//   last      to B: u64 place behind the last entry, u32 pass, the session as a record, then u16
//             packet identifiers of QoS 2
//   end       to all: the move is over; MOVE_ANY: whichever it was
// A pass is one way through the phases: what belongs to an earlier one does not count.
// Between shards of a node the same, behind the uuid of the node that said it.
#ifndef TERN_CLUSTER_MOVE_H
#define TERN_CLUSTER_MOVE_H

#include "cluster/nodes_parts.h"
#include "core/record.h"
#include "core/session_move.h"

#define TOPIC_MOVE   NODE_ROOT "move"
#define SETTING_OUT  CLUSTER_MOVES "out"
#define SETTING_TURN CLUSTER_MOVES "turn"
#define FEATURE_MOVE UINT64_C(1) // it understands these words

enum move_kind {
    MOVE_BEGIN = 1,
    MOVE_BEGUN,
    MOVE_READY,
    MOVE_TURN,
    MOVE_TURNED,
    MOVE_ENTRIES,
    MOVE_LAST,
    MOVE_END,
};
#define MOVE_HEAD    5u
#define MOVE_ANY     MOVE_NUMBER_MAX // no move's number
#define LAST_HEAD    12u
#define ENTRIES_HEAD 10u
// Of a queue: places far beyond what a session ever has, and between two entries.
#define MOVE_SEQ_MAX (UINT64_C(1) << 60)
#define MOVE_GAP_MAX (UINT64_C(1) << 20)

enum move_phase {
    PHASE_OFF,
    PHASE_DRAINS, // until no client is connected
    PHASE_BEGINS, // sessions are told to where they go
    PHASE_READY,  // until all of these nodes are
    PHASE_GROUPS, // nobody is to choose us for a share group any more
    PHASE_TURNS,  // until all nodes have turned
    PHASE_MOVES,  // sessions go, one after the other
    PHASE_DONE,
};

typedef char node_id[NODE_ID_LEN + 1];

// Which shards of a node have turned, as they told a shard.
struct turned {
    char id[NODE_ID_LEN + 1];
    uint32_t pass;
    uint32_t count; // of its shards
    uint64_t shards;
};

// A session that B is to show once all have turned.
struct shown_soon {
    char *client_id;
    uint32_t number, client_id_len;
    uint8_t *last; // the word, behind its head
    uint32_t last_len, pass;
};

// Told by A to B: when it is ready.
struct ready_soon {
    char id[NODE_ID_LEN + 1]; // of A
    uint32_t pass;
    uint64_t position; // in this shard's journal
    bool told;
};

// What one shard has to do; of its worker's.
struct move_shard {
    uint64_t round; // of move->round, that it has seen
    struct turned *turned;
    uint32_t turned_count, turned_cap;
    // Out.
    uint64_t phase;            // of move->phase, that it has begun
    _Atomic uint64_t done;     // the same, for which it has done what was asked
    uint64_t place, after;     // in the registry: a bucket, and a session's number there
    bool late;                 // one left that was not there at the last count
    bool walked;               // all sessions, in this phase
    uint64_t count_ms;         // when they are counted again
    uint32_t count, connected; // those that are left, and of them with a connection
    char *reading;             // the client whose queue is read; NULL: none
    uint32_t reading_len;
    uint64_t reading_seq; // the next of its entries
    uint64_t behind;      // the place behind the last entry that was said; 0 = none was
    uint8_t *word;        // that is made
    uint32_t word_len, word_cap;
    // In.
    struct ready_soon ready[CLUSTER_NODES_MAX];
    uint32_t ready_count;
    uint32_t ending; // the move of which the parts go
    struct shown_soon *soon;
    uint32_t soon_count, soon_cap;
    struct told_soon {
        uint64_t position;
        char *client_id;
        uint32_t client_id_len;
    } * shown; // whose claim is told once that is safe
    uint32_t shown_count, shown_cap;
};

// Another node's move, of which this one gets sessions. With move->mutex.
struct move_from {
    char id[NODE_ID_LEN + 1];
    uint32_t number; // 0: the place is free
    uint32_t pass;
    _Atomic uint64_t shards;              // bit i: what has begun on shard i is safe
    node_id nodes[CLUSTER_NODES_MAX + 1]; // that have to turn
    uint32_t node_count;
    bool wanted;     // it asks whether we are ready
    uint64_t change; // of our routes, that all have to know; 0 = not yet known
};

struct move {
    pthread_mutex_t mutex; // of what is not atomic, and not of a shard
    // The turn of this node.
    uint32_t turn;                 // the number; 0: none
    char turn_id[NODE_ID_LEN + 1]; // whose
    uint64_t turn_position;        // the setting is safe, once the journal of the shard is
    unsigned turn_shard;
    uint64_t owner_ms;       // of shard 0
    _Atomic bool turn_waits; // for that
    _Atomic uint64_t round;  // one more: shards look at `turn_now`
    _Atomic uint32_t turn_now, turn_pass;
    // Out.
    _Atomic uint64_t phase; // enum move_phase, and above it how often it was set
    _Atomic uint32_t number, pass;
    _Atomic uint64_t left, moved;
    _Atomic uint64_t links_round; // one more with each link that comes up: a new pass begins
    uint64_t links_seen;
    node_id to[CLUSTER_NODES_MAX]; // where sessions go
    bool ready[CLUSTER_NODES_MAX];
    uint32_t to_count;
    node_id wanted[CLUSTER_NODES_MAX + 1]; // nodes that have to turn, the first first
    uint32_t wanted_count;
    char waits_for[NODE_ID_LEN + 1];
    uint64_t due_ms, out_position;
    bool saved, turn_self, end_self;
    // In.
    struct move_from from[CLUSTER_NODES_MAX];
    _Atomic bool active; // there is something to do for any of it
    struct move_shard shards[TRIE_SHARDS_MAX];
};

// ---- move.c: words, on shards and between them

struct move *move_new(void);
void move_free(struct move *move); // takes; NULL is fine
// A word from this node to that one, or, node NULL, to all.
void move_say(struct shard *shard, const char *node, enum move_kind kind, uint32_t number,
              struct slice body);
// A word of a node's for the shard of the client, or each shard: by mail, or at once.
struct move_word {
    const char *from; // NODE_ID_LEN; it need not end with a NUL
    enum move_kind kind;
    uint32_t number;
    struct slice body;
};
void move_pass(struct nodes *nodes, struct shard *shard, unsigned to, const struct move_word *word);
// The next of the entries of a word. False: it is none.
bool move_next_entry(struct slice *left, struct moved_entry *ret);
// A word that came over a link; its shard's.
NODISCARD err_t move_heard(struct nodes *nodes, struct link *link, struct shard *shard,
                           struct slice word);
NODISCARD err_t move_linked(struct link *link, struct session *session);
void move_setting(struct shard *shard, const char *name, struct slice value);
// Takes those off move->to that are gone for good, but for the last one. True: there were some.
// With the mutex.
bool move_lose_goals(struct nodes *nodes);
// That node will not come again, and cannot say that its move is over.
void move_owner_gone(struct nodes *nodes, struct shard *shard, const char *id);
void move_tick(struct nodes *nodes, struct shard *shard);
bool move_has_news(struct nodes *nodes, const struct shard *shard);
uint64_t move_all_shards(const struct nodes *nodes); // a bit for each
void move_record(struct cluster *cluster, struct shard *shard, struct slice record);

// ---- turn.c

// All shards are to turn, as that node says.
void turn_begin(struct nodes *nodes, struct shard *shard, const struct move_word *word);
void turn_end(struct nodes *nodes, struct shard *shard, const char *id, uint32_t number);
void turn_tick(struct nodes *nodes, struct shard *shard);
// The last process had turned. Main's.
void turn_recall(struct nodes *nodes, uint32_t number, struct slice id);
// A shard of a node has turned.
void turn_mark(struct move_shard *mine, const struct move_word *word);
// Have all of these nodes, as far as this shard has heard?
bool turn_is_complete(const struct move_shard *mine, uint32_t pass, const node_id *ids,
                      uint32_t count);

// ---- move_out.c

err_t move_decommission(struct cluster *cluster);
void move_look(struct cluster *cluster, struct move_view *ret_view);
void move_out_ready(struct nodes *nodes, const struct move_word *word);
// A link to that node is up, and it is told nothing else yet. Its shard's.
void move_out_linked(struct nodes *nodes, struct shard *shard, const char *id);
void move_out_tick(struct nodes *nodes, struct shard *shard);
bool move_out_has_work(struct nodes *nodes, const struct shard *shard);
void move_out_read(struct cluster *cluster, struct session *session, const struct page *page);
// A claim of another node's for this session of ours. True: it has moved there, and has ended.
bool move_out_claimed(struct nodes *nodes, struct session *session, uint64_t claim);
// It was under way when the last process ended; ids: the nodes that get the sessions. Main's.
void move_recall(struct nodes *nodes, uint32_t number, struct slice ids);

// ---- move_in.c

void move_in_note(struct nodes *nodes, const struct move_word *word); // its move, of which we hear
void move_in_begin(struct shard *shard, const struct move_word *word);
NODISCARD err_t move_in_begun(struct nodes *nodes, struct shard *shard,
                              const struct move_word *word);
void move_in_begun_here(struct nodes *nodes, struct shard *shard, const struct move_word *word);
void move_in_entries(struct shard *shard, const struct move_word *word);
void move_in_last(struct nodes *nodes, struct shard *shard, const struct move_word *word);
// That node's move is over: which one it is. Its shard's; then all end what is left of it.
uint32_t move_in_over(struct nodes *nodes, const struct move_word *word);
void move_in_end(struct nodes *nodes, struct shard *shard, uint32_t number);
void move_in_tick(struct nodes *nodes, struct shard *shard);

#endif
