// ptrtab.c - a hash table of pointers that is read without locks.
#include "core/ptrtab.h"

#include "core/base/mem.h"

#define CAP_MIN 2u
#define CAP_MAX (1u << 30) // so that the sums of three or five times a number of slots fit 32 bits

size_t
ptrtab_bytes(const struct ptrtab *tab)
{
    return tab ? sizeof *tab + tab->cap * sizeof tab->slots[0] : 0;
}

static void
put(struct ptrtab *tab, uint64_t hash, void *object)
{
    uint64_t entry = (uint64_t)(uintptr_t)object;
    must_hot((entry & PTRTAB_TAG_MASK) == 0 && entry > PTRTAB_TOMB);
    uint32_t mask = tab->cap - 1, i = (uint32_t)hash & mask;
    uint64_t slot;
    while ((slot = atomic_load_explicit(&tab->slots[i], memory_order_relaxed)) > PTRTAB_TOMB)
        i = (i + 1) & mask;
    // Release: a reader that finds the entry finds the object complete.
    atomic_store_explicit(&tab->slots[i], entry | ptrtab_tag(hash), memory_order_release);
    tab->used += slot == 0;
    tab->live++;
}

// A table for one entry more, without tombs.
static struct ptrtab *
rebuild(const struct ptrtab *old, ptrtab_hash_fn hash_of, const void *arg)
{
    uint32_t cap = CAP_MIN, live = old ? old->live : 0;
    while (cap * 3 < (live + 1) * 5) { // at most 60 % full, so that it stays for a while
        must(cap < CAP_MAX);
        cap *= 2;
    }
    struct ptrtab *tab = mem_zalloc(sizeof *tab + cap * sizeof tab->slots[0]);
    tab->cap = cap;
    for (uint32_t i = 0; old && i < old->cap; i++) {
        uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (slot > PTRTAB_TOMB)
            put(tab, hash_of(ptrtab_pointer(slot), arg), ptrtab_pointer(slot));
    }
    must(tab->live == live);
    return tab;
}

static void
replace(struct ptrtab *_Atomic *tab, struct rcu_reader *self, struct ptrtab *with)
{
    struct ptrtab *old = atomic_load_explicit(tab, memory_order_relaxed);
    atomic_store_explicit(tab, with, memory_order_release);
    if (old) // readers that took it before the store are still in their tick
        rcu_defer(self, old, mem_free);
}

void
ptrtab_add(struct ptrtab *_Atomic *tab, struct rcu_reader *self, uint64_t hash, void *object,
           ptrtab_hash_fn hash_of, const void *arg)
{
    struct ptrtab *now = atomic_load_explicit(tab, memory_order_relaxed);
    if (!now || (now->used + 1) * 4 > now->cap * 3) {
        struct ptrtab *grown = rebuild(now, hash_of, arg);
        put(grown, hash, object);
        replace(tab, self, grown);
        return;
    }
    put(now, hash, object);
}

// The slot of object, which is in the table.
static uint32_t
slot_of(const struct ptrtab *tab, uint64_t hash, const void *object)
{
    uint32_t mask = tab->cap - 1, i = (uint32_t)hash & mask;
    for (;;) {
        uint64_t slot = atomic_load_explicit(&tab->slots[i], memory_order_relaxed);
        must(slot != 0);
        if (slot != PTRTAB_TOMB && ptrtab_pointer(slot) == object)
            return i;
        i = (i + 1) & mask;
    }
}

void
ptrtab_remove(struct ptrtab *_Atomic *tab, struct rcu_reader *self, uint64_t hash,
              const void *object, ptrtab_hash_fn hash_of, const void *arg)
{
    struct ptrtab *now = atomic_load_explicit(tab, memory_order_relaxed);
    must(now && now->live > 0);
    uint32_t i = slot_of(now, hash, object);
    atomic_store_explicit(&now->slots[i], PTRTAB_TOMB, memory_order_release);
    now->live--;
    if (now->live == 0)
        replace(tab, self, NULL);
    else if (now->cap > 16 && now->live * 8 < now->cap)
        replace(tab, self, rebuild(now, hash_of, arg));
}

void
ptrtab_replace(struct ptrtab *tab, uint64_t hash, const void *object, void *with)
{
    must(tab && tab->live > 0);
    uint64_t entry = (uint64_t)(uintptr_t)with;
    must((entry & PTRTAB_TAG_MASK) == 0 && entry > PTRTAB_TOMB);
    uint32_t i = slot_of(tab, hash, object);
    atomic_store_explicit(&tab->slots[i], entry | ptrtab_tag(hash), memory_order_release);
}

void *
ptrtab_only(const struct ptrtab *tab)
{
    if (!tab || tab->live != 1)
        return NULL;
    uint64_t slot = 0;
    for (uint32_t i = 0; slot <= PTRTAB_TOMB; i++) { // few: such a table is small (ptrtab_remove)
        must(i < tab->cap);
        slot = atomic_load_explicit(&tab->slots[i], memory_order_relaxed);
    }
    return ptrtab_pointer(slot);
}
