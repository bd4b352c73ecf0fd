"""Memory runs short: what gives way, in which order, who is told, and that all comes back. A container's limit that
changes is followed."""
import pathlib
import re
import shutil
import time

import mqtt
import scenario as s
from broker import Broker
from figures import Figures
from mqtt import CONNACK, PUBACK, V5, V311

MB = 1 << 20


def code(broker, name, version=V5, **kw):
    client = mqtt.Client(broker.address).hello(name, version, **kw)
    reason = client.recv_type(CONNACK).reason
    client.close()
    return reason


class Filler:
    """Retained messages of 100 KB until the broker is at a level; then takes them away again."""

    def __init__(self, broker):
        self.client = mqtt.Client(broker.address, timeout=20).open("filler", keep_alive=0)
        self.count = 0

    def set(self, number, payload):
        self.client.send(mqtt.publish(f"fill/{number}", payload, 1, 1, retain=True))
        return self.client.recv_type(PUBACK).reason

    def until(self, figures, level):
        while True:
            reason = self.set(self.count, bytes(100_000))
            self.count += reason < 0x80
            try:
                return figures.wait("governor/level", lambda n: n >= level, 0 if level < 4 and self.count < 60 else 1.2)
            except AssertionError:
                assert self.count < 200

    def clear(self):
        for number in range(self.count):
            assert self.set(number, b"") < 0x80, "what frees memory is not refused for want of memory"


@s.scenario
def level_by_level_and_back():
    with Broker("memory_limit 8000000\nsys_interval 1\nworkers 2") as broker:
        figures, filler = Figures(broker.address), Filler(broker)
        sub = mqtt.Client(broker.address).open("sub", keep_alive=0)
        known = mqtt.Client(broker.address).open("known", props={"session_expiry": 600})
        known.drop()
        assert filler.until(figures, 1) in (1, 2) and code(broker, "one") == 0
        filler.until(figures, 2)
        sub.sub("more")
        filler.until(figures, 3)
        assert code(broker, "new") in (0x97, 0x89) and code(broker, "new", V311) == 3
        assert code(broker, "known", clean=False, props={"session_expiry": 600}) in (0, 0x89)
        sub.sub("yet/more", want=[0x97])
        filler.until(figures, 4)
        assert code(broker, "new") == 0x89 and code(broker, "known", clean=False) == 0x89
        assert filler.set(999, b"x" * 100) == 0x97
        sub.ping()
        figures.wait("refused/memory", lambda n: n >= 4)
        filler.clear()
        figures.wait("governor/level", lambda n: n == 0)
        assert code(broker, "new") == 0
        sub.sub("yet/more")
        lines = [l for l in broker.log().splitlines() if "of memory_limit, level" in l]
        levels = [int(re.search(r"level (\d)", l)[1]) for l in lines]
        assert {1, 2, 3, 4, 0} <= set(levels) and levels[-1] == 0 and len(levels) < 20, lines
        broker.wait_log("refused because of memory_limit")


@s.scenario
def the_limit_follows_the_cgroup():
    """A mount namespace of its own with a folder that looks like cgroups: its limit is changed while the broker runs."""
    assert shutil.which("unshare")
    script = "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && cd /sys/fs/cgroup && " \
             f"echo {64 * MB} | tee memory.max memory/memory.limit_in_bytes >/dev/null && cd / && exec \"$@\""
    with Broker("sys_interval 1", under=["unshare", "-m", "sh", "-c", script, "sh"]) as broker:
        folder = pathlib.Path(f"/proc/{broker.pid}/root/sys/fs/cgroup")

        def grant(size):
            for file in ("memory.max", "memory/memory.limit_in_bytes"):
                (folder / file).write_text(f"{size}\n")
            limit = min(5 * size * size // (2048 * MB), size // 2) if size > 32 * MB else size // 2
            broker.wait_log(rf"Memory: {size} bytes are granted by now; memory_limit is {limit}\.")
        figures, filler = Figures(broker.address), Filler(broker)
        for _ in range(20):
            assert filler.set(filler.count, bytes(100_000)) < 0x80
            filler.count += 1
        assert code(broker, "fits") == 0
        grant(2 * MB)  # 2 MB are stored, and 1 allowed
        figures.wait("governor/level", lambda n: n >= 4)
        assert code(broker, "does not") == 0x89
        grant(64 * MB)
        figures.wait("governor/level", lambda n: n == 0)
        assert code(broker, "fits again") == 0
    with Broker("memory_limit 30000000", under=["unshare", "-m", "sh", "-c", script, "sh"]) as broker:
        (pathlib.Path(f"/proc/{broker.pid}/root/sys/fs/cgroup") / "memory.max").write_text(f"{2 * MB}\n")
        time.sleep(6)
        assert "are granted by now" not in broker.log(), "a limit that the operator has set stays"


s.main()
