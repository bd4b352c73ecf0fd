// acl.h - what a client may publish, subscribe to and be sent.
//
// Job:    rules compiled once, from whatever they were written in; one client's view of them, and
//         its decisions.
// Owner:  struct acl is counted; each session owns its struct rights.
// Thread: an acl never changes and may be read by all; rights belong to the session's worker.
// Memory: an acl: its texts, and about 40 bytes a rule. Rights: about 90 bytes, the two names, and
//         256 bytes each for the last topics that were published to and received, from the first of
//         them on. Other decisions allocate nothing.
// Limits: ACL_RULES_MAX rules, ACL_LISTS_MAX lists for one client; the levels of a topic.
//
// Rules stand in lists, and the lists that concern a client are asked in order: the first rule that
// matches decides, else the default of the action. `+` and `#` in a rule match as in a
// subscription; topics that begin with `$` match only rules that begin with `$`.
//
// A placeholder may stand anywhere in a level. Where the name that it stands for is missing, empty,
// or holds `/`, `+` or `#`, a rule that allows matches nothing. One that denies takes such a name
// as it is, and matches nothing where there is none.
#ifndef TERN_CORE_ACL_H
#define TERN_CORE_ACL_H

#include "core/base/err.h"

#define ACL_RULES_MAX 1000000u
#define ACL_LISTS_MAX 4096u // that concern one client

enum acl_action {
    ACL_PUBLISH,     // a topic that the client publishes to, its Will's included
    ACL_RECEIVE,     // a topic of a message that goes to the client
    ACL_SUBSCRIBE,   // a filter that it subscribes to; of `$share` the inner one
    ACL_UNSUBSCRIBE, // a filter
    ACL_ACTIONS,
};
#define ACL_BIT(action) ((uint8_t)(1u << (action)))
#define ACL_ALL         ((uint8_t)(ACL_BIT(ACL_ACTIONS) - 1))

struct acl;
struct acl_builder;
struct rights;

// ---- Compiling ----------------------------------------------------------------------------------

struct acl_rule {
    uint8_t actions;     // ACL_BITs that it decides
    bool allow;          // else it denies
    bool literal;        // the text must be this one, with its wildcards; else it is a filter
    bool pattern;        // %u and %c stand for the user name and the client identifier
    bool whole;          // denies only filters of which it covers all topics: see below
    uint32_t line;       // in a file, for people; 0: none
    struct slice filter; // copied
};

// allowed: ACL_BITs of what is allowed where no rule matches.
struct acl_builder *acl_builder_new(uint8_t allowed);
// Begins a list. Its number goes to the functions below.
uint32_t acl_builder_list(struct acl_builder *builder);
// Where its rules, or all rules, are written: for people. Copied.
void acl_builder_name(struct acl_builder *builder, uint32_t list, const char *role);
void acl_builder_source(struct acl_builder *builder, const char *file);
// The list's next rule. ERR_TOPIC_FILTER_INVALID; ERR_FULL: ACL_RULES_MAX.
NODISCARD err_t acl_builder_rule(struct acl_builder *builder, uint32_t list,
                                 const struct acl_rule *rule);
// Which lists concern this user, in order; the last call for a name holds. Lists that do not exist
// yet cannot be named. ERR_FULL: too many.
NODISCARD err_t acl_builder_user(struct acl_builder *builder, struct slice user,
                                 const uint32_t *lists, uint32_t count);
// Clients without a user name.
NODISCARD err_t acl_builder_anonymous(struct acl_builder *builder, const uint32_t *lists,
                                      uint32_t count);
// Users of which acl_builder_user knows nothing.
NODISCARD err_t acl_builder_others(struct acl_builder *builder, const uint32_t *lists,
                                   uint32_t count);
struct acl *acl_builder_finish(struct acl_builder *builder); // takes; returns new
void acl_builder_free(struct acl_builder *builder);          // takes; NULL is fine

struct acl *acl_ref(struct acl *acl); // returns the same, one more reference; NULL is fine
void acl_unref(struct acl *acl);      // takes one reference; NULL is fine

// The text of an ACL file as mosquitto's. OK: returns new. ERR_CONFIG: problem (of size bytes) says
// "NAME:LINE: what was found, and what was expected".
NODISCARD err_t acl_parse(const char *name, struct slice text, struct acl **ret_acl, char *problem,
                          size_t size);

// ---- One client ---------------------------------------------------------------------------------

// user.data NULL: it has no name. Copies the names; takes a reference to acl. Returns new.
struct rights *rights_new(struct acl *acl, struct slice user, struct slice client_id);
void rights_free(struct rights *rights); // takes; NULL is fine

struct acl *rights_acl(const struct rights *rights); // borrowed; rights NULL: NULL
// Do the same rules hold for the same names?
bool rights_equal(const struct rights *a, const struct rights *b);
// A number that the session keeps with its rights: places in its queue below it were filled under
// other ones (session_rights.c). 0 at first.
void rights_set_mark(struct rights *rights, uint64_t mark);
uint64_t rights_mark(const struct rights *rights);

// May it (ACL_PUBLISH, ACL_RECEIVE)? rights NULL: everything is allowed. topic: a Topic Name.
bool rights_allow(struct rights *rights, enum acl_action action, struct slice topic);
// The same for a client that is not here. Remembers nothing.
bool acl_allows(const struct acl *acl, struct slice user, struct slice client_id,
                enum acl_action action, struct slice topic);

enum acl_cover {
    ACL_COVERS_NOTHING, // none of the topics that the filter matches is allowed
    ACL_COVERS_SOME,    // or it cannot be told: each topic must be asked for
    ACL_COVERS_ALL,     // every topic that it matches is allowed
};
// What rights to topics (ACL_PUBLISH, ACL_RECEIVE) say of a whole filter. Looks at all rules that
// concern the client, as does the next function. rights NULL: ACL_COVERS_ALL.
enum acl_cover rights_cover(const struct rights *rights, enum acl_action action,
                            struct slice filter);
// May it subscribe, or unsubscribe, with this filter (ACL_SUBSCRIBE, ACL_UNSUBSCRIBE)? A rule's
// filter matches where it covers all topics of the given one; a denying rule that is not `whole`
// also where they share one. rights NULL: yes.
bool rights_allow_filter(const struct rights *rights, enum acl_action action, struct slice filter);

// What decides it, for people: the same search. Texts are borrowed from the rules.
struct acl_reason {
    bool allowed;
    bool by_rule;        // else no rule matches, and the default holds
    struct slice filter; // of the rule, as it is written; placeholders are %u and %c
    const char *role;    // of dynamic security; NULL: none
    const char *file;    // NULL: none: the rules came with the client
    uint32_t line;       // in file
};
// ACL_PUBLISH and ACL_RECEIVE are asked about a topic, the others about a filter.
void rights_explain(const struct rights *rights, enum acl_action action, struct slice text,
                    struct acl_reason *ret);

#endif
