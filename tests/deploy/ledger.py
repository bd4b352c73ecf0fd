"""ledger.py - clients that publish and hear while a cluster changes, and what they were promised.

A publisher sends one message until it is acknowledged, by any pod that is ready, then the next one. A subscriber has a
session that outlives its connections. In the end each subscriber has everything that was acknowledged since it began;
and at QoS 2 nothing comes more often than it was sent.
"""
import collections
import threading
import time

import mqtt

PAUSE_S = 0.02       # between two messages of a publisher
RETRY_S = 0.2
ANSWER_S = 10        # a pod that has gone without a word is given up by then
PING_S = 2
KNOWN_S = 2          # after SUBACK, which waits 100 ms for nodes that are slow: by then all route to the filter
LOST = (OSError, mqtt.Closed, TimeoutError)
NOT_NOW = (0x88, 0x89, 0x97)  # its session is elsewhere, the pod drains, there is no room


class Worker(threading.Thread):
    def __init__(self, load, name):
        super().__init__(daemon=True)
        self.load, self.client_name, self.problem, self.comes = load, name, None, 0
        self.told = None  # by the last CONNACK
        self.start()

    def come(self, at=None, **kw):
        """A connection to any pod that is ready, or to the one that is said; None: not now."""
        client = None
        try:
            client = self.load.connect(at, timeout=self.load.answer_s)
            client.hello(self.client_name, user=self.load.user[0], password=self.load.user[1], keep_alive=30, **kw)
            connack = client.recv_type(mqtt.CONNACK, self.load.answer_s)
            self.told = connack.reason
            if connack.reason == 0:
                self.comes += 1
                return client
            assert connack.reason in NOT_NOW, f"{self.client_name} is told {connack.reason:#x}"
        except LOST:
            pass
        if client:
            client.close()
        time.sleep(RETRY_S)
        return None

    def run(self):
        try:
            while not self.load.over(self):
                self.turn()
        except Exception as e:  # looked at by the scenario's thread
            self.problem = e


class Publisher(Worker):
    def __init__(self, load, name, qos):
        self.qos, self.number = qos, 0
        super().__init__(load, name)

    def turn(self):
        client = self.come()
        if not client:
            return
        try:
            while not self.load.over(self):
                self._publish(client)
                time.sleep(PAUSE_S)
            client.bye()
        except LOST:
            client.close()

    def _publish(self, client):
        text = f"{self.client_name} {self.number}"
        self.load.sent[text] += 1
        mid, sent = next(client.mids), time.monotonic()
        client.send(mqtt.publish(f"load/{self.client_name}", text, self.qos, mid))
        got = client.recv_type(mqtt.PUBACK if self.qos == 1 else mqtt.PUBREC, self.load.answer_s)
        if got.reason >= 0x80:
            assert got.reason in (0x97, 0x80), got
            return
        # PUBREC is the promise; what follows frees the identifier.
        self.load.promise(text, sent)
        self.number += 1
        if self.qos == 2:
            client.send(mqtt.ack(mqtt.PUBREL, mid))
            client.recv_type(mqtt.PUBCOMP, self.load.answer_s)


class Subscriber(Worker):
    """at: the pod on which its session begins."""

    def __init__(self, load, name, qos, at):
        self.qos, self.at, self.begun, self.since = qos, at, False, None
        self.held, self.got = set(), collections.Counter()
        super().__init__(load, name)

    def turn(self):
        client = self.come(self.at if not self.begun else None, clean=not self.begun,
                           props={"session_expiry": 3600})
        if not client:
            return
        try:
            self._serve(client)
            client.bye()
        except LOST:
            client.close()

    def _serve(self, client):
        if self.begun:
            assert client.connack.session_present, f"{self.client_name}: its session is gone"
        else:
            client.sub("load/#", qos=self.qos)
            self.since, self.begun = time.monotonic() + KNOWN_S, True
        asked = answered = time.monotonic()
        while not self.load.over(self):
            now = time.monotonic()
            if now - asked >= PING_S:
                client.send(mqtt.PING)
                asked = now
            try:
                packet = client.recv(0.2)
            except TimeoutError:
                if time.monotonic() - answered > self.load.answer_s:
                    raise
                continue
            answered = time.monotonic()
            self._take(client, packet)

    def _take(self, client, packet):
        if packet.type == mqtt.PUBREL:
            self.held.discard(packet.mid)
            client.send(mqtt.ack(mqtt.PUBCOMP, packet.mid))
        elif packet.type == mqtt.PUBLISH:
            # At QoS 2 a packet that is held already is the same message once more.
            if packet.qos != 2 or packet.mid not in self.held:
                self.got[packet.payload.decode()] += 1
            if packet.qos == 2:
                self.held.add(packet.mid)
            client.send(mqtt.ack(mqtt.PUBREC if packet.qos == 2 else mqtt.PUBACK, packet.mid))


class Load:
    """connect(pod number or None, timeout=...) -> mqtt.Client. user: (name, password)."""

    def __init__(self, connect, user):
        self.connect, self.user = connect, user
        self.sent, self.promised, self.lock = collections.Counter(), [], threading.Lock()
        self.publishers, self.subscribers = [], []
        self.quiet, self.closed = threading.Event(), threading.Event()
        self.answer_s = ANSWER_S  # longer where no pod goes, and each connection that is lost counts

    def over(self, worker):
        return (self.quiet if isinstance(worker, Publisher) else self.closed).is_set()

    def promise(self, text, sent):
        """sent: when it was published, which may be long before it was acknowledged."""
        with self.lock:
            self.promised.append((text, sent))

    def count(self):
        with self.lock:
            return len(self.promised)

    def publish(self, name, qos):
        self.publishers.append(Publisher(self, name, qos))

    def subscribe(self, name, qos, at=None):
        self.subscribers.append(Subscriber(self, name, qos, at))
        self._wait(f"{name} subscribes", lambda: self.subscribers[-1].begun)
        time.sleep(KNOWN_S)
        return self.subscribers[-1]

    def begin(self, homes):
        """Subscribers with a session on each of these pods, by turns at QoS 1 and 2; publishers at both."""
        for i, number in enumerate(homes):
            self.subscribe(f"hears-{i}", 1 + i % 2, number)
        for name, qos in (("tells-1", 1), ("tells-2", 1), ("tells-twice", 2)):
            self.publish(name, qos)
        self.flows()

    def _wait(self, what, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            for worker in [*self.publishers, *self.subscribers]:
                if worker.problem:
                    raise AssertionError(f"{worker.client_name}: {worker.problem!r}") from worker.problem
            assert time.monotonic() < end, f"{what}: not in {seconds} s"
            time.sleep(0.02)

    def flows(self, more=20):
        """Each publisher gets so many acknowledgements more."""
        before = {p: p.number for p in self.publishers}
        self._wait("acknowledgements come", lambda: all(p.number >= n + more for p, n in before.items()))

    def missing(self, subscriber):
        with self.lock:
            owed = [text for text, sent in self.promised if sent >= subscriber.since]
        return [text for text in owed if text not in subscriber.got]

    def settle(self, among=None):
        """What has been promised by now arrives."""
        with self.lock:
            now = len(self.promised)
        for s in among or self.subscribers:
            def all_here(s=s):
                with self.lock:
                    owed = [text for text, sent in self.promised[:now] if sent >= s.since]
                return all(text in s.got for text in owed)
            try:
                self._wait(f"{s.client_name} has everything", all_here)
            except AssertionError as e:
                lost = self.missing(s)
                raise AssertionError(f"{e}; {len(lost)} of {now} are missing: {lost[:5]}") from None

    def end(self):
        """Publishers stop, everything arrives, all leave. Returns what was promised."""
        self.quiet.set()
        for p in self.publishers:
            p.join(60)
        self.settle()
        self.closed.set()
        for s in self.subscribers:
            s.join(60)
            twice = {t: n for t, n in s.got.items() if s.qos == 2 and t.startswith("tells-twice") and n > self.sent[t]}
            assert not twice, f"{s.client_name} got more copies at QoS 2 than there were: {twice}"
        self._wait("all have ended", lambda: True)  # whoever had a problem
        return self.count()
