// client_access.c - what a client waits to be told of its rights, and what it was told.
#include "core/client_access.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/client_control.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/session.h"
#include "core/shard.h"

struct client_access *
client_access_of(struct client *client)
{
    if (!client->access) {
        client->access = mem_zalloc(sizeof *client->access);
        list_init(&client->access->asked);
        client->access->ends_ms = UINT64_MAX;
    }
    return client->access;
}

void
client_access_free(struct client_access *access)
{
    if (!access)
        return;
    struct list *node;
    while ((node = list_pop(&access->asked)) != NULL) // whoever answers it has it still
        container_of(node, struct access_question, asked)->client = NULL;
    access_question_free(access->answer);
    for (uint32_t i = 0; i < access->decision_count; i++)
        mem_free(access->decisions[i].text);
    mem_free(access->decisions);
    access_wipe(&access->connect);
    access_wipe(&access->method);
    access_wipe(&access->exchange);
    mem_free(access->name);
    mem_free(access);
}

// ---- Asking -------------------------------------------------------------------------------------

static void
suspend(struct client *client)
{
    client->suspended = client->read_paused = true;
    client_mark_dirty(client);
}

static err_t
ask(struct client *client, struct access_question *question)
{
    struct shard *shard = client->shard;
    question->shard = shard->index;
    question->client = client;
    question->listener_index = client->listener_index;
    question->version = client->version;
    question->asked_ms = shard->now_ms;
    struct client_access *access = client_access_of(client);
    list_push(&access->asked, &question->asked);
    uint64_t bytes = question->bytes; // it is the desk's afterwards
    err_t err = access_ask(shard->broker->desk, question);
    if (err == OK) {
        stat_add(&shard->stats.access_asked, 1);
        shard->in_bytes += bytes;
        suspend(client);
        return ERR_WAIT;
    }
    stat_add(&shard->stats.access_refused_busy, 1);
    list_remove(&question->asked);
    access_question_free(question);
    return err;
}

err_t
client_ask(struct client *client, enum access_kind kind, const struct access_texts *texts)
{
    must(kind != ACCESS_PUBLISH && kind != ACCESS_SUBSCRIBE);
    struct access_question *question = access_question_new(texts);
    question->kind = kind;
    return ask(client, question);
}

struct access_question *
client_take_answer(struct client *client, enum access_kind kind)
{
    struct access_question *answer = client->access ? client->access->answer : NULL;
    if (!answer || answer->kind != kind)
        return NULL;
    client->access->answer = NULL;
    return answer;
}

// ---- The authority outside, about topics --------------------------------------------------------

static struct client_decision *
find_decision(struct client_access *access, const struct client_decision *wanted)
{
    for (uint32_t i = access->decision_count; i-- > 0;) {
        struct client_decision *decision = &access->decisions[i];
        if (decision->kind == wanted->kind && decision->qos == wanted->qos &&
            decision->retain == wanted->retain &&
            slice_equal(slice_of(decision->text, decision->len),
                        slice_of(wanted->text, wanted->len)))
            return decision;
    }
    return NULL;
}

err_t
client_decided(struct client *client, enum access_kind kind, struct slice topic, uint8_t qos,
               bool retain)
{
    must(kind == ACCESS_PUBLISH || kind == ACCESS_SUBSCRIBE);
    const struct client_decision wanted = {.text = unconst(topic.data),
                                           .len = topic.len,
                                           .kind = (uint8_t)kind,
                                           .qos = qos,
                                           .retain = retain};
    const struct client_decision *decision = find_decision(client_access_of(client), &wanted);
    // What was asked for this packet holds however short its time is.
    if (decision && (decision->until_ms > client->shard->now_ms || client->replayed))
        return decision->allowed ? OK : ERR_NOT_AUTHORIZED;
    return ERR_QUOTA_EXCEEDED;
}

err_t
client_decide(struct client *client, enum access_kind kind, struct slice topic, uint8_t qos,
              bool retain)
{
    err_t err = client_decided(client, kind, topic, qos, retain);
    if (err != ERR_QUOTA_EXCEEDED)
        return err;
    const struct session *session = client->session;
    struct access_question *question = access_question_new(&(struct access_texts){
        .client_id = session_id(session),
        .user = session->user ? slice_str(session->user) : slice_of(NULL, 0),
        .peer = slice_str(client->peer),
        .name = client->name ? slice_str(client->name) : slice_of(NULL, 0),
        .topic = topic,
    });
    question->kind = kind;
    question->qos = qos;
    question->retain = retain;
    return ask(client, question);
}

static void
remember(struct client_access *access, const struct access_question *question, uint64_t now_ms)
{
    struct slice topic = question->texts.topic;
    struct client_decision fresh = {.text = unconst(topic.data),
                                    .len = topic.len,
                                    .kind = (uint8_t)question->kind,
                                    .qos = question->qos,
                                    .retain = question->retain};
    struct client_decision *decision = find_decision(access, &fresh);
    if (!decision) {
        uint32_t at = access->decision_count++;
        access->decisions =
            mem_grow(access->decisions, &access->decision_cap, at + 1, sizeof *access->decisions);
        decision = &access->decisions[at];
        *decision = fresh;
        decision->text = mem_alloc(max_u32(topic.len, 1));
        memcpy(decision->text, topic.data, topic.len);
    }
    decision->allowed = question->answer.err == OK;
    decision->until_ms = now_ms + question->answer.valid_ms;
}

void
client_access_outdate(struct client_access *access)
{
    for (uint32_t i = 0; access && i < access->decision_count; i++)
        access->decisions[i].until_ms = 0;
}

// The packet that they were made for is done.
static void
forget_old(struct client_access *access)
{
    if (access->decision_count <= CLIENT_DECISIONS)
        return;
    uint32_t drop = access->decision_count - CLIENT_DECISIONS;
    for (uint32_t i = 0; i < drop; i++)
        mem_free(access->decisions[i].text);
    memmove(access->decisions, access->decisions + drop,
            CLIENT_DECISIONS * sizeof *access->decisions);
    access->decision_count = CLIENT_DECISIONS;
}

// ---- Answers ------------------------------------------------------------------------------------

static void
on_answer(struct client *client, struct access_question *question)
{
    struct shard *shard = client->shard;
    struct client_access *access = client->access;
    list_remove(&question->asked);
    if (question->kind == ACCESS_PUBLISH || question->kind == ACCESS_SUBSCRIBE) {
        remember(access, question, shard->now_ms);
        access_question_free(question);
    } else {
        access_question_free(access->answer);
        access->answer = question;
    }
    must(client->suspended);
    if (!list_empty(&access->asked))
        return;
    client->suspended = false;
    if (client->state == CLIENT_CLOSING)
        return;
    client->replayed = true;
    client_replay(client);
    client->replayed = false;
    if (!client->suspended)
        forget_old(access);
}

void
client_answers(struct shard *shard)
{
    struct access_desk *desk = shard->broker->desk;
    struct access_question *question;
    while (desk && (question = access_next_answer(desk, shard->index)) != NULL) {
        must(shard->in_bytes >= question->bytes);
        shard->in_bytes -= question->bytes;
        client_control_keep(shard, &question->answer);
        if (question->client)
            on_answer(question->client, question);
        else
            access_question_free(question);
    }
}

// ---- Enhanced authentication [MQTT5 4.12] -------------------------------------------------------

static void
put_auth(struct client *client, uint8_t reason, struct slice data)
{
    client_put_auth(client, reason, client->access->method, data);
}

// What the answerer wants to see again with the client's next message.
static void
keep_exchange(struct client_access *access, struct access_answer *answer)
{
    access_wipe(&access->exchange);
    access->exchange = answer->exchange;
    answer->exchange = slice_of(NULL, 0);
}

static struct slice
copy(struct slice text)
{
    uint8_t *bytes = mem_alloc(max_u32(text.len, 1));
    if (text.len > 0)
        memcpy(bytes, text.data, text.len);
    return slice_of(bytes, text.len);
}

void
client_auth_continue(struct client *client, const struct frame *connect,
                     struct access_question *answer)
{
    struct client_access *access = client->access;
    must(client->state == CLIENT_AWAIT_CONNECT && answer->answer.more);
    if (!access->connect.data) {
        // From the start of the packet, which stands right before its body.
        uint32_t head = connect->total - connect->body.len;
        access->connect = copy(slice_of(connect->body.data - head, connect->total));
        access->method = copy(answer->texts.auth_method);
    }
    keep_exchange(access, &answer->answer);
    put_auth(client, REASON_CONTINUE_AUTHENTICATION, answer->answer.auth_data);
    access_question_free(answer);
}

static err_t
ask_about_message(struct client *client, const struct auth_view *view)
{
    struct client_access *access = client->access;
    const struct session *session = client->session;
    return client_ask(
        client, ACCESS_AUTH,
        &(struct access_texts){
            .client_id = session ? session_id(session) : slice_of(NULL, 0),
            .user = session && session->user ? slice_str(session->user) : slice_of(NULL, 0),
            .peer = slice_str(client->peer),
            .auth_method = view->method,
            .auth_data = view->data,
            .exchange = access->exchange,
        });
}

// The CONNECT packet is at last decided.
static err_t
finish_connect(struct client *client, struct access_question *answer)
{
    struct client_access *access = client->access;
    struct slice packet = access->connect;
    access->connect = slice_of(NULL, 0);
    access_wipe(&access->exchange);
    answer->kind = ACCESS_CONNECT;
    must(!access->answer);
    access->answer = answer;
    struct frame frame;
    err_t err = codec_frame(packet, packet.len, &frame);
    must(err == OK);
    err = client_on_connect(client, &frame);
    access_wipe(&packet);
    return err;
}

err_t
client_on_early_packet(struct client *client, const struct frame *frame)
{
    struct client_access *access = client->access;
    err_t err = client_relay_check(client, frame);
    if (err)
        return err;
    if (!access || !access->connect.data)
        return client_on_connect(client, frame);
    if (frame->type != MQTT_AUTH) // [MQTT-3.1.2-30]; DISCONNECT is the other one
        return frame->type == MQTT_DISCONNECT ? ERR_NOT_AUTHORIZED : ERR_PROTOCOL;
    struct auth_view view;
    err = codec_auth(frame, &view);
    if (err)
        return err;
    if (view.reason != REASON_CONTINUE_AUTHENTICATION || !slice_equal(view.method, access->method))
        return ERR_PROTOCOL; // [MQTT-4.12.0-3] [MQTT-4.12.0-5]
    struct access_question *answer = client_take_answer(client, ACCESS_AUTH);
    if (!answer)
        return ask_about_message(client, &view);
    if (answer->answer.err || !answer->answer.more)
        return finish_connect(client, answer);
    client_auth_continue(client, frame, answer);
    return OK;
}

void
client_access_granted(struct client *client, const struct access_answer *answer)
{
    struct client_access *access = client_access_of(client);
    const struct shard *shard = client->shard;
    access->mark = answer->mark;
    access->ends_ms = UINT64_MAX;
    if (answer->expires_s) {
        // Far enough ahead is never; what is over already is now.
        uint64_t wall_ms = shard->now_ms + broker_wall_offset(shard->broker);
        uint64_t at_ms = min_u64(answer->expires_s, UINT64_MAX / 2000) * 1000;
        access->ends_ms = shard->now_ms + (at_ms > wall_ms ? at_ms - wall_ms : 0);
    }
}

static err_t
authenticated_again(struct client *client, struct access_question *answer)
{
    const struct session *session = client->session;
    struct slice user = answer->answer.user;
    struct slice before = session->user ? slice_str(session->user) : slice_of(NULL, 0);
    err_t err = answer->answer.err;
    if (err == OK && user.data && !slice_equal(user, before))
        err = ERR_NOT_AUTHORIZED; // the session is the other one's
    if (err == OK) {
        access_wipe(&client->access->exchange);
        client_access_granted(client, &answer->answer);
        client_arm_timer(client);
        put_auth(client, REASON_SUCCESS, answer->answer.auth_data);
    }
    return err;
}

err_t
client_on_auth(struct client *client, const struct frame *frame)
{
    struct auth_view view;
    err_t err = client->version == MQTT_5 ? codec_auth(frame, &view) : ERR_MALFORMED;
    if (err)
        return err;
    struct client_access *access = client->access;
    // No method was agreed in CONNECT, so there is nothing to go on with [MQTT-4.12.0-7]; and it
    // stays that one [MQTT-4.12.1-1].
    if (!access || !access->method.data || !slice_equal(view.method, access->method))
        return ERR_PROTOCOL;
    bool begins = view.reason == REASON_RE_AUTHENTICATE;
    struct access_question *answer = client_take_answer(client, ACCESS_AUTH);
    if (!answer) {
        if (begins == (access->exchange.data != NULL))
            return ERR_PROTOCOL; // twice begun, or never
        return ask_about_message(client, &view);
    }
    if (answer->answer.err == OK && answer->answer.more) {
        keep_exchange(access, &answer->answer);
        put_auth(client, REASON_CONTINUE_AUTHENTICATION, answer->answer.auth_data);
    } else {
        err = authenticated_again(client, answer);
    }
    access_question_free(answer);
    return err;
}
