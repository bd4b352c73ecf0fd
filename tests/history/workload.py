"""workload.py - clients that come, go, move and come twice, and write down what they do and see.

One thread drives them all (Load). What it writes is the history: one line of JSON for each event, in the order in which
it was seen. README.md lists the events; checker.py judges them. Nothing here judges.
"""
import collections
import errno
import json
import random
import select
import socket
import struct
import threading
import time

import mqtt

RETRY_S = (0.05, 0.25)
CONNACK_S = 8.0       # a node may hold CONNECT for 5 s
BYE_S = 15.0          # until the other end has closed after DISCONNECT
PING_S, PONG_S = 2.0, 4.0
FLIGHT_MAX = 10
SPLIT = "kept/split"  # topics that are changed while faults are on alone: nothing later hides what came of it
KEEP_S = 3600         # of a session that outlives its connection


class History:
    def __init__(self, path):
        self.path, self.file = path, open(path, "w", encoding="utf-8")
        self.lock, self.begin = threading.Lock(), time.monotonic()
        self.count = 0

    def note(self, event, **fields):
        with self.lock:  # the faults have a thread of their own
            line = {"t": round(time.monotonic() - self.begin, 4), "e": event, **fields}
            self.file.write(json.dumps(line) + "\n")
            self.count += 1

    def close(self):
        self.file.close()


class Conn:
    """One connection of a client. late: packets that are looked at when it is clear which connection stays."""

    def __init__(self, client, number, node, clean):
        self.client, self.number, self.node, self.clean = client, number, node, clean
        self.buf, self.out, self.late = b"", bytearray(), []
        self.open, self.connected, self.accepted, self.writing = True, False, False, True
        self.since = self.pinged = time.monotonic()
        self.pong = True
        self.subscribing = []
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self.sock.connect_ex(client.load.nodes[node].address)
        if code not in (0, errno.EINPROGRESS):
            self.sock.close()
            raise OSError(code, "connect")
        self.fd = self.sock.fileno()
        client.load.conns[self.fd] = self
        client.load.epoll.register(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def send(self, data):
        self.out += data
        self.flush()

    def flush(self):
        if not self.open or not self.connected:
            return
        try:
            while self.out:
                del self.out[:self.sock.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            self.out.clear()  # what it was told before is still to be read
        if self.writing != bool(self.out):
            self.writing = bool(self.out)
            self.client.load.epoll.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self.writing else 0))

    def on_event(self, event):
        if not self.connected:
            if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.client.on_lost(self)
            self.connected = bool(event & select.EPOLLOUT)
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = self.sock.recv(1 << 17)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                return self.client.on_lost(self)
            if data:
                self.buf += data
                self._frames()
        return self.flush()

    def _frames(self):
        while self.open:
            size, shift, at = 0, 0, 1
            while at < len(self.buf):
                size |= (self.buf[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if not self.buf[at - 1] & 0x80:
                    break
            else:
                return
            if at + size > len(self.buf):
                return
            first, body = self.buf[0], self.buf[at:at + size]
            self.buf = self.buf[at + size:]
            self.client.on_packet(self, mqtt.Packet(first >> 4, first & 15, body, body, self.client.version))

    def forget(self):
        """No longer served; the socket is still there."""
        if self.open:
            self.open = False
            self.client.load.epoll.unregister(self.fd)
            self.client.load.conns.pop(self.fd, None)

    def close(self, reset=False):
        self.forget()
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Flight:
    """A message at QoS 1 or 2 that is not through."""

    def __init__(self, number, topic, qos, payload, retain, props):
        self.number, self.topic, self.qos, self.payload, self.retain, self.props = \
            number, topic, qos, payload, retain, props
        self.received = False


class Client:
    """One client identifier: what it keeps of its session, and its connections.

    home: where it comes first. roams: later anywhere. durable: its session outlives connections. filters: (filter,
    QoS). ways: what it does of its own accord, of "kill bye move twin leave renew". will: each connection has one.
    """

    def __init__(self, load, name, home, version=mqtt.V5, **kw):
        self.load, self.name, self.home, self.version, self.rng = load, f"{load.prefix}-{name}", home, version, load.rng
        self.durable, self.roams = kw.get("durable", True), kw.get("roams", True)
        self.filters = [(f"{load.prefix}/{f}" if not f.startswith("$") else f, qos) for f, qos in kw.get("filters", ())]
        self.ways, self.will, self.group = kw.get("ways", ()), kw.get("will", False), kw.get("group")
        self.wanted, self.first = False, True
        self.conns, self.left = [], []       # open ones, the latest last; sockets that are not read any more
        self.subscribed = set()
        self.flight, self.mid, self.made = collections.OrderedDict(), 0, 0
        self.held = set()                    # packet identifiers at QoS 2, from PUBLISH until PUBREL
        self.retry_at = 0.0
        self.turn_at = time.monotonic() + self.rng.uniform(0, 4)
        load.clients.append(self)
        load.note("client", c=self.name, durable=self.durable, filters=self.filters, group=self.group,
                  will=self.will, version=version)

    # -- coming and going --

    def where(self):
        return self.rng.randrange(len(self.load.nodes.all)) if self.roams and not self.first else self.home

    def come(self, node=None, clean=None):
        number = self.load.next_conn()
        node = self.where() if node is None else node
        clean = not self.durable if clean is None else clean
        try:
            conn = Conn(self, number, node, clean)
        except OSError:
            self.retry_at = time.monotonic() + self.rng.uniform(*RETRY_S)
            return
        props = {"session_expiry": KEEP_S if self.durable else 0} if self.version == mqtt.V5 else None
        will = None
        if self.will:
            will = mqtt.will_of(f"{self.load.prefix}/will/{self.name}/{number}", f"W {self.name} {number}".encode(), 2,
                                props={})
        self.load.note("connect", c=self.name, k=number, node=node, clean=clean)
        self.conns.append(conn)
        conn.send(mqtt.connect(self.name, self.version, clean, keep_alive=600, will=will, props=props))

    def end(self, conn, how):
        """how: bye, kill, silent, late, leave, lost."""
        if how == "bye":
            conn.send(mqtt.disconnect())
        self.load.note("end", c=self.name, k=conn.number, how=how)
        self.conns.remove(conn)
        if how == "leave":
            conn.forget()
            self.left.append(conn)
        elif how == "bye":  # closed by us, what is unread here could make a reset that overtakes DISCONNECT
            conn.forget()
            self.load.leaving.append((conn.sock, time.monotonic() + BYE_S))
        else:
            conn.close(reset=how in ("kill", "silent", "late"))
        for got in conn.late:
            self.take(conn, got, False)
        conn.late.clear()
        if not self.durable:
            self.flight.clear()  # it does not know what became of them
            self.held.clear()
            self.subscribed.clear()
        if len(self.conns) == 1:
            self.settle(self.conns[0])

    def settle(self, conn):
        """It is the only one that is left."""
        late, conn.late = conn.late, []
        for got in late:
            if conn.open:
                self.take(conn, got, True)

    def on_lost(self, conn):
        long = self.will and conn.accepted and self.rng.random() < 0.5  # until its Will is due
        self.end(conn, "lost")
        self.retry_at = time.monotonic() + (self.rng.uniform(7, 9) if long else self.rng.uniform(*RETRY_S))

    def tick(self, now):
        for conn in list(self.conns):
            if not conn.accepted and now > conn.since + CONNACK_S:
                if not (conn.clean and self.durable):  # which would end the next session, when it is read at last
                    self.end(conn, "late")
            elif conn.accepted and not conn.pong and now > conn.pinged + PONG_S:
                self.end(conn, "silent")
            elif conn.accepted and now > conn.pinged + PING_S and conn.pong:
                conn.pong, conn.pinged = False, now
                conn.send(mqtt.PING)
        if self.wanted and not self.conns and now >= self.retry_at:
            self.come()
        elif self.load.wild and self.ways and now >= self.turn_at and self.up():
            self.turn_at = now + self.rng.uniform(1, 9)
            self.act(now, self.rng.choice(self.ways))

    def act(self, now, way):
        conn = self.conns[-1]
        if way == "twin":
            return self.come()
        if way == "leave":
            self.end(conn, "leave")
            return self.come()
        self.end(conn, "bye" if way in ("bye", "renew") or way == "move" and self.rng.random() < 0.5 else "kill")
        self.retry_at = now + (self.rng.uniform(0, 0.3) if self.rng.random() < 0.7 else self.rng.uniform(6, 8))
        if way == "renew":
            self.flight.clear()
            self.subscribed.clear()
            self.come(clean=True)
        return None

    def up(self):
        return len(self.conns) == 1 and self.conns[0].accepted

    # -- packets --

    def on_packet(self, conn, got):
        if got.type == mqtt.CONNACK:
            self.on_connack(conn, got)
        elif got.type == mqtt.DISCONNECT:
            self.load.note("goodbye", c=self.name, k=conn.number, reason=got.reason)
        elif got.type == mqtt.PINGRESP:
            conn.pong = True
        elif len(self.conns) > 1:
            conn.late.append(got)
        else:
            self.take(conn, got, True)

    def on_connack(self, conn, got):
        self.load.note("connack", c=self.name, k=conn.number, reason=got.reason, present=got.session_present)
        if got.reason:
            self.on_lost(conn)
            self.retry_at = time.monotonic() + self.rng.uniform(0.2, 1)
            return
        conn.accepted, conn.pinged, self.first = True, time.monotonic(), False
        for left in self.left:
            left.sock.close()
        self.left.clear()
        if not got.session_present:
            self.flight.clear()
            self.held.clear()
            self.subscribed.clear()
        lacking = [f for f in self.filters if f[0] not in self.subscribed]
        if lacking:
            conn.subscribing = lacking
            conn.send(mqtt.subscribe(65535, [(f, qos) for f, qos in lacking], self.version))
        for mid, message in self.flight.items():
            if message.received:
                conn.send(mqtt.ack(mqtt.PUBREL, mid))
            else:
                self.transmit(conn, mid, message, True)

    def take(self, conn, got, answer):
        """answer: else the connection has lost against another one, and this is only written down."""
        if got.type == mqtt.PUBLISH:
            self.on_publish(conn, got, answer)
        elif got.type == mqtt.PUBREL:
            self.load.note("release", c=self.name, k=conn.number, mid=got.mid)
            self.held.discard(got.mid)
            if answer:
                conn.send(mqtt.ack(mqtt.PUBCOMP, got.mid))
        elif got.type == mqtt.SUBACK:
            good = [f for f, code in zip(conn.subscribing, got.reasons) if code == f[1]]
            self.subscribed.update(f for f, _ in good)
            self.load.note("suback", c=self.name, k=conn.number, filters=good, reasons=got.reasons)
        elif got.mid in self.flight:
            self.on_ack(conn, got, self.flight[got.mid])

    def on_publish(self, conn, got, answer):
        self.load.note("got", c=self.name, k=conn.number, topic=got.topic, m=got.payload.decode(), qos=got.qos,
                       dup=got.dup, mid=got.mid, **props_of(got.props))
        self.load.last_news = time.monotonic()
        known = got.qos == 2 and got.mid in self.held
        if got.qos == 2:
            self.held.add(got.mid)
        if not known:
            self.on_message(got)
        if got.qos and answer:
            conn.send(mqtt.ack(mqtt.PUBACK if got.qos == 1 else mqtt.PUBREC, got.mid))

    def on_message(self, got):
        pass

    def on_ack(self, conn, got, message):
        if got.type == mqtt.PUBCOMP:
            self.load.note("done", c=self.name, m=message.number, reason=got.reason)
            del self.flight[got.mid]
            return
        self.load.note("ack", c=self.name, k=conn.number, m=message.number, reason=got.reason)
        self.load.last_news = time.monotonic()
        if got.type == mqtt.PUBACK or got.reason >= 0x80:
            del self.flight[got.mid]
        else:
            message.received = True
            conn.send(mqtt.ack(mqtt.PUBREL, got.mid))

    # -- publishing --

    def may_publish(self):
        return self.up() and len(self.flight) < FLIGHT_MAX and not self.conns[0].late

    def publish(self, topic, qos, retain=False, empty=False, props=None):
        self.made += 1
        payload = b"" if empty else f"{self.name} {self.made}".encode()
        message = Flight(self.made, topic, qos, payload, retain, props)
        mid = None
        if qos:
            self.mid = mid = self.mid % 60000 + 1
            while mid in self.flight:
                self.mid = mid = mid % 60000 + 1
            self.flight[mid] = message
        self.transmit(self.conns[0], mid, message, False)

    def transmit(self, conn, mid, message, dup):
        self.load.note("send", c=self.name, k=conn.number, m=message.number, topic=message.topic, qos=message.qos,
                       retain=message.retain, dup=dup, empty=not message.payload, **props_of(message.props or {}))
        conn.send(mqtt.publish(message.topic, message.payload, message.qos, mid, message.retain, dup, message.props,
                               self.version))


def props_of(props):
    out = {}
    if "response_topic" in props:
        out["answer_to"] = props["response_topic"]
    if "correlation_data" in props:
        out["mark"] = props["correlation_data"].decode()
    return out


class Publisher(Client):
    """topics: (topic, QoS values, share of the messages that are to be retained)"""

    def __init__(self, load, name, home, topics, every_s=0.08, **kw):
        super().__init__(load, name, home, **kw)
        self.topics, self.every_s, self.next_at = topics, every_s, 0.0

    def tick(self, now):
        super().tick(now)
        if self.load.publishing and now >= self.next_at and self.may_publish():
            self.next_at = now + self.rng.uniform(0.5, 1.5) * self.every_s
            topic, qos, retained = self.rng.choice(self.topics)
            if topic == SPLIT:
                topic = f"{SPLIT}{self.rng.randrange(20)}" if self.load.wild else "kept/all"
            retain = self.rng.random() < retained
            empty = retain and self.rng.random() < 0.3
            self.publish(f"{self.load.prefix}/{topic}", self.rng.choice(qos), retain, empty)


class Asker(Client):
    """Publishes questions, and hears the answers."""

    def __init__(self, load, name, home, **kw):
        super().__init__(load, name, home, filters=[(f"answer/{name}", 2)], **kw)
        self.answers, self.next_at = f"{load.prefix}/answer/{name}", 0.0

    def tick(self, now):
        super().tick(now)
        if self.load.publishing and now >= self.next_at and self.may_publish() and self.subscribed:
            self.next_at = now + self.rng.uniform(0.2, 0.6)
            self.publish(f"{self.load.prefix}/question", self.rng.choice((1, 2)), props={
                "response_topic": self.answers, "correlation_data": b"%d" % (self.made + 1)})


class Answerer(Client):
    """Answers each question, when it can."""

    def __init__(self, load, name, home, **kw):
        super().__init__(load, name, home, filters=[("question", 2)], **kw)
        self.open_questions = collections.deque()

    def on_message(self, got):
        self.open_questions.append((got.props.get("response_topic"), got.props.get("correlation_data"), got.qos))

    def tick(self, now):
        super().tick(now)
        while self.open_questions and self.may_publish():
            topic, mark, qos = self.open_questions.popleft()
            if topic and mark is not None:  # else the checker says what is missing
                self.publish(topic, qos, props={"correlation_data": mark})


class Load:
    """wild: clients come and go of their own accord. publishing: new messages are made."""

    conn_number = 0

    def __init__(self, nodes, history, prefix, seed):
        self.nodes, self.history, self.prefix, self.rng = nodes, history, prefix, random.Random(seed)
        self.epoll, self.conns, self.clients = select.epoll(), {}, []
        self.leaving = []  # (socket, until when): they have said DISCONNECT
        self.wild = self.publishing = False
        self.last_news = time.monotonic()

    def note(self, event, **fields):
        self.history.note(event, **fields)

    def next_conn(self):
        self.conn_number += 1
        return self.conn_number

    def run(self, until, seconds):
        """Serves the clients. True as soon as until() is, False when the time is over."""
        end = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            if now >= end:
                return False
            for client in self.clients:
                client.tick(now)
            for fd, event in self.epoll.poll(0.005):
                if fd in self.conns:
                    self.conns[fd].on_event(event)
            self.leaving = [(sock, until) for sock, until in self.leaving if self._leaves(sock, now > until)]
        return True

    @staticmethod
    def _leaves(sock, late):
        """Whether the other end has not closed yet."""
        try:
            while not late and sock.recv(1 << 16):
                pass
        except BlockingIOError:
            return True
        except OSError:
            pass
        sock.close()
        return False

    def all_up(self):
        return all(c.up() and len(c.subscribed) == len(c.filters) for c in self.clients if c.wanted)

    def all_through(self):
        return not any(c.flight or getattr(c, "open_questions", None) for c in self.clients)

    def close(self):
        for client in self.clients:
            for conn in client.conns + client.left:
                conn.close()
        for sock, _ in self.leaving:
            sock.close()
        self.epoll.close()


def make_clients(load):
    """Who is in a round. Each node is the home of one of each kind."""
    n = len(load.nodes.all)
    go = ("kill", "bye", "move", "leave")
    for i in range(n):
        Client(load, f"watch{i}", i, roams=False, filters=[("will/#", 2)], ways=("kill",))
        Client(load, f"all{i}", i, filters=[("news/#", 2)], ways=go)
        Client(load, f"twin{i}", i, filters=[("news/+/two", 2)], ways=("twin", "twin", "move"))
        Client(load, f"pair{i}", i, durable=False, ways=("twin", "twin", "twin", "kill", "bye"))
        Client(load, f"old{i}", i, version=mqtt.V311, ways=go,
               filters=[(f"news/pub{i}/two", 2), (f"news/pub{(i + 1) % n}/one", 1)])
        Client(load, f"low{i}", i, filters=[("news/+/one", 1), ("news/+/zero", 1)], ways=go)
        Client(load, f"clean{i}", i, durable=False, filters=[("news/#", 2)], ways=go)
        Client(load, f"new{i}", i, roams=False, filters=[("news/#", 2)], ways=("renew", "kill"))
        Client(load, f"share{i}", i, group="g", filters=[(f"$share/g/{load.prefix}/job/#", 2)], ways=go)
        topics = [(f"news/pub{i}/zero", (0,), 0), (f"news/pub{i}/one", (1,), 0), (f"news/pub{i}/two", (2,), 0),
                  (f"job/pub{i}", (1, 2), 0), (f"kept/own{i}", (1, 2), 1), ("kept/all", (1, 2), 1), (SPLIT, (1, 2), 1)]
        Publisher(load, f"pub{i}", i, topics, ways=go, version=mqtt.V311 if i % 2 else mqtt.V5)
        topics = [(f"news/brief{i}/zero", (0,), 0), (f"news/brief{i}/one", (1,), 0), (f"news/brief{i}/two", (2,), 0)]
        Publisher(load, f"brief{i}", i, topics, durable=False, ways=go)
        Client(load, f"mortal{i}", i, durable=False, will=True, ways=("kill", "kill", "bye", "move", "twin", "leave"))
        for n in range(3):  # it ends with its node alone
            Client(load, f"still{i}-{n}", i, durable=False, will=True)
        Client(load, f"kept{i}", i, roams=False, will=True, ways=("kill", "bye"))
    Asker(load, "ask0", 0, ways=go)
    Asker(load, "ask1", n - 1, ways=go)
    Answerer(load, "answer", 1 % n, ways=go)
