// scram.c - the server's side of SCRAM: two steps over plain bytes.
#include "core/access/scram.h"

#include <stdio.h>
#include <sys/random.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access/base64.h"

#define NONCE_BYTES      18 // of ours, which are 24 characters
#define SERVER_FIRST_MAX (SCRAM_NONCE_MAX * 2 + 128)
#define EXCHANGE_MAGIC   0x53635261u

// What is remembered between the two steps, at the beginning of an exchange. Behind it: the GS2
// header, the user's name, and of what is signed all that is known by then, which is
// "client-first-message-bare,server-first-message,".
struct head {
    uint32_t magic;
    uint32_t gs2_len, user_len, signed_len;
    uint32_t nonce_at, nonce_len; // both nonces together, in what is signed
    uint8_t digest;
    bool known;
    uint64_t mark;
    uint8_t stored_key[DIGEST_LEN_MAX];
    uint8_t server_key[DIGEST_LEN_MAX];
};

// ---- The grammar --------------------------------------------------------------------------------

bool
scram_method(struct slice method, enum digest *ret_digest)
{
    bool sha256 = slice_equal(method, slice_str("SCRAM-SHA-256"));
    *ret_digest = sha256 ? DIGEST_SHA256 : DIGEST_SHA512;
    return sha256 || slice_equal(method, slice_str("SCRAM-SHA-512"));
}

// The text up to the next comma, or the end; *rest moves behind it. False where there is nothing,
// not even an empty text: rest.data is NULL then.
static bool
next_part(struct slice *rest, struct slice *ret_part)
{
    if (!rest->data)
        return false;
    const uint8_t *comma = rest->len > 0 ? memchr(rest->data, ',', rest->len) : NULL;
    if (!comma) {
        *ret_part = *rest;
        *rest = slice_of(NULL, 0);
        return true;
    }
    *ret_part = slice_of(rest->data, (size_t)(comma - rest->data));
    must(ret_part->len < rest->len);
    *rest = slice_of(comma + 1, rest->len - ret_part->len - 1);
    return true;
}

// The next part, which must be the attribute of this name.
static bool
next_attribute(struct slice *rest, uint8_t name, struct slice *ret_value)
{
    struct slice part;
    if (!next_part(rest, &part) || part.len < 2 || part.data[0] != name || part.data[1] != '=')
        return false;
    *ret_value = slice_of(part.data + 2, part.len - 2);
    return true;
}

static bool
is_attribute(struct slice part)
{
    if (part.len < 3 || part.data[1] != '=')
        return false;
    uint8_t letter = part.data[0] | 0x20;
    return letter >= 'a' && letter <= 'z';
}

static bool
nonce_is_good(struct slice nonce)
{
    bool good = nonce.len > 0 && nonce.len <= SCRAM_NONCE_MAX;
    for (uint32_t i = 0; i < nonce.len && good; i++)
        good = nonce.data[i] > ' ' && nonce.data[i] < 0x7f; // no comma: it has been cut there
    return good;
}

// A saslname: `,` and `=` stand as =2C and =3D. dst has room for text.len.
static bool
unescape_name(struct slice text, uint8_t *dst, uint32_t *ret_len)
{
    uint32_t len = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '=') {
            struct slice code = slice_of(text.data + i, min_u32(text.len - i, 3));
            if (slice_equal(code, slice_str("=2C")))
                c = ',';
            else if (!slice_equal(code, slice_str("=3D")))
                return false;
            i += 2;
        }
        dst[len++] = c;
    }
    must(len <= text.len);
    *ret_len = len;
    return len > 0 && utf8_valid(slice_of(dst, len));
}

// client-first-message, taken apart; everything but user borrowed from it.
struct first {
    struct slice gs2, bare, nonce, authzid;
    bool has_authzid;
    uint8_t user[SCRAM_MESSAGE_MAX];
    uint32_t user_len;
};

// gs2-header: the flag for channel binding, and whom to act for.
static err_t
read_gs2(struct slice *rest, struct first *first)
{
    const uint8_t *begin = rest->data;
    struct slice flag, authzid;
    if (!next_part(rest, &flag) || flag.len == 0 || !next_part(rest, &authzid) || !rest->data)
        return ERR_PROTOCOL;
    if (flag.len >= 2 && flag.data[0] == 'p' && flag.data[1] == '=')
        return ERR_BAD_AUTH_METHOD;
    if (!slice_equal(flag, slice_str("n")) && !slice_equal(flag, slice_str("y")))
        return ERR_PROTOCOL;
    first->has_authzid = authzid.len > 0;
    if (first->has_authzid && !next_attribute(&authzid, 'a', &first->authzid))
        return ERR_PROTOCOL;
    first->gs2 = slice_of(begin, (size_t)(rest->data - begin));
    return OK;
}

static err_t
read_first(struct slice message, struct first *first)
{
    struct slice rest = message, name, part;
    err_t err = read_gs2(&rest, first);
    if (err != OK)
        return err;
    first->bare = rest;
    if (rest.len >= 2 && rest.data[0] == 'm' && rest.data[1] == '=')
        return ERR_BAD_AUTH_METHOD; // an extension that must be understood
    if (!next_attribute(&rest, 'n', &name) || !next_attribute(&rest, 'r', &first->nonce) ||
        !nonce_is_good(first->nonce))
        return ERR_PROTOCOL;
    while (next_part(&rest, &part)) // extensions that need not be
        if (!is_attribute(part))
            return ERR_PROTOCOL;
    if (!unescape_name(name, first->user, &first->user_len))
        return ERR_PROTOCOL;
    // It was escaped the same way, if it is the same.
    if (first->has_authzid && !slice_equal(first->authzid, name))
        return ERR_NOT_AUTHORIZED;
    return OK;
}

// ---- First step ---------------------------------------------------------------------------------

static struct slice
copy(struct slice bytes)
{
    must(bytes.len > 0);
    uint8_t *to = mem_alloc(bytes.len);
    memcpy(to, bytes.data, bytes.len);
    return slice_of(to, bytes.len);
}

// server-first-message. Returns its length.
static uint32_t
write_server_first(const struct first *first, const struct users_scram *scram,
                   struct slice server_nonce, char dst[SERVER_FIRST_MAX])
{
    char salt[PASSWORD_SALT_MAX * 2];
    must(base64_encoded_max(scram->salt_len) < sizeof salt);
    base64_encode(BASE64_PADDED, slice_of(scram->salt, scram->salt_len), salt);
    int len = snprintf(dst, SERVER_FIRST_MAX, "r=%.*s%.*s,s=%s,i=%u", (int)first->nonce.len,
                       (const char *)first->nonce.data, (int)server_nonce.len,
                       (const char *)server_nonce.data, salt, scram->iterations);
    must(len > 0 && len < (int)SERVER_FIRST_MAX);
    return (uint32_t)len;
}

static struct slice
write_exchange(struct head *head, const struct first *first, struct slice server_first)
{
    head->magic = EXCHANGE_MAGIC;
    head->gs2_len = first->gs2.len;
    head->user_len = first->user_len;
    head->signed_len = first->bare.len + 1 + server_first.len + 1;
    head->nonce_at = first->bare.len + 1 + 2; // behind "r="
    size_t len = sizeof *head + head->gs2_len + head->user_len + head->signed_len;
    uint8_t *exchange = mem_alloc(len), *p = exchange;
    const struct slice parts[] = {
        slice_of(head, sizeof *head),
        first->gs2,
        slice_of(first->user, first->user_len),
        first->bare,
        slice_str(","),
        server_first,
        slice_str(","),
    };
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        memcpy(p, parts[i].data, parts[i].len);
        p += parts[i].len;
    }
    must(p == exchange + len);
    return slice_of(exchange, len);
}

err_t
scram_start_with(const struct users *users, enum digest digest, struct slice client_first,
                 struct slice server_nonce, struct scram_reply *ret_reply)
{
    must(nonce_is_good(server_nonce));
    struct first first = {0};
    if (client_first.len == 0 || client_first.len > SCRAM_MESSAGE_MAX)
        return ERR_PROTOCOL;
    err_t err = read_first(client_first, &first);
    if (err != OK)
        return err;
    struct users_scram scram;
    struct slice user = slice_of(first.user, first.user_len);
    users_scram(users, digest, user, &scram);
    char text[SERVER_FIRST_MAX];
    struct slice server_first =
        slice_of(text, write_server_first(&first, &scram, server_nonce, text));
    struct head head = {
        .nonce_len = first.nonce.len + server_nonce.len,
        .digest = (uint8_t)digest,
        .known = scram.known,
        .mark = scram.mark,
    };
    memcpy(head.stored_key, scram.stored_key, sizeof head.stored_key);
    memcpy(head.server_key, scram.server_key, sizeof head.server_key);
    *ret_reply = (struct scram_reply){
        .message = copy(server_first),
        .user = copy(user),
        .exchange = write_exchange(&head, &first, server_first),
    };
    explicit_bzero(&head, sizeof head);
    explicit_bzero(&scram, sizeof scram);
    return OK;
}

err_t
scram_start(const struct users *users, enum digest digest, struct slice client_first,
            struct scram_reply *ret_reply)
{
    uint8_t nonce[NONCE_BYTES];
    char text[NONCE_BYTES * 2];
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        return ERR_IO;
    uint32_t len = base64_encode(BASE64_PADDED, slice_of(nonce, sizeof nonce), text);
    return scram_start_with(users, digest, client_first, slice_of(text, len), ret_reply);
}

// ---- Second step --------------------------------------------------------------------------------

struct exchange {
    struct head head;
    struct slice gs2, user, signed_text; // borrowed
};

static void
read_exchange(struct slice bytes, struct exchange *exchange)
{
    struct head *head = &exchange->head;
    must(bytes.len >= sizeof *head);
    memcpy(head, bytes.data, sizeof *head);
    must(head->magic == EXCHANGE_MAGIC); // core gives back what it was given
    must(bytes.len == sizeof *head + head->gs2_len + head->user_len + head->signed_len);
    const uint8_t *p = bytes.data + sizeof *head;
    exchange->gs2 = slice_of(p, head->gs2_len);
    exchange->user = slice_of(p + head->gs2_len, head->user_len);
    exchange->signed_text = slice_of(p + head->gs2_len + head->user_len, head->signed_len);
    must(head->nonce_at + head->nonce_len < head->signed_len);
}

// client-final-message: is it one of this exchange? What it proves is for the caller to see.
static err_t
read_final(const struct exchange *exchange, struct slice message, struct slice *ret_without_proof,
           struct slice *ret_proof)
{
    // "c=": the GS2 header again, so that nobody can have changed it on the way.
    char binding[(SCRAM_MESSAGE_MAX / 3 + 1) * 4 + 1];
    uint32_t len = base64_encode(BASE64_PADDED, exchange->gs2, binding);
    must(len < sizeof binding);
    struct slice rest = message, value, part = {0};
    if (!next_attribute(&rest, 'c', &value) || !slice_equal(value, slice_of(binding, len)))
        return ERR_PROTOCOL;
    const struct head *head = &exchange->head;
    struct slice nonce = slice_of(exchange->signed_text.data + head->nonce_at, head->nonce_len);
    if (!next_attribute(&rest, 'r', &value) || !slice_equal(value, nonce))
        return ERR_PROTOCOL;
    while (next_part(&rest, &part) && rest.data) // extensions
        if (!is_attribute(part) || part.data[0] == 'p')
            return ERR_PROTOCOL;
    if (part.len < 2 || part.data[0] != 'p' || part.data[1] != '=')
        return ERR_PROTOCOL;
    *ret_proof = slice_of(part.data + 2, part.len - 2);
    *ret_without_proof = slice_of(message.data, (size_t)(part.data - message.data) - 1);
    return OK;
}

// ClientKey is ClientProof XOR ClientSignature, and its hash must be StoredKey.
static bool
proof_is_good(const struct exchange *exchange, struct slice without_proof, const uint8_t *proof)
{
    enum digest digest = (enum digest)exchange->head.digest;
    uint32_t len = digest_len(digest);
    uint8_t key[DIGEST_LEN_MAX], hash[DIGEST_LEN_MAX];
    digest_hmac(digest, slice_of(exchange->head.stored_key, len), exchange->signed_text,
                without_proof, key);
    for (uint32_t i = 0; i < len; i++)
        key[i] ^= proof[i];
    digest_of(digest, slice_of(key, len), slice_of(NULL, 0), hash);
    bool good = digest_equal(hash, exchange->head.stored_key, len);
    explicit_bzero(key, sizeof key);
    explicit_bzero(hash, sizeof hash);
    return good && exchange->head.known;
}

// server-final-message, which proves to the client that we know its key.
static struct slice
write_server_final(const struct exchange *exchange, struct slice without_proof)
{
    enum digest digest = (enum digest)exchange->head.digest;
    uint32_t len = digest_len(digest);
    uint8_t signature[DIGEST_LEN_MAX];
    char text[2 + DIGEST_LEN_MAX * 2] = "v=";
    digest_hmac(digest, slice_of(exchange->head.server_key, len), exchange->signed_text,
                without_proof, signature);
    return copy(
        slice_of(text, 2 + base64_encode(BASE64_PADDED, slice_of(signature, len), text + 2)));
}

static err_t
finish(const struct users *users, const struct exchange *exchange, struct slice client_final,
       struct scram_reply *ret_reply)
{
    struct slice without_proof, text;
    uint8_t proof[DIGEST_LEN_MAX + 8];
    uint32_t proof_len;
    err_t err = read_final(exchange, client_final, &without_proof, &text);
    if (err != OK)
        return err;
    if (base64_decoded_max(text.len) > sizeof proof ||
        base64_decode(BASE64_PADDED, text, proof, &proof_len) != OK ||
        proof_len != digest_len((enum digest)exchange->head.digest))
        return ERR_PROTOCOL;
    bool good = proof_is_good(exchange, without_proof, proof);
    explicit_bzero(proof, sizeof proof);
    if (!good || users_mark(users, exchange->user) != exchange->head.mark)
        return ERR_BAD_CREDENTIALS;
    must(exchange->head.mark != 0);
    *ret_reply = (struct scram_reply){
        .message = write_server_final(exchange, without_proof),
        .user = copy(exchange->user),
        .mark = exchange->head.mark,
    };
    return OK;
}

err_t
scram_finish(const struct users *users, struct slice exchange, struct slice client_final,
             struct scram_reply *ret_reply)
{
    if (client_final.len == 0 || client_final.len > SCRAM_MESSAGE_MAX)
        return ERR_PROTOCOL;
    struct exchange parts;
    read_exchange(exchange, &parts);
    err_t err = finish(users, &parts, client_final, ret_reply);
    explicit_bzero(&parts, sizeof parts);
    return err;
}

static void
wipe(struct slice *bytes)
{
    if (bytes->data) {
        explicit_bzero(unconst(bytes->data), bytes->len);
        mem_free(unconst(bytes->data));
    }
    *bytes = slice_of(NULL, 0);
}

void
scram_reply_clear(struct scram_reply *reply)
{
    wipe(&reply->message);
    wipe(&reply->user);
    wipe(&reply->exchange);
    reply->mark = 0;
}
