// visit.c - a subscriber that comes for the retained messages, gets each of them, and goes.
#include "bench/visit.h"

#include "bench/worker.h"

static uint32_t
retained_count(const struct client *c)
{
    const struct shape *shape = &c->worker->run->shape;
    return shape->clients[ROLE_PUBLISHER] * shape->topics;
}

static size_t
seen_bytes(const struct client *c)
{
    return ((size_t)retained_count(c) / 64 + 1) * sizeof(uint64_t);
}

void
visit_free(struct visit *v)
{
    mem_free(v->seen);
    *v = (struct visit){0};
}

void
visit_begin(struct client *c)
{
    struct visit *v = &c->visit;
    must(!v->open && c->role == ROLE_COMER);
    if (v->seen == NULL)
        v->seen = mem_alloc(seen_bytes(c));
    memset(v->seen, 0, seen_bytes(c));
    *v = (struct visit){.seen = v->seen, .open = true, .moved_us = c->worker->now_us};
    counter_add(&c->worker->counters.expected, retained_count(c));
}

// Something may come twice: the answer to PINGREQ comes behind it.
void
visit_ask(struct client *c)
{
    struct visit *v = &c->visit;
    bool all = v->seen_count == retained_count(c) && v->flows == 0;
    if (!v->open || !all || c->state != CLIENT_READY || v->asked)
        return;
    struct worker *w = c->worker;
    if (worker_measures(w, c->started_us))
        histogram_record(&w->come_latency, w->now_us - min_u64(c->started_us, w->now_us));
    wire_put_pingreq(client_out(c));
    v->asked = true;
}

void
visit_on_message(struct client *c, const struct message *message, bool retain)
{
    struct visit *v = &c->visit;
    struct counters *counters = &c->worker->counters;
    const struct shape *shape = &c->worker->run->shape;
    v->moved_us = c->worker->now_us;
    if (!retain || message->publisher >= shape->clients[ROLE_PUBLISHER] ||
        message->seq >= shape->topics) {
        counter_add(&counters->stray, 1);
        return;
    }
    uint32_t number = message->publisher * shape->topics + (uint32_t)message->seq;
    uint64_t *word = &v->seen[number / 64], bit = 1ull << number % 64;
    if ((*word & bit) != 0) {
        counter_add(&counters->visit_duplicates, 1);
        return;
    }
    *word |= bit;
    v->seen_count++;
    counter_add(&counters->delivered, 1);
}

void
visit_end(struct client *c)
{
    struct visit *v = &c->visit;
    if (!v->open)
        return;
    uint32_t missing = retained_count(c) - v->seen_count;
    v->open = false;
    counter_add(&c->worker->counters.visit_missing, missing);
    counter_sub(&c->worker->counters.expected, missing);
}

void
visit_on_pingresp(struct client *c)
{
    if (!c->visit.asked || c->state != CLIENT_READY)
        return;
    visit_end(c);
    counter_add(&c->worker->counters.came, 1);
    client_leave(c);
}

void
visit_look(struct client *c)
{
    struct visit *v = &c->visit;
    if (!v->open || c->state != CLIENT_READY || v->moved_us + VISIT_QUIET_US > c->worker->now_us)
        return;
    if (v->asked) {
        client_lose(c, "no PINGRESP");
        return;
    }
    visit_end(c);
    client_leave(c);
}
