"""/livez, /readyz, /startupz and /metrics: what they say, how strictly it is written, and that nobody who comes by HTTP
disturbs MQTT."""
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker, free_port as any_port
from figures import Figures
from mqtt import CONNACK, PUBACK, PUBCOMP, PUBREC, PUBREL, V311
from stopped import Stopped

OPEN = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


# ---- HTTP ----

def taken(port):
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::", port))
        except OSError:
            return True
    return False


def free_port():
    """[::] wants it on all addresses."""
    return next(port for port in iter(any_port, None) if not taken(port))


def talk(port, data, host="127.0.0.1", timeout=30):
    """What comes back until the server closes."""
    with socket.create_connection((host, port), timeout) as sock:
        sock.sendall(data)
        out = b""
        try:
            while got := sock.recv(65536):
                out += got
        except ConnectionResetError:
            pass
        return out


def answer_of(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    assert len(headers) == len(lines) - 1, f"a header twice: {lines}"
    return int(re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", lines[0])[1]), headers, body.decode()


def get(port, path, method="GET", accept=None, **kw):
    lines = [f"{method} {path} HTTP/1.1", "Host: broker"] + ([f"Accept: {accept}"] if accept else [])
    status, headers, body = answer_of(talk(port, "\r\n".join(lines + ["", ""]).encode(), **kw))
    assert headers["connection"] == "close" and headers["cache-control"] == "no-store", headers
    if method != "HEAD":
        assert int(headers["content-length"]) == len(body.encode()), headers
    return status, headers, body


def wait_status(port, path, wanted, timeout=30):
    """The body, once the status is as wanted."""
    end = time.monotonic() + timeout
    while True:
        try:
            status, _, body = get(port, path)
            if status == wanted:
                return body
        except ConnectionRefusedError:
            status = None
        assert time.monotonic() < end, f"{path} says {status}"
        time.sleep(0.05)


class Served(Broker):
    """A broker with an HTTP listener on loopback."""

    def __init__(self, config="", **kw):
        self.http = free_port()
        super().__init__(f"http_listener {self.http}\n{config}", **kw)

    def metrics(self):
        return parse(get(self.http, "/metrics", accept=PROMETHEUS)[2], True)


# ---- A strict parser ----

LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIXES = {"counter": ["_total"], "gauge": [""], "unknown": [""], "info": ["_info"], "histogram": ["_bucket", "_sum", "_count"]}


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found and found[1] not in labels, text
        labels[found[1]] = found[2]
        at = found.end()
        if at < len(text):
            assert text[at] == "," and at + 1 < len(text), text
            at += 1
    return tuple(sorted(labels.items()))


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.unit, self.samples = name, None, None, None, 0

    def check(self, is_open):
        assert self.help and self.type and self.samples, f"{self.name} is not complete"
        if self.name.startswith(("broker_", "emqx_")):  # metrics_alias
            assert self.type in (("gauge", "unknown") if is_open else ("gauge", "counter")), self.name
            return
        assert re.fullmatch(r"ternmq_[a-z0-9_]*[a-z0-9]", self.name), self.name
        if is_open:
            assert not self.name.endswith(("_total", "_info", "_created", "_bucket", "_count", "_sum")), self.name
            unit = next((u for u in ("bytes", "seconds") if self.name.endswith("_" + u)), None)
            assert self.unit == unit, f"{self.name}: unit {self.unit}"
        else:
            assert (self.type == "counter") == self.name.endswith("_total"), self.name
            assert self.unit is None and self.type in ("counter", "gauge", "histogram"), self.name


def check_histogram(name, samples):
    """Its classes, in order."""
    counts = [(dict(labels)["le"], n) for (sample, labels), n in samples.items() if sample == name + "_bucket"]
    bounds, counts = [float(le) for le, _ in counts], [n for _, n in counts]
    assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), name
    assert counts == sorted(counts) and counts[-1] == samples[(name + "_count", ())], name
    assert (name + "_sum", ()) in samples and len(bounds) > 10, name


def parse(text, is_open):
    """Samples by (name, labels); fails on whatever the formats do not allow, and on what we do not want."""
    assert text.endswith("\n") and "\r" not in text and text.isascii()
    lines = text[:-1].split("\n")
    assert (lines[-1] == "# EOF") == is_open and lines.count("# EOF") <= 1
    families, samples, now = {}, {}, None
    for line in lines[:-1] if is_open else lines:
        if comment := re.fullmatch(r"# (HELP|TYPE|UNIT) (\S+) (\S.*)", line):
            kind, name, value = comment.groups()
            if not now or now.name != name:
                assert name not in families, f"{name} is in two places"
                now = families[name] = Family(name)
            assert now.samples == 0 and getattr(now, kind.lower()) is None, line
            setattr(now, kind.lower(), value)
            continue
        sample = re.fullmatch(r"([a-z0-9_]+)(?:\{(.+)\})? (\d+(?:\.\d{6})?)", line)
        assert sample and now and now.type, f"not a sample, or before its TYPE: {line}"
        if now.type != "histogram":
            assert ("." in sample[3]) == now.name.endswith("_lag_seconds"), line
        elif "." in sample[3]:
            assert line.startswith(now.name + "_sum ") and now.name.endswith("_seconds"), line
        aliased = now.name.startswith(("broker_", "emqx_"))
        suffixes = SUFFIXES[now.type] if (is_open and not aliased) or now.type == "histogram" else [""]
        assert sample[1] in [now.name + suffix for suffix in suffixes], f"{line} is in {now.name}"
        key = (sample[1], parse_labels(sample[2] or ""))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(sample[3]) if "." in sample[3] else int(sample[3])
        now.samples += 1
    for family in families.values():
        family.check(is_open)
        if family.type == "histogram":
            check_histogram(family.name, samples)
    return samples


# ---- Scenarios ----

@s.scenario
def each_endpoint_and_nothing_else():
    with Served() as broker:
        for path in ("/livez", "/readyz", "/startupz"):
            status, headers, body = get(broker.http, path)
            assert (status, body) == (200, "ok\n") and headers["content-type"].startswith("text/plain"), body
            status, headers, body = get(broker.http, path + "?verbose=1", "HEAD")
            assert status == 200 and body == "" and headers["content-length"] == "3"
        assert "content-length" in get(broker.http, "/metrics", "HEAD")[1]
        for path in ("/", "/metrics/", "/livez2", "/LIVEZ", "//livez", "/../livez", "/secret-name?a=b"):
            status, _, body = get(broker.http, path)
            assert status == 404 and "secret-name" not in body
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "GETX"):
            status, headers, body = get(broker.http, "/livez", method)
            assert status == 405 and headers["allow"] == "GET, HEAD", (method, status)
        with_body = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nabc"
        assert answer_of(talk(broker.http, with_body))[0] == 405


@s.scenario
def bad_requests_are_refused_and_not_repeated():
    with Served() as broker:
        for wanted, request in ((431, b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Mark: " + b"r" * 9000 + b"\r\n\r\n"),
                                (414, b"GET /" + b"r" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
                                (200, b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Mark: " + b"r" * 3000 + b"\r\n\r\n")):
            assert answer_of(talk(broker.http, request))[0] == wanted
        huge = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Mark: " + b"reflected" * 10000 + b"\r\n\r\n"
        many = b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-Mark: reflected\r\n" * 5000 + b"\r\n"
        target = b"GET /" + b"reflected" * 10000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        for request in (huge, many, target):
            with socket.create_connection(("127.0.0.1", broker.http), 30) as sock:
                try:
                    sock.sendall(request)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                try:
                    got = sock.recv(65536)
                except ConnectionResetError:  # its answer was overtaken: there is unread input
                    got = b""
            assert not got or re.match(rb"HTTP/1\.1 (400|413|414|431) ", got), got[:100]
            assert b"reflected" not in got
        answers = []
        for request in (b"\x16\x03\x01\x02\x00\x01\x00", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"GET\r\n\r\n",
                        b"GET /livez HTTP/9.9\r\n\r\n", b"reflected reflected reflected\r\n\r\n", b"\x00" * 100,
                        b"GET /livez HTTP/1.1\r\nHost: a\r\n broken\x00: reflected\r\n\r\n"):
            got = talk(broker.http, request + b"\r\n\r\n")
            assert b"reflected" not in got
            answers.append(got[:12])
        assert not any(a.startswith(b"HTTP/1.1 5") and b"505" not in a for a in answers), answers
        assert get(broker.http, "/livez")[0] == 200


@s.scenario
def only_where_it_was_asked_for():
    with Broker() as broker:
        names = [(t / "comm").read_text().strip() for t in pathlib.Path(f"/proc/{broker.pid}/task").iterdir()]
        assert "tern-http" not in names and "tern-w0" in names
    with Served() as broker:
        try:
            socket.create_connection(("127.0.0.2", broker.http), 2).close()
            raise AssertionError("it listens elsewhere than on 127.0.0.1")
        except ConnectionRefusedError:
            pass
        broker.wait_log(rf"Health and metrics on http://127\.0\.0\.1:{broker.http}\.")
    for address, hosts in (("0.0.0.0", ["127.0.0.1", "127.0.0.2"]), ("[::]", ["127.0.0.2", "::1"]), ("[::1]", ["::1"]),
                           ("localhost", ["localhost"])):
        port = free_port()
        with Broker(f"http_listener {address}:{port}"):
            for host in hosts:
                assert get(port, "/readyz", host=host)[0] == 200
    port = free_port()
    with Broker(env={"TERNMQ_HTTP_LISTENER": str(port)}):
        assert get(port, "/livez")[0] == 200


@s.scenario
def it_is_bound_before_root_is_given_up():
    assert os.geteuid() == 0
    port = next(p for p in random.sample(range(600, 1024), 400) if not taken(p))
    with Broker(f"http_listener {port}\nuser nobody") as broker:
        uids = re.search(r"^Uid:(.*)$", pathlib.Path(f"/proc/{broker.pid}/status").read_text(), re.M)[1].split()
        assert "0" not in uids and get(port, "/livez")[0] == 200
        assert ("ternmq_workers", ()) in parse(get(port, "/metrics", accept=OPEN)[2], True)


@s.scenario
def what_cannot_be_served_is_told():
    for value in ("yes", "127.0.0.1", "0", "[::1]9883"):
        broker = Broker(f"http_listener {value}").launch()
        assert broker.wait_exit() == 1
        line = broker.line_of("http_listener")
        assert re.search(rf'broker\.conf:{line}: http_listener: "{re.escape(value)}" is not \[ADDRESS:\]PORT', broker.log())
        broker.stop(clean=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        broker = Broker(f"http_listener {other.getsockname()[1]}").launch()
        assert broker.wait_exit() == 1
        assert re.search(r"Error: http_listener \d+: Address already in use", broker.log()), broker.log()
        broker.stop(clean=False)


@s.scenario
def a_reload_leaves_it_where_it_is():
    with Served() as broker:
        other = free_port()
        broker.write_config(f"http_listener {other}")
        broker.signal(signal.SIGHUP)
        broker.wait_log(r"Warning: .*http_listener cannot change while the broker runs and keeps its value")
        broker.wait_log("Config reloaded")
        assert get(broker.http, "/readyz")[0] == 200
        try:
            get(other, "/readyz")
            raise AssertionError("the new port is served, too")
        except ConnectionRefusedError:
            pass
        failed = ("ternmq_reload_failed", (("files", "config"),))
        assert broker.metrics()[failed] == 0
        broker.write_config("no_such_key 1")
        broker.signal(signal.SIGHUP)
        broker.wait_log("last good one holds")
        assert broker.metrics()[failed] == 1
        broker.write_config(f"http_listener {broker.http}")
        broker.signal(signal.SIGHUP)
        s.until(lambda: broker.metrics()[failed] == 0)


@s.scenario
def both_formats_are_strict_and_say_the_same():
    broker = Served()
    broker.write_config(f'http_listener {broker.http}\nlistener 0 {broker.dir}/a "b"\\.sock\nallow_anonymous true')
    with broker:
        status, headers, text = get(broker.http, "/metrics")
        assert status == 200 and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8", headers
        plain = parse(text, False)
        status, headers, text = get(broker.http, "/metrics", accept=PROMETHEUS)
        assert status == 200 and headers["content-type"] == OPEN + "; charset=utf-8", headers
        assert {name for name, _ in parse(text, True)} == {name for name, _ in plain} and len(plain) > 100
        assert ("ternmq_listener_connections", (("listener", f'{broker.dir}/a \\"b\\"\\\\.sock'),)) in plain
        assert get(broker.http, "/metrics", accept=OPEN)[1]["content-type"].startswith(OPEN)
        for accept in ("*/*", "text/plain", "text/plain, application/openmetrics-text;q=0.1", "application/json"):
            assert get(broker.http, "/metrics", accept=accept)[1]["content-type"].startswith("text/plain"), accept
        if promtool := shutil.which("promtool"):
            done = subprocess.run([promtool, "check", "metrics"], input=get(broker.http, "/metrics")[2], text=True,
                                  capture_output=True)
            assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


@s.scenario
def figures_move_and_agree_with_sys():
    with Served("sys_interval 1\nmessage_size_limit 1000\nqueue_full_action drop_newest\nmax_queued_messages 5") as broker:
        before = broker.metrics()
        away = mqtt.Client(broker.address).open("away", props={"session_expiry": 600})
        away.sub("queue/#", qos=1)
        away.drop()
        a = mqtt.Client(broker.address).open("a")
        a.sub("count/+", qos=1)
        a.sub("$share/g/count/shared")
        b = mqtt.Client(broker.address).open("b", V311)
        for i in range(20):
            b.pub(f"count/{i}", b"12345", 1)
            a.msg(b"12345")
        b.pub("count/kept", b"r", 1, retain=True)
        a.msg(b"r")
        for i in range(8):
            b.pub(f"queue/{i}", b"q", 1)
        c = mqtt.Client(broker.address).open("c")
        c.send(mqtt.publish("count/large", bytes(2000), 1, 1))
        assert c.recv_type(PUBACK).reason >= 0x80
        figures = Figures(broker.address)
        figures.wait("clients/connected", lambda n: n == 4)
        figures.wait("publish/messages/received", lambda n: n >= 29)
        now = broker.metrics()
        value = lambda name, **labels: now[(f"ternmq_{name}", tuple(sorted(labels.items())))]
        gained = lambda name, **labels: value(name, **labels) - before[(f"ternmq_{name}", tuple(sorted(labels.items())))]
        assert value("clients_connected") == 4 and value("sessions") == 5
        assert gained("messages_received_total") == 30 and gained("message_received_bytes_total") == 2000 + 100 + 1 + 8
        assert gained("messages_dropped_total", reason="queue_full") == 3
        assert gained("messages_dropped_total", reason="too_large") == 1
        assert value("queued_messages") == 5 and value("subscriptions") == 3 and value("shared_subscriptions") == 1
        assert gained("received_bytes_total") > 2000 and gained("sent_bytes_total") > 400
        assert value("memory_bytes") > 0 and value("memory_limit_bytes") > value("memory_bytes")
        assert value("build_info", version=re.search("[0-9.]+", figures.now["version"])[0]) == 1
        assert gained("worker_tick_duration_seconds_count") > 20
        assert value("io_backend", backend="io_uring") + value("io_backend", backend="epoll") == 1
        assert value("io_backend", backend=figures.now["io/backend"]) == 1
        assert abs(value("start_time_seconds") - time.time()) < 60
        here = {"listener": f"127.0.0.1:{broker.listens_on}"}
        assert value("listener_connections", **here) == 4 and gained("listener_connections_opened_total", **here) == 5
        for name in ("received_bytes_total", "sent_bytes_total"):
            assert value("listener_" + name, **here) == value(name), "there is one listener"
        assert value("publish_acknowledge_duration_seconds_count") >= 1, "the first one is timed"
        for name, topic in (("sessions", "clients/total"), ("clients_connected", "clients/connected"),
                            ("subscriptions", "subscriptions/count"), ("retained_messages", "retained messages/count"),
                            ("messages_received_total", "publish/messages/received"),
                            ("governor_level", "governor/level"), ("reload_failed", "config/reload failed")):
            wanted = value(name, files="config") if name == "reload_failed" else value(name)
            figures.wait(topic, lambda n: n == wanted)
        dropped = sum(n for (name, labels), n in now.items() if name == "ternmq_messages_dropped_total")
        figures.wait("publish/messages/dropped", lambda n: n == dropped)


@s.scenario
def a_sample_of_messages_is_timed():
    with Served("persistence true\nworkers 2") as broker:
        subs = [mqtt.Client(broker.address).open(f"s{i}", props={"session_expiry": 600}) for i in range(4)]
        for sub in subs:
            sub.sub("t", qos=1)
        time.sleep(2.2)  # who has just come is not counted: he may have been away
        a = mqtt.Client(broker.address).open("a")
        a.pub("t", b"x", 1)
        for sub in subs:
            sub.msg(b"x")
        count = lambda name: broker.metrics()[(f"ternmq_{name}_count", ())]
        assert count("publish_acknowledge_duration_seconds") == 1
        assert count("publish_deliver_duration_seconds") == 4
        assert count("store_commit_records") == count("store_commit_duration_seconds") >= 1


@s.scenario
def what_a_listener_refuses_is_its_own():
    with Served("max_connections 2") as broker:
        clients = [mqtt.Client(broker.address).open(f"c{i}") for i in range(2)]
        refused = ("ternmq_listener_connections_refused_total", (("listener", f"127.0.0.1:{broker.listens_on}"),))
        assert broker.metrics()[refused] == 0
        with socket.create_connection(broker.address, 30) as sock:
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
        s.until(lambda: broker.metrics()[refused] == 1)
        for client in clients:
            client.close()


def at_listeners(broker, name, *ports, **labels):
    """A figure of each of these listeners."""
    now = broker.metrics()
    return [now[(f"ternmq_listener_{name}_total", tuple(sorted({"listener": f"127.0.0.1:{port}", **labels}.items())))]
            for port in ports]


def carry(publisher, subscribers, qos, count):
    """Half of them in one piece, half one by one; all of them to all."""
    for i in range(count // 2):
        publisher.pub("t", str(i), qos)
    publisher.send(*(mqtt.publish("t", str(i), qos, 1000 + i, version=publisher.version) for i in range(count // 2, count)))
    for i in range(count // 2, count if qos else 0):
        publisher.check(publisher.recv_type(PUBACK if qos == 1 else PUBREC), dict(mid=1000 + i, reason=0))
        if qos == 2:
            publisher.send(mqtt.ack(PUBREL, 1000 + i))
            publisher.check(publisher.recv_type(PUBCOMP), dict(mid=1000 + i, reason=0))
    for subscriber in subscribers:
        for i in range(count):
            subscriber.msg(str(i), qos=qos)


@s.scenario
def messages_of_two_listeners_are_told_apart():
    other = free_port()
    with Served(f"workers 2\nlistener {other} 127.0.0.1") as broker:
        here, there = broker.address, ("127.0.0.1", other)
        ports = broker.listens_on, other
        p, q = mqtt.Client(here).open("p"), mqtt.Client(there).open("q", V311)
        subs = [mqtt.Client(address).open(name, version) for address, name, version in
                ((here, "s1", mqtt.V5), (there, "s2", V311), (there, "s3", mqtt.V5))]
        for sub in subs:
            sub.sub("t", qos=2)
        received, sent = [0, 0], [0, 0]
        for qos, count in ((0, 300), (1, 40), (2, 20)):
            for publisher in p, q:
                carry(publisher, subs, qos, count)
                received[publisher is q] += count
                sent = [sent[0] + count, sent[1] + 2 * count]
                assert at_listeners(broker, "messages_received", *ports) == received, (qos, received)
                assert at_listeners(broker, "messages_sent", *ports) == sent, (qos, sent)
        now = broker.metrics()
        for name, wanted in (("received", received), ("sent", sent)):
            assert now[(f"ternmq_messages_{name}_total", ())] == sum(wanted), name
        assert not any(n for (name, _), n in now.items() if name == "ternmq_listener_messages_dropped_total")


@s.scenario
def what_is_dropped_is_told_of_its_listener_alone():
    other = free_port()
    with Served(f"workers 2\nmessage_size_limit 1000\nqueue_full_action drop_newest\nmax_queued_messages 5\n"
                f"listener {other} 127.0.0.1") as broker:
        here, there = broker.address, ("127.0.0.1", other)
        ports = broker.listens_on, other
        drops = lambda reason: at_listeners(broker, "messages_dropped", *ports, reason=reason)
        p = mqtt.Client(here).open("p", V311)
        small = mqtt.Client(there).open("small", props={"maximum_packet_size": 100})
        small.sub("large", qos=1)
        away = mqtt.Client(there).open("away", props={"session_expiry": 600})
        away.sub("queue", qos=1)
        away.drop()
        s.until(lambda: broker.metrics()[("ternmq_clients_connected", ())] == 2)
        p.pub("large", bytes(500), 1)
        assert drops("too_large") == [0, 1], "it went to a client of the other one"
        for i in range(8):
            p.pub("queue", b"q", 1)
        s.until(lambda: drops("queue_full") == [0, 3])
        p.pub("queue", b"q", 0)
        s.until(lambda: drops("offline_qos0") == [0, 1])
        p.pub("t", bytes(2000), 1)
        assert drops("too_large") == [1, 1], "it came by this one"
        now, sums = broker.metrics(), {}
        for (name, labels), n in now.items():
            if name == "ternmq_listener_messages_dropped_total":
                reason = dict(labels)["reason"]
                sums[reason] = sums.get(reason, 0) + n
        assert len(sums) == 11 and {reason: n for reason, n in sums.items() if n} == {"too_large": 2, "queue_full": 3, "offline_qos0": 1}
        for reason, n in sums.items():
            assert now[("ternmq_messages_dropped_total", (("reason", reason),))] == n, reason


@s.scenario
def names_that_other_dashboards_know():
    with Served("metrics_alias both") as broker:
        a = mqtt.Client(broker.address).open("a")
        a.pub("t", b"x", 1)
        for samples in (broker.metrics(), parse(get(broker.http, "/metrics")[2], False)):
            value = lambda name: samples[(name, ())]
            assert value("broker_clients_connected") == value("emqx_connections_count") == 1
            assert value("broker_publish_messages_received") == value("emqx_messages_received") == 1
    with Served("metrics_alias mosquitto") as broker:
        names = {name for name, _ in broker.metrics()}
        assert "broker_clients_connected" in names and not any(name.startswith("emqx_") for name in names)
        # They are made of the topics, as the exporter makes them.
        client = mqtt.Client(broker.address).open("a")
        client.sub("$SYS/broker/#")
        topics, wanted = set(), {name for name in names if name.startswith("broker_")}
        end = time.monotonic() + 60
        while not wanted <= topics:
            assert time.monotonic() < end, f"no topics for {wanted - topics}"
            topics.add(re.sub("[/ ]", "_", client.msg().topic.removeprefix("$SYS/")))


def sessions_without_connection(broker, count, at_once=250):
    for first in range(0, count, at_once):
        clients = [mqtt.Client(broker.address).hello(f"away-{i}", props={"session_expiry": 3600})
                   for i in range(first, min(first + at_once, count))]
        for client in clients:
            client.expect(CONNACK, reason=0)
            client.drop()


@s.scenario
def the_price_of_a_scrape_does_not_grow_with_the_clients():
    with Served() as broker:
        few = len(get(broker.http, "/metrics")[2])
        sessions_without_connection(broker, 15000)
        s.until(lambda: broker.metrics()[("ternmq_clients_connected", ())] == 0, 60)
        assert broker.metrics()[("ternmq_sessions", ())] == 15000
        assert len(get(broker.http, "/metrics")[2]) < few + 200, "there are figures of single sessions"
        clients = [mqtt.Client(broker.address).open(f"c{i}") for i in range(300)]
        assert broker.metrics()[("ternmq_clients_connected", ())] == 300
        assert len(get(broker.http, "/metrics")[2]) < few + 200, "there are figures of single clients"
        for client in clients:
            client.close()


@s.scenario
def those_who_come_by_http_disturb_nobody():
    with Served() as broker:
        a, b = mqtt.Client(broker.address).open("a"), mqtt.Client(broker.address).open("b")
        a.sub("t", qos=1)
        idle = [socket.create_connection(("127.0.0.1", broker.http), 10) for _ in range(200)]
        begin, took = time.monotonic(), []
        for i in range(300):
            sent = time.monotonic()
            b.pub("t", b"%d" % i, 1)
            a.msg(b"%d" % i)
            took.append(time.monotonic() - sent)
            if i % 30 == 0:
                assert get(broker.http, "/livez", timeout=6)[0] == 200, "the oldest make room for those who come"
        assert sorted(took)[-4] < 1, sorted(took)[-9:]  # a busy machine alone takes longer now and then
        drip = socket.create_connection(("127.0.0.1", broker.http), 10)
        drip.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        dripped = time.monotonic()
        for sock in idle:  # a time-out means that one is still there
            sock.settimeout(max(0.1, begin + 40 - time.monotonic()))
            try:
                while sock.recv(1000):
                    pass
            except ConnectionResetError:
                pass
        try:
            while time.monotonic() < dripped + 40:
                drip.sendall(b"x")
                time.sleep(0.2)
            raise AssertionError("a byte now and then holds a connection for ever")
        except (BrokenPipeError, ConnectionResetError):
            assert time.monotonic() - dripped > 5
        for _ in range(500):
            assert get(broker.http, "/metrics")[0] == 200
        b.pub("t", b"after", 1)
        a.msg(b"after")


@s.scenario
def a_worker_that_hangs_is_found():
    with Served("workers 2") as broker:
        with Stopped(broker.pid, "tern-w1"):
            assert get(broker.http, "/livez")[0] == 200, "it may have been asleep"
            body = wait_status(broker.http, "/livez", 503)
            assert re.fullmatch(r"worker 1 hangs for 1\d s\n", body), body
            assert get(broker.http, "/readyz")[0] == get(broker.http, "/startupz")[0] == 200, "that is livez's affair"
            assert get(broker.http, "/metrics")[0] == 200
        assert wait_status(broker.http, "/livez", 200) == "ok\n"


@s.scenario
def a_broker_that_idles_is_alive():
    with Served("workers 3\nsys_interval 0") as broker:
        time.sleep(14)  # no mail, no timers: workers 1 and 2 would sleep for ever
        assert get(broker.http, "/livez")[0] == 200, get(broker.http, "/livez")


@s.scenario
def not_ready_while_memory_is_out():
    with Served("memory_limit 8000000\nsys_interval 1\nworkers 2") as broker:
        filler = mqtt.Client(broker.address, timeout=20).open("filler", keep_alive=0)

        def fill(number, payload):
            filler.send(mqtt.publish(f"fill/{number}", payload, 1, 1, retain=True))
            return filler.recv_type(PUBACK).reason
        level = lambda: broker.metrics()[("ternmq_governor_level", ())]
        count = 0
        while level() < 4:
            fill(count, bytes(100_000))
            count += 1
            assert count < 300
            assert get(broker.http, "/livez")[0] == 200
        body = wait_status(broker.http, "/readyz", 503)
        assert "memory_limit is reached" in body, body
        probe = mqtt.Client(broker.address).hello("new", mqtt.V5)
        assert probe.recv_type(CONNACK).reason == 0x89
        probe.close()
        assert broker.metrics()[("ternmq_refusals_total", (("reason", "memory"),))] >= 1
        assert get(broker.http, "/livez")[0] == get(broker.http, "/startupz")[0] == 200
        for number in range(count):
            fill(number, b"")
        assert wait_status(broker.http, "/readyz", 200) == "ok\n"


@s.scenario
def ready_when_clients_are_served_and_not_while_it_ends():
    broker = Served().launch()
    wait_status(broker.http, "/readyz", 200)
    client = mqtt.Client(broker.address).open("first")
    assert get(broker.http, "/startupz")[0] == 200
    broker.signal(signal.SIGTERM)
    seen = set()
    try:
        while True:
            ready, live, started = (get(broker.http, path) for path in ("/readyz", "/livez", "/startupz"))
            seen.add((ready[0], ready[2]))
            assert live[0] == started[0] == 200
            if ready[0] == 503:
                assert get(broker.http, "/metrics")[0] == 503
    except (ConnectionError, TypeError, IndexError):  # it has ended, maybe within an answer
        pass
    assert (503, "the broker is ending\n") in seen, seen
    client.close()
    assert broker.wait_exit() == 0
    broker.stop(clean=False)


s.main()
