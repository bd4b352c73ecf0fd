"""checks.py - the promises of the durable store, as functions of what the clients saw.

No function here knows a socket or a clock: each gets a history and returns [(kind, text), ...], empty
when the promise holds. So selftest.py can feed each with a history that breaks it.
"""
import collections

# What happened to a subscriber, in the order in which it saw it.
Connack = collections.namedtuple("Connack", "present")
Publish = collections.namedtuple("Publish", "key topic qos dup mid payload")
Pubrel = collections.namedtuple("Pubrel", "mid")


class Message:
    """What a publisher knows of one of its messages. acked: when PUBACK or PUBCOMP came."""
    __slots__ = ("key", "topic", "qos", "payload", "sends", "acked", "received", "releases")

    def __init__(self, key, topic, qos, payload=b"", sends=1, acked=None):
        self.key, self.topic, self.qos, self.payload = key, topic, qos, payload
        self.sends, self.acked, self.received, self.releases = sends, acked, None, 0

    def __str__(self):
        return f"{self.topic} {self.key[0]}#{self.key[1]}"


def matches(filter_, topic):
    wanted, have = filter_.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(have) or level not in ("+", have[i]):
            return False
    return len(wanted) == len(have)


def before_kill(message, kills):
    """When the message was acknowledged, as seen from the kill that followed."""
    if message.acked is None:
        return "never acknowledged"
    for n, at in enumerate(kills, 1):
        if message.acked <= at:
            return f"acknowledged {(at - message.acked) * 1000:.1f} ms before kill {n}"
    return "acknowledged after the last kill"


# ---- QoS 1: at least once; QoS 2: exactly once; both in order -------------------------------------------

class Replay:
    """A receiver as the specification wants it, run over the events of one subscriber."""

    def __init__(self, name, messages):
        self.name, self.messages, self.problems = name, messages, []
        self.held = {}                           # QoS 2 packet id -> key, from PUBLISH until PUBREL
        self.released = set()                    # keys whose PUBREL has come
        self.count = collections.Counter()       # key -> how often the application got it
        self.plain = collections.Counter()       # key -> QoS 1 deliveries without DUP
        self.last = {}                           # (topic, publisher) -> number of the last first delivery

    def problem(self, kind, text):
        self.problems.append((kind, f"{self.name}: {text}"))

    def run(self, events):
        for event in events:
            if isinstance(event, Publish):
                self.publish(event)
            elif isinstance(event, Pubrel):
                key = self.held.pop(event.mid, None)
                if key is not None:
                    self.released.add(key)
            elif not event.present:
                self.held.clear()
        return self

    def publish(self, event):
        message = self.messages.get(event.key)
        if message is None or message.topic != event.topic:
            return self.problem("never sent", f"got {event.key} on {event.topic}")
        if message.payload != event.payload:
            self.problem("payload changed", f"{message}, {len(event.payload)} bytes")
        if message.qos != event.qos:
            self.problem("QoS changed", f"{message} came with QoS {event.qos} instead of {message.qos}")
        if event.qos == 2 and not self.is_fresh(event, message):
            return None
        if event.qos == 1 and not event.dup:
            self.plain[event.key] += 1
        self.count[event.key] += 1
        if self.count[event.key] == 1:
            self.first(event, message)
        return None

    def is_fresh(self, event, message):
        """QoS 2: whether the application sees this PUBLISH."""
        known = self.held.get(event.mid)
        if known is None:
            self.held[event.mid] = event.key
            if event.key in self.released:
                self.problem("QoS 2 sent again after PUBREC", f"{message} with packet id {event.mid}")
            return True
        if known != event.key:
            self.problem("packet id reused in flight", f"{message} came as {event.mid}, which is {known}")
        elif not event.dup:
            self.problem("repeated without DUP", f"{message}, QoS 2")
        return False

    def first(self, event, message):
        stream, number = (event.topic, event.key[0]), event.key[1]
        if number < self.last.get(stream, -1):
            self.problem("out of order", f"{message} first came after #{self.last[stream]}")
        self.last[stream] = max(number, self.last.get(stream, -1))


def check_delivery(name, filters, messages, events, kills=()):
    """One durable subscriber, after its queue ran dry and all publishers had their last acknowledgement.
    messages: key -> Message of all publishers. events: what the subscriber saw since its first SUBACK."""
    replay = Replay(name, messages).run(events)
    for key, message in messages.items():
        if not any(matches(f, message.topic) for f in filters):
            if replay.count[key]:
                replay.problem("never asked for", f"{message} with filters {filters}")
            continue
        if not replay.count[key] and message.acked is not None:
            replay.problem(f"QoS {message.qos} lost", f"{message} {before_kill(message, kills)}")
        if message.qos == 2 and replay.count[key] > 1:
            replay.problem("QoS 2 delivered twice", f"{message}, {replay.count[key]} times")
        if replay.plain[key] > message.sends:
            replay.problem("repeated without DUP", f"{message} came {replay.plain[key]} times without DUP, "
                           f"its publisher sent it {message.sends} times")
    return replay.problems


def check_loosely(name, acked, got, exactly, uncertain=()):
    """For client programs that hide packets: texts that were acknowledged, and all that came out.
    uncertain: texts whose sender may have sent them twice in its own right."""
    count = collections.Counter(got)
    problems = [(f"QoS {exactly + 1} lost", f"{name}: {text}") for text in acked if not count[text]]
    if exactly:
        problems += [("QoS 2 delivered twice", f"{name}: {text}, {n} times") for text, n in count.items()
                     if n > 1 and text not in set(uncertain)]
    return problems


def check_publisher(name, messages):
    """A publisher that had time to finish: each of its messages has its last acknowledgement."""
    return [("no acknowledgement after the restart",
             f"{name}: {m}, QoS {m.qos}, " + ("no PUBCOMP" if m.received is not None else "sent "
                                               f"{m.sends} times") )
            for m in messages if m.acked is None]


def check_pubcomp(name, message, reason):
    """Packet Identifier not found is an honest answer only to a PUBREL that is sent again."""
    if reason == 0 or reason == 0x92 and message.releases > 1:
        return []
    return [("PUBREL refused", f"{name}: {message} first PUBREL answered {reason:#x}")]


def check_puback(name, message, reason, subscribed=True):
    """Where each topic has a durable subscriber, 0x10 (no matching subscribers) tells of a lost subscription."""
    if reason == 0 or reason == 0x10 and not subscribed:
        return []
    return [("message refused" if reason >= 0x80 else "subscribers forgotten",
             f"{name}: {message} answered {reason:#x}")]


# ---- Sessions and subscriptions ---------------------------------------------------------------------------

def check_session(name, promised, present):
    """promised: True (must be there), False (must not), None (either)."""
    if promised is None or promised == present:
        return []
    return [("session lost", f"{name}: session present is 0")] if promised else \
        [("session risen from the dead", f"{name}: session present is 1")]


def check_subscriptions(name, wanted, got):
    """wanted: topic -> (allowed QoS values, allowed subscription identifiers), where None among the QoS
    values means that no subscription is allowed, too. got: topic -> (QoS, subscription identifier)."""
    problems = []
    for topic, (qos, idents) in wanted.items():
        have = got.get(topic)
        if have is None:
            if None not in qos:
                problems.append(("subscription lost", f"{name}: {topic} (QoS {sorted(qos)})"))
        elif not qos - {None}:
            problems.append(("subscription still there", f"{name}: {topic}"))
        elif have[0] not in qos:
            problems.append(("subscription changed", f"{name}: {topic} has QoS {have[0]}, not {qos}"))
        elif have[1] not in idents:
            problems.append(("subscription changed", f"{name}: {topic} has id {have[1]}, not {idents}"))
    problems += [("subscription never made", f"{name}: {t}") for t in got if t not in wanted]
    return problems


# ---- Single exchanges ---------------------------------------------------------------------------------------

def check_outgoing_qos2(name, mid, seen):
    """The client sent PUBREC and saw PUBREL, but never sent PUBCOMP. seen: (type, packet id) after restart."""
    problems = [("QoS 2 sent again after PUBREC", f"{name}: PUBLISH {m}") for t, m in seen
                if t == "PUBLISH" and m == mid]
    if ("PUBREL", mid) not in seen:
        problems.append(("PUBREL forgotten", f"{name}: no PUBREL {mid} after the restart, but {seen}"))
    return problems


def check_exactly(name, wanted, got):
    """Payloads of one publisher on one topic at QoS 2."""
    if list(got) == list(wanted):
        return []
    lost = [w for w in wanted if w not in got]
    twice = [w for w in dict.fromkeys(got) if list(got).count(w) > 1]
    kind = "QoS 2 lost" if lost else "QoS 2 delivered twice" if twice else "out of order"
    return [(kind, f"{name}: wanted {wanted}, got {got}")]


# ---- Retained messages, wills, time ---------------------------------------------------------------------------

def check_retained(writes, got):
    """writes: topic -> [(value or None for a clear, acknowledged), ...] in the order sent.
    got: topic -> value, as a new subscriber sees it."""
    problems = []
    for topic, history in writes.items():
        last = max((i for i, (_, acked) in enumerate(history) if acked), default=-1)
        allowed = [value for value, _ in history[last:]] if last >= 0 else \
            [None] + [value for value, _ in history]
        have = got.get(topic)
        if have in allowed:
            continue
        older = have in [value for value, _ in history]
        if have is None:
            kind = "retained message lost"
        elif allowed == [None]:
            kind = "cleared retained message is back"
        else:
            kind = "retained message is an older one" if older else "retained message never sent"
        short = [value and value[:12] for value in [have, *allowed]]
        problems.append((kind, f"{topic} is {short[0]}, acknowledged was {short[1]}, later ones {short[2:5]}"))
    problems += [("retained message never sent", t) for t in got if t not in writes]
    return problems


def check_wills(wanted, unwanted, got):
    """wanted, unwanted: topics of wills. got: topics of the wills that came, each time."""
    count = collections.Counter(got)
    problems = [("will lost", t) for t in wanted if not count[t]]
    problems += [("will published twice", f"{t}, {count[t]} times") for t in wanted if count[t] > 1]
    problems += [("will of a client that left cleanly", t) for t in unwanted if count[t]]
    return problems


def check_expiry(sent, waited_s, got):
    """sent: text -> Message Expiry Interval or None. got: text -> the interval that came with it, or None.
    waited_s: how long each message waited in the broker at least."""
    problems = []
    for text, interval in sent.items():
        if interval is not None and interval <= waited_s:
            if text in got:
                problems.append(("expired message delivered", f"{text}: {interval} s, waited {waited_s:.1f} s"))
            continue
        if text not in got:
            problems.append(("message lost before its expiry", f"{text}: {interval} s, waited {waited_s:.1f} s"))
        elif interval is None and got[text] is not None:
            problems.append(("expiry invented", f"{text}: {got[text]}"))
        # One second of slack, as the broker counts whole seconds.
        elif interval is not None and not (got[text] and 0 < got[text] <= interval - waited_s + 1):
            problems.append(("expiry not counted down", f"{text}: {got[text]} s are left of {interval} s "
                             f"after {waited_s:.1f} s"))
    return problems


# ---- An account of it all ---------------------------------------------------------------------------------------

def account(problems, examples=2):
    """One line: each kind with its count and its first examples."""
    kinds = {}
    for kind, text in problems:
        kinds.setdefault(kind, []).append(text)
    return "; ".join(f"{kind}: {len(texts)} ({' | '.join(texts[:examples])}{' ...' * (len(texts) > examples)})"
                     for kind, texts in kinds.items())
