"""runner.py - finds tests, runs them side by side, prints one line per failure and the count.

A test is a function `f(t)` under @test(...) or @statement("5:MQTT-3.1.0-1", ..., ...). Options:
  versions=(4, 5)   run once per protocol version, t.version tells which; default (5,) for @test
  broker="name"     a key of the module's BROKERS (config text); "" is the default configuration
  alone=True        runs after the others, with nothing beside it
"""
import argparse
import concurrent.futures
import functools
import importlib
import itertools
import pathlib
import re
import sys
import threading
import time
import traceback

import mqtt
from broker import Broker

_serial = itertools.count(1)


class Test:
    def __init__(self, function, ids, versions, broker, alone):
        self.function, self.ids, self.versions = function, ids, versions
        self.broker, self.alone = broker, alone
        self.name, self.module = function.__name__, function.__module__


def _register(ids, versions, broker, alone):
    def wrap(function):
        registry = sys.modules[function.__module__].__dict__.setdefault("TESTS", [])
        assert function.__name__ not in [x.name for x in registry], f"two tests {function.__name__}"
        registry.append(Test(function, ids, versions, broker, alone))
        return function
    return wrap


def test(function=None, *, versions=(5,), broker="", alone=False):
    wrap = _register((), versions, broker, alone)
    return wrap(function) if function else wrap


def statement(*ids, versions=None, broker="", alone=False):
    """The versions default to those of the statements."""
    if versions is None:
        found = {i.split(":")[0] for i in ids}
        versions = tuple(v for v, key in ((4, "311"), (5, "5")) if key in found)
    return _register(ids, versions, broker, alone)


class Context:
    """What a test gets: its version, names that nobody else uses, clients that are closed after it."""

    def __init__(self, broker, version):
        self.broker, self.version, self.clients = broker, version, []
        self.serial = next(_serial)

    @property
    def v5(self):
        return self.version == 5

    def topic(self, tail="t"):
        return f"test/{self.serial}/{tail}"

    def cid(self, tail="c"):
        return f"{tail}{self.serial}"

    def raw(self, version=None, **kw):
        c = mqtt.Client(self.broker.address, **kw)
        c.version = version or self.version
        self.clients.append(c)
        return c

    def hello(self, cid="", version=None, timeout=30.0, rcvbuf=None, **kw):
        version = version or self.version
        return self.raw(version, timeout=timeout, rcvbuf=rcvbuf).hello(cid, version, **kw)

    def client(self, cid=None, version=None, timeout=30.0, rcvbuf=None, **kw):
        """A connected client; cid is a short name, made unique to the test."""
        version = version or self.version
        cid = self.cid(cid) if cid is not None else f"x{self.serial}n{len(self.clients)}"
        return self.raw(version, timeout=timeout, rcvbuf=rcvbuf).open(cid, version, **kw)

    def durable(self, cid, version=None, expiry=mqtt.NEVER, clean=False, props=None, **kw):
        """A client whose session outlives the connection."""
        if (version or self.version) == 5:
            props = {"session_expiry": expiry, **(props or {})}
        return self.client(cid, version, clean=clean, props=props, **kw)

    def serves(self):
        """A fresh client gets what it publishes."""
        c = self.client(version=4)
        c.sub(self.topic("alive"))
        c.pub(self.topic("alive"), b"yes")
        c.msg(b"yes")
        c.bye()

    def done(self):
        for c in self.clients:
            c.close()


def wait_for(condition, timeout=30.0, what="condition"):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout} s"
        time.sleep(0.02)


class Runner:
    def __init__(self, title):
        self.title, self.passed, self.failed = title, 0, 0
        self.lock = threading.Lock()
        self.brokers = {}

    def report(self, name, problem=None, verbose=False, seconds=0.0):
        with self.lock:
            if problem is None:
                self.passed += 1
                if verbose:
                    print(f"PASS {name} ({seconds:.2f} s)", flush=True)
            else:
                self.failed += 1
                print(f"FAIL {name}: {problem}", flush=True)

    def start_brokers(self, configs):
        """One broker per configuration, all started at once. A failure is raised by broker()."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.brokers = {c: pool.submit(Broker(c).start) for c in configs}

    def broker(self, config):
        return self.brokers[config].result()

    @staticmethod
    def where(e):
        """file:line in the test, then the message on one line."""
        frames = [f for f in traceback.extract_tb(e.__traceback__) if "harness" not in f.filename]
        last = frames[-1] if frames else traceback.extract_tb(e.__traceback__)[-1]
        text = " ".join(str(e).split("\n")[:1]) if isinstance(e, AssertionError) else repr(e)
        return f"{pathlib.Path(last.filename).name}:{last.lineno}: {text or last.line}"

    def run_one(self, name, case, version, config, verbose):
        start = time.monotonic()
        context = None
        try:
            context = Context(self.broker(config), version)
            case.function(context)
            self.report(name, None, verbose, time.monotonic() - start)
        except Exception as e:  # a test may fail in any way; the others go on
            self.report(name, self.where(e))
        finally:
            if context:
                context.done()

    def finish(self):
        for config, started in self.brokers.items():
            name, problem = f"broker ends well [{config.strip()}]", None
            try:
                started.result().stop()
            except Exception as e:
                problem = str(e)
            self.report(name, problem)
        print(f"{self.title}: {self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def load(folder, pattern="test_*.py"):
    sys.path.insert(0, str(folder))
    return [importlib.import_module(p.stem) for p in sorted(pathlib.Path(folder).glob(pattern))]


def jobs_of(modules, only):
    for module in modules:
        configs = {"": "", **getattr(module, "BROKERS", {})}
        for case in getattr(module, "TESTS", ()):
            for version in case.versions:
                name = f"{module.__name__[5:]}.{case.name}"
                name += f"[{version}]" if len(case.versions) > 1 else ""
                if not only or re.search(only, name):
                    yield name, case, version, configs[case.broker]


def main(title, folder, extra=None, threads=24):
    """extra: a function that gets the modules and yields (name, problem or None)."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("-k", metavar="REGEX", help="only tests whose name matches")
    parser.add_argument("-v", action="store_true", help="name the tests that pass, too")
    parser.add_argument("-j", type=int, default=threads, help="tests at a time")
    options = parser.parse_args()
    modules = load(folder)
    runner = Runner(title)
    for name, problem in (extra(modules) if extra and not options.k else ()):
        runner.report(name, problem, options.v)
    jobs = list(jobs_of(modules, options.k))
    runner.start_brokers({job[3] for job in jobs})
    run = functools.partial(runner.run_one, verbose=options.v)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        list(pool.map(lambda job: run(*job), [j for j in jobs if not j[1].alone]))
    for job in jobs:
        if job[1].alone:
            run(*job)
    return runner.finish()
