// hold.h - batches that may have to wait for those of other shards.
//
// Job:    keeps batches with bonds (core/keeper.h) until what they are bound to has come, and says
//         how much of each shard's may be committed now, together.
// Owner:  the log thread. Thread: it alone.
// Memory: the batches held; a hop between shards is all they wait for.
// Limits: none here: a shard pauses its publishers when its journal grows.
#ifndef TERN_PERSIST_HOLD_H
#define TERN_PERSIST_HOLD_H

#include "core/keeper.h"

struct hold;

struct hold *hold_new(unsigned shard_count); // returns new
void hold_free(struct hold *hold);           // takes, with the batches; NULL is fine

bool hold_is_empty(const struct hold *hold);
// Must the batch of this shard go through here? Else it has no bonds and nothing is before it.
bool hold_wants(const struct hold *hold, unsigned shard, const struct journal_batch *batch);
// Takes batch.
void hold_put(struct hold *hold, unsigned shard, struct journal_batch *batch);

// Finds the largest part of what is held that is closed. hold_next then gives it piece by piece.
void hold_cut(struct hold *hold);
struct hold_piece {
    unsigned shard;
    struct slice records;           // of one batch; borrowed until the next call
    uint64_t position;              // of the last record that is in this or an earlier piece
    struct journal_batch *finished; // not NULL: all of this batch has been given out; the caller's
};
bool hold_next(struct hold *hold, struct hold_piece *ret);

#endif
