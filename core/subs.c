// subs.c - the shard's subscriber vectors, found by the trie's handle.
#include "core/subs.h"

#include "core/base/mem.h"

#include "core/session.h"

#define PAGE_SLOTS 1024u

struct subs {
    struct sub_vector **pages;
    uint32_t page_cap;
};

struct subs *
subs_new(void)
{
    return mem_zalloc(sizeof(struct subs));
}

void
subs_free(struct subs *subs)
{
    if (!subs)
        return;
    for (uint32_t p = 0; p < subs->page_cap; p++) {
        for (uint32_t i = 0; subs->pages[p] && i < PAGE_SLOTS; i++)
            if (subs->pages[p][i].cap)
                mem_free(subs->pages[p][i].many);
        mem_free(subs->pages[p]);
    }
    mem_free(subs->pages);
    mem_free(subs);
}

struct sub_vector *
subs_find(const struct subs *subs, struct trie_handle handle)
{
    uint32_t page = handle.slot / PAGE_SLOTS;
    if (page >= subs->page_cap || !subs->pages[page])
        return NULL;
    struct sub_vector *vector = &subs->pages[page][handle.slot % PAGE_SLOTS];
    // A slot is reused under another generation: mail that was under way for the old one ends here.
    return vector->handle.generation == handle.generation ? vector : NULL;
}

static struct sub_vector *
vector_make(struct subs *subs, struct trie_handle handle)
{
    uint32_t page = handle.slot / PAGE_SLOTS;
    if (page >= subs->page_cap) {
        uint32_t old = subs->page_cap;
        subs->pages = mem_grow(subs->pages, &subs->page_cap, page + 1, sizeof *subs->pages);
        memset(subs->pages + old, 0, (subs->page_cap - old) * sizeof *subs->pages);
    }
    if (!subs->pages[page])
        subs->pages[page] = mem_zalloc(PAGE_SLOTS * sizeof(struct sub_vector));
    struct sub_vector *vector = &subs->pages[page][handle.slot % PAGE_SLOTS];
    must(vector->count == 0);
    memset(vector, 0, sizeof *vector);
    vector->handle = handle;
    return vector;
}

static void
tell_place(struct sub_vector *vector, uint32_t index)
{
    struct sub *sub = &subs_items(vector)[index];
    session_sub_moved(sub->session, sub->back, index);
}

uint32_t
subs_add(struct subs *subs, struct trie_handle handle, const struct sub *sub)
{
    must(handle.generation != 0);
    struct sub_vector *vector = subs_find(subs, handle);
    if (!vector)
        vector = vector_make(subs, handle);
    if (vector->count == 0 && vector->cap == 0) {
        vector->one = *sub;
    } else {
        if (vector->cap == 0) {
            struct sub one = vector->one;
            vector->many = NULL;
            vector->many = mem_grow(NULL, &vector->cap, 4, sizeof *vector->many);
            vector->many[0] = one;
        }
        vector->many = mem_grow(vector->many, &vector->cap, vector->count + 1, sizeof *sub);
        vector->many[vector->count] = *sub;
    }
    return vector->count++;
}

static void
swap(struct sub_vector *vector, uint32_t a, uint32_t b)
{
    if (a == b)
        return;
    struct sub *items = subs_items(vector);
    struct sub tmp = items[a];
    items[a] = items[b];
    items[b] = tmp;
    tell_place(vector, a);
    tell_place(vector, b);
}

bool
subs_remove(struct subs *subs, struct trie_handle handle, uint32_t index)
{
    struct sub_vector *vector = subs_find(subs, handle);
    must(vector && index < vector->count);
    if (index < vector->connected) {
        swap(vector, index, vector->connected - 1);
        index = --vector->connected;
    }
    swap(vector, index, vector->count - 1);
    vector->count--;
    if (vector->count > 0)
        return false;
    if (vector->cap)
        mem_free(vector->many);
    memset(vector, 0, sizeof *vector);
    return true;
}

void
subs_set_connected(struct sub_vector *vector, uint32_t index, bool connected)
{
    must(index < vector->count);
    bool was = index < vector->connected;
    if (was == connected)
        return;
    if (connected)
        swap(vector, index, vector->connected++);
    else
        swap(vector, index, --vector->connected);
}
