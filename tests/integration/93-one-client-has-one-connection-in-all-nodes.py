"""Wherever one client identifier comes, and if it comes to several nodes in the same moment: one connection, one session."""
import os
import random
import selectors
import socket
import ssl
import time

import mqtt
import scenario as s
import transport
from broker import binary
from mqtt import V5, V311
from nodes import Nodes

KEEP = {"session_expiry": 3600}
random.seed(5)


class Raw:
    """A connection that waits for nothing: what has come is in packets."""

    def __init__(self, address, name, version=V5, clean=True, props=None):
        self.name, self.version, self.clean, self.props = name, version, clean, props
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = transport.wrap(self.sock, transport.chosen())
        self.sock.setblocking(False)
        self.bytes, self.packets, self.open = bytearray(), [], True

    def come(self):
        self.send(mqtt.connect(self.name, self.version, self.clean, props=self.props, keep_alive=600))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # it was ended; what it was told is still to be read

    def read(self):
        """All that has come by now."""
        while self.open:
            try:
                data = self.sock.recv(1 << 16)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError:
                data = b""
            if not data:
                self.open = False
                self.sock.close()
            self.bytes += data
        fresh = []
        while (length := self._length()) is not None:
            raw = bytes(self.bytes[:length])
            del self.bytes[:length]
            at = next(i for i in range(1, 5) if not raw[i] & 0x80) + 1
            fresh.append(mqtt.Packet(raw[0] >> 4, raw[0] & 15, raw[at:], raw, self.version))
        self.packets += fresh
        return fresh

    def _length(self):
        size, shift = 0, 0
        for i in range(1, min(5, len(self.bytes))):
            size |= (self.bytes[i] & 0x7F) << shift
            shift += 7
            if not self.bytes[i] & 0x80:
                return i + 1 + size if len(self.bytes) >= i + 1 + size else None
        return None

    @property
    def connack(self):
        return next((p for p in self.packets if p.type == mqtt.CONNACK), None)

    @property
    def goodbye(self):
        return next((p for p in self.packets if p.type == mqtt.DISCONNECT), None)

    def close(self):
        if self.open:
            self.sock.close()
        self.open = False


def wait(test, what, timeout=30):
    end = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < end, what()
        time.sleep(0.002)


def settled(raws):
    """All were answered, and all but one are gone."""
    for raw in raws:
        raw.read()
    return all(r.connack for r in raws) and sum(r.open for r in raws) <= 1


def race(nodes, name, where, version, clean=True, props=None):
    """One connection to each of these nodes, none reads before all have sent. Returns the one that stays."""
    raws = [Raw(nodes[i].address, name, version, clean, props) for i in where]
    for raw in raws:
        raw.come()
    wait(lambda: settled(raws), lambda: f"{name}: {[(r.open, r.packets) for r in raws]}")
    time.sleep(0.02)  # what was told meanwhile has arrived
    for raw in raws:
        raw.read()
        assert raw.connack.reason == 0, raw.packets
    stay = [raw for raw in raws if raw.open]
    assert len(stay) == 1, f"{name}: {len(stay)} of {len(raws)} stay: {[r.packets for r in raws]}"
    for raw in raws:
        if version == V5 and raw not in stay:
            assert raw.goodbye and raw.goodbye.reason == 0x8E, raw.packets
    stay[0].send(mqtt.PING)
    wait(lambda: any(p.type == mqtt.PINGRESP for p in stay[0].read()), lambda: f"{name}: who stays is not served")
    return stay[0]


# This process may need longer than the broker waits, until it has said all CONNECTs.
three = Nodes(3, "sys_interval 1\nconnect_timeout 120")


@s.scenario
def of_those_that_come_in_the_same_moment_one_stays():
    winners, last = [0] * 3, {}
    for n in range(150):
        name = f"race-{n % 50}"  # some have an older connection, anywhere
        where = random.sample(range(3), 2 + n % 2)
        stay = race(three, name, where, V311 if n % 3 == 0 else V5)
        if name in last:
            wait(lambda: not (last[name].read() or last[name].open), lambda: f"{name}: an older connection stays")
        last[name] = stay
        winners[[three[i].address[1] for i in range(3)].index(stay.sock.getpeername()[1])] += 1
    assert all(winners), winners  # not always the same node
    for stay in last.values():
        stay.read()
        assert stay.open
        stay.close()


@s.scenario
def of_sessions_that_begin_in_the_same_moment_one_stays_and_is_found():
    pub = three.client(0, "publisher")
    for n in range(60):
        name, where = f"both-{n}", random.sample(range(3), 2 + n % 2)
        stay = race(three, name, where, V311 if n % 3 == 0 else V5, clean=False, props=KEEP if n % 3 else None)
        stay.send(mqtt.subscribe(1, [(f"both/{n}", 1)], version=stay.version))
        wait(lambda: any(p.type == mqtt.SUBACK for p in stay.read()), lambda: f"{name}: no SUBACK")
        stay.close()
        pub.pub(f"both/{n}", b"kept", 1)
        again = three.client(n % 3, name, stay.version, clean=False, props=stay.props)
        assert again.connack.session_present, f"{name}: not found from node {n % 3}"
        again.msg(b"kept")
        again.bye()
        again = three.client((n + 1) % 3, name, stay.version, clean=True)
        again.bye()
    time.sleep(0.5)
    for i in range(3):  # a clean start has ended them, wherever they were
        assert not three.client(i, "both-7", clean=False).connack.session_present


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crowd:
    """Many connections, read by one thread."""

    def __init__(self):
        self.selector = selectors.EpollSelector()
        self.open = set()

    def add(self, raw):
        self.selector.register(raw.sock, selectors.EVENT_READ, raw)
        self.open.add(raw)

    def turn(self, timeout=0.05):
        for key, _ in self.selector.select(timeout):
            raw, fd = key.data, key.fd
            acks = b"".join(mqtt.ack(mqtt.PUBACK, p.mid) for p in raw.read() if p.type == mqtt.PUBLISH and p.qos == 1)
            if not raw.open:
                self.selector.unregister(fd)
                self.open.discard(raw)
            elif acks:
                raw.send(acks)

    def until(self, test, what, timeout):
        end = time.monotonic() + timeout
        while not test():
            assert time.monotonic() < end, what()
            self.turn()

    def close(self):
        for raw in list(self.open):
            raw.close()
        self.selector.close()


# With a sanitizer all is slower.
CLIENTS, DURABLE, TWICE = (1000, 400, 100) if "san/" in binary() else (5000, 2000, 200)
STORM_S = 120


def come_all(crowd, clients):
    for raw in clients:
        crowd.add(raw)
        raw.come()
        if len(crowd.open) % 64 == 0:
            crowd.turn(0)


def new(i, n, **kw):
    return Raw(three[i].address, f"storm-{n}", **kw)


@s.scenario
def after_a_storm_each_client_has_one_connection_and_what_was_kept_for_it():
    crowd, durable = Crowd(), {n: {"clean": False, "props": KEEP} for n in range(DURABLE)}
    before = [new(random.randrange(3), n, **durable.get(n, {})) for n in range(CLIENTS)]
    come_all(crowd, before)
    crowd.until(lambda: all(r.connack for r in before), lambda: "the first connections", 120)
    for n in range(DURABLE):
        before[n].send(mqtt.subscribe(1, [(f"storm/{n}", 1)]))
    crowd.until(lambda: all(len(before[n].packets) >= 2 for n in durable), lambda: "the subscriptions", 120)
    away = range(0, DURABLE, 2)  # these are not connected while something is kept for them
    for n in away:
        before[n].send(mqtt.disconnect())
    crowd.until(lambda: not any(before[n].open for n in away), lambda: "DISCONNECT", 60)
    pub = three.client(1, "publisher-of-storm")
    for n in away:
        pub.pub(f"storm/{n}", b"kept", 1)
    doubled = [three.figure(i, "sessions/doubled") for i in range(3)]
    cpu, begin = [cpu_s(three[i].pid) for i in range(3)], time.monotonic()
    after = [new(random.randrange(3), n, **durable.get(n, {})) for n in range(CLIENTS)]
    twice = [new(random.randrange(3), n, **durable.get(n, {})) for n in range(0, CLIENTS, CLIENTS // TWICE)]
    crowds = after + twice
    random.shuffle(crowds)
    come_all(crowd, crowds)
    crowd.until(lambda: all(r.connack for r in crowds), lambda: f"{sum(not r.connack for r in crowds)} have no answer", STORM_S)
    live = lambda: sum(r.open for r in before + crowds)
    crowd.until(lambda: live() <= CLIENTS, lambda: f"{live()} connections of {CLIENTS} clients", 60)
    took, cpu = time.monotonic() - begin, [cpu_s(three[i].pid) - cpu[i] for i in range(3)]
    for _ in range(10):
        crowd.turn()
    names = [r.name for r in before + crowds if r.open]
    assert len(names) == len(set(names)) == CLIENTS, f"{len(names)} connections, of {len(set(names))} clients"
    for raw in crowds:
        assert raw.connack.reason == 0, raw.connack
        n = int(raw.name.split("-")[1])
        assert raw.connack.session_present == (n in durable), (raw.name, raw.packets)
    for raw in before + crowds:
        assert raw.open or int(raw.name.split("-")[1]) in away and raw in before or raw.goodbye.reason == 0x8E, raw.packets
    kept = {n: [r for r in crowds if r.name == f"storm-{n}"] for n in away}
    got = lambda n: [p for r in kept[n] for p in r.packets if p.type == mqtt.PUBLISH]
    late = lambda: [n for n in away if not got(n)]
    crowd.until(lambda: not late(), lambda: f"what was kept for {late()}", 60)
    for n in away:
        assert all(p.payload == b"kept" for p in got(n)) and sum(not p.dup for p in got(n)) == 1, f"storm-{n}: {got(n)}"
    for i in range(3):
        time.sleep(1)  # sys_interval
        assert three.figure(i, "sessions/doubled") == doubled[i]
    crowd.close()
    total = sum(cpu)
    print(f"storm: {len(crowds)} connections in {took:.1f} s, CPU of the nodes {total:.1f} s ({total / len(crowds) * 1e6:.0f} us each)",
          flush=True)


@s.scenario
def a_clean_start_ends_the_session_on_a_node_that_was_away():
    first = three.client(2, "gone", clean=False, props=KEEP)
    first.sub("gone/#", qos=1)
    first.bye()
    three.wait_linked()
    three.kill(2)
    fresh = three.client(0, "gone", clean=True)
    fresh.bye()
    three[2].start()
    three.wait_linked()
    for i in range(3):
        c = three.client(i, "gone", clean=False)
        assert not c.connack.session_present, f"from node {i}"
        c.bye()


def split(restart):
    """Both sides of a split have a session of one client, and a connection; after it there is one. Both of the second
    node are later. restart: the second node comes back as another process, with what it has kept."""
    with Nodes(2, "sys_interval 1", proxies=True) as nodes:
        for proxy in nodes.proxies:
            proxy.cut()
        nodes[0].wait_log("Node n1 .* is dead")
        nodes[1].wait_log("Node n0 .* is dead")
        pair = []
        for i in (0, 1):
            pair.append(nodes.client(i, "torn", clean=False, props=KEEP))
            assert not pair[i].connack.session_present
            pair[i].sub(f"side/{i}", qos=1)
            nodes.client(i, f"p{i}").pub(f"side/{i}", b"x", 0)
            pair[i].msg(b"x")
        early = nodes.client(1, "early", clean=False, props=KEEP)
        early.sub("early", qos=1)  # now it is on the disk
        late = nodes.client(0, "early", clean=False, props=KEEP)
        if restart:
            nodes.kill(1)
            nodes[1].start()
        for proxy in nodes.proxies:
            proxy.heal(True)
        nodes.wait_linked()
        pair[0].expect(mqtt.DISCONNECT, reason=0x8E)
        nodes.figure(0, "sessions/doubled", lambda x: x == 1)
        nodes.figure(1, "sessions/doubled", lambda x: x == 1)  # of `early`
        assert nodes[0].log().count("Client torn: its session ends") == 1
        assert nodes[1].log().count("Client early: its session ends") == 1
        if not restart:
            pair[1].ping()
            early.expect(mqtt.DISCONNECT, reason=0x8E)
        late.ping()
        for i in (0, 1, 0):
            c = nodes.client(i, "torn", clean=False, props=KEEP)
            assert c.connack.session_present
            pub = nodes.client(0, "pub")
            pub.pub("side/0", b"of the one that ended", 1)
            pub.pub("side/1", b"found", 1)
            c.msg(b"found")
            c.bye()


@s.scenario
def after_a_split_the_later_session_is_the_only_one():
    split(False)


@s.scenario
def which_session_is_later_outlives_the_process():
    split(True)


with three:
    s.main()
