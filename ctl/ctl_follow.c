// ctl_follow.c - the commands of ternmqctl that watch: traces, and the busiest topics.
//
// The broker is asked again and again for what there is since the last time; nobody waits there.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "ctl/ctl_run.h"

#define AGAIN_MS 200
#define PAGE     500
// The busiest topics, where nothing else is asked for.
#define TOP_LIMIT 20u

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
    (void)number;
    stopped = 1;
}

// Ctrl-C ends a trace, and not what it has still to say.
static void
catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    must(sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0);
}

static void
wait_a_moment(void)
{
    const struct timespec time = {.tv_nsec = AGAIN_MS * 1000000L};
    (void)nanosleep(&time, NULL); // a signal ends it early
}

// ---- A line for people --------------------------------------------------------------------------

static void
print_time(uint64_t ms)
{
    char text[CTL_TIME_MAX];
    ctl_time(ms / 1000, text);
    char *end = strchr(text, 'Z');
    if (end)
        *end = '\0';
    (void)printf("%s.%03uZ", text, (unsigned)(ms % 1000));
}

// Numbers as they are, texts in quotes. False is not worth a word.
static void
print_plain(const char *name, const json_t *value)
{
    if (json_is_integer(value) && strcmp(name, "reason") == 0) {
        (void)printf(" %s=0x%02" PRIx64, name, (uint64_t)json_integer_value(value));
    } else if (json_is_integer(value)) {
        (void)printf(" %s=%" PRIu64, name, (uint64_t)json_integer_value(value));
    } else if (json_is_true(value)) {
        (void)printf(" %s", name);
    } else if (json_is_string(value)) {
        char *plain = ctl_escape(slice_of(json_string_value(value), json_string_length(value)));
        (void)printf(" %s=\"%s\"", name, plain);
        mem_free(plain);
    }
}

static void
print_fields(const char *name, json_t *object)
{
    const char *key;
    json_t *value;
    must(json_is_object(object));
    (void)printf(" %s={", name);
    json_object_foreach(object, key, value) print_plain(key, value);
    (void)fputs(" }", stdout);
}

// Of filters, reason codes and identifiers.
static void
print_list(const char *name, json_t *list)
{
    size_t i;
    json_t *item;
    must(json_is_array(list));
    bool numbers = json_is_integer(json_array_get(list, 0));
    if (numbers)
        (void)printf(" %s=", name);
    json_array_foreach(list, i, item)
    {
        if (numbers)
            (void)printf("%s%" PRIu64, i > 0 ? "," : "", (uint64_t)json_integer_value(item));
        else
            print_fields(name, item);
    }
}

static bool
stands_in_front(const char *key)
{
    static const char *const keys[] = {"time_ms", "way", "client", "node", "type"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static void
print_record(json_t *record)
{
    static const char dashes[] = "--";
    const char *key;
    json_t *value;
    struct slice way = text_in(record, "way"), type = text_in(record, "type");
    struct slice node = text_in(record, "node"), client = text_in(record, "client");
    char *who = ctl_escape(node.data ? node : client);
    char *what = ctl_escape(type.data ? type : slice_str(dashes));
    bool in = slice_equal(way, slice_str("in")), out = slice_equal(way, slice_str("out"));
    print_time(number_in(record, "time_ms"));
    (void)printf(" %s %s%s %s",
                 in    ? "->"
                 : out ? "<-"
                       : dashes,
                 node.data ? "node " : "", who, what);
    json_object_foreach(record, key, value)
    {
        if (stands_in_front(key))
            continue;
        if (json_is_object(value))
            print_fields(key, value);
        else if (json_is_array(value))
            print_list(key, value);
        else
            print_plain(key, value);
    }
    (void)fputc('\n', stdout);
    mem_free(who);
    mem_free(what);
}

// ---- A trace ------------------------------------------------------------------------------------

struct entry {
    json_t *record; // with a reference
    uint64_t ms;
    uint32_t place;
};

struct follow {
    struct run *run;
    struct entry *entries; // of this round
    uint32_t count, cap;
    uint64_t lost;
};

// Those of a millisecond stay as they came: a shard's are in order.
static int
compare_times(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static bool
is_done(const struct follow *follow)
{
    return follow->run->shown >= follow->run->options->count;
}

// What all shards had to tell.
static void
print_round(struct follow *follow)
{
    struct run *run = follow->run;
    must(follow->count <= follow->cap);
    if (follow->count > 1)
        qsort(follow->entries, follow->count, sizeof *follow->entries, compare_times);
    for (uint32_t i = 0; i < follow->count; i++) {
        json_t *record = follow->entries[i].record;
        if (!is_done(follow) && run->options->json) {
            (void)json_dumpf(record, stdout, JSON_COMPACT);
            (void)fputc('\n', stdout);
        } else if (!is_done(follow)) {
            print_record(record);
        }
        run->shown += !is_done(follow);
        json_decref(record);
    }
    follow->count = 0;
    if (follow->lost > 0 && run->options->json)
        (void)printf("{\"lost\":%" PRIu64 "}\n", follow->lost);
    else if (follow->lost > 0)
        (void)printf("%" PRIu64 " records were not kept\n", follow->lost);
    follow->lost = 0;
    (void)fflush(stdout);
}

static void
take_page(struct follow *follow, const json_t *answer)
{
    json_t *record, *list = json_object_get(answer, "records");
    size_t i;
    follow->lost += number_in(answer, "lost");
    follow->entries =
        mem_grow(follow->entries, &follow->cap, follow->count + (uint32_t)json_array_size(list) + 1,
                 sizeof *follow->entries);
    json_array_foreach(list, i, record)
    {
        struct entry entry = {json_incref(record), number_in(record, "time_ms"), follow->count};
        follow->entries[follow->count++] = entry;
    }
}

// Asks with the cursor of the last answer, or for the first time. Takes the cursor, and gives the
// next one: NULL, there is nothing more.
static int
ask_on(struct run *run, json_t *request, json_t **cursor, json_t **ret_answer)
{
    if (*cursor)
        (void)json_object_set_new(request, "cursor", *cursor);
    *cursor = NULL;
    int code = ask(run, request, ANSWER_MS, ret_answer);
    if (code == EXIT_DONE)
        *cursor = json_incref(json_object_get(*ret_answer, "cursor"));
    run->begun = true;
    return code;
}

static json_t *
first_request(const struct run *run)
{
    const struct ctl_options *options = run->options;
    json_t *request = request_of("trace");
    bool client = options->command == CTL_DO_TRACE_CLIENT;
    must(client || options->command == CTL_DO_TRACE_TOPIC);
    put_text_in(request, client ? "id" : "filter", options->operands[0]);
    if (options->for_s > 0)
        (void)json_object_set_new(request, "for_s", json_integer((json_int_t)options->for_s));
    return request;
}

static int
follow_on(struct follow *follow)
{
    json_t *cursor = NULL, *answer, *request = first_request(follow->run);
    for (;;) {
        int code = ask_on(follow->run, request, &cursor, &answer);
        if (code != EXIT_DONE)
            return code;
        bool more = true_in(answer, "more"), last = stopped;
        take_page(follow, answer);
        json_decref(answer);
        if (!more)
            print_round(follow);
        if (!cursor || is_done(follow) || ferror(stdout) || (last && !more))
            break;
        if (!more && !stopped)
            wait_a_moment();
        request = request_of("trace");
    }
    json_decref(cursor);
    return EXIT_DONE;
}

int
follow_packets(struct run *run)
{
    struct follow follow = {.run = run};
    catch_signals();
    if (isatty(STDERR_FILENO))
        (void)fputs("Ctrl-C ends it.\n", stderr);
    int code = follow_on(&follow);
    for (uint32_t i = 0; i < follow.count; i++)
        json_decref(follow.entries[i].record);
    mem_free(follow.entries);
    return code;
}

// ---- The busiest topics -------------------------------------------------------------------------

static const char *const topic_heads[] = {"MESSAGES/S", "BYTES/S", "OVER/S", "TOPIC"};

static json_t *
topics_request(const struct run *run, uint64_t seconds)
{
    const struct ctl_options *options = run->options;
    json_t *request = request_of("topics");
    must(seconds > 0);
    put_text_in(request, "by", options->by_bytes ? "bytes" : "messages");
    (void)json_object_set_new(request, "for_s", json_integer((json_int_t)seconds));
    if (options->levels > 0)
        (void)json_object_set_new(request, "levels", json_integer((json_int_t)options->levels));
    return request;
}

static void
add_number(json_t *object, const char *name, uint64_t number)
{
    uint64_t sum = number_in(object, name) + number;
    (void)json_object_set_new(object, name, json_integer((json_int_t)sum));
}

// A topic may be published by clients of several workers.
static void
merge_topics(json_t *topics, const json_t *page)
{
    size_t i;
    json_t *row;
    json_array_foreach(page, i, row)
    {
        const char *topic = json_string_value(json_object_get(row, "topic"));
        json_t *there = topic ? json_object_get(topics, topic) : NULL;
        if (topic && !there) {
            (void)json_object_set(topics, topic, row);
        } else if (topic) {
            add_number(there, "messages", number_in(row, "messages"));
            add_number(there, "bytes", number_in(row, "bytes"));
            add_number(there, "over", number_in(row, "over"));
        }
    }
}

struct order {
    const char *key;
};

static int
compare_topics(const void *a, const void *b, void *arg)
{
    const struct order *order = arg;
    must(order->key != NULL);
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    uint64_t i = number_in(x, order->key), j = number_in(y, order->key);
    if (i != j)
        return i < j ? 1 : -1;
    struct slice s = text_in(x, "topic"), t = text_in(y, "topic");
    return s.data && t.data ? strcmp((const char *)s.data, (const char *)t.data) : 0;
}

static void
rate_cell(struct ctl_table *table, uint64_t number, uint64_t seconds)
{
    char text[40];
    must(seconds > 0);
    uint64_t tenths = number * 10 / seconds;
    (void)snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
    ctl_table_text(table, slice_str(text));
}

static void
print_topics(struct run *run, json_t *const *rows, size_t count, uint64_t seconds)
{
    if (run->options->json) {
        (void)printf("{\"seconds\": %" PRIu64 ", \"topics\": [", seconds);
        for (size_t i = 0; i < count; i++) {
            (void)fputs(i > 0 ? ",\n  " : "\n  ", stdout);
            (void)json_dumpf(rows[i], stdout, JSON_COMPACT);
        }
        (void)puts("]}");
        return;
    }
    run->table = ctl_table_new(topic_heads, ARRAY_LEN(topic_heads));
    for (size_t i = 0; i < count; i++) {
        rate_cell(run->table, number_in(rows[i], "messages"), seconds);
        rate_cell(run->table, number_in(rows[i], "bytes"), seconds);
        rate_cell(run->table, number_in(rows[i], "over"), seconds);
        text_cell(run->table, rows[i], "topic");
    }
    ctl_table_print(run->table, stdout);
}

static void
show_topics(struct run *run, json_t *topics, uint64_t seconds)
{
    const struct ctl_options *options = run->options;
    struct order order = {options->by_bytes ? "bytes" : "messages"};
    size_t count = 0, size = json_object_size(topics);
    json_t **rows = mem_alloc((size + 1) * sizeof *rows), *row;
    const char *topic;
    json_object_foreach(topics, topic, row) rows[count++] = row;
    must(count == size);
    if (count > 1)
        qsort_r((void *)rows, count, sizeof *rows, compare_topics, &order);
    uint64_t limit = options->limit == UINT64_MAX ? TOP_LIMIT : options->limit;
    print_topics(run, rows, min_u64(count, limit), seconds);
    mem_free((void *)rows);
}

int
show_busiest(struct run *run)
{
    uint64_t seconds = run->options->for_s ? run->options->for_s : 5;
    json_t *request = topics_request(run, seconds), *cursor = NULL, *answer;
    json_t *topics = json_object();
    int code = EXIT_DONE;
    catch_signals();
    while (request) {
        code = ask_on(run, request, &cursor, &answer);
        request = NULL;
        if (code != EXIT_DONE)
            break;
        merge_topics(topics, json_object_get(answer, "topics"));
        if (cursor && !stopped) {
            if (!true_in(answer, "more"))
                wait_a_moment();
            request = request_of("topics");
            (void)json_object_set_new(request, "limit", json_integer(PAGE));
        }
        json_decref(answer);
    }
    if (code == EXIT_DONE && !stopped)
        show_topics(run, topics, seconds);
    json_decref(cursor);
    json_decref(topics);
    return code;
}
