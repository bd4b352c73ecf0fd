"""test_sequences.py - the cases that need more than one string of bytes, and time."""
import contextlib
import time

import mqtt
from case import case
from mqtt import (CONNACK, NEVER, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, ack, connect, publish,
                  subscribe, will_of)


BROKERS = {"small": "receive_maximum 10\nconnect_timeout 3"}


def settled(c, *kinds, timeout=30):
    """One of the packet types, or the close."""
    try:
        got = c.recv(timeout)
        assert got.type in kinds + (mqtt.DISCONNECT,), got
        return got
    except mqtt.Closed:
        return None


def pipelined(t, step):
    stream = connect(t.cid(), 4) + subscribe(1, [(t.topic(), 0)], 4) + publish(t.topic(), b"x", version=4)
    c = t.raw(4)
    for i in range(0, len(stream), step):
        c.send(stream[i:i + step])
    c.expect(CONNACK, reason=0)
    c.expect(SUBACK, mid=1)
    c.msg(b"x")


@case("B43")
def one_segment(t):
    pipelined(t, 1000)


@case("B44")
def one_byte_a_segment(t):
    pipelined(t, 1)


@case("B45")
def many_user_properties_in_connect(t):
    start = time.monotonic()
    c = t.hello("x", props={"user_property": [("a", "b")] * 20000})
    assert c.recv().reason in (0, 0x95, 0x97, 0x9B)
    assert time.monotonic() - start < 10


@case("C30")
def very_deep_topics(t):
    start = time.monotonic()
    deep = t.client(version=4)
    deep.send(publish("/" * 65535, b"x", 1, 1, retain=True, version=4))
    settled(deep, PUBACK)
    for filter_ in ("/" * 60000 + "#", "+/" * 30000 + "#"):
        c = t.client(version=4).send(subscribe(1, [(filter_, 0)], 4))
        settled(c, SUBACK)
        c.close()
    p = t.client()
    p.send(publish("/" * 65535, b"", 1, 2, retain=True))
    settled(p, PUBACK)
    assert time.monotonic() - start < 10


@case("C31", versions=(4, 5))
def publish_to_sys(t):
    watch = t.client()
    watch.sub("$SYS/broker/spoof", qos=1)
    p = t.client().send(publish("$SYS/broker/spoof", b"x", 1, 1, retain=True, version=t.version))
    try:
        got = p.recv(30 if t.v5 else 0.3)
        assert not t.v5 or got.reason == 0x87, got
    except (TimeoutError, mqtt.Closed):
        assert not t.v5
    watch.expect_nothing()
    late = t.client()
    late.sub("$SYS/broker/spoof")
    late.expect_nothing(0.1)


@case("C32")
def longest_topic(t):
    c = t.client().send(publish("a" * 65535, b"x", 1, 1))
    settled(c, PUBACK)


@case("C33")
def alias_above_the_maximum(t):
    c = t.client()
    above = c.connack.props.get("topic_alias_maximum", 0) + 1
    c.send(publish(t.topic(), b"x", props={"topic_alias": above})).expect_closed(0x94)


@case("D40")
def shared_and_plain_crosswise(t):
    c = t.client()
    c.sub(t.topic(), "$share/g/" + t.topic())
    c.unsub("$share/h/" + t.topic(), t.topic("x"), want=[0x11, 0x11])
    c.unsub(t.topic())
    c.pub(t.topic(), b"one copy")
    c.msg(b"one copy")
    c.expect_nothing()
    c.unsub(t.topic(), "$share/g/" + t.topic(), want=[0x11, 0])


@case("E01", versions=(4, 5))
def stray_puback(t):
    c = t.client().send(ack(PUBACK, 777))
    settled(c.send(mqtt.PING), mqtt.PINGRESP)


@case("E02", versions=(4, 5))
def stray_pubrec(t):
    c = t.client().send(ack(PUBREC, 777))
    got = settled(c, PUBREL)
    assert not t.v5 or got.type == PUBREL and got.reason == 0x92


@case("E03", versions=(4, 5))
def stray_pubrel(t):
    t.client().send(ack(PUBREL, 777)).expect(PUBCOMP, mid=777, reason=0x92 if t.v5 else 0)


@case("E04", versions=(4, 5))
def stray_pubcomp(t):
    c = t.client().send(ack(PUBCOMP, 777))
    settled(c.send(mqtt.PING), mqtt.PINGRESP)


def wrong_answer(t, qos, type_):
    """A delivery is answered with the packet of another QoS: it stays in flight."""
    s = t.durable("s")
    s.sub(t.topic(), qos=2)
    t.client().pub(t.topic(), b"x", qos)
    sent = s.msg(b"x", qos=qos, reply=False)
    s.send(ack(type_, sent.mid), mqtt.PING)
    s.stash.clear()
    try:
        while s.recv(1).type != mqtt.PINGRESP:
            pass
    except (mqtt.Closed, TimeoutError):
        pass
    s.drop()
    again = t.durable("s")
    assert again.msg(b"x", dup=True, reply=False).mid == sent.mid


@case("E05", versions=(4, 5))
def puback_for_qos_2(t):
    wrong_answer(t, 2, PUBACK)


@case("E06", versions=(4, 5))
def pubrec_for_qos_1(t):
    wrong_answer(t, 1, PUBREC)


@case("E07", versions=(4, 5))
def pubcomp_before_pubrec(t):
    wrong_answer(t, 2, PUBCOMP)


@case("E08", versions=(4, 5), broker="small")
def ten_copies_of_a_qos_2_publish(t):
    """The small broker allows ten in flight: copies take nothing from that."""
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=2)
    for mid in range(1, 10):
        p.send(publish(t.topic("other"), b"", 2, mid, version=t.version)).expect(PUBREC, mid=mid)
    for i in range(10):
        p.send(publish(t.topic(), b"x", 2, 55, dup=i > 0, version=t.version)).expect(PUBREC, mid=55)
    p.send(ack(PUBREL, 55)).expect(PUBCOMP, mid=55, reason=0)
    s.msg(b"x")
    s.expect_nothing()


@case("E10", broker="small")
def above_the_servers_receive_maximum(t):
    c = t.client()
    for mid in range(1, c.connack.props["receive_maximum"] + 2):
        c.send(publish(t.topic(), b"x", 2, mid))
    c.expect_closed(0x93)


@case("F01")
def second_connection_with_one_id(t):
    one = t.durable("f", expiry=60)
    two = t.durable("f", expiry=60)
    one.expect_closed(0x8E)
    assert two.connack.session_present


@case("F02", versions=(4, 5))
def take_overs_in_a_row(t):
    will, v = will_of(t.topic("will"), b"w"), t.version
    clients = []
    for i in range(300):
        props = {"session_expiry": 5} if t.v5 else None
        c = t.raw().hello(t.cid(), v, clean=bool(i & 1), will=will, props=props)
        c.send(subscribe(1, [(t.topic(), 1)], v), publish(t.topic(), b"x", 1, 2, version=v))
        clients.append(c)
        if len(clients) > 20:
            clients.pop(0).close()
    # They race each other to the broker, so any of them may have won; one that comes later wins for sure.
    time.sleep(0.5)
    end = time.monotonic() + 30
    while True:  # what is still on its way through the other worker may take the session over once more
        with contextlib.suppress(mqtt.Closed, OSError):
            last = t.raw().hello(t.cid(), v, will=will)
            last.recv_type(CONNACK)
            for c in clients:
                c.expect_closed(silent=True)
            last.stash.clear()
            last.ping()
            return
        assert time.monotonic() < end
        clients.clear()


@case("F03")
def will_delay_longer_than_the_session(t):
    s = t.client()
    s.sub(t.topic())
    will = will_of(t.topic(), b"w", props={"will_delay": 30})
    t.client("w", clean=False, will=will, props={"session_expiry": 2}).drop()
    time.sleep(0.3)
    again = t.client("w", clean=False, will=will, props={"session_expiry": 2})
    s.expect_nothing(2.8)
    again.drop()
    begin = time.monotonic()
    s.msg(b"w")
    assert time.monotonic() - begin < 10, "with the session, and not as late as its delay says"
    t.client("w", props={"session_expiry": 0}).bye()
    s.expect_nothing(0.3)


@case("K05", broker="small")
def silent_connections(t):
    silent = [t.raw() for _ in range(500)]
    t.serves()
    for c in silent:
        c.expect_closed(silent=True)


@case("K06", broker="small")
def connect_at_one_byte_a_second(t):
    c, data, start = t.raw(4), connect(t.cid("x" * 20), 4), time.monotonic()
    for i in range(len(data) - 1):
        c.send(data[i:i + 1])
        time.sleep(1)
        if c.reset:
            break
    assert c.reset and time.monotonic() - start < 12
    c.expect_closed(silent=True)


@case("K07", versions=(4, 5))
def publish_at_two_bytes_a_second(t):
    c, data = t.client(keep_alive=2), publish(t.topic(), b"x" * 50, version=t.version)
    start = time.monotonic()
    for i in range(0, 50, 2):
        c.send(data[i:i + 2])
        time.sleep(1)
        if c.reset:
            break
    assert c.reset and 2.5 < time.monotonic() - start < 15
    c.expect_closed(silent=True)


@case("K08", versions=(4, 5))
def longest_and_no_keep_alive(t):
    for keep_alive in (65535, 0):
        c = t.client(keep_alive=keep_alive)
        c.ping()
        assert c.connack.props.get("server_keep_alive", keep_alive) <= 65535


@case("A15")
def announced_but_never_sent(t):
    before = t.broker.rss()
    for _ in range(20):
        t.raw().send(bytes.fromhex("10ffffff7f00044d515454"))
    time.sleep(0.3)
    assert t.broker.sanitized() or t.broker.rss() - before < 32 << 20
