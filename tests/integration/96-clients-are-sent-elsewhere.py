"""A node that is about to end, that is drained, or that has too many clients, sends them to the others: MQTT 5 clients are
told where (0x9C and a Server Reference), the others are closed."""
import contextlib
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
from broker import binary
from nodes import Nodes

CTL = pathlib.Path(binary()).parent / "ternmqctl"
EXPIRY = {"session_expiry": 3600}


class Crowd:
    """Nodes of which each says how clients reach it, and has a control socket. silent: these do not say it."""

    def __init__(self, count=3, config="", silent=(), **kw):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-crowd-"))
        self.folder.chmod(0o755)
        self.nodes = Nodes(count, **kw)
        for i, node in enumerate(self.nodes.all):
            lines = "" if i in silent else f"advertise {self.reference(i)}\n"  # of the listener that is there
            node.file.write_text(node.file.read_text() + lines + f"control_socket {self.folder}/{i}\nsys_interval 1\n" +
                                 config)

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
    with Crowd(3, "drain_delay 2\ndrain_time 3\n") as crowd:
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
        crowd.client(1, "five-0").ping()
        crowd[0].start()


@s.scenario
def nobody_is_sent_to_who_drains_or_is_away():
    with Crowd(3, "drain_time 30\n") as crowd:
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


s.main()
