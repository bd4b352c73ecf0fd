// client_handlers.h - what each kind of Control Packet does; client.c dispatches here by a table.
//
// Job:    one function per packet type that a client may send. An error ends the connection.
// Owner:  none. Thread: the client's worker. Memory: none. Limits: the configuration's.
#ifndef TERN_CORE_CLIENT_HANDLERS_H
#define TERN_CORE_CLIENT_HANDLERS_H

#include "core/codec.h"

struct client;
struct listener_config;

NODISCARD err_t client_on_connect(struct client *client, const struct frame *frame);
// Its session is on that node. Returns ERR_WAIT, ERR_SERVER_BUSY
// or ERR_SERVER_UNAVAILABLE.
NODISCARD err_t client_relay_begin(struct client *client, struct slice client_id, const char *node);
// The connection to there stands, or cannot be had in time.
struct node_dialled;
void client_relay_join(struct client *client, struct client *dialled,
                       const struct node_dialled *introduction);
void client_relay_fail(struct client *client);
// It may be that another node has its session, or has published its Will. OK: what is known here
// holds; ERR_WAIT: client_relay_retry follows.
NODISCARD err_t client_relay_await(struct client *client);
void client_relay_retry(struct client *client);
void client_relay_bytes(struct client *client, struct slice bytes);
void client_relay_writable(struct client *client); // what waited for its socket has gone
void client_relay_closed(struct client *client);
void client_relay_shut_down(struct client *client); // either side: this broker ends
// At that node: whose CONNECT comes next.
NODISCARD err_t client_relay_arrived(struct client *client, const struct connect_view *view);
// Its first packet: not OK when it came by a listener that is not the same here.
NODISCARD err_t client_relay_check(struct client *client, const struct frame *frame);
// The client identifier of the CONNECT that waits in client->in, as its listener has it; data NULL:
// there is none. Borrowed from there, or from the client's name.
struct slice client_first_id(const struct client *client);
// CONNECT at another node, as root and id, by this password.
void client_put_hello(struct client *client, const char *root, struct slice id, const char *user,
                      const char *password);
// The answer to client_dial.
NODISCARD err_t client_on_linked(struct client *client, const struct frame *frame);
// behind: what came after the packet. Takes off its front those that go with this one: that differ
// from it in their payload alone.
NODISCARD err_t client_on_publish(struct client *client, const struct frame *frame,
                                  struct slice *behind);
NODISCARD err_t client_on_subscribe(struct client *client, const struct frame *frame);
NODISCARD err_t client_on_unsubscribe(struct client *client, const struct frame *frame);
// Who the client is for this listener: its CONNECT's user name and client identifier give way to
// what it has proved to be, where the listener asks for that. name: see struct client_origin.
NODISCARD err_t client_identify(const struct listener_config *listener, const char *name,
                                struct connect_view *view);
// One packet, or the part of one that is there, of data, which is not empty; not for one that is
// CLIENT_CLOSING. Returns how many bytes it took.
uint32_t client_take_packet(struct client *client, struct slice data);
// Topics that clients may not publish to: the broker's own.
bool topic_is_reserved(struct slice topic);
struct rights;
// May somebody with these rights (NULL: all of them) publish to the topic, now or by a Will?
bool client_may_publish(struct rights *rights, struct slice topic);
// The client of this identifier, which has a session here, has come to another node, later: here it
// goes, with its session.
struct shard;
void client_evict(struct shard *shard, struct slice client_id);
// The session leaves the connection, whoever ends it. Does nothing without a session.
void client_detach(struct client *client);

#endif
