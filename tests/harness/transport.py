"""transport.py - what MQTT goes over: TCP, TLS, WebSocket, WebSocket over TLS.

TERN_TRANSPORT names it for all tests (tcp, tls, ws, wss; default: tcp): the broker's listener gets
the keys that it needs, and each client speaks it. The WebSocket is this file's own, strict with what
a server sends.
"""
import base64
import fcntl
import functools
import hashlib
import itertools
import os
import pathlib
import select
import socket
import ssl
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def chosen():
    name = os.environ.get("TERN_TRANSPORT") or "tcp"
    assert name in ("tcp", "tls", "ws", "wss"), f"TERN_TRANSPORT={name} is not known"
    return name


@functools.cache
def certificates():
    """A folder with what tests/harness/certificates makes."""
    folder = ROOT / "build-tests" / "certificates"
    maker = ROOT / "tests" / "harness" / "certificates"
    made = folder / "made"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # several test programs may want them at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.stat().st_mtime < maker.stat().st_mtime:
            subprocess.run([maker, folder], check=True)
    return folder


def listener_keys(name):
    """Lines for a listener's configuration."""
    lines = ["protocol websockets"] if name in ("ws", "wss") else []
    if name in ("tls", "wss"):
        folder = certificates()
        lines += [f"certfile {folder}/chain.pem", f"keyfile {folder}/chain.key"]
    return lines


def listeners(lines):
    """Lines of a configuration, each listener with the keys of the transport that was chosen, or with its own."""
    for i, line in enumerate(lines):
        yield line
        if line.startswith("listener "):
            own = itertools.takewhile(lambda key: not key.startswith("listener "), lines[i + 1:])
            if not any(key.startswith(("certfile ", "protocol ", "psk_")) for key in own):
                yield from listener_keys(chosen())


@functools.cache
def tls_context():
    context = ssl.create_default_context(cafile=certificates() / "ca.pem")
    context.check_hostname = False  # tests connect to an address
    return context


def wrap(sock, name):
    """The connected socket, as something with the methods of one."""
    if name in ("tls", "wss"):
        sock = tls_context().wrap_socket(sock)
    return WebSocket(sock) if name in ("ws", "wss") else sock


def buffered(sock):
    """Bytes that have been taken from the kernel and not been read."""
    return sock.pending() if hasattr(sock, "pending") else 0


def readable(sock, seconds):
    """poll, because select knows no descriptors above 1,023."""
    if buffered(sock):
        return True
    waiter = select.poll()
    waiter.register(sock, select.POLLIN)
    return bool(waiter.poll(seconds * 1000))


# ---- WebSocket -----------------------------------------------------------------------------------

def masked(data, mask):
    size = len(data)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


def frame(opcode, payload=b"", fin=True, mask=None, rsv=0, length=None):
    """A client's frame. mask: b"" = none, which no client may send. length: a wrong one."""
    mask = os.urandom(4) if mask is None else mask
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    return head + mask + (masked(payload, mask) if mask else payload)


def request(path="/mqtt", key=None, fields=None, protocol="mqtt"):
    """fields: further ones, or others in the place of those that are there; None leaves one out."""
    key = key or base64.b64encode(os.urandom(16)).decode()
    all_fields = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13",
                  "Sec-WebSocket-Protocol": protocol, **(fields or {})}
    lines = [f"GET {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in all_fields.items() if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def accept_of(key):
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()


class WebSocket:
    """The client's side. recv gives MQTT's bytes; b"" after a close frame or the end."""

    def __init__(self, sock, path="/mqtt"):
        self.sock, self.raw, self.data = sock, b"", b""
        self.close_code = None  # of the server's close frame; 0 = it has none
        self.pongs = []
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(request(path, key))
        while b"\r\n\r\n" not in self.raw:
            more = sock.recv(65536)
            if not more:
                raise ConnectionResetError("closed instead of an upgrade")
            self.raw += more
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        assert lines[0] == "HTTP/1.1 101 Switching Protocols", lines[0]
        assert fields["Sec-WebSocket-Accept"] == accept_of(key), fields
        assert fields["Sec-WebSocket-Protocol"] == "mqtt", fields

    def send_frame(self, *args, **kw):
        self.sock.sendall(frame(*args, **kw))

    def sendall(self, data):
        self.sock.sendall(frame(BINARY, bytes(data)))

    def send(self, data):
        self.sendall(data)
        return len(data)

    def _frame(self):
        """Takes the first complete frame of raw. False: there is none."""
        if len(self.raw) < 2:
            return False
        first, size, at = self.raw[0], self.raw[1], 2
        assert not size & 0x80, "a server must not mask [RFC 6455 5.1]"
        assert first & 0x80 and not first & 0x70, f"frame begins with {first:#x}"
        if size == 126:
            at, size = 4, int.from_bytes(self.raw[2:4], "big")
            assert len(self.raw) < 4 or size > 125, "length is not minimal"
        elif size == 127:
            at, size = 10, int.from_bytes(self.raw[2:10], "big")
            assert len(self.raw) < 10 or size > 0xFFFF, "length is not minimal"
        if len(self.raw) < at or len(self.raw) < at + size:
            return False
        payload, self.raw = self.raw[at:at + size], self.raw[at + size:]
        self._take(first & 15, payload)
        return True

    def _take(self, opcode, payload):
        assert self.close_code is None, "a frame after the close frame"
        if opcode == BINARY:
            self.data += payload
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
        elif opcode == PING:
            self.send_frame(PONG, payload)
        else:
            assert opcode == PONG, f"server sent opcode {opcode}"
            self.pongs.append(payload)

    def recv(self, size):
        while not self.data and self.close_code is None:
            if self._frame():
                continue
            more = self.sock.recv(max(size, 65536))
            if not more:
                return b""
            self.raw += more
        out, self.data = self.data[:size], self.data[size:]
        return out

    def pending(self):
        while self.close_code is None and self._frame():
            pass
        return len(self.data) or self.close_code is not None or buffered(self.sock)

    def __getattr__(self, name):  # fileno, settimeout, setsockopt, close, shutdown ...
        return getattr(self.sock, name)
