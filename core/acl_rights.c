// acl_rights.c - one client's view of the rules, and its decisions.
#include "core/base/mem.h"

#include "core/acl_parts.h"
#include "core/topic.h"

// Topics that were decided, one after the other: u16 length, u8 verdict, text. When it is full it
// begins anew. Most clients publish to few topics; what is found here is compared in full.
#define MEMO_BYTES 253u
struct memo {
    uint16_t len;
    uint8_t items[MEMO_BYTES + 1];
};
#define MEMO_HEAD 3u

struct rights {
    struct acl *acl;
    const struct acl_view *view; // acl's
    struct acl_names names;      // in text
    struct memo *memos[ACL_RECEIVE + 1];
    uint64_t mark;
    uint8_t text[];
};

static uint8_t *
keep_text(uint8_t *dst, struct slice *text)
{
    if (!text->data)
        return dst;
    memcpy(dst, text->data, text->len);
    text->data = dst;
    return dst + text->len;
}

struct rights *
rights_new(struct acl *acl, struct slice user, struct slice client_id)
{
    must(acl && acl->magic == ACL_MAGIC);
    must(client_id.data && client_id.len > 0);
    struct rights *rights = mem_zalloc(sizeof *rights + user.len + client_id.len + 1u);
    rights->acl = acl_ref(acl);
    rights->view = acl_view_of(acl, user);
    (void)keep_text(keep_text(rights->text, &user), &client_id);
    acl_names_init(&rights->names, user, client_id);
    return rights;
}

void
rights_free(struct rights *rights)
{
    if (!rights)
        return;
    acl_unref(rights->acl);
    for (unsigned i = 0; i < ARRAY_LEN(rights->memos); i++)
        mem_free(rights->memos[i]);
    mem_free(rights);
}

struct acl *
rights_acl(const struct rights *rights)
{
    return rights ? rights->acl : NULL;
}

static bool
same_name(struct slice a, struct slice b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return slice_equal(a, b);
}

bool
rights_equal(const struct rights *a, const struct rights *b)
{
    if (!a || !b)
        return a == b;
    return a->acl == b->acl && same_name(a->names.user, b->names.user) &&
           same_name(a->names.id, b->names.id);
}

void
rights_set_mark(struct rights *rights, uint64_t mark)
{
    must(mark >= rights->mark); // a queue's places are counted up
    rights->mark = mark;
}

uint64_t
rights_mark(const struct rights *rights)
{
    must(rights);
    return rights->mark;
}

// ---- A topic ------------------------------------------------------------------------------------

// A topic's beginnings, so that rules are found by theirs.
struct beginnings {
    struct slice topic;
    uint32_t count;                   // there are [0, count)
    uint64_t hash[ACL_DEPTH_MAX + 1]; // of the first d levels
    uint32_t len[ACL_DEPTH_MAX + 1];
};

static void
begin(const struct acl *acl, struct slice topic, struct beginnings *ret)
{
    struct slice rest = topic, level;
    ret->topic = topic;
    ret->hash[0] = 0;
    ret->len[0] = 0;
    ret->count = 1;
    while (ret->count <= acl->depth_max && topic_next_level(&rest, &level)) {
        ret->hash[ret->count] = acl_hash_level(ret->hash[ret->count - 1], level);
        ret->len[ret->count] = (uint32_t)(level.data + level.len - topic.data);
        ret->count++;
    }
}

// The list's first rule that begins as the first `depth` levels of the topic do, or ACL_NONE.
static uint32_t
first_rule(const struct acl *acl, uint32_t list, const struct beginnings *topic, uint32_t depth)
{
    must_hot(list < acl->list_count && depth < topic->count);
    const struct acl_list *l = &acl->lists[list];
    struct slice start = slice_of(topic->topic.data, topic->len[depth]);
    uint32_t at = acl_hash_list(topic->hash[depth], list) & acl->table_mask;
    for (; acl->table[at]; at = (at + 1) & acl->table_mask) {
        uint32_t number = acl->table[at] - 1;
        const struct acl_stored *rule = &acl->rules[number];
        if (number - l->first < l->count && rule->depth == depth &&
            slice_equal(slice_of(rule->text, rule->start_len), start))
            return number;
    }
    return ACL_NONE;
}

// The first of the list's rules that decides, or ACL_NONE.
static uint32_t
decide_list(const struct acl *acl, const struct acl_names *names, uint32_t list,
            const struct beginnings *topic, uint8_t action)
{
    uint32_t best = ACL_NONE;
    for (uint32_t depths = acl->lists[list].depths; depths; depths &= depths - 1) {
        uint32_t depth = (uint32_t)__builtin_ctz(depths);
        if (depth >= topic->count)
            break;
        uint32_t i = first_rule(acl, list, topic, depth);
        for (; i < best; i = acl->rules[i].next) { // ACL_NONE is the greatest
            const struct acl_stored *rule = &acl->rules[i];
            if ((rule->actions & action) && acl_rule_holds(rule, names) &&
                acl_rule_goes_on(rule, names, topic->topic)) {
                best = i;
                break;
            }
        }
    }
    return best;
}

// The rule that decides, or ACL_NONE.
static uint32_t
find_rule(const struct acl *acl, const struct acl_view *view, const struct acl_names *names,
          enum acl_action action, struct slice topic, uint32_t *ret_list)
{
    struct beginnings beginnings;
    begin(acl, topic, &beginnings);
    for (uint32_t i = 0; i < view->count; i++) {
        uint32_t rule = decide_list(acl, names, view->lists[i], &beginnings, ACL_BIT(action));
        *ret_list = view->lists[i];
        if (rule != ACL_NONE)
            return rule;
    }
    return ACL_NONE;
}

static bool
verdict(const struct acl *acl, enum acl_action action, uint32_t rule)
{
    return rule == ACL_NONE ? acl->allowed & ACL_BIT(action) : acl->rules[rule].flags & ACL_ALLOW;
}

static bool
decide(const struct acl *acl, const struct acl_view *view, const struct acl_names *names,
       enum acl_action action, struct slice topic)
{
    uint32_t list;
    return verdict(acl, action, find_rule(acl, view, names, action, topic, &list));
}

bool
acl_allows(const struct acl *acl, struct slice user, struct slice client_id, enum acl_action action,
           struct slice topic)
{
    must(action == ACL_PUBLISH || action == ACL_RECEIVE);
    struct acl_names names;
    acl_names_init(&names, user, client_id);
    return decide(acl, acl_view_of(acl, user), &names, action, topic);
}

// ---- What was decided last ----------------------------------------------------------------------

// Its verdict, or NULL.
static inline const uint8_t *
memo_find(const struct memo *memo, struct slice topic)
{
    for (uint32_t at = 0; at < memo->len;) {
        const uint8_t *item = memo->items + at;
        uint16_t len;
        memcpy(&len, item, sizeof len);
        // Topics of one client differ at their ends.
        if (len == topic.len && item[MEMO_HEAD + len - 1] == topic.data[len - 1] &&
            memcmp(item + MEMO_HEAD, topic.data, len) == 0)
            return item + 2;
        at += MEMO_HEAD + len;
    }
    return NULL;
}

static void
memo_add(struct memo *memo, struct slice topic, bool allowed)
{
    if (topic.len > MEMO_BYTES - MEMO_HEAD)
        return;
    if (memo->len + MEMO_HEAD + topic.len > MEMO_BYTES)
        memo->len = 0;
    uint8_t *item = memo->items + memo->len;
    uint16_t len = (uint16_t)topic.len;
    memcpy(item, &len, sizeof len);
    item[2] = allowed;
    memcpy(item + MEMO_HEAD, topic.data, len);
    memo->len = (uint16_t)(memo->len + MEMO_HEAD + len);
    must_hot(memo->len <= MEMO_BYTES);
}

bool
rights_allow(struct rights *rights, enum acl_action action, struct slice topic)
{
    must_hot(action == ACL_PUBLISH || action == ACL_RECEIVE);
    must_hot(topic.len > 0);
    if (!rights)
        return true;
    struct memo *memo = rights->memos[action];
    if (likely(memo)) {
        const uint8_t *known = memo_find(memo, topic);
        if (likely(known))
            return *known;
    } else {
        memo = rights->memos[action] = mem_zalloc(sizeof *memo);
    }
    bool allowed = decide(rights->acl, rights->view, &rights->names, action, topic);
    memo_add(memo, topic, allowed);
    return allowed;
}

// ---- A whole filter -----------------------------------------------------------------------------

// The bytes before a filter's first wildcard.
static uint32_t
plain_len(struct slice filter)
{
    uint32_t len = 0;
    while (len < filter.len && filter.data[len] != '+' && filter.data[len] != '#')
        len++;
    return len;
}

// Most rules of a long list begin otherwise than a filter: that is soon seen.
static inline bool
begins_otherwise(const struct acl_stored *rule, struct slice filter, uint32_t plain)
{
    return memcmp(rule->text, filter.data, min_u32(rule->start_len, plain)) != 0;
}

static enum acl_cover
cover(bool allow, bool seen_allow, bool seen_deny)
{
    if (allow)
        return seen_deny ? ACL_COVERS_SOME : ACL_COVERS_ALL;
    return seen_allow ? ACL_COVERS_SOME : ACL_COVERS_NOTHING;
}

// Rules are asked in order, as for a topic. One that covers the filter decides all that is left;
// before it, those that share topics with the filter may have decided some. So ALL and NOTHING are
// certain; that a rule is behind others that say the contrary of the same topics is not noticed.
enum acl_cover
rights_cover(const struct rights *rights, enum acl_action action, struct slice filter)
{
    must(action == ACL_PUBLISH || action == ACL_RECEIVE);
    must(filter.len > 0);
    if (!rights)
        return ACL_COVERS_ALL;
    const struct acl *acl = rights->acl;
    uint32_t plain = plain_len(filter);
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < rights->view->count; i++) {
        const struct acl_list *list = &acl->lists[rights->view->lists[i]];
        for (uint32_t n = list->first; n < list->first + list->count; n++) {
            const struct acl_stored *rule = &acl->rules[n];
            // No topic is the text of a literal rule with wildcards.
            bool never = (rule->flags & ACL_LITERAL) && (rule->flags & ACL_WILD);
            if (!(rule->actions & ACL_BIT(action)) || never ||
                begins_otherwise(rule, filter, plain) || !acl_rule_holds(rule, &rights->names))
                continue;
            bool allow = rule->flags & ACL_ALLOW;
            enum acl_relation relation = acl_rule_relation(rule, &rights->names, filter);
            if (relation == ACL_COVERS)
                return cover(allow, seen[true], seen[false]);
            seen[allow] |= relation == ACL_SHARES;
        }
    }
    return cover(acl->allowed & ACL_BIT(action), seen[true], seen[false]);
}

static bool
decides_filter(const struct acl_stored *rule, const struct acl_names *names, struct slice filter)
{
    if (rule->flags & ACL_LITERAL)
        return acl_rule_matches(rule, names, filter);
    enum acl_relation relation = acl_rule_relation(rule, names, filter);
    if (rule->flags & ACL_ALLOW)
        return relation == ACL_COVERS;
    // With a name that may be more than one level it cannot be told: then it denies.
    if ((rule->flags & ACL_WHOLE) && !(names->unusable & rule->flags))
        return relation == ACL_COVERS;
    return relation != ACL_APART;
}

// The rule that decides about the filter, or ACL_NONE.
static uint32_t
find_filter_rule(const struct rights *rights, enum acl_action action, struct slice filter,
                 uint32_t *ret_list)
{
    const struct acl *acl = rights->acl;
    uint32_t plain = plain_len(filter);
    for (uint32_t i = 0; i < rights->view->count; i++) {
        const struct acl_list *list = &acl->lists[rights->view->lists[i]];
        *ret_list = rights->view->lists[i];
        for (uint32_t n = list->first; n < list->first + list->count; n++) {
            const struct acl_stored *rule = &acl->rules[n];
            if ((rule->actions & ACL_BIT(action)) && !begins_otherwise(rule, filter, plain) &&
                acl_rule_holds(rule, &rights->names) &&
                decides_filter(rule, &rights->names, filter))
                return n;
        }
    }
    return ACL_NONE;
}

bool
rights_allow_filter(const struct rights *rights, enum acl_action action, struct slice filter)
{
    must(action == ACL_SUBSCRIBE || action == ACL_UNSUBSCRIBE);
    uint32_t list;
    return !rights || verdict(rights->acl, action, find_filter_rule(rights, action, filter, &list));
}

// ---- For people ---------------------------------------------------------------------------------

void
rights_explain(const struct rights *rights, enum acl_action action, struct slice text,
               struct acl_reason *ret)
{
    const struct acl *acl = rights->acl;
    bool topic = action == ACL_PUBLISH || action == ACL_RECEIVE;
    uint32_t list = 0,
             rule = topic ? find_rule(acl, rights->view, &rights->names, action, text, &list)
                          : find_filter_rule(rights, action, text, &list);
    *ret = (struct acl_reason){.allowed = verdict(acl, action, rule), .by_rule = rule != ACL_NONE};
    if (!ret->by_rule)
        return;
    must(rule < acl->rule_count && list < acl->list_count);
    ret->filter = slice_of(acl->rules[rule].text, acl->rules[rule].len);
    ret->role = acl->lists[list].name;
    ret->file = acl->source;
    ret->line = acl->rules[rule].line;
}
