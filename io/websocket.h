// websocket.h - the server's side of one WebSocket connection (RFC 6455), without input and output.
//
// Job:    the upgrade, then MQTT's bytes out of frames and into frames; ping, pong, close.
// Owner:  a connection. Thread: one at a time; between two calls it may move to another one.
// Memory: 200 bytes; a frame or a head that is not complete yet adds 4 KiB, or the head's bytes.
// Limits: the head's bytes and fields; a frame of WEBSOCKET_FRAME_MAX bytes. Fragments are not
//         collected: their number does not matter. No pong while WEBSOCKET_BACKLOG_MAX bytes wait
//         to be sent. The time for the upgrade is the caller's.
//
// What the caller does with each piece that arrived:
//     websocket_input(ws, piece);
//     while (websocket_read(ws, settings, out, pool, &data)) use data;
//     then look at ws->state, and send what is in out.
#ifndef TERN_IO_WEBSOCKET_H
#define TERN_IO_WEBSOCKET_H

#include "core/outq.h"

#define WEBSOCKET_MAGIC        0x77736f63u
#define WEBSOCKET_HEAD_DEFAULT 8192u
#define WEBSOCKET_FRAME_MAX    (UINT64_C(1) << 30) // four of the largest MQTT packets
#define WEBSOCKET_BACKLOG_MAX  16384u
#define WEBSOCKET_CONTROL_MAX  125u // RFC 6455 5.5

enum websocket_state {
    WEBSOCKET_UPGRADE,
    WEBSOCKET_OPEN,
    WEBSOCKET_ENDED,  // the peer said close, and was answered
    WEBSOCKET_FAILED, // its mistake; an HTTP status or a close code for it is in the out-queue
};

enum websocket_code { // RFC 6455 7.4.1
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_UNSUPPORTED_DATA = 1003,
    WEBSOCKET_INVALID_PAYLOAD = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
};

// Of a listener. Borrowed during a call.
struct websocket_settings {
    const char *path;           // "/mqtt"; NULL = any
    const char *const *origins; // whom browsers may come from; origin_count 0 = anybody
    uint32_t origin_count;
    uint32_t head_max; // bytes of the request's head
};

struct websocket {
    uint32_t magic;
    uint8_t state;   // enum websocket_state; read only
    bool fragmented; // a message has begun and not ended
    bool closed;     // we said close
    uint16_t reason; // the HTTP status or close code of the end
    uint8_t opcode;  // of the frame that is being read
    uint8_t control_len;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    struct slice in; // borrowed: not used up yet
    uint64_t left;   // bytes of this frame's payload that did not come yet
    uint32_t behind; // bytes that the frame parser holds: a head that is not complete
    struct wslay_frame_context *frames; // NULL between frames
    uint8_t *head;                      // an incomplete request
    uint32_t head_len, head_cap;
};

struct websocket *websocket_new(void);     // returns new
void websocket_free(struct websocket *ws); // takes; says nothing to the peer; NULL is fine

// Bytes that arrived; what came before is used up. Borrowed until websocket_read has returned
// false.
void websocket_input(struct websocket *ws, struct slice bytes);
// Goes on with the upgrade, or with frames. True: data is the next piece of MQTT's bytes, borrowed
// until the next call. False: all input is used up, or the state says why not. Answers are appended
// to out. Settings matter as long as the state is WEBSOCKET_UPGRADE.
bool websocket_read(struct websocket *ws, const struct websocket_settings *settings,
                    struct outq *out, struct outq_pool *pool, struct slice *ret_data);
// The head of a binary frame whose len bytes the caller appends behind it. State: OPEN.
void websocket_put_head(struct websocket *ws, struct outq *out, struct outq_pool *pool,
                        uint64_t len);
// Appends a close frame, once; before the upgrade is over an HTTP status. The state does not
// change.
void websocket_close(struct websocket *ws, struct outq *out, struct outq_pool *pool,
                     enum websocket_code code);

#endif
