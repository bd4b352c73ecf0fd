// blob.h - what the log keeps under one sequence number: records of one or more shards.
//
// Job:    gathers the records of batches that are not void into blobs; checks blobs; takes them
//         apart.
// Owner:  the log thread (gathering). Thread: one at a time.
// Memory: the blobs of one commit; up to `spares` buffers are kept for the next.
// Limits: BLOB_BYTES a blob, unless a single record is larger.
//
// Form: u32 magic and version, u64 checksum of the rest (XXH3 seeded with the sequence number), u32
// count of the blobs that follow in the same commit; then segments, each a u32 length and records
// (core/record.h). Little-endian. The records of one shard stand in their order; a large batch goes
// on in the next blob.
#ifndef TERN_PERSIST_BLOB_H
#define TERN_PERSIST_BLOB_H

#include "core/keeper.h"

#define BLOB_MAGIC  0x31474c54u        // "TLG1": the digit is the version
#define BLOB_HEAD   16u                // magic, checksum, blobs left
#define BLOB_BYTES  (256u * 1024 - 16) // with LMDB's page header: 64 whole pages
#define BLOB_SPARES 64u                // with the largest window

struct blob {
    uint8_t *bytes;
    uint32_t len, cap;
    uint32_t segments;
};

struct blob_list {
    struct blob *blobs; // cap of them; those beyond count keep their buffers
    uint32_t count, cap;
    uint32_t spares;
    uint64_t bytes, records; // in the count blobs
};

// Copies the live records. must(): the bytes are whole records.
void blob_list_add(struct blob_list *list, struct slice records);
void blob_list_clear(struct blob_list *list); // keeps some buffers
void blob_list_free(struct blob_list *list);  // frees what it holds
// Fills in the head. left: blobs that follow in the same commit.
void blob_seal(struct blob *blob, uint64_t sequence, uint32_t left);

// Is this a blob, and the one of this sequence number?
bool blob_is_good(struct slice blob, uint64_t sequence);
// Of a good blob: how many more its commit has.
uint32_t blob_left(struct slice blob);
// Takes the next segment off the front of *rest, which begins as the good blob without its head.
// False at the end; *ret_bad when the rest is none.
bool blob_segment(struct slice *rest, struct slice *ret, bool *ret_bad);

#endif
