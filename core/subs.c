// subs.c - the shard's subscriber vectors, found by the trie's handle.
#include "core/subs.h"

#include "core/base/mem.h"

#include "core/cluster.h"
#include "core/session.h"

#define PAGE_SLOTS 1024u
#define LIST_MIN   4u

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
            if (subs->pages[p][i].is_list)
                mem_free(subs->pages[p][i].list);
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
    return vector->generation == handle.generation ? vector : NULL;
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
    must(vector->count == 0 && !vector->is_list);
    vector->generation = handle.generation;
    return vector;
}

static void
tell_place(struct sub_vector *vector, uint32_t index)
{
    struct sub *sub = &subs_items(vector)[index];
    session_sub_moved(sub->session, sub->back, index);
}

// ---- Members of other nodes ---------------------------------------------------------------------

static void
add_node(struct sub_nodes *nodes, const struct sub *sub, bool added)
{
    uint32_t members = node_group_members(sub->subscription_id);
    must(added || (nodes->sessions > 0 && nodes->members >= members));
    nodes->sessions += added ? 1 : UINT32_MAX;
    nodes->members += added ? members : 0 - members;
}

// The subscriber comes or goes, or its connection does.
static inline void
count_node(struct sub_vector *vector, const struct sub *sub, bool is_member, bool is_connected,
           bool added)
{
    if (likely(!sub->options.node) || !vector->is_list)
        return;
    if (is_member)
        add_node(&vector->list->nodes, sub, added);
    if (is_connected)
        add_node(&vector->list->nodes_connected, sub, added);
}

struct sub_sums
subs_sums(const struct sub_vector *vector)
{
    struct sub_nodes nodes = {0}, connected = {0};
    if (vector->is_list) {
        nodes = vector->list->nodes;
        connected = vector->list->nodes_connected;
    } else if (vector->count > 0 && vector->one.options.node) {
        add_node(&nodes, &vector->one, true);
        if (vector->connected > 0)
            connected = nodes;
    }
    return (struct sub_sums){
        .connected = subs_connected(vector) - connected.sessions + connected.members,
        .members = subs_count(vector) - nodes.sessions + nodes.members,
        .nodes_connected = connected.members,
        .nodes = nodes.members,
    };
}

void
subs_replace(struct sub_vector *vector, uint32_t index, const struct sub *sub)
{
    must(index < subs_count(vector));
    struct sub *old = &subs_items(vector)[index];
    bool is_connected = index < subs_connected(vector);
    must(old->session == sub->session && old->options.node == sub->options.node);
    count_node(vector, old, true, is_connected, false);
    *old = *sub;
    count_node(vector, old, true, is_connected, true);
}

// Turns are spread evenly over the members (Weyl's sequence), so that no node gets many in a row.
uint32_t
subs_weighted_turn(struct sub_vector *vector, uint32_t turn, bool own)
{
    struct sub_sums sums = subs_sums(vector);
    if (sums.nodes == 0)
        return turn;
    uint32_t connected = sums.connected - (own ? sums.nodes_connected : 0);
    uint32_t members = sums.members - (own ? sums.nodes : 0);
    uint32_t total = sums.connected > 0 ? connected : members;
    if (total == 0) // the others come after them, in their own order
        return turn;
    const struct sub *items = subs_items(vector);
    uint32_t at = (uint32_t)(((uint64_t)(turn * UINT32_C(2654435769)) * total) >> 32);
    for (uint32_t i = 0;; i++) {
        must_hot(i < subs_count(vector));
        uint32_t theirs = own ? 0 : node_group_members(items[i].subscription_id);
        uint32_t weight = items[i].options.node ? theirs : 1;
        if (at < weight)
            return i;
        at -= weight;
    }
}

// ---- Adding and removing ------------------------------------------------------------------------

// Room for one more in a list, which is made of the one that there is.
static struct sub_list *
list_for_more(struct sub_vector *vector)
{
    struct sub_list *old = vector->is_list ? vector->list : NULL;
    if (old && old->count < old->cap)
        return old;
    uint32_t cap = old ? old->cap * 2 : LIST_MIN;
    must(cap > subs_count(vector));
    struct sub_list *list = mem_alloc(sizeof *list + cap * sizeof list->items[0]);
    *list = (struct sub_list){
        .count = vector->count, .connected = vector->connected, .durable = vector->durable};
    if (old)
        *list = *old;
    list->cap = cap;
    memcpy(list->items, subs_items(vector), list->count * sizeof list->items[0]);
    bool was_connected = !old && list->connected > 0;
    mem_free(old);
    *vector = (struct sub_vector){.generation = vector->generation, .is_list = true, .list = list};
    if (!old)
        count_node(vector, &list->items[0], true, was_connected, true);
    return list;
}

uint32_t
subs_add(struct subs *subs, struct trie_handle handle, const struct sub *sub)
{
    must(handle.generation != 0);
    struct sub_vector *vector = subs_find(subs, handle);
    if (!vector)
        vector = vector_make(subs, handle);
    if (subs_count(vector) == 0 && !vector->is_list) {
        vector->one = *sub;
        vector->count = 1;
        return 0;
    }
    struct sub_list *list = list_for_more(vector);
    list->items[list->count] = *sub;
    count_node(vector, sub, true, false, true);
    return list->count++;
}

static void
add_connected(struct sub_vector *vector, int n)
{
    if (vector->is_list)
        vector->list->connected += (uint32_t)n;
    else
        vector->connected = (uint8_t)(vector->connected + n);
}

uint32_t
subs_count_durable(struct sub_vector *vector, bool added)
{
    int n = added ? 1 : -1;
    if (!vector->is_list) {
        vector->durable = (uint8_t)(vector->durable + n);
        must(vector->durable <= 1);
        return vector->durable;
    }
    must(added || vector->list->durable > 0);
    return vector->list->durable += (uint32_t)n;
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
    must(vector && index < subs_count(vector));
    uint32_t connected = subs_connected(vector);
    count_node(vector, &subs_items(vector)[index], true, index < connected, false);
    if (index < connected) {
        swap(vector, index, connected - 1);
        index = connected - 1;
        add_connected(vector, -1);
    }
    if (vector->is_list) {
        swap(vector, index, vector->list->count - 1);
        if (--vector->list->count > 0)
            return false;
        mem_free(vector->list);
    }
    memset(vector, 0, sizeof *vector);
    return true;
}

void
subs_set_connected(struct sub_vector *vector, uint32_t index, bool connected)
{
    must(index < subs_count(vector));
    uint32_t before = subs_connected(vector);
    bool was = index < before;
    if (was == connected)
        return;
    count_node(vector, &subs_items(vector)[index], false, true, connected);
    swap(vector, index, connected ? before : before - 1);
    add_connected(vector, connected ? 1 : -1);
}
