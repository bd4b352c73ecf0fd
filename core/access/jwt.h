// jwt.h - JSON Web Tokens [RFC 7519] that clients bring as their password.
//
// Job:    is it a token, did one of our keys sign it, is it for us and for now, and whom and what
//         does it let in?
// Owner:  the caller. Thread: any. Memory: the claims; nothing is kept.
// Limits: JWT_TOKEN_MAX bytes; what json_text.h and jwt_keys.h say.
//
// Signed tokens in compact form alone [RFC 7515 section 7.1]. The key decides on the algorithm, as
// RFC 8725 asks: the header chooses among the algorithms that a key is for. Keys, and addresses of
// keys, in a header are never looked at. The configuration (auth_jwt_*) says whom a token must be
// from and for; its leeway makes `exp` later, `nbf` and `iat` earlier.
#ifndef TERN_CORE_ACCESS_JWT_H
#define TERN_CORE_ACCESS_JWT_H

#include "core/access/jwt_keys.h"
#include "core/acl.h"
#include "core/config.h"

#define JWT_TOKEN_MAX 16384u

struct jwt_request {
    struct slice token;     // the password
    struct slice user;      // of the CONNECT; data NULL: it has none
    struct slice client_id; // the same
    uint64_t now_s;         // wall clock, since 1970
};

struct jwt_claims {
    struct slice user;  // mem_alloc'ed
    uint64_t expires_s; // `exp` and the leeway; 0 = never
    struct acl *acl;    // acl_json.h; with a reference; NULL: the token says nothing
};

// ERR_NOT_FOUND: this is no token at all, and may be a password. ERR_BAD_CREDENTIALS: it is one,
// and no good; why says what is wrong with it ("it has expired"), for the log.
NODISCARD err_t jwt_check(const struct jwt_keys *keys, const struct auth_jwt_config *config,
                          const struct jwt_request *request, struct jwt_claims *ret_claims,
                          const char **ret_why);
void jwt_claims_clear(struct jwt_claims *claims); // frees what is in it; a zeroed one is fine

#endif
