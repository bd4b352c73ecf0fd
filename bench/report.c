// report.c - what a run found, for people and for programs.
#include "bench/report.h"

#include <math.h>
#include <stdio.h>

#include "bench/report_agents.h"
#include "bench/scenario.h"

#define FIGURES_MAX 128u

#define DENSE       3.0 // subscriptions per client from which on they are what is counted

// A figure without meaning in this run is NaN: left out of the table, null in JSON. One without key
// is a heading of the table.
struct figure {
    const char *key, *text, *unit;
    double value;
    int decimals;
};

struct figures {
    struct figure rows[FIGURES_MAX];
    uint32_t count;
};

static void
add(struct figures *figures, struct figure figure)
{
    must(figures->count < FIGURES_MAX);
    figures->rows[figures->count++] = figure;
}

static void
add_heading(struct figures *figures, const char *text)
{
    add(figures, (struct figure){.text = text});
}

static double
ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static double
difference(uint64_t to, uint64_t from)
{
    return (double)to - (double)from;
}

static bool
durable(const struct options *options)
{
    return scenario_is_durable(options->scenario);
}

// Whether subscribers leave, and have the messages wait for them.
static bool
parks(const struct options *options)
{
    return options->scenario == SCENARIO_OFFLINE_QUEUE || options->scenario == SCENARIO_RECOVER;
}

struct latency_row {
    const char *key, *text;
    double quantile;
};

// h: NULL where latencies mean nothing.
static void
add_latency(struct figures *f, const struct latency_row *rows, size_t count,
            const struct histogram *h)
{
    for (size_t i = 0; i < count; i++) {
        double value =
            h != NULL && h->count > 0 ? (double)histogram_quantile(h, rows[i].quantile) : NAN;
        add(f, (struct figure){rows[i].key, rows[i].text, "us", value, 0});
    }
}

static void
add_throughput(struct figures *f, const struct options *options, const struct result *r)
{
    double seconds = difference(r->to.at_us, r->from.at_us) / 1e6;
    double done = difference(r->to.delivered, r->from.delivered);
    bool connect = options->scenario == SCENARIO_CONNECT;
    bool publishes = !connect && options->scenario != SCENARIO_RETAINED;
    if (options->scenario == SCENARIO_IDLE || parks(options))
        seconds = done = NAN;
    add(f, (struct figure){"seconds", "measured", "s", seconds, 3});
    add(f, (struct figure){"delivered", connect ? "connections made" : "messages delivered", "",
                           done, 0});
    add(f, (struct figure){"rate", connect ? "connections" : "delivery rate", "/s",
                           ratio(done, seconds), 0});
    add(f,
        (struct figure){
            "publish_rate", "publish rate", "/s",
            publishes ? ratio(difference(r->to.published, r->from.published), seconds) : NAN, 0});
    double acked = durable(options) ? difference(r->to.acked, r->from.acked) : NAN;
    add(f, (struct figure){"ack_rate", "acknowledgement rate", "/s", ratio(acked, seconds), 0});
}

// In offline-queue and recover deliveries wait for the subscriber's return: no latency.
static void
add_latencies(struct figures *f, const struct options *options, const struct result *r)
{
    static const struct latency_row delivery[] = {
        {"latency_p50_us", "latency p50", 0.5},         {"latency_p90_us", "latency p90", 0.9},
        {"latency_p99_us", "latency p99", 0.99},        {"latency_p999_us", "latency p99.9", 0.999},
        {"latency_p9999_us", "latency p99.99", 0.9999}, {"latency_max_us", "latency max", 1.0},
    };
    static const struct latency_row ack[] = {
        {"ack_latency_p50_us", "acknowledgement latency p50", 0.5},
        {"ack_latency_p90_us", "acknowledgement latency p90", 0.9},
        {"ack_latency_p99_us", "acknowledgement latency p99", 0.99},
        {"ack_latency_p999_us", "acknowledgement latency p99.9", 0.999},
        {"ack_latency_max_us", "acknowledgement latency max", 1.0},
    };
    add_latency(f, delivery, ARRAY_LEN(delivery), parks(options) ? NULL : &r->latency);
    add_latency(f, ack, ARRAY_LEN(ack), &r->ack_latency);
    double late = (double)histogram_quantile(&r->lateness, 0.99);
    bool paced = options->rate > 0 && r->lateness.count > 0;
    add(f, (struct figure){"lateness_p99_us", "of it the generator's own, p99", "us",
                           paced ? late : NAN, 0});
}

static void
add_switches(struct figures *f, double done, double watched, const struct result *r)
{
    const struct proc_sample *from = &r->from.broker, *to = &r->to.broker;
    double voluntary = difference(to->voluntary, from->voluntary) * 1e3;
    double involuntary = difference(to->involuntary, from->involuntary) * 1e3;
    add(f, (struct figure){"switches_per_1000", "broker context switches", "/1000",
                           watched + ratio(voluntary + involuntary, done), 2});
    add(f, (struct figure){"voluntary_per_1000", "  voluntary", "/1000",
                           watched + ratio(voluntary, done), 2});
    add(f, (struct figure){"involuntary_per_1000", "  involuntary", "/1000",
                           watched + ratio(involuntary, done), 2});
}

// Each divided by what was delivered.
static void
add_cpu(struct figures *f, const struct options *options, const struct result *r)
{
    const struct proc_sample *from = &r->from.broker, *to = &r->to.broker;
    double done = difference(r->to.delivered, r->from.delivered);
    double seconds = difference(r->to.at_us, r->from.at_us) / 1e6;
    double user = difference(to->user_us, from->user_us);
    double system = difference(to->system_us, from->system_us);
    double own = difference(r->to.own_user_us, r->from.own_user_us) +
                 difference(r->to.own_system_us, r->from.own_system_us);
    // A killed broker takes its figures along; the messages of `recover` are too few for the clock.
    bool meaningful = r->outage_us == 0 && options->scenario != SCENARIO_RECOVER;
    double watched = options->broker_pid != 0 && meaningful ? 0 : NAN;
    const char *unit = options->scenario == SCENARIO_CONNECT ? "us/connection" : "us/message";

    add(f, (struct figure){"cpu_us", "broker CPU", unit, watched + ratio(user + system, done), 3});
    add(f, (struct figure){"cpu_user_us", "  user", unit, watched + ratio(user, done), 3});
    add(f, (struct figure){"cpu_system_us", "  system", unit, watched + ratio(system, done), 3});
    add(f, (struct figure){"cpu_percent", "broker CPU in all", "%",
                           watched + ratio(user + system, seconds * 1e4), 1});
    add_switches(f, done, watched, r);
    add(f, (struct figure){"own_cpu_us", "generator CPU", unit, ratio(own, done), 3});
    add(f, (struct figure){"own_cpu_percent", "generator CPU in all", "%",
                           ratio(own, seconds * 1e4), 1});
}

// NaN: the broker was started again in a way that hides its process.
static double
kib(uint64_t bytes)
{
    return bytes > 0 ? (double)bytes / 1024 : NAN;
}

static void
add_memory(struct figures *f, const struct options *options, const struct result *r)
{
    const struct proc_sample *before = &r->before.broker, *after = &r->connected.broker;
    double watched = options->broker_pid != 0 ? 0 : NAN;
    struct shape shape = scenario_shape(options);
    double clients = 0, subscriptions = 0;
    for (uint32_t role = 0; role < ROLES; role++)
        clients += role == ROLE_COMER ? 0 : shape.clients[role];
    for (uint32_t i = 0; i < shape.clients[ROLE_SUBSCRIBER]; i++)
        subscriptions += scenario_filter_count(&shape, ROLE_SUBSCRIBER, i);
    subscriptions += (double)shape.extra;
    // Where clients hold many subscriptions, it is those that take the memory.
    double dense = subscriptions > DENSE * clients ? watched : NAN;
    double each = clients == 0 || !isnan(dense) ? NAN : watched;
    double grown = difference(after->own_bytes, before->own_bytes);
    const char *text = shape.durable ? "memory per new session" : "memory per new connection";

    double queued = options->scenario == SCENARIO_OFFLINE_QUEUE ? watched : NAN;
    double recover = options->scenario == SCENARIO_RECOVER ? watched : NAN;
    add(f, (struct figure){"rss_kib", "broker resident", "KiB",
                           watched + kib(r->to.broker.rss_bytes), 0});
    double window = parks(options) || r->outage_us > 0 ? NAN : watched;
    add(f, (struct figure){
               "rss_growth_kib", "  more than when measuring began", "KiB",
               window + difference(r->to.broker.rss_bytes, r->from.broker.rss_bytes) / 1024, 0});
    add(f, (struct figure){"own_kib", "  without files", "KiB",
                           watched + kib(r->to.broker.own_bytes), 0});
    add(f, (struct figure){"rss_before_kib", "  before the first message", "KiB",
                           queued + kib(r->connected.broker.rss_bytes), 0});
    add(f, (struct figure){"rss_full_kib", "  when the queues were full", "KiB",
                           queued + kib(r->full.broker.rss_bytes), 0});
    add(f, (struct figure){"rss_sessions_kib", "  with all sessions, before the kill", "KiB",
                           recover + kib(r->full.broker.rss_bytes), 0});
    add(f, (struct figure){"bytes_per_connection", text, "bytes", each + grown / clients, 0});
    add(f, (struct figure){"bytes_per_subscription", "memory per new subscription", "bytes",
                           dense + grown / subscriptions, 0});
    double cpu = difference(after->user_us + after->system_us, before->user_us + before->system_us);
    add(f,
        (struct figure){"setup_cpu_us", "CPU per new connection", "us", each + cpu / clients, 1});
    add(f, (struct figure){"subscription_cpu_us", "CPU per new subscription", "us",
                           dense + cpu / subscriptions, 2});
}

// Of those who come and go while the others work, or, in `fleet`, return.
static void
add_comings(struct figures *f, const struct options *options, const struct result *r)
{
    static const struct latency_row churn[] = {
        {"come_latency_p50_us", "until subscribed, p50", 0.5},
        {"come_latency_p99_us", "until subscribed, p99", 0.99},
        {"come_latency_max_us", "until subscribed, max", 1.0},
    };
    static const struct latency_row retained[] = {
        {"visit_latency_p50_us", "until all retained came, p50", 0.5},
        {"visit_latency_p99_us", "until all retained came, p99", 0.99},
        {"visit_latency_max_us", "until all retained came, max", 1.0},
    };
    static const struct latency_row storm[] = {
        {"storm_p50_us", "back from the storm, p50", 0.5},
        {"storm_p99_us", "back from the storm, p99", 0.99},
        {"storm_all_us", "all are back after", 1.0},
    };
    bool is_churn = options->scenario == SCENARIO_CHURN;
    bool is_retained = options->scenario == SCENARIO_RETAINED;
    bool is_storm = r->stormed > 0 && r->away == 0;
    double seconds = difference(r->to.at_us, r->from.at_us) / 1e6;
    double came = is_churn || is_retained ? difference(r->to.came, r->from.came) : NAN;
    double asked = is_churn ? (double)options->churn_rate : NAN;
    struct shape shape = scenario_shape(options);
    double kept = is_retained ? (double)shape.clients[ROLE_PUBLISHER] * shape.topics : NAN;
    double stormed = options->storm_at_s > 0 ? (double)r->stormed : NAN;

    add(f, (struct figure){"retained", "retained messages", "", kept, 0});
    add(f, (struct figure){"come_rate", is_churn ? "came, subscribed and left" : "visits", "/s",
                           ratio(came, seconds), 1});
    add(f, (struct figure){"comers_stuck", "  that were not served to the end", "",
                           is_churn || is_retained ? (double)r->stuck : NAN, 0});
    add(f, (struct figure){"come_rate_asked", "  asked for", "/s", asked, 0});
    add_latency(f, churn, ARRAY_LEN(churn), is_churn ? &r->come_latency : NULL);
    add_latency(f, retained, ARRAY_LEN(retained), is_retained ? &r->come_latency : NULL);
    add(f, (struct figure){"stormed", "devices that dropped at once", "", stormed, 0});
    add_latency(f, storm, ARRAY_LEN(storm), is_storm ? &r->come_latency : NULL);
}

static void
add_fleet(struct figures *f, const struct options *options, const struct result *r)
{
    static const struct latency_row command[] = {
        {"command_latency_p50_us", "command latency p50", 0.5},
        {"command_latency_p99_us", "command latency p99", 0.99},
        {"command_latency_p999_us", "command latency p99.9", 0.999},
        {"command_latency_max_us", "command latency max", 1.0},
    };
    double fleet = options->scenario == SCENARIO_FLEET ? 0 : NAN;
    add(f, (struct figure){"commands", "commands", "", fleet + (double)r->commands, 0});
    add_latency(f, command, ARRAY_LEN(command), &r->command_latency);
    add(f, (struct figure){"left", "left with DISCONNECT", "", fleet + (double)r->leaves, 0});
    add(f, (struct figure){"wills", "dropped without: wills due", "", fleet + (double)r->drops, 0});
    add(f, (struct figure){"wills_missing", "  that did not come", "",
                           fleet + (double)r->wills_missing, 0});
    add(f, (struct figure){"wills_unexpected", "  that should not have come", "",
                           fleet + (double)r->wills_unexpected, 0});
    add(f, (struct figure){"devices_away", "devices not back at the end", "",
                           fleet + (double)r->away, 0});
}

// Rates of what has no fixed duration.
static void
add_durable(struct figures *f, const struct options *options, const struct result *r)
{
    double queued = options->scenario == SCENARIO_OFFLINE_QUEUE ? 0 : NAN;
    double recover = options->scenario == SCENARIO_RECOVER ? 0 : NAN;
    double killed = r->outage_us > 0 ? 0 : NAN, kept = durable(options) ? 0 : NAN;
    double acked = difference(r->full.acked, r->from.acked);
    double drained = difference(r->to.delivered, r->full.delivered);
    double sessions = (double)options->clients;

    add(f, (struct figure){"enqueue_rate", "enqueued while away", "/s",
                           queued + ratio(acked * 1e6, (double)r->enqueue_us), 0});
    add(f, (struct figure){"drain_rate", "drained on return", "/s",
                           queued + ratio(drained * 1e6, (double)r->drain_us), 0});
    add(f, (struct figure){"session_rate", "sessions made", "/s",
                           recover + ratio(sessions * 1e6, (double)r->set_up_us), 0});
    add(f, (struct figure){"outage_ms", "kill until a CONNECT was answered", "ms",
                           killed + (double)r->outage_us / 1e3, 1});
    add(f, (struct figure){"restart_ms", "  from the restart command on", "ms",
                           killed + (double)r->restart_us / 1e3, 1});
    add(f, (struct figure){"restart_attempts", "  attempts to start it", "",
                           killed + (double)r->restart_attempts, 0});
    add(f, (struct figure){"broker_pid", "  process now", "",
                           r->broker_pid > 0 ? killed + (double)r->broker_pid : NAN, 0});
    add(f, (struct figure){"sessions_found", "sessions found again", "",
                           kept + (double)r->sessions_found, 0});
    add(f,
        (struct figure){"sessions_lost", "sessions lost", "", kept + (double)r->sessions_lost, 0});
    add(f, (struct figure){"publisher_sessions_found", "  publishers' found again", "",
                           killed + (double)r->senders_found, 0});
    add(f, (struct figure){"publisher_sessions_lost", "  publishers' lost", "",
                           killed + (double)r->senders_lost, 0});
    add(f, (struct figure){"resent", "resent by publishers", "", killed + (double)r->resent, 0});
    add(f, (struct figure){"redelivered", "redelivered in QoS 2 flows", "",
                           killed + (double)r->redelivered, 0});
    add(f,
        (struct figure){"acked_all", "acknowledged with warm-up", "", kept + (double)r->acked, 0});
    add(f, (struct figure){"lost_acknowledged", "acknowledged and lost", "",
                           kept + (double)run_lost_acknowledged(r), 0});
}

static void
add_faults(struct figures *f, const struct options *options, const struct result *r)
{
    bool groups = options->scenario == SCENARIO_SHARED || options->shared;
    double pings = options->keep_alive_s > 0 ? (double)r->pings : NAN;
    double tls = options->tls ? 0 : NAN, resume = options->resume ? tls : NAN;
    add(f, (struct figure){"handshakes", "TLS handshakes", "", tls + (double)r->handshakes, 0});
    add(f, (struct figure){"handshakes_resumed", "  that resumed a session", "",
                           resume + (double)r->resumed, 0});
    add(f, (struct figure){"pings", "PINGREQ sent", "", pings, 0});
    add(f, (struct figure){"published_all", "published with warm-up", "", (double)r->published, 0});
    add(f, (struct figure){"lost", "messages lost", "", (double)r->missing, 0});
    add(f, (struct figure){"duplicates", "duplicates", "", (double)r->duplicates, 0});
    add(f, (struct figure){"reordered", "reordered", "", (double)r->reordered, 0});
    add(f, (struct figure){"reordered_across", "  between members, no fault", "",
                           groups ? (double)r->across : NAN, 0});
    add(f, (struct figure){"stray", "foreign or misrouted", "", (double)r->stray, 0});
    add(f, (struct figure){"refused", "refused by the broker", "", (double)r->refused, 0});
    add(f, (struct figure){"unacknowledged", "handshakes not ended", "", (double)r->open, 0});
    add(f, (struct figure){"connections_lost", "connections lost", "", (double)r->lost, 0});
}

// ---- The two forms ----------------------------------------------------------------------------

static void
print_json_text(const char *text)
{
    (void)putchar('"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte < 0x20)
            (void)printf("\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            (void)printf("\\%c", byte);
        else
            (void)putchar(byte);
    }
    (void)putchar('"');
}

static void
print_json(const struct options *options, const struct result *r, const struct figures *figures)
{
    (void)printf("{\"label\": ");
    print_json_text(options->label);
    (void)printf(", \"scenario\": \"%s\", \"clients\": %llu, \"qos\": %llu, \"size\": %llu, "
                 "\"version\": %llu, \"rate_asked\": %llu, \"threads\": %llu",
                 scenario_name(options->scenario), (unsigned long long)options->clients,
                 (unsigned long long)options->qos, (unsigned long long)options->size,
                 (unsigned long long)options->version, (unsigned long long)options->rate,
                 (unsigned long long)options->threads);
    for (uint32_t i = 0; i < figures->count; i++) {
        const struct figure *row = &figures->rows[i];
        if (row->key == NULL)
            continue;
        if (isnan(row->value))
            (void)printf(", \"%s\": null", row->key);
        else
            (void)printf(", \"%s\": %.*f", row->key, row->decimals, row->value);
    }
    report_agents_json(r);
    (void)printf(", \"good\": %s, \"failure\": ", run_good(options, r) ? "true" : "false");
    print_json_text(r->failure);
    (void)printf("}\n");
}

static void
print_table(const struct options *options, const struct result *r, const struct figures *figures)
{
    (void)printf("%s%s%s, %llu clients, QoS %llu, %llu B, MQTT %s", options->label,
                 options->label[0] != '\0' ? ": " : "", scenario_name(options->scenario),
                 (unsigned long long)options->clients, (unsigned long long)options->qos,
                 (unsigned long long)options->size, options->version == 5 ? "5.0" : "3.1.1");
    if (options->rate > 0)
        (void)printf(", open loop at %llu/s\n", (unsigned long long)options->rate);
    else
        (void)printf(", closed loop\n");
    const char *heading = NULL; // printed with the first figure under it
    for (uint32_t i = 0; i < figures->count; i++) {
        const struct figure *row = &figures->rows[i];
        if (row->key == NULL)
            heading = row->text;
        if (row->key == NULL || isnan(row->value))
            continue;
        if (heading != NULL)
            (void)printf("%s\n", heading);
        heading = NULL;
        (void)printf("  %-34s %14.*f %s\n", row->text, row->decimals, row->value, row->unit);
    }
    report_agents_table(r);
    if (r->failure[0] != '\0')
        (void)printf("  first failure: %s\n", r->failure);
    if (!run_good(options, r))
        (void)printf("  NOT GOOD: the broker did not keep what this QoS promises\n");
}

void
report_print(const struct options *options, const struct result *result)
{
    struct figures figures = {0};
    add_heading(&figures, "What was done");
    add_throughput(&figures, options, result);
    add_comings(&figures, options, result);
    add_fleet(&figures, options, result);
    add_heading(&figures, "How long it took");
    add_latencies(&figures, options, result);
    add_heading(&figures, "What it cost");
    add_cpu(&figures, options, result);
    add_memory(&figures, options, result);
    add_heading(&figures, "Sessions");
    add_durable(&figures, options, result);
    add_heading(&figures, "What was checked");
    add_faults(&figures, options, result);
    if (options->json)
        print_json(options, result, &figures);
    else
        print_table(options, result, &figures);
}
