// page.h - pages of a session's queue, read from the state for the shards.
//
// Job:    collects the shards' requests, says when they can be answered, answers, hands pages over.
// Owner:  the state thread. Thread: that one; page_read before it starts: any.
// Memory: the requests that wait; pages that a full ring has not taken yet.
// Limits: the shards' rings of requests; PAGE_ENTRIES_MAX entries a page.
#ifndef TERN_PERSIST_PAGE_H
#define TERN_PERSIST_PAGE_H

#include "core/keeper.h"
#include "persist/state.h"

struct store;

#define PAGE_ENTRIES_MAX 65535u

// Reads a page. wall_offset: wall clock minus monotonic clock, ms. Returns 0 and a new page, or
// LMDB's numbers.
int page_read(struct state_txn *txn, const struct page_request *request, uint64_t wall_offset,
              struct page **ret);

struct page_desk;

struct page_desk *page_desk_new(struct store *store); // returns new
void page_desk_free(struct page_desk *desk);          // takes, with what was not handed over
// Takes the requests out of the rings.
void page_desk_fetch(struct page_desk *desk);
// Is there a request whose position is in the log? Those are answered by the next
// page_desk_answer, after the state has everything that is committed by now. Asks the log thread to
// hurry for the others.
bool page_desk_is_due(struct page_desk *desk);
void page_desk_answer(struct page_desk *desk);
// Hands pages over, as far as there is room.
void page_desk_push(struct page_desk *desk);
bool page_desk_is_blocked(const struct page_desk *desk); // pages wait for room
bool page_desk_ready(const struct page_desk *desk); // there are requests to fetch, or to answer

#endif
