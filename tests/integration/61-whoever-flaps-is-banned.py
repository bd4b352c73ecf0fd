"""A client that comes again and again is banned where it does, told so, and let in when the ban is over."""
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker
from figures import Figures
from mqtt import CONNACK, V5, V311

HERE, THERE = "127.0.0.1", "127.0.0.2"


def code(broker, name, source=HERE, version=V5):
    client = mqtt.Client(broker.address, source=source).hello(name, version)
    reason = client.recv_type(CONNACK).reason
    if reason:
        client.expect_closed(reason)
    client.close()
    return reason


@s.scenario
def flapping_is_banned_for_a_while():
    with Broker("flapping_max 10\nflapping_window 30\nflapping_ban 6\nsys_interval 1\nworkers 2") as broker:
        figures = Figures(broker.address)
        steady = mqtt.Client(broker.address).open("steady")
        assert [code(broker, "flaps") for _ in range(10)] == [0] * 10
        banned_at = time.monotonic()
        assert [code(broker, "flaps") for _ in range(30)] == [0x8A] * 30
        assert code(broker, "flaps", version=V311) == 5
        assert code(broker, "flaps", THERE) == 0, "the same identifier elsewhere"
        assert code(broker, "other") == 0, "another client there"
        steady.ping()
        figures.wait("refused/banned", lambda n: n == 31)
        figures.wait("bans/made", lambda n: n == 1)
        figures.wait("bans/in force", lambda n: n == 1)
        while code(broker, "flaps") != 0:
            time.sleep(0.2)
        assert 5.9 < time.monotonic() - banned_at < 15
        lines = [l for l in broker.log().splitlines() if "is banned" in l]
        assert len(lines) == 1 and "client flaps [127.0.0.1:" in lines[0] and "flapping_max" in lines[0], lines


@s.scenario
def real_clients_say_it():
    with Broker("flapping_max 2\nflapping_window 30\nflapping_ban 60") as broker:
        def pub(version):
            return subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-V", version, "-i", "real", "-t", "t",
                                   "-m", "x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        assert pub("5").returncode == 0 and pub("311").returncode == 0
        refused = pub("5")
        assert refused.returncode != 0 and "banned" in refused.stdout.lower(), refused
        refused = pub("311")
        assert refused.returncode != 0 and "not authorised" in refused.stdout.lower(), refused


@s.scenario
def off_by_default():
    with Broker() as broker:
        assert {code(broker, "often") for _ in range(200)} == {0}


s.main()
