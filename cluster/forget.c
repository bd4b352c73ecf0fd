// forget.c - nodes that are said to be gone for good, though they cannot say it themselves.
//
// The word goes as if the node had said it itself after a decommission: it has left, and nothing
// can wait for it. So nodes of earlier versions understand it as well, and the rest is done where
// that is done (gone.c, wills.c, turn.c). It is about an incarnation: a node that comes back after
// all has a later one, and is like any other.
#include "cluster/forget.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include "cluster/about.h"
#include "cluster/wire_int.h"
#include "core/journal.h"
#include "core/record.h"
#include "core/retained.h"
#include "core/shard.h"

#define FORGET_WAIT_MS 10000u // then ternmqctl is told that it is not done yet
#define LOOK_NS        5000000L
#define NOTES_MAX      CLUSTER_NODES_MAX // gossip knows no more others
#define NOTE_HEAD      40u
#define NOTE_MAX       (NOTE_HEAD + GOSSIP_NAME_MAX + GOSSIP_META_MAX)
// Of a node of which nobody has heard since it died: an address that is nobody's [RFC 6666], with
// the port of discard.
#define NOWHERE              \
    {                        \
        .ip = {1}, .port = 9 \
    }

struct note {
    struct gossip_uuid uuid;
    uint64_t incarnation, wall_ms;
    uint32_t version;
    struct gossip_address address;
    uint8_t name_len, meta_len;
    char name[GOSSIP_NAME_MAX];
    uint8_t meta[GOSSIP_META_MAX];
    bool recalled; // of an earlier life of ours: gossip is to be told
    bool unsaved;  // the store has it otherwise
    bool over;     // it is to go: the node is back, or a day has passed
};

enum order {
    ORDER_NONE,
    ORDER_ASKED,
    ORDER_GIVEN, // to gossip
    ORDER_TOLD,  // by gossip, to all
    ORDER_SAVED, // it is safe with the journal's position
    ORDER_DONE,
    ORDER_REFUSED,
};

struct forget {
    pthread_mutex_t mutex; // of all but what is atomic
    enum order order;      // ternmqctl's, one at a time
    struct gossip_uuid wanted;
    uint64_t position; // SAVED: safe, once the journal of shard 0 is
    struct note notes[NOTES_MAX];
    uint32_t count;
    struct note told; // what the event borrows; the agent's
    _Atomic uint32_t kept;
    _Atomic bool news; // for shard 0
};

struct forget *
forget_new(void)
{
    struct forget *forget = mem_zalloc(sizeof *forget);
    pthread_mutex_init(&forget->mutex, NULL);
    return forget;
}

void
forget_free(struct forget *forget)
{
    if (!forget)
        return;
    must(forget->count <= NOTES_MAX);
    pthread_mutex_destroy(&forget->mutex);
    mem_free(forget);
}

bool
forget_has_some(const struct nodes *nodes)
{
    return atomic_load_explicit(&nodes->forget->kept, memory_order_relaxed) > 0;
}

static uint64_t
wall_now_ms(const struct nodes *nodes)
{
    return clock_mono_ms() + broker_wall_offset(nodes->broker);
}

// ---- Notes: with the mutex ----------------------------------------------------------------------

static struct note *
find_note(struct forget *forget, const struct gossip_uuid *uuid)
{
    must(forget->count <= NOTES_MAX);
    for (uint32_t i = 0; i < forget->count; i++)
        if (gossip_uuid_equal(&forget->notes[i].uuid, uuid))
            return &forget->notes[i];
    return NULL;
}

// NULL: there is no room, so it holds until all nodes are down.
static struct note *
add_note(struct forget *forget, const struct gossip_uuid *uuid)
{
    if (forget->count == NOTES_MAX)
        return NULL;
    struct note *note = &forget->notes[forget->count++];
    *note = (struct note){.uuid = *uuid};
    atomic_store(&forget->kept, forget->count);
    return note;
}

static void
set_texts(struct note *note, struct slice name, struct slice meta)
{
    must(name.len <= sizeof note->name && meta.len <= sizeof note->meta);
    note->name_len = (uint8_t)name.len;
    note->meta_len = (uint8_t)meta.len;
    if (name.len > 0)
        memcpy(note->name, name.data, name.len);
    if (meta.len > 0)
        memcpy(note->meta, meta.data, meta.len);
}

static void
end_note(struct forget *forget, struct note *note)
{
    must(note >= forget->notes && note < forget->notes + forget->count);
    note->over = note->unsaved = true;
    atomic_store(&forget->news, true);
}

// ---- The store ----------------------------------------------------------------------------------

static uint32_t
write_note(const struct note *note, uint8_t ret[NOTE_MAX])
{
    must(note->incarnation > 0 && note->version > 0 && note->name_len > 0);
    put_u64(ret, note->incarnation);
    put_u32(ret + 8, note->version);
    put_u64(ret + 12, note->wall_ms);
    memcpy(ret + 20, note->address.ip, sizeof note->address.ip);
    put_u16(ret + 36, note->address.port);
    ret[38] = note->name_len;
    memcpy(ret + 39, note->name, note->name_len);
    ret[39 + note->name_len] = note->meta_len;
    memcpy(ret + NOTE_HEAD + note->name_len, note->meta, note->meta_len);
    return NOTE_HEAD + note->name_len + note->meta_len;
}

// False: it is none of ours.
static bool
read_note(struct slice value, struct note *ret)
{
    const uint8_t *at = value.data;
    if (value.len < NOTE_HEAD || value.len > NOTE_MAX || at[38] > GOSSIP_NAME_MAX ||
        value.len < NOTE_HEAD + at[38] || value.len != NOTE_HEAD + at[38] + at[39 + at[38]])
        return false;
    ret->incarnation = get_u64(at);
    ret->version = get_u32(at + 8);
    ret->wall_ms = get_u64(at + 12);
    memcpy(ret->address.ip, at + 20, sizeof ret->address.ip);
    ret->address.port = (uint16_t)get_u16(at + 36);
    struct slice name = slice_of(at + 39, at[38]);
    struct slice meta = slice_of(at + NOTE_HEAD + name.len, value.len - NOTE_HEAD - name.len);
    if (meta.len > GOSSIP_META_MAX || !about_is_forgotten(meta) || !gossip_name_valid(name))
        return false;
    set_texts(ret, name, meta);
    return ret->incarnation > 0 && ret->version > 0 && ret->address.port != 0;
}

err_t
cluster_recall_gone(void *cluster, const struct record *setting)
{
    struct nodes *nodes = nodes_of(cluster);
    struct slice name = setting->msg.topic;
    char id[NODE_ID_LEN + 1] = "";
    struct note read = {.recalled = true};
    must(nodes->broker && slice_begins(name, CLUSTER_GONE));
    if (name.len != sizeof CLUSTER_GONE - 1 + NODE_ID_LEN)
        return OK;
    memcpy(id, name.data + sizeof CLUSTER_GONE - 1, NODE_ID_LEN);
    if (!uuid_read(id, &read.uuid) || strcmp(id, nodes->cluster.id) == 0 ||
        !read_note(setting->msg.payload, &read))
        return OK;
    pthread_mutex_lock(&nodes->forget->mutex);
    struct note *note = add_note(nodes->forget, &read.uuid);
    if (note)
        *note = read;
    pthread_mutex_unlock(&nodes->forget->mutex);
    return OK;
}

static void
save(struct shard *shard, const struct note *note)
{
    char name[sizeof CLUSTER_GONE + NODE_ID_LEN] = CLUSTER_GONE;
    uint8_t value[NOTE_MAX];
    must(note->unsaved && shard->index == 0);
    if (!journal_is_on(shard->journal))
        return;
    uuid_text(&note->uuid, name + sizeof CLUSTER_GONE - 1);
    uint32_t len = note->over ? 0 : write_note(note, value);
    uint64_t order = retained_take_order(shard->broker->retained);
    (void)journal_setting(shard->journal, slice_str(name), slice_of(value, len), order);
}

static void
save_all(struct forget *forget, struct shard *shard)
{
    for (uint32_t i = forget->count; i-- > 0;) {
        struct note *note = &forget->notes[i];
        if (note->unsaved)
            save(shard, note);
        note->unsaved = false;
        if (note->over)
            *note = forget->notes[--forget->count];
    }
    atomic_store(&forget->kept, forget->count);
}

void
forget_tick(struct nodes *nodes, struct shard *shard)
{
    struct forget *forget = nodes->forget;
    if (likely(!atomic_load_explicit(&forget->news, memory_order_relaxed)) || shard->index != 0)
        return;
    pthread_mutex_lock(&forget->mutex);
    save_all(forget, shard);
    if (forget->order == ORDER_TOLD) {
        forget->position = journal_is_on(shard->journal) ? journal_barrier(shard->journal) : 0;
        forget->order = ORDER_SAVED;
    } else if (forget->order == ORDER_SAVED && journal_safe(shard->journal) >= forget->position) {
        forget->order = ORDER_DONE;
    }
    atomic_store(&forget->news, forget->order == ORDER_SAVED);
    pthread_mutex_unlock(&forget->mutex);
}

// ---- Gossip -------------------------------------------------------------------------------------

// All that is said of it is said again, but for the flags. False: it lives.
static bool
note_wanted(struct nodes *nodes, const struct gossip *gossip, struct note *ret)
{
    const struct gossip_uuid *uuid = &nodes->forget->wanted;
    char id[NODE_ID_LEN + 1];
    uint8_t meta[GOSSIP_META_MAX];
    struct gossip_view view = {
        .uuid = *uuid, .incarnation = 1, .state = GOSSIP_LEFT, .address = NOWHERE};
    uuid_text(uuid, id);
    must(strcmp(id, nodes->cluster.id) != 0);
    if (!gossip_find(gossip, uuid, &view))
        view.name = slice_str(id);
    if ((view.state != GOSSIP_DEAD && view.state != GOSSIP_LEFT) || view.version == UINT32_MAX)
        return false;
    *ret = (struct note){.uuid = *uuid,
                         .incarnation = view.incarnation,
                         .version = view.version + 1,
                         .address = view.address};
    set_texts(ret, view.name, slice_of(meta, about_forget(view.meta, meta)));
    return true;
}

// With the mutex: one of an earlier life, of which gossip has not heard yet.
static bool
take_recalled(struct forget *forget, struct note *ret)
{
    for (uint32_t i = 0; i < forget->count; i++) {
        struct note *note = &forget->notes[i];
        if (!note->recalled || note->over)
            continue;
        note->recalled = false;
        *ret = *note;
        return true;
    }
    return false;
}

static void
end_old_notes(struct forget *forget, uint64_t wall_ms)
{
    for (uint32_t i = 0; i < forget->count; i++) {
        struct note *note = &forget->notes[i];
        must(note->incarnation > 0);
        if (!note->over && wall_ms > note->wall_ms && wall_ms - note->wall_ms >= GOSSIP_REMEMBER_MS)
            end_note(forget, note);
    }
}

bool
forget_next(struct nodes *nodes, const struct gossip *gossip, struct gossip_event *ret)
{
    struct forget *forget = nodes->forget;
    struct note *told = &forget->told;
    uint64_t wall_ms = wall_now_ms(nodes);
    pthread_mutex_lock(&forget->mutex);
    end_old_notes(forget, wall_ms);
    bool found = take_recalled(forget, told);
    if (!found && forget->order == ORDER_ASKED) {
        found = note_wanted(nodes, gossip, told);
        told->wall_ms = wall_ms;
        forget->order = found ? ORDER_GIVEN : ORDER_REFUSED;
    }
    pthread_mutex_unlock(&forget->mutex);
    if (atomic_load(&forget->news))
        broker_wake(nodes->broker, 0);
    if (!found)
        return false;
    must(told->name_len > 0 && told->meta_len > 0);
    *ret = (struct gossip_event){
        .kind = GOSSIP_FORGET,
        .uuid = told->uuid,
        .incarnation = told->incarnation,
        .version = told->version,
        .age_s = (uint32_t)((wall_ms - min_u64(wall_ms, told->wall_ms)) / 1000),
        .address = told->address,
        .name = slice_of(told->name, told->name_len),
        .bytes = slice_of(told->meta, told->meta_len),
    };
    return true;
}

static void
say_forgotten(const struct nodes *nodes, const struct gossip_view *view)
{
    char id[NODE_ID_LEN + 1];
    uuid_text(&view->uuid, id);
    log_line(
        nodes->broker->log, LOG_T_NOTICE,
        "Node %.*s (%.8s) is forgotten: nothing waits for it any more, and its clients get new "
        "sessions.",
        (int)view->name.len, (const char *)view->name.data, id);
}

void
forget_heard(struct nodes *nodes, const struct gossip_view *view)
{
    struct forget *forget = nodes->forget;
    bool forgotten = view->state == GOSSIP_LEFT && about_is_forgotten(view->meta), news = false;
    pthread_mutex_lock(&forget->mutex);
    struct note *note = find_note(forget, &view->uuid);
    bool known = note && note->incarnation == view->incarnation && note->version == view->version;
    if (forgotten && !note)
        note = add_note(forget, &view->uuid);
    if (forgotten && note && !known) {
        news = note->incarnation != view->incarnation;
        note->incarnation = view->incarnation;
        note->version = view->version;
        note->address = view->address;
        note->wall_ms = wall_now_ms(nodes) - view->state_ms;
        set_texts(note, view->name, view->meta);
        note->over = note->recalled = false;
        note->unsaved = true;
    } else if (!forgotten && note && !note->over && view->incarnation >= note->incarnation) {
        end_note(forget, note);
    }
    bool ours = forget->order == ORDER_GIVEN && gossip_uuid_equal(&forget->wanted, &view->uuid);
    if (ours)
        forget->order = forgotten ? ORDER_TOLD : ORDER_REFUSED;
    if (ours || (note && note->unsaved))
        atomic_store(&forget->news, true);
    pthread_mutex_unlock(&forget->mutex);
    if (news)
        say_forgotten(nodes, view);
    if (atomic_load(&forget->news))
        broker_wake(nodes->broker, 0);
}

// ---- ternmqctl ----------------------------------------------------------------------------------

static bool
is_here(const struct cluster_node *node)
{
    return strcmp(node->state, "alive") == 0 || strcmp(node->state, "suspected") == 0;
}

static void
view_of(const struct cluster_node *node, struct forget_view *ret)
{
    memcpy(ret->id, node->id, sizeof ret->id);
    memcpy(ret->name, node->name, sizeof ret->name);
    ret->state = node->state;
    ret->state_s = node->state_s;
    ret->sessions = node->link.sessions;
    ret->waiting = node->link.waiting;
}

// Of one that gossip does not know there is a link, of before we started.
static bool
find_link(struct nodes *nodes, struct slice node, struct forget_view *ret)
{
    bool found = false;
    if (node.len != NODE_ID_LEN || atomic_load(&nodes->settling))
        return false;
    memcpy(ret->id, node.data, NODE_ID_LEN);
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, ret->id);
    if (link && !atomic_load(&link->retired) && !atomic_load(&link->forgotten)) {
        found = true;
        ret->state = "unknown";
        ret->sessions = link->sessions.count;
    }
    pthread_mutex_unlock(&nodes->mutex);
    return found;
}

// A name may be that of one that is dead, and of the one in its place: the dead one is meant.
static err_t
find_node(struct nodes *nodes, struct slice node, struct forget_view *ret)
{
    struct cluster_node *all = mem_alloc(CLUSTER_MEMBERS_MAX * sizeof *all);
    uint32_t count = roster_nodes(&nodes->cluster, all), fit = 0;
    const struct cluster_node *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_node *one = &all[i];
        bool id = slice_equal(node, slice_str(one->id));
        if (!id && !slice_equal(node, slice_str(one->name)))
            continue;
        fit += !is_here(one);
        if (!found || id || (is_here(found) && !is_here(one)))
            found = one;
        if (id) {
            fit = !is_here(one);
            break;
        }
    }
    if (found)
        view_of(found, ret);
    ret->why = found && found->self ? "it is this node"
               : found && fit == 0  ? "it is here: only one that is dead, or gone, is forgotten"
               : found && fit > 1   ? "several that are dead have that name: say which, by its id"
                                    : NULL;
    mem_free(all);
    if (ret->why)
        return ERR_ADMINISTRATIVE;
    return found || find_link(nodes, node, ret) ? OK : ERR_NOT_FOUND;
}

// Returns how it ended; NONE: not in time.
static enum order
wait_for(struct nodes *nodes)
{
    struct forget *forget = nodes->forget;
    const struct timespec step = {.tv_nsec = LOOK_NS};
    uint64_t end_ms = clock_mono_ms() + FORGET_WAIT_MS;
    enum order order = ORDER_NONE;
    while (order == ORDER_NONE && clock_mono_ms() < end_ms && !atomic_load(&nodes->stopping)) {
        (void)nanosleep(&step, NULL);
        pthread_mutex_lock(&forget->mutex);
        must(forget->order != ORDER_NONE);
        if (forget->order >= ORDER_DONE)
            order = forget->order;
        pthread_mutex_unlock(&forget->mutex);
    }
    return order;
}

err_t
forget_node(struct cluster *cluster, struct slice node, bool look, struct forget_view *ret)
{
    struct nodes *nodes = nodes_of(cluster);
    struct forget *forget = nodes->forget;
    *ret = (struct forget_view){.state = ""};
    err_t err = find_node(nodes, node, ret);
    if (err != OK)
        return err;
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, ret->id);
    ret->wills = link ? atomic_load(&link->wills_count) : 0;
    pthread_mutex_unlock(&nodes->mutex);
    if (look)
        return OK;
    pthread_mutex_lock(&forget->mutex);
    forget->order = ORDER_ASKED;
    bool good = uuid_read(ret->id, &forget->wanted);
    pthread_mutex_unlock(&forget->mutex);
    must(good);
    enum order order = wait_for(nodes);
    if (order == ORDER_REFUSED)
        ret->why = "it has come back";
    return order == ORDER_DONE ? OK : order == ORDER_REFUSED ? ERR_ADMINISTRATIVE : ERR_SERVER_BUSY;
}
