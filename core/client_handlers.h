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
// The session leaves the connection, whoever ends it. Does nothing without a session.
void client_detach(struct client *client);

#endif
