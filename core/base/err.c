// err.c - the error table and the end of a process whose invariant broke.
#include "core/base/err.h"

#include <stdio.h>
#include <stdlib.h>

struct err_row {
    uint8_t reason, connack;
    const char *text;
};

static const struct err_row err_rows[] = {
#define X(name, reason, connack, text) [name] = {reason, connack, text},
    ERR_TABLE(X)
#undef X
};

uint8_t
err_reason(err_t err)
{
    must(err < ARRAY_LEN(err_rows));
    return err_rows[err].reason;
}

uint8_t
err_connack(err_t err)
{
    must(err < ARRAY_LEN(err_rows));
    return err_rows[err].connack;
}

const char *
err_text(err_t err)
{
    must(err < ARRAY_LEN(err_rows));
    return err_rows[err].text;
}

void
must_fail(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "ternmq: broken invariant at %s:%d: %s\n", file, line, expr);
    abort();
}
