// endpoint.h - where a node is: as gossip has it, as a socket wants it, as people read it.
//
// Job:    turns one into the other. Owner: none. Thread: any. Memory: none. Limits: none.
#ifndef TERN_CLUSTER_ENDPOINT_H
#define TERN_CLUSTER_ENDPOINT_H

#include <sys/socket.h>

#include "cluster/gossip_codec.h"

#define ENDPOINT_TEXT 64u

bool endpoint_is_ipv4(const struct gossip_address *address);
// False: of another family than IPv4 or IPv6.
bool endpoint_of(const struct sockaddr *from, struct gossip_address *ret_address);
// For a socket of IPv6, or of IPv4: then the address is one. Returns the length.
socklen_t endpoint_sockaddr(const struct gossip_address *address, bool ipv6,
                            struct sockaddr_storage *ret);
// "ADDRESS:PORT", or "[ADDRESS]:PORT".
void endpoint_text(const struct gossip_address *address, char ret_text[ENDPOINT_TEXT]);
// The first address of "NAME:PORT". May take seconds. False: the name is not known, now.
// passive: an address to bind.
bool endpoint_resolve(struct slice text, bool passive, struct gossip_address *ret_address);

#endif
