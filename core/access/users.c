// users.c - a password file: entries sorted by their parameters, and an index by name.
#include "core/access/users.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/secret_file.h"
#include "core/base/utf8.h"

#include "core/access/process_key.h"

#define USERS_MAGIC     0x75736572u
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct entry {
    struct slice name; // in the arena
    uint64_t mark;
    struct password_hash hash; // its bytes in the arena
    uint32_t line;
};

struct range { // of entries; end is the first that is not in it
    uint32_t begin, end;
};

struct users {
    uint32_t magic;
    _Atomic uint32_t refs;
    // The process's, so that unknown names keep what they borrow when the file is read again.
    struct hash_key key;            // of names
    uint8_t fakes[PROCESS_KEY_LEN]; // of what is made up
    uint8_t *arena;                 // names, salts, hashes
    size_t arena_size, arena_used;
    struct entry *entries; // by parameters: those of one form stand together
    uint32_t count, cap;
    struct range scram[2]; // that can do it, by enum digest
    uint32_t *slots;       // by name: number of the entry plus 1, 0 = free
    uint32_t slot_mask;
};

// ---- Parsing ------------------------------------------------------------------------------------

struct parser {
    struct users *users;
    const char *name;
    uint32_t line;
    char *problem;
    size_t size;
};

static err_t PRINTF_LIKE(2) fail(struct parser *parser, const char *format, ...)
{
    int len = snprintf(parser->problem, parser->size, "%s:%u: ", parser->name, parser->line);
    must(len > 0);
    if ((size_t)len >= parser->size)
        return ERR_CONFIG;
    va_list args;
    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is started one line before
    (void)vsnprintf(parser->problem + len, parser->size - (size_t)len, format, args);
    va_end(args);
    return ERR_CONFIG;
}

static uint8_t *
arena_take(struct users *users, size_t len)
{
    must(len <= users->arena_size - users->arena_used);
    uint8_t *bytes = users->arena + users->arena_used;
    users->arena_used += len;
    return bytes;
}

// Names and hashes that join to the same bytes are no matter: a mark is asked for with its name.
static uint64_t
mark_of(struct slice name, struct slice hash)
{
    uint8_t digest[DIGEST_LEN_MAX];
    uint64_t mark;
    digest_of(DIGEST_SHA256, name, hash, digest);
    memcpy(&mark, digest, sizeof mark);
    explicit_bzero(digest, sizeof digest);
    return mark ? mark : 1;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trim(struct slice text)
{
    while (text.len > 0 && is_blank(text.data[0]))
        text = slice_of(text.data + 1, text.len - 1);
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

const char *
users_name_problem(struct slice name)
{
    if (name.len == 0)
        return "no user name before the colon; name:hash expected";
    if (name.len > USERS_NAME_MAX)
        return "a user name of more than 65535 bytes, which no client can send";
    if (!utf8_valid(name))
        return "a user name that is not UTF-8, which no client can send";
    for (uint32_t i = 0; i < name.len; i++)
        if (name.data[i] < ' ' || name.data[i] == 0x7f)
            return "a control character in a user name; printable ones expected";
    return NULL;
}

enum users_line
users_line_split(struct slice line, struct slice *ret_name, struct slice *ret_hash)
{
    line = trim(line);
    if (line.len == 0 || line.data[0] == '#')
        return USERS_LINE_NONE;
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (!colon)
        return USERS_LINE_BAD;
    size_t used = (size_t)(colon + 1 - line.data);
    must(used <= line.len);
    *ret_name = trim(slice_of(line.data, used - 1));
    *ret_hash = trim(slice_of(colon + 1, line.len - used));
    return USERS_LINE_USER;
}

// Its bytes go to the arena.
static void
add_entry(struct users *users, struct slice name, struct entry entry)
{
    size_t len = entry.hash.salt_len + entry.hash.hash_len;
    uint8_t *kept = arena_take(users, name.len + len);
    memcpy(kept, name.data, name.len);
    memcpy(kept + name.len, entry.hash.bytes, len);
    entry.name = slice_of(kept, name.len);
    entry.hash.bytes = kept + name.len;
    users->entries = mem_grow(users->entries, &users->cap, users->count + 1, sizeof entry);
    users->entries[users->count++] = entry;
}

static err_t
take_line(struct parser *parser, struct slice line)
{
    struct slice name, text;
    enum users_line kind = users_line_split(line, &name, &text);
    if (kind == USERS_LINE_NONE)
        return OK;
    if (kind == USERS_LINE_BAD)
        return fail(parser, "no colon; name:hash expected");
    const char *wrong = users_name_problem(name);
    if (wrong)
        return fail(parser, "%s", wrong);
    uint8_t bytes[PASSWORD_BYTES_MAX];
    char problem[256];
    struct entry entry = {.line = parser->line, .mark = mark_of(name, text)};
    err_t err = password_hash_parse(text, bytes, &entry.hash, problem, sizeof problem);
    if (err == OK)
        add_entry(parser->users, name, entry);
    explicit_bzero(bytes, sizeof bytes);
    return err == OK ? OK : fail(parser, "%s", problem);
}

static err_t
take_lines(struct parser *parser, struct slice rest)
{
    struct slice line;
    if (rest.len >= 3 && memcmp(rest.data, BYTE_ORDER_MARK, 3) == 0) {
        parser->line = 1;
        return fail(parser, "a byte order mark; UTF-8 without one expected");
    }
    while (line_next(&rest, &line)) {
        parser->line++;
        err_t err = take_line(parser, line);
        if (err != OK)
            return err;
    }
    return OK;
}

// ---- Order and index ----------------------------------------------------------------------------

static int
order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int
compare(const void *left, const void *right)
{
    const struct password_hash *a = &((const struct entry *)left)->hash;
    const struct password_hash *b = &((const struct entry *)right)->hash;
    int by = order(a->form, b->form);
    by = by ? by : order(a->iterations, b->iterations);
    by = by ? by : order(a->memory_kib, b->memory_kib);
    by = by ? by : order(a->lanes, b->lanes);
    by = by ? by : order(a->salt_len, b->salt_len);
    return by ? by : order(((const struct entry *)left)->line, ((const struct entry *)right)->line);
}

static void
find_ranges(struct users *users)
{
    for (unsigned digest = 0; digest < ARRAY_LEN(users->scram); digest++) {
        struct range *range = &users->scram[digest];
        uint32_t able = 0;
        for (uint32_t i = users->count; i-- > 0;) {
            if (!password_hash_does_scram(&users->entries[i].hash, (enum digest)digest))
                continue;
            range->begin = i;
            range->end = able++ == 0 ? i + 1 : range->end;
        }
        must(range->end - range->begin == able); // they stand together
    }
}

// The slot of this name, or the free one where it would stand.
static uint32_t *
slot_of(const struct users *users, struct slice name)
{
    uint64_t i = hash_bytes(&users->key, name.data, name.len);
    for (;; i++) {
        uint32_t *slot = &users->slots[i & users->slot_mask];
        if (*slot == 0 || slice_equal(users->entries[*slot - 1].name, name))
            return slot;
    }
}

static err_t
build_index(struct parser *parser)
{
    struct users *users = parser->users;
    uint32_t cap = 16;
    while (cap < users->count * 2) // USERS_FILE_MAX keeps this far below 2^31
        cap *= 2;
    users->slots = mem_zalloc((size_t)cap * sizeof *users->slots);
    users->slot_mask = cap - 1;
    for (uint32_t i = 0; i < users->count; i++) {
        const struct entry *entry = &users->entries[i];
        uint32_t *slot = slot_of(users, entry->name);
        if (*slot != 0) {
            uint32_t other = users->entries[*slot - 1].line;
            parser->line = max_u32(entry->line, other);
            return fail(parser, "the user \"%.*s\" stands in line %u, too; one line each expected",
                        (int)min_u32(entry->name.len, 64), (const char *)entry->name.data,
                        min_u32(entry->line, other));
        }
        *slot = i + 1;
    }
    return OK;
}

// ---- Life ---------------------------------------------------------------------------------------

err_t
users_parse(const char *name, struct slice text, struct users **ret_users, char *problem,
            size_t size)
{
    must(name != NULL && size > 0 && text.len <= USERS_FILE_MAX);
    struct users *users = mem_zalloc(sizeof *users);
    users->magic = USERS_MAGIC;
    atomic_store(&users->refs, 1);
    uint8_t key[PROCESS_KEY_LEN];
    process_key("names of users", key);
    memcpy(&users->key, key, sizeof users->key);
    explicit_bzero(key, sizeof key);
    process_key("users that are made up", users->fakes);
    users->arena_size = text.len + (size_t)1; // no line takes more than it has bytes
    users->arena = mem_alloc(users->arena_size);
    struct parser parser = {.users = users, .name = name, .size = size};
    parser.problem = problem;
    err_t err = take_lines(&parser, text);
    if (err == OK && users->count > 0)
        qsort(users->entries, users->count, sizeof *users->entries, compare);
    if (err == OK)
        err = build_index(&parser);
    if (err != OK) {
        users_unref(users);
        return err;
    }
    find_ranges(users);
    *ret_users = users;
    return OK;
}

struct users *
users_ref(struct users *users)
{
    if (users)
        atomic_fetch_add_explicit(&users->refs, 1, memory_order_relaxed);
    return users;
}

void
users_unref(struct users *users)
{
    if (!users)
        return;
    must(users->magic == USERS_MAGIC);
    if (atomic_fetch_sub_explicit(&users->refs, 1, memory_order_acq_rel) > 1)
        return;
    explicit_bzero(users->arena, users->arena_used);
    mem_free(users->arena);
    mem_free(users->entries);
    mem_free(users->slots);
    explicit_bzero(users, sizeof *users);
    mem_free(users);
}

// ---- Questions ----------------------------------------------------------------------------------

static const struct entry *
find(const struct users *users, struct slice name)
{
    must(users->magic == USERS_MAGIC);
    uint32_t slot = *slot_of(users, name);
    must(slot <= users->count);
    return slot ? &users->entries[slot - 1] : NULL;
}

// One of the entries from begin to end, the same for the same name. They are sorted, so a user more
// or less moves few names to other parameters.
static const struct entry *
borrow(const struct users *users, struct slice name, uint32_t begin, uint32_t end)
{
    must(begin < end && end <= users->count);
    // The upper bits; the lower ones chose the slot.
    uint64_t high = hash_bytes(&users->key, name.data, name.len) >> 32;
    return &users->entries[begin + (high * (end - begin) >> 32)];
}

enum users_verdict
users_check(const struct users *users, struct slice user, struct slice password)
{
    const struct entry *entry = find(users, user);
    bool known = entry != NULL;
    if (users->count == 0)
        return USERS_UNKNOWN;
    if (!password.data)
        return known ? USERS_WRONG : USERS_UNKNOWN;
    if (!known)
        entry = borrow(users, user, 0, users->count);
    bool good = password_hash_check(&entry->hash, password);
    if (!known)
        return USERS_UNKNOWN;
    return good ? USERS_GOOD : USERS_WRONG;
}

uint32_t
users_count(const struct users *users)
{
    must(users->magic == USERS_MAGIC);
    return users->count;
}

struct slice
users_name(const struct users *users, uint32_t i, uint64_t *ret_mark)
{
    must(i < users_count(users));
    *ret_mark = users->entries[i].mark;
    return users->entries[i].name;
}

uint64_t
users_mark(const struct users *users, struct slice user)
{
    const struct entry *entry = find(users, user);
    return entry ? entry->mark : 0;
}

// ---- SCRAM --------------------------------------------------------------------------------------

// An entry with parameters of the file and bytes of its own, for a name that has none.
static struct password_hash
make_up(const struct users *users, enum digest digest, struct slice user, uint8_t *bytes)
{
    const struct range *range = &users->scram[digest];
    struct password_hash hash =
        range->begin < range->end
            ? borrow(users, user, range->begin, range->end)->hash
            : password_hash_default(digest == DIGEST_SHA256 ? PASSWORD_SCRAM_SHA256
                                                            : PASSWORD_SCRAM_SHA512);
    must(hash.salt_len <= DIGEST_LEN_MAX && hash.salt_len + hash.hash_len <= PASSWORD_BYTES_MAX);
    struct slice key = slice_of(users->fakes, sizeof users->fakes);
    for (uint32_t part = 0; part < PASSWORD_BYTES_MAX / DIGEST_LEN_MAX; part++) {
        uint8_t what[] = {(uint8_t)digest, (uint8_t)part};
        digest_hmac(DIGEST_SHA512, key, slice_of(what, sizeof what), user,
                    bytes + (size_t)part * DIGEST_LEN_MAX);
    }
    hash.bytes = bytes;
    return hash;
}

void
users_scram(const struct users *users, enum digest digest, struct slice user,
            struct users_scram *ret_scram)
{
    const struct entry *entry = find(users, user);
    bool known = entry && password_hash_does_scram(&entry->hash, digest);
    uint8_t bytes[PASSWORD_BYTES_MAX];
    // For those who are known, too: else the time would tell.
    struct password_hash hash = make_up(users, digest, user, bytes);
    if (known)
        hash = entry->hash;
    *ret_scram = (struct users_scram){
        .known = known,
        .mark = known ? entry->mark : 0,
        .iterations = hash.iterations,
        .salt_len = hash.salt_len,
    };
    memcpy(ret_scram->salt, hash.bytes, hash.salt_len);
    password_hash_scram_keys(&hash, ret_scram->stored_key, ret_scram->server_key);
    explicit_bzero(bytes, sizeof bytes);
}
