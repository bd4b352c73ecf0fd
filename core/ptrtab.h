// ptrtab.h - a hash table of pointers that is read without locks.
//
// Job:    open addressing over tagged pointers: 16 bits of the hash stand in the pointer's unused
//         top bits, so that a probe touches the object only when it is very likely the right one.
// Owner:  the trie and the retained store.
// Thread: readers under RCU; one writer at a time.
// Memory: 8 bytes a slot, at most three quarters of them used; a grown table replaces the old one,
//         which goes after a grace period.
// Limits: 600 million entries (2^30 slots); more ends the process.
//
// Readers and the writer: a slot changes by one atomic store, 0 -> entry, entry -> entry of the
// same hash, entry -> TOMB, TOMB -> entry. A reader that probes past a slot therefore sees every
// entry that was there before it began. The object behind a removed entry is freed by the caller
// after a grace period.
#ifndef TERN_CORE_PTRTAB_H
#define TERN_CORE_PTRTAB_H

#include <stdatomic.h>

#include "core/base/rcu.h"

struct ptrtab {
    uint32_t cap;  // power of two
    uint32_t used; // entries and tombs
    uint32_t live;
    _Atomic uint64_t slots[];
};

#define PTRTAB_TOMB     1u
#define PTRTAB_TAG_MASK 0xffff000000000000u

static inline uint64_t
ptrtab_tag(uint64_t hash)
{
    return hash & PTRTAB_TAG_MASK;
}

static inline void *
ptrtab_pointer(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & ~PTRTAB_TAG_MASK); // NOLINT(performance-no-int-to-ptr)
}

// Next candidate for hash from *pos on (start with hash); NULL when there is none.
static inline void *
ptrtab_probe(const struct ptrtab *tab, uint64_t hash, uint64_t *pos)
{
    if (!tab)
        return NULL;
    uint32_t mask = tab->cap - 1;
    for (;;) {
        uint64_t slot = atomic_load_explicit(&tab->slots[*pos & mask], memory_order_acquire);
        if (slot == 0)
            return NULL;
        (*pos)++;
        if (slot != PTRTAB_TOMB && (slot & PTRTAB_TAG_MASK) == ptrtab_tag(hash))
            return ptrtab_pointer(slot);
    }
}

// The hash of an object that is in a table, whose owner gave arg.
typedef uint64_t (*ptrtab_hash_fn)(const void *object, const void *arg);

// Writer. Adds object; *tab may be replaced (the old one is deferred to self). hash_of re-hashes on
// growth, with arg.
void ptrtab_add(struct ptrtab *_Atomic *tab, struct rcu_reader *self, uint64_t hash, void *object,
                ptrtab_hash_fn hash_of, const void *arg);
// Writer. Removes object, which is there.
void ptrtab_remove(struct ptrtab *_Atomic *tab, struct rcu_reader *self, uint64_t hash,
                   const void *object, ptrtab_hash_fn hash_of, const void *arg);
// Writer. Puts `with` in the place of object, which is there and has the same hash.
void ptrtab_replace(struct ptrtab *tab, uint64_t hash, const void *object, void *with);
// Writer. The object that is alone in the table; NULL when there are more, or tab is NULL.
void *ptrtab_only(const struct ptrtab *tab);
size_t ptrtab_bytes(const struct ptrtab *tab);

#endif
