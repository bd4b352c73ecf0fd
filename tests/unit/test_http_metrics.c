// test_http_metrics.c - the table of figures, and how it is written for Prometheus.
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/config_http.h"
#include "core/figures.h"
#include "http/metrics.h"

// ---- The table ----------------------------------------------------------------------------------

static bool
ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

Test(http_metrics, names_are_prometheus_names)
{
    for (uint32_t i = 0; i < figure_count; i++) {
        const char *name = figure_table[i].metric;
        cr_assert(name || figure_table[i].topic, "row %u is for nobody", i);
        if (!name)
            continue;
        cr_assert_eq(strncmp(name, "ternmq_", 7), 0, "%s", name);
        for (const char *c = name; *c; c++)
            cr_assert(islower(*c) || isdigit(*c) || *c == '_', "%s", name);
        static const char *const reserved[] = {"_total",  "_created", "_count", "_sum",
                                               "_bucket", "_info",    "_"};
        for (unsigned k = 0; k < ARRAY_LEN(reserved); k++)
            cr_assert_not(ends_with(name, reserved[k]), "%s", name);
    }
}

Test(http_metrics, rows_of_a_metric_stand_together)
{
    for (uint32_t i = 0; i < figure_count; i++) {
        const struct figure *row = &figure_table[i];
        if (!row->metric)
            continue;
        const struct figure *before = NULL;
        for (uint32_t k = 0; k < i; k++)
            if (figure_table[k].metric && strcmp(figure_table[k].metric, row->metric) == 0)
                before = &figure_table[k];
        cr_assert_eq(before == NULL, row->help != NULL, "%s: the first row has help", row->metric);
        if (!before)
            continue;
        cr_assert_eq(before->kind, row->kind, "%s", row->metric);
        cr_assert(before->labels && row->labels, "%s", row->metric);
        for (const struct figure *between = before + 1; between < row; between++)
            cr_assert_null(between->metric, "%s is in two places", row->metric);
    }
}

Test(http_metrics, no_topic_and_no_sample_is_there_twice)
{
    for (uint32_t i = 0; i < figure_count; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct figure *a = &figure_table[i], *b = &figure_table[k];
            cr_assert(!a->topic || !b->topic || strcmp(a->topic, b->topic) != 0, "%s", a->topic);
            cr_assert(!a->metric || !b->metric || strcmp(a->metric, b->metric) != 0 ||
                          strcmp(a->labels, b->labels) != 0,
                      "%s{%s}", a->metric, a->labels);
        }
}

Test(http_metrics, helps_are_sentences_that_need_no_escape)
{
    for (uint32_t i = 0; i < figure_count; i++) {
        const char *help = figure_table[i].help;
        cr_assert(!help || (ends_with(help, ".") && !strpbrk(help, "\\\n")), "%s", help);
    }
}

// ---- The text -----------------------------------------------------------------------------------

static uint32_t aliases; // of metrics_alias

static char *
written(const struct figures *figures, enum metrics_format format)
{
    size_t len;
    const struct metrics_source source = {.figures = figures, .aliases = aliases};
    char *text = metrics_write(&source, format, &len);
    char *copy = mem_strndup(text, len);
    cr_assert_eq(strlen(copy), len);
    mem_free(text);
    return copy;
}

static void
expect(const char *text, const char *part)
{
    cr_assert_not_null(strstr(text, part), "no %s in\n%s", part, text);
}

static void
expect_none(const char *text, const char *part)
{
    cr_assert_null(strstr(text, part), "%s in\n%s", part, text);
}

static struct figures figures = {
    .one = 1,
    .clients_connected = 7,
    .bytes_received = UINT64_C(18000000000000000000),
    .dropped_memory = 3,
    .certificate_s = FIGURE_NONE,
    .certificate_days = FIGURE_NONE,
};

Test(http_metrics, openmetrics)
{
    char *text = written(&figures, METRICS_OPEN);
    expect(text, "# HELP ternmq_clients_connected Clients that are connected.\n"
                 "# TYPE ternmq_clients_connected gauge\nternmq_clients_connected 7\n");
    expect(text, "# TYPE ternmq_received_bytes counter\n# UNIT ternmq_received_bytes bytes\n"
                 "ternmq_received_bytes_total 18000000000000000000\n");
    expect(text, "# TYPE ternmq_build info\nternmq_build_info{version=\"" TERN_VERSION "\"} 1\n");
    expect(text, "\nternmq_messages_dropped_total{reason=\"memory\"} 3\n");
    expect(text, "# UNIT ternmq_start_time_seconds seconds\n");
    expect_none(text, "certificate");
    cr_assert(ends_with(text, "\n# EOF\n"));
    mem_free(text);
}

Test(http_metrics, text_format)
{
    char *text = written(&figures, METRICS_TEXT);
    expect(text, "# TYPE ternmq_clients_connected gauge\nternmq_clients_connected 7\n");
    expect(text, "# TYPE ternmq_received_bytes_total counter\nternmq_received_bytes_total 18");
    expect(text, "# TYPE ternmq_build_info gauge\nternmq_build_info{version=");
    expect_none(text, "# UNIT");
    expect_none(text, "# EOF");
    cr_assert(ends_with(text, "\n"));
    mem_free(text);
}

Test(http_metrics, durations)
{
    static struct durations took;
    static struct figures with;
    static const uint64_t us[] = {0, 100, 101, 2400, 10000000, 10000001, 30000000};
    for (unsigned i = 0; i < ARRAY_LEN(us); i++)
        durations_add(&took, us[i]);
    durations_sum(&took, &with.commit_times);
    char *text = written(&with, METRICS_OPEN);
    expect(text, "# TYPE ternmq_store_commit_duration_seconds histogram\n"
                 "# UNIT ternmq_store_commit_duration_seconds seconds\n"
                 "ternmq_store_commit_duration_seconds_bucket{le=\"0.00001\"} 1\n");
    expect(text, "ternmq_store_commit_duration_seconds_bucket{le=\"0.0001\"} 2\n"
                 "ternmq_store_commit_duration_seconds_bucket{le=\"0.00025\"} 3\n");
    expect(text, "_duration_seconds_bucket{le=\"0.001\"} 3\n");
    expect(text, "_duration_seconds_bucket{le=\"0.0025\"} 4\n");
    expect(text, "_duration_seconds_bucket{le=\"10.0\"} 5\n"
                 "ternmq_store_commit_duration_seconds_bucket{le=\"+Inf\"} 7\n"
                 "ternmq_store_commit_duration_seconds_sum 50.002602\n"
                 "ternmq_store_commit_duration_seconds_count 7\n");
    mem_free(text);
}

Test(http_metrics, sizes)
{
    static struct durations sizes;
    static struct figures with;
    static const uint64_t of[] = {1, 2, 3, 500000, 500001};
    for (unsigned i = 0; i < ARRAY_LEN(of); i++)
        sizes_add(&sizes, of[i]);
    durations_sum(&sizes, &with.commit_sizes);
    char *text = written(&with, METRICS_OPEN);
    expect(text, "# TYPE ternmq_store_commit_records histogram\n"
                 "ternmq_store_commit_records_bucket{le=\"1.0\"} 1\n"
                 "ternmq_store_commit_records_bucket{le=\"2.0\"} 2\n"
                 "ternmq_store_commit_records_bucket{le=\"5.0\"} 3\n");
    expect(text, "ternmq_store_commit_records_bucket{le=\"500000.0\"} 4\n"
                 "ternmq_store_commit_records_bucket{le=\"+Inf\"} 5\n"
                 "ternmq_store_commit_records_sum 1000007\n"
                 "ternmq_store_commit_records_count 5\n");
    mem_free(text);
}

Test(http_metrics, names_of_other_brokers)
{
    char *text = written(&figures, METRICS_OPEN);
    expect_none(text, "broker_");
    expect_none(text, "emqx_");
    mem_free(text);
    aliases = CONFIG_ALIAS_MOSQUITTO;
    text = written(&figures, METRICS_TEXT);
    expect(text, "# TYPE broker_bytes_received counter\n"
                 "broker_bytes_received 18000000000000000000\n");
    expect(text, "# TYPE broker_clients_connected gauge\nbroker_clients_connected 7\n");
    expect_none(text, "emqx_");
    mem_free(text);
    aliases = CONFIG_ALIAS_MOSQUITTO | CONFIG_ALIAS_EMQX;
    text = written(&figures, METRICS_OPEN);
    expect(text, "# TYPE broker_bytes_received unknown\n"
                 "broker_bytes_received 18000000000000000000\n");
    expect(text, "# TYPE emqx_connections_count gauge\nemqx_connections_count 7\n");
    expect(text, "# HELP emqx_bytes_received What another broker would say (metrics_alias).\n"
                 "# TYPE emqx_bytes_received unknown\n");
    cr_assert(ends_with(text, "\n# EOF\n"));
    mem_free(text);
    aliases = 0;
}

Test(http_metrics, bounds_are_what_they_are_called)
{
    for (unsigned i = 0; i < DURATION_CLASSES - 1; i++) {
        cr_assert_float_eq(strtod(duration_bounds_text[i], NULL) * 1e6, duration_bounds_us[i],
                           1e-6);
        cr_assert(i == 0 || duration_bounds_us[i] > duration_bounds_us[i - 1]);
        cr_assert_float_eq(strtod(size_bounds_text[i], NULL), size_bounds[i], 1e-6);
        cr_assert(i == 0 || size_bounds[i] > size_bounds[i - 1]);
    }
}

Test(http_metrics, a_head_comes_once)
{
    char *text = written(&figures, METRICS_TEXT);
    const char *head = "# TYPE ternmq_messages_dropped_total counter\n";
    const char *first = strstr(text, head);
    cr_assert_not_null(first);
    expect_none(first + 1, head);
    mem_free(text);
}

Test(http_metrics, labels_are_escaped)
{
    char out[32];
    metrics_escape("/run/a \"b\"\\c\nd", out, sizeof out);
    cr_assert_str_eq(out, "/run/a \\\"b\\\"\\\\c\\nd");
    metrics_escape("\"\"\"\"", out, 6); // never half an escape
    cr_assert_str_eq(out, "\\\"\\\"");
    metrics_escape("abc", out, 1);
    cr_assert_str_eq(out, "");
}

// ---- Accept -------------------------------------------------------------------------------------

Test(http_metrics, accept)
{
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_TEXT},
        {"", METRICS_TEXT},
        {"*/*", METRICS_TEXT},
        {"text/plain", METRICS_TEXT},
        {"application/openmetrics-text", METRICS_OPEN},
        {"application/openmetrics-text; version=1.0.0", METRICS_OPEN},
        {"Application/OpenMetrics-Text;VERSION=\"1.0.0\"", METRICS_OPEN},
        {"application/openmetrics-text; version=0.0.1", METRICS_TEXT},
        {"application/openmetrics-text; version=2.0.0", METRICS_TEXT},
        // Prometheus 2 and 3
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPEN},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
         "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
         "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         METRICS_OPEN},
        {"text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", METRICS_TEXT},
        {"text/plain;q=0.5, application/openmetrics-text;q=0.5", METRICS_OPEN},
        {"application/openmetrics-text;q=0", METRICS_TEXT},
        {"application/openmetrics-text;q=0.000", METRICS_TEXT},
        {"application/openmetrics-text;q=0.001", METRICS_OPEN},
        {"application/openmetrics-text;q=2", METRICS_TEXT},
        {"application/openmetrics-text;q=1.001", METRICS_TEXT},
        {"application/openmetrics-text;q=x", METRICS_TEXT},
        {"application/openmetrics-text;q=", METRICS_TEXT},
        {"text/html;a=\"application/openmetrics-text,\"", METRICS_TEXT},
        {"text/html;a=\"\\\",\", application/openmetrics-text", METRICS_OPEN},
        {"application/openmetrics-textual", METRICS_TEXT},
        {",,;;,=,\"", METRICS_TEXT},
        {"application/openmetrics-text;\"", METRICS_OPEN},
        {"application/openmetrics-text;version=\"", METRICS_TEXT},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_eq(metrics_choose(cases[i].accept), cases[i].format, "%s", cases[i].accept);
}

Test(http_metrics, content_types)
{
    cr_assert_str_eq(metrics_content_type(METRICS_OPEN),
                     "application/openmetrics-text; version=1.0.0; charset=utf-8");
    cr_assert_str_eq(metrics_content_type(METRICS_TEXT),
                     "text/plain; version=0.0.4; charset=utf-8");
}
