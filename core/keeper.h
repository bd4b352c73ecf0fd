// keeper.h - between the shards and whoever keeps what they journal.
//
// Job:    batches of records out, safe positions back; pages of a session's queue back on request.
// Owner:  the broker. Thread: each field says who writes it.
// Memory: one batch under way and one spare for each shard.
// Limits: a shard's batch grows while the last one is being written; the shard stops reading its
//         publishers at batch_pause.
//
// The batch of a shard is either the shard's (it appends), offered (in keeper_shard.offered), or
// the keeper's. Whoever exchanges `offered` for NULL has it, so the shard takes back what the
// keeper has not fetched yet, and adds to it: batches are as large as the disk is slow, and what is
// cancelled meanwhile is never written. Positions count a shard's records from 1 and never go back.
#ifndef TERN_CORE_KEEPER_H
#define TERN_CORE_KEEPER_H

#include <stdatomic.h>

#include "core/base/spsc.h"

#include "core/durations.h"
#include "core/trie.h"

struct msg;

// With the store's largest window; of a smaller one the same shares.
#define KEEPER_BATCH_PAUSE (8u << 20) // bytes of a batch from which on publishers wait
#define KEEPER_PAGE_BYTES  (1u << 20) // of a page of a queue

// A publication that several shards journal together. What the publisher's shard has of it (that a
// QoS 2 PUBLISH was received, that a Will went out) and what the others have (entries of queues)
// must reach the disk in one commit: else a crash in between loses the message, or doubles it. So
// the keeper commits only what is closed: with a bond that gave a ticket, the bonds by which all
// those shards took it, and with one that took it, the one that gave it. Any prefix of a batch that
// ends before a bond may be committed on its own.
struct journal_bond {
    uint32_t offset;   // in the batch: the records from here on belong to it, or come after it
    bool gave;         // the publisher's side
    uint64_t position; // of the last record before it
    uint64_t ticket;
    uint64_t shards; // gave: bit i: shard i takes it; took: the bit of the shard that gave it
};

struct journal_batch {
    uint64_t last; // position of its last record
    uint32_t len, cap;
    uint8_t *bytes; // records, some of them JOURNAL_VOID: cancelled, to be left out
    uint32_t bond_count, bond_cap;
    struct journal_bond *bonds; // in order
};

struct journal_batch *journal_batch_new(void);        // returns new, empty
void journal_batch_free(struct journal_batch *batch); // takes; NULL is fine

// A thread of the keeper: whoever gives it work wakes it, if it said that it sleeps.
struct CACHE_ALIGNED keeper_thread {
    _Atomic uint32_t asleep; // set by the thread before its last look; cleared by who wakes it
    int wake_fd;             // eventfd, non-blocking; -1 = there is no such thread
};

struct CACHE_ALIGNED keeper_shard {
    _Atomic(struct journal_batch *) offered;
    _Atomic uint32_t offered_len;          // shard: bytes of the batch that it offered last
    _Atomic(struct journal_batch *) spare; // empty, from the keeper, to be used again; or NULL
    _Atomic uint64_t safe;                 // keeper: all up to this position is on the disk
    struct spsc *requests;                 // shard to state thread: struct page_request
    struct spsc *pages;                    // state thread to shard: struct page *
};

struct keeper {
    bool on; // somebody keeps: set before the workers start
    unsigned shard_count;
    uint32_t batch_pause, page_bytes; // KEEPER_BATCH_PAUSE and KEEPER_PAGE_BYTES, or less
    struct keeper_thread log_thread, state_thread;
    _Atomic bool failing; // the disk is full or fails: what must be kept is refused
    _Atomic bool behind;  // the log is longer than it should be: publishers wait
    // Bit i: shard i has more than batch_pause for the keeper: publishers wait, on all shards,
    // since what they bring may be for its sessions. The shards write it.
    _Atomic uint64_t crowded;
    bool quarantined; // a damaged store was moved aside at the start
    // For $SYS and the log; the keeper's threads write them.
    _Atomic uint64_t commits, records, bytes_written, log_bytes, checkpoints, failures, pages;
    struct durations commit_times, commit_sizes; // of those that worked; their records
    struct keeper_shard shards[TRIE_SHARDS_MAX];
};

struct keeper *keeper_new(unsigned shard_count, bool on); // returns new
void keeper_free(struct keeper *keeper);                  // takes; frees what was not fetched
// Batches and pages are such as go with a store's window of so many bytes. Before workers start.
void keeper_set_window(struct keeper *keeper, uint64_t window_bytes);
// Wakes the thread if it sleeps. ON_ANY.
void keeper_wake(struct keeper_thread *thread);

// ---- Pages: what of a session's queue is on the disk alone --------------------------------------

// Asks for a session's entries from seq on, in order. Answered once everything that the shard
// journaled up to position is on the disk and in the state.
struct page_request {
    uint64_t session, seq, position;
    uint64_t token;                // comes back with the page
    uint32_t count_max, bytes_max; // of the answer; at least one entry comes, if there is one
};

struct page_entry {
    uint64_t seq;
    struct msg *msg; // a reference that is the receiver's; NULL when released
    uint32_t *ids;   // subscription identifiers, mem_free; NULL when there are none
    uint32_t id_count;
    uint32_t ordinal; // of the shared subscription that it came by; 0 = none
    uint8_t qos;
    bool retain, released; // released: PUBREC came, PUBCOMP is due
};

struct page {
    uint64_t session, token;
    uint64_t from, next; // entries of [from, next) that are not here do not exist
    bool end;            // nothing from next on was in the state
    uint32_t count;
    struct page_entry entries[];
};

void page_free(struct page *page); // takes, with all that it holds; NULL is fine

#endif
