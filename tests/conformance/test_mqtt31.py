"""test_mqtt31.py - MQTT 3.1 (level 3, "MQIsdp"): the flows that old devices use."""
import mqtt
from mqtt import CONNACK, connect, will_of
from runner import test

OLD = dict(versions=(3,))


@test(**OLD)
def publish_and_subscribe_at_every_qos(t):
    s, p = t.client(), t.client()
    s.sub(t.topic("#"), qos=2)
    for qos in (0, 1, 2):
        p.pub(t.topic("x"), str(qos), qos)
        s.msg(str(qos), qos=qos, retain=False)
    s.unsub(t.topic("#"))
    p.pub(t.topic("x"), b"y", 1)
    s.expect_nothing()


@test(**OLD)
def connack_has_no_session_present(t):
    """The byte is reserved in 3.1; a resumed session must not confuse old clients that check it,
    but mosquitto sets it as well: either is taken, the code must be 0."""
    c = t.client("old", clean=False)
    c.sub(t.topic(), qos=1)
    c.bye()
    again = t.client("old", clean=False)
    assert again.connack.reason == 0
    t.client().pub(t.topic(), b"x", 1)
    again.msg(b"x")


@test(**OLD)
def retained_and_will(t):
    s = t.client()
    s.sub(t.topic("will"))
    t.client(will=will_of(t.topic("will"), b"gone", 1, True), user="u", password="p").drop()
    s.msg(b"gone", retain=False)
    late = t.client()
    late.sub(t.topic("will"))
    late.msg(b"gone", retain=True)
    late.pub(t.topic("will"), b"", 1, retain=True)


@test(**OLD)
def empty_client_id_is_refused(t):
    t.raw().send(connect("", 3)).expect(CONNACK, reason=2)


@test(**OLD)
def wrong_name_or_level(t):
    for name, level in (("MQIsdp", 4), ("MQTT", 3), ("MQIsdp", 5)):
        data = t.raw().send(connect("x", 3, name=name, level=level)).raw_until_closed()
        assert data in (b"", b"\x20\x02\0\1", b"\x20\x03\0\x84\0"), data


@test(**OLD)
def password_without_user_name(t):
    """3.1 leaves it open; it must not harm."""
    t.raw().send(connect(t.cid(), 3, password="p"))
    t.serves()


@test(**OLD)
def speaks_with_newer_clients(t):
    s3, s5 = t.client(), t.client(version=5)
    for s in (s3, s5):
        s.sub(t.topic(), qos=2)
    t.client(version=5).pub(t.topic(), b"new", 2, props={"content_type": "x"})
    t.client().pub(t.topic(), b"old", 2)
    assert s3.msg(b"new").qos == 2 and s5.msg(b"new").props == {"content_type": "x"}
    s3.msg(b"old"), s5.msg(b"old")


@test(**OLD)
def keep_alive_and_takeover(t):
    c = t.client("k", keep_alive=1)
    c.expect_closed()
    c = t.client("k")
    t.client("k").ping()
    c.expect_closed()


@test(**OLD)
def longer_client_ids_than_23_are_taken(t):
    t.raw().open("x" * 60, 3).ping()
