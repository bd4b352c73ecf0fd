// config_value.c - values: from text to the fields of the configuration, and what is wrong with
// them.
#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

// ---- Problems -----------------------------------------------------------------------------------

// Counts in *count what problems has no room for, too.
static void
problem_add(const struct config_loader *loader, struct config_problem *problems, uint32_t *count,
            const char *text)
{
    must(text[0] != '\0');
    struct config_origin at = loader->here;
    const char *key = loader->key ? loader->key : "", *colon = loader->key ? ": " : "";
    uint32_t index = (*count)++;
    if (index >= CONFIG_PROBLEMS_MAX)
        return;
    struct config_problem *problem = &problems[index];
    if (at.file && at.line > 0)
        (void)snprintf(problem->text, sizeof problem->text, "%s:%u: %s%s%s", at.file, at.line, key,
                       colon, text);
    else
        (void)snprintf(problem->text, sizeof problem->text, "%s%s%s%s%s", at.file ? at.file : "",
                       at.file ? ": " : "", key, colon, text);
}

void
config_error(struct config_loader *loader, const char *format, ...)
{
    must(loader->report != NULL);
    char text[sizeof((struct config_problem *)0)->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem_add(loader, loader->report->errors, &loader->report->error_count, text);
}

void
config_warning(struct config_loader *loader, const char *format, ...)
{
    must(loader->report != NULL);
    char text[sizeof((struct config_problem *)0)->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem_add(loader, loader->report->warnings, &loader->report->warning_count, text);
}

// ---- Words --------------------------------------------------------------------------------------

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct slice
config_trim(struct slice text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

struct slice
config_word(struct slice text, struct slice *ret_rest)
{
    text = config_trim(text);
    struct slice word = {text.data, 0};
    while (word.len < text.len && !is_blank(text.data[word.len]))
        word.len++;
    *ret_rest = config_trim((struct slice){text.data + word.len, text.len - word.len});
    return word;
}

bool
config_is(struct slice word, const char *literal)
{
    return slice_equal(word, slice_str(literal));
}

struct slice
config_single_word(struct config_loader *loader, struct slice value)
{
    struct slice rest;
    struct slice word = config_word(value, &rest);
    if (rest.len > 0 && rest.data[0] != '#')
        config_warning(loader, "\"%.*s\" after the value is ignored", (int)min_u32(rest.len, 64),
                       (const char *)rest.data);
    return word;
}

// ---- Types --------------------------------------------------------------------------------------

bool
config_bool(struct config_loader *loader, struct slice value, bool *ret_value)
{
    struct slice rest;
    struct slice word = config_word(value, &rest); // whatever follows is a remark
    bool yes = config_is(word, "true") || config_is(word, "1");
    if (!yes && !config_is(word, "false") && !config_is(word, "0")) {
        config_error(loader, "\"%.*s\" is neither true nor false", (int)min_u32(word.len, 64),
                     (const char *)word.data);
        return false;
    }
    *ret_value = yes;
    return true;
}

// Decimal digits, as far as they go and without a sign. False when there is none, or too many.
static bool
digits(struct slice text, uint64_t *ret_value, uint32_t *ret_len)
{
    uint64_t value = 0;
    uint32_t len = 0;
    for (; len < text.len && text.data[len] >= '0' && text.data[len] <= '9'; len++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[len] - '0'), &value))
            return false;
    *ret_value = value;
    *ret_len = len;
    return len > 0;
}

bool
config_uint(struct config_loader *loader, struct slice value, uint64_t min, uint64_t max,
            uint64_t *ret_value)
{
    must(min <= max && ret_value != NULL);
    struct slice word = config_single_word(loader, value);
    uint64_t number;
    uint32_t len;
    if (!digits(word, &number, &len) || len != word.len || number < min || number > max) {
        config_error(loader, "\"%.*s\" is not a number from %llu to %llu",
                     (int)min_u32(word.len, 64), (const char *)word.data, (unsigned long long)min,
                     (unsigned long long)max);
        return false;
    }
    *ret_value = number;
    return true;
}

static uint64_t
unit_seconds(uint8_t unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return UINT64_C(7) * 86400;
    case 'm': // months, as everywhere in this grammar
        return UINT64_C(30) * 86400;
    case 'y':
        return UINT64_C(365) * 86400;
    default:
        return 0;
    }
}

static bool
duration(struct config_loader *loader, const struct config_key *key, struct slice value,
         uint64_t *ret_seconds)
{
    struct slice word = config_single_word(loader, value);
    if (config_is(word, "never")) {
        *ret_seconds = key->never;
        return true;
    }
    uint64_t number, seconds = 0;
    uint32_t len;
    uint64_t unit =
        digits(word, &number, &len) && len + 1 == word.len ? unit_seconds(word.data[len]) : 0;
    if (unit == 0 || number == 0 || __builtin_mul_overflow(number, unit, &seconds) ||
        seconds >= UINT32_MAX) {
        config_error(loader,
                     "\"%.*s\" is not a duration: a number and s, h, d, w, m (30 days) or y, up to "
                     "136 years, or never",
                     (int)min_u32(word.len, 64), (const char *)word.data);
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

static bool
choice(struct config_loader *loader, const struct config_key *key, struct slice value,
       uint64_t *ret_position)
{
    struct slice word = config_single_word(loader, value);
    must(key->choices != NULL);
    uint64_t position = 0;
    const char *at = key->choices;
    for (;;) {
        size_t len = strcspn(at, "|");
        if (slice_equal(word, slice_of(at, len))) {
            *ret_position = position;
            return true;
        }
        if (at[len] == '\0')
            break;
        at += len + 1;
        position++;
    }
    config_error(loader, "\"%.*s\" is not one of %s", (int)min_u32(word.len, 64),
                 (const char *)word.data, key->choices);
    return false;
}

void
config_string(char **string, struct slice value)
{
    must(value.len <= CONFIG_LINE_MAX);
    mem_free(*string);
    *string = mem_strndup(value.data, value.len);
}

bool
config_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

// ---- Fields -------------------------------------------------------------------------------------

static void
field_store(const struct config_key *key, void *base, uint64_t value)
{
    // Little endian, the only byte order that the broker is built for: the low bytes come first.
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a field is the head of its value");
    must(key->size == 1 || key->size == 2 || key->size == 4 || key->size == 8);
    must(key->size == 8 || value >> (key->size * 8) == 0);
    memcpy((uint8_t *)base + key->offset, &value, key->size);
}

uint64_t
config_value_get(const struct config_key *key, const void *base)
{
    must(key->type != TYPE_STRING && key->type != TYPE_OWN);
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)base + key->offset, key->size);
    return value;
}

char **
config_value_string(const struct config_key *key, void *base)
{
    must(key->type == TYPE_STRING && key->size == sizeof(char *));
    return (char **)(void *)((uint8_t *)base + key->offset);
}

const char *
config_value_text(const struct config_key *key, const void *base)
{
    must(key->type == TYPE_STRING && key->size == sizeof(char *));
    const char *text;
    memcpy(&text, (const uint8_t *)base + key->offset, sizeof text);
    return text;
}

char **
config_log_file(struct config *config)
{
    return (char **)(void *)((uint8_t *)config + offsetof(struct config, log.file));
}

static bool
is_auto(const struct config_key *key, struct slice value, uint64_t *ret_number)
{
    if (key->unset == 0 || !config_is(value, "auto"))
        return false;
    *ret_number = key->unset;
    return true;
}

static bool
zero_is_max(struct config_loader *loader, const struct config_key *key, struct slice value,
            uint64_t *ret_number)
{
    struct slice rest;
    if (!key->zero_is_max || !config_is(config_word(value, &rest), "0"))
        return false;
    (void)config_single_word(loader, value); // tells of what follows
    *ret_number = key->max;
    return true;
}

void
config_value_set(struct config_loader *loader, const struct config_key *key, void *base,
                 struct slice value)
{
    must(key->status == KEY_SUPPORTED);
    must(key->type != TYPE_OWN);
    uint64_t number = 0;
    bool flag = false, good = false;
    switch (key->type) {
    case TYPE_BOOL:
        good = config_bool(loader, value, &flag);
        number = flag;
        break;
    case TYPE_UINT:
        good = (key->minus_one && config_is(value, "-1")) || is_auto(key, value, &number) ||
               zero_is_max(loader, key, value, &number) ||
               config_uint(loader, value, key->min, key->max, &number);
        break;
    case TYPE_DURATION:
        good = duration(loader, key, value, &number);
        break;
    case TYPE_CHOICE:
        good = choice(loader, key, value, &number);
        break;
    case TYPE_STRING:
        if (key->check)
            value = config_single_word(loader, value);
        if (!key->check || key->check(loader, value))
            config_string(config_value_string(key, base), value);
        return;
    case TYPE_OWN:
        return;
    }
    if (good)
        field_store(key, base, number);
}

// A row of the table that is not as its type needs it is found at the first start.
static void
check_key(const struct config_key *key)
{
    must(key->name && key->help && strlen(key->name) <= CONFIG_KEY_NAME_MAX);
    bool ours = key->status == KEY_SUPPORTED;
    must(ours || key->repeats);
    if (!ours)
        return;
    must(key->fallback || key->example);
    must((key->type == TYPE_OWN) == (key->set != NULL));
    must(!key->check || key->type == TYPE_STRING);
    must(key->type != TYPE_BOOL || key->size == sizeof(bool));
    must(key->type != TYPE_UINT || (key->max > 0 && key->unit));
    must(key->type != TYPE_UINT || key->size == 8 || key->max >> (key->size * 8) == 0);
    must(key->type != TYPE_DURATION || key->size == sizeof(uint32_t));
    must((key->type == TYPE_CHOICE) == (key->choices != NULL));
}

void
config_value_defaults(enum config_scope scope, void *base)
{
    struct config_report report;
    report.error_count = report.warning_count = 0;
    struct config_loader loader = {.report = &report};
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        check_key(key);
        if (key->scope == scope && key->type != TYPE_OWN && key->fallback)
            config_value_set(&loader, key, base, slice_str(key->fallback));
    }
    must(report.error_count == 0 && report.warning_count == 0); // the table's own texts are good
}
