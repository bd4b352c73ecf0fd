"""faults.py - what happens to nodes and to the network between them, drawn from a seed, and written down.

A fault is a function that does its harm, waits and mends it. Two at a time run in threads of their own.
"""
import random
import signal
import threading
import time

from wire import IN, OUT

LONG = (11.0, 14.0)  # a node that is away for so long is taken for dead
UP_S = 30


class Faults:
    def __init__(self, nodes, history, seed):
        self.nodes, self.history, self.rng = nodes, history, random.Random(seed)
        self.deck, self.done, self.wrong = [], [], []
        self.busy = [threading.Lock() for _ in nodes.all]  # a process has one fault at a time

    # -- drawing --

    KINDS = ("kill", "term", "stop", "cut", "cut", "deaf", "slow", "bite", "isolate", "kill_two")

    def draw(self):
        """Each kind comes before one comes again."""
        if not self.deck:
            self.deck = list(self.KINDS)
            self.rng.shuffle(self.deck)
        kind = self.deck.pop()
        a, b = self.rng.sample(range(len(self.nodes.all)), 2)
        short = self.rng.uniform(0.1, 4) if self.rng.random() < 0.75 else self.rng.uniform(*LONG)
        return kind, a, b, short, self.rng.random(), self.rng.uniform(0, 1)

    def run(self, seconds):
        """Faults, one after another or two at a time, until the time is over and all is mended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            drawn = [self.draw() for _ in range(self.rng.choice((1, 1, 2)))]
            threads = [threading.Thread(target=self._one, args=d) for d in drawn]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(self.rng.uniform(0.2, 2))

    def _one(self, kind, a, b, seconds, luck, wait_s):
        time.sleep(wait_s)
        try:
            getattr(self, kind)(a, b, seconds, luck)
            self.done.append(kind)
        except Exception as e:  # told as a failure of the round; what was harmed is mended by the next start
            self.wrong.append(f"{kind} of node {a}: {type(e).__name__}: {e}"[:600])

    def note(self, what, **fields):
        self.history.note("fault", what=what, **fields)

    # -- processes --

    def _up(self, i):
        self.note("launch", node=i)
        self.nodes[i].start(timeout=UP_S)
        self.note("up", node=i)

    def _must_live(self, i):
        code = self.nodes[i].process.poll()
        assert code is None, f"node {i} had ended by itself, exit code {code}:\n{self.nodes[i].log()[-1500:]}"

    def kill(self, a, _, seconds, _luck):
        with self.busy[a]:
            self._must_live(a)
            self.note("kill", node=a)
            self.nodes.kill(a)
            self.note("dead", node=a)
            time.sleep(seconds)
            self._up(a)

    def kill_two(self, a, b, seconds, _luck):
        """Two in one moment; they come back one after the other."""
        one, other = sorted((a, b))
        with self.busy[one], self.busy[other]:
            for i in (a, b):
                self._must_live(i)
                self.note("kill", node=i)
                self.nodes[i].process.kill()
            for i in (a, b):
                self.nodes[i].process.wait()
                self.note("dead", node=i)
            time.sleep(seconds)
            for i in (b, a):
                self._up(i)

    def term(self, a, _, seconds, _luck):
        with self.busy[a]:
            self._must_live(a)
            self.note("term", node=a)
            self.nodes[a].signal(signal.SIGTERM)
            code = self.nodes[a].wait_exit(UP_S)
            self.note("dead", node=a)
            if code != 0:
                self.wrong.append(f"node {a} ended with code {code} after SIGTERM")
            time.sleep(min(seconds, 3))
            self._up(a)

    def stop(self, a, _, seconds, _luck):
        with self.busy[a]:
            self.note("stop", node=a)
            self.nodes.pause(a)
            time.sleep(seconds)
            self.nodes.go_on(a)
            self.note("cont", node=a)

    # -- the network --

    def _ways(self, pairs, seconds, reset):
        """pairs: (from, to): what that one says does not come there."""
        for a, b in pairs:
            self.note("cut", a=a, b=b)
            self.nodes.proxies[b].block(a, IN)
            self.nodes.proxies[a].block(b, OUT)
        time.sleep(seconds)
        if reset:
            for a, b in pairs:
                self.nodes.proxies[b].reset_peer(a)
                self.nodes.proxies[a].reset_peer(b)
            time.sleep(0.2)
        for a, b in pairs:
            self.nodes.proxies[b].unblock(a, IN)
            self.nodes.proxies[a].unblock(b, OUT)
            self.note("mended", a=a, b=b)

    def cut(self, a, b, seconds, luck):
        self._ways([(a, b), (b, a)], seconds, luck < 0.5)

    def deaf(self, a, b, seconds, luck):
        """One way only."""
        self._ways([(a, b)], seconds, luck < 0.5)

    def isolate(self, a, _, seconds, luck):
        others = [i for i in range(len(self.nodes.all)) if i != a]
        self._ways([(a, i) for i in others] + [(i, a) for i in others], seconds, luck < 0.5)

    def slow(self, a, _, seconds, luck):
        self.note("slow", node=a)
        self.nodes.proxies[a].slow_s = (0.02, 0.1, 0.3)[int(luck * 3)]
        time.sleep(min(seconds, 5))
        self.nodes.proxies[a].slow_s = 0.0
        self.note("fast", node=a)

    def bite(self, a, _, seconds, luck):
        """Connections break in mid-frame, several times."""
        for _ in range(3):
            self.note("bite", node=a)
            self.nodes.proxies[a].bite(1 if luck < 0.5 else 4)
            time.sleep(min(seconds, 2) / 3)
        self.nodes.proxies[a].bite(0)
        self.note("bitten", node=a)
