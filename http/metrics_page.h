// metrics_page.h - between the files of metrics: a text as it grows.
//
// Job:    lines in either format. Owner: metrics_write. Thread: its caller's.
// Memory: the text. Limits: METRICS_LINE_MAX a line.
#ifndef TERN_HTTP_METRICS_PAGE_H
#define TERN_HTTP_METRICS_PAGE_H

#include "core/figures.h"
#include "http/metrics.h"

struct page {
    enum metrics_format format;
    uint32_t len, cap;
    char *text;
};

// Of one line, with its end.
void page_put(struct page *page, const char *format, ...) PRINTF_LIKE(2);
// HELP, TYPE and UNIT of a metric.
void page_head(struct page *page, const struct figure *figure);
// labels: NULL: none.
void page_sample(struct page *page, const struct figure *figure, const char *labels,
                 uint64_t value);

// ---- metrics_parts.c: of each listener, and of each link to another node
void page_listeners(struct page *page, const struct broker *broker,
                    const struct listen_set *listeners);
void page_links(struct page *page, struct cluster *cluster);

// ---- metrics_alias.c: what means the same has other brokers' names, too
void page_mosquitto(struct page *page, const struct figures *figures);
void page_emqx(struct page *page, const struct figures *figures);

#endif
