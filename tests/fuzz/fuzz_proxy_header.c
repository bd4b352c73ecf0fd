// fuzz_proxy_header.c - any bytes as a PROXY header, and as a certificate's name and dates: a
// header is found at its last byte, not before it, and what follows does not matter.
#include "core/base/mem.h"

#include "io/certificate.h"
#include "io/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static err_t
parse(const uint8_t *data, size_t size, struct proxy_header *ret_header)
{
    // A copy of its exact size, so that a read beyond the end is seen.
    uint8_t *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    copy = mem_realloc(copy, size > 0 ? size : 1);
    err_t err = proxy_header_parse(slice_of(copy, size), ret_header);
    if (err == OK) {
        char text[PROXY_SOURCE_MAX];
        if (ret_header->family != PROXY_LOCAL)
            proxy_header_text(ret_header, text, sizeof text);
        const uint8_t *end = copy + size;
        must(ret_header->len > 0 && ret_header->len <= size);
        must(!ret_header->common_name.data ||
             ret_header->common_name.data + ret_header->common_name.len <= end);
        must(!ret_header->verified || (ret_header->certificate && ret_header->tls) ||
             ret_header->certificate);
    }
    mem_free(copy);
    return err;
}

static void
try_header(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    err_t err = parse(data, size, &whole);
    must(err == OK || err == ERR_NEED_MORE || err == ERR_MALFORMED);
    must(err != ERR_NEED_MORE || size < PROXY_V2_MAX);
    if (err != OK)
        return;
    for (uint32_t n = 0; n < whole.len; n++)
        must(parse(data, n, &part) == ERR_NEED_MORE);
    must(parse(data, whole.len, &part) == OK);
    must(part.len == whole.len && part.family == whole.family && part.port == whole.port &&
         part.certificate == whole.certificate);
}

static void
try_certificate(const uint8_t *data, size_t size)
{
    struct certificate certificate;
    uint8_t *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    copy = mem_realloc(copy, size > 0 ? size : 1);
    if (certificate_parse(slice_of(copy, size), &certificate)) {
        char *name = certificate_common_name(&certificate);
        char *subject = certificate_subject(&certificate);
        must(!name || (strlen(name) > 0 && strlen(name) <= CERTIFICATE_NAME_MAX));
        must(!subject || (strlen(subject) > 0 && strlen(subject) <= CERTIFICATE_NAME_MAX));
        mem_free(name);
        mem_free(subject);
    }
    mem_free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192)
        return 0;
    try_header(data, size);
    try_certificate(data, size);
    return 0;
}
