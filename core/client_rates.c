// client_rates.c - messages and bytes a second, from and to one client.
#include "core/client_rates.h"

#include "core/base/mem.h"

#include "core/client.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/timers.h"

static const struct listener_config *
listener_of(const struct client *client)
{
    return &client->shard->config->listeners[client->listener_index];
}

void
client_rates_begin(struct client *client)
{
    const struct listener_config *listener = listener_of(client);
    must(client->magic == CLIENT_MAGIC && client->state == CLIENT_CONNECTED && !client->rates);
    if (likely(!listener->messages_in_rate && !listener->bytes_in_rate &&
               !listener->messages_out_rate && !listener->bytes_out_rate))
        return;
    uint64_t now_ms = client->shard->now_ms;
    struct client_rates *rates = mem_zalloc(sizeof *rates);
    rates->client = client;
    timer_init(&rates->timer, TIMER_RATES);
    bucket_init(&rates->messages_in, listener->messages_in_rate, now_ms);
    bucket_init(&rates->bytes_in, listener->bytes_in_rate, now_ms);
    bucket_init(&rates->messages_out, listener->messages_out_rate, now_ms);
    bucket_init(&rates->bytes_out, listener->bytes_out_rate, now_ms);
    client->rates = rates;
}

static void
free_held(struct client_rates *rates)
{
    must(rates->client->shard->in_bytes >= rates->held_len);
    rates->client->shard->in_bytes -= rates->held_len;
    mem_free(rates->held);
    rates->held = NULL;
    rates->held_len = rates->held_cap = 0;
}

void
client_rates_free(struct client *client)
{
    struct client_rates *rates = client->rates;
    if (!rates)
        return;
    must(rates->client == client);
    wheel_disarm(client->shard->wheel, &rates->timer);
    free_held(rates);
    mem_free(rates);
    client->rates = NULL;
}

static void
arm(struct client_rates *rates)
{
    struct wheel *wheel = rates->client->shard->wheel;
    uint64_t due = rates->in_due_ms ? rates->in_due_ms : UINT64_MAX;
    due = min_u64(due, rates->out_due_ms ? rates->out_due_ms : UINT64_MAX);
    if (due == UINT64_MAX)
        wheel_disarm(wheel, &rates->timer);
    else
        wheel_arm(wheel, &rates->timer, due);
}

// 0: both have tokens; else when they will (monotonic ms). A rate of 0 is no limit.
static uint64_t
due_of(const struct client_rates *rates, struct bucket *messages, uint64_t message_rate,
       struct bucket *bytes, uint64_t byte_rate)
{
    uint64_t now_ms = rates->client->shard->now_ms, wait_ms = 0;
    if (!bucket_ready(messages, message_rate, now_ms))
        wait_ms = bucket_wait_ms(messages, message_rate);
    if (!bucket_ready(bytes, byte_rate, now_ms))
        wait_ms = max_u64(wait_ms, bucket_wait_ms(bytes, byte_rate));
    return wait_ms ? now_ms + wait_ms : 0;
}

// ---- In -----------------------------------------------------------------------------------------

static bool
may_read(struct client_rates *rates)
{
    const struct listener_config *listener = listener_of(rates->client);
    rates->in_due_ms = due_of(rates, &rates->messages_in, listener->messages_in_rate,
                              &rates->bytes_in, listener->bytes_in_rate);
    return rates->in_due_ms == 0;
}

// The first packet of data, without what is behind it: a run of publications is taken in one go.
static struct slice
one_packet(const struct client *client, struct slice data)
{
    struct frame frame;
    if (client->in_len > 0 || codec_frame(data, UINT32_MAX, &frame) != OK)
        return data; // its first part is kept, or this is all there is of it
    return slice_of(data.data, frame.total);
}

// Takes packets while there are tokens, or all. Returns what is left.
static struct slice
take(struct client *client, struct slice data, bool all)
{
    struct client_rates *rates = client->rates;
    const struct listener_config *listener = listener_of(client);
    const struct listener_stats *counts = client->counts;
    while (data.len > 0 && client->state != CLIENT_CLOSING && (all || may_read(rates))) {
        uint64_t before = stat_get(&counts->publish_received);
        uint32_t taken = client_take_packet(client, one_packet(client, data));
        data = slice_of(data.data + taken, data.len - taken);
        if (unlikely(client->suspended)) {
            // It will come again, and count then. What is behind it waits where it does, in order.
            if (data.len > 0)
                client_on_bytes(client, data.data, data.len);
            return slice_of(NULL, 0);
        }
        bucket_take(&rates->bytes_in, listener->bytes_in_rate, taken);
        bucket_take(&rates->messages_in, listener->messages_in_rate,
                    stat_get(&counts->publish_received) - before);
    }
    return client->state == CLIENT_CLOSING ? slice_of(NULL, 0) : data;
}

static void
hold(struct client *client, struct slice data)
{
    struct client_rates *rates = client->rates;
    must(data.len > 0 && client->state != CLIENT_CLOSING);
    rates->held = mem_grow(rates->held, &rates->held_cap, rates->held_len + data.len, 1);
    memcpy(rates->held + rates->held_len, data.data, data.len);
    rates->held_len += data.len;
    client->shard->in_bytes += data.len;
}

static void
pause_reading(struct client *client)
{
    if (client->rate_paused)
        return;
    client->rate_paused = true;
    client->read_paused = true;
    stat_add(&client->shard->stats.rate_pauses_in, 1);
    client_mark_dirty(client);
}

void
client_rates_input(struct client *client, struct slice data)
{
    struct client_rates *rates = client->rates;
    must(rates && rates->client == client && !client->suspended);
    if (client->state == CLIENT_CLOSING)
        return;
    // Reading stops a moment after it was asked to: until then what comes is put behind.
    if (rates->held_len == 0)
        data = take(client, data, false);
    if (data.len > 0)
        hold(client, data);
    // Also where the last packet was just taken and made a debt: no more is fetched to be held.
    if (client->state == CLIENT_CLOSING || (rates->held_len == 0 && may_read(rates)))
        return;
    pause_reading(client);
    arm(rates);
}

// What is held goes on as far as it may.
static void
go_on_reading(struct client_rates *rates, bool all)
{
    struct client *client = rates->client;
    // A packet may end the client, which must not find the buffer that it stands in.
    uint8_t *held = rates->held;
    struct slice data = slice_of(held, rates->held_len);
    client->shard->in_bytes -= data.len;
    rates->held = NULL;
    rates->held_len = rates->held_cap = 0;
    struct slice rest = take(client, data, all);
    if (rest.len > 0)
        hold(client, rest);
    mem_free(held);
    if (client->state == CLIENT_CLOSING || rates->held_len > 0 || !may_read(rates))
        return;
    client->rate_paused = false;
    client_check_pause(client);
}

void
client_rates_finish(struct client *client)
{
    if (client->rates && client->state == CLIENT_CONNECTED && client->rates->held_len > 0)
        go_on_reading(client->rates, true);
}

// ---- Out ----------------------------------------------------------------------------------------

bool
client_rates_may_send(struct client *client)
{
    struct client_rates *rates = client->rates;
    const struct listener_config *listener = listener_of(client);
    uint64_t due = due_of(rates, &rates->messages_out, listener->messages_out_rate,
                          &rates->bytes_out, listener->bytes_out_rate);
    if (likely(due == 0)) {
        rates->out_due_ms = 0;
        return true;
    }
    if (rates->out_due_ms == 0) {
        stat_add(&client->shard->stats.rate_pauses_out, 1);
        rates->out_due_ms = due;
        arm(rates);
    }
    return false;
}

void
client_rates_sent(struct client *client, uint32_t bytes)
{
    struct client_rates *rates = client->rates;
    const struct listener_config *listener = listener_of(client);
    bucket_take(&rates->messages_out, listener->messages_out_rate, 1);
    bucket_take(&rates->bytes_out, listener->bytes_out_rate, bytes);
}

void
client_rates_on_timer(struct client_rates *rates)
{
    struct client *client = rates->client;
    uint64_t now_ms = client->shard->now_ms;
    must(client->magic == CLIENT_MAGIC && client->rates == rates);
    if (client->state != CLIENT_CONNECTED)
        return;
    if (rates->in_due_ms && rates->in_due_ms <= now_ms)
        go_on_reading(rates, false);
    if (rates->out_due_ms && rates->out_due_ms <= now_ms) {
        rates->out_due_ms = 0;
        if (client->session)
            session_continue(client->session);
    }
    arm(rates);
}
