"""machine.py - what the machine is, and how disturbed it was."""
import hashlib
import os
import pathlib
import platform
import re
import resource
import statistics
import time

WORK_BYTES = 4 << 20
WORK_ROUNDS = 5
_block = bytes(range(256)) * (WORK_BYTES // 256)


def calibrate():
    """Milliseconds of wall clock for a fixed amount of pure CPU work, the median of some rounds."""
    times = []
    for _ in range(WORK_ROUNDS):
        begin = time.perf_counter()
        hashlib.sha256(_block).digest()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def cpu_seconds():
    """(busy, steal, total) of all CPUs since boot."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    idle, steal = fields[3] + fields[4], fields[7]
    return (sum(fields) - idle - steal) / tick, steal / tick, sum(fields) / tick


def process_cpu_seconds(pid):
    """User and system time of a process, 0 when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


class Watch:
    """What happened to the machine between its making and end(): shares of all CPU time, and how often the
    generator had to give up the CPU."""

    def __init__(self, broker_pid):
        self.broker_pid = broker_pid
        self.begin = self._sample()

    def _sample(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = time.process_time() + children.ru_utime + children.ru_stime + process_cpu_seconds(self.broker_pid)
        return (*cpu_seconds(), ours, children.ru_nivcsw)

    def end(self):
        busy, steal, total, ours, switches = (b - a for a, b in zip(self.begin, self._sample()))
        total = max(total, 1e-9)
        return {"foreign": round(max(0.0, busy - ours) / total, 4), "steal": round(max(0.0, steal) / total, 4),
                "generator_preempted": switches}


def _first(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        return ""
    return found[1].strip().strip('"') if found else ""


def describe():
    """No names: the page is for everybody."""
    return {
        "system": _first("/etc/os-release", r"^PRETTY_NAME=(.*)$"),
        "kernel": platform.release().split("-")[0],
        "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(_first("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) // 1024,
    }


def raise_file_limit():
    """For the broker, which inherits it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
