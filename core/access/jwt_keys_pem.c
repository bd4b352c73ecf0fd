// jwt_keys_pem.c - public keys from PEM: SubjectPublicKeyInfo, PKCS #1, certificates.
//
// The little DER that is needed is read here, strictly: the curve is known by its identifier alone,
// and nothing stands behind the key.
#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/jwt_key.h"

#define DER_INTEGER    0x02
#define DER_BIT_STRING 0x03
#define DER_SEQUENCE   0x30
#define DER_VERSION    0xa0 // [0] of a certificate

// ---- DER ----------------------------------------------------------------------------------------

// Takes the length: of one byte, or of two or three in their shortest form.
static bool
take_length(struct slice *rest, uint32_t *ret_len)
{
    if (rest->len == 0)
        return false;
    uint32_t len = rest->data[0], more = 0;
    if (len >= 0x80) {
        more = len & 0x7f;
        if (more < 1 || more > 2 || rest->len < 1 + more)
            return false;
        len = more == 1 ? rest->data[1] : (uint32_t)rest->data[1] << 8 | rest->data[2];
        if (len < (more == 1 ? 0x80u : 0x100u))
            return false;
    }
    *rest = slice_of(rest->data + 1 + more, rest->len - 1 - more);
    *ret_len = len;
    return len <= rest->len;
}

// Takes the next element, which must have this tag. body: borrowed.
static bool
take(struct slice *rest, uint8_t tag, struct slice *ret_body)
{
    struct slice at = *rest;
    uint32_t len;
    if (at.len == 0 || at.data[0] != tag)
        return false;
    at = slice_of(at.data + 1, at.len - 1);
    if (!take_length(&at, &len))
        return false;
    *ret_body = slice_of(at.data, len);
    must(len <= at.len);
    *rest = slice_of(at.data + len, at.len - len);
    return true;
}

// The only element of a text.
static bool
take_whole(struct slice text, uint8_t tag, struct slice *ret_body)
{
    return take(&text, tag, ret_body) && text.len == 0;
}

// A number that is not negative.
static bool
take_number(struct slice *rest, struct slice *ret_number)
{
    return take(rest, DER_INTEGER, ret_number) && ret_number->len > 0 &&
           !(ret_number->data[0] & 0x80);
}

// ---- Keys ---------------------------------------------------------------------------------------

// RSAPublicKey [RFC 8017 appendix A.1.1].
static err_t
add_rsa(struct jwt_keys *keys, struct slice der, struct file_problem *ret_problem)
{
    struct slice body, modulus, exponent;
    if (!take_whole(der, DER_SEQUENCE, &body) || !take_number(&body, &modulus) ||
        !take_number(&body, &exponent) || body.len > 0)
        return file_fail(ret_problem, "an RSA key that cannot be read");
    struct jwt_key key = {.algs = JWT_ANY_ALG};
    err_t err = jwt_key_rsa(modulus, exponent, &key, ret_problem);
    return err == OK ? jwt_keys_add(keys, &key, ret_problem) : err;
}

static err_t
add_p256(struct jwt_keys *keys, struct slice point, struct file_problem *ret_problem)
{
    if (point.len != 65 || point.data[0] != 4)
        return file_fail(ret_problem, "a P-256 key that is not an uncompressed point");
    struct jwt_key key = {.kind = JWT_KEY_P256,
                          .algs = JWT_ANY_ALG,
                          .bytes = slice_of(point.data + 1, point.len - 1)};
    return jwt_keys_add(keys, &key, ret_problem);
}

static err_t
add_ed25519(struct jwt_keys *keys, struct slice point, struct file_problem *ret_problem)
{
    if (point.len != 32)
        return file_fail(ret_problem, "an Ed25519 key of %u bytes instead of 32", point.len);
    struct jwt_key key = {.kind = JWT_KEY_ED25519, .algs = JWT_ANY_ALG, .bytes = point};
    return jwt_keys_add(keys, &key, ret_problem);
}

// AlgorithmIdentifiers: 1.2.840.113549.1.1.1 with NULL; 1.2.840.10045.2.1 with the curve
// 1.2.840.10045.3.1.7; 1.3.101.112 [RFC 3279 section 2.3, RFC 5480 section 2.1, RFC 8410].
static const struct {
    uint8_t id[19], len;
    err_t (*add)(struct jwt_keys *keys, struct slice bits, struct file_problem *ret_problem);
} kinds[] = {
    {{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00}, 13, add_rsa},
    {{0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
      0x3d, 0x03, 0x01, 0x07},
     19,
     add_p256},
    {{0x06, 0x03, 0x2b, 0x65, 0x70}, 5, add_ed25519},
};

// SubjectPublicKeyInfo [RFC 5280 section 4.1.2.7].
static err_t
add_public_key(struct jwt_keys *keys, struct slice der, struct file_problem *ret_problem)
{
    struct slice body, id, bits;
    if (!take_whole(der, DER_SEQUENCE, &body) || !take(&body, DER_SEQUENCE, &id) ||
        !take(&body, DER_BIT_STRING, &bits) || body.len > 0 || bits.len < 1 || bits.data[0] != 0)
        return file_fail(ret_problem, "a public key that cannot be read");
    bits = slice_of(bits.data + 1, bits.len - 1);
    must(keys->count <= JWT_KEYS_MAX);
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        if (slice_equal(id, slice_of(kinds[i].id, kinds[i].len)))
            return kinds[i].add(keys, bits, ret_problem);
    return file_fail(ret_problem, "a public key that is neither RSA nor P-256 nor Ed25519");
}

// The key of a certificate [RFC 5280 section 4.1], and nothing else of it.
static err_t
add_certificate(struct jwt_keys *keys, struct slice der, struct file_problem *ret_problem)
{
    struct slice certificate, tbs, skipped;
    bool good =
        take_whole(der, DER_SEQUENCE, &certificate) && take(&certificate, DER_SEQUENCE, &tbs);
    if (good && tbs.len > 0 && tbs.data[0] == DER_VERSION)
        good = take(&tbs, DER_VERSION, &skipped);
    good = good && take(&tbs, DER_INTEGER, &skipped); // the serial number
    for (unsigned i = 0; i < 4 && good; i++)          // signature, issuer, validity, subject
        good = take(&tbs, DER_SEQUENCE, &skipped);
    struct slice key = tbs;
    if (!good || !take(&tbs, DER_SEQUENCE, &skipped))
        return file_fail(ret_problem, "a certificate that cannot be read");
    key.len = (uint32_t)(tbs.data - key.data);
    must(key.len > skipped.len && skipped.data >= key.data);
    return add_public_key(keys, key, ret_problem);
}

// ---- PEM ----------------------------------------------------------------------------------------

// Everything between the first and the last line, in base64 without its line ends.
static err_t
decode(struct slice block, uint8_t *dst, uint32_t *ret_len)
{
    struct slice line;
    uint32_t size = block.len, len = 0;
    uint8_t *text = mem_alloc(size);
    bool more = line_next(&block, &line);
    while (more && (more = line_next(&block, &line)) && line.len > 0 && line.data[0] != '-') {
        must(len + line.len <= size);
        memcpy(text + len, line.data, line.len);
        len += line.len;
    }
    err_t err = base64_decode(BASE64_PADDED, slice_of(text, len), dst, ret_len);
    mem_free(text);
    return err;
}

static const struct {
    const char *label;
    err_t (*add)(struct jwt_keys *keys, struct slice der, struct file_problem *ret_problem);
} labels[] = {
    {"PUBLIC KEY", add_public_key},
    {"RSA PUBLIC KEY", add_rsa},
    {"CERTIFICATE", add_certificate},
};

static err_t
add_block(struct jwt_keys *keys, struct slice block, struct file_problem *ret_problem)
{
    for (unsigned i = 0; i < ARRAY_LEN(labels); i++) {
        if (!pem_is(block, labels[i].label))
            continue;
        uint8_t *der = mem_alloc(base64_decoded_max(block.len));
        uint32_t len;
        err_t err = decode(block, der, &len) == OK
                        ? labels[i].add(keys, slice_of(der, len), ret_problem)
                        : file_fail(ret_problem, "not base64");
        mem_free(der);
        return err;
    }
    return file_fail(ret_problem, "no PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE; private keys are "
                                  "the issuer's alone");
}

err_t
jwt_keys_from_pem(struct jwt_keys *keys, struct slice text, struct file_problem *ret_problem)
{
    struct slice block;
    struct file_problem problem;
    unsigned n = 0;
    while (pem_next(&text, &block)) {
        n++;
        if (add_block(keys, block, &problem) != OK)
            return file_fail(ret_problem, "PEM block %u is %s", n, problem.text);
    }
    if (n == 0)
        return file_fail(ret_problem, "a PEM block begins and does not end");
    must(keys->count == n);
    return OK;
}
