"""ternmq-floor: the generator finds no fault with it, packets may be cut anywhere, what it cannot do it says."""
import json
import pathlib
import socket
import subprocess
import time

import scenario as s
from broker import ROOT, binary, free_port


def program(name):
    beside = pathlib.Path(binary()).with_name(name)
    return str(beside if beside.exists() else ROOT / "build" / name)


class Floor:
    def __init__(self, threads=1):
        self.port = free_port()
        self.process = subprocess.Popen([program("ternmq-floor"), "--port", str(self.port), "--threads", str(threads)],
                                        stderr=subprocess.PIPE, text=True)

    def connect(self):
        end = time.monotonic() + 30
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=30)
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, "the floor does not listen"
                time.sleep(0.02)

    def __enter__(self):
        self.connect().close()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        said = self.process.communicate(timeout=30)[1]
        assert self.process.returncode == 0, (self.process.returncode, said)
        self.said = said

    def load(self, *options):
        done = subprocess.run([program("ternmq-bench"), "--port", str(self.port), "--broker-pid", str(self.process.pid),
                               "--warmup", "0", "--seconds", "1", "--json", *map(str, options)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=300)
        assert done.returncode == 0, (options, done.stdout, done.stderr)
        report = json.loads(done.stdout)
        assert report["lost"] == report["duplicates"] == report["reordered"] == report["stray"] == 0, report
        assert report["unacknowledged"] == report["connections_lost"] == 0, report
        return report


def exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, f"closed after {data.hex()}"
        data += more
    return data


def packet(first, body):
    length, value = b"", len(body)
    while True:
        length += bytes([value % 128 | (128 if value > 127 else 0)])
        value //= 128
        if not value:
            return bytes([first]) + length + body


def text(words):
    return len(words).to_bytes(2, "big") + words.encode()


def opened(floor):
    sock = floor.connect()
    sock.sendall(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text("me")))
    assert exactly(sock, 4) == b"\x20\x02\x00\x00"
    return sock


def subscribed(floor, *filters):
    sock = opened(floor)
    sock.sendall(packet(0x82, b"\x00\x07" + b"".join(text(f) + b"\x01" for f in filters)))
    assert exactly(sock, 4 + len(filters)) == packet(0x90, b"\x00\x07" + b"\x01" * len(filters))
    return sock


@s.scenario
def one_thread_loses_nothing():
    with Floor() as floor:
        for qos in 0, 1, 2:
            assert floor.load("--scenario", "pairs", "--clients", 20, "--qos", qos)["delivered"] > 1000
        floor.load("--scenario", "fan-in", "--clients", 20, "--qos", 2, "--version", 5)
        floor.load("--scenario", "fan-out", "--clients", 20, "--qos", 1)
        floor.load("--scenario", "pairs", "--clients", 3, "--size", 300000, "--window-per-sub", 10, "--qos", 1)


@s.scenario
def two_threads_lose_nothing():
    with Floor(threads=2) as floor:
        floor.load("--scenario", "pairs", "--clients", 20, "--qos", 2)
        floor.load("--scenario", "fan-in", "--clients", 20, "--qos", 1)
        floor.load("--scenario", "fan-out", "--clients", 20)
        floor.load("--scenario", "pairs", "--clients", 3, "--size", 300000, "--window-per-sub", 10)
        assert floor.load("--scenario", "connect", "--clients", 20)["delivered"] > 100


@s.scenario
def packets_may_be_cut_anywhere():
    publish = packet(0x32, text("bench/x/17") + b"\x12\x34" + b"p" * 300)
    with Floor() as floor:
        subscriber, publisher = subscribed(floor, "bench/x/17"), opened(floor)
        publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(len(publish) * 2):
            publisher.send((publish * 2)[n:n + 1])
        assert exactly(subscriber, len(publish) * 2) == publish * 2
        assert exactly(publisher, 8) == b"\x40\x02\x12\x34" * 2
        for at in range(1, 20):
            publisher.sendall(publish[:at])
            time.sleep(0.002)
            publisher.sendall(publish[at:] + b"\xc0\x00")
            assert exactly(subscriber, len(publish)) == publish, at
            assert exactly(publisher, 6) == b"\x40\x02\x12\x34\xd0\x00", at


@s.scenario
def each_gets_what_it_asked_for():
    with Floor() as floor:
        one, all_of_them = subscribed(floor, "bench/x/1"), subscribed(floor, "bench/x/+")
        # Held to match nothing: no number of their own, or a wildcard elsewhere.
        nothing = subscribed(floor, "bench/x/extra1", "bench/+/extra2/#", "bench/x/1/x")
        publisher, sent = opened(floor), {n: packet(0x30, text(f"bench/x/{n}") + b"hello") for n in (1, 2)}
        publisher.sendall(sent[2] + sent[1])
        assert exactly(one, len(sent[1])) == sent[1]
        assert exactly(all_of_them, len(sent[1]) * 2) == sent[2] + sent[1]
        one.close()
        nothing.sendall(b"\xc0\x00")
        assert exactly(nothing, 2) == b"\xd0\x00"
        publisher.sendall(sent[1])
        assert exactly(all_of_them, len(sent[1])) == sent[1]


@s.scenario
def a_slow_reader_gets_it_all_in_order():
    """More than sockets hold: the floor keeps the rest."""
    body, count = b"q" * 60000, 400
    with Floor() as floor:
        subscriber, publisher = subscribed(floor, "bench/x/5"), opened(floor)
        sent = [packet(0x30, text("bench/x/5") + n.to_bytes(4, "big") + body) for n in range(count)]
        for message in sent:
            publisher.sendall(message)
        publisher.sendall(b"\xc0\x00")
        assert exactly(publisher, 2) == b"\xd0\x00"
        for message in sent:
            assert exactly(subscriber, len(message)) == message


@s.scenario
def what_it_does_not_know_it_refuses():
    with Floor() as floor:
        for wrong in packet(0xa2, b"\x00\x01" + text("bench/x/1")), b"\x30\x80\x80\x80\x80\x01", packet(0x30, b"\xff\xff"):
            sock = opened(floor)
            sock.sendall(wrong)
            assert sock.recv(1) == b"", wrong
    assert floor.said.count("closed a connection for a packet of type") == 3 and "type 10 " in floor.said, floor.said


@s.scenario
def mistakes_are_told():
    with Floor() as floor:
        taken = [program("ternmq-floor"), "--port", str(floor.port)]
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            busy = [program("ternmq-floor"), "--port", str(other.getsockname()[1])]
            for arguments, exit_code, words in ((busy, 1, "Address already in use"),
                                                (taken + ["--threads", "9"], 2, "a number from 1 to 8"),
                                                (taken + ["--threads"], 2, "a number from 1 to 8"),
                                                (taken + ["--qos", "1"], 2, 'unknown option "--qos"')):
                code, said = s.run(*arguments)
                assert code == exit_code and words in said, (arguments, code, said)


s.main()
