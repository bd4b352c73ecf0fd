// address.h - the part of a client's address that limits and bans count by.
//
// Job:    an IPv4 address, or the first 64 bits of an IPv6 one (the rest is the client's own
//         choice) as a number; from the text that a connection has for the log.
// Owner:  none. Thread: any. Memory: none. Limits: none.
#ifndef TERN_CORE_ADDRESS_H
#define TERN_CORE_ADDRESS_H

#include "core/base/base.h"

#define ADDRESS_NONE     0u // a unix socket, or not known: no limit counts it
#define ADDRESS_TEXT_MAX 48u

// "1.2.3.4", "1.2.3.4:5", "2001:db8::1", "[2001:db8::1]:5"; an IPv4 address that is written as an
// IPv6 one is the IPv4 address. Anything else is ADDRESS_NONE.
uint64_t address_parse(const char *text);
// "1.2.3.4", "2001:db8:0:1::/64".
void address_format(uint64_t address, char ret_text[ADDRESS_TEXT_MAX]);

#endif
