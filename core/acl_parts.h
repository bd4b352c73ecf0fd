// acl_parts.h - compiled rules as the files of acl share them.
//
// Job:    how rules lie in memory, and how one is compared with a topic or a filter.
// Owner:  struct acl.
// Thread: an acl that is finished never changes; a builder belongs to who builds.
// Memory: a rule 24 bytes, its text, and 8 to 16 in the table.
// Limits: see acl.h; ACL_TEXT_MAX bytes of texts.
#ifndef TERN_CORE_ACL_PARTS_H
#define TERN_CORE_ACL_PARTS_H

#include <stdatomic.h>

#include "core/base/hash.h"

#include "core/acl.h"

#define ACL_MAGIC    0x41434c21u
#define ACL_TEXT_MAX (UINT32_C(1) << 30)
// Rules are found by their beginning: the levels before the first wildcard or placeholder, so many
// of them at most. What begins alike is looked at in order.
#define ACL_DEPTH_MAX 8u
#define ACL_NONE      UINT32_MAX

enum acl_flags {
    ACL_ALLOW = 1 << 0,
    ACL_LITERAL = 1 << 1,
    ACL_WILD = 1 << 2,     // has a wildcard
    ACL_HAS_USER = 1 << 3, // %u
    ACL_HAS_ID = 1 << 4,   // %c
    ACL_WHOLE = 1 << 5,
};

struct acl_stored {
    const uint8_t *text;
    uint32_t next; // of the list's rules with the same beginning, later than this; ACL_NONE
    uint32_t line; // of a file; 0: none
    uint16_t len;
    uint16_t start_len; // bytes of the beginning
    uint8_t depth;      // levels of the beginning
    uint8_t actions;
    uint8_t flags;
};

struct acl_list {
    uint32_t first, count; // in rules
    uint32_t depths;       // bit d: some rule's beginning has d levels
    char *name;            // of a role; NULL: none
};

// The lists that concern somebody, in order.
struct acl_view {
    uint32_t *lists;
    uint32_t count;
};

struct acl_user {
    struct slice name;
    struct acl_view view;
};

struct acl {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint8_t allowed;   // ACL_BITs: where no rule matches
    uint8_t depth_max; // of all lists
    struct acl_stored *rules;
    uint32_t rule_count;
    struct acl_list *lists;
    uint32_t list_count;
    uint32_t *table; // beginning -> its first rule, plus 1; 0 = free
    uint32_t table_mask;
    struct acl_user *users;
    uint32_t user_count;
    uint32_t *user_table; // name -> index in users, plus 1; 0 = free
    uint32_t user_mask;
    struct acl_view anonymous, others;
    uint8_t *texts;
    char *source; // the file; NULL: none
};

// What %u and %c stand for. user.data NULL: no name.
struct acl_names {
    struct slice user, id;
    uint8_t unusable; // ACL_HAS_USER, ACL_HAS_ID: no rule that allows may use this value
};

// An operator's texts are in the table, so that a peer cannot aim at it: the key needs no secret.
extern const struct hash_key acl_hash_key;
// Of a beginning, from that of one level less.
static inline uint64_t
acl_hash_level(uint64_t hash, struct slice level)
{
    return hash_u64(&acl_hash_key, hash ^ hash_bytes(&acl_hash_key, level.data, level.len));
}
static inline uint32_t
acl_hash_list(uint64_t hash, uint32_t list)
{
    return (uint32_t)((hash + list * UINT64_C(0x9e3779b97f4a7c15)) >> 24);
}

// Who may be concerned by what: the user's view, or that of all without a name, or of others.
const struct acl_view *acl_view_of(const struct acl *acl, struct slice user);
// The user whom acl_builder_user was told of, or NULL. Borrowed until the next acl_builder_user.
const struct acl_user *acl_builder_find(const struct acl_builder *builder, struct slice user);

// ---- One rule (acl_match.c) ---------------------------------------------------------------------

void acl_names_init(struct acl_names *ret, struct slice user, struct slice id); // borrows
// Whether the rule says anything to a client of these names.
static inline bool
acl_rule_holds(const struct acl_stored *rule, const struct acl_names *names)
{
    if (likely(!(rule->flags & (ACL_HAS_USER | ACL_HAS_ID))))
        return true;
    if (rule->flags & ACL_ALLOW)
        return !(rule->flags & names->unusable);
    return names->user.data || !(rule->flags & ACL_HAS_USER);
}
// Does a rule that holds match this topic? With ACL_LITERAL: is this its text?
bool acl_rule_matches(const struct acl_stored *rule, const struct acl_names *names,
                      struct slice topic);

// The same where the topic is known to begin as the rule does (start_len).
bool acl_rule_goes_on(const struct acl_stored *rule, const struct acl_names *names,
                      struct slice topic);

enum acl_relation { // the less, the lower
    ACL_APART,      // no topic matches both
    ACL_SHARES,     // some may
    ACL_COVERS,     // every topic that the filter matches is matched by the rule
};
// Of a rule that holds, taken as a filter, and a filter.
enum acl_relation acl_rule_relation(const struct acl_stored *rule, const struct acl_names *names,
                                    struct slice filter);

#endif
