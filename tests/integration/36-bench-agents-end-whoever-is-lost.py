"""Coordinator and agents of the load generator: a clear end whoever is lost, late, hostile or does not fit."""
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import scenario as s
from agents import CLIENTS, Agent, agents, bench, check_sums, coordinate, finish, good, wait_connections
from broker import Broker, free_port


# ---- Whoever is lost ----

def begin_long_run(crowd, broker, *options):
    process = coordinate(crowd, broker.port, "--seconds", "60", *options, start_only=True)
    wait_connections(broker, lambda n: n >= 2 * CLIENTS)
    return process


def still_good(crowd, broker):
    good(coordinate(crowd, broker.port, "--qos", "1"), len(crowd))


@s.scenario
def a_lost_agent_ends_the_run():
    with Broker() as broker, agents(2) as crowd:
        lost = Agent()
        process = begin_long_run([crowd[0], lost, crowd[1]], broker)
        time.sleep(1)
        lost.program.kill()
        code, report, errors = finish(process)
        assert code == 2 and report is None, (code, errors)
        assert f"agent 2 ({lost.where})" in errors and "closed" in errors, errors
        wait_connections(broker, lambda n: n == 0)
        still_good(crowd, broker)


@s.scenario
def agents_outlive_their_coordinator():
    with Broker() as broker, agents(2) as crowd:
        for number in signal.SIGKILL, signal.SIGINT:
            process = begin_long_run(crowd, broker)
            time.sleep(0.5)
            process.send_signal(number)
            assert process.wait(30) == -number
            crowd[0].program.wait_line("gone in the middle of its run")
            wait_connections(broker, lambda n: n == 0)
            still_good(crowd, broker)


@s.scenario
def a_killed_broker_is_reported():
    broker = Broker().start()
    with agents(2) as crowd:
        process = begin_long_run(crowd, broker, "--seconds", "6", "--qos", "1")
        time.sleep(2)
        broker.signal(signal.SIGKILL)
        code, report, errors = finish(process)
        broker.wait_exit()
        broker.stop(clean=False)
        assert code == 1 and report is not None and not report["good"], (code, errors)
        assert report["connections_lost"] == 2 * CLIENTS, report
        assert "closed" in report["failure"] or "reset" in report["failure"], report
        check_sums(report, 2)
        code, report, errors = coordinate(crowd, broker.port)
        assert code == 2 and report is None and "refused" in errors.lower(), (code, errors)


@s.scenario
def a_stopped_agent_is_waited_for_in_vain():
    """Not lost, but silent: its connection stands."""
    with Broker() as broker, agents(1) as crowd:
        silent = Agent()
        process = begin_long_run([crowd[0], silent], broker)
        os.kill(silent.program.process.pid, signal.SIGSTOP)
        begun = time.monotonic()
        code, _, errors = finish(process)
        silent.program.kill()
        assert code == 2 and f"agent 2 ({silent.where}): it does not answer" in errors, (code, errors)
        assert time.monotonic() - begun < 60
        still_good(crowd, broker)


@s.scenario
def agents_may_come_late():
    with Broker() as broker, agents(1) as crowd:
        port = free_port()
        process = coordinate([crowd[0], f"127.0.0.1:{port}"], broker.port, start_only=True)
        time.sleep(1.5)
        late = Agent(port=port)
        good(finish(process), 2)
        late.program.kill()
        begun = time.monotonic()
        code, _, errors = coordinate([crowd[0], f"127.0.0.1:{port}"], broker.port, "--agents-wait", "1")
        assert code == 2 and f"127.0.0.1:{port}: Connection refused" in errors, (code, errors)
        assert time.monotonic() - begun < 9  # ten, had it not been told


@s.scenario
def once_means_one_run():
    with Broker() as broker:
        crowd = [Agent("--agent-once"), Agent("--agent-once")]
        socket.create_connection(("127.0.0.1", crowd[0].port)).close()  # a probe is no run
        good(coordinate(crowd, broker.port), 2)
        assert [a.program.exit() for a in crowd] == [0, 0]
        crowd = [Agent("--agent-once")]
        begin_long_run(crowd, broker).kill()
        assert crowd[0].program.exit() == 2


# ---- Who does not understand ----

PHASE_SETUP, PHASE_RUN, PHASE_CLOSE = 0, 2, 6  # of bench/run.h


def talk(agent, *lines):
    """What the agent replies to these lines, one by one; None where it closes instead, and then no more.
    A number is a pause."""
    replies = []
    with socket.create_connection(("127.0.0.1", agent.port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            file = connection.makefile("rwb")
            for line in lines:
                if isinstance(line, float):
                    time.sleep(line)
                    continue
                file.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
                file.flush()
                reply = file.readline()
                replies.append(json.loads(reply) if reply else None)
                if not reply:
                    break
    return replies


def hello(agent):
    """The hello that this build understands, taken from what it refuses."""
    [refused] = talk(agent, {"type": "hello", "protocol": 99, "layout": 0})
    assert "another version: protocol 1, layout " in refused["error"], refused
    layout = int(refused["error"].split("layout ")[1].split(",")[0], 16)
    return {"type": "hello", "protocol": 1, "layout": layout}


def make(*words, **kw):
    return {"type": "make", "agent": 0, "agents": 1, "run": 7, "clock_shift_us": 0, "broker_pid": 0,
            "options": list(words), **kw}


@s.scenario
def an_agent_survives_whatever_it_is_sent():
    with Broker() as broker, agents(1) as crowd:
        first, port = hello(crowd[0]), f"--port={broker.port}"
        assert talk(crowd[0], first)[0] == first
        for bad in (b"GET / HTTP/1.1", b"", b"{", b"[]", b"\xff" * 70, {"type": "make"}, {"type": "hello"}, b"[" * 100000,
                    {**first, "protocol": "1"}, {"type": "none"}, make("--qos\x1b"), make(*["--qos=0"] * 65)):
            assert talk(crowd[0], first, bad)[1:] == [None], bad
        for refused, why in ((make("--restart-command=true"), "does not take"), (make("--file=/etc/passwd"), "does not take"),
                             (make("--agent=1"), "does not take"), (make("--qos=9"), "not good"),
                             (make("--kill-at=1"), "not good"), (make(agents=0), "out of range"),
                             (make(agent=1), "out of range"), (make(agents=257), "out of range"), (make(run=-1), "out of"),
                             (make("--clients=1000000", "--size=16777216"), "does not take"), ({"type": "begin"}, "not now"),
                             ({"type": "look"}, "not now"), ({"type": "end"}, "not now"), ({"type": "measure"}, "not now"),
                             (make("--host=nobody.invalid"), "nobody.invalid")):
            assert why in talk(crowd[0], first, refused)[1]["error"], refused
        assert talk(crowd[0], make())[0]["error"] == "hello first"
        phase = {"type": "phase", "phase": PHASE_RUN, "start_us": 0, "measure_from_us": 0, "measure_to_us": 0}
        assert "too late" in talk(crowd[0], first, make(port), {"type": "begin"}, phase)[3]["error"]
        assert "too far" in talk(crowd[0], first, make(port), {"type": "begin"}, {**phase, "start_us": 1 << 62})[3]["error"]
        for number in PHASE_SETUP, PHASE_CLOSE, PHASE_CLOSE + 1, -1, 1 << 40:
            assert "not now" in talk(crowd[0], first, make(port), {"type": "begin"}, {**phase, "phase": number})[3]["error"]
        replies = talk(crowd[0], first, make(port), {"type": "begin"}, {"type": "end"}, {"type": "end"})
        assert "error" not in replies[3] and "not now" in replies[4]["error"], replies
        with socket.create_connection(("127.0.0.1", crowd[0].port), timeout=10) as connection:
            with contextlib.suppress(OSError):  # a line without an end
                connection.sendall(b"x" * (3 << 20))
                assert connection.recv(1) == b""
        still_good(crowd, broker)


def fake_agent(*replies):
    """Accepts a coordinator and says that. Returns host:port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with listener, connection, contextlib.suppress(OSError):
            file = connection.makefile("rwb")
            for reply in replies:
                file.readline()
                file.write(reply + b"\n")
                file.flush()
            file.readline()
    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


@s.scenario
def an_agent_survives_requests_in_any_order():
    with Broker() as broker, agents(1) as crowd:
        first, rng = hello(crowd[0]), random.Random(1)
        scenarios = (["--qos=1"], ["--scenario=durable-pairs", "--qos=2"], ["--scenario=offline-queue", "--qos=1"],
                     ["--scenario=retained", "--retained=50"], ["--scenario=fleet", "--qos=1", "--rate=1000"],
                     ["--scenario=fan-out", "--threads=3"], ["--scenario=connect"], ["--scenario=recover", "--qos=1"])
        for turn in range(32):
            requests = [first, make(f"--port={broker.port}", *scenarios[turn % len(scenarios)]), {"type": "begin"}]
            for _ in range(rng.randrange(12)):
                start = time.monotonic_ns() // 1000 + rng.randrange(1000, 100000)
                requests.append(rng.random() / 10)
                requests.append(rng.choice(({"type": "look"}, {"type": "measure"}, {"type": "clock"},
                                            {"type": "phase", "phase": rng.randrange(1, 6), "start_us": start,
                                             "measure_from_us": rng.randrange(-1000, start), "measure_to_us": start})))
            requests += rng.choice(([], [{"type": "end"}]))
            replies = talk(crowd[0], *requests)
            assert None not in replies[:4], (requests, replies)
            assert crowd[0].alive(), requests
        still_good(crowd, broker)


@s.scenario
def a_coordinator_names_the_agent_that_does_not_fit():
    with Broker() as broker, agents(1) as crowd:
        first = hello(crowd[0])
        later = json.dumps({**first, "protocol": 2}).encode()
        other = json.dumps({**first, "layout": 3}).encode()
        same = json.dumps(first).encode()
        for replies, why in (([later], "another version"), ([other], "another version"), ([b"HTTP/1.1 400"], "no sense"),
                             ([b'{"type":"hello","error":"go\\u001b away"}'], "go? away"), ([], "closed"),
                             ([same, b'{"type":"clock"}'], "no sense"), ([same, same], "another question"),
                             ([b"x" * (2 << 20)], "no sense")):
            where = fake_agent(*replies)
            code, report, errors = coordinate([crowd[0], where], broker.port)
            assert code == 2 and report is None, (code, replies)
            assert f"agent 2 ({where}): " in errors and why in errors, (errors, why)
        still_good(crowd, broker)


@s.scenario
def one_coordinator_at_a_time():
    with Broker() as broker, agents(1) as crowd:
        process = begin_long_run(crowd, broker)
        code, _, errors = coordinate(crowd, broker.port)
        assert code == 2 and "busy with a run" in errors, (code, errors)
        assert process.poll() is None
        process.kill()
        process.wait()


@s.scenario
def impossible_options_are_refused():
    for options, why in ((["--agents", "127.0.0.1:1", "--restart-command", "true", "--broker-pid", "1", "--scenario",
                           "recover", "--qos", "1"], "--restart-command is not possible with --agents"),
                         (["--agent", "0", "--qos", "1"], "--qos is the coordinator's to say"),
                         (["--agent-once"], "--agent-once is for agents"),
                         (["--broker-agent", "1", "--broker-pid", "1"], "--broker-agent needs --agents"),
                         (["--agents", "127.0.0.1:1", "--broker-agent", "1"], "--broker-agent needs --broker-pid"),
                         (["--agents", "localhost"], "expected HOST:PORT"),
                         (["--agent", "127.0.0.1:"], "expected ADDRESS:PORT"),
                         (["--agent", "192.0.2.1:0"], "Cannot assign")):
        code, text = s.run(bench(), *options)
        assert code == 2 and why in text, (options, code, text)
    with agents(2) as crowd:
        for scenario in "fan-in", "fan-out":
            code, _, errors = coordinate(crowd, 1, "--scenario", scenario)
            assert code == 2 and f"{scenario} over several agents needs --rate" in errors, errors
        code, _, errors = coordinate(crowd, 1, "--scenario", "shared", "--rate", "10")
        assert code == 2 and "all its members in one process" in errors, errors
        code, _, errors = coordinate(crowd, 1, "--broker-pid", "1", "--broker-agent", "3")
        assert code == 2 and "there is no agent 3" in errors, errors


s.main()
