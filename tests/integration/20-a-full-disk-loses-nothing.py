"""The disk is full for a while: publishers are refused or wait; what was acknowledged is there; it goes on."""
import os
import pathlib
import subprocess
import tempfile
import time

import mqtt
import scenario as s
from broker import Broker

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPIRY = {"session_expiry": 3600}
BODY = b"x" * 2000


def shim():
    """A library before libc's that lets writes fail; the same that records them for the power cuts."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-shim-"))
    source = ROOT / "tests" / "powercut"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-I", ROOT, "-o", folder / "shim.so",
                    source / "shim.c", source / "shim_trace.c", "-lpthread", "-ldl"], check=True)
    return folder


def faulty(fault):
    folder = shim()
    store = folder / "store"
    store.mkdir()
    return Broker(f"persistence true\npersistence_location {store}\nmax_queued_messages 0\nsys_interval 1",
                  env={"LD_PRELOAD": str(folder / "shim.so"), "POWERCUT_DIR": str(store),
                       "POWERCUT_TRACE": str(folder / "trace"), "POWERCUT_FAULT": fault,
                       "POWERCUT_LIFT": str(folder / "lift")}), folder / "lift"


def absent(broker):
    c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
    c.sub("q", qos=1)
    c.drop()


def numbered(i):
    return b"%d " % i + BODY


@s.scenario
def no_room():
    broker, lift = faulty("enospc:4000000")
    with broker:
        absent(broker)
        p = mqtt.Client(broker.address).open("p")
        old = mqtt.Client(broker.address).open("old", mqtt.V311)
        accepted, refused = [], 0
        for i in range(5000):
            p.send(mqtt.publish("q", numbered(i), 1, i + 1))
            try:
                got = p.recv(8)
            except TimeoutError:
                break  # it came when the disk had just failed: it waits
            if got.reason == 0:
                accepted.append(i)
            else:
                assert got.reason == 0x97, got
                refused += 1
                if refused == 5:
                    break
        assert len(accepted) > 100
        broker.wait_log(r"No space left on device")
        waiting = mqtt.Client(broker.address).open("p2")
        waiting.pub("q", b"no", 1, want=0x97)
        old.send(mqtt.publish("q", numbered(99999), 1, 7, version=mqtt.V311))
        old.expect_nothing(0.5)
        fresh = mqtt.Client(broker.address).open("fresh")  # others are served
        fresh.sub("live")
        fresh.pub("live", b"yes")
        fresh.msg(b"yes")
        lift.touch()
        old.expect(mqtt.PUBACK, mid=7)
        broker.wait_log(r"works again")
        waiting.pub("q", b"yes", 1, want=0)
        broker.process.kill()
        broker.process.wait()
        broker.env.pop("LD_PRELOAD")
        broker.start()
        c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
        got = []
        while b"yes" not in got:
            got.append(c.msg().payload.split(b" ")[0])
        assert b"99999" in got
        assert [int(g) for g in got if g.isdigit() and int(g) < 5000][:len(accepted)] == accepted


@s.scenario
def a_sync_that_fails_once():
    broker, _ = faulty("eio-sync:12")
    with broker:
        absent(broker)
        p = mqtt.Client(broker.address).open("p", mqtt.V311)
        for i in range(50):
            p.pub("q", numbered(i), 1)
        broker.wait_log(r"Input/output error")
        broker.wait_log(r"works again")
        broker.process.kill()
        broker.process.wait()
        broker.env.pop("LD_PRELOAD")
        broker.start()
        c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
        for i in range(50):
            c.msg(numbered(i))
        time.sleep(0.1)


s.main()
