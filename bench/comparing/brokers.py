"""brokers.py - starts a broker afresh, waits until it serves, finds its process, ends it."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import ways
from .scenarios import FLOOR_SCENARIOS, Bad

START_S = 20
STOP_S = 10
LOG_LINES = 12
LISTENING = "0A"  # in /proc/net/tcp


class Failed(Exception):
    """A run that told nothing, in words for the report."""


# Everything is at its default, but where defaults end what is measured: a full queue drops (of sessions that are
# away, or in open loop), and mosquitto closes on a publisher with more QoS 2 messages under way.
NO_LIMITS = ["max_queued_messages 0", "max_inflight_messages 0"]


class Broker:
    """kind: ternmq, mosquitto, floor or peer. lines: of its configuration. command: for a shell, with {port}
    and perhaps {dir}, a folder of its own that is empty at the start."""

    def __init__(self, name, kind, command, lines=(), version=""):
        self.name, self.kind, self.command, self.version = name, kind, command, version
        self.lines = list(lines)
        self.process = self.folder = self.pid = None
        self.port, self.durable = 0, False

    def describe(self):
        return {"name": self.name, "kind": self.kind, "version": self.version, "config": self.lines}

    def serves(self, experiment, overrides=()):
        """Of TLS and WebSockets a peer's command knows nothing, nor does the floor."""
        if self.kind in ("floor", "peer") and not (ways.is_plain(experiment.options) and ways.is_plain(overrides)):
            return False
        return self.kind != "floor" or (experiment.scenario in FLOOR_SCENARIOS and
                                        "kill-at" not in experiment.options)

    # -- starting --

    def _config(self, options, limits):
        lines = [f"listener {self.port} 127.0.0.1", *ways.listener_lines(options), "allow_anonymous true"]
        if not limits or str(dict(options).get("qos")) == "2":
            lines += NO_LIMITS
        if self.kind == "mosquitto" and os.geteuid() == 0:
            lines.append("user root")  # or it could not write to the folder
        if self.kind == "mosquitto" and "websocket" in options:
            lines.append(f"listener 0 {self.folder}/socket")  # 2.0.11 does not start with WebSockets alone
        if self.durable:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
        return "\n".join(lines + self.lines) + "\n"

    def _command_line(self):
        command = self.command.replace("{port}", str(self.port)).replace("{dir}", str(self.folder))
        # A plain command takes the shell's place; a compound one has its "exec" where it belongs.
        compound = any(c in command for c in ";&|\n") or command.startswith("exec ")
        return ["/bin/sh", "-c", command if compound else f"exec {command}"]

    def start(self, port, options=(), durable=False, limits=True):
        """options: of ternmq-bench, with which it will come. limits: the defaults of queues."""
        self.port, self.durable = port, durable
        # The kernel closes what an io_uring still held a while after its process has ended.
        end = time.monotonic() + STOP_S
        while is_taken(port):
            if time.monotonic() > end:
                raise Failed(f"port {port} is in use by somebody else")
            time.sleep(0.05)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ternmq-compare-"))
        (self.folder / "broker.conf").write_text(self._config(options, limits and not durable))
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(self._command_line(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, start_new_session=True)
        try:
            self._wait_serving(options)
            self.pid = listener_pid(port, self.process.pid) or self.process.pid
        except BaseException:
            self.stop()
            raise

    def _wait_serving(self, options):
        end = time.monotonic() + START_S
        while not ways.answers(self.port, options):
            code = self.process.poll()
            if code is not None:
                raise Failed(f"{self.name} ended with exit status {code} before it served; it said last: {self.log()}")
            if time.monotonic() > end:
                raise Failed(f"{self.name} answers no CONNECT on port {self.port} after {START_S} s; "
                             f"it said last: {self.log()}")
            time.sleep(0.02)

    def log(self):
        try:
            lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return "\n".join(lines[-LOG_LINES:]) or "(nothing)"

    # -- ending --

    def died(self):
        return self.process.poll() is not None

    def stop(self):
        """The process by SIGTERM, and what is left of its group by SIGKILL."""
        if self.process is None:
            return
        group = self.process.pid
        if self.process.poll() is None:
            os.kill(self.pid or group, signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.process = self.folder = self.pid = None


# ---- Ports ------------------------------------------------------------------------------------

def is_taken(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def listener_pid(port, group):
    """The process of this group that listens on the port: a wrapper is not what is to be measured."""
    inodes = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in pathlib.Path(path).read_text().splitlines()[1:]]
        except OSError:
            continue
        inodes |= {f"socket:[{r[9]}]" for r in rows if r[3] == LISTENING and int(r[1].split(":")[1], 16) == port}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group and \
                    any(os.readlink(fd) in inodes for fd in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:
            continue
    return None


# ---- Which ------------------------------------------------------------------------------------

def version_of(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.splitlines() or [""])[0].strip()


def mosquitto_path():
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def make(name, build, lines):
    """One of the three known by name."""
    if name == "ternmq":
        path = build / "ternmq"
        if path.exists():
            return Broker(name, "ternmq", f"'{path}' -c broker.conf", lines, version_of([str(path), "--version"]))
    elif name == "floor":
        path = build / "ternmq-floor"
        if path.exists():
            return Broker(name, "floor", f"'{path}' --port {{port}}", [], "")
    elif name == "mosquitto":
        path = mosquitto_path()
        if not path:
            raise Bad("mosquitto is not installed; leave it out with --brokers, or install it")
        return Broker(name, "mosquitto", f"'{path}' -c broker.conf", [], version_of([path, "-h"]))
    else:
        raise Bad(f'--brokers: there is no "{name}"; known are ternmq, mosquitto and floor, others come with --peer')
    raise Bad(f"{path} is not there: build it first, or name the folder with --build")


def make_peer(text):
    name, equals, command = text.partition("=")
    if not equals or not name or "{port}" not in command:
        raise Bad(f'--peer: expected NAME=COMMAND with {{port}} in the command, not "{text}"')
    return Broker(name, "peer", command)


def make_variant(text, build, lines):
    name, equals, more = text.partition("=")
    if not equals or not name:
        raise Bad(f'--variant: expected NAME=LINE;LINE..., not "{text}"')
    variant = make("ternmq", build, [*lines, *(line.strip() for line in more.split(";") if line.strip())])
    variant.name = name
    return variant
