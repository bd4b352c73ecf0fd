// client_access.h - what a client waits to be told of its rights, and what it was told.
//
// Job:    asks on behalf of a Control Packet, suspends the client meanwhile, and has the packet
//         handled again when the answer is there; the messages of enhanced authentication.
// Owner:  the client, from its first question on. Thread: its shard's worker.
// Memory: struct client_access; the bytes of the suspended packet and of those behind it, which are
//         few, because the client is not read meanwhile.
// Limits: the desk's; CLIENT_DECISIONS answers of the authority outside are remembered, and those
//         to the questions of the present packet.
//
// A handler that needs to know returns ERR_WAIT, and has changed nothing until then. It is called
// again with the same packet, and finds the answer.
#ifndef TERN_CORE_CLIENT_ACCESS_H
#define TERN_CORE_CLIENT_ACCESS_H

#include "core/access.h"
#include "core/codec.h"

struct client;
struct frame;
struct shard;

#define CLIENT_DECISIONS 16u // topics

struct client_decision { // of the authority outside, about one topic or filter
    uint64_t until_ms;
    uint8_t *text;
    uint32_t len;
    uint8_t kind, qos; // enum access_kind
    bool retain, allowed;
};

struct client_access {
    struct list asked;                 // questions under way: the client is suspended
    struct access_question *answer;    // to CONNECT, AUTH or CONTROL; NULL = none, or taken
    struct client_decision *decisions; // the oldest first
    uint32_t decision_count, decision_cap;
    // Enhanced authentication [MQTT5 4.12].
    struct slice connect;  // the CONNECT packet, while messages go to and fro; else data NULL
    struct slice method;   // that CONNECT named; data NULL = none
    struct slice exchange; // between two messages; data NULL = none is under way
    uint64_t ends_ms;      // the connection ends; UINT64_MAX = never
    uint64_t mark;         // of the user's entry in a file; 0 = it is in none
    char *name;            // of a client that came by another node: struct client.name; NULL = none
    bool commands;         // its commands are being executed: it is reviewed after them
};

// Asks, and returns ERR_WAIT; or ERR_SERVER_BUSY, and nothing has changed.
NODISCARD err_t client_ask(struct client *client, enum access_kind kind,
                           const struct access_texts *texts);
// The answer to this kind of question about the packet that is handled again; NULL: not asked yet.
// The caller owns it.
struct access_question *client_take_answer(struct client *client, enum access_kind kind);
// May it publish to, or subscribe to, this topic or filter, according to the authority outside? OK,
// ERR_NOT_AUTHORIZED, or as client_ask. Of one packet several may be asked about.
NODISCARD err_t client_decide(struct client *client, enum access_kind kind, struct slice topic,
                              uint8_t qos, bool retain);
// What is known of it without asking; ERR_QUOTA_EXCEEDED: nothing, because the desk was full.
NODISCARD err_t client_decided(struct client *client, enum access_kind kind, struct slice topic,
                               uint8_t qos, bool retain);
// The client's, made on first need.
struct client_access *client_access_of(struct client *client);
// The rules have changed: what the authority outside has said holds for the present packet alone.
void client_access_outdate(struct client_access *access); // NULL is fine
// The connection is gone. NULL is fine.
void client_access_free(struct client_access *access);

// Hands out the answers that came.
void client_answers(struct shard *shard);

// CONNECT asked for enhanced authentication, and there is more to say before it is answered: keeps
// the packet, sends AUTH. Takes answer.
void client_auth_continue(struct client *client, const struct frame *connect,
                          struct access_question *answer);
// A packet before CONNACK, while authentication goes on.
NODISCARD err_t client_on_early_packet(struct client *client, const struct frame *frame);
// AUTH of a connected client: it authenticates again.
NODISCARD err_t client_on_auth(struct client *client, const struct frame *frame);
// Remembers what an accepted CONNECT, or a new authentication, brought with it: until when, whose
// entry. Takes over nothing.
void client_access_granted(struct client *client, const struct access_answer *answer);

#endif
