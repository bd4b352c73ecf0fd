// transfer.h - an import under way: a new store that takes the old one's place at the end.
//
// Job:    what store_open.c must know of transfer.c: how to give it up.
// Owner:  the store. Thread: main, without the store's threads.
// Memory: one window. Limits: TRANSFER_WINDOW bytes of records a transaction.
#ifndef TERN_PERSIST_TRANSFER_H
#define TERN_PERSIST_TRANSFER_H

struct transfer;

void transfer_drop(struct transfer *transfer); // takes, with its folder; NULL is fine

#endif
