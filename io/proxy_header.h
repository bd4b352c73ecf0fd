// proxy_header.h - what a proxy says of the client that it speaks for (PROXY protocol 1 and 2).
//
// Job:    the header that HAProxy and others send before a connection's own bytes: the client's
//         address and, in version 2, whether it came by TLS and with which certificate.
// Owner:  the caller, who believes it only from addresses that it trusts.
// Thread: any. Memory: none; the parser looks at all bytes that have come each time.
// Limits: PROXY_V1_MAX bytes of version 1 (its specification's), PROXY_V2_MAX of version 2.
#ifndef TERN_IO_PROXY_HEADER_H
#define TERN_IO_PROXY_HEADER_H

#include <netinet/in.h>

#include "core/base/err.h"

#define PROXY_V1_MAX 107u
// Two addresses of unix sockets (216), and the TLVs that are read here: names of at most 255 bytes.
#define PROXY_V2_MAX     2048u
#define PROXY_SOURCE_MAX 128u // of a unix socket's path, 108

enum proxy_family {
    PROXY_LOCAL, // the proxy speaks for itself (health checks), or does not know: the real address
    PROXY_TCP4,
    PROXY_TCP6,
    PROXY_UNIX,
};

struct proxy_header {
    uint32_t len; // of the header; what follows is the client's
    enum proxy_family family;
    uint16_t port;            // of the client
    uint8_t address[16];      // of the client, network order; 4 bytes of it with PROXY_TCP4
    struct slice unix_path;   // PROXY_UNIX; borrowed from the bytes
    bool tls;                 // the client came by TLS
    bool certificate;         // ... with a certificate on this connection or in this session
    bool verified;            // ... which the proxy has verified
    struct slice common_name; // of it; data NULL = not told; borrowed from the bytes
};

// Looks at the first bytes of a connection. ERR_NEED_MORE: more than these are needed.
// ERR_MALFORMED: this is no PROXY header.
NODISCARD err_t proxy_header_parse(struct slice bytes, struct proxy_header *ret_header);
// The client's address for the log, as peer_text writes it: "1.2.3.4:5", "[::1]:5", "unix:/path".
// Not for PROXY_LOCAL. Cut to fit.
void proxy_header_text(const struct proxy_header *header, char *ret_text, size_t size);

#endif
