// metrics.c - the broker's figures as Prometheus reads them.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/config_http.h"
#include "http/metrics_page.h"

void
page_put(struct page *page, const char *format, ...)
{
    page->text = mem_grow(page->text, &page->cap, page->len + METRICS_LINE_MAX, 1);
    va_list args;
    va_start(args, format);
    int len = vsnprintf(page->text + page->len, METRICS_LINE_MAX, format, args);
    va_end(args);
    must(len > 0 && (uint32_t)len < METRICS_LINE_MAX);
    page->len += (uint32_t)len;
}

static bool
ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

// What a sample's name has behind the metric's.
static const char *
suffix(enum figure_kind kind)
{
    static const char *const texts[] = {
        [FIGURE_COUNTER] = "_total", [FIGURE_GAUGE] = "", [FIGURE_INFO] = "_info",
        [FIGURE_DURATIONS] = "",     [FIGURE_SIZES] = "",
    };
    must(kind < ARRAY_LEN(texts));
    return texts[kind];
}

// OpenMetrics speaks of the metric, and knows infos and units; the older format of the samples.
void
page_head(struct page *page, const struct figure *figure)
{
    static const char *const types[] = {
        [FIGURE_COUNTER] = "counter",     [FIGURE_GAUGE] = "gauge",     [FIGURE_INFO] = "info",
        [FIGURE_DURATIONS] = "histogram", [FIGURE_SIZES] = "histogram",
    };
    must(figure->metric && figure->help && figure->kind < ARRAY_LEN(types));
    bool open = page->format == METRICS_OPEN;
    const char *tail = open ? "" : suffix(figure->kind);
    const char *type = open || figure->kind != FIGURE_INFO ? types[figure->kind] : "gauge";
    page_put(page, "# HELP %s%s %s\n# TYPE %s%s %s\n", figure->metric, tail, figure->help,
             figure->metric, tail, type);
    if (open && ends_with(figure->metric, "_bytes"))
        page_put(page, "# UNIT %s bytes\n", figure->metric);
    if (open && ends_with(figure->metric, "_seconds"))
        page_put(page, "# UNIT %s seconds\n", figure->metric);
}

void
page_sample(struct page *page, const struct figure *figure, const char *labels, uint64_t value)
{
    page_put(page, "%s%s%s%s%s %" PRIu64 "\n", figure->metric, suffix(figure->kind),
             labels ? "{" : "", labels ? labels : "", labels ? "}" : "", value);
}

// All of it from one reading of the classes, so that they agree whatever is added meanwhile.
static void
put_durations(struct page *page, const struct figure *figure, const struct duration_sums *sums)
{
    bool sizes = figure->kind == FIGURE_SIZES;
    const char *const *bounds = sizes ? size_bounds_text : duration_bounds_text;
    uint64_t count = 0;
    page_head(page, figure);
    for (unsigned i = 0; i < DURATION_CLASSES; i++) {
        count += sums->counts[i];
        page_put(page, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", figure->metric, bounds[i], count);
    }
    if (sizes)
        page_put(page, "%s_sum %" PRIu64 "\n", figure->metric, sums->sum);
    else
        page_put(page, "%s_sum %" PRIu64 ".%06" PRIu64 "\n", figure->metric, sums->sum / 1000000,
                 sums->sum % 1000000);
    page_put(page, "%s_count %" PRIu64 "\n", figure->metric, count);
}

static void
put_figures(struct page *page, const struct figures *figures)
{
    for (uint32_t i = 0; i < figure_count; i++) {
        const struct figure *figure = &figure_table[i];
        if (figure->kind >= FIGURE_DURATIONS) {
            put_durations(page, figure, figure_durations(figure, figures));
            continue;
        }
        uint64_t value = figure_value(figure, figures);
        if (!figure->metric || value == FIGURE_NONE)
            continue;
        if (figure->help)
            page_head(page, figure);
        page_sample(page, figure, figure->labels, value);
    }
}

void
metrics_escape(const char *text, char *ret, size_t size)
{
    must(size > 0);
    size_t len = 0;
    for (; *text && len + 2 < size; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            ret[len++] = '\\';
        ret[len++] = *text;
        if (*text == '\n')
            ret[len - 1] = 'n';
    }
    ret[len] = '\0';
}

const char *
metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPEN ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                  : "text/plain; version=0.0.4; charset=utf-8";
}

char *
metrics_write(const struct metrics_source *source, enum metrics_format format, size_t *ret_len)
{
    struct page page = {.format = format};
    put_figures(&page, source->figures);
    if (source->broker && source->listeners)
        page_listeners(&page, source->broker, source->listeners);
    if (source->broker && source->broker->cluster)
        page_links(&page, source->broker->cluster);
    if (source->aliases & CONFIG_ALIAS_MOSQUITTO)
        page_mosquitto(&page, source->figures);
    if (source->aliases & CONFIG_ALIAS_EMQX)
        page_emqx(&page, source->figures);
    if (format == METRICS_OPEN)
        page_put(&page, "# EOF\n");
    must(page.len > 0 && page.text[page.len - 1] == '\n');
    *ret_len = page.len;
    return page.text;
}
