"""story.py - a history read back: nodes with their faults, clients with their sessions, messages with their ways.

No socket, no clock: what is here comes from the lines alone.
"""
import collections
import json

FOREVER = float("inf")
DEAD_S, STEP_S = 1.5, 0.25  # a node is held dead no sooner


def load(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def matches(filter_, topic):
    wanted, have = filter_.split("/"), topic.split("/")
    if wanted[0] == "$share":
        wanted = wanted[2:]
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(have) or level not in ("+", have[i]):
            return False
    return len(wanted) == len(have)


class Faults:
    """Spans of time, (begin, end), in which something was wrong. What has no end lasts."""

    PAIRS = {"kill": "down", "term": "down", "stop": "stopped", "slow": "slow", "bite": "bitten"}
    ENDS = {"up": "down", "cont": "stopped", "fast": "slow", "bitten": "bitten"}

    def __init__(self):
        self.spans = collections.defaultdict(list)  # ("down", node) or ("cut", a, b), a < b -> [[begin, end]]
        self.kills, self.terms, self.deaths, self.launches = (collections.defaultdict(list) for _ in range(4))
        self.text = []

    def take(self, event):
        t, what = event["t"], event["what"]
        self.text.append((t, " ".join([what, *(str(event[k]) for k in ("node", "a", "b") if k in event)])))
        if what in ("cut", "mended"):
            key = ("cut", *sorted((event["a"], event["b"])))
            self._open(key, t) if what == "cut" else self._close(key, t)
            return
        node = event["node"]
        if what in self.PAIRS:
            self._open((self.PAIRS[what], node), t)
        elif what in self.ENDS:
            self._close((self.ENDS[what], node), t)
        if what == "kill":
            self.kills[node].append(t)
        elif what == "term":
            self.terms[node].append(t)
        elif what == "dead":
            self.deaths[node].append(t)
        elif what == "launch":
            self.launches[node].append(t)

    def _open(self, key, t):
        self.spans[key].append([t, FOREVER])

    def _close(self, key, t):
        for span in self.spans[key]:
            if span[1] == FOREVER:
                span[1] = t
                return

    def during(self, key, begin, end):
        return [s for s in self.spans.get(key, ()) if s[0] <= end and s[1] >= begin]

    def apart(self, a, b, begin, end):
        """Whether one of them may not have heard the other at some time between."""
        return bool(self.during(("cut", *sorted((a, b))), begin, end) or any(
            self.during((what, node), begin, end) for what in ("down", "stopped", "slow", "bitten") for node in (a, b)))

    def hears(self, a, b, t):
        """Whether a can hear b, by itself, at this moment."""
        return not any(self.during(key, t, t) for key in (
            ("cut", *sorted((a, b))), ("down", a), ("stopped", a), ("down", b), ("stopped", b)))

    def unheard(self, node, by, others, t):
        """A node asks others about one that does not answer. Who is not there holds nobody dead."""
        awake = not self.during(("down", by), t, t) and not self.during(("stopped", by), t, t)
        return awake and not self.during(("down", node), t, t) and not self.hears(by, node, t) and not any(
            self.hears(by, other, t) and self.hears(other, node, t) for other in others if other != by)

    def held_dead(self, node, count, begin, end):
        """Whether another node may have held it dead at some time between: it had not heard it for DEAD_S."""
        others = [i for i in range(count) if i != node]
        for by in others:
            t, silent_s = begin - DEAD_S, 0.0
            while t <= end:
                silent_s = silent_s + STEP_S if self.unheard(node, by, others, t) else 0.0
                if silent_s >= DEAD_S and t >= begin:
                    return True
                t += STEP_S
        return False

    def told_at(self, node, t):
        """When all that hear it again have been told what it said at that moment."""
        held = [key for key in self.spans if key[0] == "cut" and node in key[1:] or key[0] in ("slow", "bitten")]
        return max([t] + [s[1] for key in held for s in self.during(key, t, t + 0.5)]) + 1

    def near(self, begin, end):
        return ", ".join(f"{t:.2f} {what}" for t, what in self.text if begin - 1 <= t <= end + 1)[:400]


class Conn:
    """One connection. end: when its client saw its end, or made it."""

    def __init__(self, event):
        self.client, self.number, self.node = event["c"], event["k"], event["node"]
        self.came, self.clean = event["t"], event["clean"]
        self.accepted = self.reason = self.present = self.how = self.goodbye = self.life = None
        self.end = FOREVER

    def __str__(self):
        return f"{self.client} connection {self.number} to node {self.node} at {self.came:.2f}"


class Life:
    """One session, from its begin to its end. What came to it is in events."""

    def __init__(self, client, home, begin, durable):
        self.client, self.home, self.begin, self.durable = client, home, begin, durable
        self.end, self.subscribed, self.events = FOREVER, {}, []  # filter -> when SUBACK came

    def __str__(self):
        return f"{self.client} (session of node {self.home} since {self.begin:.2f})"


class Message:
    def __init__(self, event, life, home):
        self.publisher, self.number, self.topic, self.qos = event["c"], event["m"], event["topic"], event["qos"]
        self.retain, self.empty = event["retain"], event["empty"]
        self.props = {k: event[k] for k in ("answer_to", "mark") if k in event}
        self.sent, self.life, self.home = event["t"], life, home
        self.lives, self.acked, self.reason, self.done = {id(life)}, None, None, False

    @property
    def text(self):
        return "" if self.empty else f"{self.publisher} {self.number}"

    def __str__(self):
        ack = f"acknowledged {self.acked:.2f}" if self.acked is not None else "not acknowledged"
        return (f"{self.publisher} #{self.number} on {self.topic}, QoS {self.qos}, sent {self.sent:.2f} to node "
                f"{self.home}, {ack}")


class Story:
    def __init__(self, events):
        self.faults, self.clients, self.conns = Faults(), {}, {}
        self.lives, self.current, self.messages = [], {}, {}
        self.torn = []          # (Conn, Life): a session that was there before, and is not found
        self.unsure = set()     # clients of these: until the nodes agree, either session may be found
        self.risen = []         # Conn: a session that should not be there
        self.begin, self.harmed, self.healed, self.rest = {}, FOREVER, FOREVER, None
        self.nodes = 0
        for event in events:
            getattr(self, "on_" + event["e"])(event)
        self.rest_at = self.rest["t"] if self.rest else FOREVER

    # -- the round --

    def on_round(self, event):
        self.nodes, self.begin = event["nodes"], event

    def on_harm(self, event):
        self.harmed = event["t"]

    def on_healed(self, event):
        self.healed = event["t"]

    def on_rest(self, event):
        self.rest = event

    def on_fault(self, event):
        self.faults.take(event)

    # -- clients --

    def on_client(self, event):
        self.clients[event["c"]] = event

    def on_connect(self, event):
        conn = self.conns[event["k"]] = Conn(event)
        life = self.current.get(conn.client)
        if life and conn.clean and self.clients[conn.client]["durable"]:
            life.end = min(life.end, conn.came)

    def on_connack(self, event):
        conn = self.conns[event["k"]]
        conn.accepted, conn.reason, conn.present = event["t"], event["reason"], event["present"]
        if conn.reason:
            return
        durable, life = self.clients[conn.client]["durable"], self.current.get(conn.client)
        if conn.present and (conn.clean or not life):
            self.risen.append(conn)
        if not conn.present and not conn.clean and life and life.end == FOREVER:
            self.torn.append((conn, life))
            self.unsure.add(conn.client)
        if conn.client in self.unsure:
            life.end = min(life.end, conn.accepted)
        if life is None or life.end != FOREVER or not durable:
            life = Life(conn.client, conn.node, conn.accepted, durable)
            self.lives.append(life)
            self.current[conn.client] = life
        conn.life = life
        life.events.append(event)

    def on_goodbye(self, event):
        self.conns[event["k"]].goodbye = event["reason"]

    def on_end(self, event):
        conn = self.conns[event["k"]]
        conn.end, conn.how = event["t"], event["how"]
        if conn.life and not conn.life.durable:
            conn.life.end = conn.end

    def on_suback(self, event):
        life = self.conns[event["k"]].life
        for filter_, _ in event["filters"]:
            life.subscribed.setdefault(filter_, event["t"])

    # -- messages --

    def on_send(self, event):
        conn, key = self.conns[event["k"]], (event["c"], event["m"])
        if key not in self.messages:
            self.messages[key] = Message(event, conn.life, conn.life.home if conn.life.durable else conn.node)
        self.messages[key].lives.add(id(conn.life))

    def on_ack(self, event):
        message = self.messages[event["c"], event["m"]]
        message.reason = event["reason"]
        if message.acked is None and message.reason < 0x80:
            message.acked = event["t"]

    def on_done(self, event):
        message = self.messages[event["c"], event["m"]]
        message.done = True

    def on_got(self, event):
        self.conns[event["k"]].life.events.append(event)

    def on_release(self, event):
        self.conns[event["k"]].life.events.append(event)

    # -- what checks ask --

    def is_alive(self, life):
        """Whether the session was there until the end."""
        return life.end > self.rest_at

    def conns_of(self, client):
        return [c for c in self.conns.values() if c.client == client]
