"""selftest.py - feeds each check with a history that keeps its promise and with those that break it."""
import checks as c
from checks import Connack, Message, Publish, Pubrel


def messages(n=4, qos=1, acked=True):
    return {("p", i): Message(("p", i), "t", qos, b"p %d " % i, acked=1.0 + i if acked else None) for i in range(n)}


def got(i, qos=1, dup=False, mid=None, topic="t", payload=None):
    return Publish(("p", i), topic, qos, dup, mid or i + 1, b"p %d " % i if payload is None else payload)


def deliver(events, qos=1, sent=None, filters=("t",)):
    return c.check_delivery("s", filters, messages(qos=qos) if sent is None else sent, events, kills=[2.5])


def delivery_cases():
    """(name, the kind of problem that is wanted or None, what the check says)"""
    all_4 = [got(i) for i in range(4)]
    crash = Connack(True)
    yield "QoS 1 complete", None, deliver(all_4)
    yield "QoS 1 repeated with DUP", None, deliver(all_4[:3] + [crash, got(1, dup=True), got(2, dup=True), got(3)])
    yield "QoS 1 sent twice by its publisher", None, deliver(all_4 + [got(3)], sent=messages() | {
        ("p", 3): Message(("p", 3), "t", 1, b"p 3 ", sends=2, acked=4.0)})
    yield "QoS 1 unacknowledged is not owed", None, deliver(all_4[:3], sent=messages() | {
        ("p", 3): Message(("p", 3), "t", 1, b"p 3 ")})
    yield "QoS 1 lost", "QoS 1 lost", deliver(all_4[:2] + all_4[3:])
    yield "QoS 1 all lost", "QoS 1 lost", deliver([])
    yield "QoS 1 repeated without DUP", "repeated without DUP", deliver(all_4[:3] + [crash, got(2), got(3)])
    yield "QoS 1 out of order", "out of order", deliver([got(0), got(2), got(1), got(3)])
    yield "QoS 1 lower after the crash", "QoS changed", deliver(all_4[:3] + [got(3, qos=0, mid=9)])
    yield "payload changed", "payload changed", deliver(all_4[:3] + [got(3, payload=b"p 3 x")])
    yield "message of nobody", "never sent", deliver(all_4 + [got(77)])
    yield "wrong topic", "never sent", deliver(all_4 + [got(3, topic="u")])
    yield "never asked for", "never asked for", deliver(all_4, filters=("other/#",))
    yield from qos_2_cases(crash)


def qos_2_cases(crash):
    whole = [e for i in range(4) for e in (got(i, 2), Pubrel(i + 1))]
    yield "QoS 2 complete", None, deliver(whole, 2)
    yield "QoS 2 repeated before PUBREL", None, deliver(
        [got(0, 2), crash, got(0, 2, dup=True), Pubrel(1), crash, Pubrel(1)] + whole[2:], 2)
    yield "QoS 2 packet id used again after PUBREL", None, deliver(
        [e for i in range(4) for e in (got(i, 2, mid=1), Pubrel(1))], 2)
    yield "QoS 2 lost", "QoS 2 lost", deliver(whole[:-2], 2)
    yield "QoS 2 twice under another packet id", "QoS 2 delivered twice", deliver(
        [got(0, 2), crash, got(0, 2, dup=True, mid=9), Pubrel(1), Pubrel(9)] + whole[2:], 2)
    yield "QoS 2 again after PUBREL", "QoS 2 sent again after PUBREC", deliver(
        whole[:2] + [crash, got(0, 2, dup=True), Pubrel(1)] + whole[2:], 2)
    yield "QoS 2 again in a new session", "QoS 2 delivered twice", deliver(
        [got(0, 2), Connack(False), got(0, 2), Pubrel(1)] + whole[2:], 2)
    yield "QoS 2 repeated without DUP", "repeated without DUP", deliver([got(0, 2), crash] + whole, 2)
    yield "QoS 2 packet id reused in flight", "packet id reused in flight", deliver(
        [got(0, 2), got(1, 2, mid=1), Pubrel(1)] + whole[2:], 2)
    yield "QoS 2 out of order", "out of order", deliver(whole[2:4] + whole[:2] + whole[4:], 2)


def exchange_cases():
    one, again = Message(("p", 0), "t", 2), Message(("p", 0), "t", 2)
    one.releases, again.releases = 1, 2
    yield "all acknowledged", None, c.check_publisher("p", messages().values())
    yield "no acknowledgement", "no acknowledgement after the restart", c.check_publisher(
        "p", messages(acked=False).values())
    yield "PUBCOMP", None, c.check_pubcomp("p", one, 0)
    yield "second PUBREL not found", None, c.check_pubcomp("p", again, 0x92)
    yield "first PUBREL not found", "PUBREL refused", c.check_pubcomp("p", one, 0x92)
    yield "PUBACK", None, c.check_puback("p", one, 0)
    yield "PUBACK without subscribers", None, c.check_puback("p", one, 0x10, subscribed=False)
    yield "PUBACK forgets subscribers", "subscribers forgotten", c.check_puback("p", one, 0x10)
    yield "PUBACK refuses", "message refused", c.check_puback("p", one, 0x97)
    yield "PUBREL comes again", None, c.check_outgoing_qos2("s", 7, [("PUBREL", 7), ("PUBLISH", 8)])
    yield "PUBLISH after PUBREC", "QoS 2 sent again after PUBREC", c.check_outgoing_qos2("s", 7, [("PUBLISH", 7)])
    yield "PUBREL forgotten", "PUBREL forgotten", c.check_outgoing_qos2("s", 7, [])
    yield "exactly", None, c.check_exactly("s", "ab", "ab")
    yield "exactly, lost", "QoS 2 lost", c.check_exactly("s", "ab", "a")
    yield "exactly, twice", "QoS 2 delivered twice", c.check_exactly("s", "ab", "aab")
    yield "exactly, order", "out of order", c.check_exactly("s", "ab", "ba")
    yield "programs", None, c.check_loosely("s", ["a", "b"], ["b", "a", "c"], True)
    yield "programs, QoS 1 twice", None, c.check_loosely("s", ["a"], ["a", "a"], False)
    yield "programs, sender's own repetition", None, c.check_loosely("s", ["a"], ["a", "a"], True, ["a"])
    yield "programs, QoS 1 lost", "QoS 1 lost", c.check_loosely("s", ["a", "b"], ["b"], False)
    yield "programs, QoS 2 lost", "QoS 2 lost", c.check_loosely("s", ["a", "b"], ["b"], True)
    yield "programs, QoS 2 twice", "QoS 2 delivered twice", c.check_loosely("s", ["a"], ["a", "a"], True)


def session_cases():
    yield "session is there", None, c.check_session("s", True, True)
    yield "session is not there", None, c.check_session("s", False, False)
    yield "session may be there", None, c.check_session("s", None, True)
    yield "session lost", "session lost", c.check_session("s", True, False)
    yield "session risen", "session risen from the dead", c.check_session("s", False, True)
    on, off, open_ = ({1}, {9}), ({None}, {None}), ({None, 2}, {None, 9})

    def subs(wanted, seen):
        return c.check_subscriptions("s", {"t": wanted}, seen)

    yield "subscription is there", None, subs(on, {"t": (1, 9)})
    yield "subscription is gone", None, subs(off, {})
    yield "subscription without SUBACK is there", None, subs(open_, {"t": (2, 9)})
    yield "subscription without SUBACK is not there", None, subs(open_, {})
    yield "subscription lost", "subscription lost", subs(on, {})
    yield "subscription still there", "subscription still there", subs(off, {"t": (1, None)})
    yield "subscription's QoS", "subscription changed", subs(on, {"t": (0, 9)})
    yield "subscription's identifier", "subscription changed", subs(on, {"t": (1, None)})
    yield "subscription never made", "subscription never made", subs(on, {"t": (1, 9), "u": (1, 9)})


def retained_cases():
    history = [(b"1", True), (b"2", True), (b"3", False), (None, False)]
    cleared = [(b"1", True), (None, True)]

    def kept(writes, value):
        return c.check_retained({"t": writes}, {} if value is None else {"t": value})

    yield "retained as acknowledged", None, kept(history, b"2")
    yield "retained, a later one", None, kept(history, b"3")
    yield "retained, a later clear", None, kept(history, None)
    yield "cleared", None, kept(cleared, None)
    yield "never acknowledged, not there", None, kept([(b"1", False)], None)
    yield "retained, an older one", "retained message is an older one", kept(history, b"1")
    yield "retained, never sent", "retained message never sent", kept(history, b"4")
    yield "retained lost", "retained message lost", kept(history[:2], None)
    yield "cleared is back", "cleared retained message is back", kept(cleared, b"1")
    yield "retained on a topic of nobody", "retained message never sent", c.check_retained({}, {"t": b"1"})


def time_cases():
    yield "wills", None, c.check_wills(["w"], ["clean"], ["w"])
    yield "will lost", "will lost", c.check_wills(["w"], [], [])
    yield "will twice", "will published twice", c.check_wills(["w"], [], ["w", "w"])
    yield "will after DISCONNECT", "will of a client that left cleanly", c.check_wills([], ["clean"], ["clean"])
    sent = {"short": 2, "long": 60, "ever": None}
    yield "expiry", None, c.check_expiry(sent, 3.2, {"long": 57, "ever": None})
    yield "expired delivered", "expired message delivered", c.check_expiry(
        sent, 3.2, {"short": 1, "long": 57, "ever": None})
    yield "lost before its expiry", "message lost before its expiry", c.check_expiry(sent, 3.2, {"ever": None})
    yield "lost without an expiry", "message lost before its expiry", c.check_expiry(sent, 3.2, {"long": 57})
    yield "expiry starts anew", "expiry not counted down", c.check_expiry(sent, 3.2, {"long": 60, "ever": None})
    yield "expiry forgotten", "expiry not counted down", c.check_expiry(sent, 3.2, {"long": None, "ever": None})
    yield "expiry invented", "expiry invented", c.check_expiry(sent, 3.2, {"long": 57, "ever": 9})


def run(verbose=False):
    """(passed, failed)"""
    passed = failed = 0
    for cases in (delivery_cases, exchange_cases, session_cases, retained_cases, time_cases):
        for name, wanted, problems in cases():
            kinds = {kind for kind, _ in problems}
            good = wanted in kinds if wanted else not kinds
            passed, failed = passed + good, failed + (not good)
            if not good:
                print(f"FAIL self-test, {name}: wanted {wanted}, the check says {problems}", flush=True)
            elif verbose:
                print(f"PASS self-test, {name}: {'bad, ' + wanted if wanted else 'good'}", flush=True)
    return passed, failed
