// test_msg.c - messages and publications: what is copied, and who holds a reference.
#include <criterion/criterion.h>

#include "core/msg.h"

static struct pub
sample(void)
{
    return (struct pub){
        .topic = slice_str("sensors/1"),
        .props = slice_str("\x01\x01"),
        .payload = slice_str("23.5"),
        .expires_ms = 1000,
        .publisher = 42,
        .arrived_ms = 900,
        .qos = 2,
        .retain = true,
    };
}

Test(msg, copies_what_the_publication_borrows)
{
    char topic[] = "t/1", payload[] = "body";
    struct pub pub = {.topic = slice_str(topic), .payload = slice_str(payload)};
    struct msg *msg = msg_new(&pub);
    topic[0] = payload[0] = 'x';
    cr_assert(slice_equal(msg_topic(msg), slice_str("t/1")));
    cr_assert(slice_equal(msg_payload(msg), slice_str("body")));
    cr_assert_eq(msg_props(msg).len, 0);
    cr_assert_eq(msg_size(msg), sizeof *msg + 7);
    msg_unref(msg);
}

Test(msg, keeps_every_field)
{
    struct pub pub = sample();
    struct msg *msg = msg_new(&pub);
    cr_assert_eq(msg->magic, MSG_MAGIC);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    cr_assert(slice_equal(msg_topic(msg), pub.topic));
    cr_assert(slice_equal(msg_props(msg), pub.props));
    cr_assert(slice_equal(msg_payload(msg), pub.payload));
    cr_assert_eq(msg->expires_ms, 1000);
    cr_assert_eq(msg->publisher, 42);
    cr_assert_eq(msg->arrived_ms, 900);
    cr_assert_eq(msg->qos, 2);
    cr_assert(msg->retain);
    msg_unref(msg);
}

Test(msg, may_be_all_empty)
{
    struct pub pub = {0};
    struct msg *msg = msg_new(&pub);
    cr_assert_eq(msg_size(msg), sizeof *msg);
    cr_assert_eq(msg_topic(msg).len + msg_props(msg).len + msg_payload(msg).len, 0);
    msg_unref(msg);
    msg_unref(NULL);
}

Test(msg, lives_until_the_last_reference_is_gone)
{
    struct pub pub = sample();
    struct msg *msg = msg_new(&pub);
    cr_assert_eq(msg_ref(msg), msg);
    (void)msg_ref(msg);
    cr_assert_eq(atomic_load(&msg->refs), 3);
    msg_unref(msg);
    msg_unref(msg);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    cr_assert(slice_equal(msg_payload(msg), slice_str("23.5")));
    msg_unref(msg);
}

Test(msg, a_publication_makes_its_message_once)
{
    struct pub pub = sample();
    cr_assert_null(pub.msg);
    struct msg *msg = pub_msg(&pub);
    cr_assert_eq(pub_msg(&pub), msg, "borrowed, not another one");
    cr_assert_eq(atomic_load(&msg->refs), 1, "the publication's own");
    (void)msg_ref(msg); // somebody keeps it
    pub_done(&pub);
    cr_assert_null(pub.msg);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    cr_assert(slice_equal(msg_topic(msg), slice_str("sensors/1")));
    msg_unref(msg);
}

Test(msg, a_publication_that_nobody_keeps_makes_none)
{
    struct pub pub = sample();
    pub_done(&pub);
    cr_assert_null(pub.msg);
    pub_done(&pub); // nothing to release twice
}

Test(msg, a_publication_from_a_message_holds_it)
{
    struct pub first = sample(), pub;
    struct msg *msg = msg_new(&first);
    pub_from_msg(&pub, msg);
    cr_assert_eq(atomic_load(&msg->refs), 2);
    cr_assert_eq(pub_msg(&pub), msg);
    msg_unref(msg); // the publication keeps it alive
    cr_assert_eq(pub.topic.data, msg->bytes, "borrowed, not copied");
    cr_assert(slice_equal(pub.topic, first.topic));
    cr_assert(slice_equal(pub.props, first.props));
    cr_assert(slice_equal(pub.payload, first.payload));
    cr_assert_eq(pub.expires_ms, first.expires_ms);
    cr_assert_eq(pub.publisher, first.publisher);
    cr_assert_eq(pub.arrived_ms, first.arrived_ms);
    cr_assert_eq(pub.qos, first.qos);
    cr_assert_eq(pub.retain, first.retain);
    pub_done(&pub);
}
