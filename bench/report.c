// report.c - what a run found, for people and for programs.
#include "bench/report.h"

#include <math.h>
#include <stdio.h>

#define FIGURES_MAX 48u

// A figure without meaning in this run is NaN: left out of the table, null in JSON.
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

static void
add_throughput(struct figures *f, const struct options *options, const struct result *r)
{
    double seconds = difference(r->to.at_us, r->from.at_us) / 1e6;
    double done = difference(r->to.delivered, r->from.delivered);
    bool connect = options->scenario == SCENARIO_CONNECT;
    if (options->scenario == SCENARIO_IDLE)
        seconds = done = NAN;
    add(f, (struct figure){"seconds", "measured", "s", seconds, 3});
    add(f, (struct figure){"delivered", connect ? "connections made" : "messages delivered", "",
                           done, 0});
    add(f, (struct figure){"rate", connect ? "connections" : "delivery rate", "/s",
                           ratio(done, seconds), 0});
    add(f, (struct figure){
               "publish_rate", "publish rate", "/s",
               connect ? NAN : ratio(difference(r->to.published, r->from.published), seconds), 0});
}

static void
add_latency(struct figures *f, const struct options *options, const struct result *r)
{
    const struct histogram *h = &r->latency;
    static const struct {
        const char *key, *text;
        double quantile;
    } rows[] = {
        {"latency_p50_us", "latency p50", 0.5},         {"latency_p90_us", "latency p90", 0.9},
        {"latency_p99_us", "latency p99", 0.99},        {"latency_p999_us", "latency p99.9", 0.999},
        {"latency_p9999_us", "latency p99.99", 0.9999}, {"latency_max_us", "latency max", 1.0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double value = (double)histogram_quantile(h, rows[i].quantile);
        add(f, (struct figure){rows[i].key, rows[i].text, "us", h->count > 0 ? value : NAN, 0});
    }
    double late = (double)histogram_quantile(&r->lateness, 0.99);
    bool paced = options->rate > 0 && r->lateness.count > 0;
    add(f, (struct figure){"lateness_p99_us", "of it the generator's own, p99", "us",
                           paced ? late : NAN, 0});
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
    double watched = options->broker_pid != 0 ? 0 : NAN;
    const char *unit = options->scenario == SCENARIO_CONNECT ? "us/connection" : "us/message";

    add(f, (struct figure){"cpu_us", "broker CPU", unit, watched + ratio(user + system, done), 3});
    add(f, (struct figure){"cpu_user_us", "  user", unit, watched + ratio(user, done), 3});
    add(f, (struct figure){"cpu_system_us", "  system", unit, watched + ratio(system, done), 3});
    add(f, (struct figure){"cpu_percent", "broker CPU in all", "%",
                           watched + ratio(user + system, seconds * 1e4), 1});
    add(f,
        (struct figure){"switches_per_1000", "broker context switches", "/1000 messages",
                        watched + ratio(difference(to->switches, from->switches) * 1e3, done), 2});
    add(f, (struct figure){"own_cpu_us", "generator CPU", unit, ratio(own, done), 3});
    add(f, (struct figure){"own_cpu_percent", "generator CPU in all", "%",
                           ratio(own, seconds * 1e4), 1});
}

static void
add_memory(struct figures *f, const struct options *options, const struct result *r)
{
    const struct proc_sample *before = &r->before.broker, *after = &r->connected.broker;
    double watched = options->broker_pid != 0 ? 0 : NAN;
    bool standing = options->scenario != SCENARIO_CONNECT;
    double clients = (double)options->clients;
    if (options->scenario != SCENARIO_IDLE)
        clients += options->scenario == SCENARIO_PAIRS ? clients : 1;
    double each = standing ? watched : NAN;

    add(f, (struct figure){"rss_kib", "broker resident", "KiB",
                           watched + (double)r->to.broker.rss_bytes / 1024, 0});
    add(f, (struct figure){"own_kib", "  without files", "KiB",
                           watched + (double)r->to.broker.own_bytes / 1024, 0});
    add(f, (struct figure){"bytes_per_connection", "memory per new connection", "bytes",
                           each + difference(after->own_bytes, before->own_bytes) / clients, 0});
    double cpu = difference(after->user_us + after->system_us, before->user_us + before->system_us);
    add(f,
        (struct figure){"setup_cpu_us", "CPU per new connection", "us", each + cpu / clients, 1});
}

static void
add_faults(struct figures *f, const struct result *r)
{
    add(f, (struct figure){"published_all", "published with warm-up", "", (double)r->published, 0});
    add(f, (struct figure){"lost", "messages lost", "", (double)r->missing, 0});
    add(f, (struct figure){"duplicates", "duplicates", "", (double)r->duplicates, 0});
    add(f, (struct figure){"reordered", "reordered", "", (double)r->reordered, 0});
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
        if (isnan(row->value))
            (void)printf(", \"%s\": null", row->key);
        else
            (void)printf(", \"%s\": %.*f", row->key, row->decimals, row->value);
    }
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
    for (uint32_t i = 0; i < figures->count; i++) {
        const struct figure *row = &figures->rows[i];
        if (!isnan(row->value))
            (void)printf("  %-32s %14.*f %s\n", row->text, row->decimals, row->value, row->unit);
    }
    if (r->failure[0] != '\0')
        (void)printf("  first failure: %s\n", r->failure);
    if (!run_good(options, r))
        (void)printf("  NOT GOOD: the broker did not keep what this QoS promises\n");
}

void
report_print(const struct options *options, const struct result *result)
{
    struct figures figures = {0};
    add_throughput(&figures, options, result);
    add_latency(&figures, options, result);
    add_cpu(&figures, options, result);
    add_memory(&figures, options, result);
    add_faults(&figures, result);
    if (options->json)
        print_json(options, result, &figures);
    else
        print_table(options, result, &figures);
}
