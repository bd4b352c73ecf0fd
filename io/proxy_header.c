// proxy_header.c - the PROXY protocol's two headers.
#include "io/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>

#define V1_BEGIN     "PROXY "
#define V2_BEGIN     "\r\n\r\n\0\r\nQUIT\n"
#define V2_BEGIN_LEN 12u
#define V2_HEAD      16u
#define UNIX_PATH    108u // each of the two

// Types of TLVs and bits that matter here.
#define PP2_TYPE_CRC32C      0x03
#define PP2_TYPE_SSL         0x20
#define PP2_SUBTYPE_SSL_CN   0x22
#define PP2_CLIENT_SSL       0x01
#define PP2_CLIENT_CERT_CONN 0x02
#define PP2_CLIENT_CERT_SESS 0x04
#define PP2_CRC_LEN          4u
#define PP2_SSL_HEAD         5u // client, verify

static uint32_t
u16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
u32(const uint8_t *p)
{
    return u16(p) << 16 | u16(p + 2);
}

// ---- Version 1: a line of text ------------------------------------------------------------------

// Cuts the next word off, which one blank separates from what follows.
static bool
next_word(struct slice *rest, char *ret_word, size_t size)
{
    const uint8_t *blank = rest->len > 0 ? memchr(rest->data, ' ', rest->len) : NULL;
    uint32_t len = blank ? (uint32_t)(blank - rest->data) : rest->len;
    if (len == 0 || len >= size || memchr(rest->data, '\0', len) != NULL)
        return false;
    memcpy(ret_word, rest->data, len);
    ret_word[len] = '\0';
    uint32_t used = len + (blank ? 1 : 0);
    *rest = slice_of(rest->data + used, rest->len - used);
    return !blank || rest->len > 0; // a blank stands between two words
}

// 0 to 65535 without a leading zero.
static bool
parse_port(const char *word, uint16_t *ret_port)
{
    uint32_t value = 0;
    size_t len = strlen(word);
    if (len == 0 || len > 5 || (len > 1 && word[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(word[i] - '0');
    }
    *ret_port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static err_t
parse_line(struct slice line, struct proxy_header *header)
{
    char family[8], source[48], destination[48], source_port[8], destination_port[8];
    uint8_t ignored[16];
    uint16_t ignored_port;
    if (!next_word(&line, family, sizeof family))
        return ERR_MALFORMED;
    if (strcmp(family, "UNKNOWN") == 0)
        return OK; // whatever follows
    bool tcp4 = strcmp(family, "TCP4") == 0;
    int af = tcp4 ? AF_INET : AF_INET6;
    if (!tcp4 && strcmp(family, "TCP6") != 0)
        return ERR_MALFORMED;
    if (!next_word(&line, source, sizeof source) ||
        !next_word(&line, destination, sizeof destination) ||
        !next_word(&line, source_port, sizeof source_port) ||
        !next_word(&line, destination_port, sizeof destination_port) || line.len > 0)
        return ERR_MALFORMED;
    if (inet_pton(af, source, header->address) != 1 || inet_pton(af, destination, ignored) != 1 ||
        !parse_port(source_port, &header->port) || !parse_port(destination_port, &ignored_port))
        return ERR_MALFORMED;
    header->family = tcp4 ? PROXY_TCP4 : PROXY_TCP6;
    return OK;
}

static err_t
parse_v1(struct slice bytes, struct proxy_header *header)
{
    struct slice window = slice_of(bytes.data, min_u32(bytes.len, PROXY_V1_MAX));
    const uint8_t *end = memmem(window.data, window.len, "\r\n", 2);
    if (!end)
        return bytes.len < PROXY_V1_MAX ? ERR_NEED_MORE : ERR_MALFORMED;
    uint32_t begin = (uint32_t)strlen(V1_BEGIN), len = (uint32_t)(end - bytes.data);
    if (len < begin)
        return ERR_MALFORMED;
    header->len = len + 2;
    return parse_line(slice_of(bytes.data + begin, len - begin), header);
}

// ---- Version 2: binary --------------------------------------------------------------------------

// Castagnoli's CRC of the header with its own four bytes as zero.
static uint32_t
crc32c(struct slice header, const uint8_t *own)
{
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < header.len; i++) {
        const uint8_t *p = header.data + i;
        crc ^= p >= own && p < own + PP2_CRC_LEN ? 0 : *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

// Cuts the next TLV off. False: what is there is none.
static bool
next_tlv(struct slice *rest, uint8_t *ret_type, struct slice *ret_value)
{
    if (rest->len < 3)
        return false;
    uint32_t len = u16(rest->data + 1);
    if (len > rest->len - 3)
        return false;
    *ret_type = rest->data[0];
    *ret_value = slice_of(rest->data + 3, len);
    *rest = slice_of(rest->data + 3 + len, rest->len - 3 - len);
    return true;
}

static err_t
parse_ssl(struct slice value, struct proxy_header *header)
{
    if (value.len < PP2_SSL_HEAD)
        return ERR_MALFORMED;
    uint8_t client = value.data[0], type;
    header->tls = (client & PP2_CLIENT_SSL) != 0;
    header->certificate = (client & (PP2_CLIENT_CERT_CONN | PP2_CLIENT_CERT_SESS)) != 0;
    // The field is 0 also when there was no certificate to verify.
    header->verified = header->certificate && u32(value.data + 1) == 0;
    struct slice rest = slice_of(value.data + PP2_SSL_HEAD, value.len - PP2_SSL_HEAD), sub;
    while (rest.len > 0) {
        if (!next_tlv(&rest, &type, &sub))
            return ERR_MALFORMED;
        if (type == PP2_SUBTYPE_SSL_CN)
            header->common_name = sub;
    }
    return OK;
}

static err_t
parse_tlvs(struct slice whole, struct slice rest, struct proxy_header *header)
{
    uint8_t type;
    struct slice value;
    while (rest.len > 0) {
        if (!next_tlv(&rest, &type, &value))
            return ERR_MALFORMED;
        if (type == PP2_TYPE_CRC32C &&
            (value.len != PP2_CRC_LEN || crc32c(whole, value.data) != u32(value.data)))
            return ERR_MALFORMED;
        if (type == PP2_TYPE_SSL && parse_ssl(value, header) != OK)
            return ERR_MALFORMED;
    }
    return OK;
}

// Family and address. How many bytes they take; UINT32_MAX: that is no family.
static uint32_t
parse_addresses(uint8_t family, struct slice body, struct proxy_header *header)
{
    // AF_UNSPEC or a datagram over whatever: the proxy does not say for whom it speaks.
    switch (family) {
    case 0x11: // TCP over IPv4
        if (body.len < 12)
            return UINT32_MAX;
        header->family = PROXY_TCP4;
        memcpy(header->address, body.data, 4);
        header->port = (uint16_t)u16(body.data + 8);
        return 12;
    case 0x21: // TCP over IPv6
        if (body.len < 36)
            return UINT32_MAX;
        header->family = PROXY_TCP6;
        memcpy(header->address, body.data, 16);
        header->port = (uint16_t)u16(body.data + 32);
        return 36;
    case 0x31: // a unix stream socket
        if (body.len < 2 * UNIX_PATH)
            return UINT32_MAX;
        header->family = PROXY_UNIX;
        header->unix_path = slice_of(body.data, strnlen((const char *)body.data, UNIX_PATH));
        return 2 * UNIX_PATH;
    case 0x00: // unspecified
        return 0;
    default:
        return UINT32_MAX;
    }
}

static err_t
parse_v2(struct slice bytes, struct proxy_header *header)
{
    if (bytes.len < V2_HEAD)
        return ERR_NEED_MORE;
    uint8_t version = bytes.data[12] >> 4, command = bytes.data[12] & 15;
    uint32_t len = u16(bytes.data + 14);
    if (version != 2 || command > 1 || len > PROXY_V2_MAX - V2_HEAD)
        return ERR_MALFORMED;
    if (bytes.len < V2_HEAD + len)
        return ERR_NEED_MORE;
    header->len = V2_HEAD + len;
    if (command == 0) // LOCAL: what follows is to be passed over, whatever it is
        return OK;
    struct slice body = slice_of(bytes.data + V2_HEAD, len);
    uint32_t used = parse_addresses(bytes.data[13], body, header);
    if (used == UINT32_MAX)
        return ERR_MALFORMED;
    if (bytes.data[13] == 0) // UNSPEC: the same
        return OK;
    return parse_tlvs(slice_of(bytes.data, header->len),
                      slice_of(body.data + used, body.len - used), header);
}

// ---- Both ---------------------------------------------------------------------------------------

err_t
proxy_header_parse(struct slice bytes, struct proxy_header *ret_header)
{
    memset(ret_header, 0, sizeof *ret_header);
    must(ret_header->family == PROXY_LOCAL);
    if (bytes.len == 0)
        return ERR_NEED_MORE;
    bool binary = bytes.data[0] == V2_BEGIN[0];
    uint32_t begin_len = binary ? V2_BEGIN_LEN : (uint32_t)strlen(V1_BEGIN);
    uint32_t n = min_u32(bytes.len, begin_len);
    if (memcmp(bytes.data, binary ? V2_BEGIN : V1_BEGIN, n) != 0)
        return ERR_MALFORMED;
    if (n < begin_len)
        return ERR_NEED_MORE;
    err_t err = binary ? parse_v2(bytes, ret_header) : parse_v1(bytes, ret_header);
    must(err != OK || (ret_header->len > 0 && ret_header->len <= bytes.len));
    return err;
}

void
proxy_header_text(const struct proxy_header *header, char *ret_text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    must(header->family != PROXY_LOCAL && size > 0);
    if (header->family == PROXY_UNIX) {
        (void)snprintf(ret_text, size, "unix:%.*s", (int)header->unix_path.len,
                       (const char *)header->unix_path.data);
        return;
    }
    bool tcp4 = header->family == PROXY_TCP4;
    must(inet_ntop(tcp4 ? AF_INET : AF_INET6, header->address, host, sizeof host) != NULL);
    (void)snprintf(ret_text, size, tcp4 ? "%s:%u" : "[%s]:%u", host, header->port);
}
