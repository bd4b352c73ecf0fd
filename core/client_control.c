// client_control.c - PUBLISH to $CONTROL: commands of administrators.
#include "core/client_control.h"

#include "core/acl.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_out.h"
#include "core/journal.h"
#include "core/session.h"
#include "core/shard.h"

bool
client_is_control(const struct client *client, struct slice topic)
{
    static const char root[] = "$CONTROL/";
    const struct access_rules *rules = client->shard->access;
    return rules && rules->control && topic.len >= sizeof root &&
           memcmp(topic.data, root, sizeof root - 1) == 0;
}

// What changes must be kept, and cannot.
static bool
disk_fails(const struct shard *shard)
{
    return journal_is_on(shard->journal) &&
           atomic_load_explicit(&shard->broker->keeper->failing, memory_order_relaxed);
}

static err_t
ask(struct client *client, const struct publish_view *view)
{
    const struct session *session = client->session;
    struct shard *shard = client->shard;
    if (!rights_allow(session->rights, ACL_PUBLISH, view->topic)) {
        stat_add(&client->counts->dropped_not_allowed, 1);
        return ERR_NOT_AUTHORIZED;
    }
    if (disk_fails(shard)) {
        stat_add(&client->counts->dropped_disk, 1);
        return ERR_QUOTA_EXCEEDED;
    }
    err_t err = client_ask(client, ACCESS_CONTROL,
                           &(struct access_texts){
                               .client_id = session_id(session),
                               .user = session->user ? slice_str(session->user) : slice_of(NULL, 0),
                               .peer = slice_str(client->peer),
                               .topic = view->topic,
                               .payload = view->payload,
                           });
    if (err != ERR_WAIT)
        return ERR_QUOTA_EXCEEDED;
    // Until the answer is there: what it changes may concern this very client.
    client->access->commands = true;
    return ERR_WAIT;
}

err_t
client_control(struct client *client, const struct publish_view *view, struct ack_wait *ret_wait)
{
    must(client->session != NULL && view->topic.len > 0);
    struct access_question *question = client_take_answer(client, ACCESS_CONTROL);
    if (!question)
        return ask(client, view);
    struct client_access *access = client->access;
    const struct access_answer *answer = &question->answer;
    err_t err = answer->err;
    access->commands = false;
    if (err == OK) {
        *ret_wait = (struct ack_wait){.position = answer->position};
        if (answer->mark && access->mark)
            access->mark = answer->mark; // it has come again, so to speak: it is the one that asks
        if (answer->reply.data)
            client_put_message_after(client, ret_wait, answer->reply_topic, answer->reply);
    }
    access_question_free(question);
    return err;
}

void
client_control_keep(struct shard *shard, struct access_answer *answer)
{
    struct slice rest = answer->settings;
    while (rest.len > 0) {
        struct record record;
        uint32_t len;
        err_t err = record_read(rest, &record, &len);
        must(err == OK && record.kind == JOURNAL_SETTING);
        must(record.order > 0 && len <= rest.len);
        answer->position =
            journal_setting(shard->journal, record.msg.topic, record.msg.payload, record.order);
        rest = slice_of(rest.data + len, rest.len - len);
    }
    access_wipe(&answer->settings);
}
