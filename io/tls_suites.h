// tls_suites.h - which cipher suites a listener offers.
//
// Job:    from the operator's lists (OpenSSL's names and groups, as Mosquitto takes them) to
//         wolfSSL's. What is not in the table does not exist here: no NULL, anonymous, RC4, export,
//         3DES, static RSA, whatever a list says.
// Owner:  none, a table. Thread: any. Memory: none.
// Limits: TLS_SUITES_TEXT_MAX bytes.
#ifndef TERN_IO_TLS_SUITES_H
#define TERN_IO_TLS_SUITES_H

#include "core/base/secret_file.h"

#define TLS_SUITES_TEXT_MAX 1024u

struct tls_suites_wanted {
    const char *ciphers;       // TLS 1.2; NULL = the default
    const char *ciphers_tls13; // TLS 1.3; NULL = all
    bool psk;                  // suites with a pre-shared key instead of those with a certificate
    bool tls13_only;
};

// ERR_CONFIG: a list leaves nothing. ret_list is what wolfSSL wants; ret_unknown names what is not
// available here (empty: nothing), which OpenSSL passes over in silence and so do we, nearly.
NODISCARD err_t tls_suites(const struct tls_suites_wanted *wanted,
                           char ret_list[TLS_SUITES_TEXT_MAX],
                           char ret_unknown[TLS_SUITES_TEXT_MAX], struct file_problem *ret_problem);

#endif
