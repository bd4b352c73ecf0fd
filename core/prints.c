// prints.c - fingerprints of filters, and which other nodes have them.
//
// Open addressing. What readers look at stands in words of its own, so that a look-up touches one
// line of the CPU's cache, or two; what belongs to the writer alone, in notes beside them.
//
// Readers and the writer: a word changes by one atomic store: 0 -> entry, entry -> DEAD, DEAD ->
// entry; entry -> 0 where a 0 follows, so that nothing is looked for behind it. A reader that goes
// past a word sees every entry that was there before it began, and that is not taken out meanwhile.
// A part that has to grow gets new words, and the old ones, which nobody changes any more, go after
// a grace period. A reader that still has the old ones lacks what was added since: its result is
// older than the version that follows the change (trie.c).
#include "core/prints.h"

#include "core/base/mem.h"

// A word: 53 bits of the hash, 5 of the kind, 6 of the owner.
#define OWNER_BITS 6u
#define OWNER_MASK ((UINT64_C(1) << OWNER_BITS) - 1)
#define KIND_SHIFT OWNER_BITS
#define HASH_SHIFT 11u
#define HASH_MASK  (~((UINT64_C(1) << HASH_SHIFT) - 1))
_Static_assert(PRINT_OWNERS_MAX == 1u << OWNER_BITS, "an owner fits");
_Static_assert(PRINT_KINDS_MAX == 1u << (HASH_SHIFT - KIND_SHIFT), "a kind fits");
#define DEAD UINT64_C(1) // was an entry; no entry is below 1 << HASH_SHIFT

// From the hash: 8 bits for the part, the next 32 for the place in it.
#define PART_SHIFT  56u
#define PLACE_SHIFT 24u
_Static_assert(PRINTS_PARTS == 1u << (64 - PART_SHIFT), "a part for each value");

#define PLACES_MIN UINT64_C(8) // with the word for cap

struct words {
    uint64_t cap;
    _Atomic uint64_t words[];
};

// What an entry has for the writer.
struct note {
    uint32_t number;
    uint32_t check : PRINT_CHECK_BITS;
    uint32_t marked : 1;
};

struct part {
    _Atomic(struct words *) words; // NULL: nothing was there yet
    struct note *notes;
    uint32_t live, used; // entries; with the dead
};

struct prints {
    struct part parts[PRINTS_PARTS];
    uint64_t bytes;
};

struct prints *
prints_new(void)
{
    struct prints *prints = mem_zalloc(sizeof *prints);
    prints->bytes = sizeof *prints;
    return prints;
}

void
prints_free(struct prints *prints)
{
    for (uint32_t i = 0; prints && i < PRINTS_PARTS; i++) {
        mem_free(atomic_load(&prints->parts[i].words));
        mem_free(prints->parts[i].notes);
    }
    mem_free(prints);
}

// ---- Words --------------------------------------------------------------------------------------

// Without an owner.
static inline uint64_t
word_of(uint64_t hash, unsigned kind)
{
    must_hot(kind < PRINT_KINDS_MAX);
    uint64_t word = hash & HASH_MASK;
    if (unlikely(word == 0))
        word = UINT64_C(1) << HASH_SHIFT;
    return word | (uint64_t)kind << KIND_SHIFT;
}

static inline uint64_t
load(const struct words *words, uint64_t i)
{
    return atomic_load_explicit(&words->words[i], memory_order_acquire);
}

static inline uint64_t
first_place(uint64_t word, uint64_t cap)
{
    return ((word >> PLACE_SHIFT & UINT32_MAX) * cap) >> 32;
}

static inline uint64_t
next_place(uint64_t i, uint64_t cap)
{
    return i + 1 == cap ? 0 : i + 1;
}

static inline const struct words *
words_for(const struct prints *prints, uint64_t word)
{
    return atomic_load_explicit(&prints->parts[word >> PART_SHIFT].words, memory_order_acquire);
}

uint64_t
prints_owners(const struct prints *prints, uint64_t hash, unsigned kind)
{
    uint64_t wanted = word_of(hash, kind), owners = 0, word;
    const struct words *words = words_for(prints, wanted);
    if (!words)
        return 0;
    for (uint64_t i = first_place(wanted, words->cap); (word = load(words, i)) != 0;
         i = next_place(i, words->cap))
        if ((word & ~OWNER_MASK) == wanted)
            owners |= UINT64_C(1) << (word & OWNER_MASK);
    return owners;
}

void
prints_prefetch(const struct prints *prints, uint64_t hash)
{
    uint64_t word = word_of(hash, 0);
    const struct words *words = words_for(prints, word);
    if (words)
        __builtin_prefetch(&words->words[first_place(word, words->cap)]);
}

// ---- Room ---------------------------------------------------------------------------------------

// The sizes that the allocator has, so that nothing of them is lost: 4, 5, 6, 7 times powers of
// two, of which one word is cap. The smallest in which that many take 70 % at most.
static uint64_t
cap_for(uint32_t entries)
{
    uint64_t step = PLACES_MIN / 4, size = PLACES_MIN;
    while ((size - 1) * 7 < (uint64_t)entries * 10) {
        if (size == 8 * step)
            step *= 2;
        size += step;
    }
    return size - 1;
}

static uint64_t
bytes_of(const struct words *words)
{
    return words ? sizeof *words + words->cap * (sizeof words->words[0] + sizeof(struct note)) : 0;
}

// Gives a part other words, with room for that many. No word of the old ones changes any more.
static void
remake(struct prints *prints, struct rcu_reader *self, struct part *part, uint32_t entries)
{
    struct words *old = atomic_load_explicit(&part->words, memory_order_relaxed);
    uint64_t cap = cap_for(entries);
    struct words *words = NULL;
    struct note *notes = NULL;
    must(entries >= part->live && cap < UINT32_MAX);
    if (entries > 0) {
        words = mem_zalloc(sizeof *words + cap * sizeof words->words[0]);
        notes = mem_zalloc(cap * sizeof *notes);
        words->cap = cap;
    }
    for (uint64_t i = 0; part->live > 0 && i < old->cap; i++) {
        uint64_t word = load(old, i);
        if (word == 0 || word == DEAD)
            continue;
        uint64_t at = first_place(word, cap);
        while (load(words, at) != 0)
            at = next_place(at, cap);
        atomic_store_explicit(&words->words[at], word, memory_order_relaxed);
        notes[at] = part->notes[i];
    }
    prints->bytes += bytes_of(words) - bytes_of(old);
    mem_free(part->notes);
    part->notes = notes;
    part->used = part->live;
    atomic_store_explicit(&part->words, words, memory_order_release);
    if (old)
        rcu_defer(self, old, mem_free);
}

static void
make_room(struct prints *prints, struct rcu_reader *self, struct part *part)
{
    const struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
    if (!words || ((uint64_t)part->used + 1) * 5 > words->cap * 4)
        remake(prints, self, part, part->live + 1);
}

// Where few are left it shrinks.
static void
settle(struct prints *prints, struct rcu_reader *self, struct part *part)
{
    const struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
    if (words && (part->live == 0 || (words->cap >= 2 * PLACES_MIN && part->live < words->cap / 4)))
        remake(prints, self, part, part->live);
}

// ---- One entry ----------------------------------------------------------------------------------

#define NOWHERE UINT64_MAX

static uint64_t
full_word(const struct print *print)
{
    must(print->owner < PRINT_OWNERS_MAX);
    return word_of(print->hash, print->kind) | print->owner;
}

static uint64_t
place_of(const struct prints *prints, const struct print *print)
{
    uint64_t wanted = full_word(print), word;
    const struct part *part = &prints->parts[wanted >> PART_SHIFT];
    const struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
    if (!words)
        return NOWHERE;
    for (uint64_t i = first_place(wanted, words->cap); (word = load(words, i)) != 0;
         i = next_place(i, words->cap))
        if (word == wanted && part->notes[i].check == (print->check & PRINT_CHECK_MASK))
            return i;
    return NOWHERE;
}

bool
prints_find(const struct prints *prints, const struct print *print)
{
    return place_of(prints, print) != NOWHERE;
}

bool
prints_add(struct prints *prints, struct rcu_reader *self, const struct print *print,
           uint32_t number)
{
    uint64_t wanted = full_word(print), word;
    struct part *part = &prints->parts[wanted >> PART_SHIFT];
    if (prints_find(prints, print))
        return false;
    make_room(prints, self, part);
    struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
    uint64_t i = first_place(wanted, words->cap);
    while ((word = load(words, i)) != 0 && word != DEAD)
        i = next_place(i, words->cap);
    part->notes[i] = (struct note){.number = number, .check = print->check & PRINT_CHECK_MASK};
    atomic_store_explicit(&words->words[i], wanted, memory_order_release);
    part->live++;
    part->used += word == 0;
    must(part->used < words->cap); // a reader ends at a word that is 0
    return true;
}

// It stays in the way of those that are behind it, as long as there are any.
static void
kill(struct part *part, uint64_t i)
{
    struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
    must(part->live > 0);
    bool last = load(words, next_place(i, words->cap)) == 0;
    atomic_store_explicit(&words->words[i], last ? 0 : DEAD, memory_order_release);
    part->used -= last;
    part->live--;
}

bool
prints_remove(struct prints *prints, struct rcu_reader *self, const struct print *print,
              uint32_t *ret_number)
{
    uint64_t i = place_of(prints, print);
    if (i == NOWHERE)
        return false;
    struct part *part = &prints->parts[full_word(print) >> PART_SHIFT];
    *ret_number = part->notes[i].number;
    kill(part, i);
    settle(prints, self, part);
    return true;
}

// ---- All of an owner ----------------------------------------------------------------------------

static bool
is_of(const struct words *words, uint64_t i, unsigned owner)
{
    uint64_t word = load(words, i);
    return word != 0 && word != DEAD && (word & OWNER_MASK) == owner;
}

bool
prints_mark(struct prints *prints, const struct print *print, bool *ret_first)
{
    uint64_t i = place_of(prints, print);
    if (i == NOWHERE)
        return false;
    struct note *note = &prints->parts[full_word(print) >> PART_SHIFT].notes[i];
    *ret_first = !note->marked;
    note->marked = 1;
    return true;
}

void
prints_unmark(struct prints *prints, unsigned owner)
{
    for (uint32_t p = 0; p < PRINTS_PARTS; p++) {
        struct part *part = &prints->parts[p];
        const struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
        for (uint64_t i = 0; words && i < words->cap; i++)
            if (is_of(words, i, owner))
                part->notes[i].marked = 0;
    }
}

bool
prints_take(struct prints *prints, struct rcu_reader *self, unsigned owner, bool all,
            struct prints_place *place, struct prints_taken *ret)
{
    for (; place->part < PRINTS_PARTS; place->part++, place->slot = 0) {
        struct part *part = &prints->parts[place->part];
        const struct words *words = atomic_load_explicit(&part->words, memory_order_relaxed);
        for (; words && place->slot < words->cap; place->slot++) {
            uint32_t i = place->slot;
            if (!is_of(words, i, owner) || (!all && part->notes[i].marked))
                continue;
            *ret = (struct prints_taken){
                .number = part->notes[i].number,
                .kind = (uint8_t)(load(words, i) >> KIND_SHIFT & (PRINT_KINDS_MAX - 1)),
            };
            kill(part, i);
            return true;
        }
        settle(prints, self, part);
    }
    return false;
}

void
prints_sum(const struct prints *prints, unsigned owner, uint32_t part, uint32_t *sum,
           uint64_t *count)
{
    must(part < PRINTS_PARTS);
    const struct part *p = &prints->parts[part];
    const struct words *words = atomic_load_explicit(&p->words, memory_order_relaxed);
    for (uint64_t i = 0; words && i < words->cap; i++) {
        if (!is_of(words, i, owner))
            continue;
        *sum += p->notes[i].check;
        *count += 1;
    }
}

uint64_t
prints_bytes(const struct prints *prints)
{
    return prints->bytes;
}
