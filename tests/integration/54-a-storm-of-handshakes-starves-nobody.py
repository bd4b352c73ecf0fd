"""1,000 half-open handshakes, a flood of new ones and a ClientHello of a byte a second, while clients talk. T01."""
import os
import socket
import ssl
import statistics
import subprocess
import time

import mqtt
import scenario as s
import transport
from broker import Broker, free_port

C = transport.certificates()
TALKERS, HALF_OPEN, ROUNDS = 50, 1000, 20
port = free_port()
broker = Broker(f"connect_timeout 8\nsys_interval 1\nlistener {port} 127.0.0.1\n"
                f"certfile {C}/chain.pem\nkeyfile {C}/chain.key\n")
ADDRESS = ("127.0.0.1", port)
P99_MS = 100 if not os.environ.get("TERN_BIN") else 2000  # with a sanitizer
FLOOD = """
import ssl, socket, sys, time
context = ssl._create_unverified_context()
address, end, n = ("127.0.0.1", int(sys.argv[1])), time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    context.wrap_socket(socket.create_connection(address)).close()
    n += 1
    time.sleep(max(0, 1 / 200 - 0.002))
print(n)
"""


def client_hello():
    """The first flight of a client, which then says no more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = transport.tls_context().wrap_bio(incoming, outgoing)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def talk(clients, rounds):
    """Each client gets back what it publishes. Milliseconds of each exchange."""
    times = []
    for n in range(rounds):
        for i, c in enumerate(clients):
            begin = time.monotonic()
            c.pub(f"talk/{i}", f"{n}", qos=1)
            c.msg(f"{n}")
            times.append((time.monotonic() - begin) * 1000)
    return times


def p99(times):
    return statistics.quantiles(times, n=100)[98]


clients = []


@s.scenario
def clients_talk_through_a_storm():
    for i in range(TALKERS):
        clients.append(mqtt.Client(ADDRESS, over="tls").open(f"talker-{i}"))
        clients[-1].sub(f"talk/{i}", qos=1)
    calm = p99(talk(clients, 3))
    before, hello = broker.rss(), client_hello()
    half = []
    for _ in range(HALF_OPEN):
        sock = socket.create_connection(ADDRESS)
        sock.sendall(hello)
        half.append(sock)
    drip = socket.create_connection(ADDRESS)
    flood = subprocess.Popen([s.PYTHON, "-c", FLOOD, str(port), "5"], stdout=subprocess.PIPE, text=True)
    times, end = [], time.monotonic() + 5
    while time.monotonic() < end:
        drip.sendall(hello[:1])
        times += talk(clients, 1)
    handshakes = int(flood.communicate()[0])
    grown = (broker.rss() - before) // HALF_OPEN
    text = f"p99 {p99(times):.1f} ms of {len(times)}, {calm:.1f} before; {handshakes} handshakes; {grown} bytes each"
    print(text)
    assert p99(times) < P99_MS, text
    assert handshakes > 100, text
    assert broker.sanitized() or grown < 65536, text
    for sock in half:
        sock.settimeout(10)
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    talk(clients, 1)


@s.scenario
def they_are_closed_in_time_and_counted():
    c = mqtt.Client(broker.address).open("sys")
    c.sub("$SYS/broker/refused/handshake timeouts")
    while int(c.msg(timeout=10).payload) < HALF_OPEN:
        pass
    drip, start = socket.create_connection(ADDRESS), time.monotonic()
    try:
        for byte in client_hello():
            drip.sendall(bytes([byte]))
            time.sleep(0.5)
    except OSError:
        pass
    assert 7 < time.monotonic() - start < 12


with broker:
    s.main()
