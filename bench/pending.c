// pending.c - the packet identifiers that one publisher has in use.
#include "bench/pending.h"

#include <stdlib.h>

#include "core/base/mem.h"

void
pending_init(struct pending *p, uint32_t id_max, bool remember)
{
    must(p->states == NULL && id_max > 0 && id_max <= UINT16_MAX);
    *p = (struct pending){.id_max = id_max, .states = mem_zalloc(id_max + 1)};
    if (remember)
        p->sent = mem_zalloc((id_max + 1) * sizeof *p->sent);
}

void
pending_free(struct pending *p)
{
    mem_free(p->states);
    mem_free(p->sent);
    *p = (struct pending){0};
}

static int
compare_seq(const void *a, const void *b, void *sent)
{
    const struct pending_sent *by_id = sent;
    uint64_t left = by_id[*(const uint16_t *)a].seq, right = by_id[*(const uint16_t *)b].seq;
    return (left > right) - (left < right);
}

void
pending_in_order(const struct pending *p, uint16_t *ret_ids)
{
    must(p->sent != NULL || p->open == 0);
    uint32_t count = 0;
    for (uint32_t id = 1; id <= p->id_max && count < p->open; id++) {
        if (p->states[id] != PENDING_FREE)
            ret_ids[count++] = (uint16_t)id;
    }
    must(count == p->open);
    if (count > 1)
        qsort_r(ret_ids, count, sizeof *ret_ids, compare_seq, p->sent);
}
