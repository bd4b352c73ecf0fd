// test_cluster_home.c - homes are even, agreed, and move no more than they must.
#include <criterion/criterion.h>
#include <stdio.h>

#include "cluster/home.h"

#define MEMBERS 10u
#define CLIENTS 20000u

static const struct hash_key key = {123, 456};

static struct gossip_uuid
uuid_of(uint32_t i)
{
    return (struct gossip_uuid){{(uint8_t)i, 7, (uint8_t)(i * 31)}};
}

static struct gossip_uuid
find(const struct home_table *table, uint32_t client, struct gossip_uuid *ret_second)
{
    char id[32];
    int len = snprintf(id, sizeof id, "client-%u", client);
    struct gossip_uuid home = {{255}};
    cr_assert(home_find(table, slice_of(id, (size_t)len), &home, ret_second));
    return home;
}

Test(cluster_home, even_agreed_and_stable)
{
    struct home_table all = {0}, reversed = {0}, without = {0};
    uint32_t clients[MEMBERS] = {0}, moved = 0;
    home_clear(&all, &key);
    home_clear(&reversed, &key);
    home_clear(&without, &key);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct gossip_uuid forth = uuid_of(i), back = uuid_of(MEMBERS - 1 - i);
        home_add(&all, &forth);
        home_add(&reversed, &back);
        if (i != 3)
            home_add(&without, &forth);
    }
    for (uint32_t c = 0; c < CLIENTS; c++) {
        struct gossip_uuid second, home = find(&all, c, &second), other = find(&reversed, c, NULL);
        cr_assert(gossip_uuid_equal(&home, &other));
        cr_assert_not(gossip_uuid_equal(&home, &second));
        clients[home.bytes[0]]++;
        other = find(&without, c, NULL);
        if (home.bytes[0] == 3) {
            cr_assert(gossip_uuid_equal(&other, &second)); // who has the copy takes over
            moved++;
        } else {
            cr_assert(gossip_uuid_equal(&home, &other));
        }
    }
    cr_assert_eq(moved, clients[3]);
    for (uint32_t i = 0; i < MEMBERS; i++) // six standard deviations
        cr_assert(clients[i] > 2000 - 255 && clients[i] < 2000 + 255, "%u", clients[i]);
    home_free(&all);
    home_free(&reversed);
    home_free(&without);
}

Test(cluster_home, nobody_and_one)
{
    struct home_table table = {0};
    struct gossip_uuid home, second = {{99}}, only = uuid_of(5);
    home_clear(&table, &key);
    cr_assert_not(home_find(&table, slice_str("c"), &home, &second));
    home_add(&table, &only);
    cr_assert(home_find(&table, slice_str(""), &home, &second));
    cr_assert(gossip_uuid_equal(&home, &only));
    cr_assert_eq(second.bytes[0], 99);
    home_free(&table);
}

Test(cluster_home, who_is_gone_for_less_than_ten_minutes_keeps_its_clients)
{
    struct gossip_view view = {.state = GOSSIP_DEAD, .state_ms = HOME_KEPT_MS - 1};
    cr_assert(home_declared(&view));
    view.state = GOSSIP_LEFT;
    cr_assert(home_declared(&view));
    view.state_ms = HOME_KEPT_MS;
    cr_assert_not(home_declared(&view));
    view.state = GOSSIP_ALIVE;
    cr_assert(home_declared(&view));
}
