"""selftest.py - gives the checker histories that keep each promise, and histories that break it."""
from checker import Checker

FIGURES = ("routes/divergence", "messages/waiting", "retained/forgotten", "routes/refused", "sessions/doubled")
CASES = []


def case(name, wanted=None, excused=False):
    """wanted: the kind of problem that has to be found, and no other. excused: what is not promised is told."""
    def wrap(function):
        CASES.append((name, wanted, excused, function))
        return function
    return wrap


class Tale:
    """A history by hand. Each step takes a tenth of a second."""

    def __init__(self):
        self.t, self.events, self.conns, self.homes, self.nodes = 0.0, [], {}, {}, {}
        self.durable = {}
        self.number = 0
        self.add("round", nodes=3, seed="by hand", prefix="h", doubled=[0, 0, 0])

    def add(self, event, **fields):
        self.t = round(self.t + 0.1, 3)
        self.events.append({"t": self.t, "e": event, **fields})
        return self

    def wait(self, seconds):
        self.t += seconds
        return self

    def client(self, name, home=0, filters=(), durable=True, group=None, will=False, come=True):
        filters = [[f, 2] for f in filters]
        self.add("client", c=name, durable=durable, filters=filters, group=group, will=will)
        self.durable[name] = durable
        if come:
            self.come(name, home)
            if filters:
                self.add("suback", c=name, k=self.conns[name], filters=filters)
        return self

    def come(self, name, node, present=None, clean=None, reason=0, answer=True):
        self.number += 1
        clean = not self.durable[name] if clean is None else clean
        self.add("connect", c=name, k=self.number, node=node, clean=clean)
        if answer:
            present = (self.durable[name] and name in self.homes and not clean) if present is None else present
            self.add("connack", c=name, k=self.number, reason=reason, present=present)
        if answer and not reason:
            if not present:
                self.homes[name] = node
            self.conns[name], self.nodes[name] = self.number, node
        return self

    def end(self, name, how="lost"):
        return self.add("end", c=name, k=self.conns.pop(name), how=how)

    def send(self, name, m, topic="h/news/a", qos=1, dup=False, retain=False, empty=False, **props):
        return self.add("send", c=name, k=self.conns[name], m=m, topic=topic, qos=qos, retain=retain, dup=dup,
                        empty=empty, **props)

    def ack(self, name, m, reason=0):
        return self.add("ack", c=name, k=self.conns[name], m=m, reason=reason)

    def through(self, name, m, topic="h/news/a", qos=1, **kw):
        """Sent, and acknowledged to the end."""
        self.send(name, m, topic, qos, **kw).ack(name, m)
        return self.add("done", c=name, m=m, reason=0) if qos == 2 else self

    def got(self, name, text, qos=1, dup=False, mid=None, topic="h/news/a", **props):
        mid = mid or int(text.split()[-1])
        return self.add("got", c=name, k=self.conns[name], topic=topic, m=text, qos=qos, dup=dup, mid=mid, **props)

    def release(self, name, mid):
        return self.add("release", c=name, k=self.conns[name], mid=mid)

    def fault(self, what, **fields):
        return self.add("fault", what=what, **fields)

    def killed(self, node, for_s=1.0):
        self.fault("kill", node=node).fault("dead", node=node).wait(for_s)
        return self.fault("launch", node=node).fault("up", node=node)

    def harm(self):
        return self.add("harm")

    def heal(self):
        return self.add("healed")

    def rest(self, retained=None, **changes):
        live = [sorted(c for c in self.conns if self.place(c) == i) for i in range(3)]
        kept = [sorted(c for c in self.homes if self.place(c) == i and (self.durable[c] or c in self.conns))
                for i in range(3)]
        figures = [dict.fromkeys(FIGURES, 0) for _ in range(3)]
        routes = [{"ours": 4, "theirs": [4, 4, 4]} for _ in range(3)]
        fields = {"live": live, "sessions": kept, "retained": retained or [{}, {}, {}], "figures": figures,
                  "routes": routes}
        for name, change in changes.items():
            change(fields[name])
        return self.add("rest", **fields)

    def place(self, name):
        return self.homes[name] if self.durable[name] else self.nodes[name]


def pair(qos=1):
    """A publisher on node 0, a subscriber on node 1, faults have begun."""
    return Tale().client("p", 0).client("s", 1, ["h/news/#"]).harm()


def end(tale, **kw):
    return tale.heal().rest(**kw)


# ---- Delivery -----------------------------------------------------------------------------------------

@case("all is there")
def _():
    return end(pair().through("p", 1).got("s", "p 1").through("p", 2, qos=2).got("s", "p 2", 2).release("s", 2))


@case("QoS 1 lost", "lost")
def _():
    return end(pair().through("p", 1))


@case("QoS 2 lost", "lost")
def _():
    return end(pair().through("p", 1, qos=2))


@case("QoS 2 that has its PUBREC is acknowledged", "lost")
def _():
    return end(pair().send("p", 1, qos=2).ack("p", 1).add("done", c="p", m=1, reason=0))


@case("QoS 0 may be lost")
def _():
    return end(pair().send("p", 1, qos=0))


@case("what came only after the restart is not lost")
def _():
    return end(pair().through("p", 1).end("s").killed(1).come("s", 1).got("s", "p 1"))


@case("lost over a restart", "lost")
def _():
    return end(pair().through("p", 1).end("s").killed(1).come("s", 1))


@case("who subscribed while nodes were cut off is owed what is published at its own node", "lost")
def _():
    return end(Tale().client("p", 1).harm().fault("cut", a=0, b=1).client("s", 1, ["h/news/#"]).through("p", 1)
               .fault("mended", a=0, b=1))


@case("and not what is published elsewhere")
def _():
    return end(Tale().client("p", 0).harm().fault("cut", a=0, b=1).client("s", 1, ["h/news/#"]).through("p", 1)
               .fault("mended", a=0, b=1))


@case("but what is published after it was healed", "lost")
def _():
    return Tale().client("p", 0).harm().client("s", 1, ["h/news/#"]).heal().through("p", 1).rest()


@case("a connection without a session is owed until it ends")
def _():
    return end(Tale().client("p").client("s", 1, ["h/news/#"], durable=False).harm().through("p", 1).end("s")
               .come("s", 2).add("suback", c="s", k=3, filters=[["h/news/#", 2]]))


@case("and if it does not end", "lost")
def _():
    return end(Tale().client("p").client("s", 1, ["h/news/#"], durable=False).harm().through("p", 1))


# ---- Once, in order, unchanged ---------------------------------------------------------------------------

@case("QoS 2 twice by another packet identifier", "QoS 2 twice")
def _():
    return end(pair().through("p", 1, qos=2).got("s", "p 1", 2, mid=5).got("s", "p 1", 2, mid=6))


@case("QoS 2 again after PUBREL", "QoS 2 twice")
def _():
    return end(pair().through("p", 1, qos=2).got("s", "p 1", 2, mid=5).release("s", 5).end("s").come("s", 0)
               .got("s", "p 1", 2, mid=5, dup=True))


@case("QoS 2 repeated before PUBREL")
def _():
    return end(pair().through("p", 1, qos=2).got("s", "p 1", 2, mid=5).end("s").come("s", 0)
               .got("s", "p 1", 2, mid=5, dup=True).release("s", 5))


@case("the same without DUP", "repeated without DUP")
def _():
    return end(pair().through("p", 1, qos=2).got("s", "p 1", 2, mid=5).end("s").come("s", 0)
               .got("s", "p 1", 2, mid=5).release("s", 5))


@case("a packet identifier for two messages", "packet identifier used twice")
def _():
    return end(pair().through("p", 1, qos=2).through("p", 2, qos=2).got("s", "p 1", 2, mid=5).got("s", "p 2", 2, mid=5)
               .got("s", "p 2", 2, mid=6))


@case("QoS 0 twice", "QoS 0 twice")
def _():
    return end(pair().send("p", 1, qos=0).got("s", "p 1", 0).got("s", "p 1", 0))


@case("QoS 1 may come again")
def _():
    return end(pair().through("p", 1).got("s", "p 1").got("s", "p 1"))


@case("QoS 1 that goes back by repetition is in order")
def _():
    return end(pair().through("p", 1).through("p", 2).got("s", "p 1").got("s", "p 2").got("s", "p 1").got("s", "p 2"))


@case("who subscribes between a message and its repetition sees an order that is none")
def _():
    tale = Tale().client("p", 0).harm().send("p", 1).send("p", 2).client("s", 1, ["h/news/#"]).got("s", "p 2")
    return end(tale.send("p", 1, dup=True).send("p", 2, dup=True).got("s", "p 1").ack("p", 1).ack("p", 2))


@case("at QoS 2 there is no repetition", "out of order")
def _():
    tale = Tale().client("p", 0).harm().send("p", 1, qos=2).send("p", 2, qos=2).client("s", 1, ["h/news/#"])
    tale.got("s", "p 2", 2).got("s", "p 1", 2)
    return end(tale.ack("p", 1).ack("p", 2).add("done", c="p", m=1, reason=0).add("done", c="p", m=2, reason=0))


@case("out of order at QoS 1", "out of order")
def _():
    return end(pair().through("p", 1).through("p", 2).got("s", "p 2").got("s", "p 1"))


@case("out of order at QoS 2", "out of order")
def _():
    return end(pair().through("p", 1, qos=2).through("p", 2, qos=2).got("s", "p 2", 2).got("s", "p 1", 2))


@case("other topics have other orders")
def _():
    return end(pair().through("p", 1).through("p", 2, "h/news/b").got("s", "p 2", topic="h/news/b").got("s", "p 1"))


@case("who has no session begins anew with each connection")
def _():
    return end(Tale().client("p", 0, durable=False).client("s", 1, ["h/news/#"]).harm().through("p", 1).end("p")
               .come("p", 2).through("p", 2).got("s", "p 2").got("s", "p 1"))


@case("another QoS", "QoS changed")
def _():
    return end(pair().through("p", 1).got("s", "p 1", 0))


@case("another correlation", "properties changed")
def _():
    return end(pair().through("p", 1, mark="7").got("s", "p 1", mark="8"))


@case("an answer without its correlation", "properties changed")
def _():
    return end(pair().through("p", 1, mark="7").got("s", "p 1"))


@case("a message of nobody", "never sent")
def _():
    return end(pair().got("s", "p 77"))


@case("a topic that was not asked for", "never asked for")
def _():
    return end(pair().through("p", 1, "h/other").got("s", "p 1", topic="h/other"))


# ---- Groups, publishers ------------------------------------------------------------------------------------

def group():
    tale = Tale().client("p", 0)
    for i in range(3):
        tale.client(f"g{i}", i, ["$share/g/h/job/#"], group="g")
    return tale.harm()


@case("one member of a group")
def _():
    return end(group().through("p", 1, "h/job/x", 2).got("g1", "p 1", 2, topic="h/job/x"))


@case("no member of a group", "lost")
def _():
    return end(group().through("p", 1, "h/job/x"))


@case("two members at QoS 1")
def _():
    return end(group().through("p", 1, "h/job/x").got("g1", "p 1", topic="h/job/x").got("g2", "p 1", topic="h/job/x"))


@case("two members at QoS 2", "QoS 2 twice")
def _():
    return end(group().through("p", 1, "h/job/x", 2).got("g1", "p 1", 2, topic="h/job/x")
               .got("g2", "p 1", 2, topic="h/job/x"))


@case("no PUBACK", "no acknowledgement")
def _():
    return end(pair().send("p", 1))


@case("no PUBCOMP", "no acknowledgement")
def _():
    return end(pair().send("p", 1, qos=2).ack("p", 1).got("s", "p 1", 2))


@case("who has no session does not wait for an acknowledgement")
def _():
    return end(Tale().client("p", 0, durable=False).harm().send("p", 1).end("p").come("p", 1))


@case("a message is refused", "refused")
def _():
    return end(pair().send("p", 1).ack("p", 1, 0x97))


# ---- Sessions, connections -----------------------------------------------------------------------------------

@case("a session is gone", "session lost")
def _():
    return end(pair().end("s").come("s", 1, present=False))


@case("a session is gone from a node that could see its home since its start", "session lost")
def _():
    return end(pair().end("s").killed(2).wait(3).come("s", 2, present=False))


@case("a node that started while it was cut off could not know of it", excused=True)
def _():
    return end(pair().end("s").fault("cut", a=1, b=2).killed(2).wait(6).come("s", 2, present=False)
               .fault("mended", a=1, b=2))


@case("nor one that was not told of it in 5 s", excused=True)
def _():
    return end(pair().end("s").killed(2).wait(5).come("s", 2, present=False))


@case("one that had been told, and was cut off then, knows it", "session lost")
def _():
    return end(pair().wait(4).end("s").fault("cut", a=1, b=2).killed(2).wait(6).come("s", 2, present=False)
               .fault("mended", a=1, b=2))


@case("and so does one that the others are slow to tell", "session lost")
def _():
    return end(pair().wait(4).end("s").killed(2).wait(5).come("s", 2, present=False))


@case("but it is told in the end", "session lost")
def _():
    return end(pair().end("s").killed(2).wait(11).come("s", 2, present=False))


@case("a second session is gone from its own node", "session lost", excused=True)
def _():
    tale = pair().end("s").killed(2).wait(5).come("s", 2, present=False).end("s").wait(6)
    return end(tale.come("s", 2, present=False))


@case("then either session may be found, and what they had is not owed", excused=True)
def _():
    return end(pair().through("p", 1).end("s").fault("cut", a=1, b=2).killed(2).wait(6).come("s", 2, present=False)
               .end("s").come("s", 1, present=True).fault("mended", a=1, b=2))


@case("a clean start ends a session")
def _():
    return end(pair().through("p", 1).end("s").come("s", 1, clean=True))


@case("a session outlives a clean start", "session risen from the dead")
def _():
    return end(pair().end("s").come("s", 1, clean=True, present=True))


@case("a session that never began", "session risen from the dead")
def _():
    tale = Tale().client("s", 1, come=False)
    tale.homes["s"] = 1
    return end(tale.come("s", 1, present=True))


@case("a session cannot be reached for a while")
def _():
    return end(pair().end("s").come("s", 2, present=False, reason=0x88).come("s", 1))


@case("and not after it was healed", "refused")
def _():
    return pair().end("s").heal().wait(2).come("s", 2, present=False, reason=0x88).come("s", 1).rest()


@case("refused for no reason", "refused")
def _():
    return end(pair().end("s").come("s", 2, present=False, reason=0x87).come("s", 1))


@case("two connections, as the client sees it", "not one connection")
def _():
    return end(pair().come("s", 2))


@case("two connections, as the nodes see it", "not one connection")
def _():
    return end(pair(), live=lambda x: x[2].append("s"))


@case("no connection, as the nodes see it", "not one connection")
def _():
    return end(pair(), live=lambda x: x[1].remove("s"))


@case("two sessions", "not one session")
def _():
    return end(pair(), sessions=lambda x: x[2].append("s"))


@case("the nodes tell of a second session", "session doubled")
def _():
    return end(pair(), figures=lambda x: x[0].update({"sessions/doubled": 1}))


# ---- Retained, routes ----------------------------------------------------------------------------------------

def kept(value, *more, last=None):
    """Retained: 1 and then 2, acknowledged. more: further steps of the tale. last: what another node has."""
    tale = pair().through("p", 1, "h/kept/x", retain=True).through("p", 2, "h/kept/x", retain=True)
    for step in more:
        step(tale)
    side = {"h/kept/x": value} if value else {}
    return end(tale, retained=[side, side, side if last is None else last])


@case("the last one is retained")
def _():
    return kept("p 2")


@case("an older one is retained", "retained is an older one")
def _():
    return kept("p 1")


@case("none is retained", "retained is an older one")
def _():
    return kept("")


@case("cleared")
def _():
    return kept("", lambda tale: tale.through("p", 3, "h/kept/x", retain=True, empty=True))


@case("cleared, and there", "retained is an older one")
def _():
    return kept("p 2", lambda tale: tale.through("p", 3, "h/kept/x", retain=True, empty=True))


@case("of two at once either is retained")
def _():
    return kept("q 1", lambda tale: tale.client("q", 2).send("q", 1, "h/kept/x", retain=True)
                .send("p", 3, "h/kept/x", retain=True).ack("q", 1).ack("p", 3))


@case("nodes retain different messages", "retained differs")
def _():
    return kept("q 1", lambda tale: tale.client("q", 2).send("q", 1, "h/kept/x", retain=True)
                .send("p", 3, "h/kept/x", retain=True).ack("q", 1).ack("p", 3), last={"h/kept/x": "p 3"})


@case("what another round has cleared is back", "retained is an older one")
def _():
    return end(pair(), retained=[{"g/kept/x": "p 9"}] * 3)


@case("routes diverged", "routes differ")
def _():
    return end(pair(), figures=lambda x: x[1].update({"routes/divergence": 1}))


@case("a node has fewer routes of another one than that has", "routes differ")
def _():
    return end(pair(), routes=lambda x: x[2]["theirs"].__setitem__(0, 3))


@case("messages still wait for a node", "not at rest")
def _():
    return end(pair(), figures=lambda x: x[1].update({"messages/waiting": 2}))


# ---- Wills -------------------------------------------------------------------------------------------------------

def mortal(durable=False):
    """x, connection 2, with a Will, on node 1; watched on node 0."""
    return Tale().client("w", 0, ["h/will/#"]).client("x", 1, durable=durable, will=True).wait(2).harm()


def willed(tale, times=1, k=2):
    for n in range(times):
        tale.got("w", f"W x {k}", 2, mid=90 + n, topic=f"h/will/x/{k}").release("w", 90 + n)
    return tale


def after(tale, times, k=2):
    """The client is back, and all is at rest."""
    return end(willed(tale, times, k).wait(30).come("x", 2 if not tale.durable["x"] else 1))


@case("a Will comes")
def _():
    return after(mortal().end("x", "kill"), 1)


@case("a Will is lost", "Will lost")
def _():
    return after(mortal().end("x", "kill"), 0)


@case("a Will comes twice", "Will twice")
def _():
    return after(mortal().end("x", "kill"), 2)


@case("who left has no Will", "Will of one that left")
def _():
    return after(mortal().end("x", "bye"), 1)


@case("who is there has no Will", "Will of one that left")
def _():
    return end(willed(mortal()))


@case("a killed node's Will comes")
def _():
    return after(mortal().fault("kill", node=1).end("x").wait(12).fault("launch", node=1).fault("up", node=1), 1)


@case("a killed node's Will is lost", "Will lost")
def _():
    return after(mortal().fault("kill", node=1).end("x").wait(12).fault("launch", node=1).fault("up", node=1), 0)


@case("a killed node's Will comes twice", "Will twice")
def _():
    return after(mortal().fault("kill", node=1).end("x").wait(12).fault("launch", node=1).fault("up", node=1), 2)


@case("of a client that had just come it need not", excused=True)
def _():
    tale = Tale().client("w", 0, ["h/will/#"]).client("x", 1, durable=False, will=True).fault("kill", node=1).end("x")
    return after(tale.wait(12).fault("launch", node=1).fault("up", node=1), 0)


@case("but of one that no other node has heard of", "Will lost", excused=True)
def _():
    tale = Tale().client("w", 0, ["h/will/#"]).fault("cut", a=0, b=1).fault("cut", a=1, b=2)
    tale.client("x", 1, durable=False, will=True).wait(3).fault("kill", node=1).end("x").wait(3)
    tale.fault("launch", node=1).fault("up", node=1).fault("mended", a=0, b=1).fault("mended", a=1, b=2)
    return end(tale.wait(20).come("x", 1))


def back(tale, wait_s):
    tale = tale.fault("kill", node=1).end("x").wait(1).fault("launch", node=1).fault("up", node=1).wait(wait_s)
    return tale.come("x", 1)


@case("and of one without a session that is back at its restarted node at once", "Will lost")
def _():
    return end(back(mortal(), 1).wait(20))


@case("also before that could hear any other", "Will lost", excused=True)
def _():
    tale = back(mortal().fault("cut", a=0, b=1).fault("cut", a=1, b=2), 8).fault("mended", a=0, b=1)
    return end(tale.fault("mended", a=1, b=2).wait(20))


@case("or later", "Will lost")
def _():
    return end(back(mortal(), 8).wait(20))


@case("or has a session", "Will lost")
def _():
    return end(back(mortal(True), 1).wait(20))


def moves(wait_s, tale=None):
    tale = (tale or mortal()).fault("kill", node=1).end("x").wait(wait_s).come("x", 2).wait(12)
    return tale.fault("launch", node=1).fault("up", node=1)


@case("but of one that came elsewhere in the moment in which its node died", "Will lost")
def _():
    return end(moves(-0.25))


@case("nor of one that came to where that could not be seen", excused=True)
def _():
    return end(moves(2, mortal().fault("cut", a=1, b=2)))


@case("nor of one that came to where it was not known yet", excused=True)
def _():
    tale = Tale().client("w", 0, ["h/will/#"]).client("x", 1, durable=False, will=True).wait(2)
    tale = tale.fault("kill", node=2).wait(2).fault("launch", node=2).fault("up", node=2)
    return end(moves(8, tale))


@case("or a moment later", "Will lost")
def _():
    return end(moves(0))


@case("which is enough", None)
def _():
    return end(willed(moves(0)))


def starts_since(wait_s):
    tale = mortal().fault("kill", node=1).fault("kill", node=2).end("x").wait(8).fault("launch", node=2)
    tale = tale.fault("up", node=2).wait(wait_s).come("x", 2).wait(12)
    return end(tale.fault("launch", node=1).fault("up", node=1))


@case("nor of one that came to a node that had started since", excused=True)
def _():
    return starts_since(10)


@case("but when it was due long ago", "Will lost")
def _():
    return starts_since(20)


@case("but of one that came elsewhere when it was", "Will lost")
def _():
    tale = mortal().fault("kill", node=1).end("x").wait(8).come("x", 2).wait(4)
    return end(tale.fault("launch", node=1).fault("up", node=1))


@case("but of one that is back later", "Will lost")
def _():
    tale = mortal(True).fault("kill", node=1).end("x").wait(1).fault("launch", node=1).fault("up", node=1)
    return after(tale, 0)


@case("a node that left in order leaves none", "Will of one that left")
def _():
    return after(mortal().fault("term", node=1).end("x").fault("dead", node=1).wait(2).fault("launch", node=1)
                 .fault("up", node=1), 1)


@case("but another one that could not hear that may not know", excused=True)
def _():
    tale = mortal().fault("cut", a=1, b=2).fault("term", node=1).end("x").fault("dead", node=1)
    return after(tale.fault("mended", a=1, b=2).wait(2).fault("launch", node=1).fault("up", node=1), 1)


def alone(tale):
    return tale.fault("cut", a=0, b=1).fault("cut", a=1, b=2).wait(12)


@case("who ends at a node that is cut off may be held for dead as well", excused=True)
def _():
    return after(alone(mortal()).end("x", "kill").fault("mended", a=0, b=1).fault("mended", a=1, b=2), 2)


@case("but not if a third node hears both", "Will twice")
def _():
    return after(mortal().fault("cut", a=0, b=1).wait(12).end("x", "kill").fault("mended", a=0, b=1), 2)


def parted(how, apart_s=0.5):
    """x moves from a node that lives to one that has just lost it."""
    tale = mortal().fault("cut", a=1, b=2).wait(apart_s).fault("mended", a=1, b=2)
    return tale.end("x", how).come("x", 2).wait(12)


@case("who moves while the two nodes have lost each other may be held for gone as well", excused=True)
def _():
    return end(willed(parted("kill"), 2))


@case("also if it said that it goes", excused=True)
def _():
    return end(willed(parted("bye")))


@case("but not if they had not", "Will twice")
def _():
    return end(willed(mortal().end("x", "kill").come("x", 2).wait(12), 2))


@case("but not because its client came elsewhere when its node, which is back, published it", "Will twice")
def _():
    tale = mortal().fault("kill", node=1).end("x").wait(1).fault("launch", node=1).fault("up", node=1)
    return end(willed(tale.wait(5).come("x", 2), 2).wait(12))


@case("but where that one stood still, its node could not hear it", excused=True)
def _():
    tale = mortal().fault("kill", node=1).end("x").wait(1).come("x", 2).fault("launch", node=1).fault("up", node=1)
    return end(willed(tale.fault("stop", node=2).wait(5).fault("cont", node=2).wait(5), 2))


@case("but not where its client came there later", "Will twice")
def _():
    tale = mortal().fault("kill", node=1).end("x").wait(1).fault("launch", node=1).fault("up", node=1)
    return end(willed(tale.fault("stop", node=2).wait(4).fault("cont", node=2).wait(3).come("x", 2).wait(5), 2))


@case("nor where it did not", "Will twice")
def _():
    tale = mortal().fault("kill", node=1).end("x").wait(1).come("x", 2).fault("launch", node=1).fault("up", node=1)
    return end(willed(tale.wait(10), 2))


@case("nor where its node, which was told to die, took its time, and published it", excused=True)
def _():
    tale = mortal().fault("kill", node=1).wait(2).end("x", "kill").fault("dead", node=1).wait(1)
    return end(willed(tale.come("x", 2).fault("launch", node=1).fault("up", node=1).wait(10), 2))


@case("not three times", "Will twice", excused=True)
def _():
    return after(alone(mortal()).end("x", "kill").fault("mended", a=0, b=1).fault("mended", a=1, b=2), 3)


def run(verbose=False):
    """(passed, failed)"""
    passed = failed = 0
    for name, wanted, excused, function in CASES:
        checker = Checker(function().events)
        problems = sum(checker.run().values(), [])
        kinds = {kind for kind, _ in problems}
        good = kinds == ({wanted} if wanted else set()) and bool(checker.excused) == excused
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAIL self-test, {name}: wanted {wanted}, the checker says {problems}, "
                  f"{dict(checker.excused)}", flush=True)
        elif verbose:
            print(f"PASS self-test, {name}: {'bad, ' + wanted if wanted else 'good'}", flush=True)
    return passed, failed
