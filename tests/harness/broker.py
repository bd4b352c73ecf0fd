"""broker.py - starts the broker under test, and proves that it ended well.

TERN_BIN names the binary (default: build/ternmq). A mosquitto binary works too: keys that it does
not know are left out, which is how the expectations were checked against another implementation.
"""
import os
import pathlib
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """config: lines for the file. listener: False leaves out the listener (and its anonymous access).
    args: replaces the command line after the program's name. under: what starts the program in its own place."""

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
        self.env = {**os.environ, **(env or {})}
        self.under = list(under)
        self.process = None

    def write_config(self, config):
        lines = [l for l in config.strip().splitlines()]
        if is_reference():
            lines = [l for l in lines if l.split(" ")[0] not in OWN_KEYS]
        head = ["log_dest stderr"]
        if self.listener:
            head += [f"listener {self.listens_on} 127.0.0.1"]
            head += [] if "allow_anonymous" in config else ["allow_anonymous true"]
            head += transport.listener_keys(transport.chosen())
        self.file.write_text("\n".join(head + lines) + "\n")

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def pid(self):
        return self.process.pid

    def launch(self):
        """Starts the process, waits for nothing."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.under, binary(), *self.args], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.env, cwd=self.dir)
        return self

    def start(self, address=None, timeout=15):
        self.launch()
        deadline = time.monotonic() + timeout
        while True:
            try:
                probe = Client(address or self.address, timeout=2)
                probe.hello(f"ready-{self.pid}", 4).recv_type(CONNACK)  # accepted or not
                probe.close()
                return self
            except (OSError, Closed):
                assert self.process.poll() is None, f"broker ended at start:\n{self.log()}"
                assert time.monotonic() < deadline, f"broker is not ready:\n{self.log()}"
                time.sleep(0.02)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait_log(self, pattern, timeout=5):
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.log(), re.M)
            if found:
                return found
            assert time.monotonic() < deadline, f"no /{pattern}/ in the log:\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=20):
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
            code = f"none, killed after 20 s ({self.process.wait()})"
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
