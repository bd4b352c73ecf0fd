"""Nodes that could not see each other have, of each topic, what was said of it last: the same message, or none."""
import itertools
import time

import scenario as s
from nodes import Nodes

COPIES = 5
SET, CLEAR = "set", "clear"


def topics():
    """(topic, was there before, the node that spoke first, what it did, what the other one did later)"""
    kinds = itertools.product((True, False), (0, 1), (SET, CLEAR), (SET, CLEAR), range(COPIES))
    return [(f"split/{there}/{first}/{a}-{b}/{n}", there, first, a, b) for there, first, a, b, n in kinds]


def what(did, node):
    return b"" if did == CLEAR else b"of %d" % node


def retained(nodes, i):
    c = nodes.client(i, f"reader-{time.monotonic_ns()}")
    c.sub("split/#", qos=1)
    got = {}
    try:
        while True:
            packet = c.msg(timeout=0.3)
            got[packet.topic] = packet.payload
    except AssertionError as e:
        assert "nothing came" in str(e), e
    c.close()
    return got


def must_agree(nodes, want, timeout=60):
    end = time.monotonic() + timeout
    while True:
        got = [retained(nodes, i) for i in range(2)]
        if got == [want, want]:
            return
        if time.monotonic() > end:
            wrong = {t: [g.get(t) for g in got] + [want.get(t)] for t in {*got[0], *got[1], *want}}
            wrong = {t: w for t, w in wrong.items() if len(set(w)) > 1}
            raise AssertionError(f"{len(wrong)} topics differ (node 0, node 1, wanted): {dict(list(wrong.items())[:6])}")


def split(nodes, reset, between=lambda: None, after=lambda: None):
    tellers = [nodes.client(i, f"teller-{time.monotonic_ns()}") for i in range(2)]
    for topic, there, *_ in topics():
        if there:
            tellers[0].pub(topic, b"before", 1, retain=True)
    must_agree(nodes, {topic: b"before" for topic, there, *_ in topics() if there})
    for proxy in nodes.proxies:
        proxy.cut()
    for topic, _, first, a, _ in topics():
        tellers[first].pub(topic, what(a, first), 1, retain=True)
    between()
    time.sleep(0.05)  # later is later by the clock
    tellers = [nodes.client(i, f"teller-{time.monotonic_ns()}") for i in range(2)]
    for topic, _, first, _, b in topics():
        tellers[1 - first].pub(topic, what(b, 1 - first), 1, retain=True)
    after()
    sides = [retained(nodes, i) for i in range(2)]
    assert sides[0] != sides[1], "they were not cut off"
    for proxy in nodes.proxies:
        proxy.heal(reset)
    must_agree(nodes, {t: what(b, 1 - first) for t, _, first, _, b in topics() if b == SET})
    for i in range(2):
        assert nodes.figure(i, "routes/divergence") == nodes.figure(i, "retained/forgotten") == 0


@s.scenario
def the_later_of_two_changes_stays():
    for reset in (False, True):
        with Nodes(2, "sys_interval 1", proxies=True) as nodes:
            split(nodes, reset)


@s.scenario
def also_if_nodes_were_restarted_in_between():
    with Nodes(2, "sys_interval 1", proxies=True) as nodes:
        split(nodes, False, between=lambda: nodes.restart(0), after=lambda: nodes.restart(1))


@s.scenario
def also_if_nodes_were_killed_in_between():
    def kill(i):
        nodes.kill(i)
        nodes[i].start()

    with Nodes(2, "sys_interval 1", proxies=True) as nodes:
        split(nodes, True, between=lambda: kill(1), after=lambda: (kill(0), kill(1)))


@s.scenario
def a_node_that_was_away_brings_nothing_back():
    with Nodes(3, "sys_interval 1") as nodes:
        c = nodes.client(0, "c")
        for n in range(50):
            c.pub(f"split/{n}", b"before", 1, retain=True)
        must_agree(nodes, {f"split/{n}": b"before" for n in range(50)})
        end = time.monotonic() + 30
        while len(retained(nodes, 2)) < 50:
            assert time.monotonic() < end
        nodes.kill(2)
        for n in range(50):
            c.pub(f"split/{n}", b"", 1, retain=True)
        nodes.figure(1, "retained/cleared", lambda x: x == 50)
        for i in (0, 1):
            nodes.restart(i)
        nodes[2].start()
        nodes.wait_linked()
        must_agree(nodes, {})
        end = time.monotonic() + 30
        while retained(nodes, 2):
            assert time.monotonic() < end, retained(nodes, 2)


s.main()
