"""test_sessions.py - sessions, subscriptions and QoS 2 states, exchange by exchange."""
import time

import mqtt
from checks import check_exactly, check_outgoing_qos2, check_session, check_subscriptions
from load import Actor
from scenario_run import collect, crash

V4, V5 = mqtt.V311, mqtt.V5


class Changer(Actor):
    """Subscribes and unsubscribes at random, one request at a time. state: topic -> (allowed QoS values with
    None for no subscription, allowed subscription identifiers)."""

    def __init__(self, loop, cid, version):
        super().__init__(loop, cid, version)
        self.state, self.pending, self.mid, self.busy, self.got, self.acked = {}, None, 0, False, {}, 0

    def filter_of(self, n):
        topic = f"{self.cid}/{n}"
        return {3: topic + "/#", 4: f"$share/of-{self.cid}/{topic}"}.get(n % 5, topic)

    def tick(self, now):
        super().tick(now)
        if self.up and self.busy and self.pending is None:
            self.ask()
            self.conn.flush()

    def ask(self):
        n = self.rng.randrange(15)
        topic, self.mid = f"{self.cid}/{n}", self.mid % 65535 + 1
        before = self.state.get(topic, ({None}, {None}))
        if self.rng.random() < 0.6:
            qos = self.rng.randrange(3)
            ident = self.rng.randint(1, 300000) if self.version == V5 else None
            after = ({qos}, {ident})
            props = {"subscription_id": ident} if ident else None
            self.conn.send(mqtt.subscribe(self.mid, [(self.filter_of(n), qos)], self.version, props))
        else:
            after = ({None}, {None})
            self.conn.send(mqtt.unsubscribe(self.mid, [self.filter_of(n)], self.version))
        self.pending = (topic, after)
        self.state[topic] = (before[0] | after[0], before[1] | after[1])

    def on_lost(self):
        self.pending = None

    def on_up(self, conn, got):
        if not got.session_present and self.acked:
            self.state.clear()  # told already, as a lost session

    def on_other(self, conn, got):
        if got.type in (mqtt.SUBACK, mqtt.UNSUBACK) and got.mid == self.mid and self.pending:
            topic, after = self.pending
            self.state[topic], self.pending = after, None
            self.promised = True
            self.acked += 1
        elif got.type == mqtt.PUBLISH:
            self.got[got.topic] = (got.qos, got.props.get("subscription_id", [None])[0])
            if got.qos:
                conn.send(mqtt.ack(mqtt.PUBACK if got.qos == 1 else mqtt.PUBREC, got.mid))
        elif got.type == mqtt.PUBREL:
            conn.send(mqtt.ack(mqtt.PUBCOMP, got.mid))

    def verdict(self):
        wanted = dict(self.state)
        problems = check_subscriptions(self.cid, wanted, self.got)
        for topic in wanted:  # from now on it is certain
            qos, ident = self.got.get(topic, (None, None))
            self.state[topic] = ({qos}, {ident})
        return problems


@crash("workers 2")
def suback_and_unsuback_hold(run):
    loop = run.start_loop()
    clients = [Changer(loop, f"c{n}", (V4, V5)[n % 2]) for n in range(10)]
    for _ in range(3):
        for c in clients:
            c.busy = True
        goal = sum(c.acked for c in clients) + run.rng.randrange(20, 600)
        loop.run(lambda: sum(c.acked for c in clients) >= goal, 60)
        run.node.kill_in(run.rng.uniform(0, 0.02))
        loop.run_until_dead()
        run.tell(f"kill after {sum(c.acked for c in clients)} acknowledged")
        for c in clients:
            c.busy, c.got = False, {}
        run.restart()
        assert loop.run(lambda: all(c.up for c in clients), 60), "not all clients came back within 60 s"
        prober = run.client("prober", V4, clean=True)
        for c in clients:
            for n in range(15):
                prober.pub(f"{c.cid}/{n}", b"probe", 2)
        prober.bye()
        missing = [c for c in clients]
        loop.run(lambda: all(t in c.got for c in missing for t, (q, _) in c.state.items() if None not in q), 15)
        loop.run(None, 0.3)
        for c in clients:
            run.problems += c.verdict()


@crash("workers 2")
def clean_start_and_expiry_0_leave_nothing(run):
    """What must not be there, beside what must."""
    witness = run.client("witness")
    witness.sub("witness", qos=1)
    for cid, version in (("again-5", V5), ("end-5", V5), ("end-4", V4), ("stays-5", V5), ("stays-4", V4)):
        c = run.client(cid, version)
        c.sub(f"{cid}/old", qos=1)
        c.bye()
    run.client("queue", V4, clean=True).pub("again-5/old", b"for the session that ends", 1)
    transient = run.client("transient-5", expiry=0)
    transient.sub("transient-5/old", qos=1)
    run.client("transient-4", V4, clean=True).sub("transient-4/old", qos=1)
    again = run.client("again-5", clean=True)
    assert not again.connack.session_present, "session present after clean start"
    ends = [run.client("end-5", clean=True, expiry=0), run.client("end-4", V4, clean=True)]
    for c in ends:  # an acknowledgement that a durable session waits for, and which comes after the end
        c.pub("witness", c.client_id.encode(), 1)
    again.sub("again-5/new", qos=1)
    run.kill_and_restart()
    wanted = {"again-5": True, "end-5": False, "end-4": False, "stays-5": True, "stays-4": True,
              "transient-5": False, "transient-4": False, "witness": True}
    clients = {}
    for cid, promised in wanted.items():
        clients[cid], present = run.present(cid, V4 if cid.endswith("4") else V5)
        run.problems += check_session(cid, promised, present)
    prober = run.client("prober", V4, clean=True)
    for cid in wanted:
        for tail in ("old", "new"):
            prober.pub(f"{cid}/{tail}", b"probe", 1)
    for cid, c in clients.items():
        old = {1} if cid.startswith("stays") else {None}
        new = {1} if cid == "again-5" else {None}
        state = {f"{cid}/old": (old, {None}), f"{cid}/new": (new, {None})} if cid != "witness" else \
            {"witness": ({1}, {None})}
        got = collect(c, 0.2, enough=lambda got, state=state: len(got) >= sum(None not in q for q, _ in state.values()))
        run.problems += check_subscriptions(cid, state, {p.topic: (p.qos, None) for p in got})


@crash("workers 2")
def incoming_qos_2_state_holds(run):
    for version in (V4, V5):
        watcher = run.client(f"watcher-{version}", version)
        watcher.sub(f"in/{version}", qos=2)
        watcher.bye()
    clients = [run.client(f"publisher-{v}", v) for v in (V4, V5)]

    def each(make, type_):
        for c in clients:
            c.send(make(c))
        return [c.expect(type_, mid=7) for c in clients]

    def crash_here():
        run.kill_and_restart()
        for i, v in enumerate((V4, V5)):
            clients[i], present = run.present(f"publisher-{v}", v)
            run.problems.extend(check_session(f"publisher-{v}", True, present))

    def publish(payload, dup):
        return lambda c: mqtt.publish(f"in/{c.version}", payload, 2, 7, dup=dup, version=c.version)

    each(publish(b"one", False), mqtt.PUBREC)
    crash_here()
    each(publish(b"one", True), mqtt.PUBREC)
    crash_here()
    for got in each(lambda c: mqtt.ack(mqtt.PUBREL, 7), mqtt.PUBCOMP):
        if got.reason:
            run.problems.append(("PUBREL refused", f"after PUBREC and a restart: {got.reason:#x}"))
    crash_here()
    each(lambda c: mqtt.ack(mqtt.PUBREL, 7), mqtt.PUBCOMP)
    each(publish(b"two", False), mqtt.PUBREC)
    crash_here()
    each(lambda c: mqtt.ack(mqtt.PUBREL, 7), mqtt.PUBCOMP)
    for version in (V4, V5):
        watcher, present = run.present(f"watcher-{version}", version)
        run.problems += check_session(f"watcher-{version}", True, present)
        got = [p.payload for p in collect(watcher, enough=lambda got: len(got) >= 2)]
        run.problems += check_exactly(f"in/{version}", [b"one", b"two"], got)


@crash("workers 2")
def outgoing_qos_2_state_holds(run):
    publisher = run.client("source", V4, clean=True)
    clients = {v: run.client(f"reader-{v}", v) for v in (V4, V5)}
    for v, c in clients.items():
        c.sub(f"out/{v}", qos=2)
        publisher.pub(f"out/{v}", b"one", 2)
        publisher.pub(f"out/{v}", b"two", 2)
    mids = {v: [c.expect(mqtt.PUBLISH).mid for _ in range(2)] for v, c in clients.items()}

    def crash_here():
        run.kill_and_restart()
        for v in clients:
            clients[v], present = run.present(f"reader-{v}", v)
            run.problems.extend(check_session(f"reader-{v}", True, present))

    crash_here()
    for v, c in clients.items():
        seen = look(c, 2)
        if seen != [("PUBLISH", m) for m in mids[v]]:
            run.problems.append(("QoS 2 in flight not sent again as it was", f"packet ids {mids[v]}, got {seen}"))
            return
        c.send(mqtt.ack(mqtt.PUBREC, mids[v][0]))
        c.expect(mqtt.PUBREL, mid=mids[v][0])
    for _ in range(2):  # PUBREL comes again until it is answered
        crash_here()
        for v, c in clients.items():
            run.problems += check_outgoing_qos2(f"reader-{v}", mids[v][0], look(c, 2))
    for v, c in clients.items():
        c.send(mqtt.ack(mqtt.PUBCOMP, mids[v][0]), mqtt.ack(mqtt.PUBREC, mids[v][1]))
        c.expect(mqtt.PUBREL, mid=mids[v][1])
        c.send(mqtt.ack(mqtt.PUBCOMP, mids[v][1]))
    publisher = run.client("source", V4, clean=True)
    for v, c in clients.items():
        publisher.pub(f"out/{v}", b"three", 2)
        run.problems += check_exactly(f"out/{v}", [b"three"], [p.payload for p in collect(c, enough=bool)])


def look(client, n):
    """The next n packets, unanswered: (type, packet id). All must be marked as sent again."""
    out, end = [], time.monotonic() + 15
    while len(out) < n and time.monotonic() < end:
        try:
            got = client.recv(0.5)
            assert got.type != mqtt.PUBLISH or got.dup, f"sent again without DUP: {got}"
            out.append((mqtt.NAMES[got.type], got.mid))
        except (TimeoutError, mqtt.Closed):
            pass
    return out
