"""test_heavy.py - floods and bombs: memory stays bounded, others are served meanwhile.

Each runs alone on the broker. A witness publishes to itself all the time; no round trip may take a
second, beside what the machine itself is late. Resident memory is compared with that after a warm-up of the same kind, so that only what
grows with the number of repetitions counts; fields are made large so that a leak shows.
"""
import contextlib
import select
import threading
import time

import mqtt
from case import case
from mqtt import NEVER, SUBACK, connect, publish, subscribe, unsubscribe, will_of

MB = 1 << 20
ALONE = dict(alone=True)


class Witness(threading.Thread):
    def __init__(self, t):
        super().__init__(daemon=True)
        self.client = t.client(version=4, timeout=20)
        self.topic = t.topic("witness")
        self.client.sub(self.topic)
        self.worst, self.late, self.error, self.end = 0.0, 0.0, None, False
        threading.Thread(target=self.measure_lateness, daemon=True).start()

    def measure_lateness(self):
        """How much later than it asked this program is woken: others have the CPUs, or its other threads run."""
        while not self.end:
            start = time.monotonic()
            time.sleep(0.02)
            self.late = max(self.late, time.monotonic() - start - 0.02)

    def run(self):
        try:
            while not self.end:
                start = time.monotonic()
                self.client.pub(self.topic, b"w")
                self.client.msg(b"w")
                self.worst = max(self.worst, time.monotonic() - start)
                time.sleep(0.02)
        except Exception as e:  # told by the test's own thread
            self.error = e


@contextlib.contextmanager
def others_served(t, seconds=1.0):
    witness = Witness(t)
    witness.start()
    yield witness
    witness.end = True
    witness.join(60)
    assert not witness.error, f"another client was harmed: {witness.error!r}"
    limit = seconds * (5 if t.broker.sanitized() else 1) + 3 * witness.late
    assert witness.worst < limit, f"another client waited {witness.worst:.2f} s, the machine was {witness.late:.2f} s late"


def growth(t, before, bound, what="memory"):
    """Waits a little for memory to come back; sanitizers keep what is freed, so they are excused."""
    end = time.monotonic() + 15
    while True:
        grown = t.broker.rss() - before
        if grown < bound or t.broker.sanitized():
            return
        assert time.monotonic() < end, f"{what} grew by {grown / MB:.1f} MB, bound {bound / MB:.1f}"
        time.sleep(0.1)


def pump(c, data, seconds=8.0):
    """Sends data while the broker takes it; reads nothing. Returns the bytes taken."""
    c.sock.setblocking(False)
    view, sent, end = memoryview(data), 0, time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while sent < len(data) and time.monotonic() < end:
            if select.select([], [c.sock], [], 0.5)[1]:
                sent += c.sock.send(view[sent:sent + (1 << 18)])
            elif time.monotonic() - (end - seconds) > 2:
                break  # back-pressure
    c.sock.settimeout(c.timeout)
    return sent


def answers(c, data, count, size, step=200_000):
    """Sends data in steps and reads count answers of size bytes in all."""
    got, want, at = 0, count * size, 0
    while got < want:
        if at < len(data):
            c.sock.sendall(data[at:at + step])
            at += step
        while got < want and (at >= len(data) or select.select([c.sock], [], [], 0)[0]):
            chunk = c.sock.recv(1 << 20)
            assert chunk, "closed in the middle"
            got += len(chunk)
    assert got == want, f"{got} bytes of answers, wanted {want}"


def repeat_connect(t, data, times):
    for _ in range(times):
        c = mqtt.Client(t.broker.address)
        c.send(data)
        c.sock.recv(1000)
        c.close()


def flat_over_connects(t, data, bound=5 * MB):
    repeat_connect(t, data, 500)
    before = t.broker.rss()
    with others_served(t):
        repeat_connect(t, data, 3000)
    growth(t, before, bound)


@case("B46", **ALONE)
def refused_connects_with_a_will(t):
    """The bad property is the Will's last, after 4 KB that may leak."""
    raw = mqtt.props_body({"user_property": [("k", "v" * 4000)]}) + b"\x13\0\5"
    flat_over_connects(t, connect("leak", will=dict(topic="w", payload=b"m" * 1000, qos=0, retain=False, props=raw)))


@case("B47", **ALONE)
def connects_with_every_property(t):
    will = will_of("w", b"m" * 500, 1, props={
        "will_delay": 0, "payload_format": 1, "message_expiry": 1, "content_type": "c", "response_topic": "r",
        "correlation_data": b"c", "user_property": [("k", "v" * 2000)]})
    props = {"session_expiry": 0, "receive_maximum": 9, "maximum_packet_size": 9000, "topic_alias_maximum": 9,
             "request_response_info": 1, "request_problem_info": 1, "user_property": [("k", "v" * 2000)]}
    flat_over_connects(t, connect("every", will=will, props=props, user="u" * 500, password="p"))


@case("D41", **ALONE)
def twenty_thousand_filters_in_one_subscribe(t):
    before = t.broker.rss()
    with others_served(t):
        c = t.client(timeout=20)
        c.send(subscribe(1, [(t.topic(f"+/{i}/#"), 0) for i in range(20000)]))
        got = c.recv()
        if got.type == SUBACK:
            assert len(got.reasons) == 20000 and set(got.reasons) <= {0, 0x97, 0x80, 0x83}
        else:
            assert got.type == mqtt.DISCONNECT and got.reason in (0x95, 0x97)
        c.drop()
        time.sleep(0.5)
    growth(t, before, 40 * MB)


def churn(t, c, first, count):
    """Subscribes and unsubscribes deep new topics, pipelined."""
    for at in range(first, first + count, 250):
        names = [t.topic("/".join(f"{level}-level-{i:08}" for level in "abcde")) for i in range(at, at + 250)]
        data = b"".join(subscribe(1, [(n, 0)], 4) + unsubscribe(2, [n], 4) for n in names)
        answers(c, data, len(names), 5 + 4)


@case("D42", **ALONE)
def subscription_churn(t):
    c = t.client(version=4)
    churn(t, c, 0, 2000)
    before = t.broker.rss()
    with others_served(t):
        churn(t, c, 2000, 10000)
    growth(t, before, 5 * MB)


@case("D43", **ALONE)
def wildcard_bomb(t):
    base = f"bomb{t.serial}/"
    filters = [base + "/".join("+a"[i >> level & 1] for level in range(14)) for i in range(16384)]
    s, p = t.client(timeout=20), t.client(timeout=20)
    with others_served(t):
        for at in range(0, len(filters), 4096):
            s.send(subscribe(1 + at, [(f, 0) for f in filters[at:at + 4096]]))
            assert set(s.recv_type(SUBACK).reasons) <= {0, 0x97}
        for _ in range(20):
            start = time.monotonic()
            p.pub(base + "/".join("a" * 14), b"boom", 1)
            s.msg(b"boom")
            assert time.monotonic() - start < 8
        s.drop()
        time.sleep(0.3)


@case("E09", **ALONE)
def copies_of_one_qos_2_publish(t):
    c = t.client(version=4)
    one = publish(t.topic(), b"x" * 1024, 2, 5, dup=True, version=4)
    answers(c, publish(t.topic(), b"x" * 1024, 2, 5, version=4) + one * 500, 501, 4)
    before = t.broker.rss()
    with others_served(t):
        answers(c, one * 12000, 12000, 4)
    growth(t, before, 4 * MB)


@case("F04", **ALONE)
def sessions_that_never_expire(t):
    """Nothing bounds them by default (max_sessions 0): a session must be cheap, and one that is given
    up must be gone."""
    before = t.broker.rss()
    with others_served(t):
        for expiry in (NEVER, 0):
            for i in range(3000):
                c = mqtt.Client(t.broker.address).open(t.cid(f"f04-{i}-"), clean=False, props={"session_expiry": expiry})
                c.drop()
    growth(t, before, 12 * MB)


@case("F05", **ALONE)
def messages_for_an_offline_session(t):
    s = t.durable("f05")
    s.sub(t.topic(), qos=1)
    s.bye()
    p = t.client(version=4)
    one = publish(t.topic(), b"x" * 1024, 1, 5, version=4)
    answers(p, one * 2000, 2000, 4)  # the queue's thousand is full now
    before = t.broker.rss()
    with others_served(t):
        answers(p, one * 48000, 48000, 4)
    growth(t, before, 6 * MB)
    s = t.durable("f05")
    for _ in range(50):
        s.msg(b"x" * 1024)
    s.send(mqtt.disconnect(0, {"session_expiry": 0}))


@case("K01", **ALONE)
def subscriber_that_never_reads(t):
    """100 MB at QoS 0 for it; another subscriber of the topic gets at least the later part."""
    s = t.client(rcvbuf=4096)
    s.sub(t.topic())
    s.sock.setblocking(False)
    before = t.broker.rss()
    p = t.client(timeout=30)
    one = publish(t.topic(), b"x" * 10240)
    with others_served(t):
        for _ in range(100):
            p.sock.sendall(one * 100)
        p.ping(60)
        growth(t, before, 64 * MB)
        other = t.client()
        other.sub(t.topic())
        p.sock.sendall(publish(t.topic(), b"last"))
        other.msg(b"last")
    s.drop()


@case("K02", **ALONE)
def pings_without_reading_the_answers(t):
    c = t.client(rcvbuf=4096)
    before = t.broker.rss()
    with others_served(t):
        pump(c, mqtt.PING * 4_000_000)
        growth(t, before, 32 * MB)
    c.drop()


@case("K03", **ALONE)
def many_retained_topics(t):
    p = t.client(version=4, timeout=20)

    def fill(payload):
        for at in range(0, 30000, 1000):
            p.sock.sendall(b"".join(publish(t.topic(f"{i:020}"), payload, retain=True, version=4)
                                    for i in range(at, at + 1000)))
        p.ping(60)

    fill(b"x" * 100)
    fill(b"")
    before = t.broker.rss()
    with others_served(t):
        for _ in range(2):
            fill(b"x" * 100)
            fill(b"")
    growth(t, before, 6 * MB)
    s = t.client()
    s.sub(t.topic("#"))
    s.expect_nothing(0.3)


@case("K04", **ALONE)
def connect_and_close_in_a_row(t):
    data = connect(t.cid("k04"), 4)
    with others_served(t):
        for _ in range(3000):
            c = mqtt.Client(t.broker.address)
            c.send(data)
            c.close()
    # What is still on its way through the other worker may take the session over once more.
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(mqtt.Closed, OSError):
            t.raw().open(t.cid("k04"), 4).ping()
            return
        assert time.monotonic() < end
