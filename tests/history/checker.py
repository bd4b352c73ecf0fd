#!/usr/bin/python3
"""checker.py - the promises of a cluster, as functions of a history.

    checker.py FILE     judges a history again

Each check gets a Story and returns [(kind, text), ...], empty when the promise holds. README.md says what each promise
means, and what is not promised; selftest.py has a history that breaks it for each kind.
"""
import collections
import itertools
import sys

from story import FOREVER, Story, load, matches

TOLD_S = 0.5        # "the milliseconds" in which a Will is not known elsewhere yet, on a machine that has other work
LINK_S = 2.0        # until nodes that hear each other again are linked (0.1 to 1.0 s, where nothing else runs)
DISK_S = 0.2        # a sync may take longer than CONNACK waits for it (WILL_WAIT_MS), on a machine that has other work
HOLD_S = 5.5        # NODE_WILL_HOLD_MS, from the start of a node that is back: then it publishes what it has kept
HELD_S = 6.5        # a node that died is held dead by then (cluster/README.md: 6.1 s at most, of three)
LOST_S = 10.0       # whose connections have ended without a word is taken for dead for so long, unless it is back
HELD_BOTH_S = 12.0  # one of two that died together: who is left doubts itself first (9 s seen)
DUE_S = HELD_BOTH_S + 10.0 + 5.0  # it is published by then, by the second node in order if the first does not have it
TELL_S = 5.0        # NODE_REACH_MS
NOTE_S = LINK_S + 1  # until a node that hears another one has on its disk which sessions that keeps
STAMP_S = 0.005     # clocks of nodes are this machine's; two changes in a moment may be either way
LEFT = "its node left in order at about that time"
REFUSALS = {0x88, 0x89, 0x8B, 3}


# ---- What came to a session -------------------------------------------------------------------------------

class Replay:
    """A receiver as the specification wants it, run over the events of one session."""

    def __init__(self, story, life):
        self.story, self.life, self.problems = story, life, []
        self.held, self.released = {}, set()     # QoS 2: packet identifier -> text; texts whose PUBREL has come
        self.count = collections.Counter()       # text -> how often the application got it
        self.last = {}                           # stream -> number of the last one that came for the first time
        self.filters = story.clients[life.client]["filters"]
        self.in_group = story.clients[life.client]["group"] is not None

    def problem(self, kind, text):
        self.problems.append((kind, f"{self.life}: {text}"))

    def run(self):
        for event in self.life.events:
            if event["e"] == "got":
                self.got(event)
            elif event["e"] == "release" and event["mid"] in self.held:
                self.released.add(self.held.pop(event["mid"]))
        return self

    def got(self, event):
        text = event["m"]
        wanted = [qos for f, qos in self.filters if matches(f, event["topic"])]
        if not wanted:
            self.problem("never asked for", f"{text} on {event['topic']} at {event['t']:.2f}")
        if event["qos"] == 2 and not self.is_fresh(event):
            return
        self.count[text] += 1
        if text.startswith("W "):
            return
        name, _, number = text.rpartition(" ")
        message = self.story.messages.get((name, int(number) if number.isdigit() else -1))
        if message is None or message.topic != event["topic"]:
            self.problem("never sent", f"{text!r} on {event['topic']} at {event['t']:.2f}")
            return
        self.look(event, message, max(wanted, default=message.qos))

    def is_fresh(self, event):
        """QoS 2: whether the application sees this PUBLISH."""
        text, mid = event["m"], event["mid"]
        known = self.held.get(mid)
        if known is None:
            self.held[mid] = text
            if text in self.released and not text.startswith("W "):
                self.problem("QoS 2 twice", f"{text} again after PUBREL, at {event['t']:.2f}")
            return True
        if known != text:
            self.problem("packet identifier used twice", f"{text} at {event['t']:.2f} as {mid}, which is {known}")
        elif not event["dup"]:
            self.problem("repeated without DUP", f"{text}, QoS 2, at {event['t']:.2f}")
        return False

    def look(self, event, message, granted):
        want = min(message.qos, granted)
        if event["qos"] != want:
            self.problem("QoS changed", f"{message} came with {event['qos']} instead of {want}")
        if {k: event[k] for k in ("answer_to", "mark") if k in event} != message.props:
            self.problem("properties changed", f"{message}: {event} instead of {message.props}")
        times = self.count[message.text]
        if times > len(message.lives) and event["qos"] != 1:
            self.problem(f"QoS {event['qos']} twice", f"{message}, {times} times, the last at {event['t']:.2f}; "
                         + self.story.faults.near(message.sent, event["t"]))
        if times == 1 and not self.in_group and not self.may_be_repetition(message):
            stream = (message.publisher, id(message.life), message.topic, message.qos)
            if message.number < self.last.get(stream, -1):
                self.problem("out of order", f"{message} came at {event['t']:.2f} after #{self.last[stream]}; "
                             + self.story.faults.near(message.sent, event["t"]))
            self.last[stream] = max(message.number, self.last.get(stream, -1))

    def may_be_repetition(self, message):
        """QoS 1: it may have come before, when the session did not listen yet."""
        since = min((t for f, t in self.life.subscribed.items() if matches(f, message.topic)), default=FOREVER)
        return message.qos == 1 and message.sent <= since


class Checker:
    def __init__(self, events):
        self.story = Story(events)
        self.replays = {id(life): Replay(self.story, life).run() for life in self.story.lives}
        self.excused = collections.Counter()  # what is not promised, and happened

    def seen(self, life):
        return self.replays[id(life)].count

    # -- delivery --

    def owes(self, message, filter_, since, life):
        """Whether this acknowledged message has to come by this subscription of a session that is still there."""
        if message.acked is None or message.sent <= since or not matches(filter_, message.topic):
            return False
        # A node that is not linked hears of a subscription when it is.
        return since < self.story.harmed or message.sent > self.story.healed or message.home == life.home

    def around(self, message):
        return self.story.faults.near(message.sent, message.sent + 3)

    def check_delivered(self):
        problems = []
        kinds = collections.defaultdict(list)
        for message in self.story.messages.values():
            kinds[message.topic].append(message)
        for life in self.story.lives:
            if not self.story.is_alive(life) or self.story.clients[life.client]["group"]:
                continue
            for (filter_, since), (topic, messages) in itertools.product(life.subscribed.items(), kinds.items()):
                if matches(filter_, topic):
                    problems += [("lost", f"{message}: not at {life}; {self.around(message)}") for message in messages
                                 if self.owes(message, filter_, since, life) and not message.empty
                                 and not self.seen(life)[message.text]]
        return problems

    def check_groups(self):
        """A share group: one member gets it, at QoS 2 once in all."""
        problems, groups = [], collections.defaultdict(list)
        for name, client in self.story.clients.items():
            if client["group"]:
                groups[client["group"]].append(name)
        for group, names in groups.items():
            lives = [life for life in self.story.lives if life.client in names]
            if len(lives) != len(names) or not all(self.story.is_alive(life) and life.subscribed for life in lives):
                self.excused["a group whose member lost its session"] += 1
                continue
            filter_ = next(iter(lives[0].subscribed))
            since = max(life.subscribed[filter_] for life in lives)
            for message in self.story.messages.values():
                times = sum(self.seen(life)[message.text] for life in lives)
                if times == 0 and self.owes(message, filter_, since, lives[0]):
                    problems.append(("lost", f"{message}: at no member of group {group}; {self.around(message)}"))
                if message.qos == 2 and times > len(message.lives):
                    problems.append(("QoS 2 twice", f"{message}: {times} times in group {group}"))
        return problems

    def check_received(self):
        """What no session may see: twice, out of order, changed, never sent."""
        return [problem for replay in self.replays.values() for problem in replay.problems]

    def check_publishers(self):
        """All that is at rest has its acknowledgement, and none was refused."""
        problems = []
        for message in self.story.messages.values():
            if message.reason is not None and message.reason >= 0x80:
                problems.append(("refused", f"{message}: {message.reason:#x}"))
            elif message.qos and message.life and message.life.durable and self.story.is_alive(message.life) and \
                    (message.acked is None or message.qos == 2 and not message.done):
                problems.append(("no acknowledgement", str(message)))
        return problems

    # -- sessions and connections --

    def has_noted(self, node, life, end):
        """Nodes write down which sessions the others keep (cluster/README.md, Links, rule 19)."""
        t = life.begin + NOTE_S
        while t <= end:
            if not self.story.faults.apart(node, life.home, t - NOTE_S, t):
                return True
            t += NOTE_S / 8
        return False

    def could_not_know(self, conn, life):
        """A node that has just started asks those that it can reach, for 5 s (the same rule)."""
        faults, node, home = self.story.faults, conn.node, life.home
        begin = max((t for t in faults.launches[node] if t <= conn.accepted), default=None)
        if begin is None or home == node or self.has_noted(node, life, begin):
            return False
        return any(faults.during(key, begin, conn.accepted) for key in (
            ("cut", *sorted((node, home))), ("down", home), ("stopped", home), ("stopped", node)))

    def was_not_told(self, conn, life):
        """It waits for 5 s "at most" (rule 19), also for a node that it can reach and that is slow to tell."""
        return life.home != conn.node and any(
            t + TELL_S <= conn.accepted <= t + 2 * TELL_S and not self.has_noted(conn.node, life, t)
            for t in self.story.faults.launches[conn.node])

    def check_sessions(self):
        problems = [("session risen from the dead", f"{conn}: session present") for conn in self.story.risen]
        for conn, life in self.story.torn:
            if self.could_not_know(conn, life):
                self.excused["a session that its node could not know of after its start"] += 1
            elif self.was_not_told(conn, life):
                self.excused["a session that its node was not told of in 5 s"] += 1
            elif life.begin > self.story.harmed and life.home != conn.node:
                self.excused["a second session, of which not all nodes knew"] += 1
            else:
                problems.append(("session lost", f"{conn}: no session; there was {life}; "
                                 + self.story.faults.near(conn.came - 3, conn.accepted)))
        for conn in self.story.conns.values():
            if conn.reason and (conn.reason not in REFUSALS or conn.came > self.story.healed + 1):
                problems.append(("refused", f"{conn}: CONNACK {conn.reason:#x}"))
        return problems

    def check_connections(self):
        """At rest: each client that holds a connection holds one, and the nodes say so, too."""
        problems, rest = [], self.story.rest
        for name in self.story.clients:
            open_ = [c for c in self.story.conns_of(name) if c.accepted and not c.reason and c.end > self.story.rest_at]
            live = [i for i, names in enumerate(rest["live"]) for one in names if one == name]
            kept = [i for i, names in enumerate(rest["sessions"]) for one in names if one == name]
            if len(open_) != 1:
                problems.append(("not one connection", f"{name} holds {len(open_)}"))
            if len(live) != 1:
                problems.append(("not one connection", f"{name} is connected at nodes {live}"))
            if len(kept) != 1:
                problems.append(("not one session", f"{name} has sessions on nodes {kept}"))
        if not self.story.torn:
            before = self.story.begin.get("doubled", [0] * self.story.nodes)
            for i, figures in enumerate(rest["figures"]):
                known = 0 if self.story.faults.launches[i] else before[i]
                if figures["sessions/doubled"] != known:
                    problems.append(("session doubled", f"node {i}: sessions/doubled {figures['sessions/doubled']}"))
        return problems

    # -- what all nodes have --

    def check_retained(self):
        problems, writes = [], collections.defaultdict(list)
        for message in self.story.messages.values():
            if message.retain:
                writes[message.topic].append(message)
        sides = self.story.rest["retained"]
        for topic in sorted(set(writes).union(*sides)):
            have = [side.get(topic, "") for side in sides]
            if len(set(have)) > 1:
                problems.append(("retained differs", f"{topic}: {have}"))
            allowed = {w.text for w in writes[topic] if not any(
                later.sent > w.acked + STAMP_S and later.acked is not None
                for later in writes[topic] if w.acked is not None)}
            if not any(w.acked is not None for w in writes[topic]):
                allowed.add("")
            for value in sorted(set(have) - allowed):
                problems.append(("retained is an older one", f"{topic} is {value!r}, may be {sorted(allowed)}"))
        return problems

    def check_routes(self):
        problems, routes = [], self.story.rest["routes"]
        for i, figures in enumerate(self.story.rest["figures"]):
            for name in ("routes/divergence", "messages/waiting", "retained/forgotten", "routes/refused"):
                if figures[name]:
                    problems.append(("routes differ" if "routes" in name else "not at rest",
                                     f"node {i}: {name} {figures[name]}"))
            for j, theirs in enumerate(routes[i]["theirs"]):
                ours = routes[j]["ours"]
                if j != i and theirs != ours:
                    problems.append(("routes differ", f"node {i} has {theirs} of node {j}, which has {ours}"))
        return problems

    # -- Wills --

    def check_wills(self):
        problems = []
        topic = f"{self.story.begin['prefix']}/will/x"
        watchers = [life for life in self.story.lives if self.story.is_alive(life)
                    and any(matches(f, topic) for f in life.subscribed)]
        for conn in self.story.conns.values():
            if not self.story.clients[conn.client]["will"]:
                continue
            text = f"W {conn.client} {conn.number}"
            least, most, why = WillRules(self.story, conn, self.first_got(watchers, text)).bounds()
            usual = 0 if conn.how == "bye" or why == LEFT else 1
            if why and any(self.seen(life)[text] != usual for life in watchers):
                self.excused[why] += 1
            for life in watchers:
                times = self.seen(life)[text]
                if not least <= times <= most:
                    kind = "Will lost" if times < least else "Will twice" if least else "Will of one that left"
                    near = self.story.faults.near(conn.came, min(conn.end, self.story.rest_at) + 12)
                    problems.append((kind, f"{conn}, ended {conn.end:.2f} ({conn.how}, {conn.goodbye}): {times} times "
                                     f"at {life.client}; {near}"))
        return problems

    @staticmethod
    def first_got(watchers, text):
        return [e["t"] for life in watchers for e in life.events if e["e"] == "got" and e["m"] == text]

    CHECKS = {
        "what was acknowledged is delivered": "check_delivered",
        "a share group gets each message, at QoS 2 once": "check_groups",
        "once, in order and unchanged": "check_received",
        "publishers have their acknowledgements": "check_publishers",
        "sessions are there, or not, as they should be": "check_sessions",
        "each client has one connection and one session": "check_connections",
        "Wills come once": "check_wills",
        "what is retained agrees": "check_retained",
        "routes agree": "check_routes",
    }

    def run(self):
        """promise -> problems"""
        return {promise: getattr(self, check)() for promise, check in self.CHECKS.items()}


class WillRules:
    """How often the Will of a connection may come: cluster/README.md, "Wills: rules"."""

    def __init__(self, story, conn, got):
        self.story, self.faults, self.conn, self.got = story, story.faults, conn, got
        self.home = conn.life.home if conn.life and conn.life.durable else conn.node
        self.later = [c for c in story.conns_of(conn.client) if c.number > conn.number and c.accepted and not c.reason]
        self.next = min(self.later, key=lambda c: c.accepted, default=None)

    def bounds(self):
        """(at least, at most, why it is not exactly what is usual, or None)"""
        conn, faults = self.conn, self.faults
        if conn.accepted is None or conn.reason:
            return 0, 1, None
        if conn.end > self.story.rest_at:
            return 0, 0, None
        ended = min(self.ended_at_node(), self.story.rest_at)
        told = min(faults.told_at(self.home, ended), self.story.rest_at)
        killed = [t for t in faults.kills[self.home] if conn.accepted - 0.05 <= t <= told]
        alone = faults.held_dead(self.home, self.story.nodes, conn.end - 3, told)
        left = [(asked, gone) for asked, gone in self.ends_in_order()
                if conn.accepted < gone and asked - 0.1 <= ended and conn.end <= gone + 0.5]
        if conn.how == "bye":
            unheard = bool(killed) or alone or self.was_lost()
            return 0, int(unheard), "it left, and its node could not say so" if unheard else None
        if left:
            asked, gone = left[0]
            unheard = any(faults.during(key, asked, gone) for other in range(self.story.nodes) if other != self.home
                          for key in (("cut", *sorted((self.home, other))), ("down", other), ("stopped", other)))
            unsure = conn.how != "lost" or alone or unheard or self.came_again(asked - 1, gone)
            return 0, int(unsure), LEFT if unsure else None
        if killed:
            return self.of_killed(killed[0])
        if alone and conn.goodbye != 0x98:
            return 1, 2, "it ended at its node while others held that for dead: once for each end"
        if self.was_lost() and conn.goodbye != 0x98:
            return 1, 2, "it ended at its node, and came to one that had lost that: once for each end"
        return 1, 1, None

    def was_lost(self):
        """Both connections between its node, which lived, and the next one that it came to may have broken just before."""
        moved = min((c for c in self.later if c.node != self.home), key=lambda c: c.accepted, default=None)
        if not moved:
            return False
        begin, end, nodes = moved.accepted - LOST_S, moved.accepted, (self.home, moved.node)
        return bool(self.faults.during(("cut", *sorted(nodes)), begin, end)) or all(
            self.faults.during(("bitten", node), begin, end) for node in nodes)

    def ends_in_order(self):
        """When its node was asked to end, and when it had ended."""
        for asked in self.faults.terms[self.home]:
            yield asked, min((t for t in self.faults.deaths[self.home] if t >= asked), default=FOREVER)

    def ended_at_node(self):
        """When its node can have seen the end at the latest."""
        ended = self.conn.end
        if self.conn.how == "leave":
            ended = max(ended, self.next.accepted if self.next else FOREVER)
        return max([ended] + [s[1] for s in self.faults.during(("stopped", self.home), self.conn.end, ended)])

    def came_again(self, begin, end):
        return any(begin <= c.came <= end for c in self.story.conns_of(self.conn.client) if c is not self.conn)

    def of_killed(self, killed):
        least, most, why = 1, 1, None
        if killed - self.conn.accepted < DISK_S:
            least, why = 0, "its client came in the moment before its node was killed"
        elif self.next and self.next.node != self.home and killed < self.next.accepted and self.is_unfelt(killed):
            least, why = 0, "its client came to another node that had not seen its own die"
        elif self.next and self.next.node != self.home and self.next.accepted <= killed + DUE_S and any(
                killed < t <= self.next.accepted for t in self.faults.launches[self.next.node]):
            least, why = 0, "its client came to a node that had started meanwhile and did not have it"
        if self.may_be_twice(killed):
            most, why = 2, why or "a node died in the moment of publishing, or could not be heard"
        return least, most, why

    def is_unfelt(self, killed):
        """Whether that node may not have had the Will, or not seen connections end, nor held its own dead."""
        begin, end, other = killed - LINK_S, self.next.accepted, self.next.node
        if not self.had_time(other, killed):
            return True
        if end >= killed + self.held_s(killed):
            return False
        return any(self.faults.during(key, begin, end) for key in (
            ("cut", *sorted((self.home, other))), ("stopped", other), ("slow", other), ("bitten", other),
            ("slow", self.home), ("bitten", self.home)))

    def held_s(self, killed):
        others = [i for i in range(self.story.nodes) if i not in (self.home, self.next.node)]
        return HELD_BOTH_S if any(self.faults.during(("down", i), killed, killed + HELD_S) for i in others) else HELD_S

    def had_time(self, other, killed):
        """TOLD_S in one piece in which the two were linked, since that one started."""
        begin = max([self.conn.accepted] + [t for t in self.faults.launches[other] if t < killed])
        while begin + TOLD_S <= killed:
            if not self.faults.apart(self.home, other, begin - LINK_S, begin + TOLD_S):
                return True
            begin += TOLD_S / 2
        return False

    def may_be_twice(self, killed):
        others = [i for i in range(self.story.nodes) if i != self.home]
        gone = min((t for t in self.faults.deaths[self.home] if t >= killed), default=killed)
        if gone > self.conn.end + 0.2 or self.conn.how != "lost" and gone > self.conn.end - 1:
            return True  # its node published it, and died
        if self.next and self.next.node != self.home and any(
                self.next.accepted <= t + HOLD_S and self.faults.during(("stopped", self.next.node), t, t + HOLD_S)
                for t in self.faults.launches[self.home] if t > killed):
            return True  # its node could not hear that the other one had
        until = max(self.got, default=killed)
        died = [t for i in others for t in self.faults.kills[i] + self.faults.terms[i]]
        if any(abs(t - got) <= 2 for t in died for got in self.got):
            return True
        return any(self.faults.during(("cut", *pair), killed, until)
                   for pair in itertools.combinations(range(self.story.nodes), 2))


def main():
    checker = Checker(load(sys.argv[1]))
    for promise, problems in checker.run().items():
        print(f"{'FAIL' if problems else 'PASS'} {promise}")
        for kind, text in problems:
            print(f"    {kind}: {text}")
    print("not promised, and happened:", dict(checker.excused))


if __name__ == "__main__":
    main()
