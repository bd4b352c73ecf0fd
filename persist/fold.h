// fold.h - brings a window of the log into the state, in one transaction.
//
// Job:    writes what is left of the window, keeps the counts of references, notes how far the
//         state has come. Running it again changes nothing.
// Owner:  the state thread; main before it starts. Thread: one.
// Memory: 24 bytes for each thing that is written, 32 for each message that gains or loses
//         references; LMDB's changed pages (window->pages_max of them, and not many more; without
//         such a limit at most 512 MiB, then it writes some early).
// Limits: none of its own: the window has them.
#ifndef TERN_PERSIST_FOLD_H
#define TERN_PERSIST_FOLD_H

#include "persist/state.h"
#include "persist/window.h"

struct fold_result {
    uint64_t written; // rows put or deleted for things of the window
    uint64_t orphans; // records whose session or message is nowhere: left out
    uint32_t pages;   // that it changed, about; counted where window->pages_max is a limit
};

// applied: sequence of the window's last blob; what the state has already must not be in the
// window. 0 or LMDB's or errno's number, or ENV_TOO_MUCH: window->pages_max; then the state is as
// before. ret may be NULL.
int fold_window(struct state *state, const struct window *window, uint64_t applied,
                struct fold_result *ret);

#endif
