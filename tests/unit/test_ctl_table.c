// test_ctl_table.c - what ternmqctl prints for people, and what it keeps from their terminals.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "ctl/ctl_table.h"

static void
expect_escape(struct slice text, const char *wanted)
{
    char *escaped = ctl_escape(text);
    cr_assert_str_eq(escaped, wanted);
    mem_free(escaped);
}

Test(ctl_table, what_a_terminal_would_obey_is_escaped)
{
    expect_escape(slice_str("a\x1b[31mb"), "a\\x1b[31mb");
    expect_escape(slice_str("\n\r\t\a\x7f"), "\\n\\r\\t\\x07\\x7f");
    expect_escape(slice_of("a\0b", 3), "a\\x00b");
    expect_escape(slice_str("\\n"), "\\\\n");
    expect_escape(slice_str("\xc2\x9b"
                            "31m"),
                  "\\x9b31m");
    expect_escape(slice_str("\xe2\x80\xae"
                            "exe"),
                  "\\u202eexe");
    expect_escape(slice_str("\xe2\x80\xa8\xe2\x80\x8b\xef\xbb\xbf"), "\\u2028\\u200b\\ufeff");
    expect_escape(slice_str("\xf3\xa0\x81\x81"), "\\U000e0041");
}

Test(ctl_table, what_is_harmless_stays)
{
    expect_escape(slice_str(""), "");
    expect_escape(slice_str("home/+/tür/#"), "home/+/tür/#");
    expect_escape(slice_str("\xe6\xb8\xa9\xe5\xba\xa6 \xf0\x9f\x8c\xa1"),
                  "\xe6\xb8\xa9\xe5\xba\xa6 \xf0\x9f\x8c\xa1");
}

Test(ctl_table, bytes_that_are_no_utf8_are_shown_one_by_one)
{
    expect_escape(slice_str("\xff\xc3"), "\\xff\\xc3");
    expect_escape(slice_str("\xc3("), "\\xc3(");
    expect_escape(slice_str("\xe2\x80"), "\\xe2\\x80");
    expect_escape(slice_str("\xed\xa0\x80"), "\\ud800");
    expect_escape(slice_str("\xc0\x80"), "\\xc0\\x80");
}

Test(ctl_table, times_are_read_at_a_glance)
{
    char text[CTL_DURATION_MAX];
    ctl_duration(0, text);
    cr_assert_str_eq(text, "00:00:00");
    ctl_duration(86399, text);
    cr_assert_str_eq(text, "23:59:59");
    ctl_duration(3 * 86400 + 3661, text);
    cr_assert_str_eq(text, "3d 01:01:01");
    ctl_duration(UINT64_MAX, text);
    cr_assert(strstr(text, "d "));
    char moment[CTL_TIME_MAX];
    ctl_time(0, moment);
    cr_assert_str_eq(moment, "1970-01-01T00:00:00Z");
    ctl_time(1795727079, moment);
    cr_assert_str_eq(moment, "2026-11-26T21:04:39Z");
    ctl_time(UINT64_MAX / 2, moment);
    cr_assert_neq(moment[0], '\0');
}

Test(ctl_table, columns_stand_below_each_other)
{
    static const char *const heads[] = {"NAME", "N", "TEXT"};
    struct ctl_table *table = ctl_table_new(heads, ARRAY_LEN(heads));
    ctl_table_text(table, slice_str("kitchen/\xc3\xb6"));
    ctl_table_number(table, 1);
    ctl_table_text(table, slice_str("a b"));
    ctl_table_text(table, slice_of(NULL, 0));
    ctl_table_number(table, 12345);
    ctl_table_text(table, slice_str(""));
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ctl_table_print(table, out);
    // The next page: no heads, and no narrower.
    ctl_table_text(table, slice_str("b"));
    ctl_table_number(table, 7);
    ctl_table_text(table, slice_str("\n"));
    ctl_table_print(table, out);
    ctl_table_print(table, out);
    (void)fclose(out);
    cr_assert_str_eq(text, "NAME       N      TEXT\n"
                           "kitchen/\xc3\xb6  1      a b\n"
                           "-          12345  \"\"\n"
                           "b          7      \\n\n");
    free(text);
    ctl_table_free(table);
    ctl_table_free(NULL);
}

Test(ctl_table, an_empty_list_has_its_heads)
{
    static const char *const heads[] = {"A"};
    struct ctl_table *table = ctl_table_new(heads, 1);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ctl_table_print(table, out);
    (void)fclose(out);
    cr_assert_str_eq(text, "A\n");
    free(text);
    ctl_table_free(table);
}
