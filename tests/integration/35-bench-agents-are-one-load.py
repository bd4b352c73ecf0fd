"""Several processes of the load generator are one load: every figure is exact, whoever else counts."""
import asyncio
import collections
import contextlib
import shutil
import struct
import subprocess
import tempfile
import threading

import scenario as s
from agents import CLIENTS, Agent, agents, check_sums, coordinate, good, wait_listening
from broker import Broker, free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """The other broker, for who has it."""

    def __init__(self):
        self.port = free_port()
        self.process = None
        self.file = tempfile.NamedTemporaryFile("w", suffix=".conf")

    def __enter__(self):
        self.file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
                        "max_inflight_messages 0\n")
        self.file.flush()
        self.process = subprocess.Popen([MOSQUITTO, "-c", self.file.name], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_listening(self.port)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()


def brokers():
    yield Broker("max_queued_messages 0\nmax_inflight_messages 0")
    if MOSQUITTO:
        yield Mosquitto()


@s.scenario
def every_scenario_is_shared_out():
    for broker in brokers():
        with broker, agents(3) as crowd:
            for options in (["pairs", "--qos", "1", "--threads", "2"], ["pairs", "--qos", "2", "--rate", "3000"],
                            ["fan-in", "--qos", "1", "--rate", "5000"], ["fan-out", "--qos", "2", "--rate", "200"],
                            ["wildcard", "--filters", "4"], ["many-topics", "--topics", "200", "--qos", "1"],
                            ["churn", "--rate", "1000", "--churn-rate", "50"],
                            ["durable-pairs", "--qos", "1", "--version", "5"], ["connect", "--rate", "200"], ["idle"]):
                report = good(coordinate(crowd, broker.port, "--scenario", *options), 3)
                delivered = sum(p["delivered_all"] for p in report["agents"])
                if options[0] not in ("connect", "idle"):
                    fan_out = CLIENTS if options[0] == "fan-out" else 1
                    assert delivered == report["published_all"] * fan_out > 0, report
                    assert 0 < report["latency_p50_us"] < 5e6, report


@s.scenario
def queues_have_as_many_messages_as_were_asked_for():
    with Broker("max_queued_messages 0") as broker, agents(3) as crowd:
        report = good(coordinate(crowd, broker.port, "--scenario", "offline-queue", "--qos", "1", "--messages", "500"), 3)
        assert report["published_all"] == report["acked_all"] == CLIENTS * 500, report
        assert report["sessions_found"] == CLIENTS and report["sessions_lost"] == 0, report
        assert [p["published_all"] for p in report["agents"]] == [7 * 500, 7 * 500, 6 * 500], report
        report = good(coordinate(crowd, broker.port, "--scenario", "recover", "--qos", "2", "--clients", "200", "--sample",
                                 "50"), 3)
        assert report["sessions_found"] == report["published_all"] == 50, report


@s.scenario
def retained_messages_and_wills_are_counted_across_agents():
    with Broker("max_queued_messages 0") as broker, agents(3) as crowd:
        report = good(coordinate(crowd, broker.port, "--scenario", "retained", "--retained", "200", "--subscribers", "6",
                                 "--rate", "20"), 3)
        assert report["published_all"] == 2 * 200, report  # set, and removed again
        assert sum(p["delivered_all"] for p in report["agents"]) % 200 == 0, report
        report = good(coordinate(crowd, broker.port, "--scenario", "fleet", "--qos", "1", "--rate", "500", "--subscribers",
                                 "4", "--drop-rate", "20", "--command-rate", "50"), 3)
        delivered = sum(p["delivered_all"] for p in report["agents"])
        telemetry = report["published_all"] - report["commands"]
        assert report["wills"] > 5 and report["wills_missing"] == report["wills_unexpected"] == 0, report
        assert delivered == 4 * telemetry + report["commands"] + report["wills"], report


@s.scenario
def a_witness_has_seen_the_same():
    with Broker("max_queued_messages 0") as broker, agents(3) as crowd:
        witness = s.mosquitto_sub(broker, "-q", "1", "-t", "bench/#", "-F", "seen %x")
        report = good(coordinate(crowd, broker.port, "--qos", "1", "--rate", "2000", "--broker-pid", str(broker.pid),
                                 "--broker-agent", "2"), 3)
        seen = collections.Counter()
        while sum(seen.values()) < report["published_all"]:
            line = witness.line()
            if line.startswith("seen "):
                _, publisher, number, _ = struct.unpack("<IIQQ", bytes.fromhex(line[5:])[:24])
                seen[publisher, number] += 1
        assert set(seen.values()) == {1}, "the witness saw messages twice"
        for publisher in range(CLIENTS):
            numbers = [n for p, n in seen if p == publisher]
            assert sorted(numbers) == list(range(len(numbers))), f"publisher {publisher}"
        assert 1000 < report["published_all"] <= 2000 + 3 * CLIENTS, report  # a busy machine may not keep the pace
        assert report["cpu_us"] > 0 and report["rss_kib"] > 0, report


@s.scenario
def clocks_of_different_machines_are_compared():
    """A time namespace has a monotonic clock of its own; where there may be none, all have one."""
    other = ["unshare", "--time", "--monotonic", "5000"]
    apart = subprocess.run([*other, "true"], stderr=subprocess.DEVNULL).returncode == 0
    with Broker("max_queued_messages 0") as broker, agents(1) as crowd:
        far = Agent(before=other if apart else ())
        for options in (["fan-out", "--rate", "100"], ["fan-in", "--rate", "1000"]):
            for order in [crowd[0], far], [far, crowd[0]]:
                report = good(coordinate(order, broker.port, "--qos", "1", "--scenario", *options), 2)
                offsets = {p["address"]: p["clock_offset_us"] for p in report["agents"]}
                assert abs(offsets[crowd[0].where]) < 1e5, report
                assert abs(offsets[far.where] - (5e9 if apart else 0)) < 1e5, report
                assert all(p["clock_uncertainty_us"] < 1e5 and abs(p["clock_drift_us"]) < 1e5 for p in report["agents"])
                assert 20 < report["latency_p50_us"] < 1e6, report
                assert 0.8 < report["seconds"] < 5 and report["delivered"] > 0, report
        far.program.kill()


async def drop_some(port, to_port, dropped):
    """Between clients and broker: of the PUBLISH packets that the broker sends, each tenth is lost."""
    count = 0

    async def down(reader, writer):
        nonlocal count
        while head := await reader.read(1):
            size = shift = 0
            lengths = b""
            while True:
                byte = await reader.readexactly(1)
                lengths += byte
                size |= (byte[0] & 0x7f) << shift
                shift += 7
                if byte[0] < 0x80:
                    break
            packet = head + lengths + await reader.readexactly(size)
            publish = head[0] >> 4 == 3
            count += publish
            if publish and count % 10 == 0:
                dropped.append(packet)
            else:
                writer.write(packet)
        writer.close()

    async def up(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to_port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(down(up_reader, writer), up(reader, up_writer))
    async with await asyncio.start_server(serve, "127.0.0.1", port, backlog=1000) as server:
        await server.serve_forever()


@s.scenario
def loss_between_agents_is_counted_to_the_message():
    with Broker("max_queued_messages 0") as broker, agents(3) as crowd:
        port, dropped = free_port(), []
        threading.Thread(target=lambda: asyncio.run(drop_some(port, broker.port, dropped)), daemon=True).start()
        wait_listening(port)
        for options in (["fan-out", "--rate", "100"], ["fan-in", "--rate", "1000"], ["pairs", "--rate", "1000"]):
            dropped.clear()
            code, report, errors = coordinate(crowd, port, "--scenario", *options, "--drain", "6")
            assert code == 0 and report is not None, errors  # QoS 0 may lose
            check_sums(report, 3)
            assert report["lost"] == len(dropped) > 50, (len(dropped), report)


s.main()
