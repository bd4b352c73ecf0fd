// client_limits.h - what a client meets at a limit: it is refused, counted, and told of in the log.
//
// Job:    the checks of CONNECT that come before anything else is looked at, and the log line that
//         names the limit's key.
// Owner:  the client's. Thread: its shard's worker. Memory: none.
// Limits: connect_rate, connect_rate_per_address, bans and what makes them (bans.h),
//         max_topic_levels.
#ifndef TERN_CORE_CLIENT_LIMITS_H
#define TERN_CORE_CLIENT_LIMITS_H

#include "core/codec.h"

struct client;

// The first thing that is asked of a CONNECT. ERR_CONNECT_RATE.
NODISCARD err_t client_check_connect_rate(struct client *client);
// The broker takes no clients: ERR_USE_ANOTHER_SERVER as client_refer says, or ERR_SERVER_BUSY.
NODISCARD err_t client_check_drain(struct client *client, const struct connect_view *view);
// Is there another node for the client? Then client_fail(ERR_USE_ANOTHER_SERVER), which is to
// follow at once, tells it which. packet_max: that it takes. False: there is none, or the client
// has no word for it.
bool client_refer(struct client *client, uint32_t packet_max);
// Once it is known who it says it is, and before anything is computed for it. ERR_BANNED.
NODISCARD err_t client_check_bans(struct client *client, const struct connect_view *view);
// Has this topic or filter, which is valid, more levels than max_topic_levels? Then that is
// counted.
bool client_is_too_deep(struct client *client, struct slice topic);
// Its login failed: too many of these ban its address.
void client_login_failed(struct client *client);
// Something was refused because of this key: a line in the log, at a limited rate.
void client_refused_by(struct client *client, const char *key);

#endif
