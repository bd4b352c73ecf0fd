"""ways.py - TCP, TLS, WebSocket, and WebSocket in TLS: what a broker's configuration needs, and a first CONNECT."""
import atexit
import functools
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile

from .scenarios import Bad

CONNECT = bytes.fromhex("101700044d5154540402000a000b" + b"compare-try".hex())
DISCONNECT = b"\xe0\x00"
UPGRADE = (b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           b"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
TRY_S = 2


def is_plain(options):
    return "tls" not in options and "websocket" not in options


@functools.cache
def certificate():
    """A folder with cert.pem and key.pem (P-256), the same for all brokers of this run."""
    if not shutil.which("openssl"):
        raise Bad("scenarios with `tls` need openssl, which makes their certificate; it is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ternmq-compare-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # a broker may give root up
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    return folder


def listener_lines(options):
    """Below a listener, in mosquitto.conf's words."""
    lines = []
    if "websocket" in options:
        lines.append("protocol websockets")
    if "tls" in options:
        lines += [f"certfile {certificate()}/cert.pem", f"keyfile {certificate()}/key.pem"]
    return lines


def _frame(payload):
    return bytes([0x82, 0x80 | len(payload)]) + bytes(4) + payload  # under a mask of zeros


def _talk(sock, options):
    """What a CONNECT is answered with."""
    if "websocket" not in options:
        sock.sendall(CONNECT)
        answer = sock.recv(4)
        sock.sendall(DISCONNECT)
        return answer
    sock.sendall(UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = sock.recv(1)
        if not more:
            return b""
        head += more
    sock.sendall(_frame(CONNECT))
    answer = sock.recv(6)
    sock.sendall(_frame(DISCONNECT))
    return answer[2:]


def answers(port, options):
    """A CONNECT is accepted."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TRY_S) as sock:
            sock.settimeout(TRY_S)
            if "tls" in options:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                with context.wrap_socket(sock) as wrapped:
                    answer = _talk(wrapped, options)
            else:
                answer = _talk(sock, options)
    except OSError:
        return False
    return len(answer) >= 4 and answer[0] == 0x20 and answer[3] == 0
