"""L04 and L05 of the bad inputs: all descriptors used up; a log that malformed packets would fill."""
import os
import pathlib
import signal
import socket
import subprocess
import time

import mqtt
import scenario as s
import transport
from broker import Broker
from figures import Figures
from mqtt import V5, V311


def cpu_seconds(broker):
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def opened(broker, count):
    return [socket.create_connection(broker.address, 30) for _ in range(count)]


def is_open(sock):
    """No end has come."""
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def later(broker):
    """There is room again, once the broker has seen who left."""
    def comes_in():
        try:
            return mqtt.Client(broker.address).open("later")
        except (OSError, AssertionError):
            return None
    s.until(comes_in).ping()


@s.scenario
def l04_descriptors_are_kept_for_files():
    config = "workers 2\nsys_interval 1\nconnect_timeout 60"
    with Broker(config, under=["prlimit", "--nofile=160:160"]) as broker:
        figures = Figures(broker.address)
        there = mqtt.Client(broker.address).open("there", keep_alive=0)
        many = opened(broker, 300)
        figures.wait("refused/descriptors", lambda n: n > 200)
        assert 50 < sum(map(is_open, many)) < 100, "some are in, and some descriptors are left"
        assert len(os.listdir(f"/proc/{broker.pid}/fd")) < 150
        broker.wait_log(r"refused because of the descriptors that the process may have \(ulimit -n\)")
        before = cpu_seconds(broker)
        time.sleep(2)
        assert cpu_seconds(broker) - before < 0.3, "busy"
        there.ping()
        broker.signal(signal.SIGHUP)  # files can still be opened
        broker.wait_log("Config reloaded")
        for sock in many:
            sock.close()
        later(broker)


@s.scenario
def l04_when_there_is_none_left_accepting_pauses_and_recovers():
    """Something else than connections has taken them: descriptors that the broker has inherited."""
    script = "for ((i = 20; i < 95; i++)); do eval \"exec $i</dev/null\"; done; exec \"$@\""
    with Broker("workers 1\nconnect_timeout 60",
                under=["prlimit", "--nofile=100:100", "bash", "-c", script, "bash"]) as broker:
        there = mqtt.Client(broker.address).open("there", keep_alive=0)
        waiting, begin = opened(broker, 20), time.monotonic()
        broker.wait_log(r"no connection can be accepted on .*: Too many open files; trying again")
        before = cpu_seconds(broker)
        time.sleep(2)
        assert cpu_seconds(broker) - before < 0.3, "busy"
        assert all(map(is_open, waiting)), "they wait for their turn"
        there.ping()
        for sock in waiting[:16]:
            sock.close()
        later(broker)
        most = 20 + 11 * (time.monotonic() - begin)
        assert broker.log().count("no connection can be accepted") < most, "no more than ten a second"


COUNT = 400 if transport.chosen() == "tcp" else 100  # a handshake for each is this machine's time


def flood(broker, data, count):
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", broker.port), 30) as sock:
            try:
                sock.sendall(data)
                sock.settimeout(30)
                while sock.recv(4096):
                    pass
            except OSError:
                pass


@s.scenario
def l05_malformed_packets_do_not_fill_the_log():
    bad = {"first": b"\x10\xff\xff\xff\xff\x01", "not a CONNECT": b"\xf0\x00", "a bad CONNECT": mqtt.connect("c", flags=3),
           "3.1.1": mqtt.connect("c", V311) + b"\x36\x00", "5": mqtt.connect("c", V5) + b"\x00\x00",
           "a topic": mqtt.connect("c", V311) + mqtt.publish("a/#", b"", version=V311)}
    for messages in ("true", "false"):
        with Broker(f"workers 2\nlog_type all\nconnection_messages {messages}") as broker:
            start = time.monotonic()
            for data in bad.values():
                flood(broker, data, COUNT)
            seconds = time.monotonic() - start
            time.sleep(1.1)  # also for the log's thread to write what it has
            lines = [l for l in broker.log().splitlines() if "go to worker" not in l]  # often, with a sanitizer
            come = [l for l in lines if "New client connected" in l]
            # Ten a second, for each worker and each kind of line; connections that are there are told one by one.
            bound = 20 + (seconds + 1) * 2 * 3 * 11
            assert len(lines) - len(come) < bound, f"{len(lines)} lines in {seconds:.1f} s"
            assert len(come) == 0 if messages == "false" else len(come) >= COUNT * 3
            for data in bad.values():
                flood(broker, data, 3)
            broker.wait_log(r"\d\d+ similar lines were suppressed")
            mqtt.Client(broker.address).open("fresh").ping()


s.main()
