"""Rules for topics change under sessions, queues, retained messages and Wills, and over a restart."""
import itertools
import signal

import mqtt
import scenario as s
from broker import Broker

broker = Broker()
acl = broker.dir / "acl"
CONFIG = f"acl_file {acl}\npersistence true\npersistence_location {broker.dir}\n"
broker.write_config(CONFIG)
ALL = "user p\ntopic write #\nuser s\ntopic read #\nuser t\ntopic read #\nuser m\ntopic write #\n"
NEVER = {"session_expiry": 1000}
serial = itertools.count(1)


def rules(text):
    """In force once a fresh user's own rule is."""
    name = f"probe{next(serial)}"
    fresh = acl.with_suffix(".new")  # in one step: the broker reads by itself what it finds changed
    fresh.write_text(f"{text}user {name}\ntopic write probe\n")
    fresh.rename(acl)
    if broker.process is None:
        return
    before = broker.log().count("Config reloaded")
    broker.signal(signal.SIGHUP)
    s.until(lambda: broker.log().count("Config reloaded") > before)  # then they hold on all workers

    def in_force():
        c = mqtt.Client(broker.address).open(name, user=name)
        c.send(mqtt.publish("probe", b"", 1, 1))
        reason = c.recv_type(mqtt.PUBACK).reason
        c.bye()
        return reason < 0x80
    s.until(in_force, "the rules are not in force")


def user(name, client_id=None, **kw):
    return mqtt.Client(broker.address).open(client_id or f"{name}{next(serial)}", user=name, **kw)


@s.scenario
def hopeless_subscriptions_are_refused():
    rules("user s\ntopic read a/#\ntopic deny a/secret\n")
    c = user("s")
    c.sub("a/b", "#", "+/+", "b", "a/secret", "$share/g/a/secret", "$share/g/a/#", "$SYS/#",
          want=[0, 0, 0, 0x87, 0x87, 0x87, 0, 0x87])
    old = user("s", version=mqtt.V311)
    old.sub("b", "a/b", want=[0x80, 0])
    for each in (c, old):
        each.bye()


@s.scenario
def a_wide_subscription_brings_what_may_be_read():
    rules("user s\ntopic read a/#\ntopic deny a/secret\nuser p\ntopic write #\n")
    c, p = user("s"), user("p")
    for topic in ("a/secret", "b", "a/kept"):
        p.pub(topic, b"kept", 1, retain=True)
    c.sub("#", qos=1)
    c.msg("kept", topic="a/kept", retain=True)
    for topic in ("a/secret", "b", "a/live"):
        p.pub(topic, b"live", 1)
    c.msg("live", topic="a/live")
    c.expect_nothing()
    for topic in ("a/secret", "b", "a/kept"):
        p.pub(topic, b"", 1, retain=True)
    c.bye()
    p.bye()


@s.scenario
def queued_messages_are_asked_for_again():
    rules(ALL)
    c, p = user("s", "away", props=NEVER), user("p")
    c.sub("#", qos=1)
    c.drop()
    for n in range(300):  # more than stays in memory
        p.pub("a" if n % 2 else "b", str(n), 1)
    rules(ALL.replace("user s\ntopic read #", "user s\ntopic read a"))
    p.pub("b", b"no", 1)
    p.pub("a", b"yes", 1)
    c = user("s", "away", clean=False, props=NEVER)
    for n in range(1, 300, 2):
        c.msg(str(n), topic="a")
    c.msg("yes")
    c.expect_nothing()
    c.bye(props={"session_expiry": 0})
    p.bye()


@s.scenario
def queued_messages_are_asked_for_after_a_restart():
    rules(ALL)
    c, p = user("s", "away", props=NEVER), user("p")
    c.sub("#", qos=1)
    c.drop()
    for n in range(20):
        p.pub("a" if n % 2 else "b", str(n), 1)
    p.bye()
    restart(ALL.replace("user s\ntopic read #", "user s\ntopic read a"))
    c = user("s", "away", clean=False, props=NEVER)
    assert c.connack.session_present
    for n in range(1, 20, 2):
        c.msg(str(n), topic="a")
    c.expect_nothing()
    c.bye(props={"session_expiry": 0})


def restart(text):
    """Killed, and started with other rules."""
    broker.process.kill()
    broker.process.wait()
    broker.process = None
    rules(text)
    broker.start()


@s.scenario
def a_retained_message_goes_with_the_right_of_who_left_it():
    rules(ALL)
    p, m = user("p"), user("m")
    p.pub("left/p", b"p", 1, retain=True)
    m.pub("left/m", b"m", 1, retain=True)
    fewer = ALL.replace("user m\ntopic write #", "user m\ntopic write other")
    for change in (rules, restart):
        change(fewer)
        c = user("s")
        c.sub("left/#")
        c.msg("p", retain=True)
        c.expect_nothing()
        change(ALL)
        c = user("s")
        c.sub("left/+")
        assert {x.payload for x in c.msgs(2)} == {b"p", b"m"}
        c.bye()
    p = user("p")
    for topic in ("left/p", "left/m"):
        p.pub(topic, b"", 1, retain=True)
    p.bye()


@s.scenario
def a_will_needs_its_right_twice():
    rules(ALL.replace("user m\ntopic write #", "user m\ntopic write last/m"))
    c = user("s")
    c.sub("last/#")
    w = mqtt.Client(broker.address).hello("w", user="m", will=mqtt.will_of("last/other", b"no"))
    w.expect(mqtt.CONNACK, reason=0x87)
    w = user("m", will=mqtt.will_of("last/m", b"yes"))
    w.drop()
    c.msg("yes")
    w = user("m", will=mqtt.will_of("last/m", b"no more"))
    rules(ALL.replace("user m\ntopic write #", "user m\ntopic write other"))
    w.drop()
    c.expect_nothing(0.4)
    c.bye()


@s.scenario
def a_member_that_may_not_read_is_passed_over():
    rules(ALL + "user n\ntopic read jobs/#\ntopic deny jobs/secret\n")
    members = [user("s"), user("t")] + [user("n") for _ in range(4)]
    for c in members:
        c.sub("$share/g/jobs/+")
    p = user("p")
    for n in range(60):
        p.pub("jobs/secret", str(n), 1)
    got = []
    for c in members:
        mine = []
        for _ in range(2):  # what another worker has for it comes with the first answer, or behind it
            c.send(mqtt.PING)
            while (x := c.recv()).type != mqtt.PINGRESP:
                mine.append(int(x.payload))
        got.append(mine)
    assert sorted(sum(got, [])) == list(range(60)) and got[0] and got[1], got
    assert not any(got[2:]), got
    for c in members + [p]:
        c.bye()


rules(ALL)
with broker:
    s.main()
