// test_config.h - what the tests of the configuration share.
//
// Job:    loads texts, expects what the report says. Owner: the test. Thread: one.
// Memory: the configuration that a call returns is the test's. Limits: none.
#ifndef TERN_TESTS_UNIT_TEST_CONFIG_H
#define TERN_TESTS_UNIT_TEST_CONFIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "core/config.h"

static struct config_report report;

static inline struct config *
load_env(const char *text, char *const *env)
{
    struct config *config = NULL;
    err_t err = config_parse("t.conf", slice_str(text), env, &config, &report);
    cr_assert_eq(err, report.error_count ? ERR_CONFIG : OK);
    return config;
}

static inline struct config *
load(const char *text)
{
    return load_env(text, NULL);
}

// Loads what must be good and say nothing.
static inline struct config *
load_clean(const char *text)
{
    struct config *config = load(text);
    cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
    cr_assert_eq(report.warning_count, 0, "%s", report.warnings[0].text);
    return config;
}

static inline void
expect_error(const char *text, const char *error)
{
    cr_assert_null(load(text), "no error for: %s", text);
    cr_assert_not_null(strstr(report.errors[0].text, error), "got: %s", report.errors[0].text);
}

static inline void
expect_warning(const char *text, const char *warning)
{
    struct config *config = load(text);
    cr_assert_not_null(config, "%s", report.errors[0].text);
    bool found = false;
    for (uint32_t i = 0; i < report.warning_count; i++)
        found = found || strstr(report.warnings[i].text, warning);
    cr_assert(found, "warnings of %s do not say: %s (first: %s)", text, warning,
              report.warning_count ? report.warnings[0].text : "none");
    config_free(config);
}

#define OPEN "allow_anonymous true\n" // else a listener that nobody can use is warned of

#endif
