"""`ternmqctl forget`: a node that is dead will not come back with what it had. Nobody waits for it any longer; nodes that were
down hear of it when they are back; and should it come back after all, it is a node as any other."""
import os
import pathlib
import pty
import shutil
import subprocess
import time

import mqtt
import scenario as s
from broker import binary
from nodes import Controlled

KEEP = {"session_expiry": 3600}


def keeps(nodes, i, name, *filters):
    """Leaves a session behind."""
    c = nodes.client(i, name, clean=False, props=KEEP)
    c.sub(*filters, qos=1)
    c.bye()


def comes(nodes, i, name):
    """CONNACK, and who got it."""
    c = mqtt.Client(nodes[i].address).hello(name, mqtt.V5, clean=False, props=KEEP)
    return c, c.expect(mqtt.CONNACK, timeout=15)


def comes_new(nodes, i, name):
    """At once, with a session that is new."""
    begun = time.monotonic()
    c, got = comes(nodes, i, name)
    assert got.reason == 0 and not got.session_present, got
    assert time.monotonic() < begun + 2, time.monotonic() - begun
    return c


def node(nodes, i, name):
    """The rows of nodes with that name, as node i lists them."""
    return [row for row in nodes.ctl(i, "cluster")["nodes"] if row["name"] == name]


def wait_state(nodes, i, name, *states):
    """Until all nodes with that name are in these states, one each."""
    s.until(lambda: sorted(row["state"] for row in node(nodes, i, name)) == sorted(states),
            lambda: str(nodes.ctl(i, "cluster")["nodes"]), 60)


def dies(nodes, i, seen_by=0, lost=True):
    """kill -9, and its disk is lost."""
    nodes.kill(i)
    if lost:
        lose_disk(nodes, i)
    wait_state(nodes, seen_by, f"n{i}", "dead")


def lose_disk(nodes, i):
    data = nodes.folder / f"data-{i}"
    shutil.rmtree(data)
    data.mkdir()
    data.chmod(0o777)


def hears(nodes, *which):
    for i in which:
        nodes[i].wait_log(r"Node n\d \(.{8}\) is forgotten")


def bury(nodes):
    """Who is dead stays so."""
    nodes.all = [n for n in nodes.all if n.process.poll() is None]


def answers(nodes, i, name, answer):
    """A person at a terminal is asked. Returns the exit code, and what was said."""
    ours, its = pty.openpty()
    program = subprocess.Popen([pathlib.Path(binary()).parent / "ternmqctl", "--socket", nodes.sockets / str(i), "forget", name],
                               stdin=its, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(its)
    time.sleep(0.5)
    os.write(ours, answer + b"\n")
    said = program.communicate(timeout=30)[0]
    os.close(ours)
    return program.returncode, said


def dropped(nodes, i):
    return nodes.ctl(i, "status")["figures"]["dropped/session end"]


@s.scenario
def a_node_that_is_lost_is_waited_for_no_longer():
    with Controlled(4) as nodes:
        for name in ("keeper", "other", "third"):
            keeps(nodes, 2, name, f"to/{name}")
        watch = nodes.client(1, "watch")
        watch.sub("will/#", qos=1)
        mourned = nodes.client(2, "mourned", clean=False, props=KEEP,
                               will=mqtt.will_of("will/mourned", b"gone", 1, props={"will_delay": 3000}))
        s.until(lambda: nodes.figure(0, "wills/held") == 1, "the Will is told")
        time.sleep(0.5)  # all of it is on the disk of who remembers it
        nodes.kill(3)
        dies(nodes, 2)
        mourned.close()
        pub = nodes.client(0, "pub")
        for n in range(5):
            pub.pub("to/keeper", b"%d" % n, 1)  # which waits for node 2
        s.until(lambda: comes(nodes, 0, "keeper")[1].reason == 0x88, "it is away", 20)

        assert "it is here" in nodes.ctl(0, "forget", "--yes", "n1", code=1)
        assert "there is no such node" in nodes.ctl(0, "forget", "--yes", "nobody", code=1)
        assert "it is this node" in nodes.ctl(0, "forget", "--yes", "n0", code=1)
        assert "--yes" in nodes.ctl(0, "forget", "n2", code=2)  # nobody can be asked
        there = nodes.ctl(0, "forget", "--dry-run", "n2")["forgotten"]
        assert (there["name"], there["state"], there["sessions"], there["wills"]) == ("n2", "dead", 4, 1), there
        assert there["waiting"] >= 5, there
        code, said = answers(nodes, 0, "n2", b"no")
        assert code == 1 and "Yes or no?" in said and "nothing was done" in said and there["id"] in said, said
        assert comes(nodes, 1, "keeper")[1].reason == 0x88 and dropped(nodes, 0) == 0
        watch.expect_nothing(0.2)

        assert nodes.ctl(0, "forget", "--yes", there["id"])["forgotten"]["id"] == there["id"]
        keeper = comes_new(nodes, 0, "keeper")
        keeper.sub("to/keeper", qos=1)
        pub.pub("to/keeper", b"new", 1)
        assert keeper.msg().payload == b"new"
        hears(nodes, 1)
        other = comes_new(nodes, 1, "other")
        other.sub("to/other", qos=1)
        pub.pub("to/other", b"new", 1)
        assert other.msg().payload == b"new"
        assert watch.msg().topic == "will/mourned"
        watch.expect_nothing(6)  # once
        s.until(lambda: dropped(nodes, 0) >= 5, "what waited is dropped")
        for i in (0, 1):
            s.until(lambda: not node(nodes, i, "n2"), "it is listed no more")
        assert "there is no such node" in nodes.ctl(0, "forget", "--yes", "n2", code=1)

        nodes[3].start()  # it was down, and has a store in which node 2 is remembered
        hears(nodes, 3)
        s.until(lambda: len(nodes.ctl(3, "cluster")["nodes"]) == 3, "node 2 is not listed there")
        comes_new(nodes, 3, "third").close()

        nodes[2].start()  # with an empty disk
        nodes.wait_linked()
        wait_state(nodes, 0, "n2", "alive")
        assert node(nodes, 0, "n2")[0]["id"] != there["id"]
        pub2 = nodes.client(2, "pub2")
        pub2.pub("to/keeper", b"from 2", 1)
        assert keeper.msg().payload == b"from 2"


@s.scenario
def it_comes_back_with_its_old_disk():
    with Controlled(3) as nodes:
        pub = nodes.client(0, "pub")
        for name in ("keeper", "lonely"):
            keeps(nodes, 2, name, f"to/{name}")
            pub.pub(f"to/{name}", b"old", 1)
        for topic in ("kept/cleared", "kept/changed", "kept/same"):
            pub.pub(topic, b"old", 1, retain=True)
        time.sleep(0.5)
        dies(nodes, 2, lost=False)
        code, said = answers(nodes, 1, "n2", b"yes")
        assert code == 0 and said.count("sessions there") == 2, said
        hears(nodes, 0)
        keeper = comes_new(nodes, 0, "keeper")
        keeper.sub("to/keeper", qos=1)
        keeper.bye()
        pub.pub("to/keeper", b"new", 1)
        pub.pub("kept/cleared", b"", 1, retain=True)
        pub.pub("kept/changed", b"new", 1, retain=True)
        time.sleep(1)

        nodes[2].start()
        nodes.wait_linked()
        for i in range(3):
            wait_state(nodes, i, "n2", "alive")
            assert node(nodes, i, "n2")[0]["incarnation"] == 2
        nodes[2].wait_log("Client keeper: its session ends: node .{8} has one that is later")
        s.until(lambda: nodes.figure(2, "sessions/doubled") == 1, "it is counted")
        assert [("keeper" in nodes.sessions(i), "lonely" in nodes.sessions(i)) for i in range(3)] == \
            [(True, False), (False, False), (False, True)]
        c, got = comes(nodes, 2, "keeper")
        assert got.session_present and c.msg().payload == b"new"
        c.expect_nothing()
        c.bye()
        c, got = comes(nodes, 1, "lonely")  # which nobody has missed
        assert got.session_present and c.msg().payload == b"old"
        c.bye()
        for i in range(3):
            c = nodes.client(i, f"kept-{i}")
            c.sub("kept/#", qos=1)
            got = sorted((p.topic, p.payload) for p in (c.msg(), c.msg()))
            assert got == [("kept/changed", b"new"), ("kept/same", b"old")], got
            c.expect_nothing()
            c.bye()


@s.scenario
def it_holds_though_all_nodes_die_after_it():
    with Controlled(3) as nodes:
        for name in ("keeper", "other"):
            keeps(nodes, 2, name, f"to/{name}")
        time.sleep(0.5)
        dies(nodes, 2)
        nodes.ctl(0, "forget", "--yes", "n2")
        hears(nodes, 1)
        time.sleep(0.2)  # it is on its disk as well
        nodes.kill(0)
        nodes.kill(1)
        nodes[0].start()
        c, got = comes(nodes, 0, "keeper")  # it waits for node 1, which is remembered
        assert got.reason == 0 and not got.session_present, got
        assert not node(nodes, 0, "n2")
        c.bye()
        nodes[1].start()
        s.until(lambda: len(nodes.ctl(1, "cluster")["nodes"]) == 2, "they see each other")
        comes_new(nodes, 1, "other").close()
        bury(nodes)


@s.scenario
def who_is_only_remembered_is_forgotten_by_its_id():
    with Controlled(2) as nodes:
        keeps(nodes, 1, "keeper", "to/keeper")
        time.sleep(0.5)
        lost = node(nodes, 0, "n1")[0]["id"]
        nodes.kill(0)
        nodes.kill(1)
        lose_disk(nodes, 1)
        nodes[0].start()
        assert comes(nodes, 0, "keeper")[1].reason == 0x88
        s.until(lambda: nodes.ctl(0, "forget", "--dry-run", lost)["forgotten"]["state"] == "unknown", "it is not known")
        nodes.ctl(0, "forget", "--yes", lost)
        comes_new(nodes, 0, "keeper").close()
        bury(nodes)


@s.scenario
def a_decommission_goes_on_without_it():
    with Controlled(4) as nodes:
        names = [f"mover-{n}" for n in range(12)]
        for name in names:
            keeps(nodes, 0, name, f"to/{name}")
        time.sleep(0.3)
        nodes.ctl(0, "decommission", "--for", "1s")
        dies(nodes, 3)  # some of them were to go there
        time.sleep(3)
        assert nodes.ctl(0, "status")["decommission"]["state"] not in ("off", "done")
        nodes.ctl(1, "forget", "--yes", "n3")
        s.until(lambda: nodes.ctl(0, "status")["decommission"]["state"] == "done",
                lambda: str(nodes.ctl(0, "status")["decommission"]), 40)
        assert nodes.sessions(1) | nodes.sessions(2) >= set(names)
        bury(nodes)


@s.scenario
def who_lives_after_all_joins_again_by_itself():
    with Controlled(3) as nodes:
        keeps(nodes, 2, "keeper", "to/keeper")
        time.sleep(0.5)
        nodes.pause(2)
        wait_state(nodes, 0, "n2", "dead")
        nodes.ctl(0, "forget", "--yes", "n2")
        keeper = comes_new(nodes, 0, "keeper")
        keeper.sub("to/keeper", qos=1)
        time.sleep(12)  # its connections end
        nodes.go_on(2)
        nodes[2].wait_log("others held this node for gone, and are told that it lives")
        nodes.wait_linked()
        wait_state(nodes, 0, "n2", "alive")
        s.until(lambda: "keeper" not in nodes.sessions(2), "one session")
        nodes.client(2, "pub").pub("to/keeper", b"new", 1)
        assert keeper.msg().payload == b"new"


s.main()
