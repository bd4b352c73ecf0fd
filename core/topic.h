// topic.h - Topic Names, Topic Filters, shared subscription filters.
//
// Job:    what is valid, what matches; the slow and obvious matcher that tests compare the trie
//         with.
// Owner:  none. Thread: any. Memory: none.
// Limits: TOPIC_LEVELS_MAX levels (deeper: invalid), 65,535 bytes. No recursion.
#ifndef TERN_CORE_TOPIC_H
#define TERN_CORE_TOPIC_H

#include "core/base/err.h"

#define TOPIC_LEVELS_MAX 200 // as Mosquitto: bounds the depth of the trie and the work of a match
#define TOPIC_BYTES_MAX  65535u // [MQTT-4.7.3-3]

// ERR_TOPIC_NAME_INVALID: empty, wildcard, U+0000, too deep. (UTF-8 is the codec's check.)
NODISCARD err_t topic_name_check(struct slice name);
// Do its bytes alone show that it is valid, its UTF-8 included? So it is with nearly all: ASCII, of
// a usual length. False says nothing.
bool topic_name_is_plain(struct slice name);
// ERR_TOPIC_FILTER_INVALID: empty, misplaced wildcard, U+0000, too deep. Not for $share filters.
NODISCARD err_t topic_filter_check(struct slice filter);

struct share_filter {
    struct slice group;  // len 0: not a shared subscription
    struct slice filter; // the inner filter
};
// Splits "$share/group/filter". A filter that starts with "$share" as a whole level but is not well
// formed is ERR_TOPIC_FILTER_INVALID [MQTT-4.8.2-1] [MQTT-4.8.2-2]; any other is returned whole,
// group.len 0. Checks the (inner) filter as topic_filter_check does.
NODISCARD err_t topic_share_split(struct slice text, struct share_filter *ret);

// Does filter match name? Section 4.7, $-topics included [MQTT-4.7.2-1]. Both valid.
bool topic_matches(struct slice filter, struct slice name);
// Has the filter a wildcard?
bool topic_filter_is_wild(struct slice filter);

// Takes the first level off *rest: ret_level borrows. False when there is none left. Start with
// *rest = the whole; "a//b" has three levels, "/" two, so *rest.data becomes NULL at the end.
bool topic_next_level(struct slice *rest, struct slice *ret_level);

#endif
