// certificate.h - what the broker wants to know of an X.509 certificate.
//
// Job:    until when it is valid, whose it is and whether it is a CA's, from its DER bytes. Whether
//         it can be trusted is wolfSSL's to say, before anybody asks here.
// Owner:  the caller. Thread: any. Memory: none but the names that are returned.
// Limits: lengths below 2^24; CERTIFICATE_NAME_MAX bytes of a name as text.
#ifndef TERN_IO_CERTIFICATE_H
#define TERN_IO_CERTIFICATE_H

#include "core/base/base.h"

// A user name has at most 65,535 bytes; no sane subject has more than this.
#define CERTIFICATE_NAME_MAX 4096u

struct certificate {
    struct slice subject; // its RDNs, DER; borrowed from the certificate
    int64_t not_before_s; // since 1970
    int64_t not_after_s;
    bool authority; // may sign others: its basic constraints say so
};

// False when the bytes are not DER of a certificate.
bool certificate_parse(struct slice der, struct certificate *ret_certificate);
// The last Common Name, returned new. NULL: there is none, or it is empty, has U+0000 or is not
// UTF-8.
char *certificate_common_name(const struct certificate *certificate);
// The subject as RFC 2253 writes it ("CN=a,O=b", last RDN first), as OpenSSL does: other bytes than
// printable ASCII as \XX. Returned new; NULL when it is empty or too long.
char *certificate_subject(const struct certificate *certificate);

#endif
