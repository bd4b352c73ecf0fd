"""ternmqctl and the control socket: what they tell, what they do, who may use them, and that nobody who comes by that
socket disturbs MQTT."""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

import mqtt
import scenario as s
from broker import Broker, binary
from controlled import CTL, Controlled, ask, lines_of, rows
from nodes import Nodes

SESSIONS = 5000
EXPIRY = {"session_expiry": 3600}


def raise_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- What it tells ----

@s.scenario
def status_and_one_client():
    with Controlled("max_keepalive 0") as broker:
        assert stat.S_IMODE(broker.socket.stat().st_mode) == 0o600
        will = mqtt.will_of("last/word", b"secret payload", qos=1, retain=True, props={"will_delay": 7})
        c = mqtt.Client(broker.address).open("one", user="eve", password=b"secret password", keep_alive=33,
                                             props=EXPIRY, will=will)
        c.sub("a/+", qos=1, no_local=True)
        c.sub("$share/group/b/#", qos=2, sid=77)
        got = broker.json("status")
        assert got["ok"] and got["workers"] == 2 and got["pid"] == broker.pid and got["figures"]["clients/connected"] == 1
        assert got["version"] in s.run(binary(), "--version")[1] and got["io"] in ("io_uring", "epoll")
        text = broker.done("status", "--all")
        assert re.search(r"^workers +2$", text, re.M) and re.search(r"^clients/connected +1$", text, re.M), text
        everything = broker.done("client", "one") + json.dumps(broker.json("client", "one")) + broker.done("clients")
        assert "secret" not in everything, everything
        one = broker.json("client", "one")
        client, subs = one["client"], one["subscriptions"]
        ours = c.sock.getsockname()
        want = {"id": "one", "user": "eve", "connected": True, "version": "5", "keep_alive_s": 33, "session_expiry_s": 3600,
                "inflight": 0, "queued": 0, "subscriptions": 2, "listener": f"127.0.0.1:{broker.listens_on}",
                "will": {"topic": "last/word", "qos": 1, "retain": True, "delay_s": 7}}
        assert {k: client[k] for k in want} == want, client
        assert abs(client["connected_since"] - time.time()) < 60, client
        if ours[0] == "127.0.0.1":
            assert client["address"] == f"{ours[0]}:{ours[1]}", client
        assert sorted((x["filter"], x["share"], x["qos"], x["no_local"], x["subscription_id"]) for x in subs) == \
            [("a/+", None, 1, True, None), ("b/#", "group", 2, False, 77)], subs
        c.drop()
        s.until(lambda: not broker.json("client", "one")["client"]["connected"])
        away = broker.json("client", "one")["client"]
        assert "address" not in away and 3500 < away["expires_in_s"] <= 3600 and away["will"]["topic"] == "last/word"
        assert rows(broker.done("clients")) == [] and broker.json("clients", "--all")["clients"][0]["id"] == "one"
        assert "expires in" in broker.done("client", "one")
        assert "no such client" in broker.ctl("client", "two").stderr
        broker.done("client", "two", code=1)


@s.scenario
def what_clients_choose_harms_no_terminal():
    with Controlled() as broker:
        name = "evil\x1b[2J\u202e\\"
        c = mqtt.Client(broker.address).open(name, user="\x1b]0;x\x07")
        c.sub("t/\x1b[31m")
        c.pub("r/\x1b[31m\x7f", b"\x1b", 1, retain=True)
        for args in (["clients"], ["client", name], ["subscriptions"], ["retained", "ls"]):
            text = broker.done(*args)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text) and "\\x1b" in text, (args, text)
        assert "evil\\x1b[2J\\u202e\\\\" in broker.done("clients")
        assert broker.json("clients")["clients"][0]["id"] == name
        text = broker.ctl("retained", "rm", "\x1b/#").stderr
        assert "\x1b" not in text, text
        c.ping()


@s.scenario
def five_thousand_sessions_come_in_pages():
    raise_descriptors()
    with Controlled("max_queued_messages 10") as broker:
        away = mqtt.Client(broker.address)
        clients = []
        for i in range(SESSIONS):
            c = mqtt.Client(broker.address)
            clients.append(c.hello(f"s{i}", mqtt.V5, props=EXPIRY))
            c.send(mqtt.subscribe(1, [(f"f/{i}", 1)]))
        for c in clients:
            c.expect(mqtt.CONNACK, reason=0)
            c.expect(mqtt.SUBACK)
        away.close()
        got = broker.json("clients")["clients"]
        ids = [x["id"] for x in got]
        assert len(ids) == SESSIONS and len(set(ids)) == SESSIONS
        for c in clients[1000:]:
            c.drop()
        s.until(lambda: broker.json("status")["figures"]["clients/connected"] == 1000)
        assert len(broker.json("clients")["clients"]) == 1000
        assert len({x["id"] for x in broker.json("clients", "--all")["clients"]}) == SESSIONS
        assert sorted(x["id"] for x in broker.json("clients", "--all", "--filter", "s499")["clients"]) == \
            ["s499"] + [f"s499{i}" for i in range(10)]
        assert len(rows(broker.done("clients", "--limit", "777"))) == 777
        subs = broker.json("subscriptions")["subscriptions"]
        assert sorted(x["filter"] for x in subs) == sorted(f"f/{i}" for i in range(SESSIONS))
        assert [x["id"] for x in broker.json("subscriptions", "f/4321")["subscriptions"]] == ["s4321"]
        assert len(broker.json("subscriptions", "--limit", "1234", "f/+")["subscriptions"]) == 1234
        assert broker.json("subscriptions", "g/#")["subscriptions"] == []
        assert [x["filter"] for x in broker.json("subscriptions", "--client", "s7")["subscriptions"]] == ["f/7"]
        # Pages as they are: small, and each session once.
        with broker.talk() as sock:
            seen, cursor, pages = [], {}, 0
            while True:
                page = ask(sock, op="clients", away=True, limit=100, **cursor)
                assert page["ok"] and len(page["clients"]) < 130, page
                seen += [x["id"] for x in page["clients"]]
                pages += 1
                if "cursor" not in page:
                    break
                cursor = {"cursor": page["cursor"]}
        assert sorted(seen) == sorted(f"s{i}" for i in range(SESSIONS)) and pages > 40
        clients[0].ping()


@s.scenario
def clients_in_an_order():
    with Controlled() as broker:
        ids = [f"c{i:02}" for i in range(40)]
        clients = {}
        for i in sorted(ids, key=lambda x: hash(x)):
            clients[i] = mqtt.Client(broker.address).open(i, props=EXPIRY)
        for n, i in enumerate(ids):
            if n % 4 == 0:
                clients[i].sub("all/#")
            for k in range(n % 7):
                clients[i].pub(f"own/{i}", b"x", 1)
                if k % 2 == 0:
                    clients[i].sub(f"other/{k}")
        clients["c05"].pub("all/x", b"x", 1)
        for i in ids[::4]:
            clients[i].msg(b"x")

        def listed(key, *args):
            rows = broker.json("clients", "--sort", key, *args)["clients"]
            return [r["id"] for r in rows], rows
        assert listed("id")[0] == ids
        got, all_rows = listed("in")
        assert got[0] in ids and [r["messages_in"] for r in all_rows] == sorted((r["messages_in"] for r in all_rows), reverse=True)
        want = {i: n % 7 + (i == "c05") for n, i in enumerate(ids)}
        assert {r["id"]: r["messages_in"] for r in all_rows} == want
        assert got == sorted(ids, key=lambda i: (-want[i], i))
        got, all_rows = listed("out", "--limit", "12")
        assert got[:10] == ids[::4] and [r["messages_out"] for r in all_rows] == [1] * 10 + [0] * 2
        assert listed("subs")[0][:2] == ["c12", "c20"] and listed("id", "--limit", "3")[0] == ids[:3]
        assert listed("id", "--filter", "c1", "--limit", "4")[0] == ids[10:14]
        assert [row[0] for row in rows(broker.done("clients", "--sort", "id", "--limit", "5"))] == ids[:5]
        # What waits, of clients that are away.
        for i in ("c04", "c08"):
            clients[i].unsub("all/#")
            clients[i].sub(f"away/{i}", qos=1)
            clients[i].drop()
        s.until(lambda: broker.json("status")["figures"]["clients/connected"] == 38)
        for _ in range(3):
            clients["c05"].pub("away/c08", b"x", 1)
        clients["c05"].pub("away/c04", b"x", 1)
        got, all_rows = listed("queue", "--all", "--limit", "3")
        assert got == ["c08", "c04", "c00"] and [r["queued"] for r in all_rows] == [3, 1, 0], all_rows
        assert set(listed("connected", "--all")[0][-2:]) == {"c04", "c08"}


@s.scenario
def lists_go_on_while_clients_come_and_go():
    with Controlled() as broker:
        stay = [mqtt.Client(broker.address).open(f"stay{i}") for i in range(100)]
        stop = threading.Event()

        def churn():
            n = 0
            while not stop.is_set():
                n += 1
                c = mqtt.Client(broker.address).open(f"churn{n}")
                c.sub(f"c/{n}")
                c.drop()
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(10):
                ids = [x["id"] for x in broker.json("clients")["clients"]]
                assert sum(i.startswith("stay") for i in ids) == 100 and len(ids) == len(set(ids))
        finally:
            stop.set()
            thread.join()
        stay[0].ping()


# ---- What it does ----

@s.scenario
def a_kick_is_told_and_ends():
    with Controlled() as broker:
        five = mqtt.Client(broker.address).open("five", props=EXPIRY, will=mqtt.will_of("will", b"five is gone"))
        four = mqtt.Client(broker.address).open("four", mqtt.V311, clean=False)
        watch = mqtt.Client(broker.address).open("watch")
        watch.sub("will")
        assert "Disconnected" in broker.done("kick", "five")
        five.expect_closed(0x98)
        watch.msg(b"five is gone")
        assert broker.json("kick", "four")["client"]["version"] == "3.1.1"
        assert four.raw_until_closed() == b"", "before MQTT 5 nothing is said"
        for name in ("five", "four"):
            s.until(lambda: not broker.json("client", name)["client"]["connected"])
            got = broker.ctl("kick", name)
            assert got.returncode == 1 and "not connected" in got.stderr, got
        got = broker.ctl("kick", "nobody")
        assert got.returncode == 1 and "no such client" in got.stderr, got
        again = mqtt.Client(broker.address).open("five", clean=False, props=EXPIRY)
        assert again.connack.session_present
        watch.ping()


@s.scenario
def retained_messages_are_listed_and_removed():
    with Controlled("persistence true") as broker:
        c = mqtt.Client(broker.address).open("c")
        for i in range(1500):
            c.pub(f"r/{i % 3}/{i}", b"payload %d" % i, 0, retain=True)
        c.pub("expires", b"x", 1, retain=True, props={"message_expiry": 100})
        got = broker.json("retained", "ls")["retained"]
        assert len(got) == 1501 and "payload" not in json.dumps(got)
        one = next(x for x in got if x["topic"] == "expires")
        assert one["bytes"] == 1 and 40 < one["expires_in_s"] <= 100 and one["qos"] == 1
        assert {x["topic"] for x in broker.json("retained", "ls", "r/1/#")["retained"]} == \
            {f"r/1/{i}" for i in range(1500) if i % 3 == 1}
        assert len(rows(broker.done("retained", "ls", "--limit", "10"))) == 10
        assert any(x["topic"] == "$SYS/broker/version" for x in broker.json("retained", "ls", "$SYS/#")["retained"])
        watch = mqtt.Client(broker.address).open("watch")
        watch.sub("r/1/1", rh=2)
        assert broker.json("retained", "rm", "r/1/#") == {"removed": 500, "reserved": 0}
        assert broker.json("retained", "rm", "r/2/2") == {"removed": 1, "reserved": 0}
        broker.done("retained", "rm", "r/1/#", code=1)
        got = broker.ctl("retained", "rm", "$SYS/#")
        assert got.returncode == 1 and "the broker's own" in got.stderr, got
        assert len(broker.json("retained", "ls")["retained"]) == 1000
        watch.expect_nothing()
        # They are gone from the disk as well.
        c.pub("expires", b"x", 1, retain=True)  # what is acknowledged is there
        time.sleep(0.3)
        broker.process.kill()
        broker.process.wait()
        broker.start()
        assert len(broker.json("retained", "ls")["retained"]) == 1000


@s.scenario
def a_copy_under_load_has_all_that_was_acknowledged():
    config = "persistence true\nmax_queued_messages 0\nmax_queued_bytes 0"
    with Controlled(config) as broker:
        away = mqtt.Client(broker.address).open("away", clean=False, props=EXPIRY)
        away.sub("t", qos=1)
        away.drop()
        sent, stop = [], threading.Event()

        def load():
            c = mqtt.Client(broker.address).open("load")
            while not stop.is_set():
                c.pub("t", b"%d" % len(sent), 1)  # waits for its PUBACK
                sent.append(len(sent))
        thread = threading.Thread(target=load)
        thread.start()
        try:
            s.until(lambda: len(sent) > 300)
            before = len(sent)
            copy = broker.dir / "copies" / "first"
            assert broker.done("backup", "copies/first/").strip() == str(copy)
            during = len(sent)
            s.until(lambda: len(sent) > during + 100)  # it goes on
        finally:
            stop.set()
            thread.join()
        for folder, _, files in os.walk(copy):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
            for name in files:
                assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600, name
        got = broker.ctl("backup", "copies/first")
        assert got.returncode == 1 and "there already" in got.stderr, got
        got = broker.ctl("backup", "--force", "ternmq.db")
        assert got.returncode == 1 and "has that store open" in got.stderr, got
        (broker.dir / "file").write_text("mine")
        got = broker.ctl("backup", "--force", "file")
        assert got.returncode == 1 and (broker.dir / "file").read_text() == "mine", got
        broker.done("backup", "--force", "copies/first")
        got = broker.ctl("backup", "/proc/none/copy")
        assert got.returncode == 1 and got.stderr.startswith("Error: /proc/none/copy: "), got
        second = Controlled(config + f"\npersistence_location {copy.parent}\npersistence_file first")
        with second:
            heir = mqtt.Client(second.address).open("away", clean=False, props=EXPIRY)
            assert heir.connack.session_present and before > 300
            for i in range(len(sent)):
                heir.msg(b"%d" % i)
            # A broker has it open: not even with --force.
            got = broker.ctl("backup", "--force", "copies/first")
            assert got.returncode == 1 and "has that store open" in got.stderr, got
        mqtt.Client(broker.address).open("still here").ping()


@s.scenario
def the_first_copy_alone_has_what_was_acknowledged_before_it():
    with Controlled("persistence true\nmax_queued_messages 0") as broker:
        away = mqtt.Client(broker.address).open("away", clean=False, props=EXPIRY)
        away.sub("t", qos=1)
        away.drop()
        c = mqtt.Client(broker.address).open("c")
        stop = threading.Event()
        noise = threading.Thread(target=lambda: publish_until(broker, stop))
        noise.start()
        try:
            for i in range(500):
                c.pub("t", b"%d" % i, 1)
            broker.done("backup", "copy")
        finally:
            stop.set()
            noise.join()
        broker.process.kill()
        broker.process.wait()
        shutil.rmtree(broker.dir / "ternmq.db")
        (broker.dir / "copy").rename(broker.dir / "ternmq.db")
        broker.start()
        heir = mqtt.Client(broker.address).open("away", clean=False, props=EXPIRY)
        for i in range(500):
            heir.msg(b"%d" % i)


def publish_until(broker, stop):
    c = mqtt.Client(broker.address).open("noise")
    while not stop.is_set():
        c.pub("noise", b"x" * 1000, 1, retain=True)


@s.scenario
def without_a_store_there_is_nothing_to_copy():
    with Controlled() as broker:
        got = broker.ctl("backup", "copy")
        assert got.returncode == 1 and "persistence is off" in got.stderr and not (broker.dir / "copy").exists(), got


@s.scenario
def reload_says_what_came_of_it():
    with Controlled("max_keepalive 600") as broker:
        broker.configure("max_keepalive 300")
        assert broker.done("reload").startswith("OK")
        assert mqtt.Client(broker.address).open("a", keep_alive=0).connack.props["server_keep_alive"] == 300
        broker.configure("max_keepalive 100\nmax_keepalife 1\nmax_qos 7")
        got = broker.ctl("reload")
        assert got.returncode == 1 and got.stdout == "", got
        for key in ("max_keepalife", "max_qos"):
            assert re.search(rf"broker\.conf:{broker.line_of(key)}: .*{key}", got.stderr), got
        got = broker.ctl("--json", "reload")
        answer = json.loads(got.stdout)
        assert got.returncode == 1 and not answer["ok"] and len(answer["problems"]) == 2, got
        assert mqtt.Client(broker.address).open("b", keep_alive=0).connack.props["server_keep_alive"] == 300
        broker.configure(f"max_keepalive 200\npassword_file {broker.dir}/none")
        got = broker.ctl("reload")
        assert got.returncode == 1 and "none" in got.stderr, got
        broker.configure("max_keepalive 200\nautosave_interval 1\nworkers 3")
        got = broker.ctl("reload")
        assert got.returncode == 0 and "OK" in got.stdout and "Warning: " in got.stderr and " workers " in got.stderr, got
        broker.wait_log("Config reloaded")
        os.kill(broker.pid, signal.SIGRTMIN + 2)  # nobody has asked
        assert broker.json("status")["figures"]["config/reload failed"] == 0


@s.scenario
def whom_an_operator_bans_is_refused():
    def code(name, user=None):
        c = mqtt.Client(broker.address).hello(name, mqtt.V5, user=user)
        reason = c.recv_type(mqtt.CONNACK).reason
        c.close()
        return reason
    with Controlled() as broker:
        here = mqtt.Client(broker.address).open("here")
        assert broker.json("ban", "ls") == {"bans": []}
        assert "until the broker ends" in broker.done("ban", "add", "--client", "bad")
        assert "00:10:00" in broker.done("ban", "add", "--user", "eve", "--for", "10m")
        broker.done("ban", "add", "--address", "10.1.2.3", "--for", "1d")
        broker.done("ban", "add", "--address", "2001:db8:0:1::5")
        broker.done("ban", "add", "--client", "roams", "--address", "127.0.0.1")
        assert [code("bad"), code("x", "eve"), code("x", "bob"), code("roams"), code("good")] == [0x8A, 0x8A, 0, 0x8A, 0]
        bans = broker.json("ban", "ls")["bans"]
        key = lambda b: (b["client"], b["user"], b["address"])
        assert {key(b) for b in bans} == {("bad", None, None), (None, "eve", None), (None, None, "10.1.2.3"),
                                          (None, None, "2001:db8:0:1::/64"), ("roams", None, "127.0.0.1")}, bans
        ends = {b["user"]: b["expires_in_s"] for b in bans if b["client"] is None and b["address"] is None}
        assert 590 < ends["eve"] <= 600 and [b["expires_in_s"] for b in bans if b["client"] == "bad"] == [None]
        broker.done("ban", "rm", "--address", "2001:db8:0:1::/64")
        broker.done("ban", "rm", "--client", "roams", code=1)  # that is another one
        broker.done("ban", "rm", "--client", "roams", "--address", "127.0.0.1")
        broker.done("ban", "rm", "--client", "bad")
        assert [code("bad"), code("roams"), code("x", "eve")] == [0, 0, 0x8A]
        broker.done("ban", "add", "--user", "eve", "--for", "1s")  # the end is moved
        s.until(lambda: code("x", "eve") == 0)
        assert [b["address"] for b in broker.json("ban", "ls")["bans"]] == ["10.1.2.3"]
        got = broker.ctl("ban", "add", "--address", "nowhere")
        assert got.returncode == 2 and "an IP address" in got.stderr, got
        # Thousands, in pages.
        with broker.talk() as sock:
            for i in range(1500):
                assert ask(sock, op="ban", id=f"many{i}")["ok"]
        names = [b["client"] for b in broker.json("ban", "ls")["bans"]]
        assert len(names) == 1501 and {n for n in names if n} == {f"many{i}" for i in range(1500)}
        assert len(rows(broker.done("ban", "ls", "--limit", "700"))) == 700
        here.ping()


@s.scenario
def what_is_logged_can_be_changed_for_a_while():
    with Controlled("log_type error\nlog_type warning") as broker:
        def subscribe(name):
            c = mqtt.Client(broker.address).open(name)
            c.sub(f"seen/{name}")
            c.drop()
        assert broker.json("log", "level")["types"] == ["error", "warning"]
        subscribe("one")
        assert "subscribe" in broker.done("log", "level", "error,subscribe")
        subscribe("two")
        broker.wait_log("seen/two")
        got = broker.json("log", "level")
        assert got["types"] == ["error", "subscribe"] and got["configured"] == ["error", "warning"], got
        broker.done("reload")
        assert broker.json("log", "level")["types"] == ["error", "warning"]
        subscribe("three")
        assert broker.json("log", "level", "none")["types"] == []
        assert len(broker.json("log", "level", "all")["types"]) == 9
        got = broker.ctl("log", "level", "loud")
        assert got.returncode == 2 and "log types" in got.stderr, got
        assert "seen/one" not in broker.log() and "seen/three" not in broker.log()
    with Controlled("log_dest none") as broker:
        got = broker.ctl("log", "level", "all")
        assert got.returncode == 1 and "nothing is logged" in got.stderr, got


@s.scenario
def the_configuration_is_shown_and_checked():
    with Controlled("max_keepalive 600\nauth_http_header Authorization: Bearer topsecret\nallow_anonymous true") as broker:
        text = broker.done("config", "show")
        for line in ("max_keepalive 600", "workers 2", f"control_socket {broker.socket}", "auth_http_header Authorization: ***",
                     f"listener {broker.listens_on} 127.0.0.1", "allow_anonymous true", "queue_full_action reject"):
            assert f"\n{line}\n" in f"\n{text}", (line, text)
        got = broker.json("config", "show")
        assert "topsecret" not in text + json.dumps(got) and got["file"].endswith("broker.conf")
        assert {"listener": None, "key": "max_keepalive", "value": "600"} in got["keys"]
        assert {"listener": 0, "key": "max_qos", "value": "2"} in got["keys"]
        broker.configure("max_keepalive 500")
        broker.done("reload")
        assert "max_keepalive 500" in broker.done("config", "show")
        # What is shown is a configuration.
        whole = broker.dir / "whole.conf"
        whole.write_text(broker.done("config", "show"))
        assert "would start" in broker.done("config", "check", "whole.conf")
        other = broker.dir / "other.conf"
        other.write_text("listener 1\nmax_qos 7\nmax_keepalife 3\n")
        got = broker.ctl("config", "check", "other.conf")
        assert got.returncode == 1 and got.stdout == "", got
        assert re.search(r"other\.conf:2: max_qos", got.stderr) and re.search(r"other\.conf:3: .*max_keepalife", got.stderr), got
        other.write_text(f"listener 1\nallow_anonymous true\npassword_file {broker.dir}/none\n")
        got = broker.ctl("config", "check", str(other))
        assert got.returncode == 1 and "none" in got.stderr, got
        other.write_text("listener 1\nallow_anonymous true\nautosave_interval 1\n")
        got = broker.ctl("config", "check", "other.conf")
        assert got.returncode == 0 and "Warning: " in got.stderr and "autosave_interval" in got.stderr, got
        got = broker.ctl("config", "check", "nowhere.conf")
        assert got.returncode == 1 and "nowhere.conf" in got.stderr, got
        assert "max_keepalive 500" in broker.done("config", "show"), "nothing has changed"
        assert broker.json("status")["figures"]["config/reload failed"] == 0


@s.scenario
def it_is_explained_who_gets_a_message():
    with Controlled("max_queued_messages 2\nallow_anonymous true") as broker:
        acl = broker.dir / "acl"
        acl.write_text("topic read news/#\nuser eve\ntopic deny in/secret\ntopic write in/#\nuser bob\n"
                       "topic read in/+\npattern readwrite home/%u/#\n")
        acl.chmod(0o644)
        broker.configure(f"{broker.kept}\nacl_file {acl}")
        broker.done("reload")
        eve = mqtt.Client(broker.address).open("eve1", user="eve")
        bob = mqtt.Client(broker.address).open("bob1", user="bob", props=EXPIRY)
        bob.sub("in/+", qos=1)
        bob.sub("$share/g/in/#", qos=1)
        reader = mqtt.Client(broker.address).open("reader")
        reader.sub("news/#")

        def explained(*args, code=0):
            got = broker.ctl("--json", "explain", *args)
            assert got.returncode == code, got
            return json.loads(got.stdout)
        got = explained("pub", "eve1", "in/x")
        verdict = got["verdicts"][0]
        assert verdict["allowed"] and verdict["why"] == "rule" and verdict["rule"] == "in/#", verdict
        assert verdict["where"] == f"{acl}:4", verdict
        assert {(m["client"], m["filter"], m["share"], m["fate"]) for m in got["subscriptions"]} == \
            {("bob1", "in/+", None, "sent"), ("bob1", "in/#", "g", "sent")}, got
        got = explained("pub", "eve1", "in/secret", code=1)
        assert got["verdicts"][0]["where"] == f"{acl}:3" and got["subscriptions"] == [], got
        got = explained("pub", "eve1", "home/bob/x", code=1)
        assert got["verdicts"][0]["why"] == "default" and got["verdicts"][0]["where"] is None
        assert explained("pub", "eve1", "$SYS/x", code=1)["verdicts"][0]["why"] == "reserved"
        got = explained("sub", "bob1", "in/x")
        assert [(v["action"], v["allowed"]) for v in got["verdicts"]] == [("subscribe", True), ("receive", True)], got
        assert got["verdicts"][1]["where"] == f"{acl}:6" and len(got["subscriptions"]) == 2
        got = explained("sub", "bob1", "home/#")
        assert got["verdicts"][1]["why"] == "reads_some", got
        assert not explained("sub", "bob1", "news/x", code=1)["verdicts"][1]["allowed"]
        text = broker.done("explain", "pub", "eve1", "in/x")
        assert re.search(rf"^publish +yes: by a rule, in/# \({acl}:4\)$", text, re.M) and "sent at once" in text, text
        # As it is said, so it happens.
        bob.drop()
        s.until(lambda: not broker.json("client", "bob1")["client"]["connected"])
        fates = lambda *args: {m["fate"] for m in explained("pub", *args, "eve1", "in/x")["subscriptions"]}
        assert fates() == {"away"} and fates("--qos", "1") == {"queued"}
        eve.pub("in/x", b"1", 1)  # for both of them: one copy each
        assert fates("--qos", "1") == {"queue_full"}
        eve.pub("in/x", b"2", 1, want=0x97)
        for args in (["pub", "nobody", "t"], ["sub", "nobody", "t"]):
            got = broker.ctl("explain", *args)
            assert got.returncode == 1 and "no such client" in got.stderr, got
        got = broker.ctl("explain", "pub", "eve1", "in/#")
        assert got.returncode == 2 and "no topic" in got.stderr, got
        eve.ping()


@s.scenario
def the_shell_completes_its_words():
    script = pathlib.Path(__file__).parents[2] / "deploy" / "completion" / "ternmqctl.bash"

    def completed(*words):
        program = ('source "$1"; shift; COMP_WORDS=(ternmqctl "$@"); COMP_CWORD=$#; _ternmqctl; '
                   'printf "%s\\n" "${COMPREPLY[@]}"')
        got = subprocess.run(["bash", "-c", program, "bash", script, *words], capture_output=True, text=True, timeout=20)
        assert got.returncode == 0 and got.stderr == "", got
        return got.stdout.split()
    # Whatever --help tells of, with the options that it has.
    commands = re.findall(r"^  (?!ternmqctl)([a-z]+)((?: [a-z|]+)?)(?: |$)", s.run(CTL, "--help")[1], re.M)
    assert {"status", "explain", "ban"} <= {name for name, _ in commands}
    for name, second in commands:
        assert name in completed(""), name
        for word in filter(None, second.strip().split("|")):
            assert word in completed(name, ""), (name, word)
            usage = s.run(CTL, name, word, "--help")[1].splitlines()[0]
            for option in re.findall(r"--[a-z-]+", usage):
                assert option in completed(name, word, "--"), (usage, option)
        usage = s.run(CTL, name, "--help")[1].splitlines()[0] if not second else ""
        for option in re.findall(r"--[a-z-]+", usage):
            assert option in completed(name, "--"), (usage, option)
    assert completed("cl") == ["cluster", "clients", "client"] and completed("retained", "l") == ["ls"]
    assert completed("clients", "--sort", "") == ["id", "connected", "queue", "inflight", "subs", "in", "out",
                                                 "oldest", "output", "dropped"]
    assert completed("--socket", "/x", "ban", "a") == ["add"] and completed("clients", "--filter", "") == []
    assert completed("config", "check", str(script)[:-2]) == [str(script)]


@s.scenario
def a_cluster_is_shown():
    with Controlled() as broker:
        got = broker.ctl("cluster")
        assert got.returncode == 1 and "alone" in got.stderr, got
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-ctl-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        nodes = Nodes(3)
        for i, node in enumerate(nodes.all):
            node.file.write_text(node.file.read_text() + f"control_socket {folder}/{i}\n")
        stack.enter_context(nodes)

        def cluster(i):
            got = s.run(CTL, "--json", "--socket", folder / str(i), "cluster")
            assert got[0] == 0, got
            return json.loads(got[1])
        sub = nodes.client(1, "sub")
        sub.sub("far/away")
        s.until(lambda: [x for x in cluster(0)["nodes"] if x["name"] == "n1"][0].get("routes", 0) >= 1)
        got = cluster(0)
        assert [x["name"] for x in got["nodes"] if x["self"]] == ["n0"] and got["encrypted"]
        assert sorted(x["name"] for x in got["nodes"]) == ["n0", "n1", "n2"]
        for node in got["nodes"]:
            assert node["state"] == "alive" and node["incarnation"] >= 1 and re.fullmatch("[0-9a-f]{32}", node["id"])
            assert node["address"] == f"127.0.0.1:{nodes.ports[int(node['name'][1])]}", node
            assert node["self"] or (node["link"] and node["link_from"] and node["lag_ms"] is not None), node
            assert node["version"] and node["version"] in s.run(binary(), "--version")[1], node
        assert "secret" not in json.dumps(got).lower()
        text = s.run(CTL, "--socket", folder / "0", "cluster")[1]
        assert re.search(r"^n2 +alive ", text, re.M) and re.search(r"^this node +n0$", text, re.M), text
        assert re.search(r"^n0 +- +- .* own ", text, re.M) and re.search(r"^n1 +up +up .* same ", text, re.M), text
        by_name = lambda i: {x["name"]: x for x in cluster(i)["nodes"]}
        # What it has of the others' routes is what they have.
        s.until(lambda: all(x["copy"] == "same" for x in cluster(0)["nodes"] if not x["self"]))
        for other in ("n1", "n2"):
            ours, theirs = by_name(0)[other], by_name(int(other[1]))[other]
            assert theirs["copy"] == "own" and (ours["seq"], ours["hash"]) == (theirs["seq"], theirs["hash"]), (ours, theirs)
            assert (ours["said_seq"], ours["said_hash"]) == (ours["seq"], ours["hash"])
        # Each says what it has to do.
        s.until(lambda: by_name(0)["n1"]["clients"] == 1)
        assert by_name(0)["n1"]["uptime_s"] is not None and by_name(0)["n0"]["clients"] == 0
        # What is removed at one is removed at all.
        c = nodes.client(0, "c")
        c.pub("kept", b"x", 1, retain=True)
        s.until(lambda: "kept" in s.run(CTL, "--socket", folder / "2", "retained", "ls")[1])
        assert s.run(CTL, "--socket", folder / "1", "retained", "rm", "kept")[0] == 0
        s.until(lambda: "kept" not in s.run(CTL, "--socket", folder / "2", "retained", "ls")[1])
        # A session that is elsewhere.
        nodes.client(2, "roamer", clean=False, props=EXPIRY).sub("roamer/#", qos=1)
        s.until(lambda: "is at node" in s.run(CTL, "--socket", folder / "0", "client", "roamer")[1])
        nodes[2].process.kill()
        nodes[2].process.wait()
        s.until(lambda: [x["state"] for x in cluster(0)["nodes"] if x["name"] == "n2"] == ["dead"])
        dead = by_name(0)["n2"]
        assert not dead["link"] and not dead["link_from"] and dead["clients"] is None and dead["version"], dead
        # What waits for it, and for how long.
        before = dead["waiting"]
        c.pub("far/n2", b"x" * 1000, 1)  # nobody there wants it
        nodes.client(0, "late").pub("roamer/t", b"y" * 1000, 1)
        s.until(lambda: by_name(0)["n2"]["waiting"] > before)
        time.sleep(1)
        waiting = by_name(0)["n2"]
        assert waiting["waiting"] == before + 1 and waiting["bytes"] >= 1000 and waiting["lag_ms"] >= 1000, waiting
        nodes[2].start()
        s.until(lambda: by_name(0)["n2"]["waiting"] == 0 and by_name(0)["n2"]["lag_ms"] == 0)


# ---- The command line ----

@s.scenario
def exit_codes_and_help():
    with Controlled() as broker:
        for args in ([], ["what"], ["retained"], ["kick"], ["clients", "--limit", "0"], ["status", "x"],
                     ["retained", "rm", "a/#/b"]):
            got = broker.ctl(*args)
            assert got.returncode == 2 and got.stderr.startswith("Error: "), (args, got)
        got = broker.ctl("--json", "subscriptions", "a/#/b")
        assert got.returncode == 2 and json.loads(got.stdout)["error"] == "bad_request", got
        assert broker.json("subscriptions", "--client", "nobody") == {"subscriptions": []}
        for args in (["status"], ["clients"], ["retained", "ls"]):
            got = subprocess.run([CTL, "--socket", "/nowhere/at/all", *args], capture_output=True, text=True)
            assert got.returncode == 3 and "No such file" in got.stderr, got
        code, text = s.run(CTL, "--help")
        assert code == 0 and "Exit code 0" in text
        for command in ("status", "cluster", "clients", "client", "kick", "subscriptions", "retained ls", "retained rm",
                        "backup", "reload", "ban add", "ban rm", "ban ls", "log level", "config show", "config check",
                        "explain pub", "explain sub", "drain", "rebalance"):
            assert command.split()[0] in text
            code, one = s.run(CTL, *command.split(), "--help")
            assert code == 0 and one.startswith(f"ternmqctl {command}"), one
        got = subprocess.run([CTL, "status"], capture_output=True, text=True,
                             env={**os.environ, "TERNMQ_CONTROL_SOCKET": str(broker.socket)})
        assert got.returncode == 0 and "uptime" in got.stdout, got
        with open("/dev/full", "w") as full:
            got = subprocess.run([CTL, "--socket", broker.socket, "status"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert got.returncode == 1 and "No space" in got.stderr, got


# ---- The socket ----

@s.scenario
def the_file_is_the_brokers():
    broker = Controlled()
    broker.socket.write_text("no socket")
    broker.launch()
    assert broker.wait_exit() == 1 and broker.socket.read_text() == "no socket"
    assert re.search(r"Error: control_socket .*: File exists", broker.log())
    broker.socket.unlink()
    broker.start()
    other = Controlled()
    other.file.write_text(other.file.read_text().replace(str(other.socket), str(broker.socket)))
    other.launch()
    assert other.wait_exit() == 1 and "another broker listens there" in other.log()
    broker.done("status")
    broker.process.kill()
    broker.process.wait()
    assert broker.socket.exists()
    broker.start()  # in the place of the stale one
    broker.done("status")
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit() == 0 and not broker.socket.exists()
    for value in ("control.sock", "/" + "x" * 108):
        broker.write_config(f"control_socket {value}")
        broker.launch()
        assert broker.wait_exit() == 1
        broker.wait_log(rf"broker\.conf:{broker.line_of('control_socket')}: control_socket: .* is not the path")
    for one in (broker, other):
        shutil.rmtree(one.dir)


@s.scenario
def only_root_and_the_brokers_user_may_ask():
    if os.geteuid() != 0:
        return
    nobody, other = (["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] for uid in (65534, 12345))
    for args in (nobody, other):
        assert subprocess.run([*args, CTL, "--version"], capture_output=True).returncode == 0, "it cannot be run"
    with Controlled("user nobody") as broker:
        assert broker.socket.stat().st_uid == 65534
        assert broker.ctl("status").returncode == 0
        assert broker.ctl("status", under=nobody).returncode == 0
        got = broker.ctl("status", under=other)
        assert got.returncode == 3 and "Permission denied" in got.stderr, got
        broker.socket.chmod(0o666)  # even then
        got = broker.ctl("status", under=other)
        assert got.returncode == 3 and "only root" in got.stderr, got
        got = broker.ctl("kick", "x", under=other)
        assert got.returncode == 3, got
        assert broker.ctl("status", under=nobody).returncode == 0


@s.scenario
def hostile_peers_disturb_nobody():
    with Controlled() as broker:
        sub = mqtt.Client(broker.address).open("sub")
        sub.sub("t", qos=1)
        pub = mqtt.Client(broker.address).open("pub")
        idle = [mqtt.Client(broker.address).open(f"idle{i}") for i in range(300)]
        stop, took = threading.Event(), []

        def measure():
            n = 0
            while not stop.is_set():
                begin = time.monotonic()
                pub.pub("t", b"%d" % n, 1)
                sub.msg(b"%d" % n)
                took.append(time.monotonic() - begin)
                n += 1
        thread = threading.Thread(target=measure)
        thread.start()
        try:
            attack(broker)
        finally:
            stop.set()
            thread.join()
        took.sort()  # what a busy machine takes now and then is not the broker's
        assert took[len(took) * 99 // 100] < (5 if broker.sanitized() else 1) and took[-1] < 10, took[-9:]
        assert broker.json("status")["figures"]["clients/connected"] == 302
        idle[0].ping()


def attack(broker):
    # Junk: each line is answered, and the connection goes on.
    with broker.talk() as sock:
        answers = lines_of(sock)
        for junk in (b"", b"\x00\xff", b"{", b"[" * 1000, b'{"v":1}', b'{"v":1,"op":"status","x":[[[]]]}', b"GET / HTTP/1.1"):
            sock.sendall(junk + b"\n")
            got = next(answers)
            assert not got["ok"] and got["error"] == "bad_request", (junk, got)
        assert ask(sock, op="status")["ok"]
        for cursor in ("0.0.0", "3f.0.0.0", "0.100000001.0.0"):
            assert ask(sock, op="clients", cursor=cursor)["error"] == "bad_request"
        assert ask(sock, op="retained", cursor="0.0.1.0")["error"] == "bad_request"
        # Many at once, answered in order.
        sock.sendall(b'{"v":1,"op":"clients","limit":1}\n{"v":1,"op":"kick","id":"x"}\n{"v":1,"op":"cluster"}\n' * 50)
        answers = lines_of(sock)
        for _ in range(50):
            assert "clients" in next(answers)
            assert next(answers)["error"] == "not_found"
            assert next(answers)["error"] == "no_cluster"
    # A line without an end.
    with broker.talk() as sock:
        with contextlib.suppress(OSError):
            for _ in range(200):
                sock.sendall(b"x" * 10000)
        assert next(lines_of(sock)) is None
    # Those that ask and go, and half lines that never end.
    for _ in range(200):
        sock = broker.talk()
        with contextlib.suppress(OSError):  # turned away, when those that went are still being answered
            sock.sendall(b'{"v":1,"op":"clients","away":true,"limit":1000}\n{"v":1,"op":"reload"}\n')
        sock.close()
    # 100 that say nothing, or half a line: whoever asks gets a place.
    idle = [broker.talk() for _ in range(100)]
    for sock in idle[::2]:
        with contextlib.suppress(OSError):
            sock.sendall(b'{"v":1,')
    for _ in range(5):
        assert broker.json("status")["ok"]
    # Those that never read: their answers are cut short, and their places are given back.
    mute = [broker.talk() for _ in range(16)]
    for sock in mute:
        with contextlib.suppress(OSError):
            sock.setblocking(False)
            for _ in range(2000):
                sock.send(b'{"v":1,"op":"clients","away":true,"limit":1000}\n')
    begin = time.monotonic()
    while not broker.ctl("status").returncode == 0:
        assert time.monotonic() - begin < 60
    rss = broker.rss()
    time.sleep(11)  # CTL_READ_MS and CTL_WRITE_MS
    for sock in idle + mute:
        sock.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(1 << 20):
                pass
        sock.close()
    assert broker.sanitized() or broker.rss() < rss + (16 << 20), (rss, broker.rss())


@s.scenario
def it_ends_while_it_is_asked():
    for _ in range(5):
        with Controlled("persistence true") as broker:
            for i in range(200):
                mqtt.Client(broker.address).open(f"c{i}").drop()
            socks = [broker.talk() for _ in range(10)]
            for i, sock in enumerate(socks):
                sock.sendall((b'{"v":1,"op":"subscriptions"}\n' if i % 2 else b'{"v":1,"op":"reload"}\n') * 20 +
                             b'{"v":1,"op":"backup","path":"%s/copy%d"}\n' % (str(broker.dir).encode(), i))
            time.sleep(0.01)
        for sock in socks:
            sock.close()


s.main()
