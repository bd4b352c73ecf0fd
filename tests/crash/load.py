"""load.py - publishers and subscribers at full speed, which outlive the broker.

One thread drives them all (Loop). Each keeps what a client must keep when the network fails: packet ids in
flight, QoS 2 states, and the order of both; after a reconnect it sends again what was not acknowledged. What
it sees goes into a history for checks.py; it judges only what no history shows.
"""
import collections
import errno
import select
import socket
import struct
import time

import mqtt
from checks import (Connack, Message, Publish, Pubrel, check_puback, check_pubcomp, check_session, matches)

RETRY_S = 0.01


class Loop:
    def __init__(self, node, rng):
        self.node, self.rng = node, rng
        self.epoll, self.conns, self.actors = select.epoll(), {}, []
        self.messages = {}        # key -> Message, of all publishers
        self.problems = []
        self.last_news = time.monotonic()

    def run(self, until=None, seconds=30.0):
        """Serves the clients; True as soon as until() is true, False when the time is over."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for actor in self.actors:
                actor.tick(now)
            if until and until():
                return True
            if now >= end:
                return False
            for fd, event in self.epoll.poll(0.003):
                conn = self.conns.get(fd)
                if conn:
                    conn.on_event(event)
            self.node.dead()

    def run_until_dead(self):
        assert self.run(self.node.dead, 60), "the broker did not end within 60 s of its signal"
        self.node.wait_end()
        # The kernel may close the connections later than the process ends.
        assert self.run(lambda: not any(a.up for a in self.actors), 30), "connections outlive the broker by 30 s"

    def close(self):
        for actor in self.actors:
            actor.leave(clean=False)
        for conn in list(self.conns.values()):
            conn.close()
        self.epoll.close()


class Conn:
    """One socket of an actor."""

    def __init__(self, loop, actor):
        self.loop, self.actor, self.buf, self.out = loop, actor, b"", bytearray()
        self.open, self.accepted, self.writing = True, False, True
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self.sock.connect_ex(loop.node.address)
        if code not in (0, errno.EINPROGRESS):
            self.sock.close()
            raise OSError(code, "connect")
        self.fd = self.sock.fileno()
        loop.conns[self.fd] = self
        loop.epoll.register(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def send(self, data):
        self.out += data

    def flush(self):
        if not self.open or not self.accepted:
            return
        try:
            while self.out:
                del self.out[:self.sock.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self.writing != bool(self.out):
            self.writing = bool(self.out)
            self.loop.epoll.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self.writing else 0))

    def on_event(self, event):
        if not self.accepted:
            if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close()
            self.accepted = bool(event & select.EPOLLOUT)
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = self.sock.recv(1 << 17)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                return self.close()
            if data:
                self.buf += data
                self.frames()
        return self.flush()

    def frames(self):
        buf, at = self.buf, 0
        while self.open and at + 2 <= len(buf):
            size, shift, i = 0, 0, at + 1
            while i < len(buf):
                size |= (buf[i] & 0x7F) << shift
                shift, i = shift + 7, i + 1
                if not buf[i - 1] & 0x80:
                    break
            else:
                break
            if i + size > len(buf):
                break
            body, first = buf[i:i + size], buf[at]
            at = i + size
            self.actor.on_packet(self, mqtt.Packet(first >> 4, first & 15, body, body, self.actor.version))
        self.buf = buf[at:]

    def close(self, reset=False):
        if self.open:
            self.open = False
            self.loop.epoll.unregister(self.fd)
            self.loop.conns.pop(self.fd, None)
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self.actor.on_close(self)

    def abandon(self):
        """Stays connected, but is no longer read: what a client leaves behind that reconnects too early."""
        self.loop.epoll.unregister(self.fd)
        self.loop.conns.pop(self.fd, None)
        self.open = False
        return self.sock


class Actor:
    """A client with a durable session. wanted: whether it is, or tries to be, connected."""

    def __init__(self, loop, cid, version):
        self.loop, self.cid, self.version, self.rng = loop, cid, version, loop.rng
        self.conn, self.up, self.wanted, self.promised = None, False, True, False
        self.storm = None           # seconds between takeovers of itself
        self.flap = None            # (seconds up, seconds down)
        self.retry_at = self.turn_at = 0.0
        self.left_behind = []
        loop.actors.append(self)

    # -- connecting --

    def tick(self, now):
        if self.conn is None and self.wanted and now >= self.retry_at:
            self.reach_out(now)
        if self.storm and self.up and now >= self.turn_at:
            self.turn_at = now + self.rng.uniform(0, 2 * self.storm)
            self.left_behind.append(self.conn.abandon())
            self.conn, self.up = None, False
            self.on_lost()
            self.reach_out(now)
        if self.flap and now >= self.turn_at:
            self.turn_at = now + self.rng.uniform(0, 2 * self.flap[0 if not self.wanted else 1])
            if self.wanted:
                self.leave(clean=self.rng.random() < 0.5)
            else:
                self.wanted = True

    def reach_out(self, now):
        self.retry_at = now + RETRY_S
        try:
            self.conn = Conn(self.loop, self)
        except OSError:
            return
        props = {"session_expiry": 3600} if self.version == mqtt.V5 else None
        self.conn.send(mqtt.connect(self.cid, self.version, clean=False, props=props))

    def leave(self, clean=True):
        self.wanted = False
        if self.conn:
            if clean and self.up:
                self.conn.send(mqtt.disconnect())
                self.conn.flush()
            if self.conn:
                self.conn.close(reset=not clean)

    def steady(self):
        """No more coming and going."""
        self.storm = self.flap = None
        self.wanted = True

    def on_close(self, conn):
        if conn is self.conn:
            self.conn, self.up = None, False
            self.retry_at = time.monotonic() + RETRY_S
            self.on_lost()

    def on_lost(self):
        pass

    # -- packets --

    def on_packet(self, conn, got):
        if conn is not self.conn:
            return
        if got.type == mqtt.CONNACK:
            self.on_connack(conn, got)
        elif got.type != mqtt.DISCONNECT:
            self.loop.last_news = time.monotonic()
            self.on_other(conn, got)

    def on_connack(self, conn, got):
        for sock in self.left_behind:
            sock.close()
        self.left_behind.clear()
        if got.reason:
            self.loop.problems.append(("connection refused", f"{self.cid}: {got.reason:#x}"))
            return
        self.loop.problems += check_session(self.cid, self.promised or None, got.session_present)
        self.up, self.promised = True, self.promised and got.session_present
        self.on_up(conn, got)


class Publisher(Actor):
    """Keeps `window` messages in flight until its budget is used up.

    forgetful: holds PUBREL back for a while, and after a reconnect behaves as if PUBREC had not come: the
    PUBLISH comes again with the same packet id, which the broker must know."""

    def __init__(self, loop, cid, version, qos, topics, window=20, forgetful=False, sizes=(0, 200)):
        super().__init__(loop, cid, version)
        self.qos, self.topics, self.window, self.forgetful, self.sizes = qos, topics, window, forgetful, sizes
        self.flight = collections.OrderedDict()     # packet id -> Message, oldest first
        self.unreleased = collections.deque()       # packet ids whose PUBREL is held back
        self.mine, self.mid, self.budget, self.limit = [], 0, 0, window
        self.acked, self.retain, self.needs_subscribers = 0, False, True

    def done(self):
        return not self.flight and not self.budget

    def on_up(self, conn, got):
        self.limit = min(self.window, got.props.get("receive_maximum", 65535))
        for mid, message in self.flight.items():
            if message.received is not None and not (self.forgetful and not message.releases):
                self.release(mid, message)
            else:
                self.transmit(mid, message, dup=True)
        self.unreleased.clear()

    def transmit(self, mid, message, dup=False):
        message.sends += 1
        self.conn.send(mqtt.publish(message.topic, message.payload, message.qos, mid, dup=dup, retain=self.retain,
                                    version=self.version))

    def release(self, mid, message):
        message.releases += 1
        self.conn.send(mqtt.ack(mqtt.PUBREL, mid))

    def tick(self, now):
        super().tick(now)
        if not self.up:
            return
        while self.budget and len(self.flight) < self.limit:
            self.budget -= 1
            self.publish_next()
        while self.unreleased and (len(self.unreleased) > self.limit // 2 or not self.budget):
            mid = self.unreleased.popleft()
            self.release(mid, self.flight[mid])
        self.conn.flush()

    def next_message(self):
        key = (self.cid, len(self.mine))
        # Once in a while one that needs pages of its own in the store.
        size = self.rng.randrange(*self.sizes) if self.rng.random() < 0.99 else self.rng.randrange(1000, 40000)
        payload = b"%s %d " % (self.cid.encode(), key[1]) + bytes([97 + key[1] % 26]) * size
        return Message(key, self.rng.choice(self.topics), self.qos, payload, sends=0)

    def publish_next(self):
        self.mid = self.mid % 65535 + 1
        while self.mid in self.flight:
            self.mid = self.mid % 65535 + 1
        message = self.next_message()
        self.mine.append(message)
        self.loop.messages[message.key] = self.flight[self.mid] = message
        self.transmit(self.mid, message)

    def on_other(self, conn, got):
        message = self.flight.get(got.mid)
        if message is None:
            return
        if got.type in (mqtt.PUBACK, mqtt.PUBREC):
            self.loop.problems += check_puback(self.cid, message, got.reason, self.needs_subscribers)
        self.promised = True
        if got.type == mqtt.PUBREC and message.qos == 2:
            message.received = message.received or time.monotonic()
            if self.forgetful:
                self.unreleased.append(got.mid)
            else:
                self.release(got.mid, message)
        elif got.type == (mqtt.PUBACK if message.qos == 1 else mqtt.PUBCOMP):
            if message.qos == 2:
                self.loop.problems += check_pubcomp(self.cid, message, got.reason)
            message.acked = time.monotonic()
            self.acked += 1
            del self.flight[got.mid]


class Subscriber(Actor):
    """Acknowledges all it gets; `lag` acknowledgements are held back, so that some are open at each kill."""

    def __init__(self, loop, cid, version, filters, lag=0):
        super().__init__(loop, cid, version)
        self.filters, self.lag = filters, lag
        self.events, self.seen = [], set()
        self.acks, self.acks_at = collections.deque(), 0.0
        self.ready = False

    def on_up(self, conn, got):
        self.events.append(Connack(got.session_present))
        if not got.session_present:
            conn.send(mqtt.subscribe(1, [(f, mqtt.option(2)) for f in self.filters], self.version))

    def on_lost(self):
        self.acks.clear()
        self.acks_at = 0.0

    def on_other(self, conn, got):
        if got.type == mqtt.PUBLISH:
            self.on_publish(got)
        elif got.type == mqtt.PUBREL:
            self.events.append(Pubrel(got.mid))
            conn.send(mqtt.ack(mqtt.PUBCOMP, got.mid))
        elif got.type == mqtt.SUBACK:
            self.ready = self.promised = True

    def steady(self):
        super().steady()
        self.lag = 0

    def on_publish(self, got):
        publisher, number, _ = got.payload.split(b" ", 2)
        key = (publisher.decode(), int(number))
        self.events.append(Publish(key, got.topic, got.qos, got.dup, got.mid, got.payload))
        self.seen.add(key)
        if got.qos:
            self.acks.append(mqtt.ack(mqtt.PUBACK if got.qos == 1 else mqtt.PUBREC, got.mid))
            self.acks_at = self.acks_at or time.monotonic() + 0.05

    def tick(self, now):
        super().tick(now)
        if self.up and self.acks:
            keep = 0 if now >= self.acks_at else self.lag
            while len(self.acks) > keep:
                self.conn.send(self.acks.popleft())
            if not self.acks:
                self.acks_at = 0.0
            self.conn.flush()

    def wants(self, messages):
        """Keys that it must see once all is acknowledged."""
        return {k for k, m in messages.items() if any(matches(f, m.topic) for f in self.filters)}


def settle(loop, publishers, subscribers, quiet_s=10.0):
    """Everybody online; until all is acknowledged and delivered, or nothing has come for a while."""
    for actor in publishers + subscribers:
        actor.steady()
    loop.last_news = time.monotonic()

    def is_over():
        return time.monotonic() - loop.last_news > quiet_s

    def is_done():
        return is_over() or all(p.done() for p in publishers)

    loop.run(is_done, 120)
    wanted = {s: len(s.wants(loop.messages)) for s in subscribers}
    loop.run(lambda: is_over() or all(len(s.seen) >= n for s, n in wanted.items()), 120)
    # What comes too often comes late: acknowledgements first, then strays.
    loop.run(lambda: not any(s.acks for s in subscribers), 1)
    loop.run(None, 0.3)
