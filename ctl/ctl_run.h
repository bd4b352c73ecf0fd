// ctl_run.h - what the commands of ternmqctl share: asking, reading answers, printing.
//
// Job:    a request and its answer, or the exit code where there is none; lines for people.
// Owner:  main has the run. Thread: one. Memory: answers are the caller's, for json_decref.
// Limits: ANSWER_MS for an answer that no disk has to be waited for.
#ifndef TERN_CTL_CTL_RUN_H
#define TERN_CTL_CTL_RUN_H

#include "ctl/ctl_options.h"
#include "ctl/ctl_peer.h"
#include "ctl/ctl_table.h"

#define ANSWER_MS 30000

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_CONNECTION = 3 };

struct ctl_sorted;

struct run {
    const struct ctl_options *options;
    struct ctl_peer peer;
    struct ctl_table *table;
    uint64_t shown;            // rows
    bool begun;                // --json: an object is open on standard output
    struct ctl_sorted *sorted; // NULL: rows are shown as they come
};

// ---- JSON: what is not there is empty, 0 or false

struct slice text_in(const json_t *object, const char *name);
uint64_t number_in(const json_t *object, const char *name);
bool true_in(const json_t *object, const char *name);
json_t *request_of(const char *op);                                    // returns new
void put_text_in(json_t *request, const char *name, const char *text); // NULL: nothing

// ---- Asking

// A line on standard error. Returns code.
int complain(int code, const char *format, ...) PRINTF_LIKE(2);
// Takes request. A good answer into ret_answer, or the exit code, and all was said.
int ask(struct run *run, json_t *request, int wait_ms, json_t **ret_answer);
// The same for an answer that is only printed: with --json as it is, else by show.
int ask_and_show(struct run *run, json_t *request, int wait_ms, void (*show)(const json_t *answer));
void print_json(const json_t *answer);
// From the root, without / at its end. Returns new; NULL: where we are is not known.
char *whole_path(const char *path);

// ---- Lines and cells

void say(const char *name, const char *format, ...) PRINTF_LIKE(2);
void say_text(const char *name, struct slice text); // escaped; data NULL: "-"
void say_duration(const char *name, uint64_t seconds);
void say_number(const char *name, const json_t *object, const char *key);
void text_cell(struct ctl_table *table, const json_t *row, const char *name);
void number_cell(struct ctl_table *table, const json_t *row, const char *name);
void time_cell(struct ctl_table *table, const json_t *row, const char *name);
void duration_cell(struct ctl_table *table, const json_t *row, const char *name);

// ---- ctl_commands.c

int show_cluster(struct run *run);
int add_ban(struct run *run);
int remove_ban(struct run *run);
void ban_row(struct ctl_table *table, const json_t *row);
int log_level(struct run *run);
int show_config(struct run *run);
int check_config(struct run *run);
int reload_config(struct run *run);
int drain(struct run *run);
int decommission(struct run *run);
int forget(struct run *run);
int rebalance(struct run *run);
// How far they are, of those that were begun.
void say_away(const json_t *answer);
void match_row(struct ctl_table *table, const json_t *row);
// What decides; with json up to the beginning of the list that follows. False: it is not allowed.
bool say_explanation(const json_t *answer, bool json);

// ---- ctl_status.c

int show_status(struct run *run);

// ---- ctl_follow.c

int follow_packets(struct run *run);
int show_busiest(struct run *run);

#endif
