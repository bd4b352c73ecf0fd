"""Nodes join, are killed, are restarted one by one, and lose sight of each other: what was acknowledged arrives."""
import os
import pathlib
import socket
import threading
import time

import mqtt
import scenario as s
from mqtt import PUBACK, PUBCOMP, PUBREC, PUBREL, Closed
from nodes import Nodes

KEEP = {"session_expiry": 3600}
GONE = (OSError, Closed, TimeoutError)
HEALED_S = 20
CUT_S = int(os.environ.get("CUT_S", "10"))  # by hand, longer ones
BOTH = [(0, 1), (1, 0)]


def gone(error):
    """Whether a client's error says that its node has ended, and not that the node does wrong."""
    return isinstance(error, GONE) or "but closed" in str(error) or "but nothing came" in str(error)


class Durable(threading.Thread):
    """A client with a session, which comes again to its node whenever it has lost it."""

    def __init__(self, nodes, i, name):
        super().__init__(daemon=True)
        self.nodes, self.i, self.name = nodes, i, name
        self.ending, self.wrong, self.client = threading.Event(), None, None

    def come(self, clean=False):
        while not self.ending.is_set():
            try:
                self.client = self.nodes.client(self.i, self.name, clean=clean, props=KEEP)
                return True
            except (*GONE, AssertionError) as e:
                if not gone(e) and "reason is" not in str(e):  # a node that ends refuses, with a reason
                    raise
                time.sleep(0.05)
        return False

    def run(self):
        try:
            while not self.ending.is_set():
                try:
                    self.work()
                except (*GONE, AssertionError) as e:
                    if not gone(e) and not self.client.goodbye:
                        raise
                    self.client.close()
                    self.come()
        except Exception as e:
            self.wrong = e

    def end(self):
        self.ending.set()
        self.join(90)
        assert self.wrong is None, f"{self.name}: {type(self.wrong).__name__}: {self.wrong}"
        assert not self.is_alive(), f"{self.name} does not end"
        self.client.close()


class Publisher(Durable):
    """Numbers to a topic, QoS 1 and 2 by turns; acked: those that the node has taken."""

    def __init__(self, nodes, i, topic, pause_s=0.003):
        super().__init__(nodes, i, f"pub-{topic}")
        self.topic, self.pause_s, self.number, self.acked, self.released = topic, pause_s, 0, [], False
        self.sent = False
        self.come(clean=True)
        self.start()

    def work(self):
        number, qos = self.number, 1 + self.number % 2
        mid = number % 60000 + 1
        if not self.released:
            self.client.send(mqtt.publish(self.topic, b"%d" % number, qos, mid, dup=self.sent, version=mqtt.V5))
            self.sent = True
            got = self.client.recv_type(PUBACK if qos == 1 else PUBREC)
            assert got.mid == mid and got.reason < 0x80, got
            self.released = qos == 2
        if self.released:
            self.client.send(mqtt.ack(PUBREL, mid))
            assert self.client.recv_type(PUBCOMP).mid == mid
        self.acked.append(number)
        self.released = self.sent = False
        self.number += 1
        time.sleep(self.pause_s)


class Bulk(Durable):
    """Numbers to a topic, all at QoS 1, many before the first of them is acknowledged."""
    MANY = 100

    def __init__(self, nodes, i, topic):
        super().__init__(nodes, i, f"bulk-{topic}")
        self.topic, self.acked, self.waiting, self.number = topic, [], [], 0
        self.come(clean=True)
        self.start()

    def work(self):
        if not self.waiting:
            self.waiting = list(range(self.number, self.number + self.MANY))
            self.number += self.MANY
        self.client.send(*[mqtt.publish(self.topic, b"%d" % n, 1, n % 60000 + 1, version=mqtt.V5) for n in self.waiting])
        while self.waiting:
            got = self.client.recv_type(PUBACK)
            assert got.mid == self.waiting[0] % 60000 + 1 and got.reason < 0x80, got
            self.acked.append(self.waiting.pop(0))
        time.sleep(0.02)  # the one that reads is no faster


class Subscriber(Durable):
    """got: what came, by topic, as (number, DUP)."""

    def __init__(self, nodes, i, name, filter):
        super().__init__(nodes, i, name)
        self.got, self.last_s = {}, time.monotonic()
        self.come(clean=True)
        self.client.sub(filter, qos=2)
        self.start()

    def work(self):
        try:
            packet = self.client.recv(0.2)
        except TimeoutError:
            return
        if packet.type == mqtt.PUBLISH:
            self.got.setdefault(packet.topic, []).append((int(packet.payload), packet.dup))
            self.last_s = time.monotonic()
            self.client.send(mqtt.ack(PUBACK if packet.qos == 1 else PUBREC, packet.mid))
        elif packet.type == PUBREL:
            self.client.send(mqtt.ack(PUBCOMP, packet.mid))

    def lacks(self, publisher):
        return set(publisher.acked) - {number for number, _ in self.got.get(publisher.topic, [])}


def must_have_all(subscribers, publishers, timeout=60):
    """All that was acknowledged has come to all, in order, and QoS 2 once."""
    for publisher in publishers:
        publisher.end()
        assert len(publisher.acked) > 50, (publisher.name, len(publisher.acked))
    end = time.monotonic() + timeout
    while time.monotonic() < end and any(sub.lacks(p) for sub in subscribers for p in publishers):
        time.sleep(0.1)
    for sub in subscribers:
        sub.end()
        for p in publishers:
            lacking = sorted(sub.lacks(p))
            assert not lacking, f"{sub.name} lacks {len(lacking)} of {len(p.acked)} of {p.topic}: {lacking[:8]}"
            fresh = [number for number, dup in sub.got[p.topic] if not dup]
            twos = [number for number in fresh if number % 2]
            assert len(twos) == len(set(twos)), f"{sub.name}: twice, at QoS 2: {[n for n in twos if twos.count(n) > 1][:8]}"
            for parity in (0, 1):  # QoS 1 may be repeated, and only then goes back
                firsts = list(dict.fromkeys(n for n, _ in sub.got[p.topic] if n % 2 == parity))
                assert firsts == sorted(firsts), f"{sub.name}: {p.topic} is out of order"


def heard_s(nodes, a, b, timeout=HEALED_S):
    """Until a subscription that is made now on a hears what is published on b."""
    begin = time.monotonic()
    name = f"fresh/{begin}"
    ear, mouth = nodes.client(a, f"ear-{begin}"), nodes.client(b, f"mouth-{begin}")
    ear.sub(name, qos=1)
    while True:
        mouth.pub(name, b"x", 1)
        try:
            ear.msg(b"x", timeout=0.1)
            break
        except AssertionError as e:
            assert "nothing came" in str(e) and time.monotonic() - begin < timeout, f"{a} does not hear {b}: {e}"
    ear.close()
    mouth.close()
    return time.monotonic() - begin


@s.scenario
def a_new_node_gets_routes_and_what_is_retained_by_itself():
    with Nodes(2, "sys_interval 1") as nodes:
        old = nodes.client(0, "old")
        old.sub("joined/#", qos=1)
        for n in range(100):
            old.pub(f"kept/{n}", b"%d" % n, 1, retain=True)
        i = nodes.add(f"cluster_dns localhost:{nodes.ports[0]}")
        nodes.wait_linked()
        new = nodes.client(i, "new")
        new.pub("joined/x", b"hello", 1)
        assert old.msg(b"hello").topic == "joined/x"
        end, got = time.monotonic() + 30, {}
        while len(got) < 100:
            assert time.monotonic() < end, len(got)
            new.sub("kept/#", qos=1)
            try:
                while True:
                    packet = new.msg(timeout=0.2)
                    got[packet.topic] = packet.payload
            except AssertionError:
                pass
        assert got == {f"kept/{n}": b"%d" % n for n in range(100)}
        for n in range(3):
            nodes.figure(n, "nodes/alive", lambda x: x == 3)
            nodes.figure(n, "links/up", lambda x: x == 2)
            nodes.figure(n, "messages/waiting", lambda x: x == 0)
            assert nodes.figure(n, "nodes/dead") == nodes.figure(n, "routes/divergence") == 0
        nodes.figure(0, "routes/ours", lambda x: x == 1)
        nodes.figure(i, "routes/theirs", lambda x: x == 1)  # kept/# is its own
        assert nodes.figure(0, "routes/told") > 0


with_three = Nodes(3, "sys_interval 1")


@s.scenario
def figures_tell_of_the_dead_and_of_what_waits_for_them():
    nodes = with_three
    away = nodes.client(2, "away", clean=True, props=KEEP)
    away.sub("wait/#", qos=1)
    nodes.kill(2)
    pub = nodes.client(0, "waiting")
    for n in range(25):
        pub.pub("wait/x", b"%d" % n, 1)
    nodes.figure(0, "nodes/dead", lambda x: x == 1)
    nodes.figure(0, "nodes/alive", lambda x: x == 2)
    nodes.figure(0, "messages/waiting", lambda x: x == 25)
    nodes.figure(0, "links/up", lambda x: x == 1)
    nodes[2].start()
    away = nodes.client(2, "away", clean=False, props=KEEP)
    assert [int(p.payload) for p in away.msgs(25)] == list(range(25))
    nodes.figure(0, "messages/waiting", lambda x: x == 0)
    nodes.figure(0, "nodes/dead", lambda x: x == 0)
    nodes.wait_linked()


@s.scenario
def strangers_are_told_of_once_a_minute():
    nodes = with_three
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        for _ in range(30):
            stranger.sendto(b"\1" + os.urandom(200), ("127.0.0.1", nodes.ports[0]))
        port = stranger.getsockname()[1]
    nodes.figure(0, "strangers", lambda x: x == 30)
    line = rf"Node \[127.0.0.1:{port}\] has another secret or cluster name \(\d+ times\)"
    nodes[0].wait_log(line)
    assert nodes[0].log().count("has another secret") == 1


def keepalive_s(port):
    """Of each connection to this port of this machine: seconds until it is asked whether it is still there, or None."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, _, timer = line.split()[:6]
        if state == "01" and remote == f"0100007F:{port:04X}":
            kind, ticks = timer.split(":")
            yield int(ticks, 16) / 100 if kind == "02" else None


@s.scenario
def a_machine_that_is_gone_is_noticed_though_nothing_is_sent():
    end = time.monotonic() + 30  # a timer may stand for something that is on its way
    for port in with_three.ports:
        while True:
            timers = list(keepalive_s(port))
            if len(timers) == 2 and all(t is not None and t <= 5.5 for t in timers):
                break
            assert time.monotonic() < end, timers
            time.sleep(0.1)


@s.scenario
def two_of_three_are_killed_at_once():
    nodes = with_three
    subscribers = [Subscriber(nodes, i, f"both-{i}", "both/#") for i in range(3)]
    publishers = [Publisher(nodes, i, f"both/{i}") for i in range(3)]
    for killed in ((1, 2), (0, 1)):
        time.sleep(1)
        for i in killed:
            nodes[i].process.kill()
        for i in killed:
            nodes[i].process.wait()
        time.sleep(0.5)
        for i in killed:
            nodes[i].start()
        nodes.wait_linked(timeout=HEALED_S)
    time.sleep(0.5)
    must_have_all(subscribers, publishers)


@s.scenario
def a_rolling_restart_loses_nothing():
    nodes = with_three
    subscribers = [Subscriber(nodes, i, f"roll-{i}", "roll/#") for i in range(3)]
    publishers = [Publisher(nodes, i, f"roll/{i}") for i in range(3)]
    for i in range(3):
        time.sleep(0.7)
        nodes.restart(i)
        nodes.wait_linked(timeout=HEALED_S)
    time.sleep(0.5)
    must_have_all(subscribers, publishers)


def cut_and_heal(nodes, cut, heal, cut_off):
    """Under load. cut_off: (from, to), the ways that are cut. 300 subscriptions are made meanwhile."""
    subscribers = [Subscriber(nodes, i, f"cut-{i}", "cut/#") for i in range(2)]
    publishers = [Publisher(nodes, i, f"cut/{i}") for i in range(2)]
    time.sleep(1)
    cut()
    late = nodes.client(0, f"late-{time.monotonic_ns()}")
    end = time.monotonic() + CUT_S
    for n in range(0, 300, 10):
        late.sub(*(f"late/{m}/+" for m in range(n, n + 10)), qos=1)
    assert time.monotonic() < end + 20, "subscribing takes too long"
    if cut_off is BOTH:
        nodes[0].wait_log("Node n1 .* is dead")
    time.sleep(max(0, end - time.monotonic()))
    for a, b in cut_off:
        assert len(subscribers[b].lacks(publishers[a])) > 50, f"{a} to {b} was not cut"
    heal()
    begin = time.monotonic()
    heard_s(nodes, 0, 1)
    heard_s(nodes, 1, 0)
    healed_s = time.monotonic() - begin
    assert healed_s < HEALED_S
    teller = nodes.client(1, f"teller-{time.monotonic_ns()}")
    for n in range(300):
        teller.pub(f"late/{n}/x", b"", 1)
    assert [p.topic for p in late.msgs(300)] == [f"late/{n}/x" for n in range(300)]
    teller.close()
    late.close()
    must_have_all(subscribers, publishers)
    print(f"healed after {healed_s:.1f} s", flush=True)


@s.scenario
def a_cut_both_ways_heals():
    def cut():
        for proxy in nodes.proxies:
            proxy.cut()

    def heal(reset):
        for proxy in nodes.proxies:
            proxy.heal(reset)

    with Nodes(2, "max_queued_messages 0", proxies=True) as nodes:  # they publish faster than one reads
        cut_and_heal(nodes, cut, lambda: heal(False), BOTH)
        cut_and_heal(nodes, cut, lambda: heal(True), BOTH)


@s.scenario
def what_is_acknowledged_in_bulk_comes_though_either_node_is_killed():
    with Nodes(2, "max_queued_messages 0") as nodes:
        sub, pub = Subscriber(nodes, 1, "bulk", "bulk/#"), Bulk(nodes, 0, "bulk/0")
        for killed in ((0,), (1,), (0, 1), (1, 0)):
            time.sleep(0.7)
            for i in killed:
                nodes[i].process.kill()
            for i in killed:
                nodes[i].process.wait()
                nodes[i].start()
            nodes.wait_linked(timeout=HEALED_S)
        pub.end()
        assert len(pub.acked) > 1000, len(pub.acked)
        end = time.monotonic() + 20
        while sub.lacks(pub) and time.monotonic() < end:
            time.sleep(0.1)
        sub.end()
        lacking = sorted(sub.lacks(pub))
        assert not lacking, f"{len(lacking)} of {len(pub.acked)} did not come: {lacking[:8]}"
        firsts = list(dict.fromkeys(number for number, _ in sub.got[pub.topic]))
        assert firsts == sorted(firsts), "out of order"


@s.scenario
def a_cut_one_way_heals():
    def cut(a, b):
        """What a says does not come to b."""
        nodes.proxies[b].cut(inwards=True, outwards=False)
        nodes.proxies[a].cut(inwards=False, outwards=True)

    def heal():
        for proxy in nodes.proxies:
            proxy.heal()

    with Nodes(2, "max_queued_messages 0", proxies=True) as nodes:  # they publish faster than one reads
        cut_and_heal(nodes, lambda: cut(0, 1), heal, [(0, 1)])
        cut_and_heal(nodes, lambda: cut(1, 0), heal, [(1, 0)])


with with_three:
    s.main()
