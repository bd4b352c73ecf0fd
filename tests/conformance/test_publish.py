"""test_publish.py - PUBLISH: retained messages, topics, properties, aliases, expiry."""
import time

import mqtt
from mqtt import PUBACK, PUBLISH, PUBREC, publish
from runner import statement, test

BROKERS = {"no alias": "max_topic_alias 0"}

def retained(t, tail="r", payload=b"kept", qos=1, **kw):
    t.client().pub(t.topic(tail), payload, qos, retain=True, **kw)
    return t.topic(tail)


# ---- Retained messages ---------------------------------------------------------------------------

@statement("5:MQTT-3.3.1-5", "311:MQTT-3.3.1-5", "311:MQTT-3.3.1-6", "311:MQTT-3.3.1-8")
def retained_message_is_stored_and_replaced(t):
    for i, qos in enumerate((0, 1, 2)):
        p = t.client()
        p.pub(t.topic(), str(i), qos, retain=True)
        p.ping()
        s = t.client()
        s.sub(t.topic("#"), qos=2)
        s.msg(str(i), retain=True, qos=qos, topic=t.topic(), dup=False)
        s.expect_nothing(0.05)


@statement("311:MQTT-3.3.1-7")
def retained_qos_0_message_discards_the_old_one(t):
    retained(t, "t", b"old", 1)
    p = t.client()
    p.pub(t.topic(), b"new", 0, retain=True)
    p.ping()
    s = t.client()
    s.sub(t.topic(), qos=1)
    assert s.recv(1).payload == b"new"


@statement("5:MQTT-3.3.1-6", "5:MQTT-3.3.1-7", "311:MQTT-3.3.1-10", "311:MQTT-3.3.1-11")
def empty_retained_message_clears(t):
    live = t.client()
    live.sub(t.topic())
    retained(t, "t")
    live.msg(b"kept", retain=False)
    retained(t, "t", b"")
    live.msg(b"", retain=False)  # it is processed as any message
    late = t.client()
    late.sub(t.topic())
    late.expect_nothing()


@statement("5:MQTT-3.3.1-8", "311:MQTT-3.3.1-12")
def message_without_retain_leaves_the_store_alone(t):
    retained(t, "t")
    p = t.client()
    p.pub(t.topic(), b"passing", 1)
    p.pub(t.topic(), b"", 1)
    p.pub(t.topic("other"), b"passing", 1)
    s = t.client()
    s.sub(t.topic("#"))
    s.msg(b"kept", retain=True)
    s.expect_nothing(0.1)


@statement("5:MQTT-3.3.1-12", "5:MQTT-3.3.1-13", "311:MQTT-3.3.1-9")
def retain_flag_of_live_messages(t):
    plain, rap = t.client(), t.client()
    plain.sub(t.topic())
    rap.sub(t.topic(), rap=t.v5)
    p = t.client()
    for retain in (True, False):
        p.pub(t.topic(), b"x", 1, retain=retain)
        plain.msg(b"x", retain=False)
        rap.msg(b"x", retain=retain and t.v5)
    p.pub(t.topic(), b"", 1, retain=True)


@statement("5:MQTT-3.3.1-9", "5:MQTT-3.3.1-10", "5:MQTT-3.3.1-11", "5:MQTT-3.8.4-4")
def retain_handling(t):
    retained(t, "a")
    retained(t, "b")
    for rh, first, again in ((0, 2, 2), (1, 2, 0), (2, 0, 0)):
        s = t.client()
        for count in (first, again):
            s.sub(t.topic("+"), rh=rh)
            assert {m.topic for m in s.msgs(count, retain=True)} == (
                {t.topic("a"), t.topic("b")} if count else set())
            s.expect_nothing(0.1)
        s.unsub(t.topic("+"))
        s.sub(t.topic("+"), rh=rh)  # unsubscribed: it is new again
        assert len(s.msgs(first)) == first


@test(versions=(4, 5))
def retained_by_wildcards(t):
    for tail in ("a", "a/b", "a/b/c", "x"):
        retained(t, tail)
    cases = {"a": ["a"], "a/#": ["a", "a/b", "a/b/c"], "+": ["a", "x"], "a/+": ["a/b"], "+/b/+": ["a/b/c"],
             "a/b/c/#": ["a/b/c"], "+/+/#": ["a/b", "a/b/c"], "none/#": []}
    for filter_, want in cases.items():
        s = t.client()
        s.sub(t.topic(filter_), qos=1)
        assert sorted(m.topic for m in s.msgs(len(want))) == sorted(map(t.topic, want)), filter_
        s.expect_nothing(0.05)


@test
def retained_keeps_its_properties(t):
    props = {"payload_format": 1, "content_type": "text", "response_topic": "r", "correlation_data": b"\0",
             "user_property": [("a", "1"), ("a", "2")]}
    retained(t, "t", b"x", props=props)
    s = t.client()
    s.sub(t.topic(), sid=5)
    assert s.msg(b"x").props == {**props, "subscription_id": [5]}


@test
def retained_expires(t):
    retained(t, "t", b"x", props={"message_expiry": 1})
    retained(t, "u", b"y", props={"message_expiry": 30})
    time.sleep(2.1)
    s = t.client()
    s.sub(t.topic("#"))
    assert 5 <= s.msg(b"y", retain=True).props["message_expiry"] <= 28
    s.expect_nothing()


@test
def retained_is_not_sent_to_shared_subscriptions(t):
    retained(t)
    s = t.client()
    s.sub("$share/g/" + t.topic("#"))
    s.expect_nothing()


# ---- Topics ----------------------------------------------------------------------------------------

BAD_UTF8 = (b"a\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")


@statement("5:MQTT-3.3.2-1", "311:MQTT-3.3.2-1", "5:MQTT-1.5.4-1", "311:MQTT-1.5.3-1")
def topic_must_be_utf8(t):
    for bad in BAD_UTF8:
        t.client().send(publish(bad, b"x", version=t.version)).expect_closed(0x81, 0x82, 0x90)


@statement("5:MQTT-1.5.4-2", "311:MQTT-1.5.3-2", "5:MQTT-4.7.3-2", "311:MQTT-4.7.3-2")
def null_character_is_refused(t):
    v = t.version
    for data in (publish("a\0b", b"x", version=v), mqtt.subscribe(1, [("a\0", 0)], v),
                 mqtt.unsubscribe(1, ["a\0"], v)):
        t.client().send(data).expect_closed(0x81, 0x82, 0x90, 0x8F)


@statement("5:MQTT-3.3.2-2", "311:MQTT-3.3.2-2", "5:MQTT-4.7.0-1", "311:MQTT-4.7.1-1")
def wildcards_in_a_topic_name_are_refused(t):
    for bad in ("a/#", "+", "a/+/b", "a+", "#"):
        t.client().send(publish(bad, b"x", version=t.version)).expect_closed(0x90, 0x82, 0x81)


@statement("5:MQTT-4.7.3-1", "311:MQTT-4.7.3-1")
def empty_topic_is_refused(t):
    t.client().send(publish("", b"x", version=t.version)).expect_closed(0x82, 0x81, 0x90)
    c = t.client().send(mqtt.subscribe(1, [("", 0)], t.version))
    try:
        got = c.recv(3)
        assert got.type == mqtt.DISCONNECT or got.reasons[0] >= 0x80, got
    except mqtt.Closed:
        assert not t.v5


@statement("5:MQTT-4.7.3-3", "311:MQTT-4.7.3-3")
def longest_topic_works(t):
    topic = (t.topic() + "x" * 65535)[:65535]
    s, p = t.client(), t.client()
    s.sub(topic)
    p.pub(topic, b"long", 1)
    s.msg(b"long", topic=topic)


@statement("5:MQTT-1.5.4-3", "311:MQTT-1.5.3-3", "5:MQTT-4.7.3-4", "311:MQTT-4.7.3-4")
def topics_are_compared_byte_for_byte(t):
    """No byte order mark is stripped, no normal form is made, case counts."""
    forms = ["\ufeffa", "a", "A", "e\u0301", "\u00e9", "/a", "a/", "a b", "a//b", "a/b", "\u200ba"]
    subs = []
    for form in forms:
        s = t.client()
        s.sub(t.topic(form))
        subs.append(s)
    p = t.client()
    for form in forms:
        p.pub(t.topic(form), form.encode())
    for form, s in zip(forms, subs):
        s.msg(form.encode(), topic=t.topic(form))
    for s in subs:
        s.expect_nothing(0.02)


@statement("5:MQTT-3.3.2-3", "311:MQTT-3.3.2-3")
def delivered_topic_matches_the_filter(t):
    s, p = t.client(), t.client()
    s.sub(t.topic("a/+/c"), t.topic("x/#"))
    for tail in ("a/b/c", "a/b", "a/b/c/d", "x", "x/y/z", "b/b/c"):
        p.pub(t.topic(tail), b"m")
    assert [m.topic for m in s.msgs(3)] == [t.topic(x) for x in ("a/b/c", "x", "x/y/z")]
    s.expect_nothing()


@test(versions=(4, 5))
def publish_to_sys_is_refused(t):
    s = t.client()
    s.sub("$SYS/broker/spoof")
    p = t.client()
    p.send(publish("$SYS/broker/spoof", b"x", 1, 3, version=t.version, retain=True))
    if t.v5:
        p.expect(PUBACK, mid=3, reason=0x87)
        p.send(publish("$SYS/broker/spoof", b"x", 2, 4))
        p.expect(PUBREC, mid=4, reason=0x87)
    s.expect_nothing()
    t.serves()


# ---- Properties --------------------------------------------------------------------------------------

ALL = {"payload_format": 1, "content_type": "text/plain; \u00e9", "response_topic": "reply/\u00e9",
       "correlation_data": bytes(range(256)), "user_property": [("b", "2"), ("a", "1"), ("b", "1"), ("", "")]}


@statement("5:MQTT-3.3.2-4", "5:MQTT-3.3.2-15", "5:MQTT-3.3.2-16", "5:MQTT-3.3.2-17",
           "5:MQTT-3.3.2-18", "5:MQTT-3.3.2-20", "5:MQTT-2.2.2-1")
def properties_are_forwarded_unaltered(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=2)
    old = t.client(version=4)
    old.sub(t.topic())
    for qos in (0, 1, 2):
        for props in (ALL, {}, {"payload_format": 0}, *({k: v} for k, v in ALL.items())):
            p.pub(t.topic(), b"x", qos, props=props)
            assert s.msg(b"x").props == props
            old.msg(b"x")


@statement("5:MQTT-3.3.2-13", "5:MQTT-3.3.2-14", "5:MQTT-3.3.2-19", "5:MQTT-1.5.7-1")
def property_strings_are_checked(t):
    for name, bad in (("response_topic", "a/#"), ("response_topic", "+"), ("response_topic", b"\xff"),
                      ("content_type", b"\xff"), ("content_type", "a\0"), ("user_property", (b"\xff", "a")),
                      ("user_property", ("a", b"\xed\xa0\x80"))):
        t.client().send(publish(t.topic(), b"x", props={name: bad})).expect_closed(0x81, 0x82, 0x90)


@statement("5:MQTT-3.3.2-5", "5:MQTT-3.3.2-6")
def message_expiry_is_counted_down(t):
    c = t.durable("e")
    c.sub(t.topic(), qos=1)
    c.bye()
    p = t.client()
    p.pub(t.topic(), b"short", 1, props={"message_expiry": 1})
    p.pub(t.topic(), b"long", 1, props={"message_expiry": 100})
    p.pub(t.topic(), b"plain", 1)
    time.sleep(2.1)
    c = t.durable("e")
    assert 60 <= c.msg(b"long").props["message_expiry"] <= 98
    assert "message_expiry" not in c.msg(b"plain").props
    c.expect_nothing()


# ---- Topic aliases -------------------------------------------------------------------------------------

@statement("5:MQTT-3.3.2-12", "5:MQTT-3.3.2-7")
def aliases_from_the_client(t):
    s, p = t.client(), t.client()
    s.sub(t.topic("#"), qos=1)
    maximum = p.connack.props["topic_alias_maximum"]
    for alias in (1, maximum):
        p.pub(t.topic(str(alias)), b"set", 1, props={"topic_alias": alias})
        s.msg(b"set", topic=t.topic(str(alias)))
    for alias in (maximum, 1):
        p.pub("", b"use", 1, props={"topic_alias": alias})
        s.msg(b"use", topic=t.topic(str(alias)), props={})
    p.pub(t.topic("new"), b"change", props={"topic_alias": 1})
    p.pub("", b"use", props={"topic_alias": 1})
    assert [m.topic for m in s.msgs(2)] == [t.topic("new")] * 2
    p.drop()
    p = t.client()  # the mapping is gone with the connection
    p.send(publish("", b"x", props={"topic_alias": 1})).expect_closed(0x82, 0x94)


@statement("5:MQTT-3.3.2-8", "5:MQTT-3.2.2-17", "5:MQTT-3.3.2-9")
def alias_zero_or_too_high_is_refused(t):
    for alias in (0, 11, 65535):
        t.client().send(publish(t.topic(), b"x", props={"topic_alias": alias})).expect_closed(0x94, 0x82)


@statement("5:MQTT-3.2.2-18", broker="no alias")
def alias_is_refused_where_none_is_allowed(t):
    c = t.client()
    assert c.connack.props.get("topic_alias_maximum", 0) == 0
    c.send(publish(t.topic(), b"x", props={"topic_alias": 1})).expect_closed(0x94, 0x82)


@statement("5:MQTT-3.1.2-26", "5:MQTT-3.1.2-27", "5:MQTT-3.3.2-10", "5:MQTT-3.3.2-11")
def aliases_to_the_client(t):
    """The Client class fails on an alias above what it allowed or that was never set."""
    none, zero = t.client(), t.client(props={"topic_alias_maximum": 0})
    two = t.client(props={"topic_alias_maximum": 2})
    many = t.client(props={"topic_alias_maximum": 65535})
    subs = (none, zero, two, many)
    for s in subs:
        s.sub(t.topic("#"), qos=1)
    p = t.client()
    for _ in range(4):
        for tail in "abcd":
            p.pub(t.topic(tail), tail, 1)
    for s in subs:
        for _ in range(4):
            for tail in "abcd":
                assert s.msg(tail).full_topic == t.topic(tail)


@test
def aliases_to_the_client_are_used(t):
    s, p = t.client(props={"topic_alias_maximum": 10}), t.client()
    s.sub(t.topic("#"))
    for _ in range(5):
        p.pub(t.topic("a-long-name"), b"x")
    got = s.msgs(5)
    assert not got[-1].topic and got[-1].full_topic == t.topic("a-long-name")


@test
def aliases_do_not_outlive_the_connection(t):
    """A repeated message carries its topic again, or an alias that was set again."""
    c = t.durable("al", props={"topic_alias_maximum": 5})
    c.sub(t.topic(), qos=1)
    p = t.client()
    for i in range(4):
        p.pub(t.topic(), str(i), 1)
    c.msgs(4, reply=False)
    c.drop()
    c = t.durable("al", props={"topic_alias_maximum": 5})
    assert [c.msg(str(i)).full_topic for i in range(4)] == [t.topic()] * 4
    c.ping()  # the acknowledgements have arrived
    c.drop()
    c = t.durable("al")
    p.pub(t.topic(), b"x", 1)
    c.msg(b"x", topic=t.topic())


@statement("5:MQTT-3.3.4-6")
def subscription_identifier_from_a_client_is_refused(t):
    t.client().send(publish(t.topic(), b"x", props={"subscription_id": 3})).expect_closed(0x82, 0x81)
