"""A node that is about to end, that is drained, or that has too many clients, sends them to the others: MQTT 5 clients are
told where (0x9C and a Server Reference), the others are closed."""
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import time

import mqtt
import scenario as s
from broker import binary, free_port
from nodes import Nodes

CTL = pathlib.Path(binary()).parent / "ternmqctl"
EXPIRY = {"session_expiry": 3600}


class Crowd:
    """Nodes of which each says how clients reach it, and has a control socket. silent: these do not say it."""

    def __init__(self, count=3, config="", silent=(), **kw):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-crowd-"))
        self.folder.chmod(0o755)
        self.nodes = Nodes(count, **kw)
        self.http = [free_port() for _ in range(count)]
        for i, node in enumerate(self.nodes.all):
            lines = "" if i in silent else f"advertise {self.reference(i)}\n"  # of the listener that is there
            node.file.write_text(node.file.read_text() + lines + f"control_socket {self.folder}/{i}\nsys_interval 1\n" +
                                 f"http_listener 127.0.0.1:{self.http[i]}\n{config}")

    def __enter__(self):
        self.nodes.__enter__()
        return self

    def __exit__(self, *args):
        try:
            self.nodes.__exit__(*args)
        finally:
            shutil.rmtree(self.folder)

    def __getitem__(self, i):
        return self.nodes[i]

    def reference(self, i):
        return f"127.0.0.1:{self.nodes[i].listens_on}"

    def client(self, i, name, version=mqtt.V5, **kw):
        return self.nodes.client(i, name, version, **kw)

    def ctl(self, i, *args, code=0):
        got = s.run(CTL, "--socket", self.folder / str(i), *args)
        assert got[0] == code, got
        return got[1] + "".join(got[2:])

    def json(self, i, *args, code=0):
        return json.loads(s.run(CTL, "--json", "--socket", self.folder / str(i), *args)[1])

    def others_know(self, i, name, want):
        """All others know that node i drains, or does not any more."""
        def known():
            return all(node[name] == want for other in range(len(self.nodes.all)) if other != i and self.is_up(other)
                       for node in self.json(other, "cluster")["nodes"] if node["name"] == f"n{i}")
        s.until(known)

    def is_up(self, i):
        return self.nodes[i].process.poll() is None


def references(clients):
    """Where those that were ended by 0x9C are to go."""
    out = []
    for c in clients:
        got = c.expect_closed(0x9C)
        assert got.props["server_reference"], got
        out.append(got.props["server_reference"])
    return out


def is_raw_reference(packet, reference):
    """DISCONNECT 0x9C: property 0x1C, a length of two bytes, the text; then a reason string, or nothing."""
    text = reference.encode()
    prop = b"\x1c" + len(text).to_bytes(2, "big") + text
    assert packet.raw[0] == 0xE0 and packet.raw[2] == 0x9C and packet.raw[4:4 + len(prop)] == prop, packet.raw
    return True


@s.scenario
def a_node_that_ends_sends_its_clients_to_the_others():
    with Crowd(3, "drain_delay 2\ndrain_time 12\n") as crowd:
        five = [crowd.client(0, f"five-{i}") for i in range(40)]
        small = crowd.client(0, "small", props={"maximum_packet_size": 60})
        four = [crowd.client(0, f"four-{i}", mqtt.V311) for i in range(10)]
        stay = crowd.client(1, "stay")
        crowd[0].signal(signal.SIGTERM)
        crowd[0].wait_log("Draining")
        crowd.others_know(0, "draining", True)
        # Once clients are refused, they are told where to go.
        got = None
        while got is None or got.reason == 0:
            c = mqtt.Client(crowd[0].address).hello("late")
            got = c.recv_type(mqtt.CONNACK)
            time.sleep(0.05)
        assert got.reason == 0x9C, got
        assert got.props["server_reference"] in (crowd.reference(1), crowd.reference(2)), got
        assert mqtt.Client(crowd[0].address).hello("late", mqtt.V311).recv_type(mqtt.CONNACK).reason == 3
        tiny = mqtt.Client(crowd[0].address).hello("tiny", props={"maximum_packet_size": 30})
        assert tiny.recv_type(mqtt.CONNACK).reason == 0x89
        where = references(five)
        assert all(is_raw_reference(c.goodbye, c.goodbye.props["server_reference"]) for c in five)
        counts = [where.count(crowd.reference(i)) for i in range(3)]
        assert counts[0] == 0 and min(counts[1:]) >= 10, counts
        assert "server_reference" not in small.expect_closed(0x8B).props, "the packet would be too large for it"
        for c in four:
            assert c.expect_closed() is None
        assert crowd[0].wait_exit() == 0
        assert "use another server" in crowd[0].log()
        stay.ping()
        # Who follows is welcome there.
        again = crowd.client(1, "five-0")
        again.ping()
        crowd[0].start()
        for c in (again, stay):  # or they would be drained, too
            c.close()


@s.scenario
def nobody_is_sent_to_who_drains_or_is_away():
    with Crowd(3, "drain_time 100\n") as crowd:
        held = [crowd.client(1, f"held-{i}", mqtt.V311) for i in range(40)]  # so that it takes its time
        crowd[1].signal(signal.SIGTERM)
        crowd.others_know(1, "draining", True)
        c = [crowd.client(0, f"c-{i}") for i in range(20)]
        more = [crowd.client(0, f"hold-{i}", mqtt.V311) for i in range(40)]
        crowd[0].signal(signal.SIGTERM)
        crowd[0].wait_log("Draining")
        late = mqtt.Client(crowd[0].address).hello("late").recv_type(mqtt.CONNACK)
        assert late.reason == 0x9C and late.props["server_reference"] == crowd.reference(2), late
        crowd.nodes.kill(2)
        # Its link is down, and the other one drains: there is nobody.
        def refused():
            got = mqtt.Client(crowd[0].address).hello("late").recv_type(mqtt.CONNACK)
            assert got.reason in (0x89, 0x9C), got
            return got.reason == 0x89 and got.props == {}
        s.until(refused)
        for i in (0, 1):
            crowd[i].signal(signal.SIGTERM)  # again: at once
        for x in c:
            # Those that went while the third one was there, and those that did not.
            got = x.expect_closed(0x9C, 0x8B)
            assert got.props.get("server_reference") in (None, crowd.reference(2)), got
            assert (got.reason == 0x9C) == ("server_reference" in got.props), got
        for x in held + more:
            assert x.expect_closed() is None
        for i in (0, 1):
            assert crowd[i].wait_exit() == 0
        for node in crowd.nodes.all:
            node.start()


@s.scenario
def nodes_that_say_no_address_get_nobody():
    with Crowd(2, silent=(1,)) as crowd:
        c = crowd.client(0, "c")
        other = crowd.client(1, "d")
        crowd.nodes.restart(0)
        c.expect_closed(0x8B)
        crowd.nodes.wait_linked()
        crowd[1].signal(signal.SIGTERM)
        got = other.expect_closed(0x9C)
        assert got.props["server_reference"] == crowd.reference(0), got
        assert crowd[1].wait_exit() == 0
        crowd[1].start()


def refused(crowd, i, version=mqtt.V5):
    return mqtt.Client(crowd[i].address).hello("late", version).recv_type(mqtt.CONNACK)


@s.scenario
def an_operator_empties_a_node_and_takes_it_back():
    with Crowd(3) as crowd:
        will = mqtt.will_of("will/five", b"gone", 1)
        watch = crowd.client(1, "watch")
        watch.sub("will/#", qos=1)
        five = [crowd.client(0, f"five-{i}") for i in range(60)]
        five.append(crowd.client(0, "five-will", will=will))
        four = [crowd.client(0, f"four-{i}", mqtt.V311) for i in range(20)]
        begin = time.monotonic()
        said = crowd.ctl(0, "drain", "--for", "4s", "--wait")
        took = time.monotonic() - begin
        assert re.search(r"^drain +drained, 0 left", said, re.M), said
        assert took >= 3, f"{took} s: one after the other"
        where = references(five)
        assert min(where.count(crowd.reference(1)), where.count(crowd.reference(2))) >= 15, where
        for c in four:
            assert c.expect_closed() is None
        watch.msg(b"gone")  # the broker goes on, so this is due
        # The others know; nobody is let in; it says so everywhere.
        crowd.others_know(0, "draining", True)
        assert re.search(r"^n0 +draining ", crowd.ctl(1, "cluster"), re.M)
        assert refused(crowd, 0).reason == 0x9C and refused(crowd, 0, mqtt.V311).reason == 3
        assert crowd.json(0, "status")["drain"] == {"state": "drained", "left": 0, "ends_in_s": 0}
        figures = crowd.json(0, "status")["figures"]
        assert figures["drain/on"] == 1 and figures["drain/left"] == 0 and figures["clients/referred"] >= 62, figures
        port = crowd.http[0]
        assert "draining" in get(port, "/readyz", 503)
        assert "ternmq_draining 1" in get(port, "/metrics", 200)
        # The node goes on as a node: what is retained here is there.
        # Whoever is sent away by another one does not come here.
        c = [crowd.client(1, f"c-{i}") for i in range(10)]
        crowd.ctl(1, "drain", "--for", "1s", "--wait")
        assert set(references(c)) == {crowd.reference(2)}
        crowd.ctl(1, "drain", "--undo")
        # Back again.
        assert "off" in crowd.ctl(0, "drain", "--undo")
        crowd.others_know(0, "draining", False)
        crowd.client(0, "again").ping()
        assert "ternmq_draining 0" in get(port, "/metrics", 200) and get(port, "/readyz", 200)
        assert "does not drain" in crowd.ctl(0, "drain", "--undo", code=1)


def get(port, path, want):
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asked.request("GET", path)
    answer = asked.getresponse()
    body = answer.read().decode()
    asked.close()
    assert answer.status == want, (path, answer.status, body)
    return body


@s.scenario
def a_drain_is_watched_changed_and_undone():
    with Crowd(2, silent=(0, 1)) as crowd:
        clients = [crowd.client(0, f"c-{i}") for i in range(30)]
        crowd.ctl(0, "drain", "--for", "1h")
        s.until(lambda: crowd.json(0, "status")["drain"]["left"])
        assert refused(crowd, 0).reason == 0x89, "there is nobody else"
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(crowd.ctl(0, "drain", "--for", "2h", "--wait", code=1)))
        thread.start()
        s.until(lambda: crowd.json(0, "status")["drain"]["ends_in_s"] > 3700)
        crowd.ctl(0, "drain", "--undo")
        thread.join(60)
        assert waiting and "undone" in waiting[0], waiting
        for c in clients[:3]:
            c.ping()
        crowd.client(0, "late").ping()
        # Now for good; and SIGTERM in the middle of it ends at once.
        crowd.ctl(0, "drain", "--for", "1h")
        s.until(lambda: crowd.json(0, "status")["drain"]["state"] == "draining")
        begin = time.monotonic()
        crowd[0].signal(signal.SIGTERM)
        assert crowd[0].wait_exit() == 0 and time.monotonic() - begin < 30
        for c in clients:
            c.expect_closed(0x8B)
        # While a drain that SIGTERM has begun runs there is no other.
        crowd[0].file.write_text(crowd[0].file.read_text() + "drain_time 60\n")
        crowd[0].start()
        held = [crowd.client(0, f"held-{i}", mqtt.V311) for i in range(60)]
        crowd[0].signal(signal.SIGTERM)
        crowd[0].wait_log("Draining: ")
        assert "ending" in crowd.ctl(0, "drain", code=1) and "ending" in crowd.ctl(0, "drain", "--undo", code=1)
        crowd[0].signal(signal.SIGTERM)
        assert crowd[0].wait_exit() == 0 and held
        crowd[0].start()


@s.scenario
def sessions_that_stay_are_served_by_other_nodes():
    with Crowd(3) as crowd:
        sub = crowd.client(0, "durable", clean=False, props=EXPIRY)
        sub.sub("to/durable", qos=1)
        crowd.ctl(0, "drain", "--for", "1s", "--wait")
        sub.expect_closed(0x9C)
        pub = crowd.client(2, "pub")
        pub.pub("to/durable", b"away", 1)
        sub = mqtt.Client(crowd[1].address).hello("durable", clean=False, props=EXPIRY)
        assert sub.expect(mqtt.CONNACK, reason=0).session_present, "it is relayed to the node that drains"
        sub.msg(b"away")
        time.sleep(2.5)  # longer than the looks for those who came late
        pub.pub("to/durable", b"here", 1)
        sub.msg(b"here")
        assert crowd.json(0, "status")["drain"]["state"] == "drained"
        # The node that it comes by drains, too: from there it is sent on, and finds its session by the third one.
        crowd.ctl(1, "drain", "--for", "1s", "--wait")
        got = sub.expect_closed(0x9C)
        assert got.props["server_reference"] == crowd.reference(2), got
        pub.pub("to/durable", b"there", 1)
        sub = mqtt.Client(crowd[2].address).hello("durable", clean=False, props=EXPIRY)
        assert sub.expect(mqtt.CONNACK, reason=0).session_present
        sub.msg(b"there")


@s.scenario
def nothing_acknowledged_is_lost_while_clients_go():
    with Crowd(3) as crowd:
        stop, acked, got = threading.Event(), [[] for _ in range(4)], set()
        sub = crowd.client(2, "sub")
        sub.sub("load/#", qos=1)
        lost = []

        def publish(k):
            """As a client does that goes where it is told to."""
            at, n, c = crowd[0].address, 0, None
            while not stop.is_set():
                try:
                    if c is None:
                        c = mqtt.Client(at).hello(f"load-{k}")
                        answer = c.recv_type(mqtt.CONNACK)
                        if answer.reason:
                            raise Away(answer)
                    c.send(mqtt.publish(f"load/{k}", str(n).encode(), 1, n % 65535 + 1))
                    packet = c.recv()
                    if packet.type == mqtt.DISCONNECT:
                        raise Away(packet)
                    assert packet.type == mqtt.PUBACK and packet.reason in (0, 0x10), packet
                    acked[k].append(n)
                    n += 1
                    time.sleep(0.005)  # what the subscriber, too, can follow
                except Away as away:
                    host, port = away.args[0].props["server_reference"].split(":")
                    at, c = (host, int(port)), None
                except Exception as error:
                    lost.append(repr(error))
                    return
        threads = [threading.Thread(target=publish, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()

        def take(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    packet = sub.recv(0.2)
                    sub.answer(packet)
                    got.add((packet.topic, int(packet.payload)))
        take(1)
        crowd.ctl(0, "drain", "--for", "2s")
        s.until(lambda: take(0.3) or crowd.json(0, "status")["drain"]["state"] == "drained")
        take(1)
        crowd.ctl(0, "drain", "--undo")
        crowd.ctl(1, "drain", "--for", "2s")
        s.until(lambda: take(0.3) or crowd.json(1, "status")["drain"]["state"] == "drained")
        take(1)
        stop.set()
        for thread in threads:
            thread.join(60)
        want = {(f"load/{k}", n) for k in range(4) for n in acked[k]}
        s.until(lambda: take(0.3) or want <= got, lambda: f"{len(want - got)} of {len(want)} are lost", 60)
        assert not lost and all(acked), (lost, list(map(len, acked)))


def clients_of(crowd, i):
    return {node["name"]: node["clients"] for node in crowd.json(i, "cluster")["nodes"]}


def ended(clients, at_least):
    """Those that the server has said something to, once they are so many: their end."""
    gone = [c for c in clients if mqtt.readable(c.sock, 0)]
    return gone if len(gone) >= at_least else None


def wait_counts(crowd, i, want):
    """What node i has heard of the numbers of clients: every node tells every few seconds."""
    s.until(lambda: clients_of(crowd, i) == want, lambda: f"{clients_of(crowd, i)}, wanted {want}", 60)


@s.scenario
def clients_that_are_too_many_go_to_nodes_that_have_few():
    with Crowd(3) as crowd:
        five = [crowd.client(0, f"five-{i}") for i in range(60)]
        four = [crowd.client(0, f"four-{i}", mqtt.V311) for i in range(6)]
        stay = [crowd.client(0, f"stay-{i}", clean=False, props=EXPIRY) for i in range(6)]
        wait_counts(crowd, 0, {"n0": 72, "n1": 0, "n2": 0})
        # 24 in the mean, 26 at most: 46 are to go.
        said = crowd.json(0, "rebalance", "--dry-run", "--rate", "3")
        want = {"clients": 72, "nodes": 3, "mean": 24, "target": 26, "surplus": 46, "rate": 3, "begun": False}
        assert {key: said[key] for key in want} == want, said
        assert crowd.json(0, "status")["rebalance"]["state"] == "none"
        assert "none" in crowd.ctl(1, "rebalance"), "it has too few"
        begin = time.monotonic()
        said = crowd.ctl(0, "rebalance", "--rate", "10")
        assert "46, 10 a second" in said, said
        assert "under way" in crowd.ctl(0, "rebalance", code=1)
        s.until(lambda: crowd.json(0, "status")["rebalance"]["state"] != "runs")
        took = time.monotonic() - begin
        assert crowd.json(0, "status")["rebalance"] == {"state": "balanced", "sent": 46, "surplus": 46, "rate": 10}
        assert took >= 4, f"{took} s for 46 at 10 a second"
        crowd[0].wait_log("Rebalanced: 46 of 46")
        gone = s.until(lambda: ended(five, 46))
        assert len(gone) == 46, len(gone)
        where = references(gone)
        assert sorted(set(where)) == sorted(crowd.reference(i) for i in (1, 2)), where
        assert min(where.count(crowd.reference(1)), where.count(crowd.reference(2))) >= 15, where
        # Neither the oldest nor the newest alone.
        numbers = [int(c.client_id.split("-")[1]) for c in gone]
        assert sorted(numbers) != list(range(46)) and sorted(numbers) != list(range(14, 60)), numbers
        for c in four + stay:
            c.ping()
        # They come where they are told to, and then nobody has too many.
        follow = []
        for c, to in zip(gone, where):
            i = next(i for i in (1, 2) if crowd.reference(i) == to)
            follow.append(crowd.client(i, c.client_id))
        counts = {"n0": 26, "n1": where.count(crowd.reference(1)), "n2": where.count(crowd.reference(2))}
        wait_counts(crowd, 0, counts)
        if counts["n1"] <= 26 and counts["n2"] <= 26:
            for i in range(3):
                wait_counts(crowd, i, counts)
                assert "none" in crowd.ctl(i, "rebalance", "--dry-run")


@s.scenario
def who_cannot_be_told_goes_only_when_all_do():
    with Crowd(2, silent=(1,)) as crowd:
        five = [crowd.client(0, f"five-{i}") for i in range(5)]
        four = [crowd.client(0, f"four-{i}", mqtt.V311) for i in range(35)]
        wait_counts(crowd, 0, {"n0": 40, "n1": 0})
        crowd.ctl(0, "rebalance", "--rate", "100")  # 20 in the mean: 18 are to go, and nobody knows where
        s.until(lambda: crowd.json(0, "status")["rebalance"]["state"] == "nobody")
        assert crowd.json(0, "status")["rebalance"]["sent"] == 0
        for c in five + four:
            c.ping()
        assert "none is under way" in crowd.ctl(0, "rebalance", "--undo", code=1)
        crowd.ctl(0, "rebalance", "--rate", "1", "--all")
        assert crowd.json(0, "status")["rebalance"]["state"] == "runs"
        assert "stopped" in crowd.ctl(0, "rebalance", "--undo")
        few = crowd.json(0, "status")["rebalance"]["sent"]
        assert few <= 17, few
        s.until(lambda: clients_of(crowd, 0)["n0"] == 40 - few, timeout=60)
        crowd.ctl(0, "rebalance", "--rate", "1000", "--all")
        s.until(lambda: crowd.json(0, "status")["rebalance"]["state"] == "balanced")
        for c in s.until(lambda: ended(five + four, 18 - 2)):  # or a few more, as the mean was by then
            c.expect_closed(*((0x89,) if c.version == mqtt.V5 else ()))
    with Crowd(2) as crowd:
        # Nodes that drain take nobody.
        crowd.ctl(1, "drain", "--for", "1s", "--wait")
        crowd.others_know(1, "draining", True)
        assert "no other node" in crowd.ctl(0, "rebalance", code=1)
        assert "drains" in crowd.ctl(1, "rebalance", code=1)


class Away(Exception):
    """Whoever raises it was told to go elsewhere."""


s.main()
