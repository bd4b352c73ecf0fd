#!/usr/bin/python3
"""run.py - a cluster under faults, clients that write down what they see, and a checker that judges it.

TERN_BIN names the broker. Each round has clients of its own; each promise of a round counts as one test. A failure
prints the seed, and leaves the history and the nodes' logs.
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
sys.dont_write_bytecode = True
import broker  # noqa: E402
import rest  # noqa: E402
import selftest  # noqa: E402
from checker import Checker  # noqa: E402
from faults import Faults  # noqa: E402
from story import load  # noqa: E402
from wire import WiredNodes  # noqa: E402
from workload import History, Load, make_clients  # noqa: E402

CALM_S, HARM_S, AFTER_S = 1.5, 25, 2
ROUND_S = 70        # about
HEALED_S = 20
WILLS_S = 12        # after the last start of a node: the latest Will of those that are published when it is back
QUIET_S = 3
EXAMPLES = 4


class Round:
    def __init__(self, nodes, number, seed, folder):
        self.nodes, self.number, self.seed = nodes, number, f"{seed}/{number}"
        self.prefix, self.folder = f"h{number}", folder
        self.history = History(folder / f"round-{number}.jsonl")
        self.history.note("round", nodes=len(nodes.all), seed=self.seed, prefix=self.prefix,
                          doubled=[f["sessions/doubled"] for f in rest.figures(nodes)])
        self.load = Load(nodes, self.history, self.prefix, self.seed)
        self.faults = Faults(nodes, self.history, self.seed)
        self.wrong, self.rested = [], False

    # -- the parts of a round --

    def serve(self, seconds):
        self.load.run(lambda: False, seconds)

    def must(self, condition, seconds, what):
        if not self.load.run(condition, seconds):
            lacking = [c.name for c in self.load.clients if not c.up() or c.flight]
            self.wrong.append(f"{what} within {seconds} s: {lacking[:10]}")

    def harm(self, seconds):
        """In a thread of its own: the clients live on."""
        try:
            self.faults.run(seconds)
            for i, node in enumerate(self.nodes.all):
                code = node.process.poll()
                if code is not None:
                    self.wrong.append(f"node {i} is not there, exit code {code}: {node.log()[-1500:]}")
                    node.start()
            self.nodes.wait_linked(timeout=HEALED_S)
        except Exception as e:  # the round is judged all the same
            self.wrong.append(f"{type(e).__name__}: {e}"[:1500])
        self.last_fault = time.monotonic()
        self.history.note("healed")

    def run(self, seconds):
        load_ = self.load
        make_clients(load_)
        for client in load_.clients:
            client.wanted = True
        self.must(load_.all_up, 30, "all clients are there")
        load_.publishing = True
        self.serve(CALM_S)
        self.history.note("harm")
        load_.wild = True
        thread = threading.Thread(target=self.harm, args=(seconds,), daemon=True)
        thread.start()
        load_.run(lambda: not thread.is_alive(), seconds + 150)
        load_.wild = False
        self.must(load_.all_up, 40, "all clients are there again")
        self.serve(AFTER_S)
        self.come_to_rest()
        for client in load_.clients:  # from any node each finds its session
            if client.durable and client.up():
                client.act(time.monotonic(), "move")
                client.retry_at = 0.0
        self.must(load_.all_up, 30, "all clients found their sessions")
        load_.publishing = True
        self.serve(AFTER_S)
        self.come_to_rest()
        quiet_at = self.last_fault + WILLS_S
        load_.run(lambda: time.monotonic() > max(quiet_at, load_.last_news + QUIET_S), 60)
        snap = rest.settle(self.nodes, self.prefix, self.serve)
        self.history.note("rest", **snap)
        self.rested = True

    def come_to_rest(self):
        self.load.publishing = False
        self.must(lambda: self.load.all_up() and self.load.all_through(), 40, "all is acknowledged")

    def clear(self):
        """Sessions end and retained messages go, so that a long run does not grow."""
        self.load.close()
        for client in self.load.clients:
            if client.durable:
                self.nodes.client(client.home, client.name, client.version, clean=True).bye()
        c = self.nodes.client(0, "clear")
        for topic in sorted(set().union(*(rest.retained(self.nodes, i) for i in range(len(self.nodes.all))))):
            c.pub(topic, b"", 1, retain=True)
        c.bye()

    def judge(self):
        """(promise, problems), and what else went wrong."""
        self.history.close()
        checker = Checker(load(self.history.path))
        yield "nodes come back, and clients with them", [("round", text) for text in self.wrong + self.faults.wrong]
        if not self.rested:
            return
        yield from checker.run().items()
        happened = ", ".join(f"{what}: {n}" for what, n in sorted(checker.excused.items())) or "nothing"
        story = checker.story
        print(f"round {self.number}: {len(self.faults.done)} faults ({', '.join(self.faults.done)}), "
              f"{len(story.messages)} messages, {self.history.count} events; "
              f"not promised, and happened: {happened}", flush=True)


def one_round(nodes, number, options, folder):
    """(passed, failed)"""
    passed = failed = 0
    round_ = Round(nodes, number, options.seed, folder)
    try:
        round_.run(options.harm)
        round_.clear()
    except Exception as e:  # a round may fail in any way; what was seen is judged
        round_.wrong.append(f"{type(e).__name__}: {e}"[:1500])
        round_.load.close()
    for promise, problems in round_.judge():
        passed, failed = passed + (not problems), failed + bool(problems)
        if problems:
            print(f"FAIL {promise} (seed {options.seed}, round {number}): {len(problems)} problems, history: "
                  f"{round_.history.path}", flush=True)
            for kind, text in problems[:EXAMPLES]:
                print(f"    {kind}: {text}", flush=True)
        elif options.v:
            print(f"PASS {promise} (round {number})", flush=True)
    if failed:
        for i, node in enumerate(nodes.all):
            shutil.copy(node.log_file, folder / f"node-{i}.log")
    elif not options.keep:
        round_.history.path.unlink()
    return passed, failed


def rounds(options, folder):
    passed, failed, number, begin = 0, 0, 0, time.monotonic()
    plain = random.Random(options.seed).random() < 0.3
    nodes = WiredNodes(options.nodes, "sys_interval 1\nmax_queued_messages 0", plain=plain)
    try:
        with nodes:
            while number == 0 or time.monotonic() - begin + ROUND_S * 0.7 < options.seconds:
                good, bad = one_round(nodes, number, options, folder)
                passed, failed, number = passed + good, failed + bad, number + 1
        passed += 1
    except Exception as e:
        failed += 1
        print(f"FAIL the nodes end well (seed {options.seed}): {type(e).__name__}: {e}"[:3000], flush=True)
    finally:
        for node in nodes.all:  # those that were not asked any more
            if node.process and node.process.poll() is None:
                node.process.kill()
        if not failed:
            shutil.rmtree(nodes.folder, ignore_errors=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="for how long (default 120; a long run: 3600)")
    parser.add_argument("--seed", type=int, help="of faults and clients")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--harm", type=int, default=HARM_S, metavar="S", help="seconds of faults in a round")
    parser.add_argument("-v", action="store_true", help="name what passes, too")
    parser.add_argument("--keep", action="store_true", help="leave the histories of rounds that pass, too")
    parser.add_argument("--self-test", action="store_true", help="only prove that each check can fail")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    passed, failed = selftest.run(options.v)
    if not options.self_test:
        if not os.access(broker.binary(), os.X_OK):
            sys.exit(f"no broker at {broker.binary()}")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-history-"))
        print(f"seed {options.seed}, histories in {folder}", flush=True)
        good, bad = rounds(options, folder)
        passed, failed = passed + good, failed + bad
        if not bad and not options.keep:
            shutil.rmtree(folder)
    print(f"history: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
