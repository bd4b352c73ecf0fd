// ctl_commands.c - the commands of ternmqctl that ask once and print: nodes, bans, log,
// configuration.
#include <errno.h>
#include <inttypes.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "ctl/ctl_run.h"

// ---- Nodes --------------------------------------------------------------------------------------

static const char *const node_heads[] = {"NODE",    "STATE",   "FOR-S",  "INCARNATION",
                                         "ADDRESS", "VERSION", "UPTIME", "CLIENTS",
                                         "IN/S",    "OUT/S",   "ID"};
static const char *const link_heads[] = {"NODE", "TO",      "FROM",  "ROUTES",  "SESSIONS", "SEQ",
                                         "COPY", "WAITING", "BYTES", "ON-DISK", "LAG-MS"};

static void
node_row(struct ctl_table *table, const json_t *row)
{
    bool drains =
        true_in(row, "draining") && slice_equal(text_in(row, "state"), slice_str("alive"));
    text_cell(table, row, "name");
    ctl_table_text(table, drains ? slice_str("draining") : text_in(row, "state"));
    number_cell(table, row, "state_s");
    number_cell(table, row, "incarnation");
    text_cell(table, row, "address");
    text_cell(table, row, "version");
    duration_cell(table, row, "uptime_s");
    number_cell(table, row, "clients");
    number_cell(table, row, "in_per_s");
    number_cell(table, row, "out_per_s");
    text_cell(table, row, "id");
}

static void
state_cell(struct ctl_table *table, const json_t *row, const char *name)
{
    bool known = json_object_get(row, name) != NULL;
    const char *state = true_in(row, name) ? "up" : "down";
    ctl_table_text(table, known ? slice_str(state) : slice_of(NULL, 0));
}

static void
link_row(struct ctl_table *table, const json_t *row)
{
    text_cell(table, row, "name");
    state_cell(table, row, "link");
    state_cell(table, row, "link_from");
    number_cell(table, row, "routes");
    number_cell(table, row, "sessions");
    number_cell(table, row, "seq");
    text_cell(table, row, "copy");
    number_cell(table, row, "waiting");
    number_cell(table, row, "bytes");
    number_cell(table, row, "on_disk");
    number_cell(table, row, "lag_ms");
}

static void
print_nodes(const json_t *nodes, const char *const *heads, uint32_t columns,
            void (*show)(struct ctl_table *table, const json_t *row))
{
    must(show != NULL);
    struct ctl_table *table = ctl_table_new(heads, columns);
    for (size_t i = 0; i < json_array_size(nodes); i++)
        show(table, json_array_get(nodes, i));
    (void)fputc('\n', stdout);
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

static void
print_cluster(const json_t *answer)
{
    const json_t *nodes = json_object_get(answer, "nodes");
    if (json_array_size(nodes) > 0)
        say_text("this node", text_in(json_array_get(nodes, 0), "name"));
    say_number("own filters", answer, "routes");
    say("encrypted", "%s", true_in(answer, "encrypted") ? "yes" : "no");
    say_number("strangers", answer, "strangers");
    print_nodes(nodes, node_heads, ARRAY_LEN(node_heads), node_row);
    print_nodes(nodes, link_heads, ARRAY_LEN(link_heads), link_row);
}

int
show_cluster(struct run *run)
{
    return ask_and_show(run, request_of("cluster"), ANSWER_MS, print_cluster);
}

// ---- Bans ---------------------------------------------------------------------------------------

void
ban_row(struct ctl_table *table, const json_t *row)
{
    text_cell(table, row, "client");
    text_cell(table, row, "user");
    text_cell(table, row, "address");
    duration_cell(table, row, "expires_in_s");
}

static json_t *
ban_request(const struct run *run, const char *op)
{
    const struct ctl_options *options = run->options;
    json_t *request = request_of(op);
    put_text_in(request, "id", options->client);
    put_text_in(request, "user", options->user);
    put_text_in(request, "address", options->address);
    return request;
}

static void
print_banned(const json_t *answer)
{
    const json_t *ban = json_object_get(answer, "ban");
    must(json_is_object(ban));
    if (!json_is_integer(json_object_get(ban, "expires_in_s"))) {
        (void)puts("Banned until the broker ends.");
        return;
    }
    char text[CTL_DURATION_MAX];
    ctl_duration(number_in(ban, "expires_in_s"), text);
    (void)printf("Banned for %s.\n", text);
}

static void
print_unbanned(const json_t *answer)
{
    must(true_in(answer, "ok"));
    (void)puts("The ban is over.");
}

int
add_ban(struct run *run)
{
    json_t *request = ban_request(run, "ban");
    if (run->options->for_s > 0)
        (void)json_object_set_new(request, "for_s", json_integer((json_int_t)run->options->for_s));
    return ask_and_show(run, request, ANSWER_MS, print_banned);
}

int
remove_ban(struct run *run)
{
    return ask_and_show(run, ban_request(run, "unban"), ANSWER_MS, print_unbanned);
}

// ---- Log ----------------------------------------------------------------------------------------

static void
say_types(const char *name, const json_t *types)
{
    size_t count = json_array_size(types);
    (void)printf("%-16s%s", name, count == 0 ? "none" : "");
    for (size_t i = 0; i < count; i++)
        (void)printf("%s%s", i > 0 ? "," : "", json_string_value(json_array_get(types, i)));
    (void)fputc('\n', stdout);
}

static void
print_types(const json_t *answer)
{
    say_types("logged now", json_object_get(answer, "types"));
    say_types("configured", json_object_get(answer, "configured"));
}

int
log_level(struct run *run)
{
    json_t *request = request_of("log");
    put_text_in(request, "types", run->options->operands[0]);
    return ask_and_show(run, request, ANSWER_MS, print_types);
}

// ---- Configuration ------------------------------------------------------------------------------

static void
print_config(const json_t *answer)
{
    const json_t *keys = json_object_get(answer, "keys");
    must(true_in(answer, "ok"));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        char *value = ctl_escape(text_in(key, "value"));
        const char *name = json_string_value(json_object_get(key, "key"));
        bool listener = name && strcmp(name, "listener") == 0;
        (void)printf("%s%s %s\n", listener ? "\n" : "", name ? name : "", value);
        mem_free(value);
    }
}

int
show_config(struct run *run)
{
    return ask_and_show(run, request_of("config"), ANSWER_MS, print_config);
}

static void
print_warnings(const json_t *answer)
{
    const json_t *warnings = json_object_get(answer, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        char *plain = ctl_escape(slice_str(json_string_value(json_array_get(warnings, i))));
        (void)fprintf(stderr, "Warning: %s\n", plain);
        mem_free(plain);
    }
}

static void
print_checked(const json_t *answer)
{
    print_warnings(answer);
    (void)puts("OK: the broker would start with it.");
}

int
check_config(struct run *run)
{
    char *path = whole_path(run->options->operands[0]);
    if (!path)
        return complain(EXIT_USAGE, "%s: %s", run->options->operands[0], strerrordesc_np(errno));
    json_t *request = request_of("config_check");
    put_text_in(request, "path", path);
    mem_free(path);
    return ask_and_show(run, request, -1, print_checked);
}

static void
print_reloaded(const json_t *answer)
{
    print_warnings(answer);
    (void)puts("OK: the configuration was reloaded.");
}

int
reload_config(struct run *run)
{
    return ask_and_show(run, request_of("reload"), -1, print_reloaded);
}

// ---- Clients that are to go elsewhere -----------------------------------------------------------

#define WAIT_STEP_NS 300000000L
#define WAIT_MORE_S  15u // after all should have gone: their last words

static void
print_drain(const json_t *answer)
{
    const json_t *drain = json_object_get(answer, "drain");
    bool known = json_is_integer(json_object_get(drain, "left"));
    char *state = ctl_escape(text_in(drain, "state"));
    if (known)
        say("drain", "%s, %" PRIu64 " left, %" PRIu64 " s", state, number_in(drain, "left"),
            number_in(drain, "ends_in_s"));
    else
        say("drain", "%s, %" PRIu64 " s", state, number_in(drain, "ends_in_s"));
    mem_free(state);
}

static void
print_rebalance(const json_t *answer)
{
    const json_t *rebalance = json_object_get(answer, "rebalance");
    char *state = ctl_escape(text_in(rebalance, "state"));
    say("rebalance", "%s, %" PRIu64 " of %" PRIu64 " sent away", state,
        number_in(rebalance, "sent"), number_in(rebalance, "surplus"));
    mem_free(state);
}

static bool
is_state(const json_t *answer, const char *of, const char *state)
{
    return slice_equal(text_in(json_object_get(answer, of), "state"), slice_str(state));
}

static void
print_decommission(const json_t *answer)
{
    const json_t *object = json_object_get(answer, "decommission");
    struct slice waits_for = text_in(object, "waits_for");
    char *state = ctl_escape(text_in(object, "state"));
    say("decommission", "%s, %" PRIu64 " sessions left, %" PRIu64 " moved%s%.*s", state,
        number_in(object, "left"), number_in(object, "moved"),
        waits_for.len > 0 ? "; waits for node " : "", (int)waits_for.len,
        (const char *)waits_for.data);
    mem_free(state);
}

void
say_away(const json_t *answer)
{
    if (json_object_get(answer, "decommission") && !is_state(answer, "decommission", "off"))
        print_decommission(answer);
    if (json_object_get(answer, "drain") && !is_state(answer, "drain", "off"))
        print_drain(answer);
    if (json_object_get(answer, "rebalance") && !is_state(answer, "rebalance", "none"))
        print_rebalance(answer);
}

// Until nobody is left. Takes *answer, and gives the last one back.
static int
wait_drained(struct run *run, json_t **answer)
{
    const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
    must(*answer && !run->options->undo);
    uint64_t now_s = clock_mono_ms() / 1000;
    uint64_t end_s = now_s + number_in(json_object_get(*answer, "drain"), "ends_in_s");
    int code = EXIT_DONE;
    while (code == EXIT_DONE && !is_state(*answer, "drain", "drained")) {
        if (is_state(*answer, "drain", "off"))
            return complain(EXIT_REFUSED, "somebody has undone the drain");
        if (clock_mono_ms() / 1000 > end_s + WAIT_MORE_S)
            return complain(EXIT_REFUSED, "%" PRIu64 " clients are left",
                            number_in(json_object_get(*answer, "drain"), "left"));
        (void)nanosleep(&step, NULL);
        json_decref(*answer);
        code = ask(run, request_of("status"), ANSWER_MS, answer);
    }
    return code;
}

// Asks for it, waits where that is wanted, and says what of the answer has that name.
static int
send_away(struct run *run, json_t *request, const char *name,
          int (*wait)(struct run *run, json_t **answer), void (*print)(const json_t *answer))
{
    const struct ctl_options *options = run->options;
    json_t *answer;
    if (options->for_s > 0)
        (void)json_object_set_new(request, "for_s", json_integer((json_int_t)options->for_s));
    int code = ask(run, request, ANSWER_MS, &answer);
    if (code == EXIT_DONE && options->wait)
        code = wait(run, &answer);
    const json_t *state = json_object_get(answer, name);
    if (state && options->json) {
        (void)json_dumpf(state, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
    } else if (state) {
        print(answer);
    }
    json_decref(answer);
    return code;
}

int
drain(struct run *run)
{
    const struct ctl_options *options = run->options;
    must(!options->undo || (options->for_s == 0 && !options->wait));
    return send_away(run, request_of(options->undo ? "drain_undo" : "drain"), "drain", wait_drained,
                     print_drain);
}

// Until all sessions have gone. Takes *answer, and gives the last one back.
static int
wait_decommissioned(struct run *run, json_t **answer)
{
    const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
    int code = EXIT_DONE;
    while (code == EXIT_DONE && !is_state(*answer, "decommission", "done")) {
        if (is_state(*answer, "decommission", "off"))
            return complain(EXIT_REFUSED, "the broker was started again when it was done");
        (void)nanosleep(&step, NULL);
        json_decref(*answer);
        code = ask(run, request_of("status"), ANSWER_MS, answer);
    }
    return code;
}

int
decommission(struct run *run)
{
    must(!run->options->undo);
    return send_away(run, request_of("decommission"), "decommission", wait_decommissioned,
                     print_decommission);
}

static void
print_forgotten(const json_t *answer)
{
    const json_t *node = json_object_get(answer, "forgotten");
    must(json_is_object(node));
    say_text("node", text_in(node, "name"));
    say_text("id", text_in(node, "id"));
    say_text("state", text_in(node, "state"));
    say_duration("for", number_in(node, "state_s"));
    say_number("sessions there", node, "sessions");
    say_number("waiting for it", node, "waiting");
    say_number("Wills", node, "wills");
}

// May it be? What there is has been printed.
static int
ask_person(void)
{
    char line[16];
    if (!isatty(STDIN_FILENO))
        return complain(EXIT_USAGE, "nobody can be asked: --yes, or --dry-run");
    (void)fputs("\nIt is given up for good. Yes or no? ", stderr);
    if (!fgets(line, sizeof line, stdin))
        line[0] = '\0';
    bool yes = strcasecmp(line, "yes\n") == 0 || strcasecmp(line, "y\n") == 0;
    return yes ? EXIT_DONE : complain(EXIT_REFUSED, "nothing was done");
}

// What is asked about is meant by its id: the name may be another one's by then.
static int
look_before(struct run *run, json_t *request, json_t **ret_request)
{
    const struct ctl_options *options = run->options;
    json_t *answer;
    (void)json_object_set_new(request, "dry_run", json_true());
    int code = ask(run, request, ANSWER_MS, &answer);
    must(!options->dry_run && !options->yes);
    if (code == EXIT_DONE && !options->json)
        print_forgotten(answer);
    if (code == EXIT_DONE)
        code = ask_person();
    // Nobody waits there for who is thinking.
    ctl_peer_close(&run->peer);
    if (code == EXIT_DONE && !ctl_peer_open(&run->peer, options->socket))
        code = complain(EXIT_CONNECTION, "%s", run->peer.problem);
    if (code == EXIT_DONE) {
        *ret_request = request_of("forget");
        (void)json_object_set(*ret_request, "node",
                              json_object_get(json_object_get(answer, "forgotten"), "id"));
    }
    json_decref(answer);
    return code;
}

int
forget(struct run *run)
{
    const struct ctl_options *options = run->options;
    json_t *request = request_of("forget");
    must(options->operands[0] != NULL);
    put_text_in(request, "node", options->operands[0]);
    if (options->dry_run)
        (void)json_object_set_new(request, "dry_run", json_true());
    if (!options->dry_run && !options->yes) {
        json_t *asked = NULL;
        int code = look_before(run, request, &asked);
        if (code != EXIT_DONE)
            return code;
        request = asked;
    }
    return ask_and_show(run, request, ANSWER_MS, print_forgotten);
}

static void
print_balance(const json_t *answer)
{
    must(true_in(answer, "ok"));
    say_number("clients here", answer, "clients");
    say_number("nodes", answer, "nodes");
    say_number("mean", answer, "mean");
    say_number("at most", answer, "target");
    if (number_in(answer, "surplus") == 0)
        say("to go", "none");
    else
        say("to go", "%" PRIu64 ", %" PRIu64 " a second%s", number_in(answer, "surplus"),
            number_in(answer, "rate"), true_in(answer, "begun") ? "" : " (not begun)");
}

int
rebalance(struct run *run)
{
    const struct ctl_options *options = run->options;
    must(options->rate <= CTL_RATE_MAX);
    if (options->undo)
        return ask_and_show(run, request_of("rebalance_stop"), ANSWER_MS, print_rebalance);
    json_t *request = request_of("rebalance");
    if (options->rate > 0)
        (void)json_object_set_new(request, "rate", json_integer((json_int_t)options->rate));
    if (options->all)
        (void)json_object_set_new(request, "all", json_true());
    if (options->dry_run)
        (void)json_object_set_new(request, "dry_run", json_true());
    return ask_and_show(run, request, ANSWER_MS, print_balance);
}

// ---- Explanations -------------------------------------------------------------------------------

// What the broker's words mean.
static const char *
meaning_of(struct slice word)
{
    static const char *const words[][2] = {
        {"rule", "by a rule"},
        {"default", "no rule matches"},
        {"no_rules", "there are no rules"},
        {"superuser", "no rules hold for it"},
        {"unknown", "by which listener it came is not known: its rules are when it comes"},
        {"reserved", "the topic is the broker's own"},
        {"reads_all", "all that it matches may be read"},
        {"reads_some", "some of what it matches may be read: each message is asked for"},
        {"reads_nothing", "nothing that it matches may be read"},
        {"sent", "sent at once"},
        {"queued", "waits in the queue"},
        {"no_local", "not sent: its own, and no-local is set"},
        {"not_allowed", "not sent: its rules do not let it read the topic"},
        {"away", "dropped: QoS 0, and it is away"},
        {"queue_full", "dropped or refused: the queue is full"},
        {"slow_consumer", "dropped: QoS 0, and it reads too slowly"},
        {"rate", "dropped: QoS 0, beyond its listener's rate"},
        {"memory", "refused: memory_limit"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (slice_equal(word, slice_str(words[i][0])))
            return words[i][1];
    return NULL; // a later broker's
}

static struct slice
explained(struct slice word)
{
    const char *meaning = meaning_of(word);
    return meaning ? slice_str(meaning) : word;
}

void
match_row(struct ctl_table *table, const json_t *row)
{
    text_cell(table, row, "client");
    text_cell(table, row, "node");
    ctl_table_text(table, slice_str(true_in(row, "connected") ? "yes" : "no"));
    number_cell(table, row, "qos");
    text_cell(table, row, "share");
    number_cell(table, row, "inflight");
    number_cell(table, row, "queued");
    ctl_table_text(table, explained(text_in(row, "fate")));
    text_cell(table, row, "filter");
}

static void
say_verdict(const json_t *verdict)
{
    char *action = ctl_escape(text_in(verdict, "action"));
    char *why = ctl_escape(explained(text_in(verdict, "why")));
    char *rule = ctl_escape(text_in(verdict, "rule"));
    char *where = ctl_escape(text_in(verdict, "where"));
    say(action, "%s: %s%s%s%s%s%s", true_in(verdict, "allowed") ? "yes" : "no", why,
        rule[0] != '\0' ? ", " : "", rule, where[0] != '\0' ? " (" : "", where,
        where[0] != '\0' ? ")" : "");
    if (true_in(verdict, "asked_outside"))
        say(action, "auth_http_acl_url is asked as well");
    mem_free(action);
    mem_free(why);
    mem_free(rule);
    mem_free(where);
}

bool
say_explanation(const json_t *answer, bool json)
{
    const json_t *client = json_object_get(answer, "client");
    const json_t *verdicts = json_object_get(answer, "verdicts");
    bool allowed = true;
    for (size_t i = 0; i < json_array_size(verdicts); i++)
        allowed &= true_in(json_array_get(verdicts, i), "allowed");
    if (json) {
        (void)fputs("{\"client\": ", stdout);
        (void)json_dumpf(client, stdout, JSON_COMPACT);
        (void)fputs(",\n \"verdicts\": ", stdout);
        (void)json_dumpf(verdicts, stdout, JSON_COMPACT);
        (void)fputs(",\n \"subscriptions\": [", stdout);
        return allowed;
    }
    say_text("client", text_in(client, "id"));
    say_text("user", text_in(client, "user"));
    say("connected", "%s", true_in(client, "connected") ? "yes" : "no");
    for (size_t i = 0; i < json_array_size(verdicts); i++)
        say_verdict(json_array_get(verdicts, i));
    (void)fputc('\n', stdout);
    return allowed;
}
