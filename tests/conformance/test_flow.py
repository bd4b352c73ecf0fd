"""test_flow.py - receive maximum, maximum packet size, problem information, keep alive."""
import time

import mqtt
from mqtt import (PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, ack, publish)
from runner import statement, test

BROKERS = {"receive 5": "receive_maximum 5\nmax_packet_size 2000\nconnect_timeout 2"}


# ---- Receive maximum ---------------------------------------------------------------------------------

@statement("5:MQTT-3.3.4-9", "5:MQTT-4.9.0-1", "5:MQTT-4.9.0-2")
def server_keeps_to_receive_maximum(t):
    s, p = t.client(props={"receive_maximum": 3}), t.client()
    s.sub(t.topic(), qos=2)
    for i in range(8):
        p.pub(t.topic(), str(i), 1 + i % 2)
    window = s.msgs(3, reply=False)
    s.expect_nothing()
    s.send(ack(PUBREC, window[1].mid)).expect(PUBREL, mid=window[1].mid)
    s.expect_nothing()  # PUBREC frees nothing
    s.send(ack(PUBCOMP, window[1].mid))
    four = s.msg(b"3", reply=False)
    s.send(ack(PUBACK, window[0].mid))
    s.msg(b"4", reply=False)
    s.send(ack(PUBREC, four.mid, 0x80))  # a refusal does
    s.msg(b"5", reply=False)
    s.expect_nothing()


@statement("5:MQTT-3.3.4-10", "5:MQTT-4.9.0-3")
def other_packets_do_not_wait_for_the_window(t):
    s, p = t.client(props={"receive_maximum": 1}), t.client()
    s.sub(t.topic("a"), qos=1)
    for i in range(3):
        p.pub(t.topic("a"), str(i), 1)
    s.msg(b"0", reply=False)
    s.ping()
    s.sub(t.topic("b"))
    p.pub(t.topic("b"), b"qos 0 does not count")
    s.msg(b"qos 0 does not count")
    s.pub(t.topic("c"), b"x", 2)
    s.unsub(t.topic("b"))


@statement("5:MQTT-3.3.4-7", broker="receive 5")
def server_tells_and_enforces_its_receive_maximum(t):
    c = t.client()
    assert c.connack.props["receive_maximum"] == 5
    for mid in range(1, 6):
        c.send(publish(t.topic(), b"x", 2, mid)).expect(PUBREC, mid=mid)
    c.send(publish(t.topic(), b"x", 2, 6)).expect_closed(0x93)


@statement("5:MQTT-3.3.4-8", broker="receive 5")
def full_window_hinders_nothing_else(t):
    c = t.client()
    for _ in range(2):
        for mid in range(1, 6):
            c.send(publish(t.topic(), b"x", 2, mid)).expect(PUBREC, mid=mid)
        for mid in range(1, 6):  # copies take nothing from the quota
            c.send(publish(t.topic(), b"x", 2, mid, dup=True)).expect(PUBREC, mid=mid)
        c.ping()
        c.pub(t.topic(), b"qos 0")
        c.sub(t.topic("x"))
        for mid in range(1, 6):
            c.send(ack(PUBREL, mid)).expect(PUBCOMP, mid=mid, reason=0)


@test(broker="receive 5")
def acknowledged_messages_free_the_window(t):
    c = t.client()
    for i in range(40):
        c.pub(t.topic(), b"x", 1 + i % 2)


@test(broker="receive 5")
def refused_publishes_do_not_use_up_the_window(t):
    c = t.client()
    for mid in range(1, 20):
        c.send(publish("$SYS/x", b"x", 2, mid)).expect(PUBREC, mid=mid, reason=0x87)
    c.pub(t.topic(), b"x", 2)


# ---- Packet sizes ------------------------------------------------------------------------------------

@statement("5:MQTT-3.1.2-24", "5:MQTT-3.1.2-25")
def too_large_for_the_client_is_dropped_as_if_sent(t):
    s = t.client(props={"maximum_packet_size": 60, "receive_maximum": 2})
    s.sub(t.topic(), qos=2)
    p, other = t.client(), t.client()
    other.sub(t.topic())
    for i in range(5):
        p.pub(t.topic(), b"L" * 100, 1 + i % 2)
        p.pub(t.topic(), str(i), 1 + i % 2)
    for i in range(5):
        s.msg(str(i))
    s.expect_nothing()
    assert len([m for m in other.msgs(10) if len(m.payload) == 100]) == 5


@test
def exactly_the_maximum_fits(t):
    s, p = t.client(props={"maximum_packet_size": 200}), t.client()
    s.sub(t.topic())
    fits = 200 - 3 - 2 - len(t.topic()) - 1
    for n in (fits + 1, fits):
        p.pub(t.topic(), b"x" * n)
    assert len(s.msg().raw) == 200
    s.expect_nothing()


@test
def large_message_in_an_offline_queue_is_skipped(t):
    s = t.durable("big")
    s.sub(t.topic(), qos=1)
    s.bye()
    p = t.client()
    for payload in (b"a", b"L" * 500, b"b"):
        p.pub(t.topic(), payload, 1)
    s = t.durable("big", props={"maximum_packet_size": 100})
    s.msg(b"a"), s.msg(b"b")
    s.expect_nothing()


@statement("5:MQTT-3.2.2-15", versions=(4, 5), broker="receive 5")
def packet_above_the_servers_maximum_closes(t):
    c = t.client()
    if t.v5:
        assert c.connack.props["maximum_packet_size"] == 2000
    fits = 2000 - 3 - 2 - len(t.topic()) - (1 if t.v5 else 0)
    c.send(publish(t.topic(), b"x" * fits, version=t.version)).ping()
    c.send(publish(t.topic(), b"x" * (fits + 1), version=t.version)).expect_closed(0x95)


@statement("5:MQTT-3.2.2-19", "5:MQTT-3.2.2-20", "5:MQTT-3.4.2-2", "5:MQTT-3.4.2-3",
           "5:MQTT-3.5.2-2", "5:MQTT-3.5.2-3", "5:MQTT-3.6.2-2", "5:MQTT-3.6.2-3", "5:MQTT-3.7.2-2",
           "5:MQTT-3.7.2-3", "5:MQTT-3.9.2-1", "5:MQTT-3.9.2-2", "5:MQTT-3.11.2-1",
           "5:MQTT-3.11.2-2", "5:MQTT-3.14.2-3", "5:MQTT-3.14.2-4", "5:MQTT-3.14.2-1",
           "5:MQTT-3.14.2-2")
def answers_stay_below_the_clients_maximum(t):
    """The Client class fails on a packet above the maximum that it announced: every kind of answer,
    with errors that a server likes to explain at length."""
    small = {"maximum_packet_size": 40}
    c = t.client(props=small)
    c.send(publish("$SYS/x", b"", 1, 1)).expect(PUBACK, mid=1)
    c.send(publish("$SYS/x", b"", 2, 2)).expect(PUBREC, mid=2)
    c.send(ack(PUBREC, 99)).expect(PUBREL, mid=99)
    c.send(ack(PUBREL, 99)).expect(PUBCOMP, mid=99)
    c.send(mqtt.subscribe(3, [("$share/g", 0)])).expect(SUBACK, mid=3)
    c.send(mqtt.unsubscribe(4, [t.topic()])).expect(UNSUBACK, mid=4)
    c.send(b"\xc1\0").expect_closed()
    bad = t.hello("x", props={**small, "auth_method": "no-such-method-here"})
    bad.expect_closed(0x8C)


@statement("5:MQTT-3.1.2-29")
def problem_information_can_be_declined(t):
    """The Client class fails on a reason string or user property where it was declined."""
    c = t.client(props={"request_problem_info": 0})
    c.send(publish("$SYS/x", b"", 1, 1)).expect(PUBACK, mid=1)
    c.send(publish("$SYS/x", b"", 2, 2)).expect(PUBREC, mid=2)
    c.send(ack(PUBREL, 99)).expect(PUBCOMP, mid=99)
    c.send(mqtt.subscribe(3, [("$share/g", 0), (t.topic(), 0)])).expect(SUBACK, mid=3)
    c.send(mqtt.unsubscribe(4, ["none"])).expect(UNSUBACK, mid=4)
    t.client().pub(t.topic(), b"x", props={"user_property": ("k", "v")})
    assert c.msg(b"x").props["user_property"] == [("k", "v")]


# ---- Keep alive ----------------------------------------------------------------------------------------

@statement("5:MQTT-3.12.4-1", "311:MQTT-3.12.4-1")
def pingreq_is_answered(t):
    c = t.client()
    c.send(mqtt.PING * 5)
    for _ in range(5):
        c.expect(PINGRESP)
    c.expect_nothing(0.05)


@statement("5:MQTT-3.1.2-22", "311:MQTT-3.1.2-24")
def silence_ends_the_connection(t):
    took = []
    while not took or took[-1] > 2.8:
        assert len(took) < 3, took  # other tests have the CPUs as well: three times would not be chance
        start = time.monotonic()
        t.client(keep_alive=1).expect_closed(0x8D)
        took.append(time.monotonic() - start)
        assert took[-1] >= 1.3, took


@test(versions=(3, 4, 5))
def any_packet_keeps_the_connection(t):
    c = t.client(keep_alive=2)
    for i in range(4):
        time.sleep(1.4)
        c.send((mqtt.PING, publish(t.topic(), b"x", version=t.version))[i % 2])
    c.ping()


@test
def keep_alive_zero_means_none(t):
    c = t.client(keep_alive=0)
    c.expect_nothing(3)
    c.ping()


@test(versions=(4, 5))
def dripping_half_a_packet_does_not_keep_the_connection(t):
    c = t.client(keep_alive=1)
    data = publish(t.topic(), b"x" * 100, version=t.version)
    for i in range(60):
        c.send(data[i:i + 1])
        time.sleep(0.25)
        if c.reset:
            break
    assert c.reset, "a byte now and then keeps it"
    c.expect_closed(0x8D, silent=True)


@test(versions=(4, 5))
def messages_to_a_client_do_not_keep_it(t):
    c, p = t.client(keep_alive=1), t.client()
    c.sub(t.topic())
    for i in range(16):
        p.pub(t.topic(), str(i))
        time.sleep(0.3)
    c.expect_closed(0x8D, timeout=1)


@test(versions=(4,), broker="receive 5")
def connect_must_come_in_time(t):
    silent, drip = t.raw(), t.raw()
    data = mqtt.connect("x" * 60, 4)
    for i in range(60):
        drip.send(data[i:i + 1])
        time.sleep(0.25)
        if drip.reset:
            break
    assert drip.reset, "a byte now and then keeps it"
    silent.expect_closed(silent=True, timeout=1)  # long ago
    drip.expect_closed(silent=True)
