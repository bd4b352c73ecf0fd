"""test_will.py - Will Messages: when they are published, how, and when never."""
import time

import mqtt
from mqtt import NEVER, disconnect, will_of
from runner import statement, test


def watched(t, **kw):
    """A subscriber of the Will's topic, and a client that has the Will."""
    s = t.client()
    s.sub(t.topic("will"), qos=2)
    will = will_of(t.topic("will"), b"gone", **kw.pop("will", {}))
    return s, t.client("w", will=will, **kw)


@statement("5:MQTT-3.1.2-7", "5:MQTT-3.1.2-8", "5:MQTT-3.1.2-10", "311:MQTT-3.1.2-8",
           "311:MQTT-3.1.2-10")
def will_is_published_once_when_the_network_fails(t):
    s, c = watched(t)
    c.drop()
    s.msg(b"gone", topic=t.topic("will"))
    t.client("w").drop()
    s.expect_nothing()


@test(versions=(3, 4, 5))
def will_is_published_when_the_client_closes_without_disconnect(t):
    s, c = watched(t)
    c.close()
    s.msg(b"gone")


@statement("5:MQTT-3.14.4-3", "311:MQTT-3.14.4-3", "311:MQTT-3.14.4-1")
def clean_disconnect_discards_the_will(t):
    s, c = watched(t)
    c.send(disconnect()).expect_closed(silent=True)
    assert c.goodbye is None
    s.expect_nothing()


@statement("311:MQTT-3.1.2-12")
def no_will_without_the_flag(t):
    s, c = watched(t)
    c.bye()
    t.client("w").drop()  # the Will of the earlier connection is not kept
    s.expect_nothing()


@test
def disconnect_with_a_failure_code_publishes_the_will(t):
    for code in (0x04, 0x80, 0x81, 0x83, 0x93, 0x99):
        s, c = watched(t)
        c.send(disconnect(code))
        s.msg(b"gone")
        s.close()


@test(versions=(4, 5))
def protocol_errors_publish_the_will(t):
    for bad in (b"\xc1\0", b"\x36\x07\0\1a\0\1\0x", mqtt.connect("x", t.version), b"\0\0", b"\x30\xff\xff\xff\xff\x01"):
        s, c = watched(t)
        c.send(bad)
        s.msg(b"gone")
        s.close()


@statement("5:MQTT-3.1.2-14", "5:MQTT-3.1.2-15", "311:MQTT-3.1.2-16", "311:MQTT-3.1.2-17")
def will_retain_is_kept_to(t):
    for retain in (False, True):
        s, c = watched(t, will={"retain": retain})
        c.drop()
        s.msg(b"gone", retain=False)
        late = t.client()
        late.sub(t.topic("will"))
        if retain:
            late.msg(b"gone", retain=True)
        else:
            late.expect_nothing()
    late.pub(t.topic("will"), b"", 1, retain=True)


@test(versions=(3, 4, 5))
def will_has_its_qos(t):
    for qos in (0, 1, 2):
        s, c = watched(t, will={"qos": qos})
        c.drop()
        s.msg(b"gone", qos=qos)
        s.close()


@test(versions=(4, 5))
def empty_will_payload_is_fine(t):
    s = t.client()
    s.sub(t.topic())
    t.client(will=will_of(t.topic(), b"")).drop()
    s.msg(b"")


@statement("5:MQTT-3.1.3-10")
def will_properties_are_forwarded(t):
    props = {"payload_format": 1, "content_type": "text", "response_topic": "r", "correlation_data": b"c",
             "user_property": [("z", "1"), ("a", "2"), ("z", "0")]}
    s, c = watched(t, will={"props": {**props, "message_expiry": 60, "will_delay": 0}})
    c.drop()
    got = s.msg(b"gone").props
    assert 30 <= got.pop("message_expiry") <= 60 and got == props


@statement("5:MQTT-3.1.3-9")
def reconnect_in_time_cancels_the_will(t):
    s, c = watched(t, will={"props": {"will_delay": 2}}, props={"session_expiry": 30})
    c.drop()
    time.sleep(0.3)
    t.durable("w")
    s.expect_nothing(2.8)


@test
def delayed_will_comes_after_the_delay(t):
    s, c = watched(t, will={"props": {"will_delay": 3}}, props={"session_expiry": 30})
    c.drop()
    s.expect_nothing(1)
    s.msg(b"gone", timeout=15)
    s.expect_nothing()


@test
def delayed_will_comes_when_the_session_ends_first(t):
    s, c = watched(t, will={"props": {"will_delay": 30}}, props={"session_expiry": 3})
    c.drop()
    s.expect_nothing(1)
    s.msg(b"gone", timeout=15)
    s, c = watched(t, will={"props": {"will_delay": 30}})  # the session ends with the connection
    c.drop()
    s.msg(b"gone", timeout=15)


@test
def clean_start_ends_the_session_and_sends_its_delayed_will(t):
    s, c = watched(t, will={"props": {"will_delay": 30}}, props={"session_expiry": NEVER})
    c.drop()
    time.sleep(0.2)
    t.client("w")
    s.msg(b"gone", timeout=15)


@test
def takeover_cancels_a_delayed_will(t):
    s, c = watched(t, will={"props": {"will_delay": 1}}, props={"session_expiry": 30})
    t.durable("w")
    c.expect_closed(0x8E)
    s.expect_nothing(1.6)


@test
def disconnect_sets_the_expiry_that_bounds_the_delay(t):
    s, c = watched(t, will={"props": {"will_delay": 30}}, props={"session_expiry": 30})
    c.send(disconnect(4, {"session_expiry": 0}))
    s.msg(b"gone", timeout=15)


@test(versions=(4, 5))
def silent_client_is_dropped_and_its_will_published(t):
    s, c = watched(t, keep_alive=2)
    s.expect_nothing(1)
    s.msg(b"gone")
    c.expect_closed(0x8D)


@test
def will_reaches_offline_sessions(t):
    away = t.durable("away")
    away.sub(t.topic("will"), qos=1)
    away.bye()
    _, c = watched(t, will={"qos": 1})
    c.drop()
    time.sleep(0.3)
    t.durable("away").msg(b"gone", qos=1)


@test(versions=(4, 5))
def will_to_sys_is_not_published(t):
    s = t.client()
    s.sub("$SYS/broker/spoofed")
    c = t.hello(t.cid(), will=will_of("$SYS/broker/spoofed", b"x"))
    if c.recv().reason == 0:
        c.drop()
    s.expect_nothing()
    t.serves()
