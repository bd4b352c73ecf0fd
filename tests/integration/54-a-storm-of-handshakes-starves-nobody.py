"""A storm of handshakes beside clients that talk: 100 of these lose nothing and wait less than 100 ms. T01."""
import functools
import socket
import ssl
import statistics
import subprocess
import threading
import time

import mqtt
import scenario as s
import transport
from broker import Broker, free_port

C = transport.certificates()
TALKERS, HALF_OPEN, RATE, SECONDS, TIMEOUT = 100, 1000, 200, 7, 10
KEYS = f"certfile {C}/chain.pem\nkeyfile {C}/chain.key\n"
port = free_port()
broker = Broker(f"connect_timeout {TIMEOUT}\nsys_interval 1\nlistener {port} 127.0.0.1\n{KEYS}")
ADDRESS = ("127.0.0.1", port)
FLOOD = """
import ssl, socket, sys, time
context = ssl._create_unverified_context()
address, rate, begin, n = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2]), time.monotonic(), 0
while n < rate * int(sys.argv[3]):
    time.sleep(max(0, begin + n / rate - time.monotonic()))
    context.wrap_socket(socket.create_connection(address)).close()
    n += 1
print(n / (time.monotonic() - begin))
"""


@functools.cache  # else this program is the slowest
def client_hello():
    """The first flight of a client, which then says no more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = transport.tls_context().wrap_bio(incoming, outgoing)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def half_open(address):
    sock = socket.create_connection(address)
    sock.sendall(client_hello())
    return sock


def drip(data, seconds, taken):
    """A byte each second; taken gets the time of each that was taken."""
    sock = socket.create_connection(ADDRESS)
    begin = time.monotonic()
    for byte in data[:seconds]:
        sock.sendall(bytes([byte]))
        taken.append(time.monotonic() - begin)
        time.sleep(1)


def talk(clients, n):
    """Each client gets back what it publishes. Milliseconds of each exchange."""
    times = []
    for i, c in enumerate(clients):
        begin = time.monotonic()
        c.pub(f"talk/{i}", f"{n}", qos=1)
        c.msg(f"{n}")
        times.append((time.monotonic() - begin) * 1000)
    return times


def p99(times):
    return statistics.quantiles(times, n=100)[98]


class Sys:
    """A $SYS topic of a broker, as it comes."""

    def __init__(self, of, topic):
        self.client = mqtt.Client(of.address).open(f"sys-{time.monotonic_ns()}")
        self.client.sub(f"$SYS/broker/{topic}")

    def wait(self, condition, timeout=30):
        end, last = time.monotonic() + timeout, None
        while last is None or not condition(last):
            assert time.monotonic() < end, f"the last value was {last}"
            last = int(self.client.msg(timeout=timeout).payload)
        return last


clients = []


def storm(calm):
    """Its figures as a text, and whether they are good."""
    before, pending = broker.rss(), Sys(broker, "handshakes/pending")
    half = [half_open(ADDRESS) for _ in range(HALF_OPEN)]
    dripped = []
    dripper = threading.Thread(target=drip, args=(client_hello(), SECONDS, dripped))
    flood = subprocess.Popen([s.PYTHON, "-c", FLOOD, str(port), str(RATE), str(SECONDS)], stdout=subprocess.PIPE,
                             text=True)
    dripper.start()
    times, n, end = [], 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        times += talk(clients, n)
        n += 1
    assert pending.wait(lambda value: value > HALF_OPEN) <= HALF_OPEN + 50  # the dripping one, and some of the flood
    rate = float(flood.communicate()[0])
    dripper.join()
    grown = (broker.rss() - before) // HALF_OPEN
    text = (f"p99 {p99(times):.1f} ms of {len(times)}, the longest {max(times):.1f}; {calm:.1f} before; "
            f"{rate:.0f} handshakes a second; {grown} bytes for a half-open one")
    print(text)
    assert len(dripped) == SECONDS, dripped
    assert broker.sanitized() or grown < 32768, text
    for sock in half:
        sock.settimeout(TIMEOUT + 30)
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    talk(clients, "after")  # all of them are there
    pending.wait(lambda value: value == 0)
    # With a sanitizer a handshake takes ten times as long, and so does what others wait for.
    return text, p99(times) < 2000 if broker.sanitized() else p99(times) < 100 and rate > RATE * 0.75


@s.scenario
def clients_talk_through_a_storm():
    for i in range(TALKERS):
        clients.append(mqtt.Client(ADDRESS, over="tls").open(f"talker-{i}"))
        clients[-1].sub(f"talk/{i}", qos=1)
    calm = p99(sum((talk(clients, n) for n in range(5)), []))
    for _ in range(3):  # the machine is not this test's alone, and others only make it worse
        text, good = storm(calm)
        if good:
            return
    raise AssertionError(text)


@s.scenario
def they_are_closed_in_time_and_counted():
    Sys(broker, "refused/handshake timeouts").wait(lambda value: value >= HALF_OPEN)
    drip_, start = socket.create_connection(ADDRESS), time.monotonic()
    try:
        for byte in client_hello():
            drip_.sendall(bytes([byte]))
            time.sleep(0.5)
    except OSError:
        pass
    assert TIMEOUT - 1 < time.monotonic() - start < TIMEOUT + 20


@s.scenario
def their_number_is_bounded_and_others_come_in():
    limit, more, at = 50, 200, free_port()
    with Broker(f"workers 1\nmax_pending_handshakes {limit}\nsys_interval 1\nlistener {at} 127.0.0.1\n{KEYS}") as small:
        pending, refused = Sys(small, "handshakes/pending"), Sys(small, "refused/handshakes")
        half = []
        for n in range(more):
            half.append(half_open(("127.0.0.1", at)))
            if n % 20 == 0:
                mqtt.Client(("127.0.0.1", at), over="tls").open("in time").bye()
        assert pending.wait(lambda value: value >= limit) == limit
        assert refused.wait(lambda value: value >= more - limit) <= more - limit + more // 20
        for sock in half[:more - limit]:  # the oldest are gone
            sock.settimeout(30)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        small.wait_log("max_pending_handshakes is reached")


with broker:
    s.main()
