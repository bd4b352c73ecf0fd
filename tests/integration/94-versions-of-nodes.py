"""Nodes of other versions: those that are understood come in, the others are told of; and who is no node at all."""
import hashlib
import hmac
import os
import pathlib

import mqtt
import scenario as s
from mqtt import CONNACK
from nodes import SECRET, Nodes

nodes = Nodes(1, "sys_interval 1", plain=True)


def uuid_of(i):
    return pathlib.Path(nodes.folder, f"data-{i}", "node").read_text().split()[0]


def come(says, secret=SECRET, me=None):
    """As a node that says this of itself. Returns the client, and the reason of its CONNACK."""
    me, c = me or os.urandom(16).hex(), mqtt.Client(("127.0.0.1", nodes.ports[0]), over="tcp")
    parts = ["ternmq link", "test", me, uuid_of(0)]
    mac = hmac.digest(secret.encode(), b"".join(part.encode() + b"\0" for part in parts), hashlib.sha256).hex()
    c.send(mqtt.connect(f"$TERNMQ/from/{me}", clean=False, user=says, password=me + mac,
                        props={"session_expiry": 60}))
    c.version = mqtt.V5
    return c, c.expect(CONNACK).reason


def talks(says):
    c, reason = come(says)
    assert reason == 0, hex(reason)
    sub = nodes.client(0, "hears")
    sub.sub("from/node", qos=1)
    c.send(mqtt.publish("from/node", says, 1, 1, version=mqtt.V5))
    assert c.recv_type(mqtt.PUBACK).reason == 0
    assert sub.msg(says.encode()).topic == "from/node"
    sub.close()
    c.close()


@s.scenario
def the_next_version_that_understands_this_one_comes_in():
    talks("TERNMQ 1 1 0")
    talks("TERNMQ 2 1 0")
    assert nodes.figure(0, "versions/refused") == 0


@s.scenario
def features_that_nobody_knows_and_what_a_later_version_adds_are_left_alone():
    talks("TERNMQ 1 1 ffffffffffffffff")
    talks("TERNMQ 3 1 8000000000000000 and more")


@s.scenario
def a_version_that_does_not_understand_this_one_is_told_of_once_a_minute():
    for _ in range(5):
        c, reason = come("TERNMQ 2 2 0", me="0123456789abcdef" * 2)
        assert reason == 0x84, hex(reason)
        c.close()
    c, reason = come("node")  # from before there were versions
    assert reason == 0x84, hex(reason)
    nodes.figure(0, "versions/refused", lambda x: x == 6)
    nodes[0].wait_log(r'node 0123456789abcdef0123456789abcdef \[127.0.0.1.*\] cannot be talked with: it says '
                      r'"TERNMQ 2 2 0", this one "TERNMQ 1 1 1"')
    assert nodes[0].log().count("cannot be talked with") == 1


@s.scenario
def who_has_another_secret_is_counted_with_the_strangers():
    before = nodes.figure(0, "strangers")
    for _ in range(4):
        _, reason = come("TERNMQ 1 1 0", secret="not the secret that all nodes have")
        assert reason == 0x87, hex(reason)
    nodes.figure(0, "strangers", lambda x: x == before + 4)
    nodes[0].wait_log(r"who connects from \[127.0.0.1.*\] is no node of this cluster")
    assert nodes[0].log().count("is no node of this cluster") == 1


with nodes:
    s.main()
