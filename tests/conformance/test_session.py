"""test_session.py - how long sessions, their subscriptions and their queues live."""
import time

import mqtt
from mqtt import NEVER, PUBACK, PUBLISH, PUBREL, ack, publish, will_of
from runner import statement, test

BROKERS = {"short queue": "max_queued_messages 10\nmax_inflight_messages 3"}


def rejoin(t, cid, **kw):
    c = t.durable(cid, **kw)
    return c, c.connack.session_present


@statement("5:MQTT-3.1.2-23", "311:MQTT-3.1.2-5", "5:MQTT-4.5.0-1", "311:MQTT-4.5.0-1",
           "5:MQTT-4.1.0-1", "311:MQTT-4.1.0-1", "311:MQTT-4.1.0-2")
def offline_session_keeps_qos_1_and_2(t):
    c = t.durable("away")
    c.sub((t.topic("+"), 2))
    c.pub(t.topic("a"), b"0", 1)
    c.msg(b"0")
    c.bye()
    p = t.client()
    for i, qos in enumerate((1, 2, 0, 1, 2), 1):
        p.pub(t.topic(str(qos)), str(i), qos)
    c, present = rejoin(t, "away")
    assert present
    got = [c.msg() for _ in range(4)]
    assert [(m.payload, m.qos, m.dup) for m in got] == [
        (b"1", 1, False), (b"2", 2, False), (b"4", 1, False), (b"5", 2, False)]
    c.expect_nothing()


@statement("5:MQTT-4.1.0-2")
def session_ends_when_its_expiry_has_passed(t):
    kept, gone = t.durable("kept", expiry=30), t.durable("gone", expiry=1)
    kept.bye(), gone.bye()
    time.sleep(2.5)
    assert not rejoin(t, "gone")[1]
    assert rejoin(t, "kept")[1]


@test
def expiry_zero_ends_with_the_connection(t):
    c = t.durable("z", expiry=0)
    c.sub(t.topic(), qos=1)
    c.drop()
    for _ in range(50):
        c, present = rejoin(t, "z", expiry=0)
        if not present:
            break
        c.bye()
    assert not present
    c.pub(t.topic(), b"x", 1)
    c.expect_nothing()


@test
def expiry_absent_means_zero(t):
    t.client("a", clean=False).bye()
    assert not t.client("a", clean=False).connack.session_present


@test
def expiry_runs_from_the_close_not_from_connect(t):
    c = t.durable("long", expiry=3)
    time.sleep(4.2)
    c.ping()
    c.bye()
    assert rejoin(t, "long")[1]


@test
def expiry_can_be_changed_by_disconnect(t):
    t.durable("up", expiry=1).bye(0, {"session_expiry": 30})
    t.durable("down", expiry=NEVER).bye(0, {"session_expiry": 0})
    time.sleep(2.2)
    assert rejoin(t, "up")[1] and not rejoin(t, "down")[1]


@test
def expiry_raised_from_zero_is_a_protocol_error(t):
    c = t.client(props={"session_expiry": 0})
    c.send(mqtt.disconnect(0, {"session_expiry": 5})).expect_closed(0x82)


@test
def reconnect_sets_the_expiry_anew(t):
    t.durable("again", expiry=1).bye()
    t.durable("again", expiry=30).bye()
    time.sleep(2.2)
    assert rejoin(t, "again")[1]


@test
def resumed_session_keeps_its_subscription_options(t):
    c = t.durable("opts")
    c.sub((t.topic(), mqtt.option(1, rap=True)), sid=77)
    c.bye()
    t.client().pub(t.topic(), b"r", 1, retain=True)
    c, _ = rejoin(t, "opts")
    assert c.msg(b"r", retain=True).props["subscription_id"] == [77]
    t.client().pub(t.topic(), b"", 1, retain=True)


@test(versions=(3, 4))
def old_clients_without_clean_session_are_kept(t):
    c = t.client("old", clean=False)
    c.sub(t.topic(), qos=2)
    c.drop()
    t.client(version=5).pub(t.topic(), b"for you", 2, props={"content_type": "x"})
    t.client("old", clean=False).msg(b"for you", qos=2)


@test(versions=(4, 5))
def session_moves_between_versions(t):
    c = t.durable("v")
    c.sub(t.topic(), qos=1)
    c.bye()
    t.client().pub(t.topic(), b"x", 1, **({"props": {"user_property": ("k", "v")}} if t.v5 else {}))
    other = 9 - t.version
    c = t.durable("v", version=other)
    assert c.connack.session_present
    got = c.msg(b"x", qos=1)
    assert got.props.get("user_property") is None or other == 5


@test(broker="short queue")
def offline_queue_is_bounded(t):
    """The oldest ten stay: who publishes one that finds the queue full is told 0x97. Version 3 has no word for
    that: its publisher is slowed, and what it sends is taken up to twice the limit."""
    c = t.durable("q")
    c.sub(t.topic(), qos=1)
    c.bye()
    p = t.client()
    for i in range(30):
        p.send(publish(t.topic(), str(i).encode(), 1, i + 1, version=p.version))
    for i in range(30):
        p.expect(PUBACK, mid=i + 1, **({"reason": 0 if i < 10 else 0x97} if t.v5 else {}))
    c, _ = rejoin(t, "q")
    got = []
    try:
        while True:
            got.append(int(c.msg(timeout=1.5).payload))
    except AssertionError:
        pass
    assert got == list(range(10 if t.v5 else 20)), got


@test(versions=(4, 5), broker="short queue")
def no_more_in_flight_than_configured(t):
    c = t.client()
    c.sub(t.topic(), qos=1)
    p = t.client()
    for i in range(6):
        p.pub(t.topic(), str(i), 1)
    first = [c.msg(str(i), reply=False) for i in range(3)]
    c.expect_nothing()
    for i, m in enumerate(first, 3):
        c.answer(m)
        c.msg(str(i), reply=False)


@statement("5:MQTT-4.4.0-1", "5:MQTT-3.3.1-1", "311:MQTT-4.4.0-1", "311:MQTT-3.3.1-1",
           "311:MQTT-4.6.0-1", "5:MQTT-4.3.2-3", "5:MQTT-4.3.3-3", "5:MQTT-4.3.3-5",
           "5:MQTT-4.3.3-6", "311:MQTT-2.3.1-4", "311:MQTT-4.3.2-1", "311:MQTT-4.3.3-1",
           "5:MQTT-4.6.0-1")
def unacknowledged_packets_are_sent_again(t):
    """Same identifiers, DUP, same order; a released QoS 2 message comes back as PUBREL alone."""
    c = t.durable("re")
    c.sub(t.topic(), qos=2)
    p = t.client()
    for i, qos in enumerate((1, 2, 1, 2, 2)):
        p.pub(t.topic(), str(i), qos)
    sent = [c.msg(str(i), reply=False, dup=False) for i in range(5)]
    c.send(ack(mqtt.PUBREC, sent[1].mid))
    c.expect(PUBREL, mid=sent[1].mid)
    c.expect_nothing()  # while the connection lives nothing is repeated
    c.send(ack(mqtt.PUBACK, sent[0].mid))
    c.ping()
    c.drop()
    for _ in range(2):  # and again after a second loss
        c, _ = rejoin(t, "re")
        again = [c.recv() for _ in range(4)]
        assert [(a.type, a.mid) for a in again if a.type == PUBREL] == [(PUBREL, sent[1].mid)]
        assert [(a.mid, a.payload, a.qos, a.dup) for a in again if a.type == PUBLISH] == [
            (sent[i].mid, str(i).encode(), sent[i].qos, True) for i in (2, 3, 4)]
        c.expect_nothing()
        c.drop()
    c, _ = rejoin(t, "re")
    for _ in range(4):
        got = c.recv()
        if got.type == PUBREL:
            c.send(ack(mqtt.PUBCOMP, got.mid))
        else:
            c.answer(got)
    c.expect_nothing()


@test(versions=(4, 5))
def new_messages_follow_the_repeated_ones(t):
    c = t.durable("mix")
    c.sub(t.topic(), qos=1)
    p = t.client()
    for i in range(4):
        p.pub(t.topic(), str(i), 1)
    for i in range(4):
        c.msg(str(i), reply=False)
    c.drop()
    for i in range(4, 8):
        p.pub(t.topic(), str(i), 1)
    c, _ = rejoin(t, "mix")
    got = [(m.payload, m.dup) for m in c.msgs(8)]
    # The broker may have sent the next ones, too, before it knew that the connection was gone.
    repeated = [dup for _, dup in got].count(True)
    assert repeated >= 4 and got == [(str(i).encode(), i < repeated) for i in range(8)], got


@test
def repeated_messages_stay_within_receive_maximum(t):
    c = t.durable("rm")
    c.sub(t.topic(), qos=1)
    p = t.client()
    for i in range(5):
        p.pub(t.topic(), str(i), 1)
    c.msgs(5, reply=False)
    c.drop()
    c, _ = rejoin(t, "rm", props={"receive_maximum": 2})
    first = [c.msg(str(i), reply=False, dup=True) for i in range(2)]
    c.expect_nothing()
    for i, m in enumerate(first, 2):
        c.answer(m)
        c.msg(str(i), reply=False, dup=True)


@test(versions=(4, 5))
def queued_qos_2_half_received_is_not_delivered_twice(t):
    """The publisher's side: PUBREC was sent, the connection is lost, the PUBLISH comes again."""
    s = t.client()
    s.sub(t.topic(), qos=2)
    p = t.durable("pub")
    p.send(mqtt.publish(t.topic(), b"once", 2, 7, version=t.version))
    p.expect(mqtt.PUBREC, mid=7)
    p.drop()
    p, present = rejoin(t, "pub")
    assert present
    p.send(mqtt.publish(t.topic(), b"once", 2, 7, dup=True, version=t.version))
    p.expect(mqtt.PUBREC, mid=7)
    p.send(ack(PUBREL, 7))
    p.expect(mqtt.PUBCOMP, mid=7, reason=0)
    s.msg(b"once")
    s.expect_nothing()


@test
def takeover_by_clean_start_drops_the_queue(t):
    c = t.durable("cs")
    c.sub(t.topic(), qos=1)
    t.client().pub(t.topic(), b"x", 1)
    c.msg(b"x", reply=False)
    n = t.durable("cs", clean=True)
    assert not n.connack.session_present
    c.expect_closed(0x8E)
    n.expect_nothing()


@statement("311:MQTT-3.1.2-7")
def retained_messages_outlive_the_session(t):
    p = t.client(clean=True)
    p.pub(t.topic(), b"stay", 1, retain=True)
    p.bye()
    s = t.client()
    s.sub(t.topic())
    s.msg(b"stay", retain=True)
    s.pub(t.topic(), b"", 1, retain=True)


@test
def will_of_a_taken_over_connection_is_published(t):
    s = t.client()
    s.sub(t.topic())
    t.durable("w", will=will_of(t.topic(), b"gone"))
    t.durable("w")
    s.msg(b"gone")
