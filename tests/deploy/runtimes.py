"""runtimes.py - what runs a pod's container: podman, or namespaces of our own where there is no podman.

Both have the same networks: a bridge, and for each pod a network namespace with an address that no pod had before. What
belongs to a pod of Kubernetes and not to its container (address, name server, volumes) is made here or in lookalike.py,
so that it is the same with both.
"""
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import container
import live
from broker import ROOT, binary

HERE = pathlib.Path(__file__).resolve().parent
PROFILE = ROOT / "deploy" / "seccomp" / "ternmq.json"
NET, GATEWAY, LAST = "10.42", "10.42.255.254", 250
CGROUPS = pathlib.Path("/sys/fs/cgroup")


class Skip(Exception):
    """Not to be tested here, and why."""


def ip(*words, pid=None):
    inside = ["nsenter", "--target", str(pid), "--net"] if pid else []
    subprocess.run([*inside, "ip", *words], check=True)


def make_bridge():
    """In the network namespace of this process, which is nobody else's."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "name", "pods", "type", "bridge")
    ip("address", "add", f"{GATEWAY}/16", "dev", "pods")
    ip("link", "set", "pods", "up")


class Network:
    """Of one pod, with its address; outlives its containers."""

    made = 0

    def __init__(self):
        Network.made += 1
        high, low = divmod(Network.made - 1, LAST)
        self.address = f"{NET}.{high}.{low + 1}"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.path = f"/proc/{self.holder.pid}/ns/net"
        while pathlib.Path(self.path).readlink() == pathlib.Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        pid, link = self.holder.pid, f"pod{Network.made}"
        ip("link", "add", "name", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", link, "master", "pods", "up")
        ip("address", "add", f"{self.address}/16", "dev", "eth0", pid=pid)
        for name in ("lo", "eth0"):
            ip("link", "set", name, "up", pid=pid)

    def end(self):
        self.holder.kill()
        self.holder.wait()


@dataclasses.dataclass
class Box:
    """What a container is to be. mounts: (folder or file here, path inside, "ro" or "rw"). profile: of seccomp, or None
    for the runtime's own. memory: bytes."""
    name: str
    network: Network
    env: dict
    user: int
    group: int
    groups: list
    mounts: list
    profile: pathlib.Path
    memory: int
    cpus: str
    log: pathlib.Path


class MemoryGroup:
    """A cgroup with a limit, of version 1 or 2."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.version = 1 if (self.folder / "memory.limit_in_bytes").exists() else 2

    @classmethod
    def parent(cls):
        return CGROUPS / "memory" if (CGROUPS / "memory").is_dir() else CGROUPS

    @classmethod
    def of(cls, pid):
        """In which that process is."""
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return cls(CGROUPS / "memory" / path.lstrip("/"))
        return cls(CGROUPS / path.lstrip("/"))  # version 2 has one line

    @classmethod
    def make(cls, name, limit):
        """Raises Skip where this machine does not let us."""
        try:
            folder = cls.parent() / name
            folder.mkdir()
        except OSError as e:
            raise Skip(f"no cgroups of our own: {e.strerror}") from None
        group = cls(folder)
        try:
            file = "memory.limit_in_bytes" if group.version == 1 else "memory.max"
            (folder / file).write_text(str(limit))
        except OSError as e:
            folder.rmdir()
            raise Skip(f"no limit of memory for cgroups of our own: {e.strerror}") from None
        return group

    def kills(self):
        text = (self.folder / ("memory.oom_control" if self.version == 1 else "memory.events")).read_text()
        return int(re.search(r"^oom_kill (\d+)$", text, re.M)[1])

    def add(self, pid):
        (self.folder / "cgroup.procs").write_text(str(pid))

    def remove(self):
        """When its last process has ended, which the kernel may notice a moment later."""
        for _ in range(100):
            try:
                return self.folder.rmdir()
            except OSError:
                time.sleep(0.05)
        return None


class Namespaces:
    """Mounts, host name, user and rights as in a container; no namespace of processes, and the default profile of
    seccomp is none. The program is this machine's."""

    name = "namespaces"

    def __init__(self, folder):
        self.folder, self.process, self.group = folder, None, None
        for program in ("ternmq", "ternmqctl"):
            assert (pathlib.Path(binary()).parent / program).exists(), f"{program} is not built"

    @staticmethod
    def missing():
        if os.geteuid() != 0:
            return "needs root, for networks of its own"
        wanted = "ip link add name pods type bridge && mount -t tmpfs none /tmp && mount -o bind,ro /usr /tmp && " \
                 "mount --bind /proc /tmp && hostname pod"
        done = subprocess.run(["unshare", "--net", "--mount", "--uts", "sh", "-c", wanted], capture_output=True,
                              text=True)
        return f"no networks and mounts of its own: {done.stderr.strip()}" if done.returncode else None

    def start(self, box):
        self.remove()
        root = tempfile.mkdtemp(prefix="root-", dir=self.folder)
        programs = pathlib.Path(binary()).resolve().parent
        mounts = [(programs, "/program", "ro"), *box.mounts]
        under = []
        if box.profile:
            mounts += [(HERE / "sandbox.py", "/sandbox/sandbox.py", "ro"), (box.profile, "/sandbox/profile", "ro")]
            under = ["/usr/bin/python3", "/sandbox/sandbox.py", "/sandbox/profile"]
        try:
            self.group = MemoryGroup.make(f"ternmq-test-{os.getpid()}-{pathlib.Path(root).name}", box.memory)
        except Skip:
            self.group = None  # the scenario that is about limits says so
        command = ["nsenter", f"--net={box.network.path}", "unshare", "--mount", "--uts", HERE / "box", root, box.name,
                   f"{box.user}:{box.group}:{','.join(map(str, box.groups))}",
                   self.group.folder if self.group else "-",
                   *(f"{source} {target} {way}" for source, target, way in mounts), "--", *under,
                   f"/program/{pathlib.Path(binary()).name}", "-c", "/etc/ternmq/ternmq.conf"]
        env = {"PATH": os.environ["PATH"], **dict(live.image_variables()), **box.env}
        with open(box.log, "ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), env=env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    @property
    def pid(self):
        return self.process.pid

    def ended(self):
        """None, or the exit code as a shell has it."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number):
        self.process.send_signal(number)

    def remove(self):
        """What is left of it, running or not."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.group:
            self.group.remove()
            self.group = None


class Podman:
    """The image of deploy/Dockerfile, which container.py has built."""

    name = "podman"

    def __init__(self, folder):
        self.folder, self.box, self.pid, self.code = folder, None, None, None

    @staticmethod
    def missing():
        why = container.missing() or Namespaces.missing()
        if not why and not container.podman("images", "-q", container.IMAGE):
            why = "no image yet: tests/deploy/run.py --containers -k 'the image is built'"
        return why

    def _named(self):
        return f"{self.box.name}-{os.getpid()}"

    def start(self, box):
        self.box, self.code = box, None
        words = ["run", "-d", "--pull=never", "--name", self._named(), "--hostname", box.name,
                 f"--network=ns:{box.network.path}", "--no-hosts", "--user", f"{box.user}:{box.group}", "--read-only",
                 "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt", "no-new-privileges",
                 f"--memory={box.memory}", f"--memory-swap={box.memory}", f"--cpus={box.cpus}"]
        words += [w for group in box.groups for w in ("--group-add", group)]
        words += ["--security-opt", f"seccomp={box.profile}"] if box.profile else []
        words += [w for name, value in box.env.items() for w in ("-e", f"{name}={value}")]
        words += [w for source, target, way in box.mounts for w in ("-v", f"{source}:{target}:{way}")]
        container.podman("rm", "--force", "--ignore", self._named())
        container.podman(*map(str, words), container.IMAGE)
        self.pid = int(container.podman("inspect", "--format", "{{.State.Pid}}", self._named()))

    def ended(self):
        if self.code is None and (self.pid == 0 or not pathlib.Path(f"/proc/{self.pid}").exists()):
            self.code = int(container.podman("wait", self._named()))
            log = container.podman("logs", self._named())
            with open(self.box.log, "a", encoding="utf-8") as file:
                file.write(log + "\n")
        return self.code

    def signal(self, number):
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def remove(self):
        if self.box:
            if self.pid and self.code is None:
                self.signal(signal.SIGKILL)
            container.podman("rm", "--force", "--time", "0", "--ignore", self._named())


RUNTIMES = {runtime.name: runtime for runtime in (Namespaces, Podman)}
