"""ternmqctl trace, topics top and slow: what they show, what never shows, and that nobody is disturbed by who watches."""
import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import threading
import time

import mqtt
import scenario as s
from controlled import CTL, Controlled, ask, rows
from nodes import Nodes

SECRETS = ("geheimes wort", "geheime nachricht", "geheimer wille", "geheimer wert", "geheimer bezug")
VERSIONS = (4, mqtt.V5)
TRACES = 4


class On:
    """A broker's control socket by its path."""

    def __init__(self, path):
        self.path = path

    def talk(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.path))
        sock.settimeout(20)
        return sock


class Watch:
    """A trace by the socket itself, so that a test knows when it has begun."""

    def __init__(self, broker, **fields):
        self.sock, self.seen, self.lost = broker.talk(), [], 0
        self.answer = ask(self.sock, op="trace", **fields)
        assert self.answer["ok"], self.answer
        self.take(self.answer)

    def take(self, answer):
        assert answer["ok"], answer
        self.seen += answer["records"]
        self.lost += answer["lost"]
        self.cursor = answer.get("cursor")

    def look(self):
        """All that there is by now."""
        while True:
            answer = ask(self.sock, op="trace", cursor=self.cursor)
            self.take(answer)
            if not answer["more"]:
                return self.seen

    def until(self, count=None, **last):
        """Until there are so many records, or one with these fields."""
        def found():
            seen = self.look()
            return len(seen) >= count if count else any(has(r, **last) for r in seen)
        s.until(found, lambda: f"only {[brief(r) for r in self.seen]}")
        return self.seen

    def close(self):
        self.sock.close()


def has(record, **fields):
    return all(record.get(key) == value for key, value in fields.items())


def brief(record):
    return record["way"], record.get("type"), record.get("packet_id")


def of(records, **fields):
    return [r for r in records if has(r, **fields)]


def no_secret(text):
    for secret in SECRETS:
        assert secret not in text, f"{secret} in {text}"


# ---- Packets ----

@s.scenario
def every_packet_of_a_client_is_shown_in_both_directions():
    with Controlled() as broker:
        for version in VERSIONS:
            watch = Watch(broker, id=f"one{version}")
            will = mqtt.will_of("last/word", SECRETS[2].encode(), qos=1, retain=True)
            c = mqtt.Client(broker.address).open(f"one{version}", version, user="eve", password=SECRETS[0].encode(),
                                                 keep_alive=33, will=will)
            c.sub("a/+", qos=2)
            for qos in (0, 1, 2):
                c.pub("a/b", SECRETS[1].encode() * (qos + 1), qos=qos)
                c.msg(qos=qos)
            c.ping()
            c.unsub("a/+")
            c.bye()
            seen = watch.until(way="event")
            wanted = [("in", "CONNECT"), ("out", "CONNACK"), ("in", "SUBSCRIBE"), ("out", "SUBACK"),
                      ("in", "PUBLISH"), ("out", "PUBLISH"),
                      ("in", "PUBLISH"), ("out", "PUBLISH"), ("out", "PUBACK"), ("in", "PUBACK"),
                      ("in", "PUBLISH"), ("out", "PUBLISH"), ("out", "PUBREC"), ("in", "PUBREL"), ("out", "PUBCOMP"),
                      ("in", "PUBREC"), ("out", "PUBREL"), ("in", "PUBCOMP"),
                      ("in", "PINGREQ"), ("out", "PINGRESP"), ("in", "UNSUBSCRIBE"), ("out", "UNSUBACK"),
                      ("in", "DISCONNECT"), ("event", None)]
            got = [(r["way"], r.get("type")) for r in seen]
            # A round's acknowledgement stands before or behind what the round delivers.
            assert sorted(got, key=str) == sorted(wanted, key=str), got
            assert got[:6] == wanted[:6] and got[-6:] == wanted[-6:], got
            first = seen[0]
            assert has(first, client=f"one{version}", user="eve", version=version, keep_alive_s=33, clean=True), first
            assert has(first["will"], topic="last/word", qos=1, retain=True, bytes=len(SECRETS[2])), first
            assert abs(first["time_ms"] / 1000 - time.time()) < 60, first
            assert [r["bytes"] for r in of(seen, way="in", type="PUBLISH")] == [len(SECRETS[1]) * n for n in (1, 2, 3)]
            assert [r["qos"] for r in of(seen, way="out", type="PUBLISH")] == [0, 1, 2]
            assert {r["topic"] for r in of(seen, type="PUBLISH")} == {"a/b"}
            sub = of(seen, type="SUBSCRIBE")[0]
            assert sub["filters"][0]["filter"] == "a/+" and sub["filters"][0]["qos"] == 2, sub
            assert of(seen, type="SUBACK")[0]["reasons"] == [2]
            assert len({r["packet_id"] for r in seen if r.get("type") in ("PUBREC", "PUBREL", "PUBCOMP")}) in (1, 2)
            no_secret(json.dumps(seen))
            watch.close()


@s.scenario
def properties_aliases_and_no_secrets():
    with Controlled("max_topic_alias 10") as broker:
        watch = Watch(broker, id="five")
        c = mqtt.Client(broker.address).open("five", props={"receive_maximum": 7, "topic_alias_maximum": 5,
                                                            "session_expiry": 60, "maximum_packet_size": 50000})
        c.sub("a/#", sid=99)
        props = {"topic_alias": 3, "message_expiry": 500, "content_type": "text/x", "response_topic": "r/t",
                 "correlation_data": SECRETS[4].encode(), "user_property": [("name", SECRETS[3]), ("other", "x")]}
        c.pub("a/long/topic", SECRETS[1].encode(), props=props)
        c.pub("", b"x", props={"topic_alias": 3})
        c.msgs(2)
        seen = watch.until(8)
        connect, connack, sub, _, first, *_ = seen
        assert has(connect, receive_maximum=7, topic_alias_maximum=5, session_expiry_s=60, maximum_packet_size=50000)
        assert has(connack, reason=0, topic_alias_maximum=10, session_present=False), connack
        assert sub["subscription_ids"] == [99], sub
        assert has(first, topic="a/long/topic", topic_alias=3, message_expiry_s=500, content_type="text/x",
                   response_topic="r/t", correlation_bytes=len(SECRETS[4]), user_properties=2), first
        second = of(seen, way="in", type="PUBLISH")[1]
        assert has(second, topic="a/long/topic", topic_alias=3, bytes=1), second
        outs = of(seen, way="out", type="PUBLISH")
        assert [r["topic"] for r in outs] == ["a/long/topic"] * 2 and outs[0]["topic_alias"] == outs[1]["topic_alias"]
        assert outs[0]["subscription_ids"] == [99] and outs[0]["user_properties"] == 2, outs
        no_secret(json.dumps(seen))
        c.bye(reason=4)
        assert of(watch.until(way="event"), type="DISCONNECT")[0]["reason_text"] == "disconnect with Will"


@s.scenario
def a_refused_connect_and_a_takeover_are_shown():
    closed = Controlled()
    (closed.dir / "users").write_text("")
    closed.configure(f"allow_anonymous false\npassword_file {closed.dir}/users")
    with closed as broker:
        for version, code, text in ((4, 5, "not authorized"), (mqtt.V5, 0x87, "not authorized")):
            watch = Watch(broker, id="one")
            c = mqtt.Client(broker.address).hello("one", version, user="eve", password=SECRETS[0].encode())
            got = c.expect(mqtt.CONNACK)
            assert got.reason > 0, got
            seen = watch.until(type="CONNACK")
            assert [brief(r)[:2] for r in seen[:2]] == [("in", "CONNECT"), ("out", "CONNACK")], seen
            assert has(seen[0], user="eve", client="one") and seen[1]["client"] == "one", seen
            assert seen[1]["reason"] == got.reason and isinstance(seen[1]["reason_text"], str), (seen, code, text)
            no_secret(json.dumps(seen))
            watch.close()
    with Controlled() as broker:
        first = mqtt.Client(broker.address).open("one")
        watch = Watch(broker, id="one")
        second = mqtt.Client(broker.address).open("one")
        first.expect_closed(0x8E)
        second.ping()
        seen = watch.until(type="PINGRESP")
        assert has(of(seen, type="DISCONNECT")[0], way="out", reason=0x8E), seen
        assert of(seen, way="event") and of(seen, type="CONNECT"), seen


@s.scenario
def a_packet_in_pieces_is_one_record():
    with Controlled() as broker:
        c = mqtt.Client(broker.address).open("one")
        c.sub("a")
        watch = Watch(broker, id="one")
        packet = mqtt.publish("a", b"x" * 300, version=mqtt.V5)
        for i in range(0, len(packet), 100):
            c.send(packet[i:i + 100])
            time.sleep(0.05)
        c.msg(payload=b"x" * 300)
        c.send(mqtt.PING, mqtt.PING, mqtt.publish("a", b"y", version=mqtt.V5), mqtt.publish("a", b"z", version=mqtt.V5))
        c.recv_type(mqtt.PINGRESP)
        c.recv_type(mqtt.PINGRESP)
        c.msgs(2)
        seen = watch.until(way="out", bytes=1)
        s.until(lambda: len(watch.look()) >= 10)
        assert [brief(r)[:2] for r in seen[:2]] == [("in", "PUBLISH"), ("out", "PUBLISH")], seen
        assert len(of(seen, way="in", type="PUBLISH")) == 3 and len(of(seen, type="PINGREQ")) == 2, seen
        assert len(of(seen, way="out", type="PUBLISH")) == 3 and len(of(seen, type="PINGRESP")) == 2, seen


# ---- Topics ----

@s.scenario
def who_publishes_and_who_gets_it():
    with Controlled() as broker:
        subs = [mqtt.Client(broker.address).open(f"sub{i}", VERSIONS[i % 2]) for i in range(6)]
        for i, c in enumerate(subs):
            c.sub("a/#", qos=i % 3)
        watch = Watch(broker, filter="a/+")
        pubs = [mqtt.Client(broker.address).open(f"pub{i}", VERSIONS[i % 2]) for i in range(4)]
        for i, c in enumerate(pubs):
            c.pub("a/b", SECRETS[1].encode(), qos=i % 3)
            c.pub("other", b"", qos=1)
            c.pub("a/b/c", b"", qos=1)
        for c in subs:
            c.msgs(8)
        seen = watch.until(len(pubs) * (1 + len(subs)))
        time.sleep(0.3)
        seen = watch.look()
        assert {r["topic"] for r in seen} == {"a/b"} and {r["type"] for r in seen} == {"PUBLISH"}, seen
        assert sorted(r["client"] for r in of(seen, way="in")) == [f"pub{i}" for i in range(4)]
        outs = [r["client"] for r in of(seen, way="out")]
        assert sorted(outs) == sorted(f"sub{i}" for i in range(6) for _ in pubs), outs
        assert {r["bytes"] for r in seen} == {len(SECRETS[1])}
        no_secret(json.dumps(seen))
        # Many in one piece, which go on as they came when nobody watches.
        few = len(seen)
        pubs[0].send(*[mqtt.publish("a/b", b"%d" % i, version=4) for i in range(100)])
        for c in subs:
            for i in range(100):
                c.msg(payload=b"%d" % i)
        seen = watch.until(few + 100 * 7)
        assert len(of(seen, way="in", client="pub0")) == 101 and len(of(seen, way="out", client="sub5")) == 104
        watch.close()
        pubs[0].send(*[mqtt.publish("a/b", b"%d" % i, version=4) for i in range(100)])
        for c in subs:
            for i in range(100):
                c.msg(payload=b"%d" % i)


@s.scenario
def a_will_and_a_client_that_was_away():
    with Controlled() as broker:
        away = mqtt.Client(broker.address).open("away", props={"session_expiry": 600})
        away.sub("a/#", qos=1)
        away.bye()
        watch = Watch(broker, filter="a/#")
        will = mqtt.will_of("a/will", SECRETS[2].encode(), qos=1)
        mqtt.Client(broker.address).open("willing", will=will).drop()
        seen = watch.until(way="event")
        assert has(of(seen, way="event")[0], client="willing", topic="a/will", bytes=len(SECRETS[2])), seen
        assert not of(seen, way="out"), "nobody has it yet"
        away = mqtt.Client(broker.address).open("away", clean=False, props={"session_expiry": 600})
        away.msg(topic="a/will")
        seen = watch.until(way="out")
        assert has(of(seen, way="out")[0], client="away", topic="a/will", qos=1), seen
        no_secret(json.dumps(seen))


@s.scenario
def a_client_is_traced_where_its_session_is():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, True)
        nodes = Nodes(2)
        for i, node in enumerate(nodes.all):
            node.file.write_text(node.file.read_text() + f"control_socket {folder}/{i}\n")
        stack.enter_context(nodes)
        nodes.wait_linked()
        first = nodes.client(0, "far", clean=False, props={"session_expiry": 3600})
        first.sub("a/#", qos=1)
        first.bye()
        at_home, elsewhere = (Watch(On(folder / str(i)), id="far") for i in (0, 1))
        topic = Watch(On(folder / "0"), filter="a/#")
        with On(folder / "1").talk() as sock:  # which has been told where its session is
            s.until(lambda: ask(sock, op="client", id="far").get("node"))
        far = mqtt.Client(nodes[1].address).hello("far", clean=False, props={"session_expiry": 3600})
        far.expect(mqtt.CONNACK, reason=0, session_present=True)
        pub = nodes.client(1, "pub")
        pub.pub("a/b", SECRETS[1].encode(), qos=1)
        far.msg(topic="a/b")
        seen = at_home.until(way="in", type="PUBACK")
        assert of(seen, type="CONNECT") and of(seen, way="out", type="PUBLISH", topic="a/b"), seen
        other = elsewhere.until(way="event")
        assert "another node" in of(other, way="event")[0]["event"] and not of(other, type="PUBLISH"), other
        seen = topic.until(way="out")
        assert of(seen, way="out", client="far") and all(r["node"] for r in of(seen, way="in")), seen
        no_secret(json.dumps(at_home.seen + elsewhere.seen + topic.seen))
        for watch in (at_home, elsewhere, topic):
            watch.close()


# ---- The program ----

@contextlib.contextmanager
def tracing(broker, *args):
    program = s.Program(CTL, "--socket", broker.socket, *args)
    try:
        yield program
    finally:
        program.process.kill()


@s.scenario
def the_program_prints_until_it_is_ended():
    with Controlled() as broker:
        name = "evil\x1b[2J"
        c = mqtt.Client(broker.address).open(name, user="\x1b]0;x\x07")
        c.sub("t/\x1b[31m")
        with tracing(broker, "trace", "client", name) as program:
            ended = threading.Event()

            def chat():
                while not ended.is_set():
                    c.pub("t/\x1b[31m", SECRETS[1].encode())
                    c.msg()
                    time.sleep(0.1)
            thread = threading.Thread(target=chat)
            thread.start()
            lines = [program.line() for _ in range(10)]
            program.process.send_signal(signal.SIGINT)
            lines += program.rest()
            ended.set()
            thread.join()
            assert program.exit() == 0
        text = "\n".join(lines)
        assert "\x1b" not in text and r"t/\x1b[31m" in text and r"evil\x1b[2J" in text, text
        assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z -> \S+ PUBLISH qos=0 topic=", lines[0]) or \
            re.search(r" <- \S+ PUBLISH qos=0 topic=", lines[0]), lines[0]
        no_secret(text)
        with tracing(broker, "--json", "trace", "topic", "--count", "3", "#") as program:
            while program.process.poll() is None:
                c.pub("t/\x1b[31m", b"x")
                c.msg()
                time.sleep(0.05)
            assert program.exit() == 0
            records = [json.loads(line) for line in program.rest()]
        assert len(records) == 3 and {r["type"] for r in records} == {"PUBLISH"}, records
        start = time.monotonic()
        assert broker.done("trace", "client", "--for", "1s", "nobody") == ""
        assert 0.9 < time.monotonic() - start < 30
        for wrong in (["trace", "client"], ["trace"], ["trace", "topic", "a/#/b"], ["trace", "client", "--for", "2h", "x"],
                      ["trace", "client", "--count", "0", "x"], ["topics", "top", "--by", "size"],
                      ["topics", "top", "--prefix-levels", "201"], ["trace", "client", ""]):
            assert broker.ctl(*wrong).returncode == 2, wrong


@s.scenario
def who_does_not_fetch_loses_records_and_nobody_else_anything():
    with Controlled() as broker:
        c, d = (mqtt.Client(broker.address).open(name) for name in ("one", "two"))
        d.sub("a/#")
        watches = [Watch(broker, filter="#") for _ in range(TRACES)]
        sock = broker.talk()
        assert ask(sock, op="trace", id="x")["error"] == "busy"
        assert "4 traces" in broker.ctl("trace", "client", "x").stderr
        topic = "a/" + "t" * 900
        for _ in range(20):
            c.send(*[mqtt.publish(topic, b"x", version=mqtt.V5) for _ in range(100)])
            d.msgs(100)
        total = 2000 * 2
        for watch in watches[:2]:
            seen = watch.look()
            assert watch.lost > 0 and len(seen) + watch.lost == total, (len(seen), watch.lost)
            assert len(seen) > 200, len(seen)
        c.pub(topic, b"y")
        d.msg(payload=b"y")
        watch = watches[0]
        before = len(watch.seen)
        s.until(lambda: len(watch.look()) == before + 2)
        # Cursors are good on their connection alone, and for their trace.
        assert ask(sock, op="trace", cursor=watch.cursor)["error"] == "bad_request"
        assert ask(watch.sock, op="topics", cursor=watch.cursor)["error"] == "bad_request"
        assert ask(watch.sock, op="trace")["error"] == "bad_request"
        assert ask(watch.sock, op="trace", id="a", filter="b")["error"] == "bad_request"
        for watch in watches:
            watch.close()
        # Their places are free.
        fresh = []
        for _ in range(TRACES):
            s.until(lambda: fresh_watch(broker, fresh))
        for watch in fresh:
            watch.close()
        c.pub(topic, b"z")
        d.msg(payload=b"z")


def fresh_watch(broker, fresh):
    """One more trace, if there is a place for it."""
    try:
        fresh.append(Watch(broker, id="one"))
    except AssertionError:
        return False
    return True


@s.scenario
def killed_and_stopped_programs_end_their_traces():
    with Controlled() as broker:
        c = mqtt.Client(broker.address).open("one")
        c.sub("a")
        for round_number in range(3):
            programs = [s.Program(CTL, "--socket", broker.socket, "trace", *what)
                        for what in (["client", "one"], ["topic", "#"], ["client", "one"], ["topic", "a"])]
            waiting = set(programs)
            end = time.monotonic() + 60
            while waiting:
                assert time.monotonic() < end, "no trace has begun"
                c.pub("a", b"x")
                c.msg()
                waiting -= {p for p in waiting if not p.lines.empty()}
                time.sleep(0.05)
            for program in programs:
                program.process.send_signal(signal.SIGKILL if round_number < 2 else signal.SIGTERM)
            codes = [program.exit() for program in programs]
            assert round_number < 2 or codes == [0] * 4, codes
            fresh = []
            s.until(lambda: fresh_watch(broker, fresh))
            fresh[0].close()
        for _ in range(200):
            c.pub("a", b"x", qos=1)
            c.recv_type(mqtt.PUBLISH)


# ---- The busiest topics ----

@s.scenario
def the_busiest_topics_are_found_among_many():
    with Controlled() as broker:
        pubs = [mqtt.Client(broker.address).open(f"pub{i}") for i in range(4)]
        ended = threading.Event()

        def publish():
            """Of 2,006 topics three are busy: one by messages, one by bytes, one by its prefix."""
            n = 0
            while not ended.is_set():
                for c in pubs:
                    few = [mqtt.publish(f"noise/{(n + i) % 2000}", b"") for i in range(5)]
                    many = [mqtt.publish("busy/a", b"x")] * 40
                    c.send(*few, *many, mqtt.publish("large", b"x" * 5000), mqtt.publish(f"pre/fix/{n % 50}/x", b"xyz"))
                    n += 5
                time.sleep(0.02)
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            got = broker.json("topics", "top", "--for", "2s", "--limit", "5")
            by_bytes = broker.json("topics", "top", "--for", "2s", "--by", "bytes")
            prefixes = broker.json("topics", "top", "--for", "2s", "--prefix-levels", "1")
            text = broker.done("topics", "top", "--for", "2s")
        finally:
            ended.set()
            thread.join()
        assert got["seconds"] == 2 and len(got["topics"]) == 5, got
        first, second = got["topics"][:2]
        assert first["topic"] == "busy/a" and second["topic"] == "large", got
        assert first["messages"] > 30 * second["messages"] > 0 and first["over"] < first["messages"] / 10, got
        assert by_bytes["topics"][0]["topic"] == "large", by_bytes["topics"][:3]
        assert by_bytes["topics"][0]["bytes"] >= 5000 and len(by_bytes["topics"]) == 20
        assert [r["topic"] for r in prefixes["topics"]] == ["busy", "noise", "large", "pre"] or \
            [r["topic"] for r in prefixes["topics"]] == ["busy", "noise", "pre", "large"], prefixes
        table = rows(text)
        assert table[0][3] == "busy/a" and float(table[0][0]) > float(table[1][0]) and len(table) == 20, table
        idle = broker.done("topics", "top", "--for", "1s")
        assert rows(idle) == [], idle


# ---- Slow clients ----

@s.scenario
def the_slowest_clients_stand_first():
    with Controlled("max_queued_messages 50\nqueue_full_action drop_newest\nmax_inflight_messages 10") as broker:
        idle = mqtt.Client(broker.address).open("idle")
        idle.sub("t", qos=1)
        late = mqtt.Client(broker.address, rcvbuf=4096).open("late")
        late.sub("early", "t", qos=1)
        later = mqtt.Client(broker.address, rcvbuf=4096).open("later")
        later.sub("t", qos=1)
        c = mqtt.Client(broker.address).open("pub")
        assert rows(broker.done("slow")) == []
        c.pub("early", b"", qos=1)
        time.sleep(1)
        for _ in range(100):
            c.pub("t", b"x", qos=1)
            idle.msg(payload=b"x")

        def waits():
            got = broker.json("slow")["clients"]
            return got if [r["id"] for r in got] == ["late", "later"] else None
        first, second = s.until(waits)
        assert first["oldest_ms"] >= second["oldest_ms"] + 900 and first["inflight"] == 10, (first, second)
        assert second["queued"] == 50 and second["dropped"] == 40, second
        table = rows(broker.done("slow", "--limit", "1"))
        assert len(table) == 1 and table[0][0] == "late" and int(table[0][2]) >= 900, table
        assert [r["id"] for r in broker.json("clients", "--sort", "dropped", "--limit", "2")["clients"]][1] in ("late", "later")
        got = [later.msg(reply=True) for _ in range(60)]
        assert len(got) == 60
        s.until(lambda: [r["id"] for r in broker.json("slow")["clients"]] == ["late"])


@s.scenario
def a_client_that_does_not_read_has_output_and_drops():
    with Controlled("max_output_bytes 300000") as broker:
        reader = mqtt.Client(broker.address, rcvbuf=4096).open("deaf")
        reader.sub("t")
        c = mqtt.Client(broker.address).open("pub")
        payload = b"x" * 20000

        def slow():
            for _ in range(20):
                c.pub("t", payload)
            got = broker.json("slow")["clients"]
            return got[0] if got and got[0]["dropped"] > 0 else None
        got = s.until(slow, timeout=60)
        assert got["id"] == "deaf" and got["output_bytes"] > 0 and got["oldest_ms"] is None, got
        reader.close()


# ---- The overview ----

@s.scenario
def status_is_one_screen():
    with Controlled() as broker:
        c = mqtt.Client(broker.address).open("one")
        c.sub("a")
        ended = threading.Event()

        def chat():
            while not ended.is_set():
                c.pub("a", b"x")
                c.msg()
        thread = threading.Thread(target=chat)
        thread.start()
        text = broker.done("status")
        ended.set()
        thread.join()
        assert len(text.splitlines()) <= 24, text
        for line in (r"^listener +127\.0\.0\.1:\d+: 1 connections$", r"^clients +1 connected, \d+ sessions, 1 subs",
                     r"^messages/s +[1-9]\d* in, [1-9]\d* out$", r"^memory +\d+ MiB", r"^persistence +off$", r"^cluster +no$"):
            assert re.search(line, text, re.M), (line, text)
        assert re.search(r"^clients/connected +1$", broker.done("status", "--all"), re.M)
        assert "clients/connected" not in text


s.main()
