// case_mailbox.c - what a record through the byte queue between two workers costs, both ends on one
// thread: the instructions alone, without traffic between cores.
#include "core/base/spsc.h"

#include "bench/micro/cases.h"

#define RING 4096u // so small that records often wrap around

struct mailbox_param {
    uint32_t bytes, batch;
};

static void
pass(struct spsc *q, const struct mailbox_param *param)
{
    static const uint8_t payload[1024] = {1};
    struct spsc_record record;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < param->batch; i++) {
        void *room = spsc_reserve(q, 1, param->bytes);
        must(room != NULL);
        memcpy(room, payload, param->bytes);
    }
    meter_consume(spsc_publish(q));
    while (spsc_take(q, &record))
        taken += record.data[0];
    spsc_release(q);
    must(taken == param->batch);
}

static void
mailbox(struct meter *meter, const void *arg)
{
    const struct mailbox_param *param = arg;
    struct spsc *q = spsc_new(RING);
    for (uint32_t i = 0; i < 100; i++)
        pass(q, param);
    meter_warm(meter);
    meter_begin(meter);
    for (uint32_t i = 0; i < meter->rounds; i++)
        pass(q, param);
    meter_end(meter);
    meter->operations = (uint64_t)meter->rounds * param->batch;
    spsc_free(q);
}

static const struct mailbox_param one = {100, 1}, batch = {100, 16}, large = {900, 2};

static const struct micro_case items[] = {
    {.name = "mailbox_100_bytes_batch_1", .run = mailbox, .param = &one, .rounds = 20000},
    {.name = "mailbox_100_bytes_batch_16", .run = mailbox, .param = &batch, .rounds = 2000},
    {.name = "mailbox_900_bytes_batch_2", .run = mailbox, .param = &large, .rounds = 10000},
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
