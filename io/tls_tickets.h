// tls_tickets.h - the keys that seal session tickets.
//
// Job:    either keys of a file, which several brokers share: the first one seals, all of them
//         open; or random ones that change by themselves, so that nobody can open old traffic with
//         what he finds in memory later.
// Owner:  a TLS context. Thread: any; the random keys are behind a mutex, held for a copy.
// Memory: a kilobyte; wiped when freed.
// Limits: TLS_TICKET_KEYS_MAX keys; a ticket is good for TLS_TICKET_LIFE_S at least, twice that at
//         most, and as long as its key stands in the file.
#ifndef TERN_IO_TLS_TICKETS_H
#define TERN_IO_TLS_TICKETS_H

#include "core/base/secret_file.h"

#define TLS_TICKET_KEYS_MAX   16u
#define TLS_TICKET_LIFE_S     3600u
#define TLS_TICKET_NAME_BYTES 16u
#define TLS_TICKET_IV_BYTES   12u
#define TLS_TICKET_TAG_BYTES  16u

struct tls_tickets;

struct tls_ticket_head { // what stands beside the sealed bytes
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t iv[TLS_TICKET_IV_BYTES];
    uint8_t tag[TLS_TICKET_TAG_BYTES];
};

enum tls_ticket_answer {
    TICKET_UNKNOWN, // no such key, or not what we sealed
    TICKET_GOOD,
    TICKET_OLD, // good, but its key will go: give a new one
};

// Lines of 48 bytes in base64 (`openssl rand -base64 48`): the key's name, the key. `#` comments.
// NULL: random keys. Returns new. ERR_CONFIG: the problem names file and line.
NODISCARD err_t tls_tickets_new(const char *path, struct tls_tickets **ret_tickets,
                                struct file_problem *ret_problem);
void tls_tickets_free(struct tls_tickets *tickets); // takes; wipes; NULL is fine

// In place, AES-256-GCM. now_ms is the monotonic clock's. ERR_IO: no randomness, or wolfCrypt
// failed.
NODISCARD err_t tls_ticket_seal(struct tls_tickets *tickets, uint64_t now_ms, uint8_t *data,
                                uint32_t len, struct tls_ticket_head *ret_head);
enum tls_ticket_answer tls_ticket_open(struct tls_tickets *tickets, uint64_t now_ms, uint8_t *data,
                                       uint32_t len, const struct tls_ticket_head *head);

#endif
