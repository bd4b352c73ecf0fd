// advertised.h - how clients reach this node, as it tells the others.
//
// Job:    advertise and advertise_host to bytes that gossip carries, and back to a Server
//         Reference [MQTT5 4.11] for clients of one listener.
// Owner:  none. Thread: any. Memory: none: what is read is copied.
// Limits: NODE_ADVERTISED_MAX bytes for all listeners of a node.
//
// The bytes: for each host u8 length, host, u8 count, and so many times u8 listener (from 0 on),
// u16 port, big-endian; 0: the reference has none.
#ifndef TERN_CORE_ADVERTISED_H
#define TERN_CORE_ADVERTISED_H

#include "core/cluster_node.h"

struct config;

// "HOST" or "HOST:PORT"; an IPv6 address stands in brackets. Borrows from text; port 0: it has
// none. False: it is neither. References are told with blanks between, so there is none in them.
bool advertised_split(struct slice text, struct slice *ret_host, uint16_t *ret_port);
// What the others are told of all listeners. False: they do not fit, ret_len says what they need.
bool advertised_write(const struct config *config, uint8_t ret[NODE_ADVERTISED_MAX],
                      uint32_t *ret_len);
// The reference to the listener with this number. False: bytes have none.
bool advertised_find(struct slice bytes, uint32_t listener, char ret_text[NODE_REFERENCE_MAX + 1]);

#endif
