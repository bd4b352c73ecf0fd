// ctl_table.c - what ternmqctl prints for people.
#include "ctl/ctl_table.h"

#include <inttypes.h>
#include <time.h>

#include "core/base/mem.h"

#define GAP 2 // between columns

struct ctl_table {
    const char *const *heads;
    uint32_t columns;
    uint32_t widths[CTL_COLUMNS_MAX];
    char **cells; // row by row
    uint32_t count, cap;
    bool headed; // the heads are printed
};

// ---- Texts --------------------------------------------------------------------------------------

// The code point at the text's front, and its length; bytes that are no UTF-8 stand for themselves.
static uint32_t
code_point(struct slice text, uint32_t *ret_len)
{
    const uint8_t *p = text.data;
    must(text.len > 0);
    uint32_t extra = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc2 ? 1 : 0;
    *ret_len = 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || extra >= text.len)
        return p[0];
    uint32_t code = p[0] & (0x3fu >> extra);
    for (uint32_t i = 1; i <= extra; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return p[0];
        code = code << 6 | (p[i] & 0x3fu);
    }
    *ret_len = extra + 1;
    return code;
}

// Controls, and what changes how the text around it is shown.
static bool
is_harmful(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
        {0xd800, 0xdfff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    return false;
}

// At most ten bytes for one of the text's, or for the code point that begins there.
static size_t
write_escape(uint32_t code, char *to)
{
    static const struct {
        char code, letter;
    } letters[] = {{'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
    for (unsigned i = 0; i < ARRAY_LEN(letters); i++)
        if (code == (uint32_t)(uint8_t)letters[i].code) {
            to[0] = '\\';
            to[1] = letters[i].letter;
            return 2;
        }
    int len = code < 0x100     ? snprintf(to, 11, "\\x%02" PRIx32, code)
              : code < 0x10000 ? snprintf(to, 11, "\\u%04" PRIx32, code)
                               : snprintf(to, 11, "\\U%08" PRIx32, code);
    must(len > 0 && len <= 10);
    return (size_t)len;
}

char *
ctl_escape(struct slice text)
{
    char *out = mem_alloc((size_t)text.len * 10 + 1), *to = out;
    for (uint32_t at = 0, len; at < text.len; at += len) {
        uint32_t code = code_point(slice_of(text.data + at, text.len - at), &len);
        bool lone = len == 1 && code >= 0x80; // no UTF-8
        if (code == '\\' || lone || is_harmful(code)) {
            to += write_escape(code, to);
            continue;
        }
        memcpy(to, text.data + at, len);
        to += len;
    }
    must(to <= out + (size_t)text.len * 10);
    *to = '\0';
    return out;
}

void
ctl_duration(uint64_t seconds, char ret_text[CTL_DURATION_MAX])
{
    uint64_t days = seconds / 86400, left = seconds % 86400;
    unsigned hours = (unsigned)(left / 3600), minutes = (unsigned)(left / 60 % 60);
    int len = days > 0 ? snprintf(ret_text, CTL_DURATION_MAX, "%" PRIu64 "d %02u:%02u:%02u", days,
                                  hours, minutes, (unsigned)(left % 60))
                       : snprintf(ret_text, CTL_DURATION_MAX, "%02u:%02u:%02u", hours, minutes,
                                  (unsigned)(left % 60));
    must(len > 0 && len < (int)CTL_DURATION_MAX);
}

void
ctl_time(uint64_t unix_s, char ret_text[CTL_TIME_MAX])
{
    time_t seconds = (time_t)unix_s;
    struct tm utc;
    size_t len = 0;
    if (gmtime_r(&seconds, &utc))
        len = strftime(ret_text, CTL_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (len == 0) // a year of many digits
        (void)snprintf(ret_text, CTL_TIME_MAX, "%" PRIu64, unix_s);
}

// ---- Rows ---------------------------------------------------------------------------------------

// As a terminal counts: code points.
static uint32_t
width_of(const char *text)
{
    uint32_t width = 0;
    for (; *text; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

struct ctl_table *
ctl_table_new(const char *const *heads, uint32_t columns)
{
    must(columns > 0 && columns <= CTL_COLUMNS_MAX);
    struct ctl_table *table = mem_zalloc(sizeof *table);
    table->heads = heads;
    table->columns = columns;
    for (uint32_t i = 0; i < columns; i++)
        table->widths[i] = width_of(heads[i]);
    return table;
}

static void
clear(struct ctl_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        mem_free(table->cells[i]);
    table->count = 0;
}

void
ctl_table_free(struct ctl_table *table)
{
    if (!table)
        return;
    clear(table);
    mem_free((void *)table->cells);
    mem_free(table);
}

static void
add(struct ctl_table *table, char *cell)
{
    must(cell != NULL);
    uint32_t *width = &table->widths[table->count % table->columns];
    *width = max_u32(*width, width_of(cell));
    table->cells = mem_grow((void *)table->cells, &table->cap, table->count + 1, sizeof(char *));
    table->cells[table->count++] = cell;
}

void
ctl_table_text(struct ctl_table *table, struct slice text)
{
    if (!text.data)
        add(table, mem_strdup("-"));
    else
        add(table, text.len > 0 ? ctl_escape(text) : mem_strdup("\"\""));
}

void
ctl_table_number(struct ctl_table *table, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    add(table, mem_strdup(text));
}

static void
print_row(const struct ctl_table *table, const char *const *cells, FILE *out)
{
    for (uint32_t i = 0; i < table->columns; i++) {
        must(width_of(cells[i]) <= table->widths[i]);
        uint32_t pad = table->widths[i] + GAP - width_of(cells[i]);
        (void)fputs(cells[i], out);
        if (i + 1 < table->columns)
            (void)fprintf(out, "%*s", (int)pad, "");
    }
    (void)fputc('\n', out);
}

void
ctl_table_print(struct ctl_table *table, FILE *out)
{
    must(table->count % table->columns == 0);
    if (!table->headed)
        print_row(table, table->heads, out);
    table->headed = true;
    for (uint32_t i = 0; i < table->count; i += table->columns)
        print_row(table, (const char *const *)(table->cells + i), out);
    clear(table);
}
