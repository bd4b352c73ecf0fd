"""test_errors.py - malformed packets and protocol errors: told, closed, and nobody else is touched."""
import mqtt
from mqtt import PUBACK, PUBLISH, PUBREC, PUBREL, lp, packet, publish, subscribe
from runner import statement, test


@statement("5:MQTT-2.1.3-1", "311:MQTT-2.2.2-1", "311:MQTT-2.2.2-2", versions=(4, 5))
def reserved_header_flags_close(t):
    mid, none = b"\0\1", b"" if t.version == 4 else b"\0"
    bodies = {mqtt.PUBACK: mid, mqtt.PUBREC: mid, mqtt.PUBCOMP: mid, mqtt.PINGREQ: b"", mqtt.DISCONNECT: b"",
              mqtt.PUBREL: mid, mqtt.SUBSCRIBE: mid + none + lp("a") + b"\0", mqtt.UNSUBSCRIBE: mid + none + lp("a")}
    for type_, body in bodies.items():
        right = 2 if type_ in (mqtt.PUBREL, mqtt.SUBSCRIBE, mqtt.UNSUBSCRIBE) else 0
        for flags in {0, 1, 2, 3, 8, 15} - {right}:
            t.client().send(packet(type_, flags, body)).expect_closed(0x81, 0x82)


def one_flag(t, type_, body):
    for flags in (0, 1, 3, 6, 10, 15):
        t.client().send(packet(type_, flags, body)).expect_closed(0x81, 0x82)


@statement("5:MQTT-3.6.1-1", "311:MQTT-3.6.1-1")
def pubrel_flags(t):
    one_flag(t, PUBREL, b"\0\1")


@statement("5:MQTT-3.8.1-1", "311:MQTT-3.8.1-1")
def subscribe_flags(t):
    one_flag(t, mqtt.SUBSCRIBE, subscribe(1, [("a", 0)], t.version)[2:])


@statement("5:MQTT-3.10.1-1", "311:MQTT-3.10.1-1")
def unsubscribe_flags(t):
    one_flag(t, mqtt.UNSUBSCRIBE, mqtt.unsubscribe(1, ["a"], t.version)[2:])


@statement("5:MQTT-3.14.1-1", "311:MQTT-3.14.1-1")
def disconnect_flags(t):
    """And so the Will is published: this was no clean end."""
    s = t.client()
    s.sub(t.topic())
    for flags in (1, 2, 8):
        c = t.client(will=mqtt.will_of(t.topic(), b"w"))
        c.send(packet(mqtt.DISCONNECT, flags)).expect_closed(0x81)
        s.msg(b"w")


@statement("5:MQTT-3.3.1-4", "311:MQTT-3.3.1-4")
def qos_3_closes(t):
    t.client().send(packet(PUBLISH, 6, lp("a") + b"\0\1\0x")).expect_closed(0x81, 0x82)


@test(versions=(4, 5))
def dup_with_qos_0_closes(t):
    t.client().send(publish(t.topic(), b"x", dup=True, version=t.version)).expect_closed(0x81, 0x82)


@statement("311:MQTT-2.3.1-1", "5:MQTT-2.2.1-3", versions=(4, 5))
def packet_identifier_zero_closes(t):
    v = t.version
    for data in (publish("a", b"x", 1, 0, version=v), publish("a", b"x", 2, 0, version=v), subscribe(0, [("a", 0)], v),
                 mqtt.unsubscribe(0, ["a"], v), mqtt.ack(PUBACK, 0), mqtt.ack(PUBREL, 0)):
        t.client().send(data).expect_closed(0x81, 0x82)


@statement("5:MQTT-1.5.5-1")
def lengths_must_be_minimal(t):
    for data in (b"\xc0\x80\x00", b"\x30\x84\x00\0\1a\0", b"\x30\x06\0\1a\x80\x00x",
                 b"\x30\xff\xff\xff\xff\x01", b"\x82\x0a\0\1\3\x0b\x81\x00\0\1a\0"):
        t.client().send(data).expect_closed(0x81, 0x82)


@statement("311:MQTT-4.8.0-2", versions=(4, 5))
def truncated_packets_close(t):
    """Fields that end beyond the packet, for each type that has any."""
    v = t.version
    whole = [publish("topic", b"", 1, 5, version=v), subscribe(1, [("filter", 1)], v), mqtt.unsubscribe(1, ["filter"], v),
             mqtt.ack(PUBACK, 1), mqtt.ack(PUBREC, 1), mqtt.ack(PUBREL, 1), mqtt.ack(mqtt.PUBCOMP, 1)]
    for data in whole:
        for cut in range(2, len(data)):
            if data[0] >> 4 == PUBLISH and cut == len(data):
                continue
            t.client().send(data[:1] + bytes([cut - 2]) + data[2:cut]).expect_closed(0x81, 0x82)


@test(versions=(4, 5))
def server_packets_from_a_client_close(t):
    for data in (packet(mqtt.CONNACK, 0, b"\0\0"), packet(mqtt.SUBACK, 0, b"\0\1\0"), packet(mqtt.UNSUBACK, 0, b"\0\1"),
                 packet(mqtt.PINGRESP), packet(0)):
        t.client().send(data).expect_closed(0x81, 0x82)


@statement("5:MQTT-3.14.4-1", "5:MQTT-3.14.4-2", "311:MQTT-3.14.4-2")
def nothing_follows_a_disconnect(t):
    """The server closes after a DISCONNECT of either side; what a client sends after its own is not served."""
    s = t.client()
    s.sub(t.topic())
    c = t.client()
    c.send(mqtt.disconnect(), publish(t.topic(), b"late", version=t.version), mqtt.PING)
    c.expect_closed(silent=True)
    assert c.goodbye is None
    s.expect_nothing()
    if t.v5:
        t.client().send(b"\xc1\0" + mqtt.PING).expect_closed(0x81, 0x82)


@test
def unknown_reason_codes_close(t):
    for data in (mqtt.ack(PUBACK, 1, 0x7F), mqtt.ack(PUBREC, 1, 0x01), mqtt.ack(PUBREL, 1, 0x80),
                 mqtt.disconnect(0x7F), mqtt.disconnect(0x8E + 0x50)):
        t.client().send(data).expect_closed(0x81, 0x82)


@test
def properties_of_other_packets_close(t):
    wrong = {"receive_maximum": 5}
    for data in (publish("a", b"", props=wrong), subscribe(1, [("a", 0)], 5, wrong), mqtt.unsubscribe(1, ["a"], 5, wrong),
                 mqtt.ack(PUBACK, 1, 0, wrong), mqtt.disconnect(0, wrong),
                 mqtt.connect("x", props={"topic_alias": 3})):
        c = t.client() if data[0] >> 4 != mqtt.CONNECT else t.raw()
        c.send(data).expect_closed(0x81, 0x82)


@test
def doubled_properties_close(t):
    twice = [("session_expiry", 1), ("session_expiry", 1)]
    t.raw().send(mqtt.connect("x", props=twice)).expect_closed(0x82, 0x81)
    for name, value in (("payload_format", 1), ("message_expiry", 5), ("content_type", "a"), ("response_topic", "a"),
                        ("correlation_data", b"a"), ("topic_alias", 1)):
        t.client().send(publish("a", b"", props=[(name, value)] * 2)).expect_closed(0x82, 0x81)


@test(versions=(4, 5))
def errors_touch_nobody_else(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=2)
    for i, bad in enumerate((b"\xc1\0", b"\0\0", publish("a/#", b"", version=t.version), b"\x30\xff\xff\xff\xff\x01")):
        t.client().send(publish(t.topic(), b"before", version=t.version) + bad).expect_closed()
        s.msg(b"before")
        p.pub(t.topic(), str(i), 2)
        s.msg(str(i))


@test(versions=(4, 5))
def payload_format_is_not_forced_on_old_clients(t):
    s, p = t.client(version=4), t.client(version=5)
    s.sub(t.topic(), qos=1)
    p.pub(t.topic(), b"\xff\xfe", 1, props={"content_type": "x", "user_property": ("a", "b")})
    s.msg(b"\xff\xfe")


@statement("5:MQTT-4.2-1", "311:MQTT-7.1.1-1")
def tcp_carries_large_packets(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=1)
    for n in (126, 127, 128, 16382, 16384, 2 ** 16, 1999000):
        payload = bytes(i * 7 & 255 for i in range(256)) * (n // 256 + 1)
        p.pub(t.topic(), payload[:n], 1)
        assert s.msg().payload == payload[:n], n
