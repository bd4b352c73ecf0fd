// topic.c - Topic Names, Topic Filters, shared subscription filters.
#include "core/topic.h"

#define SEPARATOR '/'

#define ONES      UINT64_C(0x0101010101010101)
#define HIGHS     UINT64_C(0x8080808080808080)

// Has w a byte that no Topic Name may hold: U+0000, "#" or "+"? Those two differ in one bit, which
// the mask clears. Subtracting one borrows into the high bit of a zero byte; ~x leaves out the
// bytes whose high bit was set before. A borrow that runs on marks bytes above a zero byte only, so
// "is there any" is exact.
static inline bool
has_forbidden8(uint64_t w)
{
    uint64_t x = (w & ~(0x08 * ONES)) ^ (0x23 * ONES);
    return ((((w - ONES) & ~w) | ((x - ONES) & ~x)) & HIGHS) != 0;
}

// How many of the eight bytes are "/"? Here every byte counts, so nothing may borrow: adding 0x7f
// to seven bits carries into the eighth unless they are all 0. The product sums the eight bits.
static inline uint32_t
separators8(uint64_t w)
{
    uint64_t x = w ^ (SEPARATOR * ONES);
    uint64_t others = (((x & ~HIGHS) + ~HIGHS) | x) & HIGHS;
    return (uint32_t)(((others ^ HIGHS) >> 7) * ONES >> 56);
}

// Eight characters of ASCII that any Topic Name may hold? Where no byte has its high bit, taking
// one from each sets a high bit only by a zero byte, in w or, for a wildcard, in x.
static inline bool
is_plain8(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t x = (w & ~(0x08 * ONES)) ^ (0x23 * ONES);
    return ((w | (w - ONES) | (x - ONES)) & HIGHS) == 0;
}

bool
topic_name_is_plain(struct slice name)
{
    if (name.len < 8 || name.len >= TOPIC_LEVELS_MAX) // so few bytes cannot have too many levels
        return false;
    for (uint32_t i = 0; i + 8 < name.len; i += 8)
        if (!is_plain8(name.data + i))
            return false;
    return is_plain8(name.data + name.len - 8);
}

err_t
topic_name_check(struct slice name)
{
    if (name.len == 0 || name.len > TOPIC_BYTES_MAX) // [MQTT-4.7.3-1] [MQTT-4.7.3-3]
        return ERR_TOPIC_NAME_INVALID;
    uint32_t levels = 1, i = 0;
    for (; i + 8 <= name.len; i += 8) { // every publication comes by here: eight bytes at a time
        uint64_t w;
        memcpy(&w, name.data + i, sizeof(w));
        if (unlikely(has_forbidden8(w))) // [MQTT-4.7.0-1] [MQTT-4.7.3-2]
            return ERR_TOPIC_NAME_INVALID;
        levels += separators8(w);
    }
    for (; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (unlikely(c == '+' || c == '#' || c == 0)) // [MQTT-4.7.0-1] [MQTT-4.7.3-2]
            return ERR_TOPIC_NAME_INVALID;
        levels += c == SEPARATOR;
    }
    must_hot(i == name.len && levels <= name.len + 1);
    return levels <= TOPIC_LEVELS_MAX ? OK : ERR_TOPIC_NAME_INVALID;
}

err_t
topic_filter_check(struct slice filter)
{
    if (filter.len == 0 || filter.len > TOPIC_BYTES_MAX) // [MQTT-4.7.3-1] [MQTT-4.7.3-3]
        return ERR_TOPIC_FILTER_INVALID;
    uint32_t levels = 1;
    for (uint32_t i = 0; i < filter.len; i++) {
        uint8_t c = filter.data[i];
        bool first = i == 0 || filter.data[i - 1] == SEPARATOR;
        bool last = i + 1 == filter.len;
        if (c == 0) // [MQTT-4.7.3-2]
            return ERR_TOPIC_FILTER_INVALID;
        if (c == '#' && !(first && last)) // [MQTT-4.7.1-1]
            return ERR_TOPIC_FILTER_INVALID;
        if (c == '+' && !(first && (last || filter.data[i + 1] == SEPARATOR))) // [MQTT-4.7.1-2]
            return ERR_TOPIC_FILTER_INVALID;
        levels += c == SEPARATOR;
    }
    return levels <= TOPIC_LEVELS_MAX ? OK : ERR_TOPIC_FILTER_INVALID;
}

err_t
topic_share_split(struct slice text, struct share_filter *ret)
{
    *ret = (struct share_filter){.filter = text};
    struct slice rest = text, level;
    if (!topic_next_level(&rest, &level) || !slice_equal(level, slice_str("$share")))
        return topic_filter_check(text);
    // [MQTT-4.8.2-1] [MQTT-4.8.2-2]: a name of at least one character, then "/" and a filter.
    if (!topic_next_level(&rest, &level) || level.len == 0 || rest.data == NULL)
        return ERR_TOPIC_FILTER_INVALID;
    if (topic_name_check(level) != OK) // a level holds no "/", so this is the rest of its rules
        return ERR_TOPIC_FILTER_INVALID;
    err_t err = topic_filter_check(rest);
    if (err != OK)
        return err;
    *ret = (struct share_filter){.group = level, .filter = rest};
    must(ret->group.len > 0 && ret->filter.len > 0);
    return OK;
}

bool
topic_matches(struct slice filter, struct slice name)
{
    must(filter.len > 0 && name.len > 0);
    const uint8_t *f = filter.data, *f_end = f + filter.len;
    const uint8_t *n = name.data, *n_end = n + name.len;
    if (*n == '$' && (*f == '+' || *f == '#')) // [MQTT-4.7.2-1]
        return false;
    for (; f < f_end; f++) {
        if (*f == '#')
            return true;
        if (*f == '+') {
            while (n < n_end && *n != SEPARATOR)
                n++;
        } else if (n < n_end) {
            if (*f != *n++)
                return false;
        } else { // "a/#" matches its parent "a", too
            return f_end - f == 2 && f[0] == SEPARATOR && f[1] == '#';
        }
    }
    return n == n_end;
}

bool
topic_filter_is_wild(struct slice filter)
{
    must(filter.data != NULL || filter.len == 0);
    for (uint32_t i = 0; i < filter.len; i++)
        if (filter.data[i] == '+' || filter.data[i] == '#')
            return true;
    return false;
}

bool
topic_next_level(struct slice *rest, struct slice *ret_level)
{
    if (rest->data == NULL)
        return false;
    const uint8_t *slash = memchr(rest->data, SEPARATOR, rest->len);
    if (slash == NULL) {
        *ret_level = *rest;
        *rest = (struct slice){0};
        return true;
    }
    uint32_t len = (uint32_t)(slash - rest->data);
    must_hot(len < rest->len);
    *ret_level = slice_of(rest->data, len);
    *rest = slice_of(slash + 1, rest->len - len - 1);
    return true;
}
