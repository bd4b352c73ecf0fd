// client_control.h - PUBLISH to $CONTROL: commands of administrators.
//
// Job:    asks the authority that is addressed (ACCESS_CONTROL), journals what it changed, and
//         sends its response to the client that asked, and to no other, once that is safe.
// Owner:  the client. Thread: its shard's worker. Memory: the question, the response.
// Limits: the desk's; one such message of a client at a time, because it is suspended meanwhile.
#ifndef TERN_CORE_CLIENT_CONTROL_H
#define TERN_CORE_CLIENT_CONTROL_H

#include "core/access.h"
#include "core/codec.h"

struct ack_wait;
struct client;
struct shard;

// Is it for an authority, and is there one?
bool client_is_control(const struct client *client, struct slice topic);
// OK: done, the response is on its way; *ret_wait is what the acknowledgement waits for. ERR_WAIT:
// the packet comes again. Else it is refused.
NODISCARD err_t client_control(struct client *client, const struct publish_view *view,
                               struct ack_wait *ret_wait);
// An answer has come, whether its client is there still or not: what it changed is journaled.
void client_control_keep(struct shard *shard, struct access_answer *answer);

#endif
