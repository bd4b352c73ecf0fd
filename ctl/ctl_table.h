// ctl_table.h - what ternmqctl prints for people.
//
// Job:    columns as wide as what is in them; texts that clients chose, made harmless.
// Owner:  the caller. Thread: one. Memory: the rows that are not printed yet.
// Limits: CTL_COLUMNS_MAX columns.
#ifndef TERN_CTL_CTL_TABLE_H
#define TERN_CTL_CTL_TABLE_H

#include <stdio.h>

#include "core/base/base.h"

#define CTL_COLUMNS_MAX 12u

// What a terminal would obey, and what turns the direction of a text, as \n, \x1b, \u202e; a
// backslash is doubled, so that nothing looks like what it is not. Returns new.
char *ctl_escape(struct slice text);
// "3d 04:05:06", "04:05:06".
#define CTL_DURATION_MAX 40u
void ctl_duration(uint64_t seconds, char ret_text[CTL_DURATION_MAX]);
// "2026-11-26T20:57:28Z".
#define CTL_TIME_MAX 32u
void ctl_time(uint64_t unix_s, char ret_text[CTL_TIME_MAX]);

struct ctl_table;

struct ctl_table *ctl_table_new(const char *const *heads, uint32_t columns); // returns new; borrows
void ctl_table_free(struct ctl_table *table);                                // takes; NULL is fine
// The next cell of the row under way; the last one ends it. Texts are escaped; data NULL: "-".
void ctl_table_text(struct ctl_table *table, struct slice text);
void ctl_table_number(struct ctl_table *table, uint64_t number);
// Rows so far, which go; the heads before the first ones. Widths never shrink.
void ctl_table_print(struct ctl_table *table, FILE *out);

#endif
