"""lookalike.py - as much of Kubernetes as deploy/kubernetes needs: a StatefulSet and its pods, on this machine.

Cluster is the controller and the API server: rendered objects go in, those that change, too. Pod is the kubelet, on a
thread of its own. What runs a container, and what a network is, is in runtimes.py; what is known of objects is in
objects.py, and everything else is refused. What is kept to:

- names of pods, volumes that outlive them, an address that is new with each pod and stays when a container restarts;
- names as CoreDNS has them (a Service without an address of its own, a pod below it), asked over the network;
- ConfigMaps and Secrets as folders with `..data`, which are swapped when the object changes;
- the three probes, and which pods a Service sends its clients to;
- end of a pod: out of the Service, preStop, SIGTERM, SIGKILL when its time is over; a container that ends is restarted;
- Parallel, rolling updates from the highest number down, each when the one before was ready for minReadySeconds.

A Service with an address has none here: connect() chooses a pod that is ready, as kube-proxy does for each connection.
"""
import base64
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import threading
import time
import urllib.request

import mqtt
import objects
import runtimes
from names import NameServer

ZONE = "svc.cluster.local"
KILLED = 128 + signal.SIGKILL
STEP_S = 0.05
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "": 1}


def amount(text):
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|)", text).groups()
    return int(number) * UNITS[unit]


def revision_of(spec):
    return hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]


class Mount:
    """A ConfigMap or a Secret as a folder: its files are links by way of ..data, so that all of them change at once."""

    def __init__(self, folder, mode, group):
        self.folder, self.mode, self.group, self.files, self.turn = pathlib.Path(folder), mode, group, None, 0
        self.folder.mkdir(parents=True)

    def sync(self, files):
        if files == self.files:
            return
        self.turn += 1
        fresh = self.folder / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{self.turn}"
        fresh.mkdir(mode=0o755)
        for name, content in files.items():
            (fresh / name).write_bytes(content)
            os.chown(fresh / name, 0, self.group)
            (fresh / name).chmod(self.mode)
        data = self.folder / "..data"
        old = data.resolve() if data.exists() else None
        (self.folder / "..data_tmp").symlink_to(fresh.name)
        (self.folder / "..data_tmp").rename(data)
        for name in files.keys() - (self.files or {}).keys():
            (self.folder / name).symlink_to(f"..data/{name}")
        for name in (self.files or {}).keys() - files.keys():
            (self.folder / name).unlink()
        if old:
            shutil.rmtree(old)
        self.files = files


class Probe:
    """One of a container, as the kubelet asks it. kind: startupProbe ..."""

    def __init__(self, pod, kind):
        spec = pod.container[kind]
        self.url = f"http://{pod.address}:{pod.port(spec['httpGet']['port'])}{spec['httpGet']['path']}"
        self.period, self.timeout = spec.get("periodSeconds", 10), spec.get("timeoutSeconds", 1)
        self.allowed = spec.get("failureThreshold", 3)
        self.due, self.failures, self.good = time.monotonic(), 0, False

    def turn(self):
        """When it is due. Sets good; failures that are too many: fails()."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.period
        try:
            with urllib.request.urlopen(self.url, timeout=self.timeout) as answer:
                self.good = 200 <= answer.status < 400
        except OSError:
            self.good = False
        self.failures = 0 if self.good else self.failures + 1

    def fails(self):
        return self.failures >= self.allowed


class Pod(threading.Thread):
    """One life of a pod: one address, any number of containers, one after the other."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number, spec = cluster, number, cluster.set["spec"]
        self.pod_name = f"{cluster.set['metadata']['name']}-{number}"
        self.template, self.revision = spec["template"], revision_of(spec)
        self.spec = self.template["spec"]
        self.container = self.spec["containers"][0]
        self.network = runtimes.Network()
        self.address = self.network.address
        self.folder = cluster.folder / f"{self.pod_name}.{self.address}"
        self.folder.mkdir()
        self.log_file = self.folder / "log"
        self.runtime = runtimes.RUNTIMES[cluster.runtime](self.folder)
        self.ready_since, self.exits, self.problem = None, [], None
        self.deleted, self.grace, self.gone = threading.Event(), None, False
        self.mounts = {}
        self.start()

    # -- what there is --

    def port(self, name):
        return next(p["containerPort"] for p in self.container["ports"] if name in (p.get("name"), p["containerPort"]))

    def is_available(self):
        since = self.ready_since
        return since is not None and time.monotonic() >= since + self.cluster.set["spec"].get("minReadySeconds", 0)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.address}:{self.port('http')}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def figure(self, sample):
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.metrics(), re.M)
        assert found, f"{self.pod_name} has no {sample}"
        return float(found[1])

    def client(self, port_name, **kw):
        return mqtt.Client((self.address, self.port(port_name)), over="tls" if port_name == "mqtts" else "tcp", **kw)

    # -- volumes --

    def _folder_of(self, volume):
        """Where a volume of the pod's is; a claim's outlives the pod."""
        group = self.spec["securityContext"]["fsGroup"]
        claims = [c["metadata"]["name"] for c in self.cluster.set["spec"].get("volumeClaimTemplates", ())]
        if volume in claims:
            folder = self.cluster.folder / "claims" / f"{volume}-{self.pod_name}"
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, 0, group)
            folder.chmod(0o2775)
            return folder
        source = next(v for v in self.spec["volumes"] if v["name"] == volume)
        kind, name, mode = ("ConfigMap", source["configMap"]["name"], 0o644) if "configMap" in source else \
            ("Secret", source["secret"]["secretName"], source["secret"].get("defaultMode", 0o644))
        mount = Mount(self.folder / "volumes" / volume, mode | 0o440, group)
        mount.sync(self.cluster.files_of(kind, name))
        self.mounts[kind, name] = mount
        return mount.folder

    def _lay_out(self):
        """[(here, there, how)], with what each container has from the kubelet."""
        laid = [(self._folder_of(m["name"]), m["mountPath"], "ro" if m.get("readOnly") else "rw")
                for m in self.container["volumeMounts"]]
        service, space = self.cluster.set["spec"]["serviceName"], self.cluster.namespace
        full_name = f"{self.pod_name}.{service}.{space}.{ZONE}"
        texts = {"hosts": f"127.0.0.1 localhost\n{self.address} {full_name} {self.pod_name}\n",
                 "resolv.conf": f"nameserver {runtimes.GATEWAY}\nsearch {space}.{ZONE} {ZONE} cluster.local\n"
                                "options ndots:5\n"}
        for file, text in texts.items():
            (self.folder / file).write_text(text)
            laid.append((self.folder / file, f"/etc/{file}", "ro"))
        return laid

    def sync(self):
        for (kind, name), mount in self.mounts.items():
            mount.sync(self.cluster.files_of(kind, name))

    # -- life --

    def _variables(self):
        fields = {"status.podIP": self.address, "metadata.name": self.pod_name,
                  "metadata.namespace": self.cluster.namespace}
        values = {name: os.environ[name] for name in ("TERNMQ_IO",) if name in os.environ}  # all suites heed it
        for v in self.container.get("env", ()):
            value = fields[v["valueFrom"]["fieldRef"]["fieldPath"]] if "valueFrom" in v else v["value"]
            values[v["name"]] = re.sub(r"\$\((\w+)\)", lambda m: values.get(m[1], m[0]), value)
        return values

    def _box(self, mounts):
        security, limits = self.spec["securityContext"], self.container["resources"]["limits"]
        local = security["seccompProfile"]["type"] == "Localhost"
        return runtimes.Box(self.pod_name, self.network, self._variables(), security["runAsUser"],
                            security["runAsGroup"], [security["fsGroup"]], mounts,
                            runtimes.PROFILE if local else None, amount(limits["memory"]), limits["cpu"], self.log_file)

    def run(self):
        try:
            box = self._box(self._lay_out())
            while not self.deleted.is_set():
                self.runtime.start(box)
                self._watch()
                self.ready_since = None
                if not self.deleted.is_set():
                    self.exits.append(self.runtime.ended())
                    # The kubelet waits for 10 s before the second restart, then for longer: here never so long.
                    self.deleted.wait(len(self.exits) > 1)
            self._end()
        except Exception as e:  # a thread's own: the scenario's thread looks at it
            self.problem = e
        finally:
            self.runtime.remove()
            self.network.end()
            self.gone = True

    def _watch(self):
        """Until the container has ended, or the pod is deleted."""
        probes = {kind: Probe(self, kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        startup, liveness, readiness = probes.values()
        while self.runtime.ended() is None and not self.deleted.wait(STEP_S):
            if not startup.good:
                startup.turn()
                if startup.fails():
                    self._end_container(signal.SIGKILL)
                continue
            liveness.turn()
            if liveness.fails():
                self._end_container(signal.SIGTERM)
                return
            readiness.turn()
            if self.deleted.is_set():
                return
            if readiness.good:
                self.ready_since = self.ready_since or time.monotonic()
            elif readiness.fails():
                self.ready_since = None

    def _wait_end(self, end):
        while self.runtime.ended() is None and time.monotonic() < end:
            time.sleep(STEP_S)
        return self.runtime.ended() is not None

    def _end_container(self, number):
        self.runtime.signal(number)
        if not self._wait_end(time.monotonic() + self.spec.get("terminationGracePeriodSeconds", 30)):
            self.runtime.signal(signal.SIGKILL)
            assert self._wait_end(time.monotonic() + 60), f"{self.pod_name} does not end by SIGKILL"

    def _end(self):
        if self.runtime.ended() is not None:
            return
        end = time.monotonic() + self.grace
        if self.grace:
            sleep = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
            self._wait_end(min(end, time.monotonic() + sleep))
            self.runtime.signal(signal.SIGTERM)
            self._wait_end(end)
        self.runtime.signal(signal.SIGKILL)
        assert self._wait_end(time.monotonic() + 60), f"{self.pod_name} does not end by SIGKILL"
        self.exits.append(self.runtime.ended())

    def delete(self, grace=None):
        self.grace = self.spec.get("terminationGracePeriodSeconds", 30) if grace is None else grace
        self.deleted.set()
        self.ready_since = None


class Cluster:
    """Of the rendered things, once `with` has begun. Methods are the test's thread's."""

    def __init__(self, things, runtime, folder):
        self.runtime, self.folder = runtime, pathlib.Path(folder)
        self.objects = objects.check(things)
        self.set = next(t for (kind, _), t in self.objects.items() if kind == "StatefulSet")
        self.namespace = self.set["metadata"]["namespace"]
        self.pods, self.ended, self.problem = {}, [], None
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.controller = threading.Thread(target=self._control, daemon=True)

    # -- life --

    def __enter__(self):
        runtimes.make_bridge()
        self.names = NameServer(runtimes.GATEWAY, self.look_up)
        self.controller.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.controller.join()
        for pod in self.pods.values():
            pod.delete(0)
        for pod in self.pods.values():
            pod.join()
        if kind is None:
            self.check()

    def check(self):
        """A thread's failure cannot fail the test; this does."""
        if self.problem:
            raise AssertionError(f"the controller: {self.problem!r}") from self.problem
        for pod in [*self.ended, *self.pods.values()]:
            if pod.problem:
                raise AssertionError(f"{pod.pod_name}: {pod.problem!r}") from pod.problem

    def _control(self):
        try:
            while not self.stopping.wait(STEP_S):
                with self.lock:
                    self._reconcile()
        except Exception as e:  # a thread's own: check() tells it
            self.problem = e

    def _reconcile(self):
        count = self.set["spec"].get("replicas", 1)
        for number, pod in list(self.pods.items()):
            if pod.gone:
                self.ended.append(self.pods.pop(number))
            elif number >= count and not pod.deleted.is_set():
                pod.delete()
        for number in range(count):
            if number not in self.pods:
                self.pods[number] = Pod(self, number)
        self._update(count)

    def _update(self, count):
        """Looks from the highest number down: the next one is for the time when this one is what it should be."""
        wanted = revision_of(self.set["spec"])
        for number in reversed(range(count)):
            pod = self.pods[number]
            if pod.revision != wanted and not pod.deleted.is_set():
                return pod.delete()
            if not pod.is_available():
                return None
        return None

    # -- what an operator does --

    def apply(self, thing):
        """A changed object takes the place of the one that it was."""
        changed = objects.check([thing, self.set] if thing["kind"] != "StatefulSet" else [thing])
        with self.lock:
            self.objects.update(changed)
            if thing["kind"] == "StatefulSet":
                self.set = thing
            for pod in self.pods.values():
                pod.sync()

    def scale(self, count):
        with self.lock:
            self.set["spec"]["replicas"] = count
        self.wait_ready()

    def restart(self):
        """kubectl rollout restart."""
        with self.lock:
            about = self.set["spec"]["template"]["metadata"].setdefault("annotations", {})
            about["kubectl.kubernetes.io/restartedAt"] = str(time.time_ns())

    def delete(self, number, grace=None):
        with self.lock:
            self.pods[number].delete(grace)

    def kill(self, number):
        os.kill(self.pods[number].runtime.pid, signal.SIGKILL)

    # -- what is there --

    def files_of(self, kind, name):
        data = self.objects[kind, name]["data"]
        return {file: base64.b64decode(text) if kind == "Secret" else text.encode() for file, text in data.items()}

    def chosen(self, service):
        """The pods of a Service."""
        spec = self.objects["Service", service]["spec"]
        with self.lock:
            pods = [p for _, p in sorted(self.pods.items())]
        labelled = [p for p in pods if spec["selector"].items() <= p.template["metadata"]["labels"].items()]
        return [p for p in labelled if spec.get("publishNotReadyAddresses") or p.ready_since is not None]

    def look_up(self, name):
        """Addresses; None where the name server knows no such name."""
        tail = f".{self.namespace}.{ZONE}"
        if not name.endswith(tail):
            return None
        *pod_name, service = name[:-len(tail)].split(".")
        if ("Service", service) not in self.objects or len(pod_name) > 1:
            return None
        pods = [p for p in self.chosen(service) if not pod_name or p.pod_name == pod_name[0]]
        return [p.address for p in pods] or (None if pod_name else [])

    def connect(self, service, **kw):
        """A client of any of its pods. ConnectionError: none is ready."""
        pods = self.chosen(service)
        if not pods:
            raise ConnectionRefusedError(f"no pod of {service} is ready")
        port = self.objects["Service", service]["spec"]["ports"][0]["targetPort"]
        return random.choice(pods).client(port, **kw)

    def until(self, what, condition, seconds=120):
        end = time.monotonic() + seconds
        while True:
            self.check()
            if condition():
                return
            assert time.monotonic() < end, f"{what}: not in {seconds} s\n{self.story()}"
            time.sleep(STEP_S)

    def is_ready(self):
        with self.lock:
            wanted, count = revision_of(self.set["spec"]), self.set["spec"].get("replicas", 1)
            return sorted(self.pods) == list(range(count)) and \
                all(p.is_available() and p.revision == wanted for p in self.pods.values())

    def is_one(self):
        """All are there, and each pair is linked."""
        try:
            return self.is_ready() and (len(self.pods) == 1 or all(
                p.figure("ternmq_cluster_links") == len(self.pods) - 1 and
                p.figure('ternmq_cluster_nodes{state="alive"}') == len(self.pods) for p in list(self.pods.values())))
        except (OSError, AssertionError):
            return False  # one that has just gone

    def wait_ready(self):
        self.until("all pods are there, ready and linked", self.is_one)

    def story(self):
        return "\n".join(f"--- {p.pod_name} {p.address} exits {p.exits}\n{p.log()[-1500:]}"
                         for p in [*self.ended, *self.pods.values()])
