"""test_connect.py - CONNECT and CONNACK: what is refused and how, identifiers, sessions, keep alive."""
import string

import mqtt
from mqtt import (AUTH, CONNACK, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
                  PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, V5, V311, connect, lp, packet,
                  publish, will_of)
from runner import statement, test

BROKERS = {
    "no-empty-id": "allow_zero_length_clientid false",
    "locked": "allow_anonymous false",
    "keep-alive": "max_keepalive 2",
    "qos1": "max_qos 1",
    "no-retain": "retain_available false",
}


def refused(t, data, *reasons, code=None):
    """A first packet that is refused. MQTT 5: CONNACK with one of reasons. Before: CONNACK with code, or
    nothing when code is None. Then the close."""
    c = t.raw().send(data)
    if t.v5 or code is None:
        got = c.expect_closed(*reasons)
        assert t.v5 or got is None, f"3.1.1 is closed without CONNACK, got {got}"
    else:
        c.expect(CONNACK, reason=code, session_present=False)
        c.expect_closed()


@statement("5:MQTT-3.1.0-1", "311:MQTT-3.1.0-1", "5:MQTT-3.14.0-1", "311:MQTT-4.8.0-1")
def first_packet_must_be_connect(t):
    mid = b"\0\1"
    for data in (packet(PUBLISH, 0, lp("a") + b"x"), packet(SUBSCRIBE, 2, mid + lp("a") + b"\0"),
                 packet(UNSUBSCRIBE, 2, mid + lp("a")), packet(PINGREQ), packet(DISCONNECT),
                 packet(AUTH), packet(CONNACK, 0, b"\0\0"), packet(PUBACK, 0, mid),
                 packet(PUBREC, 0, mid), packet(PUBREL, 2, mid), packet(PUBCOMP, 0, mid),
                 packet(SUBACK, 0, mid + b"\0"), packet(UNSUBACK, 0, mid), packet(PINGRESP)):
        t.raw().send(data).expect_closed(silent=True)


@statement("5:MQTT-3.1.0-2", "311:MQTT-3.1.0-2", "5:MQTT-3.2.0-2", "5:MQTT-4.13.1-1",
           "5:MQTT-4.13.2-1")
def second_connect_closes(t):
    c = t.client("twice")
    c.send(connect(c.client_id, t.version)).expect_closed(0x82)


@statement("5:MQTT-3.1.2-1", "311:MQTT-3.1.2-1")
def other_protocol_name_is_refused(t):
    for name in ("MQTX", "mqtt", "MQT", "MQIsdp"):
        data = t.raw().send(connect("x", t.version, name=name)).raw_until_closed()
        assert data in (b"", b"\x20\x02\0\1", b"\x20\x03\0\x84\0"), data


@statement("5:MQTT-3.1.2-2", "311:MQTT-3.1.2-2")
def unknown_level_is_refused(t):
    for level in (0, 2, 0x84) if t.version == V311 else (6, 127):
        data = t.raw().send(connect("x", V311, level=level)).raw_until_closed()
        old, new = b"\x20\x02\0\1", b"\x20\x03\0\x84\0"
        assert data == old or t.v5 and data == new, f"level {level}: {data.hex()}"


@statement("5:MQTT-3.1.2-3", "311:MQTT-3.1.2-3", "5:MQTT-3.1.4-1", "311:MQTT-3.1.4-1",
           "311:MQTT-3.2.2-6")
def reserved_connect_flag_must_be_zero(t):
    refused(t, connect("x", t.version, flags=3), 0x81, 0x82)


@statement("5:MQTT-3.1.2-11", "5:MQTT-3.1.2-12", "5:MQTT-3.1.2-13", "311:MQTT-3.1.2-11",
           "311:MQTT-3.1.2-13", "311:MQTT-3.1.2-14", "311:MQTT-3.1.2-15")
def will_flags_must_fit(t):
    will = will_of(t.topic(), b"w")
    tail = connect("x", t.version, will=will)[2:]
    for flags, fields in ((0x0A, None), (0x12, None), (0x22, None), (0x1E, will)):
        refused(t, connect("x", t.version, flags=flags, will=fields), 0x81, 0x82)
    refused(t, packet(mqtt.CONNECT, 0, tail.replace(b"\x06\0\x3c", b"\x02\0\x3c")), 0x81, 0x82)
    for qos in (0, 1, 2):
        t.client(will=will_of(t.topic(), b"w", qos)).bye()


@statement("5:MQTT-3.1.2-9", "5:MQTT-3.1.2-16", "5:MQTT-3.1.2-17", "5:MQTT-3.1.2-18",
           "5:MQTT-3.1.2-19", "311:MQTT-3.1.2-9", "311:MQTT-3.1.2-18", "311:MQTT-3.1.2-19",
           "311:MQTT-3.1.2-20", "311:MQTT-3.1.2-21", "311:MQTT-3.1.3-1", "5:MQTT-3.1.3-1")
def payload_must_hold_what_the_flags_say(t):
    v = t.version
    for data in (connect("x", v, flags=0x82), connect("x", v, flags=0xC2, user="u"),
                 connect("x", v, flags=0x06), connect("x", v, flags=0x02, user="u"),
                 connect("x", v, flags=0x82, user="u", password="p"), connect("x", v, tail=b"zz")):
        refused(t, data, 0x81, 0x82)
    t.client(user="u", password="p").bye()


@statement("311:MQTT-3.1.2-22", versions=(4, 5))
def password_without_user_name(t):
    """Forbidden in 3.1.1; MQTT 5 allows it."""
    if t.v5:
        t.client(password="p").bye()
    else:
        refused(t, connect("x", V311, password="p"))


@statement("5:MQTT-3.1.3-3", "311:MQTT-3.1.3-3")
def client_id_must_be_there(t):
    body = lp("MQTT") + bytes([t.version, 2, 0, 60]) + (b"\0" if t.v5 else b"")
    refused(t, packet(mqtt.CONNECT, 0, body), 0x81, 0x82)
    refused(t, packet(mqtt.CONNECT, 0, body + b"\0"), 0x81, 0x82)


@statement("5:MQTT-3.1.3-5", "311:MQTT-3.1.3-5")
def client_id_of_letters_and_digits_is_allowed(t):
    letters = string.digits + string.ascii_letters
    for i in range(0, len(letters), 23):
        t.raw().open(letters[i:i + 23], t.version).bye()
    t.raw().open("z", t.version).bye()


BAD_UTF8 = (b"a\xff", b"a\xc0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xe2\x82",
            b"\x80", b"a\0b")


@statement("5:MQTT-3.1.3-4", "5:MQTT-3.1.3-11", "5:MQTT-3.1.3-12", "311:MQTT-3.1.3-4",
           "311:MQTT-3.1.3-10", "311:MQTT-3.1.3-11")
def strings_in_connect_must_be_utf8(t):
    v = t.version
    for bad in BAD_UTF8:
        for data in (connect(bad, v), connect("x", v, will=will_of(bad)), connect("x", v, user=bad)):
            refused(t, data, 0x81, 0x82, 0x85, 0x90)


@statement("5:MQTT-3.1.3-6", "5:MQTT-3.1.3-7", "5:MQTT-3.2.2-16")
def empty_client_id_gets_a_unique_one(t):
    ids = set()
    for clean in (True, False, True):
        c = t.hello(clean=clean)
        got = c.expect(CONNACK, reason=0, session_present=False)
        ids.add(got.props["assigned_client_id"])
        assert c.client_id
    assert len(ids) == 3


@test
def assigned_client_id_can_be_used_again(t):
    first = t.hello(clean=False, props={"session_expiry": 60})
    assigned = first.expect(CONNACK).props["assigned_client_id"]
    first.bye()
    again = t.hello(assigned, clean=False)
    got = again.expect(CONNACK, reason=0, session_present=True)
    assert "assigned_client_id" not in got.props


@statement("311:MQTT-3.1.3-6", "311:MQTT-3.1.3-7", "311:MQTT-3.1.3-8")
def empty_client_id_needs_a_clean_session(t):
    one, two = t.raw().open("", V311), t.raw().open("", V311)
    one.ping(), two.ping()
    refused(t, connect("", V311, clean=False), code=2)


@statement("5:MQTT-3.1.3-8", "311:MQTT-3.1.3-9", broker="no-empty-id")
def refused_client_id_is_told(t):
    refused(t, connect("", t.version), 0x85, code=2)


@statement("5:MQTT-3.1.4-3", "311:MQTT-3.1.4-2", "5:MQTT-3.1.3-2", "311:MQTT-3.1.3-2")
def same_client_id_takes_over(t):
    old = t.durable("twin")
    old.sub(t.topic(), qos=1)
    new = t.hello(old.client_id, clean=False, **({"props": {"session_expiry": 9}} if t.v5 else {}))
    old.expect_closed(0x8E)
    new.expect(CONNACK, reason=0, session_present=True)
    new.pub(t.topic(), b"mine", 1)
    assert new.recv_type(PUBLISH).payload == b"mine"


@statement("5:MQTT-3.1.2-4", "5:MQTT-3.1.2-5", "5:MQTT-3.1.2-6", "5:MQTT-3.1.4-4",
           "5:MQTT-3.2.2-2", "5:MQTT-3.2.2-3", "311:MQTT-3.1.2-4", "311:MQTT-3.1.2-6",
           "311:MQTT-3.1.4-3", "311:MQTT-3.2.2-1", "311:MQTT-3.2.2-2", "311:MQTT-3.2.2-3")
def session_is_resumed_or_made_new(t):
    def join(clean):
        return t.durable("s", clean=clean)

    def present(c):
        return c.connack.session_present

    c = join(False)
    assert not present(c)
    c.sub(t.topic(), qos=1)
    c.bye()
    c = join(False)
    assert present(c)
    c.pub(t.topic(), b"kept", 1)
    c.msg(b"kept")
    c.bye()
    c = join(True)
    assert not present(c)
    c.pub(t.topic(), b"lost", 1)
    c.expect_nothing()
    c.bye()
    c = join(False)
    assert present(c) == t.v5, "3.1.1: a clean session ends with its connection"


@statement("5:MQTT-3.1.4-5", "5:MQTT-3.2.0-1", "5:MQTT-3.2.2-1", "311:MQTT-3.1.4-4",
           "311:MQTT-3.2.0-1")
def connack_comes_first(t):
    """Even when messages wait for the session; the parser checks the reserved bits."""
    c = t.durable("late")
    c.sub(t.topic(), qos=1)
    c.bye()
    t.client().pub(t.topic(), b"waiting", 1)
    c = t.hello(c.client_id, clean=False, props={"session_expiry": 9} if t.v5 else None)
    c.send(mqtt.PING)
    c.expect(CONNACK, reason=0, session_present=True)
    got = {c.recv().type, c.recv().type}
    assert got == {PINGRESP, PUBLISH}


@statement("5:MQTT-3.1.4-6", "311:MQTT-3.1.4-5", "5:MQTT-3.2.2-6", "5:MQTT-3.2.2-7",
           "5:MQTT-3.2.2-8", "311:MQTT-3.2.2-4", "311:MQTT-3.2.2-5")
def nothing_is_done_after_a_refused_connect(t):
    watch = t.client()
    watch.sub(t.topic())
    bad = connect("x", V5, props={"auth_method": "NOPE"}) if t.v5 else connect("", V311, clean=False)
    refused(t, bad + publish(t.topic(), b"sneaked in", version=t.version), 0x8C, code=2)
    watch.expect_nothing()


@statement("5:MQTT-3.1.4-2", versions=(4, 5), broker="locked")
def anonymous_clients_are_refused_where_not_allowed(t):
    refused(t, connect("x", t.version), 0x87, 0x86, code=5)


@statement("5:MQTT-4.12.0-1", "5:MQTT-4.12.0-4")
def unknown_authentication_method_is_refused(t):
    for props in ({"auth_method": "SCRAM"}, {"auth_method": "SCRAM", "auth_data": b"\1\2"}):
        refused(t, connect("x", V5, props=props), 0x8C)


@statement("5:MQTT-4.12.0-6")
def no_authentication_without_a_method(t):
    assert "auth_method" not in t.client().connack.props


@statement("5:MQTT-4.12.0-7", "5:MQTT-4.12.1-2")
def auth_without_a_method_is_a_protocol_error(t):
    for data in (mqtt.auth(), mqtt.auth(0x19, {"auth_method": "X"}), mqtt.auth(0x18, {})):
        t.client().send(data).expect_closed(0x82)


@statement("5:MQTT-3.15.1-1")
def auth_flags_are_reserved(t):
    t.client().send(mqtt.auth(flags=1)).expect_closed(0x81, 0x82)


@statement("5:MQTT-3.1.2-21", "5:MQTT-3.2.2-21", broker="keep-alive")
def server_keep_alive_is_told_and_used(t):
    c = t.client(keep_alive=60)
    assert c.connack.props["server_keep_alive"] == 2
    c.expect_closed(0x8D)
    assert t.client(keep_alive=0).connack.props["server_keep_alive"] == 2


@statement("5:MQTT-3.2.2-22", broker="keep-alive")
def keep_alive_of_the_client_counts_otherwise(t):
    c = t.client(keep_alive=1)
    assert c.connack.props.get("server_keep_alive", 1) == 1
    c.expect_closed(0x8D, timeout=3)


@statement("5:MQTT-3.1.2-28")
def no_response_information_unless_asked(t):
    for props in ({}, {"request_response_info": 0}):
        assert "response_info" not in t.client(props=props).connack.props


@test
def connack_tells_the_limits(t):
    props = t.client().connack.props
    assert props.get("topic_alias_maximum", 0) == 10
    assert props.get("maximum_packet_size") == 2000000
    assert props.get("maximum_qos", 2) == 2 and props.get("retain_available", 1) == 1
    assert all(props.get(k, 1) == 1 for k in ("wildcard_available", "shared_available",
                                               "subscription_id_available"))


@statement("5:MQTT-3.2.2-9", "5:MQTT-3.2.2-10", "5:MQTT-3.2.2-12", "5:MQTT-3.2.2-11", broker="qos1")
def maximum_qos_is_told(t):
    c = t.client()
    assert c.connack.props["maximum_qos"] == 1
    got = c.sub((t.topic("0"), 0), (t.topic("1"), 1), (t.topic("2"), 2), want=[0, 1, 1])
    assert got
    refused(t, connect("x", V5, will=will_of("w", b"", 2)), 0x9B)
    c.send(publish(t.topic(), b"x", 2, 5)).expect_closed(0x9B)


@statement("5:MQTT-3.2.2-13", "5:MQTT-3.2.2-14", broker="no-retain")
def retain_can_be_unavailable(t):
    assert t.client().connack.props["retain_available"] == 0
    refused(t, connect("x", V5, will=will_of("w", b"", 0, True)), 0x9A)
    t.client().send(publish(t.topic(), b"x", retain=True)).expect_closed(0x9A)


@test(versions=(3, 4, 5))
def packets_may_come_in_any_pieces(t):
    """Pipelined behind CONNECT in one segment, and byte by byte."""
    stream = (connect(t.cid("p"), t.version) + mqtt.subscribe(1, [(t.topic(), 1)], t.version)
              + publish(t.topic(), b"hi", 1, 2, version=t.version))
    for step in (len(stream), 1):
        c = t.raw()
        for i in range(0, len(stream), step):
            c.send(stream[i:i + step])
        c.expect(CONNACK, reason=0)
        # A message may come before the SUBACK of its subscription [3.8.4].
        assert {c.recv().type for _ in range(3)} == {SUBACK, PUBACK, PUBLISH}
        c.drop()
