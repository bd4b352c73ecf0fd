"""Backup while it runs, export, import: what comes back is what was there. A damaged store is refused."""
import json
import pathlib
import re
import shutil
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker, binary

EXPIRY = {"session_expiry": 3600}
CONFIG = "persistence true\nmax_queued_messages 0"


def fill(broker):
    """Two durable sessions, one with a queue, and retained messages."""
    a = mqtt.Client(broker.address).open("a", clean=False, props=EXPIRY)
    a.sub("t/+", qos=2)
    a.drop()
    b = mqtt.Client(broker.address).open("b", mqtt.V311, clean=False)
    b.sub("$share/g/x", "u", qos=1)
    b.drop()
    p = mqtt.Client(broker.address).open("p")
    for i in range(1000):
        p.pub(f"t/{i % 7}", b"%d" % i, 1 + i % 2)
    p.pub("kept", b"\x00\xff", 1, retain=True)
    p.pub("text", "gruß".encode(), 1, retain=True, props={"content_type": "text/plain", "user_property": ("k", "v")})
    p.bye()


def check(broker):
    a = mqtt.Client(broker.address).open("a", clean=False, props=EXPIRY)
    assert a.connack.session_present
    for i in range(1000):
        a.msg(b"%d" % i)
    a.bye(props=EXPIRY)
    b = mqtt.Client(broker.address).open("b", mqtt.V311, clean=False)
    assert b.connack.session_present
    c = mqtt.Client(broker.address).open("c")
    c.sub("kept")
    c.msg(b"\x00\xff", retain=True)
    c.sub("text")
    assert c.msg("gruß".encode(), retain=True).props["content_type"] == "text/plain"
    c.pub("u", b"still", 1)
    b.msg(b"still")


def command(broker, *args):
    return subprocess.run([binary(), "-c", str(broker.file), *args], cwd=broker.dir, text=True, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill(broker):
    broker.process.kill()
    broker.process.wait()


@s.scenario
def a_copy_of_a_running_store_is_a_store():
    with Broker(CONFIG) as broker:
        fill(broker)
        done = command(broker, "--backup")
        assert done.returncode == 0, done
        copy = pathlib.Path(done.stdout.strip())
        copy = copy if copy.is_absolute() else broker.dir / copy
        assert re.search(r"ternmq\.db-backup-\d{8}T\d{6}Z$", str(copy)), copy
        c = mqtt.Client(broker.address).open("late", clean=False, props=EXPIRY)  # not in the copy
        c.drop()
        kill(broker)
        shutil.rmtree(broker.dir / "ternmq.db")
        copy.rename(broker.dir / "ternmq.db")
        broker.start()
        check(broker)
        assert not mqtt.Client(broker.address).open("late", clean=False, props=EXPIRY).connack.session_present


@s.scenario
def without_a_broker_there_is_nothing_to_copy():
    broker = Broker(CONFIG)
    done = command(broker, "--backup")
    assert done.returncode == 1 and "no broker" in done.stderr, done
    shutil.rmtree(broker.dir)


@s.scenario
def export_and_import():
    with Broker(CONFIG) as broker:
        fill(broker)
        refused = command(broker, "--export", "out.jsonl")
        assert refused.returncode == 1 and f"in use by process {broker.pid}" in refused.stderr, refused
        kill(broker)
        done = command(broker, "--export", "out.jsonl")
        assert done.returncode == 0, done
        lines = [json.loads(line) for line in (broker.dir / "out.jsonl").read_text().splitlines()]
        types = [line["type"] for line in lines]
        assert types.count("session") >= 2 and types.count("queued") == 1000 and types.count("retained") == 2
        full = command(broker, "--import", "out.jsonl")
        assert full.returncode == 1 and "empty" in full.stderr, full
        shutil.rmtree(broker.dir / "ternmq.db")
        (broker.dir / "bad.jsonl").write_text((broker.dir / "out.jsonl").read_text() + '{"type":"sesion"}\n')
        bad = command(broker, "--import", "bad.jsonl")
        assert bad.returncode == 1 and f"line {len(lines) + 1}" in bad.stderr, bad
        done = command(broker, "--import", "out.jsonl")
        assert done.returncode == 0 and "1000 queued" in done.stderr, done
        broker.start()
        check(broker)


@s.scenario
def from_mosquitto():
    sample = pathlib.Path(__file__).resolve().parents[1] / "unit" / "data" / "v6-queues.db"
    with Broker(CONFIG) as broker:
        kill(broker)
        shutil.rmtree(broker.dir / "ternmq.db")
        done = command(broker, "--import", str(sample))
        assert done.returncode == 0, done
        broker.start()
        done = command(broker, "--export", "-")
        assert "in use" in done.stderr
        kill(broker)
        done = command(broker, "--export", "-")
        types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        assert done.returncode == 0 and {"session", "subscription", "queued", "retained"} <= set(types), types
        broker.start()


@s.scenario
def a_damaged_store_is_refused_or_moved_aside():
    with Broker(CONFIG) as broker:
        fill(broker)
        broker.signal(15)
        broker.wait_exit()
        file = broker.dir / "ternmq.db" / "state" / "data.mdb"
        data = bytearray(file.read_bytes())
        for at in range(len(data) // 2, len(data) // 2 + 4096 * 8, 64):
            data[at] ^= 0x55
        file.write_bytes(data)
        broker.launch()
        assert broker.wait_exit() == 1
        broker.wait_log(r"Error: the store .*ternmq\.db is damaged")
        broker.write_config(CONFIG + "\npersistence_recovery quarantine\nsys_interval 1")
        broker.start()
        assert list(broker.dir.glob("ternmq.db.damaged-*"))
        c = mqtt.Client(broker.address).open("c")
        c.sub("$SYS/broker/persistence/quarantined")
        c.msg(b"1")
        fill(broker)
        time.sleep(0.1)


s.main()
