"""ACL files at random: who may publish and be sent what is decided as by mosquitto on the same file.

SEED=N repeats a run; a difference prints the file.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import mqtt
import scenario as s
from broker import Broker, free_port, is_reference

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
if is_reference():
    print("PASS it is what others are compared with")
    sys.exit(0)
if not MOSQUITTO:
    print("FAIL decisions_are_the_same: mosquitto is not installed")
    sys.exit(1)
SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
ROUNDS = 30
USERS = [(None, "a"), ("a", "b"), ("b", "c1"), ("ab", "a-b"), ("zed", "ab")]  # and client identifiers
TOPICS = ["a", "b", "a/b", "b/a", "a/b/c", "a/b/", "/a", "ab", "x/a", "x/ab", "xa/b", "xab", "a/c1", "dev/a/1", "dev/b/1",
          "dev/zed/1", "dev//1", "dev/a-b", "dev/ab", "$S/a", "$S", "$a/b", "a/a/b", "b/b/c1", "ab/a-b", "zed/ab"]
LEVELS = ["a", "b", "ab", "", "c", "+", "+", "dev", "x", "$S"]
PATTERNS = LEVELS + ["%u", "%c", "x%u", "%u%c", "%u", "%c"]


def make_filter(rng, levels):
    parts = [rng.choice(levels) for _ in range(rng.randint(1, 3))] + ["#"] * (rng.random() < 0.3)
    return "/".join(parts).strip(" ") or "a"


def make_file(rng, number):
    lines, users = [], [u for u, _ in USERS if u] + ["nobody"]

    def rule(word, levels):
        access = rng.choice(["read", "write", "readwrite", "", "deny"])
        lines.append(" ".join(x for x in (word, access, make_filter(rng, levels)) if x))

    for _ in range(rng.randint(0, 4)):
        rule("topic", LEVELS)
    for _ in range(rng.randint(0, 6)):
        lines.append(f"user {rng.choice(users)}")
        for _ in range(rng.randint(0, 4)):
            rule(rng.choice(["topic", "topic", "pattern"]), LEVELS)
    for _ in range(rng.randint(0, 4)):
        rule("pattern", PATTERNS)
    lines += ["user all", "topic #", "topic $S/#", "topic $a/#", f"user probe{number}", "topic write probe"]
    return "\n".join(lines) + "\n"


class Reference:
    over = "tcp"

    def __init__(self, folder):
        self.acl = folder / "acl.reference"
        self._start(folder)
        while not self._serves():  # somebody else may have got its port meanwhile
            if self.process.poll() is not None:
                self._start(folder)
            time.sleep(0.05)

    def _start(self, folder):
        self.port = free_port()
        config = folder / "reference.conf"
        config.write_text(f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\nacl_file {self.acl}\n")
        self.acl.write_text("")
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _serves(self):
        try:
            mqtt.Client(self.address, over=self.over).open("ready").close()
            return True
        except (OSError, mqtt.Closed, AssertionError):
            return False

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def signal(self, number):
        self.process.send_signal(number)


broker = Broker()
acl = broker.dir / "acl"
acl.write_text("")
broker.write_config(f"acl_file {acl}")
reference = Reference(broker.dir)


def put_in_force(side, path, text, number):
    fresh = path.with_suffix(".new")  # in one step: the broker reads by itself what it finds changed
    fresh.write_text(text)
    fresh.rename(path)
    before = broker.log().count("Config reloaded") if side is broker else 0
    side.signal(signal.SIGHUP)
    end = time.monotonic() + 30
    while side is broker and broker.log().count("Config reloaded") == before:  # then they hold on all workers
        assert time.monotonic() < end, f"the rules are not in force:\n{text}\n{broker.log()[-500:]}"
        time.sleep(0.01)
    while True:
        try:
            c = mqtt.Client(side.address, over=side.over).open(f"probe{number}", user=f"probe{number}")
            c.send(mqtt.publish("probe", b"", 1, 1))
            reason = c.recv_type(mqtt.PUBACK).reason
            c.close()
            if reason < 0x80:
                return
        except (OSError, mqtt.Closed):
            pass
        assert time.monotonic() < end, f"the rules are not in force at {side.address}:\n{text}"
        time.sleep(0.02)


def writable(side, user, client_id):
    c = mqtt.Client(side.address, over=side.over).open(client_id, user=user)
    for mid, topic in enumerate(TOPICS, 1):
        c.send(mqtt.publish(topic, b"", 1, mid))
    codes = {}
    for _ in TOPICS:
        got = c.recv_type(mqtt.PUBACK)
        codes[got.mid] = got.reason
    c.close()
    return {t for mid, t in enumerate(TOPICS, 1) if codes[mid] < 0x80}


def readable(side):
    """What each user is sent of all topics."""
    readers = []
    for user, client_id in USERS:
        c = mqtt.Client(side.address, over=side.over).open(client_id, user=user)
        c.send(mqtt.subscribe(1, [(f, 0) for f in ("#", "$S/#", "$a/#")], mqtt.V5))
        c.recv_type(mqtt.SUBACK)  # one side refuses what is hopeless
        readers.append(c)
    sender = mqtt.Client(side.address, over=side.over).open("sender", user="all")
    for topic in TOPICS:
        assert sender.pub(topic, topic.encode(), 1).reason < 0x80
    time.sleep(0.2)
    found = []
    for c in readers:
        topics = set()
        for _ in range(2):  # what another worker has for it comes with the first answer, or behind it
            c.send(mqtt.PING)
            while (got := c.recv()).type != mqtt.PINGRESP:
                assert got.type == mqtt.PUBLISH and got.payload == got.topic.encode()
                topics.add(got.topic)
        found.append(topics)
        c.close()
    sender.close()
    return found


@s.scenario
def decisions_are_the_same():
    rng, allowed = random.Random(SEED), 0
    for number in range(ROUNDS):
        text = make_file(rng, number)
        sides = ((broker, acl), (reference, reference.acl))
        for side, path in sides:
            put_in_force(side, path, text, number)
        for user, client_id in USERS:
            ours, theirs = (writable(side, user, client_id) for side, _ in sides)
            assert ours == theirs, f"SEED={SEED} {user} {client_id} writes: {ours ^ theirs}, ours {ours}\n{text}"
            allowed += len(ours)
        for (user, client_id), ours, theirs in zip(USERS, readable(broker), readable(reference)):
            assert ours == theirs, f"SEED={SEED} {user} {client_id} reads: {ours ^ theirs}, ours {ours}\n{text}"
            allowed += len(ours)
    asked = ROUNDS * len(USERS) * len(TOPICS) * 2
    assert asked / 20 < allowed < asked * 0.8, f"{allowed} of {asked} allowed: nothing was asked"


try:
    with broker:
        s.main()
finally:
    reference.process.terminate()
    reference.process.wait(10)
