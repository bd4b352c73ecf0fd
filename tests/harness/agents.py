"""agents.py - the load generator as several processes: agents, and coordinators over them."""
import contextlib
import json
import pathlib
import socket
import subprocess
import time

import scenario as s
from broker import ROOT, binary

CLIENTS = 20


def bench():
    beside = pathlib.Path(binary()).with_name("ternmq-bench")
    return str(beside if beside.exists() else ROOT / "build" / "ternmq-bench")


class Agent:
    """before: a command that runs it."""

    def __init__(self, *options, port=0, before=()):
        self.program = s.Program(*before, bench(), "--agent", str(port), *options)
        self.port = int(self.program.wait_line("agent on port").rsplit(" ", 1)[1])
        self.where = f"127.0.0.1:{self.port}"

    def alive(self):
        return self.program.process.poll() is None


@contextlib.contextmanager
def agents(count, *options):
    crowd = [Agent(*options) for _ in range(count)]
    try:
        yield crowd
        assert all(a.alive() for a in crowd), [a.program.rest() for a in crowd if not a.alive()]
    finally:
        for a in crowd:
            a.program.kill()


def coordinate(crowd, port, *options, start_only=False):
    """Returns exit code, report or None, and what stands on stderr."""
    names = ",".join(a if isinstance(a, str) else a.where for a in crowd)
    process = subprocess.Popen([bench(), "--agents", names, "--port", str(port), "--clients", str(CLIENTS), "--warmup",
                                "0", "--seconds", "1", "--json", *options], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if start_only:
        return process
    return finish(process)


def finish(process, timeout=200):
    out, errors = process.communicate(timeout=timeout)
    return process.returncode, json.loads(out) if out else None, errors


def check_sums(report, count):
    """What the whole says is what its agents say."""
    parts = report["agents"]
    assert len(parts) == count, report
    for key in "published_all", "duplicates", "reordered", "stray", "connections_lost":
        assert report[key] == sum(p[key] for p in parts), (key, report)
    if all(p["lost"] is not None for p in parts):
        assert report["lost"] == sum(p["lost"] for p in parts), report
    if report["acked_all"] is not None:
        assert report["acked_all"] == sum(p["acked_all"] for p in parts), report


def good(result, count):
    code, report, errors = result
    assert report is not None, f"exit code {code}: {errors}"
    assert code == 0 and report["good"] and report["lost"] == 0, report
    check_sums(report, count)
    return report


def wait_listening(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def wait_connections(broker, want):
    """Until the broker's process has so many established connections at its port."""
    deadline = time.monotonic() + 30
    hexport = f":{broker.port:04X}"
    while True:
        lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        count = sum(1 for f in lines if f[1].endswith(hexport) and f[3] == "01")
        if want(count):
            return
        assert time.monotonic() < deadline, f"{count} connections"
        time.sleep(0.05)
