"""`ternmqctl decommission`: each session that outlives its connection goes to another node, with all that waits for it and
is under way, whatever is published meanwhile and whoever dies; then the node and its disk may go."""
import collections
import threading
import time

import mqtt
import scenario as s
from nodes import Controlled

KEEP = {"session_expiry": 3600}


class Moving(Controlled):
    def decommission(self, i, **kw):
        return self.ctl(i, "decommission", "--for", "1s", **kw)

    def moved(self, i, timeout=60):
        """Waits until it is done; returns how many sessions have gone. Off: it was, and has started again."""
        def done():
            state = self.ctl(i, "status")["decommission"]
            return state["state"] in ("done", "off") and state
        return s.until(done, lambda: str([self.ctl(i, "status")["decommission"], self.ctl(i, "cluster")]), timeout)["moved"]


def comes(nodes, i, name, timeout=30):
    """Goes on with its session there, as soon as it is served."""
    end = time.monotonic() + timeout
    while True:
        c = mqtt.Client(nodes[i].address).hello(name, mqtt.V5, clean=False, props=KEEP)
        got = c.recv()
        if got.type == mqtt.CONNACK and got.reason == 0:
            assert got.session_present, name
            return c
        assert got.reason in (0x88, 0x89, 0x9C) and time.monotonic() < end, got
        c.close()
        time.sleep(0.1)


def take(c, count, timeout=30):
    """So many messages, each acknowledged as it asks for. What comes again counts once where it says so."""
    got, end = [], time.monotonic() + timeout
    waiting = set()
    while len(got) < count or waiting:
        assert time.monotonic() < end, f"{len(got)} of {count}, {waiting}"
        try:
            p = c.recv(1)
        except TimeoutError:
            continue
        if p.type == mqtt.PUBLISH:
            if p.qos == 2 and p.mid in waiting:
                continue
            got.append(p)
            if p.qos == 1:
                c.send(mqtt.ack(mqtt.PUBACK, p.mid))
            elif p.qos == 2:
                waiting.add(p.mid)
                c.send(mqtt.ack(mqtt.PUBREC, p.mid))
        elif p.type == mqtt.PUBREL:
            waiting.discard(p.mid)
            c.send(mqtt.ack(mqtt.PUBCOMP, p.mid))
    return got


def waits_are_moved(store):
    with Moving(store=store) as nodes:
        pub = nodes.client(1, "pub")
        names = [f"mover-{n}" for n in range(24)]
        for name in names:
            c = nodes.client(0, name, mqtt.V5, clean=False, props=KEEP)
            c.sub(f"to/{name}", qos=2)
            c.sub(f"all/+", qos=1)
            c.bye()
        for n in range(12):
            pub.pub("all/1", f"all {n}", 1)
            for name in names:
                pub.pub(f"to/{name}", f"{n}", 1 + n % 2)
        state = nodes.decommission(0)
        assert state["state"] != "off"
        assert nodes.moved(0) == len(names)
        assert not nodes.sessions(0) & set(names)
        here = [nodes.sessions(i) & set(names) for i in (1, 2)]
        assert here[0] | here[1] == set(names) and not here[0] & here[1] and all(here), here
        for n, name in enumerate(names):
            c = comes(nodes, 1 + n % 2, name)
            got = take(c, 24)
            mine = [p.payload.decode() for p in got if p.topic == f"to/{name}"]
            assert mine == [str(n) for n in range(12)], mine
            assert [p.qos for p in got if p.topic == f"to/{name}"] == [1, 2] * 6
            assert [p.payload for p in got if p.topic == "all/1"] == [f"all {n}".encode() for n in range(12)]
            pub.pub(f"to/{name}", b"after", 2)
            assert take(c, 1)[0].payload == b"after"
            c.expect_nothing(0.05)
            c.bye()
        pub.bye()


@s.scenario
def what_waits_goes_along():
    waits_are_moved(store=True)


@s.scenario
def without_stores_as_well():
    waits_are_moved(store=False)


@s.scenario
def long_queues_and_long_messages_go_along():
    with Moving(config="max_queued_messages 100000") as nodes:
        pub = nodes.client(1, "pub")
        for name, filters in (("long", ["many"]), ("wide", ["big/#"])):
            c = nodes.client(0, name, mqtt.V5, clean=False, props=KEEP)
            c.sub(*filters, qos=1)
            c.bye()
        time.sleep(0.3)
        for n in range(0, 6000, 50):  # pages of what is on the disk alone
            pub.send(*(mqtt.publish("many", b"%d" % i, 1, mid=1 + i) for i in range(n, n + 50)))
            for _ in range(50):
                pub.expect(mqtt.PUBACK, timeout=30)
        for n in range(12):
            pub.pub(f"big/{n}", bytes([n]) * 300_000, 1)
        nodes.decommission(0)
        nodes.moved(0, 90)
        c = comes(nodes, 2, "long")
        assert [p.payload for p in take(c, 6000, 60)] == [b"%d" % n for n in range(6000)]
        c.expect_nothing()
        c.bye()
        c = comes(nodes, 1, "wide")
        assert [(p.topic, p.payload) for p in take(c, 12, 60)] == [(f"big/{n}", bytes([n]) * 300_000) for n in range(12)]
        c.bye()
        pub.bye()


@s.scenario
def members_of_share_groups_go_along():
    """A group of which members move, and others stay: each message once in all, and the group goes on."""
    with Moving(config="max_queued_messages 100000") as nodes:
        names = [f"member-{n}" for n in range(6)]
        for n, name in enumerate(names):
            c = nodes.client(0 if n < 4 else 1, name, mqtt.V5, clean=False, props=KEEP)
            c.sub("$share/g/jobs/#", qos=2)
            c.bye()
        time.sleep(0.3)
        publishers = [Publisher(nodes, i, f"pub-{i}", ["jobs/1", "jobs/2"]) for i in (1, 2)]
        for p in publishers:
            p.start()
        time.sleep(0.3)
        nodes.decommission(0)
        nodes.moved(0, 60)
        time.sleep(0.3)
        end_all(publishers)
        want = sum(sum(p.sent.values()) for p in publishers)
        got = []
        for n, name in enumerate(names):
            c = comes(nodes, 1 + n % 2, name)
            while True:
                try:
                    p = c.recv(1)
                except TimeoutError:
                    break
                if p.type == mqtt.PUBLISH:
                    got.append((p.topic, p.payload))
                c.send(mqtt.ack(mqtt.PUBREC if p.type == mqtt.PUBLISH else mqtt.PUBCOMP, p.mid))
            c.bye()
        assert len(got) == len(set(got)) == want, (len(got), len(set(got)), want)


@s.scenario
def what_is_under_way_goes_on():
    with Moving() as nodes:
        pub = nodes.client(1, "pub")
        c = nodes.client(0, "under-way", mqtt.V5, clean=False, props=KEEP)
        c.sub("way/#", qos=2)
        for n in range(6):
            pub.pub("way/1", f"{n}", 1 if n % 2 else 2)
        first = [c.expect(mqtt.PUBLISH) for _ in range(6)]
        c.send(mqtt.ack(mqtt.PUBREC, first[0].mid))
        assert c.expect(mqtt.PUBREL).mid == first[0].mid  # PUBCOMP is due
        c.send(mqtt.ack(mqtt.PUBACK, first[1].mid))       # done
        c.send(mqtt.publish("way/mine", b"mine", 2, mid=77))
        while True:
            got = c.recv()
            if got.type == mqtt.PUBREC:
                break
        assert got.mid == 77
        c.close()
        nodes.decommission(0)
        assert nodes.moved(0) >= 1
        c = comes(nodes, 2, "under-way")
        again = [c.recv() for _ in range(5)]
        assert again[0].type == mqtt.PUBREL and again[0].mid == first[0].mid, again
        for got, before in zip(again[1:], first[2:]):
            assert (got.type, got.mid, got.payload, got.dup) == (mqtt.PUBLISH, before.mid, before.payload, True), again
        mine = c.expect(mqtt.PUBLISH)
        assert mine.payload == b"mine"
        c.send(mqtt.ack(mqtt.PUBCOMP, first[0].mid))
        c.send(mqtt.publish("way/mine", b"mine", 2, mid=77, dup=True))
        assert c.expect(mqtt.PUBREC).mid == 77
        c.expect_nothing(0.2)  # no second one
        c.send(mqtt.ack(mqtt.PUBREL, 77))
        assert c.expect(mqtt.PUBCOMP).mid == 77
        c.close()
        pub.bye()


class Publisher(threading.Thread):
    """Publishes at QoS 2 to all in turn, until it is asked to end; knows what was acknowledged (PUBREC), in order."""

    def __init__(self, nodes, i, name, topics):
        super().__init__(daemon=True)
        self.nodes, self.i, self.name_, self.topics = nodes, i, name, topics
        self.sent, self.stop, self.problem = collections.defaultdict(int), False, None

    def run(self):
        try:
            self.publish()
        except Exception as e:  # pylint: disable=broad-except
            self.problem = e

    def connect(self):
        while True:
            try:
                return comes_new(self.nodes, self.i, self.name_)
            except (OSError, mqtt.Closed, AssertionError):
                time.sleep(0.05)

    def publish(self):
        c, number, mid, state = self.connect(), 0, 1, "publish"
        while not (self.stop and state == "publish"):
            topic = self.topics[number % len(self.topics)]
            try:
                if state != "release":
                    c.send(mqtt.publish(topic, f"{self.name_} {self.sent[topic]}", 2, mid=mid, dup=state == "again"))
                    state = "again"
                    got = c.expect(mqtt.PUBREC, timeout=20)
                    if got.reason >= 0x80:
                        state = "publish"
                        time.sleep(0.05)
                        continue
                    self.sent[topic] += 1
                    state = "release"
                c.send(mqtt.ack(mqtt.PUBREL, mid))
                c.expect(mqtt.PUBCOMP, timeout=20)
                state, number, mid = "publish", number + 1, mid % 60000 + 1
            except (OSError, mqtt.Closed, TimeoutError, AssertionError):  # its node is gone
                c.close()
                c = self.connect()
        c.close()


def end_all(publishers):
    for p in publishers:
        p.stop = True
    for p in publishers:
        p.join(60)
        assert not p.is_alive() and not p.problem, p.problem


def comes_new(nodes, i, name):
    c = mqtt.Client(nodes[i].address).hello(name, mqtt.V5, clean=False, props=KEEP)
    got = c.recv()
    assert got.type == mqtt.CONNACK and got.reason == 0, got
    return c


def once_each(nodes, names, publishers):
    """Each session has each message once, those of a publisher in order."""
    for n, name in enumerate(names):
        want = {p.name_: p.sent[f"to/{name}"] for p in publishers}
        c = comes(nodes, 1 + n % 2, name)
        got = collections.defaultdict(list)
        for p in take(c, sum(want.values())):
            who, number = p.payload.decode().rsplit(" ", 1)
            got[who].append(int(number))
        c.expect_nothing(0.02)
        for who, count in want.items():
            assert got[who] == list(range(count)), (name, who, count, got[who])
        c.bye()


def under_load(harm=lambda nodes: None, count=30, config=""):
    """Node 0 is given up while all nodes publish, and while something else happens."""
    with Moving(config=f"max_queued_messages 100000\n{config}") as nodes:
        names = [f"mover-{n}" for n in range(count)]
        for name in names:
            c = nodes.client(0, name, mqtt.V5, clean=False, props=KEEP)
            c.sub(f"to/{name}", qos=2)
            c.bye()
        time.sleep(0.3)
        publishers = [Publisher(nodes, i, f"pub-{i}-{n}", [f"to/{name}" for name in names]) for i in (1, 2) for n in (0, 1, 2)]
        for p in publishers:
            p.start()
        time.sleep(0.5)
        nodes.decommission(0)
        harm(nodes)
        nodes.moved(0, 90)
        assert not nodes.sessions(0) & set(names)
        time.sleep(0.5)
        end_all(publishers)
        assert sum(sum(p.sent.values()) for p in publishers) > 300
        once_each(nodes, names, publishers)


@s.scenario
def nothing_is_lost_or_doubled_under_load():
    under_load()


def killed(i, after):
    def harm(nodes):
        time.sleep(after)
        nodes.kill(i)
        nodes[i].start()
    return harm



@s.scenario
def the_node_that_gives_up_is_killed():
    under_load(killed(0, 0.4), config="drain_time 1")


@s.scenario
def a_node_that_gets_sessions_is_killed():
    under_load(killed(1, 1.3))


@s.scenario
def all_of_them_one_after_the_other():
    def harm(nodes):
        for i in (2, 0, 1, 0):
            time.sleep(0.6)
            nodes.kill(i)
            nodes[i].start()
    under_load(harm)


s.main()
