#!/usr/bin/python3
"""scenarios.py - what becomes of pods while clients publish and hear, and of what they were promised.

  unshare --net scenarios.py RUNTIME SCENARIO OBJECTS FOLDER      RUNTIME: namespaces, podman (runtimes.py)

In a network of its own. OBJECTS: a rendered installation as JSON. Waits of a minute are made shorter in it, unless
TERN_PATIENT=1. Ends with 77 where this machine cannot do it, and says why.
"""
import base64
import copy
import importlib.util
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
sys.dont_write_bytecode = True
import ledger  # noqa: E402
import live  # noqa: E402
import lookalike  # noqa: E402
import mqtt  # noqa: E402
import runtimes  # noqa: E402
import transport  # noqa: E402
from broker import binary  # noqa: E402

CANNOT = 77
USER = (live.USER, live.PASSWORD)
HURRIED_CONF = ("drain_time 20", "drain_time 2")


def hurried(things):
    """With waits that are shorter, and in the same order."""
    for thing in things:
        if thing["kind"] == "StatefulSet":
            thing["spec"]["minReadySeconds"] = 2
            container = thing["spec"]["template"]["spec"]["containers"][0]
            container["lifecycle"]["preStop"]["sleep"]["seconds"] = 1
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                container[kind]["periodSeconds"] = 1
            container["startupProbe"]["failureThreshold"] *= 5
        elif thing["kind"] == "ConfigMap" and "ternmq.conf" in thing["data"]:
            before, after = HURRIED_CONF
            assert before in thing["data"]["ternmq.conf"], f"no {before} in ternmq.conf"
            thing["data"]["ternmq.conf"] = thing["data"]["ternmq.conf"].replace(before, after)
    return things


class Stage:
    """A cluster with a load. count: of pods at the beginning."""

    def __init__(self, things, runtime, folder, count):
        self.things = things if os.environ.get("TERN_PATIENT") else hurried(things)
        self.find("StatefulSet", "ternmq")["spec"]["replicas"] = count
        self.cluster = lookalike.Cluster(self.things, runtime, folder)
        self.load = ledger.Load(self.connect, USER)

    def find(self, kind, name):
        return next(t for t in self.things if t["kind"] == kind and t["metadata"]["name"] == name)

    def __enter__(self):
        self.cluster.__enter__()
        self.cluster.wait_ready()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                count = self.load.end()
                print(f"{count} messages acknowledged, and heard by {len(self.load.subscribers)} subscribers; "
                      f"connections: {sum(w.comes for w in self.workers())}", flush=True)
            else:
                print(self.cluster.story(), file=sys.stderr)
        finally:
            self.cluster.__exit__(kind)

    def workers(self):
        return [*self.load.publishers, *self.load.subscribers]

    def connect(self, at, **kw):
        if at is None:
            return self.cluster.connect("ternmq", **kw)
        port = self.cluster.objects["Service", "ternmq"]["spec"]["ports"][0]["targetPort"]
        return self.cluster.pods[at].client(port, **kw)

    def addresses(self):
        return {number: pod.address for number, pod in list(self.cluster.pods.items())}

    def exits(self):
        """Of all pods that were: each was asked to end, and did."""
        return [code for pod in self.cluster.ended for code in pod.exits]


# ---- Pods that go and come -----------------------------------------------------------------------------------------


def killed(stage):
    """A process is killed: its container is started again, in the same pod, with the same address."""
    before = stage.addresses()
    stage.load.begin([0, 1, 2])
    for victims in ([1], [2, 0], [0, 1, 2]):
        exits = {v: len(stage.cluster.pods[v].exits) for v in victims}
        for victim in victims:
            stage.cluster.kill(victim)
        stage.cluster.until(f"{victims} have ended", lambda: all(
            len(stage.cluster.pods[v].exits) > n for v, n in exits.items()))
        stage.cluster.wait_ready()
        stage.load.flows()
        stage.load.settle()
    assert stage.addresses() == before, "a container that restarts has kept no address"
    codes = [code for _, pod in sorted(stage.cluster.pods.items()) for code in pod.exits]
    assert codes == [lookalike.KILLED] * 6, codes


def moved(stage):
    """A pod is lost with its machine: another one of its name has its volume, and a new address."""
    stage.load.begin([0, 1, 2])
    for victim in (2, 0):
        before = stage.addresses()
        stage.cluster.delete(victim, grace=0)
        stage.cluster.until("the pod is another one", lambda: stage.addresses().get(victim) not in
                            (None, before[victim]))
        stage.cluster.wait_ready()
        stage.load.flows()
        stage.load.settle()
        assert len(set(stage.addresses().values()) | set(before.values())) == 4, "the others have moved, too"


def updated(stage):
    """A rolling update: one pod at a time, the highest number first, each ready before the next one goes."""
    stage.load.begin([0, 1, 2])
    stage.cluster.restart()
    downs = []

    def is_done():
        down = [number for number, pod in sorted(stage.cluster.pods.items()) if pod.ready_since is None]
        assert len(down) <= 1, f"several pods are down: {down}"
        if down and downs[-1:] != down:
            downs.append(down[0])
        return stage.cluster.is_ready()
    stage.cluster.until("all pods are updated", is_done, 600)
    stage.cluster.wait_ready()
    assert downs == [2, 1, 0], f"in another order: {downs}"
    assert stage.exits() == [0, 0, 0], f"they did not end well: {stage.exits()}"
    stage.load.flows()


def scaled(stage):
    """1 -> 3 -> 2, and back: a session stays on its node, and waits there with what it was promised."""
    stage.load.begin([0])
    stage.cluster.scale(3)
    for number in (1, 2):
        stage.load.subscribe(f"hears-{number}", 2, number)
    stage.load.flows()
    stage.load.settle()
    stage.cluster.scale(2)
    assert stage.exits() == [0], f"it did not end well: {stage.exits()}"
    stay, away = stage.load.subscribers[:2], stage.load.subscribers[2]
    stage.load.flows()
    stage.load.settle(stay)
    stage.cluster.until("whose session is away is told so", lambda: away.told == 0x88)
    assert stage.load.missing(away), "the session of a node that is not there hears"
    assert (stage.cluster.folder / "claims" / "data-ternmq-2").is_dir()
    stage.cluster.scale(3)
    stage.load.settle()


# ---- Memory --------------------------------------------------------------------------------------------------------


LIMIT = "256Mi"
BLOCK = b"x" * 500_000


def small(things):
    container = next(t for t in things if t["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["limits"]["memory"] = container["resources"]["requests"]["memory"] = LIMIT


def fill(client):
    """Retained messages until one is refused for want of memory. Returns how many there are."""
    for number in range(10_000):
        mid = next(client.mids)
        client.send(mqtt.publish(f"fill/{number}", BLOCK, 1, mid, retain=True))
        reason = client.recv_type(mqtt.PUBACK, 60).reason
        if reason == 0x97:
            return number
        assert reason < 0x80, hex(reason)
    raise AssertionError("memory has no end")


class Eater:
    """Another process in a container's cgroup, which takes memory until the broker is chosen to make room."""

    PROGRAM = "import time\nheld = []\nwhile True:\n    held.append(b'x' * (1 << 20))\n    time.sleep(0.02)\n"

    def __init__(self, group, victim):
        pathlib.Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
        self.process = subprocess.Popen(["/bin/sh", "-c", 'read line; exec "$@"', "sh", "/usr/bin/python3", "-c",
                                         self.PROGRAM], stdin=subprocess.PIPE)
        group.add(self.process.pid)  # it waits for that
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()

    def end(self):
        self.process.kill()
        self.process.wait()


def short_of_memory(stage):
    """A limit of 256 MiB: what does not fit is refused, and nobody is killed. If the kernel kills it all the same, what
    was acknowledged is there."""
    pod = stage.cluster.pods[0]
    if pod.runtime.name == "namespaces" and pod.runtime.group is None:
        runtimes.MemoryGroup.make(f"ternmq-test-{os.getpid()}-probe", 1 << 30)  # says why
        raise AssertionError("there was no cgroup, and now there is one")
    group = runtimes.MemoryGroup.of(pod.runtime.pid)
    stage.load.begin([0])
    filler = stage.connect(0).open("filler", user=USER[0], password=USER[1], keep_alive=0)
    count = fill(filler)
    assert count * len(BLOCK) > lookalike.amount(LIMIT) / 2, f"{count} messages of 500 kB fit into {LIMIT}"
    assert pod.figure("ternmq_governor_level") >= 3
    time.sleep(3)  # at the limit, with a load that goes on
    assert not pod.exits and group.kills() == 0, f"it was killed: {pod.exits}"
    # As long as there is no room nobody can come, also after a restart.
    first = count // 3
    for number in range(first):
        take_away(filler, number)
    stage.cluster.until("there is room again", lambda: pod.figure("ternmq_governor_level") == 0)
    stage.cluster.wait_ready()
    stage.load.flows()
    eater = Eater(group, pod.runtime.pid)
    try:
        stage.cluster.until("the kernel kills the broker", lambda: pod.exits)
    finally:
        eater.end()
    assert pod.exits == [lookalike.KILLED], pod.exits
    stage.cluster.wait_ready()
    reader = stage.connect(0).open("reader", user=USER[0], password=USER[1], keep_alive=0)
    for number in range(first, count):
        reader.sub(f"fill/{number}", qos=1)
        assert reader.msg(timeout=60).payload == BLOCK, f"fill/{number} is not there"
        reader.unsub(f"fill/{number}")
        take_away(reader, number)
    reader.bye()
    stage.load.flows()


def take_away(client, number):
    mid = next(client.mids)
    client.send(mqtt.publish(f"fill/{number}", b"", 1, mid, retain=True))
    assert client.recv_type(mqtt.PUBACK, 60).reason < 0x80


# ---- Rotation ------------------------------------------------------------------------------------------------------


def changed(stage, kind, name, file, text):
    """The object with another file in it, applied."""
    thing = copy.deepcopy(stage.cluster.objects[kind, name])
    thing["data"][file] = base64.b64encode(text).decode() if kind == "Secret" else text
    stage.cluster.apply(thing)


def connack(pod, port, name, user, password):
    client = pod.client(port)
    got = client.hello(name, user=user, password=password).recv_type(mqtt.CONNACK)
    client.close()
    return got


def on_all(stage, what, condition):
    for pod in list(stage.cluster.pods.values()):
        stage.cluster.until(f"{pod.pod_name}: {what}", lambda pod=pod: condition(pod))


def undisturbed(stage, change):
    """No client of the load loses its connection by the change, and no pod is another one."""
    stage.load.answer_s = 100
    before, pods = [w.comes for w in stage.workers()], dict(stage.cluster.pods)
    change()
    stage.load.flows()
    assert [w.comes for w in stage.workers()] == before, "connections were lost"
    assert stage.cluster.pods == pods and not any(p.exits for p in pods.values()), "pods have gone"


def reconfigured(stage):
    """A ConfigMap and a Secret change: all pods take them as they are, and a bad one changes nothing."""
    stage.load.begin([0, 1, 2])
    good = stage.cluster.objects["ConfigMap", "ternmq"]["data"]["ternmq.conf"]

    def keep_alive(pod):
        return connack(pod, "mqtt", "asks", *USER).props.get("server_keep_alive")

    def second_user():
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "passwd"
            file.write_bytes(stage.cluster.files_of("Secret", "ternmq-users")["passwd"])
            tool = pathlib.Path(binary()).parent / "ternmq-passwd"
            subprocess.run([tool, "-b", file, "berta", "another"], check=True, capture_output=True)
            return file.read_bytes()

    def failed(pod):
        return pod.figure('ternmq_reload_failed{files="config"}')

    def change():
        changed(stage, "ConfigMap", "ternmq", "ternmq.conf", good + "\nmax_keepalive 55\n")
        on_all(stage, "the configuration is the new one", lambda pod: keep_alive(pod) == 55)
        changed(stage, "ConfigMap", "ternmq", "ternmq.conf", good + "\nmax_keepalive 44\nmax_keepalife 33\n")
        on_all(stage, "a bad one is told", lambda pod: failed(pod) == 1)
        on_all(stage, "a bad one changes nothing", lambda pod: keep_alive(pod) == 55)
        changed(stage, "ConfigMap", "ternmq", "ternmq.conf", good)
        on_all(stage, "it is good again",
               lambda pod: keep_alive(pod) is None and failed(pod) == 0)
        assert connack(stage.cluster.pods[0], "mqtt", "b", "berta", "another").reason == 0x86
        changed(stage, "Secret", "ternmq-users", "passwd", second_user())
        on_all(stage, "a new user comes", lambda pod: connack(pod, "mqtt", "b", "berta", "another").reason == 0)
    undisturbed(stage, change)


def certified(stage):
    """A certificate and its key change in one step."""
    stage.load.begin([0, 1])
    folder = transport.certificates()

    def shown(pod):
        with transport.tls_context().wrap_socket(pod_socket(pod)) as sock:
            return sock.getpeercert(binary_form=True)

    def first_of(name):
        text = (folder / f"{name}.pem").read_text()
        return ssl.PEM_cert_to_DER_cert(re.match(r".*?-----END CERTIFICATE-----", text, re.S)[0])

    def change():
        for name in ("rsa", "chain"):
            thing = copy.deepcopy(stage.cluster.objects["Secret", "ternmq-tls"])
            for file, made in (("tls.crt", f"{name}.pem"), ("tls.key", f"{name}.key")):
                thing["data"][file] = base64.b64encode((folder / made).read_bytes()).decode()
            stage.cluster.apply(thing)
            on_all(stage, f"the certificate is {name}", lambda pod, name=name: shown(pod) == first_of(name))
    on_all(stage, "the certificate is the first one", lambda pod: shown(pod) == first_of("chain"))
    undisturbed(stage, change)


def pod_socket(pod):
    return socket.create_connection((pod.address, pod.port("mqtts")), 30)


# (how many pods, the overlay, what happens, what is changed before)
SCENARIOS = {
    "a process is killed": (3, "cluster", killed, None),
    "a pod comes back with a new address": (3, "cluster", moved, None),
    "a rolling update": (3, "cluster", updated, None),
    "1 pod, 3, 2": (1, "cluster", scaled, None),
    "a pod at its limit of memory": (1, "single", short_of_memory, small),
    "a ConfigMap and a Secret are swapped": (3, "cluster", reconfigured, None),
    "certificates are swapped": (2, "restricted", certified, None),
}


def main(runtime, name, file, folder):
    count, overlay, act, prepare = SCENARIOS[name]
    things = json.loads(pathlib.Path(file).read_text())
    if prepare:
        prepare(things)
    try:
        if overlay == "restricted" and runtime == "namespaces" and importlib.util.find_spec("seccomp") is None:
            raise runtimes.Skip("no python3-seccomp on this machine")
        with Stage(things, runtime, folder, count) as stage:
            act(stage)
    except runtimes.Skip as e:
        print(e, file=sys.stderr)
        return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
