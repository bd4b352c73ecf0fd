"""The load generator's durable scenarios: exact where the broker keeps its word, and not fooled where it forgets."""
import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import scenario as s
from broker import ROOT, Broker, binary, free_port

CLIENTS = 10


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def relay(port, to_port):
    """Stands between clients and broker. Killed, it cuts all connections, and the broker lives on."""
    async def serve(reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


if sys.argv[1:2] == ["--relay"]:
    asyncio.run(relay(int(sys.argv[2]), int(sys.argv[3])))


def bench():
    beside = pathlib.Path(binary()).with_name("ternmq-bench")
    return str(beside if beside.exists() else ROOT / "build" / "ternmq-bench")


def run(port, pid, command, *options):
    """Returns exit code and report; what the command started is ended."""
    done = subprocess.run([bench(), "--port", str(port), "--clients", str(CLIENTS), "--broker-pid", str(pid),
                           "--restart-command", command, "--json", *options],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.stdout, f"exit code {done.returncode}: {done.stderr}"
    report = json.loads(done.stdout)
    if report["broker_pid"]:
        os.kill(int(report["broker_pid"]), signal.SIGTERM)
    return done.returncode, report


def wait_listening(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def through_a_relay(*options):
    """All connections are cut in the middle; the broker has all it promised to keep."""
    with Broker("max_queued_messages 0") as broker:
        port = free_port()
        command = [sys.executable, __file__, "--relay", str(port), str(broker.port)]
        relay_process = subprocess.Popen(command)
        try:
            wait_listening(port)
            code, report = run(port, relay_process.pid, " ".join(command), *options)
        finally:
            relay_process.kill()
            relay_process.wait(10)
    assert code == 0 and report["good"], report
    assert report["sessions_lost"] == report["publisher_sessions_lost"] == 0, report
    assert report["sessions_found"] >= CLIENTS and report["outage_ms"] > 0, report
    assert report["lost"] == report["lost_acknowledged"] == report["reordered"] == 0, report
    return report


@s.scenario
def qos_1_resumes():
    through_a_relay("--scenario", "durable-pairs", "--qos", "1", "--seconds", "2", "--kill-at", "2")


@s.scenario
def qos_2_resumes_exactly_once():
    for version in "4", "5":
        report = through_a_relay("--scenario", "durable-pairs", "--qos", "2", "--seconds", "2", "--kill-at", "2",
                                 "--version", version)
        assert report["duplicates"] == 0, report


@s.scenario
def queues_of_absent_subscribers_outlast_their_publishers_connections():
    report = through_a_relay("--scenario", "offline-queue", "--qos", "2", "--messages", "1000", "--rate", "5000",
                             "--kill-at", "1")
    assert report["duplicates"] == 0 and report["delivered"] is None, report
    assert report["acked_all"] == CLIENTS * 1000, report


@s.scenario
def sessions_are_found_again():
    report = through_a_relay("--scenario", "recover", "--qos", "1", "--version", "5", "--sample", "10")
    assert report["sessions_found"] == CLIENTS and report["acked_all"] == CLIENTS, report


@s.scenario
def a_broker_that_forgets_is_found_out():
    broker = Broker("max_queued_messages 0\npersistence false").start()
    command = f"{binary()} -c {broker.file}"
    code, report = run(broker.port, broker.pid, command, "--scenario", "offline-queue", "--qos", "1",
                       "--messages", "1000", "--rate", "5000", "--kill-at", "1")
    broker.wait_exit()
    broker.stop(clean=False)
    assert code == 1 and not report["good"], report
    assert report["sessions_lost"] == report["publisher_sessions_lost"] == CLIENTS, report
    assert report["lost_acknowledged"] == report["acked_all"] == CLIENTS * 1000, report


s.main()
