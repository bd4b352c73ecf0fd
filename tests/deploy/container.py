"""container.py - the image: built by podman, and run as Kubernetes would run it.

Nothing comes from a registry: what the Dockerfile calls debian:bookworm-slim is made by debootstrap. What podman keeps
is in build-tests/deploy alone, so a second run has the layers of the first.
"""
import contextlib
import ctypes
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

import live
import manifest_lint
import mqtt
from broker import ROOT

KEPT = ROOT / "build-tests" / "deploy"
BASE = "docker.io/library/debian:bookworm-slim"
VERSION = re.search(r"project\(ternmq VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
IMAGE = f"localhost/ternmq:{VERSION}"
PROFILE = ROOT / "deploy" / "seccomp" / "ternmq.json"
TOOLS = ("podman", "runc", "debootstrap")
NAME = f"ternmq-test-{os.getpid()}"
CLONE_NEWNET = 0x40000000
# Less than any host's own limit; cgroups without a service manager, which may not run here.
CONF = """[containers]
default_ulimits = ["nofile=10000:10000", "nproc=4000:4000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""


# What "debian:bookworm-slim" is short for, whatever this machine's own file says. It is there: nobody is asked.
REGISTRIES = 'unqualified-search-registries = ["docker.io"]\n'


def missing():
    """Why no container runs here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@functools.cache
def configure():
    """In one step: pods are started by several threads at once, and none may read half of a file."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for name, text in (("containers.conf", CONF), ("registries.conf", REGISTRIES)):
        fresh = KEPT / f"{name}-{os.getpid()}-{threading.get_ident()}"
        fresh.write_text(text)
        fresh.rename(KEPT / name)


def podman(*words, check=True, timeout=120):
    configure()
    done = subprocess.run(["podman", "--root", KEPT / "storage", "--runroot", KEPT / "run", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          env={**os.environ, "CONTAINERS_CONF": str(KEPT / "containers.conf"),
                               "CONTAINERS_REGISTRIES_CONF": str(KEPT / "registries.conf")})
    assert not check or done.returncode == 0, f"podman {' '.join(map(str, words))}: {done.stdout[-3000:]}"
    return done.stdout.strip()


# ---- Building --------------------------------------------------------------------------------------------------------


def make_base():
    """Debian's smallest system, with this machine's ways to Debian's packages."""
    if podman("images", "-q", BASE):
        return
    rootfs = KEPT / "rootfs"
    shutil.rmtree(rootfs, ignore_errors=True)
    found = subprocess.run(["apt-get", "indextargets", "--format", "deb $(SITE) $(RELEASE) $(COMPONENT)",
                            "Created-By: Packages", "Origin: Debian"], capture_output=True, text=True, check=True)
    sources = sorted(set(found.stdout.splitlines()))
    site = next(line.split()[1] for line in sources if line.endswith(" bookworm main"))
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", rootfs, site], check=True, timeout=600,
                   stdout=subprocess.DEVNULL)
    (rootfs / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")
    shutil.copytree("/etc/apt/apt.conf.d", rootfs / "etc/apt/apt.conf.d", dirs_exist_ok=True)
    archive = KEPT / "rootfs.tar"
    subprocess.run(["tar", "-C", rootfs, "-cf", archive, "--exclude=./var/cache/apt/archives/*.deb", "."], check=True)
    podman("import", archive, BASE)
    shutil.rmtree(rootfs)
    archive.unlink()


def builds():
    make_base()
    podman("build", "--pull=never", "--network=host", "-f", ROOT / "deploy/Dockerfile", "-t", IMAGE, ROOT, timeout=1800)
    image = json.loads(podman("inspect", IMAGE))[0]
    config = image["Config"]
    assert config["User"] == "10001:10001" and config["StopSignal"] == "SIGTERM", config
    assert set(config["ExposedPorts"]) == {"1883/tcp", "9883/tcp"}, config
    assert config["Volumes"] == {"/var/lib/ternmq": {}} and config["Entrypoint"] == ["/usr/bin/ternmq"], config
    print(f"     the image has {image['Size'] / 1e6:.0f} MB")


# ---- Running ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def network_of(pid):
    """What is opened inside belongs to the network of that process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as own, open(f"/proc/{pid}/ns/net") as other:
        assert libc.setns(other.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(own.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


class Container:
    """One that may write to its volume and nowhere else."""

    def __init__(self, profile):
        self.profile, self.pid = profile, None

    def __enter__(self):
        podman("rm", "--force", "--ignore", NAME)
        podman("run", "-d", "--pull=never", "--name", NAME, "--network=none", "--read-only",
               "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt", "no-new-privileges",
               "--security-opt", f"seccomp={self.profile}", "-v", f"{NAME}:/var/lib/ternmq",
               "-e", "TERNMQ_ALLOW_ANONYMOUS=true", "--memory=256m", IMAGE)
        self.pid = int(podman("inspect", "--format", "{{.State.Pid}}", NAME))
        return self

    def __exit__(self, *_):
        podman("rm", "--force", "--time", "1", NAME)

    def log(self):
        return podman("logs", NAME)

    def get(self, path):
        with network_of(self.pid):
            return urllib.request.urlopen(f"http://127.0.0.1:9883{path}", timeout=5).status

    def wait_ready(self):
        end = time.monotonic() + 15
        while True:
            try:
                return self.get("/readyz")
            except OSError:
                assert time.monotonic() < end, f"it does not start:\n{self.log()}"
                time.sleep(0.1)

    def client(self, name, **options):
        with network_of(self.pid):
            return mqtt.Client(("127.0.0.1", 1883)).open(name, **options)

    def status(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def stop(self):
        podman("kill", "--signal", "TERM", NAME)
        return podman("wait", NAME, timeout=60)


def check_confined(box):
    status = box.status()
    assert status["Uid"].split() == ["10001"] * 4 and status["Gid"].split() == ["10001"] * 4, status
    assert all(int(status[f"Cap{kind}"], 16) == 0 for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")), status
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status


def exchange(box, first):
    """Retained on the volume, and a session that waits for its client: the next container has both."""
    box.wait_ready()
    for path in ("/startupz", "/livez", "/readyz", "/metrics"):
        assert box.get(path) == 200, path
    check_confined(box)
    keeper = box.client("keeper", clean=first, props={"session_expiry": mqtt.NEVER})
    if first:
        keeper.sub("kept/#", qos=1)
    else:
        keeper.msg(b"old", timeout=5)
    keeper.bye()
    client = box.client("client")
    client.sub("a/#", qos=1)
    client.pub("a/b", b"x", qos=1)
    client.msg(b"x", timeout=5)
    if first:
        client.pub("kept/1", b"old", qos=1)
    client.bye()
    assert VERSION in podman("exec", NAME, "/usr/bin/ternmqctl", "status")


def with_own_profile():
    with Container(PROFILE) as box:
        exchange(box, True)
        assert not live.has_uring() or "io_uring: deferred task running" in box.log(), box.log()
        assert box.stop() == "0", box.log()


def with_default_profile():
    """As container runtimes have it: theirs once allowed io_uring, and do not any more."""
    profile = json.loads(pathlib.Path("/usr/share/containers/seccomp.json").read_text())
    for group in profile["syscalls"]:
        group["names"] = [name for name in group["names"] if not name.startswith("io_uring")]
    file = KEPT / "default.json"
    file.write_text(json.dumps(profile))
    with Container(file) as box:
        exchange(box, False)
        assert re.search(r"io_uring is forbidden here .*epoll serves instead", box.log()), box.log()
        assert box.stop() == "0", box.log()


def installs(things):
    """What the DaemonSet's first container does: root, with no capability, and the machine's folder."""
    pod = next(t for t in things if t["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    first = pod["initContainers"][0]
    paths = {mount["name"]: mount["mountPath"] for mount in first["volumeMounts"]}
    with tempfile.TemporaryDirectory(dir=KEPT) as machine:
        podman("run", "--rm", "--pull=never", "--network=none", "--read-only", "--read-only-tmpfs=false",
               "--cap-drop=all", "--user", "0:0", "--entrypoint", json.dumps(first["command"]),
               "-v", f"{PROFILE.parent}:{paths['profile']}:ro", "-v", f"{machine}:{paths['seccomp']}", IMAGE)
        wanted = pathlib.Path(machine) / manifest_lint.LOCAL_PROFILE
        assert wanted.read_bytes() == PROFILE.read_bytes() and wanted.stat().st_mode & 0o777 == 0o644


def run(suite):
    why = missing()
    steps = (("the image is built", builds),
             ("the seccomp profile is brought to its place", lambda: installs(suite.sets["seccomp"])),
             ("a container with our profile serves by io_uring, with nothing to write to but its volume",
              with_own_profile),
             ("the next one has its data, and serves by epoll with a default profile", with_default_profile))
    try:
        for name, step in steps:
            suite.check(name, suite.skip(why) if why else step)
    finally:
        if not why:
            podman("rm", "--force", "--ignore", NAME, check=False)
            podman("volume", "rm", "--force", NAME, check=False)
