"""ternmq-passwd: mosquitto_passwd's options and files, both ways; a terminal, pipes, links, many at a time."""
import base64
import hashlib
import hmac
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import termios
import time

import scenario as s
from broker import binary, free_port

TOOL = pathlib.Path(binary()).resolve().parent / "ternmq-passwd"
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
MOSQUITTO_PASSWD = shutil.which("mosquitto_passwd")
folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))


def tool(*args, stdin="", code=0):
    """Runs it; what it printed, both streams."""
    done = subprocess.run([TOOL, *map(str, args)], input=stdin, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == code, f"{args}: exit code {done.returncode}: {done.stdout}"
    return done.stdout


def fresh(name, *users):
    path = folder / name
    tool("-c", "-b", "-I", 101, path, *users[0])
    for user in users[1:]:
        tool("-b", "-I", 101, path, *user)
    return path


def entries(path):
    return dict(line.split(":", 1) for line in path.read_text().splitlines() if line and line[0] != "#")


def matches(text, password):
    """Does the password give this hash? By Python's hashlib, for all but argon2id."""
    kind, *parts = text[1:].split("$")
    data = [base64.b64decode(part, validate=True) for part in parts[0 if kind == "6" else 1:]]
    if kind == "6":
        return hashlib.sha512(password + data[0]).digest() == data[1]
    digest = "sha256" if kind == "scram-sha-256" else "sha512"
    salted = hashlib.pbkdf2_hmac(digest, password, data[0], int(parts[0]))
    if kind == "7":
        return salted == data[1]
    client = hmac.new(salted, b"Client Key", digest).digest()
    return (data[1] == hashlib.new(digest, client).digest() and
            data[2] == hmac.new(salted, b"Server Key", digest).digest())


# ---- Forms ------------------------------------------------------------------------------------------

@s.scenario
def hashes_are_what_others_compute():
    for form, prefix in (("sha512-pbkdf2", "$7$"), ("sha512", "$6$"), ("scram-sha-256", "$scram-sha-256$"),
                         ("scram-sha-512", "$scram-sha-512$")):
        path = folder / form
        tool("-c", "-b", "-H", form, path, "anna", "open sesame")
        text = entries(path)["anna"]
        assert text.startswith(prefix), text
        assert matches(text, b"open sesame") and not matches(text, b"open sesam"), text
    tool("-c", "-b", folder / "default", "anna", "open sesame")
    assert re.fullmatch(r"\$argon2id\$v=19\$m=7168,t=5,p=1\$[\w+/]{22}\$[\w+/]{43}",
                        entries(folder / "default")["anna"])


@s.scenario
def iterations_are_chosen():
    path = folder / "iterations"
    tool("-c", "-b", "-I", 1234, path, "a", "x")
    tool("-b", "-H", "scram-sha-256", "-I", 4096, path, "b", "x")
    tool("-b", "-H", "sha512-pbkdf2", path, "c", "x")
    found = entries(path)
    assert found["a"].startswith("$7$1234$") and found["b"].startswith("$scram-sha-256$4096$"), found
    assert found["c"].startswith("$7$210000$"), found


# ---- Mosquitto --------------------------------------------------------------------------------------

def publish(port, user, password):
    """The exit code of mosquitto_pub: 0, or 5 where the broker refuses."""
    return subprocess.run(["mosquitto_pub", "-p", str(port), "-u", user, "-P", password, "-t", "t", "-m", "m"],
                          timeout=20, stderr=subprocess.DEVNULL).returncode


def mosquitto_takes_our_files():
    path = folder / "for-mosquitto"
    tool("-c", "-b", "-H", "sha512", path, "old", "pass one")
    tool("-b", "-H", "sha512-pbkdf2", path, "new", "pass:two")
    path.chmod(0o644)
    folder.chmod(0o755)
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\npassword_file {path}\nallow_anonymous false\n")
    broker = subprocess.Popen([MOSQUITTO, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while publish(port, "old", "pass one") != 0:
            assert time.monotonic() < end, "mosquitto does not let the user in"
            time.sleep(0.1)
        assert publish(port, "new", "pass:two") == 0
        assert publish(port, "new", "pass one") != 0
    finally:
        broker.kill()
        broker.wait()


def mosquitto_passwd(*args):
    subprocess.run([MOSQUITTO_PASSWD, *map(str, args)], check=True, timeout=20, stdout=subprocess.DEVNULL)


def mosquitto_passwds_lines_stay_and_its_users_are_ours():
    path = folder / "of-mosquitto"
    path.touch(0o600)
    mosquitto_passwd("-b", path, "anna", "open sesame")
    mosquitto_passwd("-b", "-H", "sha512", path, "old", "pass one")
    before = path.read_text()
    tool("-b", path, "bert", "x")
    assert path.read_text().startswith(before)
    tool("-D", path, "bert")
    assert path.read_text() == before
    assert tool("-U", path) == "Hashed passwords: 0\n"
    mosquitto_passwd("-D", path, "old")  # and the other way
    tool("-b", path, "anna", "other")
    assert list(entries(path)) == ["anna"]


if MOSQUITTO:
    s.scenario(mosquitto_takes_our_files)
else:
    print("not tested: mosquitto itself (package mosquitto)")
if MOSQUITTO_PASSWD:
    s.scenario(mosquitto_passwds_lines_stay_and_its_users_are_ours)
else:
    print("not tested: mosquitto_passwd itself (package mosquitto)")


# ---- Editing ----------------------------------------------------------------------------------------

@s.scenario
def users_come_change_and_go():
    path = fresh("edit", ("anna", "a"), ("bert", "b"))
    text = path.read_text()
    assert tool("-b", "-I", 101, path, "bert", "c") == "Updating password for user bert\n"
    assert path.read_text().startswith(text.splitlines()[0]) and matches(entries(path)["bert"], b"c")
    assert tool("-D", path, "anna") == "Removing user anna\n"
    assert list(entries(path)) == ["bert"]
    assert "is not in" in tool("-D", path, "anna", code=1)
    assert "Warning: -c has replaced" in tool("-c", "-b", path, "carl", "x")
    assert list(entries(path)) == ["carl"]
    assert re.fullmatch(r"dora:\$7\$.*\n", tool("-c", "-b", "-I", 7, "-", "dora", "x"))


@s.scenario
def plain_text_is_hashed():
    path = fresh("plain", ("anna", "a"))
    kept = path.read_text()
    path.write_text("# ours\n" + kept + "bert:with:colon\ncarl: x \n")
    assert "is not hashed" in tool("-b", path, "dora", "x", code=1)
    assert tool("-U", "-I", 101, path) == "Hashed passwords: 2\n"
    assert path.read_text().startswith("# ours\n" + kept)
    assert matches(entries(path)["bert"], b"with:colon") and matches(entries(path)["carl"], b"x")


@s.scenario
def what_cannot_be_done_changes_nothing():
    path = fresh("errors", ("anna", "a"))
    before = path.read_text()
    for args in ([], [path], ["-b", path, "u"], ["-c", "-D", path, "u"], ["-c", "-U", path], ["-D", "-U", path],
                 ["-b", "-D", path, "anna"], ["-H", "md5", "-b", path, "u", "p"], ["-H"], ["-z", path, "u"],
                 ["-I", "0", "-b", path, "u", "p"], ["-I", "x", "-b", path, "u", "p"],
                 ["-I", "99999999999999999999", "-b", path, "u", "p"],
                 ["-H", "sha512", "-I", "9", "-b", path, "u", "p"],
                 ["-b", path, "", "p"], ["-b", path, "a:b", "p"], ["-b", path, "#a", "p"], ["-b", path, "a\nb", "p"],
                 ["-b", path, " a", "p"], ["-b", path, "u", ""], ["-b", folder / "none", "u", "p"],
                 ["-b", folder, "u", "p"], ["-c", "-b", folder / "none" / "file", "u", "p"], [path, "u"]):
        assert tool(*args, code=1).startswith("Error: "), args
    assert path.read_text() == before
    assert not [x for x in os.listdir(folder) if "new-" in x]
    for args in (["--help"], ["-h"], ["--version"]):
        assert tool(*args).startswith("ternmq-passwd ")


@s.scenario
def a_file_that_is_none_is_left_alone():
    path = folder / "broker.conf"
    path.write_text("listener 1883\n")
    assert f"{path}:1: no colon" in tool("-b", path, "u", "p", code=1)
    assert path.read_text() == "listener 1883\n"


# ---- The file ---------------------------------------------------------------------------------------

@s.scenario
def mode_and_owner_stay_and_links_are_followed():
    path = fresh("real", ("anna", "a"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    root = os.geteuid() == 0
    if root:
        os.chown(path, 65534, 65534)
    link = folder / "link"
    link.symlink_to("real")
    inode = path.stat().st_ino
    tool("-b", link, "bert", "b")
    assert link.is_symlink() and path.stat().st_ino != inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not root or (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert list(entries(path)) == ["anna", "bert"]
    nothing = folder / "to-nothing"
    nothing.symlink_to("nowhere")
    tool("-c", "-b", nothing, "u", "p", code=1)
    assert nothing.is_symlink()


@s.scenario
def many_at_a_time_lose_nobody():
    path = fresh("many", ("anna", "a"))
    running = [subprocess.Popen([TOOL, "-b", "-I", "101", path, f"user{i}", "x"], stdout=subprocess.DEVNULL)
               for i in range(20)]
    assert [p.wait(60) for p in running] == [0] * 20
    assert set(entries(path)) == {"anna", *(f"user{i}" for i in range(20))}


# ---- Where passwords come from ----------------------------------------------------------------------

@s.scenario
def a_pipe_gives_one_line_or_two_that_are_the_same():
    path = fresh("pipe", ("anna", "a"))
    for text, password in (("secret\n", b"secret"), ("secret", b"secret"), ("se cret\nse cret\n", b"se cret")):
        tool("-I", 101, path, "bert", stdin=text)
        assert matches(entries(path)["bert"], password)
    before = path.read_text()
    for text in ("", "\n", "one\ntwo\n", "x" * 65536 + "\n"):
        tool("-I", 101, path, "bert", stdin=text, code=1)
    assert path.read_text() == before
    tool("-I", 101, path, "bert", stdin="x" * 65535 + "\n")
    assert matches(entries(path)["bert"], b"x" * 65535)


class Terminal:
    """The tool with a terminal of its own."""

    def __init__(self, *args):
        ours, theirs = pty.openpty()
        self.fd, self.theirs, self.seen = ours, theirs, ""
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen([TOOL, *map(str, args)], stdin=theirs, stdout=theirs, stderr=theirs,
                                        preexec_fn=self.as_by_a_login)

    @staticmethod
    def as_by_a_login():
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, by which the tests may run, has it ignored

    def wait(self, text):
        end = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 4096).decode()
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    def end(self):
        code = self.process.wait(20)
        while select.select([self.fd], [], [], 0.2)[0]:
            self.seen += os.read(self.fd, 4096).decode()
        assert termios.tcgetattr(self.theirs) == self.before, "the terminal is not as it was"
        os.close(self.fd)
        os.close(self.theirs)
        return code, self.seen


@s.scenario
def a_terminal_asks_twice_and_shows_nothing():
    path = fresh("terminal", ("anna", "a"))
    t = Terminal("-I", 101, path, "bert")
    t.wait("Password: ")
    assert not t.echoes()
    t.type("secret\n")
    t.wait("Reenter password: ")
    t.type("secret\n")
    code, rest = t.end()
    assert code == 0 and "secret" not in rest and matches(entries(path)["bert"], b"secret")
    before = path.read_text()
    t = Terminal("-I", 101, path, "bert")
    t.wait("Password: ")
    t.type("other\n")
    t.wait("Reenter password: ")
    t.type("another\n")
    code, rest = t.end()
    assert code == 1 and "not the same" in rest and "other" not in rest.replace("another", "")
    assert path.read_text() == before


@s.scenario
def an_interrupted_terminal_echoes_again():
    path = fresh("interrupt", ("anna", "a"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        t = Terminal(path, "bert")
        t.wait("Password: ")
        t.process.send_signal(number)
        code, _ = t.end()
        assert code == -number, code
    assert list(entries(path)) == ["anna"]


@s.scenario
def a_password_on_the_command_line_is_wiped_there():
    path = fresh("wiped", ("anna", "a"))
    process = subprocess.Popen([TOOL, "-b", "-I", "10000000", path, "bert", "top-secret"], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while b"top-secret" in pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes():
        assert process.poll() is None and time.monotonic() < end, "it is still there"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(entries(path)) == ["anna"]


try:
    s.main()
finally:
    shutil.rmtree(folder, ignore_errors=True)
