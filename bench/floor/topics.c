// topics.c - which connections want which topic.
#include "bench/floor/topics.h"

#include "core/base/mem.h"

struct topics *
topics_new(void)
{
    return mem_zalloc(sizeof(struct topics));
}

void
topics_add(struct topics *topics, uint32_t number, struct conn *conn, struct topics_wanted *wanted,
           uint32_t relay)
{
    must(number <= TOPICS_ALL && relay < 8);
    struct members *members = &topics->of[number];
    members->list =
        mem_grow(members->list, &members->cap, members->count + 1, sizeof(struct conn *));
    members->list[members->count++] = conn;
    atomic_fetch_or(&wanted->by[number], (uint8_t)(1u << relay));
}

void
topics_remove(struct topics *topics, uint32_t number, const struct conn *conn,
              struct topics_wanted *wanted, uint32_t relay)
{
    must(number <= TOPICS_ALL && relay < 8);
    struct members *members = &topics->of[number];
    uint32_t i = 0;
    while (i < members->count && members->list[i] != conn)
        i++;
    must(i < members->count);
    members->list[i] = members->list[--members->count];
    if (members->count > 0)
        return;
    atomic_fetch_and(&wanted->by[number], (uint8_t) ~(1u << relay));
    mem_free(members->list);
    *members = (struct members){0};
}
