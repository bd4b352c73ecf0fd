// ctl_run.c - what the commands of ternmqctl share: asking, reading answers, printing.
#include "ctl/ctl_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/mem.h"

// ---- JSON ---------------------------------------------------------------------------------------

struct slice
text_in(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return slice_of(json_string_value(value), json_string_length(value));
}

uint64_t
number_in(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

bool
true_in(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

json_t *
request_of(const char *op)
{
    json_t *request = json_object();
    (void)json_object_set_new(request, "v", json_integer(1));
    (void)json_object_set_new(request, "op", json_string(op));
    return request;
}

void
put_text_in(json_t *request, const char *name, const char *text)
{
    must(json_is_object(request));
    if (text)
        (void)json_object_set_new(request, name, json_string(text));
}

int
complain(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("Error: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return code;
}

// ---- Asking -------------------------------------------------------------------------------------

static int
refused(const json_t *answer, bool json)
{
    struct slice error = text_in(answer, "error"), text = text_in(answer, "text");
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
    }
    char *plain = ctl_escape(text);
    (void)complain(0, "%s", plain);
    mem_free(plain);
    if (slice_equal(error, slice_str("bad_request")))
        return EXIT_USAGE;
    return slice_equal(error, slice_str("forbidden")) ? EXIT_CONNECTION : EXIT_REFUSED;
}

// Takes request. A good answer into ret_answer, or the exit code, and all was said.
int
ask(struct run *run, json_t *request, int wait_ms, json_t **ret_answer)
{
    *ret_answer = NULL;
    must(run->peer.fd >= 0);
    json_t *answer = ctl_peer_ask(&run->peer, request, wait_ms);
    json_decref(request);
    if (!answer)
        return complain(EXIT_CONNECTION, "%s", run->peer.problem);
    if (!true_in(answer, "ok")) {
        int code = refused(answer, run->options->json && !run->begun);
        // Reasons of their own, for reload.
        size_t count = json_array_size(json_object_get(answer, "problems"));
        for (size_t i = 0; i < count; i++) {
            const json_t *text = json_array_get(json_object_get(answer, "problems"), i);
            char *plain = ctl_escape(slice_of(json_string_value(text), json_string_length(text)));
            (void)complain(0, "%s", plain);
            mem_free(plain);
        }
        json_decref(answer);
        return code;
    }
    *ret_answer = answer;
    return EXIT_DONE;
}

void
print_json(const json_t *answer)
{
    (void)json_dumpf(answer, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
}

int
ask_and_show(struct run *run, json_t *request, int wait_ms, void (*show)(const json_t *answer))
{
    json_t *answer;
    must(request && show);
    int code = ask(run, request, wait_ms, &answer);
    if (code == EXIT_DONE && run->options->json)
        print_json(answer);
    else if (code == EXIT_DONE)
        show(answer);
    json_decref(answer);
    return code;
}

// ---- Paths --------------------------------------------------------------------------------------

// From the root, without / at its end. Returns new; NULL: where we are is not known.
char *
whole_path(const char *path)
{
    char *here = path[0] == '/' ? mem_strdup("") : getcwd(NULL, 0);
    if (!here)
        return NULL;
    size_t len = strlen(here) + strlen(path) + 2;
    char *whole = mem_alloc(len);
    (void)snprintf(whole, len, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    mem_free(here);
    size_t end = strlen(whole);
    must(whole[0] == '/');
    while (end > 1 && whole[end - 1] == '/')
        whole[--end] = '\0';
    return whole;
}

// ---- Lines and cells ----------------------------------------------------------------------------

void
say(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)printf("%-16s", name);
    (void)vprintf(format, args);
    (void)fputc('\n', stdout);
    va_end(args);
}

void
say_text(const char *name, struct slice text)
{
    char *plain = text.data ? ctl_escape(text) : mem_strdup("-");
    say(name, "%s", plain);
    mem_free(plain);
}

void
say_duration(const char *name, uint64_t seconds)
{
    char text[CTL_DURATION_MAX];
    ctl_duration(seconds, text);
    say(name, "%s", text);
}

void
say_number(const char *name, const json_t *object, const char *key)
{
    say(name, "%" PRIu64, number_in(object, key));
}

void
time_cell(struct ctl_table *table, const json_t *row, const char *name)
{
    char text[CTL_TIME_MAX];
    ctl_time(number_in(row, name), text);
    ctl_table_text(table, json_object_get(row, name) ? slice_str(text) : slice_of(NULL, 0));
}

void
number_cell(struct ctl_table *table, const json_t *row, const char *name)
{
    if (json_is_integer(json_object_get(row, name)))
        ctl_table_number(table, number_in(row, name));
    else
        ctl_table_text(table, slice_of(NULL, 0));
}

void
text_cell(struct ctl_table *table, const json_t *row, const char *name)
{
    ctl_table_text(table, text_in(row, name));
}

void
duration_cell(struct ctl_table *table, const json_t *row, const char *name)
{
    char text[CTL_DURATION_MAX];
    ctl_duration(number_in(row, name), text);
    bool known = json_is_integer(json_object_get(row, name));
    ctl_table_text(table, known ? slice_str(text) : slice_of(NULL, 0));
}
