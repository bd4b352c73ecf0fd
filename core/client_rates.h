// client_rates.h - messages and bytes a second, from and to one client.
//
// Job:    the four rates of a listener. In: packets beyond them are held back and the client is not
//         read, until tokens are back; nothing is lost and nobody is disconnected. Out: what may
//         wait in the session waits.
// Owner:  the client, from its CONNECT on, where its listener has a rate; else it costs one test of
//         a pointer. Thread: its shard's worker.
// Memory: 150 bytes; what had arrived when reading was stopped, counted in shard->in_bytes.
// Limits: as many tokens as a second brings are saved up. One packet may take more than there are,
//         and the next waits for it.
#ifndef TERN_CORE_CLIENT_RATES_H
#define TERN_CORE_CLIENT_RATES_H

#include "core/base/wheel.h"

#include "core/bucket.h"

struct client;

struct client_rates {
    struct timer timer; // for the earlier of the two
    struct client *client;
    uint64_t in_due_ms;  // when the held packets go on; 0 = none are held
    uint64_t out_due_ms; // when messages go on; 0 = they do not wait
    struct bucket messages_in, bytes_in, messages_out, bytes_out;
    uint8_t *held; // packets that have arrived and wait
    uint32_t held_len, held_cap;
};

// It has connected: makes what its listener asks for, if anything.
void client_rates_begin(struct client *client);
void client_rates_free(struct client *client); // fine without
// What arrived, in order; for clients with rates, in place of client_on_bytes' own loop.
void client_rates_input(struct client *client, struct slice data);
// The peer has gone: what it had sent before is taken at once.
void client_rates_finish(struct client *client);
void client_rates_on_timer(struct client_rates *rates);

// May a message be sent? False: client_rates_on_timer goes on with the session.
bool client_rates_may_send(struct client *client);
// A message with so many bytes of topic and payload is sent.
void client_rates_sent(struct client *client, uint32_t bytes);

#endif
