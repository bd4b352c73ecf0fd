// groups.c - the share groups of our clients, by the numbers that other nodes say.
#include "cluster/groups.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#define SIZE_MIN 16u
#define IDS      ((1u << GROUP_ID_BITS) - GROUP_FIRST)

// The same in all lives of a node.
static const struct hash_key shared_key = {UINT64_C(0x7465726e67), 1};

_Static_assert(GROUPS_MAX <= IDS / 2 + 1, "a free number is near");

// Numbers are spread already: that of a group's name is its place, or just before it.
static uint32_t
place_of(const struct groups *groups, uint32_t id)
{
    uint32_t mask = groups->size - 1, i = id & mask;
    while (groups->table[i].id != 0 && groups->table[i].id != id)
        i = (i + 1) & mask;
    return i;
}

void
groups_free(struct groups *groups)
{
    for (uint32_t i = 0; i < groups->size; i++)
        mem_free(groups->table[i].key);
    mem_free(groups->table);
    *groups = (struct groups){0};
}

static void
grow(struct groups *groups)
{
    struct groups old = *groups;
    if ((old.count + 1) * 2 <= old.size)
        return;
    groups->size = max_u32(SIZE_MIN, old.size * 2);
    groups->table = mem_zalloc(groups->size * sizeof groups->table[0]);
    for (uint32_t i = 0; i < old.size; i++)
        if (old.table[i].id != 0)
            groups->table[place_of(groups, old.table[i].id)] = old.table[i];
    mem_free(old.table);
}

uint32_t
groups_add(struct groups *groups, struct slice key)
{
    must(key.len > 1);
    if (groups->count >= GROUPS_MAX)
        return 0;
    grow(groups);
    uint32_t number = (uint32_t)(hash_bytes(&shared_key, key.data, key.len) % IDS);
    uint32_t place = place_of(groups, GROUP_FIRST + number);
    while (groups->table[place].id != 0) { // another group's
        number = (number + 1) % IDS;
        place = place_of(groups, GROUP_FIRST + number);
    }
    char *text = mem_alloc(key.len + 1u);
    memcpy(text, key.data, key.len);
    text[key.len] = '\0';
    groups->table[place] = (struct group_name){GROUP_FIRST + number, text, key.len};
    groups->count++;
    must(GROUP_ID(GROUP_FIRST + number) == GROUP_FIRST + number);
    return GROUP_FIRST + number;
}

void
groups_remove(struct groups *groups, uint32_t id)
{
    must(id >= GROUP_FIRST && groups->count > 0);
    uint32_t mask = groups->size - 1, gap = place_of(groups, id);
    must(groups->table[gap].id == id);
    mem_free(groups->table[gap].key);
    // What stands behind the gap moves up if it would be looked for from the gap or before.
    for (uint32_t i = (gap + 1) & mask; groups->table[i].id != 0; i = (i + 1) & mask) {
        if (((i - groups->table[i].id) & mask) < ((i - gap) & mask))
            continue;
        groups->table[gap] = groups->table[i];
        gap = i;
    }
    groups->table[gap] = (struct group_name){0};
    groups->count--;
}

const char *
groups_find(const struct groups *groups, uint32_t id, uint32_t *ret_len)
{
    if (id < GROUP_FIRST || groups->size == 0)
        return NULL;
    const struct group_name *name = &groups->table[place_of(groups, id)];
    *ret_len = name->key_len;
    return name->key;
}
