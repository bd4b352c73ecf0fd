// json_text.c - JSON that others wrote, read strictly.
#include "core/access/json_text.h"

#include <malloc.h>

#include "core/base/mem.h"

static void
wipe_and_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    mem_free(p);
}

// Before main and any thread: jansson keeps the two functions in variables without a lock. What was
// allocated by malloc may be freed here, and the other way round.
__attribute__((constructor)) static void
wipe_what_jansson_frees(void)
{
    json_set_alloc_funcs(mem_alloc, wipe_and_free);
}

// jansson goes down by calling itself, up to 2,048 levels. Nothing here needs a tenth of that.
static bool
too_deep(struct slice text)
{
    unsigned depth = 0;
    bool in_string = false;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > JSON_TEXT_DEPTH)
            return true;
    }
    return false;
}

json_t *
json_text_read(struct slice text, struct file_problem *ret_problem)
{
    must(ret_problem != NULL && (text.data != NULL || text.len == 0));
    if (too_deep(text)) {
        (void)file_fail(ret_problem, "it nests deeper than %d levels", JSON_TEXT_DEPTH);
        return NULL;
    }
    json_error_t error;
    json_t *value = json_loadb((const char *)(text.len > 0 ? text.data : (const uint8_t *)""),
                               text.len, JSON_REJECT_DUPLICATES, &error);
    // Not jansson's words: they quote the text, which may be a secret.
    if (!value && json_error_code(&error) == json_error_duplicate_key)
        (void)file_fail(ret_problem, "line %d has a name twice in one object", error.line);
    else if (!value)
        (void)file_fail(ret_problem, "line %d, column %d is not JSON", error.line, error.column);
    return value;
}

struct slice
json_text_of(const json_t *value)
{
    if (!json_is_string(value))
        return slice_of(NULL, 0);
    return slice_of(json_string_value(value), json_string_length(value));
}
