// control.c - what administrators publish to $CONTROL, and what dynamic security begins with.
#include "core/access/control.h"

#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/secret_file.h"

#include "core/record.h"

// ---- Settings and records -----------------------------------------------------------------------

static struct record
record_of(const struct dynsec_setting *setting, uint64_t order)
{
    return (struct record){.kind = JOURNAL_SETTING,
                           .order = order,
                           .msg = {.topic = setting->name, .payload = setting->value}};
}

static struct slice
records_of(const struct dynsec_settings *settings, uint64_t order)
{
    size_t size = 0;
    for (uint32_t i = 0; i < settings->count; i++) {
        struct record record = record_of(&settings->list[i], order);
        size += record_size(&record);
    }
    if (size == 0)
        return slice_of(NULL, 0);
    must(size <= UINT32_MAX);
    uint8_t *bytes = mem_alloc(size), *end = bytes;
    for (uint32_t i = 0; i < settings->count; i++) {
        struct record record = record_of(&settings->list[i], order);
        end = record_write(end, &record);
    }
    must(end == bytes + size);
    return slice_of(bytes, size);
}

// ---- Commands -----------------------------------------------------------------------------------

bool
control_answer(struct dynsec *dynsec, struct log *log, struct access_question *question)
{
    const struct access_texts *texts = &question->texts;
    struct access_answer *answer = &question->answer;
    struct dynsec_outcome outcome;
    if (!dynsec || !slice_equal(texts->topic, slice_str(DYNSEC_TOPIC))) {
        answer->err = ERR_NOT_AUTHORIZED;
        return false;
    }
    dynsec_execute(dynsec, texts->user, texts->payload, &outcome);
    if (outcome.log)
        log_line(log, LOG_T_NOTICE, "dynsec: %.*s/%.*s | %s",
                 (int)min_u32(texts->client_id.len, 64), (const char *)texts->client_id.data,
                 (int)min_u32(texts->user.len, 64), (const char *)texts->user.data, outcome.log);
    must(outcome.reply.data != NULL && !answer->reply.data);
    answer->err = OK;
    answer->mark = outcome.mark;
    answer->reply = outcome.reply;
    answer->reply_topic =
        slice_of(mem_strdup(DYNSEC_RESPONSE_TOPIC), sizeof DYNSEC_RESPONSE_TOPIC - 1);
    answer->settings = records_of(&outcome.settings, outcome.order);
    outcome.reply = slice_of(NULL, 0);
    bool rules = outcome.rules;
    dynsec_outcome_free(&outcome);
    return rules;
}

// ---- The start ----------------------------------------------------------------------------------

static err_t
take_stored(struct dynsec *dynsec, const struct access_stored *stored,
            char problem[ACCESS_PROBLEM_MAX])
{
    struct dynsec_setting *list = mem_alloc((stored->count + 1) * sizeof *list);
    uint32_t count = stored->count;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *record = &stored->records[i];
        must(record->kind == JOURNAL_SETTING);
        list[i] = (struct dynsec_setting){record->msg.topic, record->msg.payload};
    }
    err_t err = dynsec_load(dynsec, list, count, problem, ACCESS_PROBLEM_MAX);
    mem_free(list);
    return err;
}

static err_t
take_file(struct dynsec *dynsec, const char *path, struct access_stored *ret_fresh,
          char problem[ACCESS_PROBLEM_MAX])
{
    struct secret_file file;
    struct file_problem unreadable;
    struct dynsec_import import;
    char what[200];
    if (secret_file_read(path, DYNSEC_FILE_MAX, &file, &unreadable) != OK) {
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "dynamic_security_file: %s", unreadable.text);
        return ERR_CONFIG;
    }
    err_t err = dynsec_import(dynsec, slice_of(file.data, file.len), &import, what, sizeof what);
    secret_file_free(&file);
    if (err != OK) {
        (void)snprintf(problem, ACCESS_PROBLEM_MAX, "dynamic_security_file %s: %s", path, what);
        return err;
    }
    (void)snprintf(ret_fresh->text, sizeof ret_fresh->text,
                   "Dynamic security begins with %s: %u clients, %u groups and %u roles%s", path,
                   import.clients, import.groups, import.roles,
                   import.skipped ? "; some of it could not be understood and was left out" : "");
    ret_fresh->doubtful = import.skipped > 0;
    for (uint32_t i = 0; i < import.settings.count; i++) {
        struct record record = record_of(&import.settings.list[i], import.order);
        (void)access_stored_add(ret_fresh, &record);
    }
    dynsec_settings_free(&import.settings);
    return OK;
}

err_t
control_open(struct dynsec *dynsec, const struct access_stored *stored, const char *file,
             struct access_stored *ret_fresh, char ret_problem[ACCESS_PROBLEM_MAX])
{
    *ret_fresh = (struct access_stored){0};
    dynsec_set_next_order(dynsec, max_u64(stored->next_order, 1));
    if (stored->count > 0)
        return take_stored(dynsec, stored, ret_problem);
    return file ? take_file(dynsec, file, ret_fresh, ret_problem) : OK;
}

err_t
access_stored_add(void *stored, const struct record *record)
{
    struct access_stored *to = stored;
    uint32_t n = to->count++, size = record_size(record), len;
    to->records = mem_grow(to->records, &to->record_cap, to->count, sizeof *to->records);
    to->bytes = mem_grow(to->bytes, &to->bytes_cap, to->count, sizeof *to->bytes);
    uint8_t *bytes = mem_alloc(size);
    const uint8_t *end = record_write(bytes, record);
    must(end == bytes + size);
    to->bytes[n] = slice_of(bytes, size);
    err_t err = record_read(to->bytes[n], &to->records[n], &len);
    must(err == OK && len == size);
    return OK;
}

void
access_stored_free(struct access_stored *stored)
{
    for (uint32_t i = 0; i < stored->count; i++)
        access_wipe(&stored->bytes[i]);
    mem_free(stored->bytes);
    mem_free(stored->records);
    *stored = (struct access_stored){0};
}
