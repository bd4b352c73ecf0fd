"""test_qos.py - the QoS 1 and 2 state machines in both directions, and the order of things."""
import time

import mqtt
from mqtt import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, ack, publish
from runner import statement, test


def pair(t, qos=2, **kw):
    """A subscriber and a publisher of the test's topic."""
    s, p = t.client(**kw), t.client()
    s.sub(t.topic(), qos=qos)
    return s, p


@statement("5:MQTT-3.3.4-1", "311:MQTT-3.3.4-1", "5:MQTT-2.2.1-5", "311:MQTT-2.3.1-6",
           "5:MQTT-4.3.2-4", "5:MQTT-4.3.3-8", "5:MQTT-4.3.3-11", "5:MQTT-3.4.2-1",
           "5:MQTT-3.5.2-1", "5:MQTT-3.7.2-1", "311:MQTT-4.3.2-2", "311:MQTT-4.3.3-2",
           "311:MQTT-3.3.5-2")
def publish_is_answered_by_its_qos(t):
    c = t.client()
    for mid in (1, 65535, 256):
        c.send(publish(t.topic(), b"x", 0, version=t.version), publish(t.topic(), b"x", 1, mid, version=t.version))
        c.expect(PUBACK, mid=mid, reason={0, 0x10})
        c.send(publish(t.topic(), b"x", 2, mid, version=t.version))
        c.expect(PUBREC, mid=mid, reason={0, 0x10})
        c.send(ack(PUBREL, mid))
        c.expect(PUBCOMP, mid=mid, reason=0)
    c.expect_nothing()


@statement("5:MQTT-4.3.1-1", "311:MQTT-4.3.1-1", "5:MQTT-2.2.1-2", "311:MQTT-2.3.1-5",
           "5:MQTT-3.3.1-2", "311:MQTT-3.3.1-2")
def qos_0_goes_out_without_dup_or_identifier(t):
    """The payload comes first after topic and properties: an identifier would show in it."""
    s, p = pair(t, 0)
    p.send(publish(t.topic(), b"\0\1", 1, 9, dup=True, version=t.version))
    s.msg(b"\0\1", qos=0, dup=False)


@statement("5:MQTT-2.2.1-4", "5:MQTT-4.3.2-1", "5:MQTT-4.3.2-2", "5:MQTT-4.3.3-1",
           "5:MQTT-4.3.3-2", "5:MQTT-3.3.1-3", "311:MQTT-3.3.1-3")
def server_uses_free_identifiers_and_no_dup(t):
    s, p = pair(t)
    mids = set()
    for i in range(12):
        p.pub(t.topic(), str(i), 1 + i % 2, dup=True)
        m = s.msg(str(i), qos=1 + i % 2, dup=False, reply=False)
        assert m.mid not in mids
        mids.add(m.mid)


@statement("5:MQTT-4.3.3-4", "5:MQTT-3.6.2-1", "5:MQTT-2.1.3-1")
def pubrec_is_answered_with_pubrel(t):
    s, p = pair(t)
    p.pub(t.topic(), b"x", 2)
    m = s.msg(b"x", qos=2, reply=False)
    s.send(ack(PUBREC, m.mid))
    s.expect(PUBREL, mid=m.mid, reason=0)
    s.send(ack(PUBREC, m.mid))  # a second one gets the same answer, or none that harms
    s.send(ack(PUBCOMP, m.mid))
    p.pub(t.topic(), b"y", 2)
    assert s.recv_type(PUBLISH).payload == b"y"


@statement("5:MQTT-4.3.2-5", versions=(4, 5))
def qos_1_with_a_used_identifier_is_a_new_message(t):
    s, p = pair(t, 1)
    for payload, dup in ((b"1", False), (b"2", True), (b"2", True)):
        p.pub(t.topic(), payload, 1, mid=5, dup=dup)
        s.msg(payload)


@statement("5:MQTT-4.3.3-10", "5:MQTT-4.3.3-12")
def qos_2_is_delivered_once_until_released(t):
    s, p = pair(t, 2)
    for _ in range(3):
        for dup in (False, True, True, False):
            p.send(publish(t.topic(), b"x", 2, 5, dup=dup))
            p.expect(PUBREC, mid=5, reason={0, 0x10, 0x91})
        p.send(ack(PUBREL, 5))
        p.expect(PUBCOMP, mid=5, reason=0)
        s.msg(b"x", qos=2)
        s.expect_nothing(0.05)


@test(versions=(3, 4, 5))
def many_copies_of_a_qos_2_publish_arrive_once(t):
    s, p = pair(t, 2)
    for i in range(10):
        p.send(publish(t.topic(), b"x", 2, 5, dup=i > 0, version=t.version))
    for _ in range(10):
        p.expect(PUBREC, mid=5)
    p.send(ack(PUBREL, 5))
    p.expect(PUBCOMP, mid=5, reason=0)
    s.msg(b"x", qos=2)
    s.expect_nothing()


@statement("5:MQTT-4.3.3-9")
def refused_qos_2_identifier_is_free_again(t):
    """A publish to $SYS is refused with PUBREC 0x87; then the identifier names another message."""
    s, p = pair(t, 2)
    p.send(publish("$SYS/broker/x", b"x", 2, 5))
    p.expect(PUBREC, mid=5, reason=0x87)
    p.pub(t.topic(), b"good", 2, mid=5)
    s.msg(b"good")


@test(versions=(4, 5))
def pubrel_of_an_unknown_identifier(t):
    c = t.client()
    c.send(ack(PUBREL, 777))
    c.expect(PUBCOMP, mid=777, reason=0x92 if t.v5 else 0)
    c.ping()


@test
def pubrec_of_an_unknown_identifier(t):
    c = t.client()
    c.send(ack(PUBREC, 777))
    c.expect(PUBREL, mid=777, reason=0x92)
    c.send(ack(PUBCOMP, 777))
    c.ping()


@statement("5:MQTT-4.4.0-2")
def refused_delivery_is_not_repeated(t):
    c = t.durable("r")
    c.sub(t.topic(), qos=2)
    p = t.client()
    for qos in (1, 2):
        p.pub(t.topic(), b"no", qos)
        c.answer(c.msg(b"no", qos=qos, reply=False), 0x83)
    c.ping()
    c.drop()
    c = t.durable("r")
    c.expect_nothing()
    p.pub(t.topic(), b"next", 1)
    c.msg(b"next")


@statement("311:MQTT-4.6.0-2", "311:MQTT-4.6.0-3", "311:MQTT-4.6.0-4", "5:MQTT-4.6.0-2",
           "5:MQTT-4.6.0-3", "5:MQTT-4.6.0-4", versions=(4, 5))
def acknowledgements_keep_the_order(t):
    c = t.client()
    order = [9, 3, 7, 200, 1]
    c.send(*(publish(t.topic(), b"x", 1, m, version=t.version) for m in order))
    assert [c.expect(PUBACK).mid for _ in order] == order
    c.send(*(publish(t.topic(), b"x", 2, m, version=t.version) for m in order))
    assert [c.expect(PUBREC).mid for _ in order] == order
    s, p = pair(t, 2)
    for i in range(5):
        p.pub(t.topic(), str(i), 2)
    mids = [s.msg(str(i), reply=False).mid for i in range(5)]
    s.send(*(ack(PUBREC, m) for m in reversed(mids)))
    assert [s.expect(PUBREL).mid for _ in mids] == mids[::-1]


@statement("5:MQTT-4.6.0-5", "5:MQTT-4.6.0-6", "311:MQTT-4.6.0-5", "311:MQTT-4.6.0-6")
def messages_keep_the_order(t):
    """Per topic and QoS, for subscribers wherever they live in the broker."""
    subs = [t.client() for _ in range(6)]
    for s in subs:
        s.sub(t.topic("+"), qos=2)
    p = t.client()
    for qos in (0, 1, 2):
        n = 15
        p.send(*(publish(t.topic(str(qos)), str(i).encode(), qos, i + 1, version=t.version) for i in range(n)))
        for i in range(n if qos == 2 else 0):
            p.recv_type(PUBREC)
            p.send(ack(PUBREL, i + 1))
        for s in subs:
            assert [int(m.payload) for m in s.msgs(n, topic=t.topic(str(qos)))] == list(range(n))


@test(versions=(4, 5))
def qos_is_lowered_to_the_subscription(t):
    s, p = t.client(), t.client()
    for granted in (0, 1, 2):
        s.sub(t.topic(str(granted)), qos=granted)
        for sent in (0, 1, 2):
            p.pub(t.topic(str(granted)), b"x", sent)
            s.msg(b"x", qos=min(granted, sent))


@test(versions=(4, 5))
def acknowledgements_out_of_order_are_fine(t):
    s, p = pair(t, 1)
    for i in range(4):
        p.pub(t.topic(), str(i), 1)
    for m in reversed(s.msgs(4, reply=False)):
        s.answer(m)
    p.pub(t.topic(), b"x", 1)
    s.msg(b"x")


@statement("5:MQTT-4.3.3-13")
def qos_2_completes_although_the_message_expires(t):
    p = t.client()
    p.send(publish(t.topic(), b"x", 2, 4, props={"message_expiry": 1}))
    p.expect(PUBREC, mid=4)
    time.sleep(1.6)
    p.send(ack(PUBREL, 4))
    p.expect(PUBCOMP, mid=4, reason=0)


@statement("5:MQTT-4.3.3-7")
def expiry_does_not_touch_what_was_sent(t):
    c = t.durable("e")
    c.sub(t.topic(), qos=2)
    p = t.client()
    p.pub(t.topic(), b"1", 1, props={"message_expiry": 1})
    p.pub(t.topic(), b"2", 2, props={"message_expiry": 1})
    sent = c.msgs(2, reply=False)
    c.drop()
    time.sleep(1.6)
    c = t.durable("e")
    again = [c.msg(dup=True), c.msg(dup=True)]
    assert [m.mid for m in again] == [m.mid for m in sent]
    assert all(m.props["message_expiry"] <= 1 for m in again)
