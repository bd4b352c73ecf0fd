// fuzz_json.c - any bytes as JSON lines; what is taken is written and reads as the same again.
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "persist/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *
encode(const struct record *record, uint32_t *ret_len)
{
    *ret_len = record_size(record);
    uint8_t *bytes = mem_alloc(*ret_len);
    const uint8_t *end = record_write(bytes, record);
    must(end == bytes + *ret_len);
    return bytes;
}

static err_t
compare(void *arg, const struct record *record)
{
    const struct slice *expected = arg;
    uint32_t len;
    uint8_t *bytes = encode(record, &len);
    must(slice_equal(*expected, slice_of(bytes, len)));
    mem_free(bytes);
    return OK;
}

static err_t
check(void *arg, const struct record *record)
{
    (void)arg;
    uint32_t len, read;
    uint8_t *bytes = encode(record, &len);
    struct record again;
    err_t err = record_read(slice_of(bytes, len), &again, &read);
    must(err == OK && read == len);

    char *text = NULL, problem[JSON_PROBLEM_MAX];
    size_t text_len = 0;
    FILE *out = open_memstream(&text, &text_len);
    must(out != NULL);
    err = json_write(out, &again);
    must(err == OK && fclose(out) == 0);
    FILE *in = fmemopen(text, text_len, "rb");
    must(in != NULL);
    struct slice expected = slice_of(bytes, len);
    err = json_read(in, compare, &expected, problem);
    must(err == OK && problem[0] == '\0');
    (void)fclose(in);
    free(text);
    mem_free(bytes);
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[JSON_PROBLEM_MAX];
    if (size == 0)
        return 0;
    FILE *in = fmemopen(unconst(data), size, "rb");
    must(in != NULL);
    err_t err = json_read(in, check, NULL, problem);
    must((err == OK) == (problem[0] == '\0'));
    must(err == OK || strncmp(problem, "line ", 5) == 0);
    (void)fclose(in);
    return 0;
}
