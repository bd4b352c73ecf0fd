// ternmqctl.c - asks and steers a running broker, by its control socket.
//
// What is printed comes from one table of commands: how each is asked, page by page, and how its
// rows are shown to people. With --json they are printed as they came.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "ctl/ctl_run.h"
#include "ctl/ctl_sort.h"

#define PAGE 500u

// ---- Rows ---------------------------------------------------------------------------------------

static void
client_row(struct ctl_table *table, const json_t *row)
{
    ctl_table_text(table, text_in(row, "id"));
    ctl_table_text(table, text_in(row, "user"));
    ctl_table_text(table, text_in(row, "address"));
    ctl_table_text(table, text_in(row, "listener"));
    ctl_table_text(table, text_in(row, "version"));
    time_cell(table, row, "connected_since");
    number_cell(table, row, "keep_alive_s");
    number_cell(table, row, "inflight");
    number_cell(table, row, "queued");
    number_cell(table, row, "subscriptions");
    number_cell(table, row, "messages_in");
    number_cell(table, row, "messages_out");
}

static void
slow_row(struct ctl_table *table, const json_t *row)
{
    text_cell(table, row, "id");
    text_cell(table, row, "address");
    number_cell(table, row, "oldest_ms");
    number_cell(table, row, "inflight");
    number_cell(table, row, "queued");
    number_cell(table, row, "output_bytes");
    number_cell(table, row, "dropped");
}

static void
subscription_row(struct ctl_table *table, const json_t *row)
{
    char options[64];
    (void)snprintf(options, sizeof options, "%s%s%s", true_in(row, "no_local") ? "no-local" : "",
                   true_in(row, "no_local") && true_in(row, "retain_as_published") ? "," : "",
                   true_in(row, "retain_as_published") ? "retain-as-published" : "");
    ctl_table_text(table, text_in(row, "id"));
    number_cell(table, row, "qos");
    ctl_table_text(table, options[0] != '\0' ? slice_str(options) : slice_of(NULL, 0));
    number_cell(table, row, "subscription_id");
    ctl_table_text(table, text_in(row, "share"));
    ctl_table_text(table, text_in(row, "filter"));
}

static void
retained_row(struct ctl_table *table, const json_t *row)
{
    number_cell(table, row, "bytes");
    number_cell(table, row, "qos");
    time_cell(table, row, "since");
    number_cell(table, row, "expires_in_s");
    ctl_table_text(table, text_in(row, "topic"));
}

static const char *const client_heads[] = {"CLIENT",  "USER",  "ADDRESS",    "LISTENER",
                                           "VERSION", "SINCE", "KEEP-ALIVE", "IN-FLIGHT",
                                           "QUEUED",  "SUBS",  "IN",         "OUT"};
static const char *const slow_heads[] = {"CLIENT", "ADDRESS", "OLDEST-MS", "IN-FLIGHT",
                                         "QUEUED", "OUTPUT",  "DROPPED"};
static const char *const subscription_heads[] = {"CLIENT", "QOS",   "OPTIONS",
                                                 "ID",     "SHARE", "FILTER"};
static const char *const retained_heads[] = {"BYTES", "QOS", "SINCE", "EXPIRES-IN", "TOPIC"};
static const char *const ban_heads[] = {"CLIENT", "USER", "ADDRESS", "EXPIRES-IN"};
static const char *const match_heads[] = {"CLIENT",    "NODE",   "CONNECTED", "QOS",   "SHARE",
                                          "IN-FLIGHT", "QUEUED", "MESSAGE",   "FILTER"};

static const struct listing {
    const char *op, *rows; // of the request; the array in the answer
    const char *const *heads;
    uint32_t columns;
    void (*show)(struct ctl_table *table, const json_t *row);
} listings[] = {
    [CTL_DO_CLIENTS] = {"clients", "clients", client_heads, ARRAY_LEN(client_heads), client_row},
    [CTL_DO_SLOW] = {"clients", "clients", slow_heads, ARRAY_LEN(slow_heads), slow_row},
    [CTL_DO_SUBSCRIPTIONS] = {"subscriptions", "subscriptions", subscription_heads,
                              ARRAY_LEN(subscription_heads), subscription_row},
    [CTL_DO_RETAINED_LS] = {"retained", "retained", retained_heads, ARRAY_LEN(retained_heads),
                            retained_row},
    [CTL_DO_BAN_LS] = {"bans", "bans", ban_heads, ARRAY_LEN(ban_heads), ban_row},
    [CTL_DO_EXPLAIN_PUB] = {"matches", "matches", match_heads, ARRAY_LEN(match_heads), match_row},
    [CTL_DO_EXPLAIN_SUB] = {"explain", "subscriptions", match_heads, ARRAY_LEN(match_heads),
                            match_row},
};

// ---- Long lists ---------------------------------------------------------------------------------

// The next page of what `wanted` asks for.
static json_t *
page_request(const struct run *run, const json_t *wanted, const json_t *cursor)
{
    json_t *request = json_copy(unconst(wanted));
    uint64_t left = run->sorted ? PAGE : run->options->limit - run->shown;
    must(left > 0);
    (void)json_object_set_new(request, "limit", json_integer((json_int_t)min_u64(left, PAGE)));
    if (cursor)
        (void)json_object_set(request, "cursor", unconst(cursor));
    return request;
}

static void
show_row(struct run *run, const struct listing *listing, const json_t *row)
{
    if (!run->options->json) {
        listing->show(run->table, row);
    } else {
        (void)fputs(run->shown > 0 ? ",\n  " : "\n  ", stdout);
        (void)json_dumpf(row, stdout, JSON_COMPACT);
    }
    run->shown++;
}

// The rows of a page, no more than are wanted; those that are to be sorted wait for the others.
static void
show_page(struct run *run, const struct listing *listing, const json_t *rows)
{
    size_t all = json_array_size(rows);
    for (size_t i = 0; run->sorted && i < all; i++)
        ctl_sorted_add(run->sorted, json_array_get(rows, i));
    size_t count = run->sorted ? 0 : min_u64(all, run->options->limit - run->shown);
    for (size_t i = 0; i < count; i++)
        show_row(run, listing, json_array_get(rows, i));
    if (!run->options->json && !run->sorted)
        ctl_table_print(run->table, stdout);
}

static void
show_sorted(struct run *run, const struct listing *listing)
{
    ctl_sorted_finish(run->sorted);
    for (uint32_t i = 0; i < run->sorted->count; i++)
        show_row(run, listing, run->sorted->rows[i]);
    if (!run->options->json)
        ctl_table_print(run->table, stdout);
}

// Takes wanted.
static int
list_pages(struct run *run, const struct listing *listing, json_t *wanted)
{
    json_t *answer = NULL, *cursor = NULL;
    int code = EXIT_DONE;
    do {
        code = ask(run, page_request(run, wanted, cursor), ANSWER_MS, &answer);
        json_decref(cursor);
        cursor = NULL;
        if (code != EXIT_DONE)
            break;
        if (run->options->json && !run->begun)
            (void)printf("{\"%s\": [", listing->rows);
        run->begun = true;
        show_page(run, listing, json_object_get(answer, listing->rows));
        cursor = json_incref(json_object_get(answer, "cursor"));
        json_decref(answer);
    } while (cursor && (run->sorted || run->shown < run->options->limit));
    json_decref(cursor);
    json_decref(wanted);
    if (run->sorted && code == EXIT_DONE)
        show_sorted(run, listing);
    return code;
}

static int
list(struct run *run)
{
    const struct ctl_options *options = run->options;
    const struct listing *listing = &listings[options->command];
    json_t *wanted = request_of(listing->op);
    struct ctl_sorted sorted = {.order = options->order, .limit = options->limit};
    must(listing->op && !run->table);
    put_text_in(wanted, "id", options->client);
    put_text_in(wanted, "text", options->text);
    put_text_in(wanted, "filter", options->operands[0]);
    if (options->all)
        (void)json_object_set_new(wanted, "away", json_true());
    if (options->command == CTL_DO_SLOW)
        (void)json_object_set_new(wanted, "waiting", json_true());
    run->table = ctl_table_new(listing->heads, listing->columns);
    run->sorted = options->order != CTL_ORDER_NONE ? &sorted : NULL;
    int code = list_pages(run, listing, wanted);
    run->sorted = NULL;
    ctl_sorted_free(&sorted);
    if (options->json && run->begun)
        (void)printf("%s]}\n", run->shown > 0 ? "\n" : "");
    return code;
}

// ---- One thing ----------------------------------------------------------------------------------

static void
say_will(const json_t *will)
{
    if (!json_is_object(will)) {
        say("will", "none");
        return;
    }
    char *topic = ctl_escape(text_in(will, "topic"));
    say("will", "%s (QoS %" PRIu64 "%s, after %" PRIu64 " s)", topic, number_in(will, "qos"),
        true_in(will, "retain") ? ", retained" : "", number_in(will, "delay_s"));
    mem_free(topic);
}

static void
say_client(const json_t *client)
{
    say_text("client", text_in(client, "id"));
    say_text("user", text_in(client, "user"));
    say("connected", "%s", true_in(client, "connected") ? "yes" : "no");
    say_text("version", text_in(client, "version"));
    if (true_in(client, "connected")) {
        char since[CTL_TIME_MAX];
        ctl_time(number_in(client, "connected_since"), since);
        say_text("address", text_in(client, "address"));
        say_text("listener", text_in(client, "listener"));
        say("since", "%s", since);
        say("keep alive", "%" PRIu64 " s", number_in(client, "keep_alive_s"));
    }
    say_number("in flight", client, "inflight");
    say_number("queued", client, "queued");
    say_number("messages in", client, "messages_in");
    say_number("messages out", client, "messages_out");
    const json_t *expiry = json_object_get(client, "session_expiry_s");
    if (json_is_integer(expiry))
        say("session expiry", "%" PRIu64 " s", number_in(client, "session_expiry_s"));
    else
        say("session expiry", "never");
    if (json_is_integer(json_object_get(client, "expires_in_s")))
        say_duration("expires in", number_in(client, "expires_in_s"));
    say_will(json_object_get(client, "will"));
    say_number("subscriptions", client, "subscriptions");
}

static int
show_client(struct run *run)
{
    const struct listing *listing = &listings[CTL_DO_SUBSCRIPTIONS];
    json_t *request = request_of("client"), *answer;
    (void)json_object_set_new(request, "id", json_string(run->options->operands[0]));
    int code = ask(run, request, ANSWER_MS, &answer);
    if (code != EXIT_DONE)
        return code;
    const json_t *client = json_object_get(answer, "client");
    bool subscribes = number_in(client, "subscriptions") > 0;
    if (run->options->json) {
        (void)fputs("{\"client\": ", stdout);
        (void)json_dumpf(client, stdout, JSON_COMPACT);
        (void)fputs(",\n \"subscriptions\": [", stdout);
        run->begun = true;
    } else {
        say_client(client);
    }
    json_decref(answer);
    if (subscribes) {
        if (!run->options->json)
            (void)fputc('\n', stdout);
        run->table = ctl_table_new(listing->heads, listing->columns);
        json_t *wanted = request_of(listing->op);
        put_text_in(wanted, "id", run->options->operands[0]);
        code = list_pages(run, listing, wanted);
    }
    if (run->options->json)
        (void)fputs("]}\n", stdout);
    return code;
}

// What decides, and what follows: subscriptions that match, of the client or of all.
static int
explain(struct run *run)
{
    const struct ctl_options *options = run->options;
    const struct listing *listing = &listings[options->command];
    bool publish = options->command == CTL_DO_EXPLAIN_PUB;
    json_t *request = request_of("explain"), *answer;
    put_text_in(request, "action", publish ? "pub" : "sub");
    put_text_in(request, "id", options->operands[0]);
    put_text_in(request, "filter", options->operands[1]);
    (void)json_object_set_new(request, "qos", json_integer(options->qos));
    int code = ask(run, request, ANSWER_MS, &answer);
    if (code != EXIT_DONE)
        return code;
    run->table = ctl_table_new(listing->heads, listing->columns);
    bool allowed = say_explanation(answer, options->json);
    const json_t *own = json_object_get(answer, "subscriptions");
    run->begun = true; // an object is open
    if (publish && allowed) {
        json_t *wanted = request_of(listing->op);
        put_text_in(wanted, "id", options->operands[0]);
        put_text_in(wanted, "filter", options->operands[1]);
        (void)json_object_set_new(wanted, "qos", json_integer(options->qos));
        code = list_pages(run, listing, wanted);
    } else if (!publish && json_array_size(own) > 0) {
        show_page(run, listing, own);
    }
    json_decref(answer);
    if (options->json)
        (void)fputs("]}\n", stdout);
    else if (allowed && run->shown == 0)
        say_text("subscriptions", slice_str("none that match"));
    return code == EXIT_DONE && !allowed ? EXIT_REFUSED : code;
}

static int
kick(struct run *run)
{
    json_t *request = request_of("kick"), *answer;
    (void)json_object_set_new(request, "id", json_string(run->options->operands[0]));
    int code = ask(run, request, ANSWER_MS, &answer);
    if (code == EXIT_DONE && run->options->json)
        print_json(answer);
    if (code == EXIT_DONE && !run->options->json) {
        const json_t *client = json_object_get(answer, "client");
        char *address = ctl_escape(text_in(client, "address"));
        (void)printf("Disconnected; it had come from %s.\n", address);
        mem_free(address);
    }
    json_decref(answer);
    return code;
}

static int
forget_retained(struct run *run)
{
    json_t *answer, *cursor = NULL;
    uint64_t removed = 0, reserved = 0;
    do {
        json_t *request = request_of("retained_rm");
        (void)json_object_set_new(request, "filter", json_string(run->options->operands[0]));
        (void)json_object_set_new(request, "limit", json_integer(PAGE));
        if (cursor)
            (void)json_object_set_new(request, "cursor", cursor);
        int code = ask(run, request, ANSWER_MS, &answer);
        if (code != EXIT_DONE)
            return code;
        removed += number_in(answer, "removed");
        reserved += number_in(answer, "reserved");
        cursor = json_incref(json_object_get(answer, "cursor"));
        json_decref(answer);
    } while (cursor);
    if (run->options->json)
        (void)printf("{\"removed\": %" PRIu64 ", \"reserved\": %" PRIu64 "}\n", removed, reserved);
    else
        (void)printf("Removed: %" PRIu64 "\n", removed);
    if (removed == 0 && reserved == 0)
        (void)complain(0, "there is no such retained message");
    if (reserved > 0)
        (void)complain(0, "%" PRIu64 " are the broker's own, and stay", reserved);
    return removed > 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int
back_up(struct run *run)
{
    char *path = whole_path(run->options->operands[0]);
    if (!path)
        return complain(EXIT_USAGE, "%s: %s", run->options->operands[0], strerrordesc_np(errno));
    json_t *request = request_of("backup"), *answer;
    (void)json_object_set_new(request, "path", json_string(path));
    (void)json_object_set_new(request, "force", json_boolean(run->options->force));
    int code = ask(run, request, -1, &answer);
    if (code == EXIT_DONE && run->options->json)
        print_json(answer);
    else if (code == EXIT_DONE)
        (void)printf("%s\n", path);
    mem_free(path);
    json_decref(answer);
    return code;
}

static int (*const actions[])(struct run *run) = {
    [CTL_DO_STATUS] = show_status,
    [CTL_DO_CLUSTER] = show_cluster,
    [CTL_DO_CLIENTS] = list,
    [CTL_DO_CLIENT] = show_client,
    [CTL_DO_KICK] = kick,
    [CTL_DO_SUBSCRIPTIONS] = list,
    [CTL_DO_RETAINED_LS] = list,
    [CTL_DO_RETAINED_RM] = forget_retained,
    [CTL_DO_BACKUP] = back_up,
    [CTL_DO_RELOAD] = reload_config,
    [CTL_DO_BAN_ADD] = add_ban,
    [CTL_DO_BAN_RM] = remove_ban,
    [CTL_DO_BAN_LS] = list,
    [CTL_DO_LOG_LEVEL] = log_level,
    [CTL_DO_CONFIG_SHOW] = show_config,
    [CTL_DO_CONFIG_CHECK] = check_config,
    [CTL_DO_EXPLAIN_PUB] = explain,
    [CTL_DO_EXPLAIN_SUB] = explain,
    [CTL_DO_DRAIN] = drain,
    [CTL_DO_DECOMMISSION] = decommission,
    [CTL_DO_FORGET] = forget,
    [CTL_DO_REBALANCE] = rebalance,
    [CTL_DO_TRACE_CLIENT] = follow_packets,
    [CTL_DO_TRACE_TOPIC] = follow_packets,
    [CTL_DO_TOPICS_TOP] = show_busiest,
    [CTL_DO_SLOW] = list,
};

// ---- main ---------------------------------------------------------------------------------------

// What was printed must have gone out, or a script would take half an answer for all of it.
static int
flush(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return complain(code == EXIT_DONE ? EXIT_REFUSED : code, "standard output: %s",
                    strerrordesc_np(errno));
}

int
main(int argc, char **argv)
{
    struct ctl_options options;
    char complaint[CTL_COMPLAINT_MAX];
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread
    const char *env = getenv(CTL_SOCKET_ENV);
    if (!ctl_options_read(argc, argv, env, &options, complaint))
        return complain(EXIT_USAGE, "%s", complaint);
    if (options.command == CTL_DO_HELP) {
        (void)fputs(ctl_options_help(options.topic), stdout);
        return flush(EXIT_DONE);
    }
    if (options.command == CTL_DO_VERSION) {
        (void)printf("ternmqctl version " TERN_VERSION "\n");
        return flush(EXIT_DONE);
    }
    must(options.command < ARRAY_LEN(actions));
    struct run run = {.options = &options};
    int code = EXIT_CONNECTION;
    if (ctl_peer_open(&run.peer, options.socket))
        code = actions[options.command](&run);
    else
        (void)complain(0, "%s", run.peer.problem);
    ctl_table_free(run.table);
    ctl_peer_close(&run.peer);
    return flush(code);
}
