"""controlled.py - a broker with a control socket, and who asks there."""
import json
import pathlib
import re
import socket
import subprocess

from broker import Broker, binary

CTL = pathlib.Path(binary()).with_name("ternmqctl")


class Controlled(Broker):
    """A broker with a control socket in its folder, where every user may make files."""

    def __init__(self, config="", **kw):
        super().__init__(config, **kw)
        self.dir.chmod(0o777)
        self.socket = self.dir / "control.sock"
        self.kept = config
        self.configure(config)

    def configure(self, config):
        self.write_config(f"{config}\nworkers 2\ncontrol_socket {self.dir}/control.sock")

    def ctl(self, *args, under=(), timeout=60):
        return subprocess.run([*under, CTL, "--socket", self.socket, *args], cwd=self.dir, text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def done(self, *args, code=0):
        """Standard output of one that ends with this code."""
        got = self.ctl(*args)
        assert got.returncode == code, (args, got)
        assert (got.stderr == "") == (code == 0), (args, got)
        return got.stdout

    def json(self, *args):
        return json.loads(self.done("--json", *args))

    def talk(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.socket))
        sock.settimeout(20)
        return sock


def lines_of(sock):
    """One answer after the other, and None at the end."""
    buf = b""
    while True:
        while b"\n" in buf:
            line, _, buf = buf.partition(b"\n")
            yield json.loads(line)
        try:
            got = sock.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        if not got:
            assert buf == b"", f"half a line: {buf[:200]}"
            yield None
            return
        buf += got


def ask(sock, **fields):
    sock.sendall(json.dumps({"v": 1, **fields}).encode() + b"\n")
    return next(lines_of(sock))


def rows(text):
    """A table's rows, without its heads."""
    return [re.split(r" {2,}", line) for line in text.splitlines()[1:]]
