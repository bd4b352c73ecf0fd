"""live.py - the broker run as the rendered StatefulSet has it, on this machine: files, variables, ports and probes.

Paths of mounts lead to a folder, and ports to others that are free here, where the pod has no address of its own.
Everything else is as Kubernetes would have it.
"""
import base64
import collections
import ctypes
import errno
import os
import pathlib
import pwd
import re
import signal
import subprocess
import time
import urllib.request

import mqtt
import transport
from broker import ROOT, binary, free_port

USER, PASSWORD = "anna", "a-password"


def image_variables():
    return re.findall(r"^ENV (\w+)=(.*)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)


def has_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)  # io_uring_setup; never makes one: the pointer is bad
    return ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES)


def make_secrets(deploy):
    """What deploy/README.md has its reader make, in a copy of deploy/."""
    folder = pathlib.Path(deploy) / "kubernetes"
    passwd = pathlib.Path(binary()).parent / "ternmq-passwd"
    subprocess.run([passwd, "-b", "-c", folder / "base" / "passwd", USER, PASSWORD], check=True, capture_output=True)
    secret = base64.b64encode(os.urandom(32)) + b"\n"
    (folder / "overlays" / "cluster" / "cluster.secret").write_bytes(secret)
    for name, made in (("tls.crt", "chain.pem"), ("tls.key", "chain.key")):
        (folder / "overlays" / "restricted" / name).write_bytes((transport.certificates() / made).read_bytes())


class Pod:
    """A pod of the StatefulSet that is among things, laid out below folder. under: what starts the broker. more:
    variables. address: its own, in a network of its own."""

    def __init__(self, things, folder, under=(), more=(), address=None):
        self.folder, self.process, self.under, self.more = pathlib.Path(folder), None, list(under), dict(more)
        self.address = address or "127.0.0.1"
        self.things = {(t["kind"], t["metadata"]["name"]): t for t in things}
        self.spec = self.things["StatefulSet", "ternmq"]["spec"]["template"]["spec"]
        self.container = self.spec["containers"][0]
        numbers = {p["containerPort"] for p in self.container["ports"]}
        self.ports = {port: port if address else free_port() for port in numbers}
        self.mounts = {m["mountPath"]: m["name"] for m in self.container["volumeMounts"]}
        for path, name in self.mounts.items():
            self._lay(path, name)
        self.file = self.folder / "etc/ternmq/ternmq.conf"

    def _here(self, text):
        """With our folder and ports in it."""
        text = re.sub(r"(?<![\w/])(?=(?:%s)(?:/|$|\s))" % "|".join(map(re.escape, self.mounts)), str(self.folder), text,
                      flags=re.M)
        return re.sub(r"(?<!\d)(%s)(?!\d)" % "|".join(map(str, self.ports)), lambda m: str(self.ports[int(m[1])]), text)

    def _lay(self, path, name):
        folder = self.folder / path.lstrip("/")
        folder.mkdir(parents=True)
        volume = next((v for v in self.spec["volumes"] if v["name"] == name), {})
        if "configMap" in volume:
            for file, text in self.things["ConfigMap", volume["configMap"]["name"]]["data"].items():
                (folder / file).write_text(self._here(text))
        if "secret" in volume:
            for file, text in self.things["Secret", volume["secret"]["secretName"]]["data"].items():
                (folder / file).write_bytes(base64.b64decode(text))

    def variables(self):
        values = {"TERNMQ_USER": pwd.getpwuid(os.getuid()).pw_name}  # as in the pod: whoever starts it
        fields = {"status.podIP": self.address, "metadata.name": self.more.get("TERNMQ_NODE_NAME", "ternmq-0"),
                  "metadata.namespace": "ternmq"}
        wanted = [(v["name"], v["value"] if "value" in v else fields[v["valueFrom"]["fieldRef"]["fieldPath"]])
                  for v in self.container.get("env", ())]
        for name, value in [*image_variables(), *wanted]:
            values[name] = re.sub(r"\$\((\w+)\)", lambda m: values[m[1]], self._here(value))
        return values

    def _command(self, *options):
        env = {name: value for name, value in os.environ.items() if not name.startswith("TERNMQ_")}
        return {"args": [*self.under, binary(), "-c", str(self.file), *options],
                "env": {**env, **self.variables(), **self.more}}

    def test_config(self):
        done = subprocess.run(**self._command("--test-config"), capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr or done.stdout

    def offline(self, *options):
        done = subprocess.run(**self._command(*options), capture_output=True, text=True)
        assert done.returncode == 0, f"{options}: exit code {done.returncode}: {done.stderr or done.stdout}"

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def kill(self):
        """Where it runs yet."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(**self._command(), stdout=log, stderr=log)
        end = time.monotonic() + 15
        while self.probe("readinessProbe") != 200:
            assert self.process.poll() is None and time.monotonic() < end, f"it does not start:\n{self.log()}"
            time.sleep(0.05)
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.spec["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"none in time ({self.process.wait()})"
        if kind is None:
            assert code == 0, f"exit code {code}:\n{self.log()}"

    def get(self, port_name, path):
        port = next(p["containerPort"] for p in self.container["ports"] if p["name"] == port_name)
        return urllib.request.urlopen(f"http://{self.address}:{self.ports[port]}{path}", timeout=5)

    def probe(self, kind):
        http = self.container[kind]["httpGet"]
        try:
            return self.get(http["port"], http["path"]).status
        except OSError as e:
            return getattr(e, "code", None)

    def connection(self):
        """To the client port, as the Service would have it."""
        port = next(p for p in self.container["ports"] if p["name"] in ("mqtt", "mqtts"))
        over = "tls" if port["name"] == "mqtts" else "tcp"
        return mqtt.Client((self.address, self.ports[port["containerPort"]]), over=over)

    def client(self, name):
        """With the user of the Secret."""
        return self.connection().open(name, user=USER, password=PASSWORD.encode())

    def exchange(self):
        client = self.client("c")
        client.sub("a/#", qos=1)
        client.pub("a/b", b"x", qos=1)
        client.msg(b"x", timeout=5)
        client.bye()
        stranger = self.connection()  # nobody, and comes to nothing
        reason = stranger.hello("d").recv_type(mqtt.CONNACK).reason
        stranger.close()
        assert reason in (0x86, 0x87), f"a stranger is told {reason:#x}"

    def control(self, *words):
        done = subprocess.run([pathlib.Path(binary()).parent / "ternmqctl", *words], env=self._command()["env"],
                              capture_output=True, text=True)
        assert done.returncode == 0, f"ternmqctl {words}: {done.stdout}{done.stderr}"

    def metrics(self):
        return self.get("http", "/metrics").read().decode()

    def figures(self):
        """{name of a sample: [its labels, ...]}; with no labels that of a metric that has no sample yet"""
        found = collections.defaultdict(list)
        for line in self.metrics().splitlines():
            sample = re.match(r"(\w+)(?:\{(.*)\})? \S+$", line)
            if sample:
                found[sample[1]].append(dict(re.findall(r'(\w+)="([^"]*)"', sample[2] or "")))
            elif head := re.match(r"# TYPE (\w+) gauge$", line):  # of a link, where there are no other nodes
                found[head[1]] += []
        return found
