// acl.c - rules for topics: compiled into lists, and found by their beginnings.
#include "core/acl.h"

#include "core/base/mem.h"

#include "core/acl_parts.h"
#include "core/topic.h"

#define TABLE_MIN 8u

const struct hash_key acl_hash_key = {UINT64_C(0x5465726e4d51), UINT64_C(0x41434c)};

// While it is being built texts are told by their places, as their memory moves.
struct pending_rule {
    uint32_t list, text;
};
struct acl_builder {
    struct acl *acl; // its rules in the order in which they came
    struct pending_rule *pending;
    uint32_t pending_cap, rule_cap, list_cap, user_cap;
    uint8_t *texts;
    uint32_t text_len, text_cap;
};

// ---- The builder --------------------------------------------------------------------------------

struct acl_builder *
acl_builder_new(uint8_t allowed)
{
    must((allowed & ~ACL_ALL) == 0);
    struct acl_builder *builder = mem_zalloc(sizeof *builder);
    builder->acl = mem_zalloc(sizeof *builder->acl);
    builder->acl->magic = ACL_MAGIC;
    builder->acl->allowed = allowed;
    atomic_init(&builder->acl->refs, 1);
    return builder;
}

uint32_t
acl_builder_list(struct acl_builder *builder)
{
    struct acl *acl = builder->acl;
    must(acl->magic == ACL_MAGIC && acl->list_count < ACL_NONE);
    acl->lists = mem_grow(acl->lists, &builder->list_cap, acl->list_count + 1, sizeof *acl->lists);
    acl->lists[acl->list_count] = (struct acl_list){0};
    return acl->list_count++;
}

void
acl_builder_name(struct acl_builder *builder, uint32_t list, const char *role)
{
    struct acl *acl = builder->acl;
    must(list < acl->list_count && !acl->lists[list].name);
    acl->lists[list].name = mem_strdup(role);
}

void
acl_builder_source(struct acl_builder *builder, const char *file)
{
    must(!builder->acl->source);
    builder->acl->source = mem_strdup(file);
}

static uint8_t
flags_of(const struct acl_rule *rule)
{
    uint8_t flags = rule->allow ? ACL_ALLOW : 0;
    if (rule->literal)
        flags |= ACL_LITERAL;
    if (rule->whole)
        flags |= ACL_WHOLE;
    if (topic_filter_is_wild(rule->filter))
        flags |= ACL_WILD;
    for (uint32_t i = 0; rule->pattern && i + 1 < rule->filter.len; i++) {
        if (rule->filter.data[i] != '%')
            continue;
        if (rule->filter.data[i + 1] == 'u')
            flags |= ACL_HAS_USER;
        else if (rule->filter.data[i + 1] == 'c')
            flags |= ACL_HAS_ID;
    }
    return flags;
}

static bool
has_placeholder(struct slice level)
{
    for (uint32_t i = 0; i + 1 < level.len; i++)
        if (level.data[i] == '%' && (level.data[i + 1] == 'u' || level.data[i + 1] == 'c'))
            return true;
    return false;
}

// Where the rule's beginning ends. A literal rule may begin with wildcards: it has none then.
static void
measure(struct acl_stored *rule, struct slice text)
{
    struct slice rest = text, level;
    bool pattern = rule->flags & (ACL_HAS_USER | ACL_HAS_ID);
    while (rule->depth < ACL_DEPTH_MAX && topic_next_level(&rest, &level)) {
        if (topic_filter_is_wild(level) || (pattern && has_placeholder(level)))
            break;
        rule->depth++;
        rule->start_len = (uint16_t)(level.data + level.len - text.data);
    }
    must(rule->start_len <= rule->len && rule->depth <= ACL_DEPTH_MAX);
}

err_t
acl_builder_rule(struct acl_builder *builder, uint32_t list, const struct acl_rule *rule)
{
    struct acl *acl = builder->acl;
    must(list < acl->list_count && rule->actions && (rule->actions & ~ACL_ALL) == 0);
    err_t err = topic_filter_check(rule->filter);
    if (err)
        return err;
    struct slice text = rule->filter;
    // The same topics: each has a first level. So "covers" is found out for it.
    if (!rule->literal && slice_equal(text, slice_str("+/#")))
        text = slice_str("#");
    if (acl->rule_count == ACL_RULES_MAX || ACL_TEXT_MAX - builder->text_len < text.len)
        return ERR_FULL;
    uint32_t at = acl->rule_count, cap = builder->rule_cap;
    acl->rules = mem_grow(acl->rules, &builder->rule_cap, at + 1, sizeof *acl->rules);
    if (builder->rule_cap != cap)
        builder->pending = mem_grow(builder->pending, &builder->pending_cap, builder->rule_cap,
                                    sizeof *builder->pending);
    builder->texts = mem_grow(builder->texts, &builder->text_cap, builder->text_len + text.len, 1);
    memcpy(builder->texts + builder->text_len, text.data, text.len);
    builder->pending[at] = (struct pending_rule){.list = list, .text = builder->text_len};
    builder->text_len += text.len;
    acl->rules[at] = (struct acl_stored){
        .len = (uint16_t)text.len,
        .line = rule->line,
        .actions = rule->actions,
        .flags = flags_of(rule),
    };
    measure(&acl->rules[at], text);
    acl->lists[list].count++;
    acl->rule_count++;
    return OK;
}

// ---- Who ----------------------------------------------------------------------------------------

static uint32_t
user_hash(struct slice name)
{
    return (uint32_t)hash_bytes(&acl_hash_key, name.data, name.len);
}

static struct acl_user *
user_find(const struct acl *acl, struct slice name)
{
    if (acl->user_count == 0)
        return NULL;
    for (uint32_t at = user_hash(name) & acl->user_mask; acl->user_table[at];
         at = (at + 1) & acl->user_mask) {
        struct acl_user *user = &acl->users[acl->user_table[at] - 1];
        if (slice_equal(user->name, name))
            return user;
    }
    return NULL;
}

static void
user_index(struct acl *acl, uint32_t number)
{
    must(number < acl->user_count && acl->user_count <= acl->user_mask);
    uint32_t at = user_hash(acl->users[number].name) & acl->user_mask;
    while (acl->user_table[at])
        at = (at + 1) & acl->user_mask;
    acl->user_table[at] = number + 1;
}

static struct acl_user *
user_add(struct acl_builder *builder, struct slice name)
{
    struct acl *acl = builder->acl;
    acl->users = mem_grow(acl->users, &builder->user_cap, acl->user_count + 1, sizeof *acl->users);
    struct acl_user *user = &acl->users[acl->user_count++];
    *user = (struct acl_user){.name = slice_of(mem_strndup(name.data, name.len), name.len)};
    if (acl->user_count * 2 <= acl->user_mask + 1 && acl->user_table) {
        user_index(acl, acl->user_count - 1);
        return user;
    }
    acl->user_mask = acl->user_table ? acl->user_mask * 2 + 1 : TABLE_MIN - 1;
    mem_free(acl->user_table);
    acl->user_table = mem_zalloc((acl->user_mask + 1) * sizeof *acl->user_table);
    for (uint32_t i = 0; i < acl->user_count; i++)
        user_index(acl, i);
    return user;
}

static err_t
set_view(const struct acl *acl, struct acl_view *view, const uint32_t *lists, uint32_t count)
{
    if (count > ACL_LISTS_MAX)
        return ERR_FULL;
    for (uint32_t i = 0; i < count; i++)
        must(lists[i] < acl->list_count);
    mem_free(view->lists);
    *view = (struct acl_view){.count = count};
    if (count == 0)
        return OK;
    view->lists = mem_alloc(count * sizeof *lists);
    memcpy(view->lists, lists, count * sizeof *lists);
    return OK;
}

err_t
acl_builder_user(struct acl_builder *builder, struct slice user, const uint32_t *lists,
                 uint32_t count)
{
    must(user.data);
    if (count > ACL_LISTS_MAX || builder->acl->user_count == ACL_RULES_MAX)
        return ERR_FULL;
    struct acl_user *known = user_find(builder->acl, user);
    if (!known)
        known = user_add(builder, user);
    return set_view(builder->acl, &known->view, lists, count);
}

err_t
acl_builder_anonymous(struct acl_builder *builder, const uint32_t *lists, uint32_t count)
{
    return set_view(builder->acl, &builder->acl->anonymous, lists, count);
}

err_t
acl_builder_others(struct acl_builder *builder, const uint32_t *lists, uint32_t count)
{
    return set_view(builder->acl, &builder->acl->others, lists, count);
}

const struct acl_user *
acl_builder_find(const struct acl_builder *builder, struct slice user)
{
    return user_find(builder->acl, user);
}

const struct acl_view *
acl_view_of(const struct acl *acl, struct slice user)
{
    if (!user.data)
        return &acl->anonymous;
    const struct acl_user *known = user_find(acl, user);
    return known ? &known->view : &acl->others;
}

// ---- The end of building ------------------------------------------------------------------------

// Rules of a list next to each other, in the order in which they came.
static void
sort_rules(struct acl_builder *builder)
{
    struct acl *acl = builder->acl;
    struct acl_stored *sorted = mem_alloc(acl->rule_count * sizeof *sorted);
    uint32_t first = 0;
    for (uint32_t i = 0; i < acl->list_count; i++) {
        acl->lists[i].first = first;
        first += acl->lists[i].count;
        acl->lists[i].count = 0; // counted once more below
    }
    must(first == acl->rule_count);
    for (uint32_t i = 0; i < acl->rule_count; i++) {
        struct acl_list *list = &acl->lists[builder->pending[i].list];
        struct acl_stored *rule = &sorted[list->first + list->count++];
        *rule = acl->rules[i];
        rule->text = acl->texts + builder->pending[i].text;
        list->depths |= UINT32_C(1) << rule->depth;
        if (rule->depth > acl->depth_max)
            acl->depth_max = rule->depth;
    }
    mem_free(acl->rules);
    acl->rules = sorted;
}

static uint32_t
start_hash(const struct acl_stored *rule, uint32_t list)
{
    struct slice rest = slice_of(rule->text, rule->start_len), level;
    uint64_t hash = 0;
    for (uint32_t d = 0; d < rule->depth; d++) {
        bool more = topic_next_level(&rest, &level);
        must(more);
        hash = acl_hash_level(hash, level);
    }
    return acl_hash_list(hash, list);
}

// The last rule first, so that each leads to later ones.
static void
table_put(struct acl *acl, const struct acl_list *list, uint32_t number)
{
    must(number - list->first < list->count);
    struct acl_stored *rule = &acl->rules[number];
    uint32_t at = start_hash(rule, (uint32_t)(list - acl->lists)) & acl->table_mask;
    for (; acl->table[at]; at = (at + 1) & acl->table_mask) {
        uint32_t head = acl->table[at] - 1;
        const struct acl_stored *other = &acl->rules[head];
        if (head - list->first < list->count && other->depth == rule->depth &&
            slice_equal(slice_of(other->text, other->start_len),
                        slice_of(rule->text, rule->start_len)))
            break;
    }
    rule->next = acl->table[at] ? acl->table[at] - 1 : ACL_NONE;
    must(rule->next > number); // a chain goes to later ones
    acl->table[at] = number + 1;
}

static void
make_table(struct acl *acl)
{
    uint32_t size = TABLE_MIN;
    while (size < acl->rule_count * 2)
        size *= 2;
    acl->table = mem_zalloc(size * sizeof *acl->table);
    acl->table_mask = size - 1;
    for (uint32_t i = 0; i < acl->list_count; i++)
        for (uint32_t n = acl->lists[i].count; n-- > 0;)
            table_put(acl, &acl->lists[i], acl->lists[i].first + n);
    must(acl->table_mask >= acl->rule_count); // there are free places: a search ends
}

struct acl *
acl_builder_finish(struct acl_builder *builder)
{
    struct acl *acl = builder->acl;
    must(acl->magic == ACL_MAGIC && atomic_load(&acl->refs) == 1);
    acl->texts = builder->texts;
    if (acl->rule_count > 0)
        sort_rules(builder);
    make_table(acl);
    builder->acl = NULL;
    builder->texts = NULL;
    acl_builder_free(builder);
    return acl;
}

void
acl_builder_free(struct acl_builder *builder)
{
    if (!builder)
        return;
    acl_unref(builder->acl);
    mem_free(builder->pending);
    mem_free(builder->texts);
    mem_free(builder);
}

// ---- References ---------------------------------------------------------------------------------

struct acl *
acl_ref(struct acl *acl)
{
    if (!acl)
        return NULL;
    must(acl->magic == ACL_MAGIC);
    // Relaxed: the caller has a reference, so nobody frees it now.
    uint32_t before = atomic_fetch_add_explicit(&acl->refs, 1, memory_order_relaxed);
    must(before > 0 && before < UINT32_MAX);
    return acl;
}

void
acl_unref(struct acl *acl)
{
    if (!acl)
        return;
    must(acl->magic == ACL_MAGIC);
    // Release: this thread's use is over. Acquire: the last one frees it after all others' use.
    if (atomic_fetch_sub_explicit(&acl->refs, 1, memory_order_acq_rel) != 1)
        return;
    acl->magic = 0;
    for (uint32_t i = 0; i < acl->user_count; i++) {
        mem_free(unconst(acl->users[i].name.data));
        mem_free(acl->users[i].view.lists);
    }
    mem_free(acl->users);
    mem_free(acl->user_table);
    mem_free(acl->anonymous.lists);
    mem_free(acl->others.lists);
    for (uint32_t i = 0; i < acl->list_count; i++)
        mem_free(acl->lists[i].name);
    mem_free(acl->source);
    mem_free(acl->rules);
    mem_free(acl->lists);
    mem_free(acl->table);
    mem_free(acl->texts);
    mem_free(acl);
}
