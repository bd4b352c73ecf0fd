// access.h - questions about who may come and do what, on their way from shards and back.
//
// Job:    core leaves a question here and suspends its client; whoever answers (core/access, on
//         threads of its own) gives it back; the shard takes the answers once a tick.
// Owner:  main. Thread: each function says.
// Memory: a question is one allocation; it owns copies of all that it asks about, and secrets are
//         wiped when it is freed.
// Limits: so many questions wait as access_desk_new was told; more are refused: ERR_SERVER_BUSY.
#ifndef TERN_CORE_ACCESS_H
#define TERN_CORE_ACCESS_H

#include <stdatomic.h>

#include "core/base/err.h"
#include "core/base/list.h"

struct acl;
struct broker;
struct client;

enum access_kind {
    ACCESS_CONNECT,   // user name and password, or a first message of enhanced authentication
    ACCESS_AUTH,      // the next message of enhanced authentication, or of a new one
    ACCESS_PUBLISH,   // may it publish to `topic`? Only with an authority outside (the HTTP hook)
    ACCESS_SUBSCRIBE, // the same for a filter
    ACCESS_CONTROL,   // payload for the authority that is addressed by `topic` ($CONTROL/...)
};

// Texts that a question owns; data NULL: there is none.
struct access_texts {
    struct slice client_id;
    struct slice user;
    struct slice password;    // secret
    struct slice name;        // of its certificate or pre-shared key, proved to the transport
    struct slice peer;        // "1.2.3.4:5"
    struct slice auth_method; // [MQTT5 3.1.2.11.9]
    struct slice auth_data;   // secret
    struct slice exchange;    // what the last answer of this exchange left (below); secret
    struct slice topic;       // PUBLISH, SUBSCRIBE, CONTROL
    struct slice payload;     // CONTROL
};

// What was found. Set by whoever answers.
struct access_answer {
    err_t err;       // OK: it may
    const char *why; // it may not, for the log alone; NULL = there is no more to say than err
    // Whoever answered knows nothing of this client: the next one is asked. Where there is none, it
    // may not: err says so already.
    bool ignored;
    uint32_t valid_ms; // PUBLISH, SUBSCRIBE: so long the answer holds for the same question asked
                       // anew by this client; 0: for the packet that it was asked for, alone
    // Enhanced authentication goes on: the client gets auth_data, and its next message comes with
    // `exchange`, which is the answerer's alone: plain bytes, wiped with the client.
    bool more;
    bool superuser;           // no rules hold for it
    uint64_t expires_s;       // wall clock, since 1970: the connection ends then; 0 = never
    uint64_t mark;            // of the user's entry in a file (access_users); 0 = it is in none
    struct slice user;        // the name it goes by from now on; data NULL = as asked. mem_alloc'ed
    struct slice auth_data;   // to the client; mem_alloc'ed; data NULL = none
    struct slice exchange;    // mem_alloc'ed; data NULL = the exchange is over
    struct acl *acl;          // rules that came with the client (a token's), with a reference; NULL
    struct slice reply;       // CONTROL: a message for the client; mem_alloc'ed
    struct slice reply_topic; // mem_alloc'ed
    struct slice settings;    // CONTROL: SETTING records (record.h), to be journaled; mem_alloc'ed
    uint64_t position;        // of the last of them in the journal: the shard's business alone
};

struct access_question {
    struct list node;  // the desk's
    struct list asked; // of the client: those under way
    enum access_kind kind;
    unsigned shard;        // that asks
    struct client *client; // the shard's business alone; NULL: it has gone
    uint32_t listener_index;
    uint8_t version;   // enum mqtt_version
    uint8_t qos;       // PUBLISH, SUBSCRIBE
    bool retain;       // PUBLISH
    bool clean;        // CONNECT
    uint64_t asked_ms; // monotonic
    uint64_t bytes;    // of memory, for the shard's account
    struct access_texts texts;
    struct access_answer answer;
};

// Returns new, with copies of texts.
struct access_question *access_question_new(const struct access_texts *texts);
// Wipes and frees it with all that its answer still holds. Takes; NULL is fine.
void access_question_free(struct access_question *question);

// Wipes and frees a text that a client took over from an answer.
void access_wipe(struct slice *text);

// ---- The desk -----------------------------------------------------------------------------------

struct access_desk;

struct access_desk *access_desk_new(unsigned shard_count, uint32_t questions_max);
// Takes, with all that lies there. No thread uses it any more. NULL is fine.
void access_desk_free(struct access_desk *desk);

// ON_WORKER. Takes question when OK. ERR_SERVER_BUSY: too many wait; the caller keeps it.
NODISCARD err_t access_ask(struct access_desk *desk, struct access_question *question);
// The next answer for this shard, or NULL. The caller owns it. ON_WORKER.
struct access_question *access_next_answer(struct access_desk *desk, unsigned shard);
bool access_has_answer(const struct access_desk *desk, unsigned shard); // ON_WORKER

// For the threads that answer. The oldest question, or NULL when the desk was closed. Waits.
struct access_question *access_take(struct access_desk *desk);
// Gives it back, and wakes its shard. Takes. ON_ANY.
void access_give(struct access_desk *desk, struct broker *broker, struct access_question *question);
// Whoever waits in access_take returns with NULL, now and later.
void access_desk_close(struct access_desk *desk);
// Questions that nobody has taken yet. ON_ANY.
uint32_t access_waiting(const struct access_desk *desk);

// ---- What all shards know -----------------------------------------------------------------------

// Names with a mark each, for the question whether a connected client would still be let in: a name
// that is gone or has another mark would not. Counted; immutable once it is shared.
struct access_users;
struct access_users *access_users_new(void); // returns new, one reference
void access_users_add(struct access_users *users, struct slice name, uint64_t mark);
uint64_t access_users_mark(const struct access_users *users, struct slice name); // 0 = none
struct access_users *access_users_ref(struct access_users *users);               // NULL is fine
void access_users_unref(struct access_users *users); // takes one; NULL is fine

// What became of questions to the HTTP service. Each is counted once, from cache_hits on.
// clang-format off
#define ACCESS_HTTP_TABLE(X)                                                                       \
    X(questions) X(requests) X(joined) /* waited for the request of an equal question */           \
    X(cache_hits) /* and, of those that were not: */                                               \
    X(allowed) X(denied) X(ignored)                                                                \
    X(refused_busy)        /* auth_http_max_requests */                                            \
    X(refused_too_large)                                                                           \
    X(refused_timeout) X(refused_unreachable)                                                      \
    X(refused_failed)      /* 5xx, 408, 429, a redirection */                                      \
    X(refused_no_sense)    /* not an answer, or too long for one */                                \
    X(refused_down)        /* taken for dead */                                                    \
    X(refused_end)         /* the broker ends */                                                   \
    /* gauges */                                                                                   \
    X(under_way) X(cached) X(cached_bytes)
// clang-format on
enum access_http_count {
#define X(name) ACCESS_HTTP_##name,
    ACCESS_HTTP_TABLE(X)
#undef X
        ACCESS_HTTP_COUNTS,
};
struct access_http_stats { // relaxed; the hook writes, anybody reads
    _Atomic uint64_t counts[ACCESS_HTTP_COUNTS];
};

#define ACCESS_LISTENERS_MAX 64

// In force at a time, read once a tick; main replaces it and frees the old one after a grace
// period. What is all zero stands for no rules at all.
struct access_rules {
    uint64_t version; // set by broker_set_access; never used twice
    struct {
        bool ask;                   // who connects is asked about; else anybody may
        bool ask_publish;           // ACCESS_PUBLISH
        bool ask_subscribe;         // ACCESS_SUBSCRIBE
        struct acl *acl;            // NULL = everything is allowed; with a reference
        struct access_users *users; // NULL = nobody has a mark; with a reference
        bool users_are_all;         // nobody else is let in by a user name
    } listeners[ACCESS_LISTENERS_MAX];
    bool alike;   // rules for topics are the same for all listeners
    bool control; // somebody answers ACCESS_CONTROL
};

struct access_rules *access_rules_new(void);        // returns new, all zero
void access_rules_free(struct access_rules *rules); // takes; NULL is fine

#endif
