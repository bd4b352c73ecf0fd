// metrics.h - the broker's figures as Prometheus reads them.
//
// Job:    OpenMetrics 1.0.0, or the text format 0.0.4, from the table of core/figures.h.
// Owner:  the caller. Thread: any, while shards and listeners exist.
// Memory: one text of some 20 KB. Limits: METRICS_LINE_MAX a line.
#ifndef TERN_HTTP_METRICS_H
#define TERN_HTTP_METRICS_H

#include "core/base/base.h"

struct figures;
struct listen_set;

#define METRICS_LINE_MAX 1024u

enum metrics_format { METRICS_TEXT, METRICS_OPEN };

// What Accept asks for; NULL: there was none.
enum metrics_format metrics_choose(const char *accept);
const char *metrics_content_type(enum metrics_format format);
// Returns new, mem_free. listeners may be NULL.
char *metrics_write(const struct figures *figures, const struct listen_set *listeners,
                    enum metrics_format format, size_t *ret_len);
// As a label's value is written, cut where it does not fit. ret: room for size bytes, 1 at least.
void metrics_escape(const char *text, char *ret, size_t size);

#endif
