"""The load generator's scenarios: good beside a good broker, and each fault that a relay makes is found."""
import asyncio
import concurrent.futures
import json
import pathlib
import subprocess
import threading

import scenario as s
import transport
from broker import ROOT, Broker, binary, free_port

PUBLISH, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 3, 9, 11, 13, 14
FILES = ROOT / "bench" / "scenarios"
SMALL = {  # so that each file runs for a second or two
    "connect": "--seconds 4", "fan-out-1000": "--clients 200", "idle": "--clients 50 --seconds 4 --keep-alive 2",
    "wildcard": "--clients 10 --filters 9 --extra-subscriptions 2500", "many-topics": "--topics 5000",
    "retained": "--retained 500 --subscribers 3", "churn": "--churn-rate 200", "recover": "--clients 200 --sample 10",
    "offline-queue": "--clients 4 --messages 200", "large": "--clients 2 --size 100000",
    "fleet": "--clients 60 --rate 600 --command-rate 100 --drop-rate 40 --seconds 2 --storm-at 1",
}
CONNECT = "--clients 8 --seconds 4"  # where others have the CPUs a TLS handshake may take more than a second


# ---- The relay --------------------------------------------------------------------------------

class Fault:
    """What happens once, to the nth packet of this type, and topic, that goes to the clients (or the broker)."""

    def __init__(self, what, kind=PUBLISH, topic=b"", nth=5, to_broker=False):
        self.what, self.kind, self.topic, self.nth, self.to_broker = what, kind, topic, nth, to_broker
        self.seen, self.done, self.held = 0, False, None
        self.writers = []  # of clients that have been sent such a packet

    def hits(self, packet, writer, to_broker):
        if self.done or to_broker != self.to_broker or packet[0] >> 4 != self.kind or self.topic not in packet[:80]:
            return False
        if writer not in self.writers:
            self.writers.append(writer)
        self.seen += 1
        return self.seen >= self.nth

    def pass_on(self, packet, writer, to_broker=False):
        """Writes the packet; or something else."""
        if self.held and self.held[0] is writer:
            packet, self.held = packet + self.held[1], None
        elif self.hits(packet, writer, to_broker):
            packet = self.strike(packet, writer)
        writer.write(packet)

    def strike(self, packet, writer):
        others = [w for w in self.writers if w is not writer]
        if self.what == "to another" and not others:
            return packet
        self.done = True
        if self.what == "hold":  # until the next packet has overtaken it
            self.held = (writer, packet)
        elif self.what == "to another":
            others[0].write(packet)
        elif self.what == "cut":
            writer.close()
        return {"double": packet * 2, "to another": packet}.get(self.what, b"")


async def read_packet(reader):
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(head[1:]))
    return head + await reader.readexactly(length)


async def pump(reader, writer, fault, to_broker):
    try:
        while True:
            fault.pass_on(await read_packet(reader), writer, to_broker)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class Relay:
    """Between the load generator and the broker, with one fault. In a thread of its own."""

    def __init__(self, to_port, fault):
        self.to_port, self.fault, self.loop = to_port, fault, asyncio.new_event_loop()

    async def serve(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, up_writer, self.fault, True), pump(up_reader, writer, self.fault, False))

    def __enter__(self):
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        begin = asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000)
        self.server = asyncio.run_coroutine_threadsafe(begin, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def end(self):
        self.server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


# ---- Running ----------------------------------------------------------------------------------

def program():
    beside = pathlib.Path(binary()).with_name("ternmq-bench")
    return str(beside if beside.exists() else ROOT / "build" / "ternmq-bench")


def bench(port, options):
    """Returns exit code and report."""
    done = subprocess.run([program(), "--port", str(port), "--json", *options.split()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.stdout, f"{options}: exit code {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def good(port, options):
    code, report = bench(port, options)
    assert code == 0 and report["good"] and report["failure"] == "", f"{options}: {brief(report)}"
    for key in "lost", "reordered", "stray", "refused", "unacknowledged", "connections_lost":
        assert report[key] == 0, f"{options}: {key}: {brief(report)}"
    return report


def side_by_side(function, arguments):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda a: function(*a), arguments))


def brief(report):
    return {key: value for key, value in report.items() if value is not None}


def found(broker, fault, key, options, count=1):
    """The fault is found: under that key of the report, and by the exit status."""
    with Relay(broker.port, fault) as relay:
        code, report = bench(relay.port, f"--warmup 0 --seconds 1 --drain 4 {options}")
    assert fault.done, f"{options}: the relay had no chance: {brief(report)}"
    assert code == 1 and not report["good"], f"{options} with {fault.what}: {brief(report)}"
    assert report[key] == count, f"{options} with {fault.what}: wanted {key} {count}: {brief(report)}"


def all_found(cases):
    with Broker("max_queued_messages 0") as broker:
        side_by_side(found, [(broker, *case) for case in cases])


# ---- Scenarios --------------------------------------------------------------------------------

@s.scenario
def every_scenario_file_runs():
    ports = {way: free_port() for way in ("tls", "ws", "wss")}
    listeners = "".join(f"listener {port} 127.0.0.1\n" + "\n".join(transport.listener_keys(way)) + "\n"
                        for way, port in ports.items())
    with Broker("max_queued_messages 0\n" + listeners) as broker:
        names = [f.stem for f in sorted(FILES.glob("*.scenario"))]
        assert names and set(SMALL) <= set(names), names

        def there(name):
            words = (FILES / f"{name}.scenario").read_text().split()
            tls, websocket = "tls" in words, "websocket" in words
            port = ports["wss" if tls and websocket else "tls" if tls else "ws"] if tls or websocket else broker.port
            return port, f" --cafile {transport.certificates()}/ca.pem" if tls else ""

        reports = side_by_side(good, [
            (there(name)[0], f"--file {FILES / name}.scenario --warmup 0 --seconds 1 --broker-pid {broker.pid} "
             + SMALL.get(name, CONNECT if "connect" in name else "--clients 20") + there(name)[1]) for name in names])
    by_name = dict(zip(names, reports))
    for name, report in by_name.items():
        assert report["scenario"] in name or report["scenario"] in ("pairs", "durable-pairs"), (name, report)
        waits = report["scenario"] in ("idle", "offline-queue", "recover")
        assert waits or (report["rate"] > 0 and report["cpu_us"] >= 0), (name, report)
    assert by_name["idle"]["pings"] >= 50, by_name["idle"]
    assert by_name["shared"]["reordered_across"] >= 0, by_name["shared"]
    assert by_name["wildcard"]["bytes_per_subscription"] is not None, by_name["wildcard"]
    assert by_name["retained"]["come_rate"] > 0 and by_name["retained"]["retained"] == 500, by_name["retained"]
    assert by_name["retained"]["visit_latency_p99_us"] > 0, by_name["retained"]
    assert by_name["churn"]["come_rate"] > 20, by_name["churn"]
    fleet = by_name["fleet"]
    assert fleet["commands"] > 20 and fleet["command_latency_p99_us"] > 0, fleet
    assert fleet["stormed"] > 0 and fleet["storm_all_us"] > 0, fleet
    assert fleet["wills"] > fleet["stormed"] and fleet["left"] > 0, fleet
    assert fleet["wills_missing"] == fleet["wills_unexpected"] == fleet["devices_away"] == 0, fleet
    assert by_name["paced"]["voluntary_per_1000"] > 0, by_name["paced"]


@s.scenario
def other_versions_qos_and_threads():
    with Broker("max_queued_messages 0") as broker:
        side_by_side(good, [(broker.port, "--warmup 0 --seconds 1 --threads 2 " + options) for options in (
            "--scenario shared --qos 2 --clients 9 --subscribers 4",
            "--scenario shared --qos 0 --version 5",
            "--scenario retained --qos 2 --retained 300 --version 5",
            "--scenario retained --qos 0 --retained 300 --rate 50",
            "--scenario churn --qos 2 --version 5",
            "--scenario many-topics --qos 2 --topics 500 --exact --topic-depth 9",
            "--scenario wildcard --qos 1 --filters 30 --topic-depth 5 --version 5",
            "--scenario pairs --qos 1 --topic-depth 128 --extra-subscriptions 1500 --wildcard-share 0",
            "--scenario fleet --qos 2 --rate 500 --drop-rate 50 --keep-alive 5 --subscribers 2")])


@s.scenario
def clients_are_spread_over_all_hosts():
    second = free_port()
    with Broker(f"listener {second} 127.0.0.1\nmax_connections 4\nallow_anonymous true") as broker:
        # Of 8 clients the second listener takes 4, or the set-up would fail.
        good(broker.port, f"--warmup 0 --seconds 1 --qos 1 --clients 4 --host 127.0.0.1,127.0.0.1:{second}")
        code, text = s.run(program(), "--port", second, "--clients", "4", "--seconds", "1")
        assert code == 2, text  # all 8 at one


@s.scenario
def retained_messages_are_removed_at_the_end():
    with Broker("max_queued_messages 0") as broker:
        good(broker.port, "--warmup 0 --seconds 1 --scenario retained --retained 50 --qos 1")
        code, text = s.run("mosquitto_sub", "-h", "127.0.0.1", "-p", broker.port, "-t", "bench/#", "-W", "1", "-v")
        assert code == 27 and text.replace("Timed out", "").strip() == "", (code, text)  # 27: nothing came in time


@s.scenario
def a_lost_message_is_found():
    paced = "--qos 1 --rate 1000 --clients 4 "
    fleet = paced + "--scenario fleet --drop-rate 0 "  # what returns sends again, and is sent again
    all_found([(Fault("drop"), "lost", paced + options) for options in (
        "--scenario pairs", "--scenario shared --subscribers 3", "--scenario wildcard", "--scenario many-topics",
        "--scenario churn", "--scenario pairs --size 50000")] + [
            (Fault("drop"), "lost", fleet + "--command-rate 0"),
            (Fault("drop"), "lost", fleet + "--command-rate 0 --shared"),
            (Fault("drop", topic=b"/command/"), "lost", fleet)])


@s.scenario
def a_message_that_comes_twice_is_found():
    paced = "--rate 1000 --clients 4 "
    all_found([(Fault("double"), "duplicates", paced + options) for options in (
        "--scenario shared --qos 1", "--scenario wildcard --qos 2", "--scenario many-topics --qos 2",
        "--scenario churn --qos 2")] + [
            (Fault("to another"), "duplicates", paced + "--scenario shared --qos 0 --subscribers 3"),
            (Fault("to another"), "stray", paced + "--scenario wildcard --qos 0")])


@s.scenario
def disorder_is_found():
    # One publisher: what is overtaken has to be of the same.
    paced = "--qos 1 --rate 2000 --clients 1 "
    all_found([(Fault("hold", nth=50), "reordered", paced + options) for options in (
        "--scenario shared --subscribers 1", "--scenario wildcard", "--scenario many-topics")])


@s.scenario
def retained_messages_that_are_missing_or_come_twice_are_found():
    options = "--scenario retained --qos 1 --retained 100 --clients 2 --subscribers 2 --rate 20"
    all_found([(Fault("drop", nth=150), "lost", options), (Fault("double", nth=150), "duplicates", options)])


@s.scenario
def comers_that_get_no_answer_are_found():
    options = "--scenario churn --clients 2 --rate 100 --churn-rate 50"
    all_found([(Fault("drop", kind=SUBACK, nth=10), "comers_stuck", options),
               (Fault("drop", kind=UNSUBACK), "comers_stuck", options)])


@s.scenario
def wills_that_are_missing_or_should_not_be_are_found():
    options = "--scenario fleet --qos 1 --clients 6 --rate 100 --drop-rate 30"
    all_found([(Fault("drop", topic=b"/will/"), "wills_missing", options),
               (Fault("double", topic=b"/will/"), "wills_unexpected", options),
               (Fault("cut", kind=DISCONNECT, nth=1, to_broker=True), "wills_unexpected", options)])


@s.scenario
def a_pingresp_that_does_not_come_is_found():
    all_found([(Fault("drop", kind=PINGRESP), "connections_lost",
                "--scenario idle --clients 5 --keep-alive 2 --seconds 5")])


s.main()
