"""attacker.py - one client, or many, that mean no good.

  attacker.py PORT SECONDS KIND      prints what the broker answered as one line of JSON: {"answer": times}
"""
import collections
import contextlib
import itertools
import json
import select
import socket
import sys
import time

import mqtt

PORT, SECONDS, KIND = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
END = time.monotonic() + SECONDS
met = collections.Counter()
GONE = (OSError, mqtt.Closed, AssertionError, TimeoutError)


def on():
    return time.monotonic() < END


def dial(number=0, **kw):
    """From an address of this kind's own."""
    kind = sorted(KINDS).index(KIND) + 10
    return mqtt.Client(("127.0.0.1", PORT), timeout=2, source=f"127.0.{kind}.{number % 250 + 1}", **kw)


def enter(name, number=0, rcvbuf=None, **kw):
    """A connection that the broker has accepted, however long that takes; None at the end."""
    while on():
        with contextlib.suppress(*GONE):
            client = dial(number, rcvbuf=rcvbuf).hello(f"{KIND}-{name}", keep_alive=0, **kw)
            reason = client.recv_type(mqtt.CONNACK).reason
            met[f"CONNACK {reason:#04x}"] += 1
            if reason == 0:
                return client
        time.sleep(0.05)
    return None


def pour(client, packets, read=None):
    """Sends while the broker takes it. False: it has closed, or takes nothing any more."""
    read = read or drain
    client.sock.setblocking(False)
    for data in packets:
        view = memoryview(data)
        while view and on():
            try:
                view = view[client.sock.send(view):]
            except BlockingIOError:
                read(client)
                select.select([], [client.sock], [], 0.1)
            except OSError:
                met["closed"] += 1
                return False
        if not on():
            return False
    read(client)
    return True


def drain(client):
    """Counts the answers that have come."""
    with contextlib.suppress(OSError):
        while on() and (data := client.sock.recv(1 << 16)):
            client.buf += data
            while packet := client._packet():
                for code in getattr(packet, "reasons", [packet.reason]):
                    met[f"{mqtt.NAMES[packet.type]} {code:#04x}"] += 1


def discard(client):
    """Takes what has come, and looks at none of it: an attacker has better uses for his CPU, and this one is shared."""
    with contextlib.suppress(OSError):
        while on() and (data := client.sock.recv(1 << 20)):
            met["bytes"] += len(data)


# ---- The kinds ----------------------------------------------------------------------------------

def slow_connects():
    """CONNECT at a byte each half second, 200 times side by side, and again when it is closed."""
    data = mqtt.connect("slow-connect")
    running = {}
    while on():
        while len(running) < 200:
            try:
                running[dial(len(running)).sock] = 0
            except OSError:
                break
        for sock, at in list(running.items()):
            try:
                sock.send(data[at:at + 1])
                running[sock] = min(at + 1, len(data) - 2)
            except OSError:
                met["closed"] += 1
                del running[sock]
        time.sleep(0.5)


def never_reads():
    """Subscribes to everything, at every QoS, and reads nothing; durable ones as well."""
    held = []
    for i in range(6):
        client = enter(f"sub-{i}", i, rcvbuf=4096, props={"session_expiry": 60 * (i % 2)})
        if client:
            client.send(mqtt.subscribe(1, [("#", i % 3)]))
            held.append(client)
    while on():
        time.sleep(0.1)
    met["held"] += len(held)


def subscriptions():
    """100,000 subscriptions, 1,000 at a time."""
    client = enter("many")
    packets = (mqtt.subscribe(1, [(f"s/{n}/{i}/+", 0) for i in range(1000)]) for n in itertools.count())
    for n, packet in enumerate(packets):
        if not client or not on():
            return
        if not pour(client, [packet]):
            client = enter("many")
        if n >= 100:
            time.sleep(0.5)  # it has them, or was told


def wildcard_bombs():
    """Every mix of + and a level, and topics that all of them match."""
    filters = ["bomb/" + "/".join(mix) for mix in itertools.product("a+", repeat=11)]
    publish = mqtt.publish("bomb/" + "/".join("a" * 11), b"x" * 100)
    while on():
        client = enter("bomb")
        if not client:
            return
        good = pour(client, [mqtt.subscribe(1, [(f, 0) for f in filters[i:i + 256]], props={"subscription_id": i + 1})
                             for i in range(0, len(filters), 256)])
        time.sleep(0.5)
        drain(client)
        while good and on():
            good = pour(client, [publish] * 20, discard)


def deep_topics():
    """As many levels as a topic can have."""
    deepest, filters = "/".join("d" * 200), "/".join("+" * 200)
    while on():
        client = enter("deep")
        if not client:
            return
        pour(client, [mqtt.subscribe(1, [(filters, 0), ("/" * 199, 1)]), mqtt.publish(deepest, b"x", 1, 1),
                      mqtt.publish("/" * 65000, b"x"), mqtt.publish("d/" * 300, b"x")])
        time.sleep(0.05)
        drain(client)


def retained_flood():
    """Ever new topics with retained messages of 2 KB, and of 200 KB."""
    numbers = itertools.count()
    while on():
        client = enter("keep")
        while client and on():
            packets = [mqtt.publish(f"keep/{n}", bytes(200_000 if n % 100 == 0 else 2000), n % 2, n % 65535 + 1, retain=True)
                       for n in itertools.islice(numbers, 50)]
            if not pour(client, packets):
                client = enter("keep")


def connection_flood():
    """Connections, with a CONNECT in the clear from ever other addresses, and without from one."""
    connect = mqtt.connect("flood", mqtt.V311)
    held = collections.deque(maxlen=1000)  # leaves room for the other attackers
    for n in itertools.count():
        if not on():
            return
        with contextlib.suppress(*GONE):
            client = dial(n if n % 2 else 0, over="tcp")
            if n % 2:
                client.send(connect)
            held.append(client.sock)
        met["connections"] += 1
        time.sleep(0.004)  # the guesses are a flood, too


def garbage():
    """What is no MQTT, and what nearly is."""
    pieces = [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff", bytes(1000), mqtt.connect("g")[:-3] + b"\xff\xff\xff",
              mqtt.connect("g") + b"\x36\0", b"\x30\xff\xff\xff\x7f" + bytes(100)]
    for n in itertools.count():
        if not on():
            return
        with contextlib.suppress(*GONE):
            client = dial(n)
            client.send(pieces[n % len(pieces)])
            client.close()
        met["pieces"] += 1
        time.sleep(0.005)


def failed_logins():
    """Guesses at a password, from one address: for what they are told. ternmq-bench makes them in numbers."""
    connects = (mqtt.connect(f"guess-{n}", user="ann", password=f"wrong {n}") for n in itertools.count())
    while on():
        clients = []
        with contextlib.suppress(OSError):
            clients = [dial().send(next(connects)) for _ in range(10)]
        for client in clients:
            client.version = mqtt.V5
            with contextlib.suppress(*GONE):
                met[f"CONNACK {client.recv_type(mqtt.CONNACK).reason:#04x}"] += 1
            client.drop()
        time.sleep(0.1)


KINDS = {f.__name__: f for f in (slow_connects, never_reads, subscriptions, wildcard_bombs, deep_topics, retained_flood,
                                 connection_flood, garbage, failed_logins)}
if __name__ == "__main__":
    socket.setdefaulttimeout(2)
    KINDS[KIND]()
    print(json.dumps(met))
