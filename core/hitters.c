// hitters.c - the busiest topics of a stream, counted in bounded memory.
#include "core/hitters.h"

#include "core/base/mem.h"

#define HITTERS_MAGIC 0x48495453u
#define CHAINS        1024u
#define NONE          UINT16_MAX

struct counter {
    uint64_t weight, over, messages, bytes, hash;
    uint8_t *topic;
    uint16_t len, next; // next: of its chain
    uint16_t place;     // in the heap
};

// Counters are found by chains of equal hashes, and the lightest one by a heap.
struct hitters {
    uint32_t magic;
    uint32_t count;
    struct hash_key key;
    uint64_t total;
    struct counter counters[HITTERS];
    uint16_t heap[HITTERS]; // of counters; none weighs less than the one at half its place
    uint16_t chains[CHAINS];
};

_Static_assert(sizeof(struct hitters) + (size_t)HITTERS * HITTERS_TOPIC_MAX <= HITTERS_BYTES_MAX,
               "what is counted is no less than it takes");

struct hitters *
hitters_new(const struct hash_key *key)
{
    struct hitters *hitters = mem_zalloc(sizeof *hitters);
    hitters->magic = HITTERS_MAGIC;
    hitters->key = *key;
    memset(hitters->chains, 0xff, sizeof hitters->chains);
    return hitters;
}

void
hitters_free(struct hitters *hitters)
{
    if (!hitters)
        return;
    must(hitters->magic == HITTERS_MAGIC);
    for (uint32_t i = 0; i < hitters->count; i++)
        mem_free(hitters->counters[i].topic);
    hitters->magic = 0;
    mem_free(hitters);
}

static uint64_t
weight_at(const struct hitters *hitters, uint32_t place)
{
    must_hot(place < hitters->count);
    return hitters->counters[hitters->heap[place]].weight;
}

static void
put(struct hitters *hitters, uint32_t place, uint16_t counter)
{
    hitters->heap[place] = counter;
    hitters->counters[counter].place = (uint16_t)place;
}

// The counter has become heavier.
static void
sink(struct hitters *hitters, uint32_t place)
{
    const uint16_t counter = hitters->heap[place];
    const uint64_t weight = hitters->counters[counter].weight;
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < hitters->count && weight_at(hitters, child + 1) < weight_at(hitters, child))
            child++;
        if (child >= hitters->count || weight_at(hitters, child) >= weight)
            break;
        put(hitters, place, hitters->heap[child]);
        place = child;
    }
    put(hitters, place, counter);
}

// A new one, which weighs nothing: all above it may be heavier.
static void
rise(struct hitters *hitters, uint32_t place)
{
    const uint16_t counter = hitters->heap[place];
    must(hitters->counters[counter].weight == 0);
    for (; place > 0 && weight_at(hitters, (place - 1) / 2) > 0; place = (place - 1) / 2)
        put(hitters, place, hitters->heap[(place - 1) / 2]);
    put(hitters, place, counter);
}

static uint16_t
find(const struct hitters *hitters, struct slice topic, uint64_t hash)
{
    uint16_t at = hitters->chains[hash % CHAINS];
    for (; at != NONE; at = hitters->counters[at].next) {
        const struct counter *counter = &hitters->counters[at];
        if (counter->hash == hash && slice_equal(slice_of(counter->topic, counter->len), topic))
            return at;
    }
    return NONE;
}

static void
unchain(struct hitters *hitters, uint16_t counter)
{
    uint16_t *at = &hitters->chains[hitters->counters[counter].hash % CHAINS];
    while (*at != counter) {
        must(*at != NONE);
        at = &hitters->counters[*at].next;
    }
    *at = hitters->counters[counter].next;
}

static uint16_t
take_counter(struct hitters *hitters, struct slice topic, uint64_t hash)
{
    uint16_t at = (uint16_t)hitters->count;
    struct counter *counter = &hitters->counters[at];
    if (hitters->count < HITTERS) {
        put(hitters, hitters->count++, at);
        rise(hitters, counter->place);
    } else { // the lightest gives way
        at = hitters->heap[0];
        counter = &hitters->counters[at];
        unchain(hitters, at);
        mem_free(counter->topic);
        counter->over = counter->weight;
        counter->messages = counter->bytes = 0;
    }
    counter->topic = topic.len > 0 ? mem_alloc(topic.len) : NULL;
    if (topic.len > 0)
        memcpy(counter->topic, topic.data, topic.len);
    counter->len = (uint16_t)topic.len;
    counter->hash = hash;
    counter->next = hitters->chains[hash % CHAINS];
    hitters->chains[hash % CHAINS] = at;
    return at;
}

void
hitters_add(struct hitters *hitters, struct slice topic, uint64_t weight, uint64_t messages,
            uint64_t bytes)
{
    must_hot(hitters->magic == HITTERS_MAGIC);
    topic.len = min_u32(topic.len, HITTERS_TOPIC_MAX);
    uint64_t hash = hash_bytes(&hitters->key, topic.data, topic.len);
    uint16_t at = find(hitters, topic, hash);
    if (at == NONE)
        at = take_counter(hitters, topic, hash);
    struct counter *counter = &hitters->counters[at];
    counter->weight += weight;
    counter->messages += messages;
    counter->bytes += bytes;
    hitters->total += weight;
    sink(hitters, counter->place);
}

uint64_t
hitters_total(const struct hitters *hitters)
{
    must(hitters->magic == HITTERS_MAGIC);
    return hitters->total;
}

bool
hitters_at(const struct hitters *hitters, uint32_t place, struct hitter *ret)
{
    must(hitters->magic == HITTERS_MAGIC);
    if (place >= hitters->count)
        return false;
    const struct counter *counter = &hitters->counters[place];
    *ret = (struct hitter){
        .topic = slice_of(counter->topic, counter->len),
        .weight = counter->weight,
        .over = counter->over,
        .messages = counter->messages,
        .bytes = counter->bytes,
    };
    return true;
}
