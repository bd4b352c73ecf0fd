// scram.h - the server's side of SCRAM-SHA-256 and SCRAM-SHA-512.
//
// Job:    two messages of a client in, two of ours out [RFC 5802] [RFC 7677]. MQTT carries them as
//         Authentication Data [MQTT5 4.12].
// Owner:  the caller, of all that comes back. Thread: any but workers; microseconds.
// Memory: an exchange is the messages and about 200 bytes.
// Limits: SCRAM_MESSAGE_MAX, SCRAM_NONCE_MAX.
//
// No channel binding: `n` and `y` are taken, `p=` is refused; no SASLprep: names and passwords are
// compared as the bytes that they are, which for ASCII is the same.
//
// A name that nobody has, or that cannot do this method, goes all the way, with salt and iterations
// as others have them (users.h), and fails at the end as a wrong password does.
#ifndef TERN_CORE_ACCESS_SCRAM_H
#define TERN_CORE_ACCESS_SCRAM_H

#include "core/access/users.h"

#define SCRAM_MESSAGE_MAX 4096u // bytes of a client's message
#define SCRAM_NONCE_MAX   256u  // bytes of a client's nonce

// Is this Authentication Method one of the two?
bool scram_method(struct slice method, enum digest *ret_digest);

struct scram_reply {
    struct slice message;  // for the client; mem_alloc'ed
    struct slice user;     // as it names itself, not proved before scram_finish; mem_alloc'ed
    struct slice exchange; // of scram_start, for scram_finish: plain bytes, secret; mem_alloc'ed
    uint64_t mark;         // of scram_finish: of the user's entry
};

// The client's first message. OK: the exchange goes on.
// ERR_PROTOCOL: not a message of SCRAM, or too long. ERR_BAD_AUTH_METHOD: it wants channel binding,
// or an extension that is mandatory. ERR_NOT_AUTHORIZED: it wants to act for somebody else. ERR_IO:
// no random bytes.
NODISCARD err_t scram_start(const struct users *users, enum digest digest,
                            struct slice client_first, struct scram_reply *ret_reply);
// The same with the server's part of the nonce given, as published vectors have it: printable, no
// comma, at most SCRAM_NONCE_MAX. One that a client can foresee, or that comes twice, is no nonce.
NODISCARD err_t scram_start_with(const struct users *users, enum digest digest,
                                 struct slice client_first, struct slice server_nonce,
                                 struct scram_reply *ret_reply);
// Its second one; exchange is as scram_start left it, and used once. OK: it is who it says.
// ERR_BAD_CREDENTIALS: it is not, or its line in the file is another one by now. ERR_PROTOCOL as
// above.
NODISCARD err_t scram_finish(const struct users *users, struct slice exchange,
                             struct slice client_final, struct scram_reply *ret_reply);
// Wipes and frees. A zeroed one is fine.
void scram_reply_clear(struct scram_reply *reply);

#endif
