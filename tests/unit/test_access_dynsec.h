// test_access_dynsec.h - one exchange with dynamic security, with ' for ".
#ifndef TERN_TESTS_UNIT_TEST_ACCESS_DYNSEC_H
#define TERN_TESTS_UNIT_TEST_ACCESS_DYNSEC_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access/dynsec.h"
#include "core/acl.h"

#define ITERATIONS 10u

static inline struct dynsec *
fresh(void)
{
    return dynsec_new(ITERATIONS);
}

static inline char *
quoted(const char *text)
{
    char *copy = mem_strdup(text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

// Executes a payload as "admin". The reply; the caller frees it. outcome may be NULL.
static inline char *
execute(struct dynsec *dynsec, const char *payload, struct dynsec_outcome *ret)
{
    struct dynsec_outcome outcome;
    char *text = quoted(payload);
    dynsec_execute(dynsec, slice_str("admin"), slice_str(text), &outcome);
    mem_free(text);
    char *reply = mem_strndup(outcome.reply.data, outcome.reply.len);
    if (ret)
        *ret = outcome;
    else
        dynsec_outcome_free(&outcome);
    return reply;
}

// What this one command is answered with, without the frame around it.
static inline void
says(struct dynsec *dynsec, const char *command, const char *response, int line)
{
    char payload[4096], want[4096];
    (void)snprintf(payload, sizeof payload, "{'commands':[%s]}", command);
    (void)snprintf(want, sizeof want, "{'responses':[%s]}", response);
    char *reply = execute(dynsec, payload, NULL), *expected = quoted(want);
    cr_assert_str_eq(reply, expected, "line %d: %s\n  said %s\n  not  %s", line, command, reply,
                     expected);
    mem_free(reply);
    mem_free(expected);
}

// The command succeeds.
static inline void
does(struct dynsec *dynsec, const char *command, int line)
{
    char response[200], name[100];
    cr_assert_eq(sscanf(command, "{'command':'%99[^']'", name), 1, "line %d", line);
    (void)snprintf(response, sizeof response, "{'command':'%s'}", name);
    says(dynsec, command, response, line);
}

// The command fails with this error.
static inline void
fails(struct dynsec *dynsec, const char *command, const char *error, int line)
{
    char response[400], name[100];
    cr_assert_eq(sscanf(command, "{'command':'%99[^']'", name), 1, "line %d", line);
    char *literal = mem_strdup(error); // errors of mosquitto's have ' in them
    (void)snprintf(response, sizeof response,
                   "{\"responses\":[{\"command\":\"%s\",\"error\":\"%s\"}]}", name, literal);
    char payload[4096];
    (void)snprintf(payload, sizeof payload, "{'commands':[%s]}", command);
    struct dynsec_outcome outcome;
    char *reply = execute(dynsec, payload, &outcome);
    cr_assert_str_eq(reply, response, "line %d: %s", line, command);
    cr_assert(!outcome.rules && outcome.settings.count == 0 && !outcome.log, "line %d", line);
    dynsec_outcome_free(&outcome);
    mem_free(reply);
    mem_free(literal);
}

#define SAYS(command, response) says(dynsec, command, response, __LINE__)
#define DOES(command)           does(dynsec, command, __LINE__)
#define FAILS(command, error)   fails(dynsec, command, error, __LINE__)

static inline err_t
come(struct dynsec *dynsec, const char *user, const char *id, const char *password,
     uint64_t *ret_mark)
{
    struct dynsec_login login = {slice_str(user), slice_str(id), slice_str(password)};
    return dynsec_check(dynsec, &login, NULL, 0, ret_mark);
}

#endif
