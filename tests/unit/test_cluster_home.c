// test_cluster_home.c - homes are even, agreed, and move no more than they must.
#include <criterion/criterion.h>
#include <stdio.h>

#include "cluster/home.h"

#define MEMBERS 10u
#define CLIENTS 20000u

static struct gossip_uuid
uuid_of(uint32_t i)
{
    return (struct gossip_uuid){{(uint8_t)i, 7, (uint8_t)(i * 31)}};
}

// The member with this rank.
static uint32_t
find(const struct gossip_uuid *members, uint32_t count, uint32_t client, uint32_t rank)
{
    char id[32];
    uint32_t found = UINT32_MAX;
    int len = snprintf(id, sizeof id, "client-%u", client);
    for (uint32_t i = 0; i < count; i++) {
        if (home_rank(members, count, &members[i], slice_of(id, (size_t)len)) != rank)
            continue;
        cr_assert_eq(found, UINT32_MAX, "one of each rank");
        found = members[i].bytes[0];
    }
    cr_assert_neq(found, UINT32_MAX);
    return found;
}

Test(cluster_home, even_agreed_and_stable)
{
    struct gossip_uuid all[MEMBERS], reversed[MEMBERS], without[MEMBERS - 1];
    uint32_t clients[MEMBERS] = {0}, moved = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        all[i] = uuid_of(i);
        reversed[i] = uuid_of(MEMBERS - 1 - i);
        if (i != 3)
            without[i < 3 ? i : i - 1] = uuid_of(i);
    }
    for (uint32_t c = 0; c < CLIENTS; c++) {
        uint32_t home = find(all, MEMBERS, c, 0), second = find(all, MEMBERS, c, 1);
        cr_assert_eq(find(reversed, MEMBERS, c, 0), home);
        clients[home]++;
        moved += home == 3;
        // Who comes second takes over.
        cr_assert_eq(find(without, MEMBERS - 1, c, 0), home == 3 ? second : home);
    }
    cr_assert_eq(moved, clients[3]);
    for (uint32_t i = 0; i < MEMBERS; i++) // six standard deviations
        cr_assert(clients[i] > 2000 - 255 && clients[i] < 2000 + 255, "%u", clients[i]);
}

Test(cluster_home, who_is_alone_is_chosen)
{
    struct gossip_uuid only = uuid_of(5);
    cr_assert_eq(home_rank(&only, 1, &only, slice_str("")), 0);
}
