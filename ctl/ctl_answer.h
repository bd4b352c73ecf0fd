// ctl_answer.h - what the broker says to ternmqctl, as JSON.
//
// Job:    values for answers out of figures, nodes, rows of shards and retained messages.
//         {"v":1,"ok":true, ...} or {"v":1,"ok":false,"error":"not_found","text":"..."}
// Owner:  the caller has what comes back, for json_decref. Thread: any, while the shards exist.
// Memory: jansson's. Limits: those of what is given.
//
// What may be secret is not in it: no password, no payload, nothing of a secret's file.
#ifndef TERN_CTL_CTL_ANSWER_H
#define TERN_CTL_CTL_ANSWER_H

#include "core/bans.h"
#include "core/config.h"
#include "core/msg.h"
#include "ctl/ctl_request.h"

struct broker;
struct listen_set;

// The two clocks at this moment.
struct ctl_times {
    uint64_t mono_ms, wall_ms;
};

json_t *ctl_good(void); // returns new
// error: a word for programs; the text is for people.
json_t *ctl_bad(const char *error, const char *format, ...) PRINTF_LIKE(2);

// A text that a client chose. What is not UTF-8 of it is replaced by question marks.
json_t *ctl_text(struct slice text);
void ctl_put_number(json_t *answer, const char *name, uint64_t number);
// How far these are, as "drain" and "rebalance".
void ctl_put_drain(json_t *answer, const struct broker *broker, uint64_t now_ms);
void ctl_put_decommission(json_t *answer, const struct broker *broker);
void ctl_put_rebalance(json_t *answer, const struct broker *broker);
json_t *ctl_status(const struct broker *broker, const struct listen_set *listeners,
                   uint64_t now_ms);
json_t *ctl_cluster(const struct broker *broker);
json_t *ctl_clients(const struct control_rows *rows, const struct listen_set *listeners,
                    const struct ctl_times *now);
json_t *ctl_subscriptions(const struct control_rows *rows);
json_t *ctl_retained(const struct msg *msg, const struct ctl_times *now);
// refusal: the text where err is not OK.
json_t *ctl_report(const char *refusal, err_t err, const struct config_report *report,
                   const char *problem);
json_t *ctl_ban(const struct ban *ban, uint64_t now_ms);
json_t *ctl_log_types(uint32_t types);
json_t *ctl_config(const struct config *config); // {"file": ..., "keys": [...]}
// Into answer: the client, what decides, and the subscriptions that match.
void ctl_put_explanation(json_t *answer, const struct control_rows *rows,
                         const struct listen_set *listeners, const struct ctl_times *now);
json_t *ctl_matches(const struct control_rows *rows);
// Of a trace (ctl_watch.c): its records; and the topics that were counted, for so many seconds.
json_t *ctl_records(const struct control_rows *rows, const struct ctl_times *now);
json_t *ctl_topics(const struct control_rows *rows, bool by_bytes);

#endif
