"""test_shared.py - $share/group/filter: fair, skipping the absent, losing nothing."""
import collections
import contextlib
import time

import mqtt
from mqtt import PUBLISH, SUBACK, subscribe
from runner import statement, test


def group(t, n, qos=1, name="g", version=None, **kw):
    members = [t.client(version=version, **kw) for _ in range(n)]
    for m in members:
        m.sub(f"$share/{name}/" + t.topic("#"), qos=qos)
    return members


def drain(members, seconds=0.4, least=0):
    """Everything that arrives, acknowledged: member -> payloads. So many at least, unless that takes too long."""
    got, end = collections.defaultdict(list), time.monotonic() + 30
    while True:
        till = time.monotonic() + seconds
        for m in members:
            while True:
                try:
                    p = m.recv(max(0.02, till - time.monotonic()))
                except TimeoutError:
                    break
                if p.type == PUBLISH:
                    got[m].append(m.answer(p).payload)
        if sum(map(len, got.values())) >= least or time.monotonic() > end:
            return got


@statement("5:MQTT-4.8.2-1", "5:MQTT-4.8.2-2")
def bad_shared_filters_are_refused(t):
    for bad in ("$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/#/a", "$share/g+/a",
                "$share/g#/a", "$share/g/a#", "$share/g/#/a", "$share/+", "$share/#"):
        c = t.client().send(subscribe(1, [(bad, 0)]))
        got = c.recv()
        assert got.type == mqtt.DISCONNECT and got.reason in (0x81, 0x82, 0x8F) or \
            got.type == SUBACK and got.reasons == [0x8F], f"{bad}: {got}"


@statement("5:MQTT-3.8.3-4")
def no_local_on_a_shared_subscription_is_an_error(t):
    t.client().send(subscribe(1, [("$share/g/" + t.topic(), mqtt.option(no_local=True))])).expect_closed(0x82)


@test(versions=(4, 5))
def each_message_goes_to_one_member_fairly(t):
    members, p, n = group(t, 4), t.client(), 80
    for i in range(n):
        p.pub(t.topic(str(i % 7)), str(i), i % 3)
    got = drain(members, least=n)
    every = sorted(int(x) for g in got.values() for x in g)
    assert every == list(range(n)), f"{len(every)} of {n}, or copies"
    assert all(n / 4 / 2 <= len(got[m]) <= n / 4 * 2 for m in members), [len(g) for g in got.values()]


@test
def groups_and_plain_subscribers_each_get_a_copy(t):
    g, h = group(t, 2), group(t, 3, name="h")
    plain = t.client()
    plain.sub(t.topic("#"), qos=1)
    p = t.client()
    for i in range(12):
        p.pub(t.topic(), str(i), 1)
    for members in (g, h, [plain]):
        every = sorted(int(x) for got in drain(members, least=12).values() for x in got)
        assert every == list(range(12))


@statement("5:MQTT-4.8.2-3")
def granted_qos_is_respected(t):
    members, p = [], t.client()
    for qos in (0, 1, 2):
        members.append(t.client())
        members[-1].sub("$share/g/" + t.topic(), qos=qos, want=[qos])
    for _ in range(9):
        p.pub(t.topic(), b"x", 2)
    count, end = 0, time.monotonic() + 30
    while count < 9 and time.monotonic() < end:
        for qos, m in enumerate(members):
            with contextlib.suppress(TimeoutError):
                while True:
                    assert m.answer(m.recv(0.2)).qos == qos
                    count += 1
    assert count == 9


@test
def offline_members_are_skipped(t):
    away = t.durable("away")
    away.sub("$share/g/" + t.topic(), qos=1)
    away.bye()
    here = t.client()
    here.sub("$share/g/" + t.topic(), qos=1)
    p = t.client()
    for i in range(10):
        p.pub(t.topic(), str(i), 1)
    assert [int(m.payload) for m in here.msgs(10)] == list(range(10))
    t.durable("away").expect_nothing()


@test
def leaving_the_group(t):
    members, p = group(t, 3), t.client()
    members[0].unsub("$share/g/" + t.topic("#"))
    members[1].bye()
    for i in range(6):
        p.pub(t.topic(), str(i), 1)
    assert [int(m.payload) for m in members[2].msgs(6)] == list(range(6))
    members[0].expect_nothing(0.05)


@test
def unacknowledged_messages_of_a_gone_member_go_to_another(t):
    members, p = group(t, 2), t.client()
    for i in range(10):
        p.pub(t.topic(), str(i), 1)
    held = []
    try:
        while True:
            held.append(members[0].msg(timeout=0.3, reply=False).payload)
    except AssertionError:
        pass
    assert held
    got = drain([members[1]])[members[1]]
    members[0].drop()  # its session ends with the connection
    got += drain([members[1]], 1, 10 - len(got))[members[1]]
    assert sorted(got, key=int) == [str(i).encode() for i in range(10)], (held, got)


@statement("5:MQTT-4.8.2-4", "5:MQTT-4.8.2-5")
def started_qos_2_delivery_stays_with_its_member(t):
    """While the member is away nobody else gets the message; it comes back to the member."""
    m = t.durable("m", expiry=30)
    m.sub("$share/g/" + t.topic(), qos=2)
    t.client().pub(t.topic(), b"mine", 2)
    sent = m.msg(b"mine", qos=2, reply=False)
    other = t.client()
    other.sub("$share/g/" + t.topic(), qos=2)
    m.drop()
    other.expect_nothing(0.3)
    m = t.durable("m", expiry=30)
    assert m.msg(b"mine", dup=True, reply=False).mid == sent.mid
    m.send(mqtt.disconnect(0, {"session_expiry": 0}))
    other.expect_nothing(0.4)  # not even when the session ends


@statement("5:MQTT-4.8.2-6")
def refused_message_goes_to_nobody_else(t):
    members, p = group(t, 2, qos=2), t.client()
    for i in range(4):
        p.pub(t.topic(), str(i), 1 + i % 2)
    seen, end = [], time.monotonic() + 30
    while len(seen) < 4 and time.monotonic() < end:
        for m in members:
            with contextlib.suppress(TimeoutError):
                while True:
                    got = m.recv(0.2)
                    seen.append(got.payload)
                    m.answer(got, 0x83)
    for m in members:
        m.drop()
    late = group(t, 1)
    assert len(seen) == 4 and not drain(late, 0.2)


@test
def shared_and_plain_subscriptions_are_separate(t):
    c, p = t.client(), t.client()
    c.sub(t.topic(), "$share/g/" + t.topic(), qos=1)
    p.pub(t.topic(), b"1", 1)
    c.msg(b"1"), c.msg(b"1")
    c.unsub("$share/h/" + t.topic(), "$share/g/" + t.topic("x"), want=[0x11, 0x11])
    c.unsub("$share/g/" + t.topic())
    p.pub(t.topic(), b"2", 1)
    c.msg(b"2")
    c.expect_nothing(0.1)
    c.unsub(t.topic(), "$share/g/" + t.topic(), want=[0, 0x11])


@test
def shared_subscription_carries_its_identifier(t):
    c = t.client()
    c.sub("$share/g/" + t.topic(), sid=9)
    t.client().pub(t.topic(), b"x")
    assert c.msg(b"x").props["subscription_id"] == [9]


@test
def group_without_members_online_keeps_for_a_durable_one(t):
    m = t.durable("m")
    m.sub("$share/g/" + t.topic(), qos=1)
    m.bye()
    t.client().pub(t.topic(), b"later", 1)
    t.durable("m").msg(b"later")
