// certificate.c - a small reader of DER: the subject and the validity of a certificate.
#include "io/certificate.h"

#include <stdio.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#define DER_BOOLEAN   0x01
#define DER_INTEGER   0x02
#define DER_OCTETS    0x04
#define DER_OID       0x06
#define DER_UTF8      0x0c
#define DER_SEQUENCE  0x30
#define DER_SET       0x31
#define DER_PRINTABLE 0x13
#define DER_T61       0x14
#define DER_IA5       0x16
#define DER_UTC       0x17
#define DER_TIME      0x18
#define DER_VERSION   0xa0 // [0] of a TBSCertificate
#define DER_EXTENSION 0xa3 // [3]

#define RDNS_MAX      64u

// ---- DER ----------------------------------------------------------------------------------------

// Cuts the next element off: its tag and what is in it. Lengths are definite and minimal.
static bool
der_next(struct slice *rest, uint8_t *ret_tag, struct slice *ret_content)
{
    if (rest->len < 2)
        return false;
    const uint8_t *p = rest->data;
    uint32_t head = 2, len = p[1];
    if (len >= 0x80) {
        uint32_t bytes = len & 0x7f;
        if (bytes == 0 || bytes > 3 || rest->len < 2 + bytes || p[2] == 0)
            return false;
        len = 0;
        for (uint32_t i = 0; i < bytes; i++)
            len = len << 8 | p[2 + i];
        if (len < 0x80)
            return false;
        head += bytes;
    }
    if (len > rest->len - head)
        return false;
    *ret_tag = p[0];
    *ret_content = slice_of(p + head, len);
    *rest = slice_of(p + head + len, rest->len - head - len);
    return true;
}

static bool
der_take(struct slice *rest, uint8_t tag, struct slice *ret_content)
{
    uint8_t found;
    return der_next(rest, &found, ret_content) && found == tag;
}

static bool
two_digits(const uint8_t *p, int *ret_value)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *ret_value = (p[0] - '0') * 10 + (p[1] - '0');
    return true;
}

// UTCTime YYMMDDHHMMSSZ, or GeneralizedTime YYYYMMDDHHMMSSZ.
static bool
der_time(struct slice *rest, int64_t *ret_seconds)
{
    uint8_t tag;
    struct slice text;
    if (!der_next(rest, &tag, &text))
        return false;
    bool is_long = tag == DER_TIME;
    if ((!is_long && tag != DER_UTC) || text.len != (is_long ? 15u : 13u) ||
        text.data[text.len - 1] != 'Z')
        return false;
    const uint8_t *p = text.data;
    int century = 0, fields[6];
    if (is_long) {
        if (!two_digits(p, &century))
            return false;
        p += 2;
    }
    for (uint32_t i = 0; i < ARRAY_LEN(fields); i++, p += 2)
        if (!two_digits(p, &fields[i]))
            return false;
    if (!is_long)
        century = fields[0] < 50 ? 20 : 19;
    struct tm tm = {.tm_year = century * 100 + fields[0] - 1900,
                    .tm_mon = fields[1] - 1,
                    .tm_mday = fields[2],
                    .tm_hour = fields[3],
                    .tm_min = fields[4],
                    .tm_sec = fields[5]};
    *ret_seconds = (int64_t)timegm(&tm);
    return true;
}

// What follows the subject: a public key, perhaps identifiers, perhaps extensions. Whether one of
// these says that this is a CA.
static bool
is_authority(struct slice rest)
{
    static const uint8_t basic_constraints[] = {0x55, 0x1d, 0x13};
    struct slice content, extensions, extension;
    uint8_t tag = 0;
    while (tag != DER_EXTENSION)
        if (!der_next(&rest, &tag, &content))
            return false;
    if (!der_take(&content, DER_SEQUENCE, &extensions))
        return false;
    while (der_take(&extensions, DER_SEQUENCE, &extension)) {
        struct slice oid, value, constraints, yes;
        if (!der_take(&extension, DER_OID, &oid) ||
            !slice_equal(oid, slice_of(basic_constraints, sizeof basic_constraints)))
            continue;
        bool there = der_next(&extension, &tag, &value);
        if (there && tag == DER_BOOLEAN) // critical
            there = der_next(&extension, &tag, &value);
        return there && tag == DER_OCTETS && der_take(&value, DER_SEQUENCE, &constraints) &&
               der_take(&constraints, DER_BOOLEAN, &yes) && yes.len == 1 && yes.data[0] == 0xff;
    }
    return false;
}

bool
certificate_parse(struct slice der, struct certificate *ret_certificate)
{
    struct slice body, tbs, validity, skipped;
    if (!der_take(&der, DER_SEQUENCE, &body) || !der_take(&body, DER_SEQUENCE, &tbs))
        return false;
    if (tbs.len > 0 && tbs.data[0] == DER_VERSION && !der_take(&tbs, DER_VERSION, &skipped))
        return false;
    // serialNumber, signature, issuer, validity, subject
    if (!der_take(&tbs, DER_INTEGER, &skipped) || !der_take(&tbs, DER_SEQUENCE, &skipped) ||
        !der_take(&tbs, DER_SEQUENCE, &skipped) || !der_take(&tbs, DER_SEQUENCE, &validity) ||
        !der_time(&validity, &ret_certificate->not_before_s) ||
        !der_time(&validity, &ret_certificate->not_after_s) ||
        !der_take(&tbs, DER_SEQUENCE, &ret_certificate->subject))
        return false;
    ret_certificate->authority = is_authority(tbs);
    return true;
}

// ---- Names --------------------------------------------------------------------------------------

struct attribute {
    struct slice oid, value;
    uint8_t tag; // of the value
};

static bool
attribute_next(struct slice *set, struct attribute *ret_attribute)
{
    struct slice pair;
    return der_take(set, DER_SEQUENCE, &pair) && der_take(&pair, DER_OID, &ret_attribute->oid) &&
           der_next(&pair, &ret_attribute->tag, &ret_attribute->value);
}

// Whose bytes can be taken as text.
static bool
is_text(const struct attribute *attribute)
{
    return attribute->tag == DER_UTF8 || attribute->tag == DER_PRINTABLE ||
           attribute->tag == DER_IA5 || attribute->tag == DER_T61;
}

static const struct {
    const char *name;
    uint8_t len;
    uint8_t oid[10];
} attribute_names[] = {
    {"CN", 3, {0x55, 4, 3}},
    {"SN", 3, {0x55, 4, 4}},
    {"serialNumber", 3, {0x55, 4, 5}},
    {"C", 3, {0x55, 4, 6}},
    {"L", 3, {0x55, 4, 7}},
    {"ST", 3, {0x55, 4, 8}},
    {"street", 3, {0x55, 4, 9}},
    {"O", 3, {0x55, 4, 10}},
    {"OU", 3, {0x55, 4, 11}},
    {"title", 3, {0x55, 4, 12}},
    {"GN", 3, {0x55, 4, 42}},
    {"initials", 3, {0x55, 4, 43}},
    {"dnQualifier", 3, {0x55, 4, 46}},
    {"emailAddress", 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1}},
    {"UID", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1}},
    {"DC", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25}},
};

static const char *
attribute_name(struct slice oid)
{
    for (uint32_t i = 0; i < ARRAY_LEN(attribute_names); i++)
        if (slice_equal(oid, slice_of(attribute_names[i].oid, attribute_names[i].len)))
            return attribute_names[i].name;
    return NULL;
}

char *
certificate_common_name(const struct certificate *certificate)
{
    struct slice rdns = certificate->subject, set, name = {0};
    while (der_take(&rdns, DER_SET, &set)) {
        struct attribute attribute;
        while (attribute_next(&set, &attribute)) {
            const char *known = attribute_name(attribute.oid);
            if (known && strcmp(known, "CN") == 0)
                name = is_text(&attribute) ? attribute.value : slice_of(NULL, 0);
        }
    }
    if (name.len == 0 || name.len > CERTIFICATE_NAME_MAX || !utf8_valid(name))
        return NULL; // utf8_valid refuses U+0000
    return mem_strndup(name.data, name.len);
}

// ---- RFC 2253 -----------------------------------------------------------------------------------

struct text {
    char *at, *end; // end: no room any more
};

static void
put(struct text *text, const char *s, size_t len)
{
    if ((size_t)(text->end - text->at) < len) {
        text->at = text->end; // too long: stays so
        return;
    }
    memcpy(text->at, s, len);
    text->at += len;
}

static void
put_hex(struct text *text, const char *prefix, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    char hex[2] = {digits[byte >> 4], digits[byte & 15]};
    put(text, prefix, strlen(prefix));
    put(text, hex, sizeof hex);
}

static void
put_oid(struct text *text, struct slice oid)
{
    uint64_t number = 0;
    bool first = true;
    for (uint32_t i = 0; i < oid.len; i++) {
        number = (number & UINT32_MAX) << 7 | (oid.data[i] & 0x7f);
        if (oid.data[i] & 0x80)
            continue;
        char digits[48];
        uint64_t top = number < 80 ? number / 40 : 2;
        int len = first ? snprintf(digits, sizeof digits, "%llu.%llu", (unsigned long long)top,
                                   (unsigned long long)(number - top * 40))
                        : snprintf(digits, sizeof digits, ".%llu", (unsigned long long)number);
        must(len > 0 && (size_t)len < sizeof digits);
        put(text, digits, (size_t)len);
        first = false;
        number = 0;
    }
}

static void
put_value(struct text *text, struct slice value)
{
    for (uint32_t i = 0; i < value.len; i++) {
        char c = (char)value.data[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == value.len && c == ' ');
        if (value.data[i] < 0x20 || value.data[i] >= 0x7f) {
            put_hex(text, "\\", value.data[i]);
            continue;
        }
        if (edge || strchr(",+\"\\<>;", c))
            put(text, "\\", 1);
        put(text, &c, 1);
    }
}

static void
put_attribute(struct text *text, const struct attribute *attribute)
{
    const char *name = attribute_name(attribute->oid);
    if (name)
        put(text, name, strlen(name));
    else
        put_oid(text, attribute->oid);
    put(text, "=", 1);
    if (name && is_text(attribute)) {
        put_value(text, attribute->value);
        return;
    }
    // As the bytes of its DER, which are right behind one another: tag, length, value.
    put(text, "#", 1);
    const uint8_t *end = attribute->value.data + attribute->value.len;
    for (const uint8_t *p = attribute->oid.data + attribute->oid.len; p < end; p++)
        put_hex(text, "", *p);
}

char *
certificate_subject(const struct certificate *certificate)
{
    struct slice rdns = certificate->subject, sets[RDNS_MAX];
    uint32_t count = 0;
    while (count < RDNS_MAX && der_take(&rdns, DER_SET, &sets[count]))
        count++;
    char buffer[CERTIFICATE_NAME_MAX + 1];
    struct text text = {buffer, buffer + CERTIFICATE_NAME_MAX};
    for (uint32_t i = count; i > 0; i--) {
        struct attribute attribute;
        const char *separator = i < count ? "," : "";
        while (attribute_next(&sets[i - 1], &attribute)) {
            put(&text, separator, strlen(separator));
            put_attribute(&text, &attribute);
            separator = "+";
        }
    }
    if (rdns.len > 0 || text.at == buffer || text.at == text.end)
        return NULL;
    return mem_strndup(buffer, (size_t)(text.at - buffer));
}
