// metrics.h - the broker's figures as Prometheus reads them.
//
// Job:    OpenMetrics 1.0.0, or the text format 0.0.4, from the table of core/figures.h, and what
//         each listener and each link to another node has.
// Owner:  the caller. Thread: any, while shards and listeners exist.
// Memory: one text of some 30 KB, and 2 KB more for each listener and link. Limits:
//         METRICS_LINE_MAX a line.
#ifndef TERN_HTTP_METRICS_H
#define TERN_HTTP_METRICS_H

#include "core/base/base.h"

struct broker;
struct figures;
struct listen_set;

#define METRICS_LINE_MAX 1024u

enum metrics_format { METRICS_TEXT, METRICS_OPEN };

// What Accept asks for; NULL: there was none.
enum metrics_format metrics_choose(const char *accept);
const char *metrics_content_type(enum metrics_format format);
// What is written. broker and listeners may be NULL: nothing of listeners and links.
struct metrics_source {
    const struct figures *figures;
    const struct broker *broker;
    const struct listen_set *listeners;
    uint32_t aliases; // CONFIG_ALIAS_... (core/config_http.h)
};
// Returns new, mem_free.
char *metrics_write(const struct metrics_source *source, enum metrics_format format,
                    size_t *ret_len);
// As a label's value is written, cut where it does not fit. ret: room for size bytes, 1 at least.
void metrics_escape(const char *text, char *ret, size_t size);

#endif
