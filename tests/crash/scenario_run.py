"""scenario_run.py - what a crash scenario gets, and the list of all of them.

A scenario is a function f(run) under @crash(...). It raises AssertionError where it cannot go on, and adds to
run.problems what it found; each run has its own broker, store and random numbers.
"""
import random
import threading
import time

import mqtt
from load import Loop
from node import Node

SCENARIOS = []


def crash(config="", control=True):
    """control: whether the scenario holds for a store that is written at a graceful stop alone (--gentle)."""
    def wrap(function):
        function.config, function.control = config, control
        SCENARIOS.append(function)
        return function
    return wrap


class Run:
    def __init__(self, function, seed):
        self.rng = random.Random(f"{seed}/{function.__name__}")
        self.node = Node(function.config)
        self.loop, self.clients, self.problems, self.story = None, [], [], []
        self.begin = time.monotonic()
        try:
            self.node.restart()
        except Exception:
            self.node.finish(keep=False)
            raise

    def tell(self, text):
        """For the account of a failure: when what was done to the broker."""
        self.story.append(f"{time.monotonic() - self.begin:.1f} s: {text}")

    def start_loop(self):
        self.loop = Loop(self.node, self.rng)
        self.problems = self.loop.problems
        return self.loop

    def kill(self, number=None):
        self.node.kill(number)

    def restart(self):
        begin = time.monotonic()
        self.node.restart()
        self.tell(f"back after {(time.monotonic() - begin) * 1000:.0f} ms")

    def kill_and_restart(self):
        self.kill()
        self.restart()

    # -- plain clients of the harness, one exchange at a time --

    def client(self, cid, version=mqtt.V5, clean=False, expiry=3600, timeout=30, **kw):
        c = mqtt.Client(self.node.address, timeout=timeout)
        self.clients.append(c)
        if version == mqtt.V5:
            kw["props"] = {"session_expiry": expiry, **(kw.get("props") or {})}
        return c.open(cid, version, clean=clean, **kw)

    def present(self, cid, version=mqtt.V5, **kw):
        """Whether the broker has a session of that name."""
        c = self.client(cid, version, **kw)
        return c, c.connack.session_present

    def finish(self, keep):
        if self.loop:
            self.loop.close()
        for c in self.clients:
            c.close()
        return self.node.finish(keep)


def collect(client, quiet_s=0.4, limit_s=30.0, enough=None):
    """All messages until enough(list) and then a silence, each acknowledged."""
    got, end, news = [], time.monotonic() + limit_s, time.monotonic()
    while time.monotonic() < end:
        try:
            packet = client.recv(0.05)
        except TimeoutError:
            patience = quiet_s if enough is None or enough(got) else quiet_s + 8
            if time.monotonic() - news > patience:
                break
            continue
        except mqtt.Closed:
            break
        news = time.monotonic()
        if packet.type == mqtt.PUBLISH:
            got.append(packet)
            if packet.qos:
                client.send(mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, packet.mid))
        elif packet.type == mqtt.PUBREL:
            client.send(mqtt.ack(mqtt.PUBCOMP, packet.mid))
    return got


class Churn(threading.Thread):
    """Runs a function again and again until the broker is gone; other errors are kept."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.error = function, None
        self.start()

    def run(self):
        try:
            while True:
                self.function()
        except (OSError, mqtt.Closed, TimeoutError):
            pass
        except AssertionError as e:
            if "but closed" not in str(e):
                self.error = e
