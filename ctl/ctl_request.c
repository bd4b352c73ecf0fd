// ctl_request.c - what ternmqctl asks: one line of JSON, version 1.
#include "ctl/ctl_request.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/log.h"

#include "core/address.h"
#include "core/rebalance.h"
#include "core/registry.h"
#include "core/topic.h"

// ---- The tables ---------------------------------------------------------------------------------

enum field {
    FIELD_ID,
    FIELD_NODE,
    FIELD_TEXT,
    FIELD_FILTER,
    FIELD_PATH,
    FIELD_LIMIT,
    FIELD_CURSOR,
    FIELD_AWAY,
    FIELD_FORCE,
    FIELD_USER,
    FIELD_ADDRESS,
    FIELD_FOR,
    FIELD_TYPES,
    FIELD_ACTION,
    FIELD_QOS,
    FIELD_RATE,
    FIELD_ALL,
    FIELD_DRY_RUN,
    FIELD_WAITING,
    FIELD_BY,
    FIELD_LEVELS
};
#define HAS(f) (1u << FIELD_##f)

static const struct op {
    const char *name;
    uint32_t may, must_have;
} ops[CTL_OPS] = {
    [CTL_STATUS] = {"status", 0, 0},
    [CTL_CLUSTER] = {"cluster", 0, 0},
    [CTL_CLIENTS] = {"clients", HAS(TEXT) | HAS(LIMIT) | HAS(CURSOR) | HAS(AWAY) | HAS(WAITING), 0},
    [CTL_CLIENT] = {"client", HAS(ID), HAS(ID)},
    [CTL_KICK] = {"kick", HAS(ID), HAS(ID)},
    [CTL_SUBSCRIPTIONS] = {"subscriptions", HAS(ID) | HAS(FILTER) | HAS(LIMIT) | HAS(CURSOR), 0},
    [CTL_RETAINED] = {"retained", HAS(FILTER) | HAS(LIMIT) | HAS(CURSOR), 0},
    [CTL_RETAINED_RM] = {"retained_rm", HAS(FILTER) | HAS(LIMIT) | HAS(CURSOR), HAS(FILTER)},
    [CTL_BACKUP] = {"backup", HAS(PATH) | HAS(FORCE), HAS(PATH)},
    [CTL_RELOAD] = {"reload", 0, 0},
    [CTL_BANS] = {"bans", HAS(LIMIT) | HAS(CURSOR), 0},
    [CTL_BAN] = {"ban", HAS(ID) | HAS(USER) | HAS(ADDRESS) | HAS(FOR), 0},
    [CTL_UNBAN] = {"unban", HAS(ID) | HAS(USER) | HAS(ADDRESS), 0},
    [CTL_LOG] = {"log", HAS(TYPES), 0},
    [CTL_CONFIG] = {"config", 0, 0},
    [CTL_CONFIG_CHECK] = {"config_check", HAS(PATH), HAS(PATH)},
    [CTL_EXPLAIN] = {"explain", HAS(ACTION) | HAS(ID) | HAS(FILTER) | HAS(QOS),
                     HAS(ACTION) | HAS(ID) | HAS(FILTER)},
    [CTL_MATCHES] = {"matches", HAS(FILTER) | HAS(ID) | HAS(QOS) | HAS(LIMIT) | HAS(CURSOR),
                     HAS(FILTER)},
    [CTL_DRAIN] = {"drain", HAS(FOR), 0},
    [CTL_DRAIN_UNDO] = {"drain_undo", 0, 0},
    [CTL_DECOMMISSION] = {"decommission", HAS(FOR), 0},
    [CTL_FORGET] = {"forget", HAS(NODE) | HAS(DRY_RUN), HAS(NODE)},
    [CTL_REBALANCE] = {"rebalance", HAS(RATE) | HAS(ALL) | HAS(DRY_RUN), 0},
    [CTL_REBALANCE_STOP] = {"rebalance_stop", 0, 0},
    [CTL_TRACE] = {"trace", HAS(ID) | HAS(FILTER) | HAS(FOR) | HAS(LIMIT) | HAS(CURSOR), 0},
    [CTL_TOPICS] = {"topics", HAS(BY) | HAS(LEVELS) | HAS(FOR) | HAS(LIMIT) | HAS(CURSOR), 0},
};

static bool take_text(const json_t *value, struct slice *ret);
static bool take_id(const json_t *value, struct ctl_request *ret);
static bool take_node(const json_t *value, struct ctl_request *ret);
static bool take_part(const json_t *value, struct ctl_request *ret);
static bool take_filter(const json_t *value, struct ctl_request *ret);
static bool take_path(const json_t *value, struct ctl_request *ret);
static bool take_limit(const json_t *value, struct ctl_request *ret);
static bool take_cursor(const json_t *value, struct ctl_request *ret);
static bool take_away(const json_t *value, struct ctl_request *ret);
static bool take_force(const json_t *value, struct ctl_request *ret);
static bool take_user(const json_t *value, struct ctl_request *ret);
static bool take_address(const json_t *value, struct ctl_request *ret);
static bool take_for(const json_t *value, struct ctl_request *ret);
static bool take_types(const json_t *value, struct ctl_request *ret);
static bool take_action(const json_t *value, struct ctl_request *ret);
static bool take_qos(const json_t *value, struct ctl_request *ret);
static bool take_rate(const json_t *value, struct ctl_request *ret);
static bool take_all(const json_t *value, struct ctl_request *ret);
static bool take_dry_run(const json_t *value, struct ctl_request *ret);
static bool take_waiting(const json_t *value, struct ctl_request *ret);
static bool take_by(const json_t *value, struct ctl_request *ret);
static bool take_levels(const json_t *value, struct ctl_request *ret);

static const struct {
    const char *name, *what;
    bool (*take)(const json_t *value, struct ctl_request *ret);
} fields[] = {
    [FIELD_ID] = {"id", "a client identifier", take_id},
    [FIELD_NODE] = {"node", "the name or id of a node", take_node},
    [FIELD_TEXT] = {"text", "a text", take_part},
    [FIELD_FILTER] = {"filter", "a topic filter", take_filter},
    [FIELD_PATH] = {"path", "a path from the root, without / at its end", take_path},
    [FIELD_LIMIT] = {"limit", "a number from 1 to 1000", take_limit},
    [FIELD_CURSOR] = {"cursor", "what an answer had as its cursor", take_cursor},
    [FIELD_AWAY] = {"away", "true or false", take_away},
    [FIELD_FORCE] = {"force", "true or false", take_force},
    [FIELD_USER] = {"user", "a user name", take_user},
    [FIELD_ADDRESS] = {"address", "an IP address", take_address},
    [FIELD_FOR] = {"for_s", "a number of seconds, from 1 on", take_for},
    [FIELD_TYPES] = {"types", "log types with commas between them, all or none", take_types},
    [FIELD_ACTION] = {"action", "pub or sub", take_action},
    [FIELD_QOS] = {"qos", "0, 1 or 2", take_qos},
    [FIELD_RATE] = {"rate", "a number from 1 to 10000", take_rate},
    [FIELD_ALL] = {"all", "true or false", take_all},
    [FIELD_DRY_RUN] = {"dry_run", "true or false", take_dry_run},
    [FIELD_WAITING] = {"waiting", "true or false", take_waiting},
    [FIELD_BY] = {"by", "messages or bytes", take_by},
    [FIELD_LEVELS] = {"levels", "a number of topic levels, from 1 to 200", take_levels},
};

const char *
ctl_op_name(enum ctl_op op)
{
    must(op < CTL_OPS);
    return ops[op].name;
}

// ---- Values -------------------------------------------------------------------------------------

static bool
take_text(const json_t *value, struct slice *ret)
{
    if (!json_is_string(value) || json_string_length(value) > TOPIC_BYTES_MAX)
        return false;
    *ret = slice_of(json_string_value(value), json_string_length(value));
    return true;
}

static bool
take_id(const json_t *value, struct ctl_request *ret)
{
    return take_text(value, &ret->id);
}

static bool
take_node(const json_t *value, struct ctl_request *ret)
{
    return take_text(value, &ret->id) && ret->id.len > 0;
}

static bool
take_part(const json_t *value, struct ctl_request *ret)
{
    return take_text(value, &ret->text);
}

// Also as it stands in SUBSCRIBE; what is in force is the filter within.
static bool
take_filter(const json_t *value, struct ctl_request *ret)
{
    struct share_filter share;
    struct slice text;
    if (!take_text(value, &text) || topic_share_split(text, &share) != OK)
        return false;
    ret->filter = share.filter;
    return true;
}

static bool
take_path(const json_t *value, struct ctl_request *ret)
{
    struct slice path;
    if (!take_text(value, &path) || path.len < 2 || path.len > CTL_PATH_MAX ||
        path.data[0] != '/' || path.data[path.len - 1] == '/')
        return false;
    ret->path = path;
    return memchr(path.data, '\0', path.len) == NULL;
}

static bool
take_user(const json_t *value, struct ctl_request *ret)
{
    return take_text(value, &ret->user) && ret->user.len > 0;
}

// An IPv6 address stands for its /64, and is shown with that.
static bool
take_address(const json_t *value, struct ctl_request *ret)
{
    char text[ADDRESS_TEXT_MAX];
    struct slice given;
    if (!take_text(value, &given) || given.len >= sizeof text ||
        memchr(given.data, '\0', given.len))
        return false;
    memcpy(text, given.data, given.len);
    text[given.len] = '\0';
    char *bits = strstr(text, "/64");
    if (bits && bits[3] == '\0' && strchr(text, ':'))
        *bits = '\0';
    ret->address = address_parse(text);
    return ret->address != ADDRESS_NONE;
}

static bool
take_number(const json_t *value, uint32_t min, uint32_t max, uint32_t *ret)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < (json_int_t)min || number > (json_int_t)max)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool
take_for(const json_t *value, struct ctl_request *ret)
{
    return take_number(value, 1, INT32_MAX, &ret->for_s);
}

static bool
take_qos(const json_t *value, struct ctl_request *ret)
{
    uint32_t qos = 0;
    bool good = take_number(value, 0, 2, &qos);
    ret->qos = (uint8_t)qos;
    return good;
}

static bool
take_rate(const json_t *value, struct ctl_request *ret)
{
    return take_number(value, 1, REBALANCE_RATE_MAX, &ret->rate);
}

static bool
take_types(const json_t *value, struct ctl_request *ret)
{
    struct slice rest;
    if (!take_text(value, &rest))
        return false;
    ret->has_types = true;
    for (;;) {
        const uint8_t *comma = rest.len > 0 ? memchr(rest.data, ',', rest.len) : NULL;
        uint32_t len = comma ? (uint32_t)(comma - rest.data) : rest.len, types;
        if (!log_types_of(slice_of(rest.data, len), &types))
            return false;
        ret->types |= types;
        if (!comma)
            return true;
        rest = slice_of(comma + 1, rest.len - len - 1);
    }
}

static bool
take_action(const json_t *value, struct ctl_request *ret)
{
    struct slice word;
    if (!take_text(value, &word))
        return false;
    ret->publish = slice_equal(word, slice_str("pub"));
    return ret->publish || slice_equal(word, slice_str("sub"));
}

static bool
take_waiting(const json_t *value, struct ctl_request *ret)
{
    ret->waiting = json_is_true(value);
    return json_is_boolean(value);
}

static bool
take_by(const json_t *value, struct ctl_request *ret)
{
    struct slice word;
    if (!take_text(value, &word))
        return false;
    ret->by_bytes = slice_equal(word, slice_str("bytes"));
    return ret->by_bytes || slice_equal(word, slice_str("messages"));
}

static bool
take_levels(const json_t *value, struct ctl_request *ret)
{
    return take_number(value, 1, TOPIC_LEVELS_MAX, &ret->levels);
}

static bool
take_limit(const json_t *value, struct ctl_request *ret)
{
    return take_number(value, 1, CTL_LIMIT_MAX, &ret->limit);
}

static bool
take_cursor(const json_t *value, struct ctl_request *ret)
{
    struct slice text;
    ret->has_cursor = take_text(value, &text) && ctl_cursor_read(text, &ret->cursor);
    return ret->has_cursor;
}

static bool
take_away(const json_t *value, struct ctl_request *ret)
{
    ret->away = json_is_true(value);
    return json_is_boolean(value);
}

static bool
take_force(const json_t *value, struct ctl_request *ret)
{
    ret->force = json_is_true(value);
    return json_is_boolean(value);
}

static bool
take_all(const json_t *value, struct ctl_request *ret)
{
    ret->all = json_is_true(value);
    return json_is_boolean(value);
}

static bool
take_dry_run(const json_t *value, struct ctl_request *ret)
{
    ret->dry_run = json_is_true(value);
    return json_is_boolean(value);
}

// ---- Cursors ------------------------------------------------------------------------------------

// A number in lower-case hexadecimal, as it is written: the shortest.
static bool
take_hex(struct slice *rest, uint64_t max, uint64_t *ret)
{
    uint32_t i = 0;
    *ret = 0;
    for (; i < rest->len && i < 16 && rest->data[i] != '.'; i++) {
        uint8_t c = rest->data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f'))
            return false;
        *ret = *ret << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    bool shortest = i > 0 && (i == 1 || rest->data[0] != '0');
    *rest = slice_of(rest->data + i, rest->len - i);
    return shortest && *ret <= max;
}

static bool
take_dot(struct slice *rest)
{
    if (rest->len == 0 || rest->data[0] != '.')
        return false;
    *rest = slice_of(rest->data + 1, rest->len - 1);
    return true;
}

bool
ctl_cursor_read(struct slice text, struct ctl_cursor *ret)
{
    uint64_t shard, subs;
    *ret = (struct ctl_cursor){0};
    if (!take_hex(&text, TRIE_SHARDS_MAX - 1, &shard) || !take_dot(&text) ||
        !take_hex(&text, REGISTRY_END, &ret->place.bucket) || !take_dot(&text) ||
        !take_hex(&text, UINT64_MAX, &ret->place.number) || !take_dot(&text) ||
        !take_hex(&text, UINT32_MAX, &subs) || text.len > 0)
        return false;
    ret->shard = (uint32_t)shard;
    ret->place.subs = (uint32_t)subs;
    return true;
}

void
ctl_cursor_write(const struct ctl_cursor *cursor, char ret_text[CTL_CURSOR_MAX])
{
    int len =
        snprintf(ret_text, CTL_CURSOR_MAX, "%" PRIx32 ".%" PRIx64 ".%" PRIx64 ".%" PRIx32,
                 cursor->shard, cursor->place.bucket, cursor->place.number, cursor->place.subs);
    must(len > 0 && len < (int)CTL_CURSOR_MAX);
}

// ---- The line -----------------------------------------------------------------------------------

// jansson goes down by calling itself; nothing here has a value within a value.
static bool
is_flat(struct slice line)
{
    unsigned open = 0;
    bool in_string = false;
    must(line.len <= CTL_REQUEST_MAX);
    for (uint32_t i = 0; i < line.len; i++) {
        uint8_t c = line.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || (c == '{' && open++ > 0)))
            return false;
    }
    return true;
}

static bool
take_op(const json_t *json, struct ctl_request *ret, char *ret_problem)
{
    const json_t *version = json_object_get(json, "v");
    const char *name = json_string_value(json_object_get(json, "op"));
    if (!json_is_integer(version) || json_integer_value(version) != CTL_VERSION) {
        (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "\"v\" must be %d", CTL_VERSION);
        return false;
    }
    for (unsigned i = 0; name && i < CTL_OPS; i++)
        if (strcmp(name, ops[i].name) == 0) {
            ret->op = (enum ctl_op)i;
            return true;
        }
    (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "there is no such \"op\"");
    return false;
}

// How many of the object's names are fields of the operation; -1: one has not its kind of value.
static int
take_fields(const json_t *json, struct ctl_request *ret, char *ret_problem)
{
    const struct op *op = &ops[ret->op];
    must((op->must_have & ~op->may) == 0);
    int count = 0;
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *value = json_object_get(json, fields[i].name);
        bool may = op->may & 1u << i, needs = op->must_have & 1u << i;
        if ((value && may && fields[i].take(value, ret)) || (!value && !needs)) {
            count += value != NULL;
            continue;
        }
        if (value && !may)
            (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "%s has no \"%s\"", op->name,
                           fields[i].name);
        else
            (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "\"%s\" of %s must be %s", fields[i].name,
                           op->name, fields[i].what);
        return -1;
    }
    return count;
}

bool
ctl_request_read(struct slice line, struct ctl_request *ret, char ret_problem[CTL_PROBLEM_MAX])
{
    *ret = (struct ctl_request){.limit = CTL_LIMIT, .address = ADDRESS_NONE};
    must(line.len == 0 || line.data);
    (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "a line is one JSON object without others in it");
    if (line.len == 0 || line.len > CTL_REQUEST_MAX || !is_flat(line))
        return false;
    json_error_t error;
    ret->json = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(ret->json) || !take_op(ret->json, ret, ret_problem))
        return false;
    int count = take_fields(ret->json, ret, ret_problem);
    if (count >= 0 && (size_t)count + 2 != json_object_size(ret->json)) {
        (void)snprintf(ret_problem, CTL_PROBLEM_MAX, "%s has a field that is not known",
                       ops[ret->op].name);
        return false;
    }
    return count >= 0;
}

void
ctl_request_clear(struct ctl_request *request)
{
    json_decref(request->json);
    *request = (struct ctl_request){0};
}
