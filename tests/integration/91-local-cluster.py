"""deploy/local-cluster: three nodes by one command, that are one broker, and all end with it."""
import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import scenario as s
from broker import ROOT, binary, free_port
from controlled import CTL

STATE = pathlib.Path(tempfile.mkdtemp(prefix="tern-local-"))
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
SCRIPT = ROOT / "deploy" / "local-cluster"
PORT, CLUSTER_PORT = free_port(), free_port()
ENV = {**os.environ, "PORT": str(PORT), "CLUSTER_PORT": str(CLUSTER_PORT), "STATE": str(STATE), "TERNMQ": binary()}


def listens(host):
    with socket.socket() as sock:
        return sock.connect_ex((host, PORT)) == 0


@contextlib.contextmanager
def nodes(count, number=signal.SIGINT):
    """Started and ready, and ended by a signal to the script alone."""
    program = s.Program(SCRIPT, count, env=ENV)
    try:
        program.wait_line("Ctrl-C", 60)
        yield program
    finally:
        program.process.send_signal(number)
        code = program.exit(60)
    assert code == 0, program.rest()
    for i in range(1, count + 1):
        # The kernel takes a process's rings apart after its end, and with them the port.
        s.until(lambda: not listens(f"127.0.0.{i}"), f"node {i} still runs")


def sub(i, *args):
    program = s.Program("stdbuf", "-oL", "mosquitto_sub", "-d", "-h", f"127.0.0.{i}", "-p", PORT, "-q", "1", *args)
    program.wait_line("Subscribed (mid")
    return program


def pub(i, *args):
    code, text = s.run("mosquitto_pub", "-h", f"127.0.0.{i}", "-p", PORT, "-q", "1", *args)
    assert code == 0, text


def heard(program, seconds):
    """The messages that have come, until nothing comes for a while."""
    try:
        while True:
            program.line(seconds)
    except AssertionError:
        return [line for line in program.seen if line and not line.startswith(("Client ", "Subscribed"))]


def exchange(name):
    """Each node hears what is published on each one, once they have found each other."""
    subs = {i: sub(i, "-t", f"{name}/#") for i in (1, 2, 3)}
    end = time.monotonic() + 60
    while not all({f"{name} {j}" for j in subs} <= set(heard(program, 0.2)) for program in subs.values()):
        assert time.monotonic() < end, {i: heard(program, 0.2) for i, program in subs.items()}
        for j in subs:
            pub(j, "-t", f"{name}/{j}", "-m", f"{name} {j}")
    for program in subs.values():
        program.kill()


@s.scenario
def three_nodes_are_one_broker():
    with nodes(3) as program:
        told = "\n".join(program.seen)
        assert all(f"MQTT on 127.0.0.{i}, port {PORT}" in told for i in (1, 2, 3)) and str(STATE) in told, told
        secret = STATE / "secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_text()) >= 40
        exchange("first")
        socket_path = told.split("ternmqctl --socket ")[1].split()[0]
        code, text = s.run(CTL, "--socket", socket_path, "cluster")
        assert code == 0 and all(f"node-{i}" in text for i in (1, 2, 3)), text
        pub(1, "-t", "kept", "-m", "by all", "-r", "-q", "1")


@s.scenario
def what_they_keep_is_there_again():
    secret = (STATE / "secret").read_text()
    with nodes(3, signal.SIGTERM):
        assert (STATE / "secret").read_text() == secret
        exchange("second")
        for i in (1, 2, 3):
            kept = sub(i, "-t", "kept")
            s.until(lambda: "by all" in heard(kept, 0.1), f"node {i} has it not")
            kept.kill()


@s.scenario
def a_node_that_ends_is_told_of_and_the_others_go_on():
    with nodes(3) as program:
        line = next(l for l in program.seen if "(node-2," in l)
        os.kill(int(line.split("process ")[1].rstrip(")")), signal.SIGKILL)
        assert "Node 2 has ended" in program.wait_line("Node 2")
        ear = sub(1, "-t", "still/#")
        pub(1, "-t", "still/here", "-m", "yes")
        assert s.messages(ear, 1) == ["yes"]
        ear.kill()


@s.scenario
def wrong_words_start_nothing():
    for args, env in (([], {}), (["0"], {}), (["65"], {}), (["x"], {}), (["3"], {"PORT": "0"}), (["3"], {"CLUSTER_PORT": "x"})):
        done = subprocess.run([str(SCRIPT), *args], env={**ENV, **env}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr, (args, env, done)


s.main()
