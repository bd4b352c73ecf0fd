#!/usr/bin/python3
"""run.py - builds the Debian package, installs it in a throw-away copy of this system, uses it, purges it.

TERN_BUILD names the release build (default: build). The copy is an overlay in memory over this machine's file system,
in namespaces of its own: nothing is installed here, and no port is taken. What cannot be tested here is a SKIP with
its reason.
"""
import argparse
import ctypes
import errno
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "harness"))
sys.dont_write_bytecode = True
import mqtt  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TERN_BUILD", ROOT / "build")).resolve()
CONFIG = "/etc/ternmq/ternmq.conf"
UNIT = "/usr/lib/systemd/system/ternmq.service"
PROGRAMS = ("ternmq", "ternmq-bench", "ternmq-passwd", "ternmqctl")
COMPLETION = "/usr/share/bash-completion/completions/ternmqctl"
FILES = {CONFIG: 0o644, UNIT: 0o644, COMPLETION: 0o644, **{f"/usr/bin/{name}": 0o755 for name in PROGRAMS},
         **{f"/usr/share/doc/ternmq/{name}": 0o644 for name in ("README.md", "changelog.gz", "copyright")},
         **{f"/usr/share/man/man{name[-1]}/{name}.gz": 0o644
            for name in ("ternmq.8", "ternmq.conf.5", "ternmqctl.1", "ternmq-passwd.1", "ternmq-bench.1")}}
_tests = []


class Skip(Exception):
    """Its text says what is missing here."""


def test(function):
    _tests.append(function)
    return function


def run(*args, code=0, env=None, timeout=60):
    """What it prints."""
    done = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
    assert done.returncode == code, f"{args}: exit code {done.returncode}: {done.stdout[-2000:]}"
    return done.stdout


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"there is no {program}")


class System:
    """A copy of this machine's file system that is gone with this process's namespaces."""

    def __init__(self, folder):
        self.root = folder / "root"
        memory = folder / "memory"
        for place in (self.root, memory):
            place.mkdir()
        run("mount", "-t", "tmpfs", "memory", memory)
        for place in ("upper", "work"):
            (memory / place).mkdir()
        layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        run("mount", "-t", "overlay", "-o", layers, "copy", self.root)
        for place in ("/proc", "/sys", "/dev"):
            run("mount", "--rbind", place, f"{self.root}{place}")
        run("mount", "-t", "tmpfs", "run", f"{self.root}/run")  # no systemd there

    def path(self, name):
        return pathlib.Path(f"{self.root}{name}")

    def run(self, *args, **kw):
        env = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **kw.pop("env", {})}
        return run("chroot", self.root, *args, env=env, **kw)

    def dpkg(self, *args):
        return self.run("dpkg", "--force-unsafe-io", "--no-triggers", *args)

    def install(self):
        return self.dpkg("--install", S.package)

    def user(self):
        """(uid, gid) of ternmq, or None."""
        found = re.search(r"^ternmq:[^:]*:(\d+):(\d+):", self.path("/etc/passwd").read_text(), re.M)
        return (int(found[1]), int(found[2])) if found else None


class S:
    """What the tests share, in their order."""
    folder = package = system = None


def field(name):
    return run("dpkg-deb", "--field", S.package, name).strip()


def listed(text):
    """{path: (mode as text, owner)} of a listing by tar, without folders."""
    lines = [line.split(None, 5) for line in text.splitlines()]
    return {line[5].lstrip("."): (line[0], line[1]) for line in lines if not line[0].startswith("d")}


def mode_text(mode):
    return "-" + "".join(c if mode >> (8 - i) & 1 else "-" for i, c in enumerate("rwxrwxrwx"))


# ---- What the package is ----

@test
def a_package_comes_of_the_build():
    # It builds what is not up to date first.
    run("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", S.folder / "out", timeout=600)
    (S.package,) = (S.folder / "out").glob("*.deb")
    version = run(BUILD / "ternmq", "--version").split()[-1]
    assert S.package.name == f"ternmq_{version}_{run('dpkg', '--print-architecture').strip()}.deb", S.package
    assert field("Version") == version


@test
def it_holds_what_it_should_and_nothing_else():
    text = run("dpkg-deb", "--contents", S.package)
    found = listed(text)
    assert found.keys() == FILES.keys(), found.keys() ^ FILES.keys()
    for name, mode in FILES.items():
        assert found[name] == (mode_text(mode), "root/root"), (name, found[name])
    folders = [line for line in text.splitlines() if line.startswith("d")]
    assert all(line.startswith("drwxr-xr-x root/root") for line in folders), folders


@test
def its_configuration_is_a_conffile():
    run("dpkg-deb", "--control", S.package, S.folder / "control")
    assert (S.folder / "control/conffiles").read_text().split() == [CONFIG]
    run("dpkg-deb", "--extract", S.package, S.folder / "data")
    assert (S.folder / f"data{CONFIG}").read_text() == run(BUILD / "ternmq", "--example-config")


@test
def it_depends_on_what_its_programs_link():
    needed, folder = set(), run("dpkg-architecture", "-qDEB_HOST_MULTIARCH").strip()
    for name in PROGRAMS:
        for library in re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", S.folder / "data/usr/bin" / name)):
            needed.add(run("dpkg-query", "--search", f"*/{folder}/{library}").split(":")[0])
    depends = {entry.split()[0] for entry in field("Depends").split(",")}
    assert depends == needed | {"adduser"}, depends ^ needed
    assert {"libc6", "liburing2", "libjemalloc2"} <= depends


@test
def lintian_finds_nothing():
    need("lintian")
    text = run("lintian", "--allow-root", "--fail-on", "error,warning", S.package, timeout=100)
    assert not re.search(r"^[EW]: ", text, re.M), text


# ---- Installed ----

@test
def it_installs():
    S.system.install()
    uid, gid = S.system.user()
    for name in ("/var/lib/ternmq", "/var/log/ternmq"):
        state = S.system.path(name).stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (uid, gid, 0o750), (name, state)
    assert S.system.run("dpkg", "--verify", "ternmq") == ""
    wanted = S.system.path("/etc/systemd/system/multi-user.target.wants/ternmq.service")
    assert os.readlink(wanted) in (UNIT, UNIT.removeprefix("/usr")), os.readlink(wanted)
    for name in PROGRAMS:
        assert S.system.run(f"/usr/bin/{name}", "--help")


@test
def its_pages_can_be_read():
    need("man")
    for page, text in (("ternmq.conf", "max_queued_messages"), ("ternmq", "--config-file"),
                       ("ternmqctl", "retained rm"), ("ternmq-passwd", "argon2id"), ("ternmq-bench", "--scenario")):
        assert text in S.system.run("man", page, env={"MANWIDTH": "200", "GROFF_NO_SGR": "1"}), page


@test
def its_unit_is_sound_and_strict():
    need("systemd-analyze")
    said = S.system.run("systemd-analyze", "--man=no", "verify", UNIT)
    assert "ternmq" not in said, said
    text = S.system.run("systemd-analyze", "--no-pager", "security", "--offline=true", UNIT)
    assert float(re.search(r"exposure level for ternmq.service: ([\d.]+)", text)[1]) < 2.0, text[-200:]


class Service:
    """The broker as the unit starts it, but for systemd."""

    def __init__(self, **env):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0ternmq-package-test")
        self.sock.settimeout(20)
        self.log = S.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "chroot", str(S.system.root), "/usr/bin/python3",
                 str(HERE / "as_unit.py"), UNIT], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={**os.environ, "NOTIFY_SOCKET": "@ternmq-package-test", "WATCHDOG_USEC": "2000000",
                     "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env})

    def hear(self, text):
        """The first message with this line."""
        try:
            while text not in (message := self.sock.recv(4096).decode()).split("\n"):
                pass
        except TimeoutError:
            raise AssertionError(f"no {text}: {self.log.read_text()}") from None
        return message

    def status(self, key):
        return re.search(rf"^{key}:\t(.*)$", pathlib.Path(f"/proc/{self.process.pid}/status").read_text(), re.M)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.sock.close()


def uring_is_allowed():
    """On this machine, without any unit."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)  # io_uring_setup; never makes one: the pointer is bad
    return ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES)


@test
def it_serves_as_the_unit_starts_it():
    need("systemd-analyze", "cc")
    uid, gid = S.system.user()
    with Service(TERNMQ_PERSISTENCE="true", TERNMQ_CONTROL_SOCKET="/run/ternmq/control.sock") as service:
        service.hear("READY=1")
        assert set(service.status("Uid").split()) == {str(uid)} and set(service.status("Gid").split()) == {str(gid)}
        assert int(service.status("CapEff"), 16) == int(service.status("CapBnd"), 16) == 0
        assert service.status("Seccomp") == "2" and service.status("NoNewPrivs") == "1"
        hears = mqtt.Client(("127.0.0.1", 1883)).open("hears")
        hears.sub("package/#", qos=1)
        tells = mqtt.Client(("127.0.0.1", 1883)).open("tells", mqtt.V311)
        tells.pub("package/test", b"hello", qos=1, retain=True)
        hears.msg(b"hello")
        service.hear("WATCHDOG=1")
        assert S.system.path("/var/lib/ternmq/ternmq.db").stat().st_uid == uid
        # What is forbidden by mistake shows here: epoll instead of io_uring, for one.
        log = service.log.read_text()
        bad = [line for line in log.splitlines() if "Error" in line or "Warning" in line]
        assert all("io_uring" in line and not uring_is_allowed() for line in bad), bad
        tells.bye()
        hears.bye()
        service.process.terminate()
        service.hear("STOPPING=1")
        assert service.process.wait(20) == 0, log


# ---- And away ----

@test
def a_configuration_that_was_changed_stays():
    config = S.system.path(CONFIG)
    with open(config, "a", encoding="utf-8") as file:
        file.write("max_qos 1\n")
    S.system.install()
    assert config.read_text().endswith("\nmax_qos 1\n")


@test
def remove_keeps_what_purge_takes():
    uid, _ = S.system.user()
    S.system.dpkg("--remove", "ternmq")
    assert not S.system.path("/usr/bin/ternmq").exists() and not S.system.path(UNIT).exists()
    assert S.system.path("/var/lib/ternmq/ternmq.db").exists() and S.system.path(CONFIG).exists()
    assert S.system.user()[0] == uid
    S.system.dpkg("--purge", "ternmq")
    for name in (*FILES, "/var/lib/ternmq", "/var/log/ternmq", "/etc/ternmq", "/usr/share/doc/ternmq",
                 "/etc/systemd/system/multi-user.target.wants/ternmq.service"):
        assert not os.path.lexists(S.system.path(name)), name
    assert S.system.user() is None
    assert "ternmq" not in S.system.path("/etc/group").read_text()


# ---- Without a package ----

@test
def cmake_installs_below_any_prefix():
    prefix = S.folder / "prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    found = {"/" + str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert found == {name.removeprefix("/usr") for name in FILES}, found
    unit = (prefix / "lib/systemd/system/ternmq.service").read_text()
    assert f"ExecStart={prefix}/bin/ternmq -c {prefix}/etc/ternmq/ternmq.conf\n" in unit
    config = prefix / "etc/ternmq/ternmq.conf"
    config.write_text("max_qos 1\n")
    run("cmake", "--install", BUILD, "--prefix", prefix)
    assert config.read_text() == "max_qos 1\n"


# ---- ----

def inside(argv):
    """Begins again, in namespaces of its own."""
    if os.geteuid() != 0:
        return "it takes root to have namespaces and to install"
    namespaces = ["--mount", "--net", "--propagation", "private"]
    os.execvp("unshare", ["unshare", *namespaces, sys.executable, __file__, "--inside", *argv])
    return None


def one(function, verbose):
    """passed, failed."""
    begin = time.monotonic()
    try:
        function()
    except Skip as skip:
        print(f"SKIP {function.__name__}: {skip}", flush=True)
        return 0, 0
    except Exception as error:  # a test may fail in any way; the others go on
        frame = [f for f in traceback.extract_tb(error.__traceback__) if f.name != "run"][-1]
        text = str(error).strip() or frame.line
        print(f"FAIL {function.__name__}: line {frame.lineno}: {type(error).__name__}: {text}"[:3000], flush=True)
        return 0, 1
    if verbose:
        print(f"PASS {function.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
    return 1, 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-v", action="store_true", help="name the tests that pass, too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    passed = failed = 0
    if not options.inside and (reason := inside(sys.argv[1:])):
        print(f"FAIL {reason}\npackage: 0 passed, 1 failed")
        return 1
    run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory(prefix="tern-package-") as folder:
        S.folder = pathlib.Path(folder)
        S.folder.chmod(0o755)
        S.system = System(S.folder)
        try:
            for function in _tests:
                good, bad = one(function, options.v)
                passed, failed = passed + good, failed + bad
        finally:
            run("umount", "--recursive", S.system.root)
            run("umount", S.folder / "memory")
    print(f"package: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
