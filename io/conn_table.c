// conn_table.c - slots for connections, and generations that tell their users apart.
#include "core/base/mem.h"

#include "io/conn.h"

#define GENERATION_BITS 24
_Static_assert(GENERATION_BITS + 32 == 56, "a token is less than IO_TOKEN_END");

struct conns *
conns_new(struct backend *io, struct shard *shard, struct wheel *wheel,
          const struct listen_set *listeners)
{
    struct conns *conns = mem_zalloc(sizeof *conns);
    conns->io = io;
    conns->shard = shard;
    conns->wheel = wheel;
    conns->listeners = listeners;
    list_init(&conns->free);
    list_init(&conns->doomed);
    list_init(&conns->wire_ready);
    list_init(&conns->shaking);
    list_init(&conns->pending);
    return conns;
}

void
conns_free(struct conns *conns)
{
    if (!conns)
        return;
    must(conns->open == 0);
    for (uint32_t i = 0; i < conns->slots / CONN_CHUNK; i++)
        mem_free(conns->chunks[i]);
    mem_free(conns->chunks);
    mem_free(conns->plain);
    mem_free(conns);
}

// Chunks do not move: the core holds pointers into them.
static void
add_chunk(struct conns *conns)
{
    uint32_t chunk = conns->slots / CONN_CHUNK;
    must(conns->slots + CONN_CHUNK <= CONN_SLOTS_MAX);
    conns->chunks = mem_grow(conns->chunks, &conns->chunk_cap, chunk + 1, sizeof(void *));
    struct conn *first = mem_alloc_aligned(CACHE_LINE, CONN_CHUNK * sizeof *first);
    conns->chunks[chunk] = first;
    for (uint32_t i = 0; i < CONN_CHUNK; i++) {
        first[i].magic = CONN_MAGIC;
        first[i].token = conns->shard->index << IO_LANE_SHIFT | (conns->slots + i);
        first[i].fd = -1;
        timer_init(&first[i].timer, TIMER_CONN);
        list_push(&conns->free, &first[i].node);
    }
    conns->slots += CONN_CHUNK;
}

struct conn *
conn_alloc(struct conns *conns, int fd, uint32_t listener, uint64_t accepted_ms)
{
    must(fd >= 0);
    if (list_empty(&conns->free))
        add_chunk(conns);
    struct conn *conn = container_of(list_pop(&conns->free), struct conn, node);
    must(conn->magic == CONN_MAGIC && conn->state == CONN_FREE && conn->fd == -1);
    conn->fd = fd;
    conn->listener = listener;
    conn->accepted_ms = accepted_ms;
    conns->open++;
    return conn;
}

void
conn_next_generation(struct conn *conn)
{
    uint64_t generation = (conn->token >> 32) + 1;
    conn->token = (generation & ((1u << GENERATION_BITS) - 1)) << 32 | (uint32_t)conn->token;
}

void
conn_release(struct conns *conns, struct conn *conn)
{
    must(conn->state != CONN_FREE && !conn->in_flight && conns->open > 0);
    wheel_disarm(conns->wheel, &conn->timer);
    conn_pre_free(conn);
    filter_free(conn->filter, &conns->shard->pool);
    conn->filter = NULL;
    conn->state = CONN_FREE;
    conn->fd = -1;
    conn->receiving = conn->stopping = conn->resumed = conn->ended = false;
    conn->polling = conn->rearm = false;
    conn->address_place = 0;
    conns->open--;
    // At the head: the slot used last is the one that is still in the cache.
    list_push(conns->free.next, &conn->node);
}
