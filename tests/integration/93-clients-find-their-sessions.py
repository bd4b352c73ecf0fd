"""A client whose session is on another node: whatever its listener makes of it, whoever else is away, however full."""
import pathlib
import signal
import time

import mqtt
import scenario as s
from mqtt import V5
from nodes import Nodes

KEEP = {"session_expiry": 3600}


def comes(nodes, i, name, **kw):
    """Says CONNECT there, to go on with its session."""
    return mqtt.Client(nodes[i].address).hello(name, V5, clean=False, props=KEEP, **kw)


def roams(nodes, name, home, to, **kw):
    """It has a session on a node, and is now at another one."""
    first = nodes.client(home, name, V5, clean=False, props=KEEP, **kw)
    first.sub(f"{name}/#", qos=1)
    first.bye()
    time.sleep(0.3)  # the other nodes are told
    c = comes(nodes, to, name, **kw)
    c.expect(mqtt.CONNACK, reason=0, session_present=True)
    return c


class Named(Nodes):
    """Clients whose identifiers are their user names, whatever they say."""

    raw = 0

    def client(self, i, name, version=V5, **kw):
        self.raw += 1
        return super().client(i, f"raw-{self.raw}", version, user=name, **kw)


@s.scenario
def one_session_though_the_user_name_is_the_identifier():
    with Named(2, "use_username_as_clientid true") as nodes:
        for n in range(8):  # on either shard
            first = nodes.client(0, f"user-{n}", clean=False, props=KEEP)
            first.sub(f"named/{n}", qos=1)
            first.bye()
        time.sleep(0.3)
        pub = nodes.client(0, "pub")
        for n in range(8):
            c = nodes.client(1, f"user-{n}", clean=False, props=KEEP)
            assert c.connack.session_present, n
            pub.pub(f"named/{n}", b"hello", 1)
            c.msg(b"hello")
            c.expect_nothing(0.05)
            again = nodes.client(0, f"user-{n}", clean=False, props=KEEP)
            c.expect(mqtt.DISCONNECT, reason=0x8E)
            assert again.connack.session_present


@s.scenario
def a_node_that_has_just_started_makes_no_second_session():
    with Nodes(2, "cluster_plain true") as nodes:
        for n in range(6):
            names = [f"early-{n}-{k}" for k in range(4)]
            for name in names:
                first = nodes.client(0, name, V5, clean=False, props=KEEP)
                first.sub(f"{name}/x", qos=1)
                first.bye()
                nodes.client(0, "pub").pub(f"{name}/x", b"kept", 1)
            nodes.kill(1)
            nodes[1].start()
            came = [comes(nodes, 1, name) for name in names]
            for c in came:
                c.expect(mqtt.CONNACK, reason=0, session_present=True)
                c.msg(b"kept")
                c.close()
        nodes[1].wait_log("is alive")


@s.scenario
def a_node_that_has_started_alone_knows_which_sessions_the_others_keep():
    with Nodes(2) as nodes:
        first = nodes.client(0, "stays", V5, clean=False, props=KEEP)
        first.sub("stays/#", qos=1)
        first.bye()
        nodes.client(0, "ends", V5, clean=False, props=KEEP).bye()
        nodes.client(0, "ends", V5, clean=True).bye()
        time.sleep(1)  # told, and on the disk
        roamer = comes(nodes, 1, "stays")
        roamer.expect(mqtt.CONNACK, reason=0, session_present=True)
        roamer.bye()
        nodes.client(0, "pub").pub("stays/x", b"kept", 1)
        for n in range(2):  # what it knows it knows after the next start, too
            nodes.kill(1)
            if n == 0:
                nodes.kill(0)
            nodes[1].start()
            comes(nodes, 1, "stays").expect(mqtt.CONNACK, reason=0x88, timeout=30)
            comes(nodes, 1, f"new-{n}").expect(mqtt.CONNACK, reason=0, session_present=False, timeout=30)
            if n == 0:
                comes(nodes, 1, "ends").expect(mqtt.CONNACK, reason=0, session_present=False, timeout=30)
        nodes[0].start()
        nodes.wait_linked()
        c = comes(nodes, 1, "stays")
        c.expect(mqtt.CONNACK, reason=0, session_present=True, timeout=30)
        c.msg(b"kept")


@s.scenario
def a_node_that_is_alone_makes_sessions_soon():
    with Nodes(1) as nodes:
        nodes.kill(0)
        nodes[0].start()
        begin = time.monotonic()
        for version in (V5, mqtt.V311):
            c = mqtt.Client(nodes[0].address).hello("first", version, clean=False)
            c.expect(mqtt.CONNACK, reason=0)
            c.bye()
        assert time.monotonic() - begin < 4


@s.scenario
def a_node_that_is_away_holds_up_nobody_elses_clients():
    with Nodes(3) as nodes:
        healthy = nodes.client(2, "healthy", V5, clean=False, props=KEEP)
        healthy.bye()
        for n in range(900):
            nodes.client(0, f"durable-{n}", V5, clean=False, props=KEEP).close()
        time.sleep(1)
        nodes.kill(0)
        waiting = [comes(nodes, 1, f"durable-{n}") for n in range(900)]
        time.sleep(0.3)
        start = time.monotonic()
        comes(nodes, 1, "healthy").expect(mqtt.CONNACK, reason=0, session_present=True)
        took_s = time.monotonic() - start
        assert took_s < 3, f"{took_s:.1f} s"
        for c in waiting:
            c.expect(mqtt.CONNACK, reason=0x88)
            c.close()
        nodes[0].start()


@s.scenario
def a_full_broker_does_not_shut_nodes_out():
    with Nodes(2, "global_max_connections 3") as nodes:
        def comes(i, name, **kw):
            """None: there is no room."""
            try:
                return mqtt.Client(nodes[i].address).open(name, **kw)
            except (OSError, AssertionError):
                return None

        def let_in(i, name, **kw):
            """Before long there is room again: somebody has left."""
            return s.until(lambda: comes(i, name, **kw), f"{name} is not let in")

        full = [let_in(i, f"full-{i}-{n}") for i in range(2) for n in range(3)]
        assert not comes(0, "more") and not comes(1, "more")
        full[0].sub("full/#", qos=1)
        full[3].pub("full/x", b"1", 1)
        full[0].msg(b"1")
        for i in range(2):  # links that break come back
            nodes[i].wait_log("refused because of global_max_connections")
        full[5].bye()
        let_in(1, "durable", clean=False, props=KEEP).bye()
        full[2].bye()
        time.sleep(0.3)
        c = let_in(0, "durable", clean=False, props=KEEP)
        assert c.connack.session_present
        c.bye()
        nodes.restart(1)
        end = time.monotonic() + 30
        ear = nodes.client(1, "ear")
        ear.sub("full/#", qos=1)
        while True:
            full[0].pub("full/y", b"2", 1)
            try:
                ear.msg(b"2", timeout=0.2)
                break
            except AssertionError:
                assert time.monotonic() < end, "not linked again"


@s.scenario
def a_node_that_ends_says_so_to_clients_that_it_relays():
    with Nodes(2) as nodes:
        c = roams(nodes, "told", 0, 1)
        old = nodes.client(0, "old", mqtt.V311, clean=False)
        old.bye()
        time.sleep(0.3)
        old = mqtt.Client(nodes[1].address).open("old", mqtt.V311, clean=False)
        nodes[1].signal(signal.SIGTERM)
        start = time.monotonic()
        c.expect(mqtt.DISCONNECT, reason=0x8B)
        assert nodes[1].wait_exit() == 0
        took_s = time.monotonic() - start
        assert took_s < 4, f"it takes {took_s:.1f} s"
        assert old.raw_until_closed() == b""
        nodes[1].start()


@s.scenario
def listeners_that_are_not_the_same_refuse():
    nodes = Nodes(2)
    file = nodes[1].file
    file.write_text(file.read_text() + "max_qos 1\n")
    with nodes:
        nodes.client(0, "strict", V5, clean=False, props=KEEP).bye()
        time.sleep(0.3)
        for version, reason in ((V5, 0x88), (mqtt.V311, 3)):
            c = mqtt.Client(nodes[1].address).hello("strict", version, clean=False)
            c.expect(mqtt.CONNACK, reason=reason)
        nodes[0].wait_log("nodes need the same listeners in the same order")
        nodes.client(0, "strict", V5, clean=False, props=KEEP).ping()


@s.scenario
def nothing_is_kept_for_a_node_without_a_store_that_came_back():
    with Nodes(2, "sys_interval 1", store=False) as nodes:
        c = nodes.client(1, "roamer", V5, clean=False, props=KEEP)
        c.sub("gone/#", qos=1)
        c.bye()
        time.sleep(0.3)
        nodes.kill(1)
        pub = nodes.client(0, "pub")
        for n in range(10):
            pub.pub("gone/x", b"%d" % n, 1)
        nodes.figure(0, "messages/waiting", lambda x: x >= 10)
        nodes[1].start()
        nodes.wait_linked()
        nodes.figure(0, "messages/waiting", lambda x: x == 0)
        nodes.figure(0, "links/up", lambda x: x == 1)
        start = time.monotonic()
        fresh = comes(nodes, 0, "roamer")
        fresh.expect(mqtt.CONNACK, reason=0, session_present=False)
        assert time.monotonic() - start < 3, "its session ended with that node"
        nodes.restart(1)  # who leaves without a store is gone, too
        nodes.wait_linked()
        nodes.figure(0, "messages/waiting", lambda x: x == 0)
        assert nodes.figure(0, "nodes/left out") == 0


@s.scenario
def threads_of_the_cluster_have_names():
    with Nodes(1) as nodes:
        tasks = pathlib.Path(f"/proc/{nodes[0].pid}/task")
        names = {(task / "comm").read_text().strip() for task in tasks.iterdir()}
        assert {"tern-cluster", "tern-resolver"} <= names, names


s.main()
