// control.c - what coordinator and agents say to each other.
#include "bench/control.h"

#include <assert.h>
#include <stdio.h>

#define BUCKET_COUNT_MAX ((uint64_t)1 << 40) // so that sums over buckets and agents fit

static_assert(sizeof(struct sample) % sizeof(uint64_t) == 0, "a sample is numbers alone");
static_assert(sizeof(struct tally) % sizeof(uint64_t) == 0, "a tally is numbers alone");
static_assert((uint64_t)HISTOGRAM_BUCKETS * CONTROL_AGENTS_MAX <= UINT64_MAX / BUCKET_COUNT_MAX,
              "no sum of buckets overflows");

static const char *const type_names[] = {
    [CONTROL_HELLO] = "hello",     [CONTROL_CLOCK] = "clock", [CONTROL_MAKE] = "make",
    [CONTROL_BEGIN] = "begin",     [CONTROL_PHASE] = "phase", [CONTROL_LOOK] = "look",
    [CONTROL_MEASURE] = "measure", [CONTROL_END] = "end",
};

static const struct {
    const char *name;
    size_t offset;
} histograms[CONTROL_HISTOGRAMS] = {
    {"latency", offsetof(struct result, latency)},
    {"ack_latency", offsetof(struct result, ack_latency)},
    {"command_latency", offsetof(struct result, command_latency)},
    {"come_latency", offsetof(struct result, come_latency)},
    {"lateness", offsetof(struct result, lateness)},
};

// One or more numbers of a request or reply, by the types that carry them.
struct field {
    const char *name;
    uint32_t types;
    size_t offset, count;
};

#define TYPE(type) (1u << (type))
#define REQUEST(field, type)                                           \
    {                                                                  \
#field, TYPE(type), offsetof(struct control_request, field), 1 \
    }
#define REPLY(field, types)                                               \
    {                                                                     \
#field, types, offsetof(struct control_reply, field),             \
            sizeof(((struct control_reply *)0)->field) / sizeof(uint64_t) \
    }

static const struct field request_fields[] = {
    REQUEST(protocol, CONTROL_HELLO),
    REQUEST(layout, CONTROL_HELLO),
    REQUEST(agent, CONTROL_MAKE),
    REQUEST(agents, CONTROL_MAKE),
    REQUEST(run, CONTROL_MAKE),
    REQUEST(clock_shift_us, CONTROL_MAKE),
    REQUEST(broker_pid, CONTROL_MAKE),
    REQUEST(phase, CONTROL_PHASE),
    REQUEST(start_us, CONTROL_PHASE),
    REQUEST(measure_from_us, CONTROL_PHASE),
    REQUEST(measure_to_us, CONTROL_PHASE),
};

static const struct field reply_fields[] = {
    REPLY(protocol, TYPE(CONTROL_HELLO)),
    REPLY(layout, TYPE(CONTROL_HELLO)),
    REPLY(now_us, TYPE(CONTROL_CLOCK)),
    REPLY(failed, TYPE(CONTROL_LOOK)),
    REPLY(counters, TYPE(CONTROL_LOOK) | TYPE(CONTROL_END)),
    REPLY(sample, TYPE(CONTROL_MEASURE)),
    REPLY(tally, TYPE(CONTROL_END)),
};

struct histogram *
control_histogram(struct result *result, uint32_t i)
{
    must(i < CONTROL_HISTOGRAMS);
    return (void *)((char *)result + histograms[i].offset);
}

// ---- Writing ----------------------------------------------------------------------------------

// jansson fails for want of memory alone, or for text that is not UTF-8, which becomes "".
static void
put(json_t *object, const char *name, json_t *value)
{
    int error = json_object_set_new(object, name, value != NULL ? value : json_string(""));
    must(error == 0);
}

static void
append(json_t *list, json_t *value)
{
    int error = json_array_append_new(list, value != NULL ? value : json_string(""));
    must(error == 0);
}

static void
put_fields(json_t *object, const void *from, uint64_t type, const struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t *numbers = (const void *)((const char *)from + fields[i].offset);
        if ((fields[i].types & TYPE(type)) == 0)
            continue;
        if (fields[i].count == 1) {
            put(object, fields[i].name, json_integer((json_int_t)numbers[0]));
            continue;
        }
        json_t *list = json_array();
        for (size_t k = 0; k < fields[i].count; k++)
            append(list, json_integer((json_int_t)numbers[k]));
        put(object, fields[i].name, list);
    }
}

static json_t *
begin_object(uint64_t type)
{
    must(type < ARRAY_LEN(type_names));
    json_t *object = json_object();
    put(object, "type", json_string(type_names[type]));
    return object;
}

static char *
end_object(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    must(text != NULL);
    json_decref(object);
    return text;
}

char *
control_request_text(const struct control_request *request)
{
    json_t *object = begin_object(request->type);
    put_fields(object, request, request->type, request_fields, ARRAY_LEN(request_fields));
    if (request->type == CONTROL_MAKE) {
        json_t *words = json_array();
        for (uint32_t i = 0; i < request->word_count; i++)
            append(words, json_string(request->words[i]));
        put(object, "options", words);
    }
    return end_object(object);
}

// Number and count of each bucket that is not empty.
static json_t *
histogram_json(const struct histogram *h)
{
    json_t *object = json_object(), *buckets = json_array();
    put(object, "sum", json_integer((json_int_t)h->sum));
    put(object, "max", json_integer((json_int_t)h->max));
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->buckets[i] == 0)
            continue;
        append(buckets, json_integer(i));
        append(buckets, json_integer((json_int_t)h->buckets[i]));
    }
    put(object, "buckets", buckets);
    return object;
}

char *
control_reply_text(const struct control_reply *reply)
{
    json_t *object = begin_object(reply->type);
    if (reply->error[0] != '\0') {
        put(object, "error", json_string(reply->error));
        return end_object(object);
    }
    if (reply->failure[0] != '\0')
        put(object, "failure", json_string(reply->failure));
    put_fields(object, reply, reply->type, reply_fields, ARRAY_LEN(reply_fields));
    for (uint32_t i = 0; i < CONTROL_HISTOGRAMS && reply->type == CONTROL_END; i++)
        put(object, histograms[i].name, histogram_json(&reply->histograms[i]));
    return end_object(object);
}

// ---- Reading ----------------------------------------------------------------------------------

static bool
get_number(const json_t *value, uint64_t *ret_number)
{
    if (!json_is_integer(value))
        return false;
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

static bool
get_fields(const json_t *object, void *to, uint64_t type, const struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t *numbers = (void *)((char *)to + fields[i].offset);
        const json_t *value = json_object_get(object, fields[i].name);
        if ((fields[i].types & TYPE(type)) == 0)
            continue;
        if (fields[i].count == 1) {
            if (!get_number(value, numbers))
                return false;
            continue;
        }
        if (json_array_size(value) != fields[i].count) // 0 for what is no array
            return false;
        for (size_t k = 0; k < fields[i].count; k++) {
            if (!get_number(json_array_get(value, k), &numbers[k]))
                return false;
        }
    }
    return true;
}

// Empty when there is none. What a terminal could take for a command is replaced.
static bool
get_text(const json_t *value, char ret_text[CONTROL_TEXT_MAX])
{
    ret_text[0] = '\0';
    if (value == NULL)
        return true;
    if (!json_is_string(value))
        return false;
    (void)snprintf(ret_text, CONTROL_TEXT_MAX, "%s", json_string_value(value));
    for (char *p = ret_text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
            *p = '?';
    }
    return true;
}

// NULL when the line is no object with a known type; the caller's to free.
static json_t *
read_object(struct slice line, uint64_t *ret_type)
{
    if (line.len == 0 || line.len > CONTROL_LINE_MAX)
        return NULL;
    json_t *object = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(object, "type"));
    for (uint64_t i = 0; name != NULL && i < ARRAY_LEN(type_names); i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *ret_type = i;
            return object;
        }
    }
    json_decref(object);
    return NULL;
}

// These end up in a log.
static bool
is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static bool
get_words(const json_t *list, struct control_request *request)
{
    if (!json_is_array(list) || json_array_size(list) > CONTROL_WORDS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word == NULL || !is_printable(word))
            return false;
        request->words[request->word_count++] = unconst(word);
    }
    return true;
}

err_t
control_request_read(struct slice line, struct control_request *ret_request)
{
    struct control_request request = {0};
    request.json = read_object(line, &request.type);
    if (request.json == NULL)
        return ERR_MALFORMED;
    bool good =
        get_fields(request.json, &request, request.type, request_fields, ARRAY_LEN(request_fields));
    if (good && request.type == CONTROL_MAKE)
        good = get_words(json_object_get(request.json, "options"), &request);
    if (!good) {
        json_decref(request.json);
        return ERR_MALFORMED;
    }
    *ret_request = request;
    return OK;
}

void
control_request_free(struct control_request *request)
{
    json_decref(request->json);
    *request = (struct control_request){0};
}

// The count follows from the buckets, so that it cannot contradict them.
static bool
get_histogram(const json_t *object, struct histogram *h)
{
    const json_t *buckets = json_object_get(object, "buckets");
    uint64_t from = 0, bucket, count;
    *h = (struct histogram){0};
    if (!get_number(json_object_get(object, "sum"), &h->sum) ||
        !get_number(json_object_get(object, "max"), &h->max) || !json_is_array(buckets) ||
        json_array_size(buckets) % 2 != 0)
        return false;
    for (size_t i = 0; i < json_array_size(buckets); i += 2) {
        if (!get_number(json_array_get(buckets, i), &bucket) ||
            !get_number(json_array_get(buckets, i + 1), &count) || bucket < from ||
            bucket >= HISTOGRAM_BUCKETS || count == 0 || count > BUCKET_COUNT_MAX)
            return false;
        h->buckets[bucket] = count;
        h->count += count;
        from = bucket + 1;
    }
    return true;
}

err_t
control_reply_read(struct slice line, struct control_reply *ret_reply)
{
    *ret_reply = (struct control_reply){0};
    json_t *object = read_object(line, &ret_reply->type);
    if (object == NULL)
        return ERR_MALFORMED;
    bool good = get_text(json_object_get(object, "error"), ret_reply->error) &&
                get_text(json_object_get(object, "failure"), ret_reply->failure);
    if (good && ret_reply->error[0] == '\0') {
        good =
            get_fields(object, ret_reply, ret_reply->type, reply_fields, ARRAY_LEN(reply_fields));
        for (uint32_t i = 0; good && ret_reply->type == CONTROL_END && i < CONTROL_HISTOGRAMS; i++)
            good = get_histogram(json_object_get(object, histograms[i].name),
                                 &ret_reply->histograms[i]);
    }
    json_decref(object);
    return good ? OK : ERR_MALFORMED;
}
