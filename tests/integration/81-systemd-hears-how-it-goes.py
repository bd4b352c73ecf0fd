"""What a service manager is told on NOTIFY_SOCKET: READY when clients are served, a reload from its begin to its end,
WATCHDOG only while every worker's loop comes round, STOPPING. The manager here is a socket of the test's own."""
import contextlib
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import mqtt
import scenario as s
from broker import Broker, binary, free_port
from mqtt import V311
from stopped import Stopped

WATCHDOG_S = 2
SESSIONS = 100000


class Manager:
    """Hears what is told, as {"READY": "1", ...} each, and when."""

    def __init__(self, abstract=False):
        self.folder = tempfile.TemporaryDirectory(prefix="tern-notify-")
        path = str(pathlib.Path(self.folder.name, "notify"))
        self.name = "@" + path if abstract else path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + path if abstract else path)
        if not abstract:
            os.chmod(path, 0o666)
            os.chmod(self.folder.name, 0o755)
        self.heard = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):  # at once: a sender waits where nobody reads
        while data := self.sock.recv(4096):
            lines = data.decode().rstrip("\n").split("\n")
            self.heard.put((time.monotonic(), dict(line.split("=", 1) for line in lines)))

    def broker(self, config="", **env):
        return Broker(config, env={"NOTIFY_SOCKET": self.name, **env})

    def next(self, timeout=10):
        try:
            return self.heard.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing was told for {timeout} s") from None

    def wait(self, timeout=10, **wanted):
        """The next message that says this, whatever comes before."""
        end = time.monotonic() + timeout
        while True:
            when, message = self.next(max(0.01, end - time.monotonic()))
            if all(re.fullmatch(text, message.get(key, "")) for key, text in wanted.items()):
                return when, message


@contextlib.contextmanager
def running(manager, config="", **env):
    """Once it is ready."""
    broker = manager.broker(config, **env)
    broker.launch()
    try:
        manager.wait(READY="1")
        yield broker
    finally:
        broker.stop()


# ---- Scenarios ----

def import_sessions(broker):
    """So many that it takes the next start some time to read them."""
    lines = broker.dir / "sessions.jsonl"
    with open(lines, "w", encoding="utf-8") as file:
        for i in range(1, SESSIONS + 1):
            file.write(f'{{"type":"session","session":{i},"client_id":"d{i}","user":null,"version":4,"connected":false,'
                       '"expiry_s":"never","expires":"never","sent":0,"will":null}\n')
    code, text = s.run(binary(), "-c", broker.file, "--import", lines, timeout=60, cwd=broker.dir)
    assert code == 0, text


@s.scenario
def ready_is_told_when_clients_are_served():
    for abstract in (False, True):
        manager, http = Manager(abstract), free_port()
        broker = manager.broker(f"http_listener {http}\npersistence true\nworkers 2")
        import_sessions(broker)
        broker.launch()
        try:
            message = {}
            while "READY" not in message:
                assert message.keys() <= {"STATUS"}, message
                message = manager.next()[1]
            # No second try: it was said that it is ready.
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5) as answer:
                assert answer.read() == b"ok\n"
            c = mqtt.Client(broker.address).open(f"d{SESSIONS}", V311, clean=False)
            assert c.connack.session_present and message["READY"] == "1", message
            assert re.fullmatch(r"Connected clients: 0; workers: 2; (io_uring|epoll)", message["STATUS"]), message
            c.bye()
        finally:
            broker.stop()


@s.scenario
def a_start_that_fails_is_never_ready():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        manager = Manager()
        env = {**os.environ, "NOTIFY_SOCKET": manager.name}
        done = subprocess.run([binary(), "-p", str(taken.getsockname()[1])], capture_output=True, timeout=20, check=False,
                              env=env)
    assert done.returncode == 1, done
    told = []
    while not manager.heard.empty():
        told.append(manager.heard.get()[1])
    assert all("READY" not in message for message in told), told


@s.scenario
def a_reload_is_told_from_begin_to_end():
    manager = Manager()
    with running(manager) as broker:
        for config, refused in (("max_qos 1", False), ("max_qos 7", True), ("max_qos 2", False)):
            broker.write_config(config)
            before, at = time.monotonic(), 0
            broker.signal(signal.SIGHUP)
            while at < before:  # it sees that the file has changed, too, and may have read it before
                _, message = manager.wait(RELOADING="1")
                at = int(message["MONOTONIC_USEC"]) / 1e6
            assert at <= time.monotonic()
            _, message = manager.next()
            assert message["READY"] == "1" and ("reload was refused" in message["STATUS"]) == refused, message


@s.scenario
def the_watchdog_hears_only_of_workers_that_come_round():
    manager = Manager()
    with running(manager, "workers 2", WATCHDOG_USEC=str(WATCHDOG_S * 1000000)) as broker:
        client = mqtt.Client(broker.address).open("one", V311)
        last, message = manager.wait(WATCHDOG="1", STATUS="Connected clients: 1;.*")
        for _ in range(6):  # nothing else goes on, and a worker that sleeps is none that hangs
            now, message = manager.next(WATCHDOG_S)
            assert message["WATCHDOG"] == "1" and now - last < WATCHDOG_S, (message, now - last)
            last = now
        with Stopped(broker.pid, "tern-w1"):
            stopped = time.monotonic()
            when, message = manager.wait(30, STATUS="worker 1 hangs for 1[0-9] s")
            assert "WATCHDOG" not in message and when - stopped < 20, (message, when - stopped)
            for _ in range(3):
                assert "WATCHDOG" not in manager.next()[1]
        manager.wait(WATCHDOG="1")
        client.ping()
        client.bye()


@s.scenario
def who_did_not_ask_for_a_watchdog_hears_of_none():
    manager = Manager()
    with running(manager):
        time.sleep(7)  # main looks round every 5 s
        assert manager.heard.empty(), manager.heard.get()


@s.scenario
def the_end_is_told_first_of_all():
    manager = Manager()
    with running(manager) as broker:
        broker.stop()
        assert manager.next()[1] == {"STOPPING": "1", "STATUS": "Stopping"}
    assert manager.heard.empty()


@s.scenario
def a_manager_that_is_gone_disturbs_nobody():
    manager = Manager()
    manager.folder.cleanup()
    with manager.broker() as broker:
        broker.signal(signal.SIGHUP)
        broker.wait_log("Config reloaded")


s.main()
