"""test_subscribe.py - SUBSCRIBE and UNSUBSCRIBE: filters, answers, options, overlaps."""
import mqtt
from mqtt import PUBLISH, SUBACK, UNSUBACK, option, publish, subscribe, unsubscribe
from runner import statement, test

FAILED = {4: 0x80, 5: 0x8F}


def refuses(t, filter_, qos=0):
    """SUBACK with a failure code, or the close; never a grant."""
    c = t.client().send(subscribe(5, [(filter_, qos)], t.version))
    try:
        got = c.recv(3)
    except mqtt.Closed:
        assert not t.v5
        return
    if got.type == mqtt.DISCONNECT:
        assert got.reason in (0x81, 0x82, 0x8F)
    else:
        assert got.type == SUBACK and got.reasons == [FAILED[t.version]], got


@statement("5:MQTT-3.8.4-1", "5:MQTT-3.8.4-2", "311:MQTT-3.8.4-1", "311:MQTT-3.8.4-2",
           "5:MQTT-2.2.1-6", "311:MQTT-2.3.1-7", "5:MQTT-3.10.4-4", "5:MQTT-3.10.4-5",
           "311:MQTT-3.10.4-4", "311:MQTT-3.10.4-5")
def suback_and_unsuback_carry_the_identifier(t):
    c = t.client()
    for mid in (1, 65535, 300):
        c.send(subscribe(mid, [(t.topic(), 0)], t.version)).expect(SUBACK, mid=mid)
        for code in (0, 0x11):  # the second time nothing is left to delete
            c.send(unsubscribe(mid, [t.topic()], t.version))
            got = c.expect(UNSUBACK, mid=mid)
            assert got.reasons == ([code] if t.v5 else [])


@statement("5:MQTT-3.8.4-5", "5:MQTT-3.8.4-6", "5:MQTT-3.8.4-7", "5:MQTT-3.9.3-1",
           "5:MQTT-3.9.3-2", "311:MQTT-3.8.4-4", "311:MQTT-3.9.3-1", "311:MQTT-3.9.3-2",
           "311:MQTT-3.8.3-2")
def suback_has_a_code_for_each_filter_in_order(t):
    c = t.client()
    filters = [(t.topic("a"), 2), (t.topic("b/#/c"), 1), (t.topic("c"), 0), (t.topic("d/+"), 1),
               (t.topic("a"), 1)]
    c.sub(*filters, want=[2, FAILED[t.version], 0, 1, 1])
    for tail, qos in (("a", 1), ("c", 0), ("d/x", 1)):
        c.pub(t.topic(tail), b"x", 2)
        c.answer(c.check(c.recv_type(PUBLISH), dict(qos=qos, topic=t.topic(tail))))


@statement("5:MQTT-3.8.4-8")
def qos_of_delivery_is_the_lower_one(t):
    s, p = t.client(), t.client()
    for granted in (0, 1, 2):
        s.sub(t.topic(str(granted)), qos=granted, want=[granted])
        for sent in (0, 1, 2):
            p.pub(t.topic(str(granted)), b"x", sent)
            s.msg(b"x", qos=min(sent, granted))


@statement("5:MQTT-3.8.3-2", "311:MQTT-3.8.3-3", "5:MQTT-3.10.3-2", "311:MQTT-3.10.3-2")
def packet_without_filters_is_an_error(t):
    for data in (subscribe(1, [], t.version), unsubscribe(1, [], t.version)):
        t.client().send(data).expect_closed(0x82, 0x81)


@statement("5:MQTT-3.8.3-1", "311:MQTT-3.8.3-1", "5:MQTT-3.10.3-1", "311:MQTT-3.10.3-1")
def filters_must_be_utf8(t):
    for bad in (b"\xff", b"a/\xed\xa0\x80", b"\xc0\x80"):
        for data in (subscribe(1, [(bad, 0)], t.version), unsubscribe(1, [bad], t.version)):
            t.client().send(data).expect_closed(0x81, 0x82, 0x8F)


@statement("5:MQTT-3.8.3-5")
def reserved_options_are_malformed(t):
    for options in (0x40, 0x80, 0xC0, 0x30, 0x03):
        t.client().send(subscribe(1, [(t.topic(), options)])).expect_closed(0x81, 0x82)


@test(versions=(4,))
def options_of_old_clients_are_the_qos_alone(t):
    for options in (3, 4, 8, 0x10, 0x80):
        t.client().send(subscribe(1, [(t.topic(), options)], 4)).expect_closed()


@statement("5:MQTT-4.7.1-1", "5:MQTT-4.7.1-2", "311:MQTT-4.7.1-2", "311:MQTT-4.7.1-3")
def misplaced_wildcards_are_refused(t):
    for bad in ("a#", "a/#/b", "#a", "a/b#", "##", "#/", "+a", "a+", "a/+b", "a+/b", "++", "/#/"):
        refuses(t, bad)


@test(versions=(3, 4, 5))
def wildcards_match_as_they_should(t):
    """Filter -> which of the topics it takes. The prefix keeps the test from the others."""
    topics = ["a", "a/", "a/b", "/a", "a//b", "a/b/c", "/", "b/b"]
    cases = {"#": topics, "+": ["a"], "a/#": ["a", "a/", "a/b", "a//b", "a/b/c"], "a/+": ["a/", "a/b"],
             "+/b": ["a/b", "b/b"], "+/+": ["a/", "a/b", "/a", "/", "b/b"], "/+": ["/a", "/"], "a/+/b": ["a//b"],
             "+/+/+": ["a//b", "a/b/c"], "a/b/#": ["a/b", "a/b/c"], "a//b": ["a//b"], "+/": ["a/", "/"],
             "a/+/#": ["a/", "a/b", "a//b", "a/b/c"], "A": []}
    subs = {}
    for filter_ in cases:
        subs[filter_] = t.client()
        subs[filter_].sub(t.topic(filter_), qos=1)
    p = t.client()
    for topic in topics:
        p.pub(t.topic(topic), b"", 1)
    for filter_, want in cases.items():
        got = [m.topic for m in subs[filter_].msgs(len(want))]
        assert got == [t.topic(x) for x in want], f"{filter_}: {got}"
    for s in subs.values():
        s.expect_nothing(0.02)


@statement("5:MQTT-4.7.2-1", "311:MQTT-4.7.2-1")
def wildcards_at_the_start_do_not_match_dollar_topics(t):
    wild, exact = t.client(), t.client()
    name = f"$test{t.serial}"
    wild.sub("#", "+/x", "+/#", qos=0)
    exact.sub(f"{name}/x", f"{name}/#", f"{name}/+")
    t.client().pub(f"{name}/x", b"dollar", 1)
    assert exact.recv_type(PUBLISH).payload == b"dollar"
    wild.ping()
    assert not [m for m in wild.stash if m.type == PUBLISH and m.topic.startswith("$")]


@statement("5:MQTT-3.8.4-3", "311:MQTT-3.8.4-3")
def subscribing_again_replaces(t):
    s, p = t.client(), t.client()
    p.pub(t.topic(), b"old", 1, retain=True)
    for qos in (2, 0, 1):
        s.sub(t.topic(), qos=qos)
        s.msg(b"old", retain=True, qos=min(1, qos))
        p.pub(t.topic(), b"live", 2)
        s.msg(b"live", qos=qos)
        s.expect_nothing(0.1)
    p.pub(t.topic(), b"", 1, retain=True)


@test
def replacing_changes_identifier_and_options(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=1, sid=1)
    s.sub(t.topic(), qos=1, sid=2, no_local=True)
    p.pub(t.topic(), b"x", 1)
    assert s.msg(b"x").props["subscription_id"] == [2]
    s.sub(t.topic(), qos=1)
    p.pub(t.topic(), b"x", 1)
    assert "subscription_id" not in s.msg(b"x").props


@test
def replacing_loses_no_message(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=1)
    n = 60
    for i in range(n):
        p.send(publish(t.topic(), str(i).encode(), 1, i + 1))
        if i % 6 == 0:
            s.send(subscribe(1000 + i, [(t.topic(), option(1, rh=2))]))
    got = []
    while len(got) < n:
        m = s.recv()
        if m.type == PUBLISH:
            got.append(int(s.answer(m).payload))
    assert got == list(range(n))


@statement("5:MQTT-3.3.4-2", "311:MQTT-3.3.5-1", "5:MQTT-3.3.4-3", "5:MQTT-3.3.4-4")
def overlapping_subscriptions_deliver_once_at_the_highest_qos(t):
    s, p = t.client(), t.client()
    for i, (tail, qos) in enumerate((("a/#", 0), ("a/+", 2), ("a/b", 1), ("#", 1)), 1):
        s.sub(t.topic(tail), qos=qos, sid=i if t.v5 and i != 4 else None)
    p.pub(t.topic("a/b"), b"x", 2)
    got = s.msg(b"x", qos=2)
    assert sorted(got.props.get("subscription_id", [])) == ([1, 2, 3] if t.v5 else [])
    s.expect_nothing()


@statement("5:MQTT-3.3.4-5")
def every_copy_names_its_subscription(t):
    """A shared subscription beside an own one gives a copy for each."""
    s, p = t.client(), t.client()
    s.sub(t.topic(), sid=4)
    s.sub("$share/g/" + t.topic(), sid=268435455)
    p.pub(t.topic(), b"x")
    got = [m.props["subscription_id"] for m in s.msgs(2)]
    assert sorted(got) == [[4], [268435455]]
    s.expect_nothing()


@statement("5:MQTT-3.8.3-3")
def no_local(t):
    c, other = t.client("me"), t.client()
    c.sub(t.topic("mine"), no_local=True)
    c.sub(t.topic("all"))
    for who in (c, other):
        for tail in ("mine", "all"):
            who.pub(t.topic(tail), b"x", 1)
        c.recv_type(PUBLISH)
        if who is other:
            c.recv_type(PUBLISH)
    c.expect_nothing()
    c.sub(t.topic("+"))  # overlap: one of the two wants it
    c.pub(t.topic("mine"), b"y", 1)
    assert c.recv_type(PUBLISH).payload == b"y"
    c.expect_nothing()


@test(versions=(4, 5))
def own_messages_come_back(t):
    c = t.client()
    c.sub(t.topic(), qos=1)
    c.pub(t.topic(), b"echo", 1)
    assert c.recv_type(PUBLISH).payload == b"echo"


@statement("5:MQTT-3.10.4-1", "5:MQTT-3.10.4-6", "5:MQTT-3.11.3-1", "5:MQTT-3.11.3-2",
           "311:MQTT-3.10.4-1", "311:MQTT-3.10.4-6", "5:MQTT-3.10.4-2", "311:MQTT-3.10.4-2")
def unsubscribe_compares_exactly(t):
    s, p = t.client(), t.client()
    s.sub(t.topic("a"), t.topic("+"), t.topic("b/#"))
    s.unsub(t.topic("#"), t.topic("a"), t.topic("A"), t.topic("b/+"), t.topic("+"), t.topic("a"),
            want=[0x11, 0, 0x11, 0x11, 0, 0x11])
    p.pub(t.topic("a"), b"gone", 1)
    p.pub(t.topic("b/c"), b"kept", 1)
    s.msg(b"kept")
    s.expect_nothing()


@statement("5:MQTT-3.10.4-3", "311:MQTT-3.10.4-3")
def started_deliveries_end_after_unsubscribe(t):
    s, p = t.client(), t.client()
    s.sub(t.topic(), qos=2)
    for qos in (1, 2, 2):
        p.pub(t.topic(), b"x", qos)
    one, two, three = s.msgs(3, reply=False)
    s.send(mqtt.ack(mqtt.PUBREC, three.mid)).expect(mqtt.PUBREL, mid=three.mid)
    s.unsub(t.topic())
    s.answer(one), s.answer(two)
    s.send(mqtt.ack(mqtt.PUBCOMP, three.mid))
    p.pub(t.topic(), b"y", 1)
    s.expect_nothing()


@test
def subscription_identifier_bounds(t):
    for value in (1, 127, 128, 16383, 16384, 268435455):
        s = t.client()
        s.sub(t.topic(), sid=value)
        t.client().pub(t.topic(), b"x")
        assert s.msg(b"x").props["subscription_id"] == [value]
    raw = bytes([0x0B, 0])
    t.client().send(subscribe(1, [(t.topic(), 0)], 5, raw)).expect_closed(0x82, 0x81)


@test(versions=(4, 5))
def fan_out_reaches_everybody(t):
    subs = [t.client(version=3 + i % 3) for i in range(30)]
    for i, s in enumerate(subs):
        s.sub(t.topic("#" if i % 2 else "x"), qos=i % 3)
    p = t.client()
    p.pub(t.topic("x"), b"all", 2)
    for i, s in enumerate(subs):
        s.msg(b"all", qos=i % 3)
