"""broker.py - starts the broker under test, and proves that it ended well.

TERN_BIN names the binary (default: build/ternmq). A mosquitto binary works too: keys that it does
not know are left out, which is how the expectations were checked against another implementation.
"""
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import transport
from relay import Relay
from mqtt import CONNACK, Client, Closed

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN_KEYS = ("connect_timeout", "receive_maximum", "log_format", "workers", "max_retained_messages")
SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|"
                       r"MemorySanitizer|runtime error:)")


def binary():
    return os.environ.get("TERN_BIN") or str(ROOT / "build" / "ternmq")


def is_reference():
    return os.path.basename(binary()).startswith("mosquitto")


if is_reference():
    Client.must_say_why = False  # it closes without a DISCONNECT in most cases


_claims = []  # of this process, until it ends


def free_port():
    """Not one of those that the kernel gives away: another program would have it before it is used. Nor one that another
    test has: that would take it while a broker starts, or is down. A name in the kernel stands for each port."""
    while True:
        port = random.SystemRandom().randint(10000, 32000)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0ternmq-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


class Broker:
    """config: lines for the file. listener: False leaves out the listener (and its anonymous access).
    args: replaces the command line after the program's name. under: what starts the program in its own place.

    All listeners, those of config as well, are of the transport that TERN_TRANSPORT names. mqtt.Client speaks it, and
    comes by `address`; programs that speak MQTT over TCP, and raw sockets, come by `port`."""

    def __init__(self, config="", listener=True, args=None, env=None, port=None, under=()):
        self.port = self.listens_on = port or free_port()
        self.relay = None
        if listener and port is None and transport.chosen() != "tcp":
            self.relay = Relay(self.listens_on)
            self.port = self.relay.port
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))
        self.dir.chmod(0o755)
        self.file = self.dir / "broker.conf"
        self.log_file = self.dir / "log"
        self.listener = listener
        self.write_config(config)
        self.args = ["-c", str(self.file)] if args is None else args
        self.over = transport.chosen() if args is None else "tcp"  # without a file there are no keys
        self.env = {**os.environ, **(env or {})}
        self.under = list(under)
        self.process, self.launches = None, 0

    def write_config(self, config):
        lines = [l for l in config.strip().splitlines()]
        if is_reference():
            lines = [l for l in lines if l.split(" ")[0] not in OWN_KEYS]
        head = ["log_dest stderr"]
        if self.listener:
            head += [f"listener {self.listens_on} 127.0.0.1"]
            head += [] if "allow_anonymous" in config else ["allow_anonymous true"]
        # In one step: the broker reads by itself what it finds changed.
        fresh = self.dir / "broker.conf-new"
        fresh.write_text("".join(line + "\n" for line in transport.listeners(head + lines)))
        fresh.rename(self.file)

    def line_of(self, text):
        """The number of the first line of the file that has text."""
        return next(n for n, line in enumerate(self.file.read_text().splitlines(), 1) if text in line)

    @property
    def address(self):
        return ("127.0.0.1", self.listens_on)

    @property
    def pid(self):
        return self.process.pid

    def launch(self):
        """Starts the process, waits for nothing."""
        self.launches += 1
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.under, binary(), *self.args], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.env, cwd=self.dir)
        return self

    def _port_is_held(self):
        """By the process before, which was killed: on a busy machine its rings may outlive it for longer than the broker
        waits for them."""
        return self.launches > 1 and "Address already in use" in self.log()[-1000:]

    def start(self, address=None, timeout=60):
        """Until it answers, and has forgotten who asked: tests count connections."""
        self.launch()
        deadline = time.monotonic() + timeout
        while True:
            try:
                probe = Client(address or self.address, timeout=2, over=self.over)
                probe.hello(f"ready-{self.pid}", 4).recv_type(CONNACK)  # accepted or not
                probe.bye()
                return self
            except (OSError, Closed):
                if self.process.poll() is not None and self._port_is_held():
                    self.launch()
                assert self.process.poll() is None, f"broker ended at start:\n{self.log()}"
                assert time.monotonic() < deadline, f"broker is not ready:\n{self.log()}"
                time.sleep(0.02)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait_log(self, pattern, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.log(), re.M)
            if found:
                return found
            assert time.monotonic() < deadline, f"no /{pattern}/ in the log:\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=60):
        return self.process.wait(timeout)

    def stop(self, clean=True):
        """SIGTERM; with clean, the exit code and the log must be good."""
        if self.process is None:
            return
        alive = self.process.poll() is None
        if alive:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"none, killed after 60 s ({self.process.wait()})"
        self.process = None
        log = self.log()
        shutil.rmtree(self.dir, ignore_errors=True)
        if clean:
            assert alive, f"the broker had died, exit code {code}:\n{log[-4000:]}"
            assert not SANITIZER.search(log), f"sanitizer report:\n{log[-8000:]}"
            assert code == 0, f"exit code {code} after SIGTERM:\n{log[-4000:]}"
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop(clean=kind is None)

    # -- measuring --

    def _status(self, key):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) * 1024

    def rss(self):
        return self._status("VmRSS")

    def sanitized(self):
        """A sanitizer's shadow memory takes terabytes of address space; then RSS says little."""
        return self._status("VmSize") > 1 << 40
