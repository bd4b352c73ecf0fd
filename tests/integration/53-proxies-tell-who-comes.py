"""The PROXY protocol: by hand, and by HAProxy in front. R01 to R03 of the bad inputs."""
import pathlib
import shutil
import socket
import ssl
import struct
import sys
import time

import mqtt
import scenario as s
import transport
from broker import Broker, free_port

if not shutil.which("haproxy"):
    print("FAIL proxies: haproxy is not installed")
    sys.exit(1)
C = transport.certificates()
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = {name: free_port() for name in ("either", "v1", "v2", "named", "tls", "ws", "six")}
unix = None
broker = Broker()
unix = broker.dir / "proxy.sock"
broker.write_config(f"""log_type all
listener {PORTS['either']} 127.0.0.1
enable_proxy_protocol true
proxy_protocol_from 127.0.0.0/29, 10.0.0.0/8
listener {PORTS['six']} ::1
enable_proxy_protocol true
proxy_protocol_from ::/127
listener {PORTS['v1']} 127.0.0.1
enable_proxy_protocol 1
proxy_protocol_from 127.0.0.1
listener {PORTS['v2']} 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_from 127.0.0.1
listener {PORTS['named']} 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_from 127.0.0.1
use_identity_as_username true
listener {PORTS['tls']} 127.0.0.1
enable_proxy_protocol true
proxy_protocol_from 127.0.0.1
certfile {C}/chain.pem
keyfile {C}/chain.key
listener {PORTS['ws']} 127.0.0.1
enable_proxy_protocol true
proxy_protocol_from 127.0.0.1
protocol websockets
listener 0 {unix}
enable_proxy_protocol true
""")


def v1(text="TCP4 198.51.100.7 1.2.3.4 55 66"):
    return f"PROXY {text}\r\n".encode()


def v2(family=0x11, body=socket.inet_aton("198.51.100.7") + socket.inet_aton("1.2.3.4") + struct.pack(">HH", 55, 66),
       command=0x21, length=None):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body) if length is None else length) + body


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def certificate(name, verify=0, client=7):
    """The TLVs of a client's certificate, behind the addresses."""
    base = socket.inet_aton("198.51.100.7") + socket.inet_aton("1.2.3.4") + struct.pack(">HH", 55, 66)
    inner = tlv(0x21, b"TLSv1.3") + (tlv(0x22, name) if name is not None else b"")
    return v2(body=base + tlv(0x20, struct.pack(">BI", client, verify) + inner))


def come(name, header, source="127.0.0.1", address="127.0.0.1", cut=False):
    """What the broker says to a CONNECT behind this header; b"" when it closes."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(30)
    sock.bind((source, 0))
    sock.connect((address, PORTS[name]))
    data = header + mqtt.connect(f"c{time.monotonic_ns()}", 4)
    try:
        for i in range(0, len(data), 1 if cut else len(data)):
            sock.sendall(data[i:i + (1 if cut else len(data))])
        answer = sock.recv(100)
    except (ConnectionResetError, BrokenPipeError):
        answer = b""
    sock.close()
    return answer


WELCOME = b"\x20\x02\0\0"
REFUSED = b"\x20\x02\0\x05"


def seen(address):
    broker.wait_log(rf"New client connected from {address} as")


@s.scenario
def both_versions_tell_the_address():
    for cut in (False, True):
        assert come("either", v1("TCP4 203.0.113.%d 1.2.3.4 1000 66" % cut), cut=cut) == WELCOME
        seen(rf"203\.0\.113\.{int(cut)}:1000")
        assert come("either", v2(), cut=cut) == WELCOME
    seen(r"198\.51\.100\.7:55")
    assert come("either", v1("TCP6 2001:db8::7 ::1 77 66")) == WELCOME
    seen(r"\[2001:db8::7\]:77")
    body = socket.inet_pton(socket.AF_INET6, "2001:db8::8") * 2 + struct.pack(">HH", 88, 66)
    assert come("either", v2(0x21, body)) == WELCOME
    seen(r"\[2001:db8::8\]:88")
    assert come("six", v1("TCP4 203.0.113.77 1.2.3.4 6 66"), address="::1", source="::1") == WELCOME
    seen(r"203\.0\.113\.77:6")


@s.scenario
def each_version_can_be_asked_for():
    assert come("v1", v1()) == WELCOME and come("v1", v2()) == b""
    assert come("v2", v2()) == WELCOME and come("v2", v1()) == b""


@s.scenario
def r01_others_than_the_proxies_are_refused():
    for last, want in ((1, WELCOME), (7, WELCOME), (8, b""), (200, b"")):
        assert come("either", v1(), source=f"127.0.0.{last}") == want, last
    broker.wait_log(r"\[127\.0\.0\.(8|200):\d+\] refused: not an address in proxy_protocol_from")


@s.scenario
def r02_what_is_no_header_is_closed():
    for header in (b"", b"PROXY " + b"x" * 200, v1("TCP4 1.2.3.4 1.2.3.4 5 6 7"),
                   v1("TCP4 1.2.3 1.2.3.4 5 6"), v1("TCP4 ::1 ::1 5 6"), v1("TCP4 1.2.3.4 1.2.3.4 5 65536"),
                   v1("TCP4  1.2.3.4 1.2.3.4 5 6"), v2(length=65535), v2(command=0x31), v2(command=0x22),
                   v2(0x99), v2(body=b"abc"), v2(0x21), certificate(b"x")[:-3] + b"\xff" * 3,
                   v2(body=b"\x01\x02\x03\x04" * 3 + b"\x20\0\xff\x07"), SIGNATURE[:-1] + b"X" + v2()[12:]):
        assert come("either", header) == b"", header
    sock = socket.create_connection(("127.0.0.1", PORTS["either"]), 30)
    sock.sendall(b"PROXY TCP4 1.2.3.4")  # and no more
    assert come("either", v1()) == WELCOME, "others are served meanwhile"
    sock.close()


@s.scenario
def r02_a_proxy_that_speaks_for_itself_has_its_own_address():
    for header in (v2(0, b"", command=0x20), v1("UNKNOWN"), v1("UNKNOWN 1.1.1.1 2.2.2.2 3 4"),
                   v2(0, b"\0" * 20)):
        assert come("either", header, source="127.0.0.6") == WELCOME, header
        seen(r"127\.0\.0\.6:\d+")


@s.scenario
def r03_certificates_count_where_the_proxy_has_verified_them():
    assert come("named", certificate(b"box-1")) == WELCOME
    broker.wait_log(r"198\.51\.100\.7:55 as .*u'box-1'")
    for header in (v2(), certificate(None), certificate(b"box", verify=1), certificate(b"box", client=1),
                   certificate(b"box", client=0), certificate(b""), certificate(b"#"), certificate(b"a\0b"),
                   certificate(b"a\xff")):
        assert come("named", header) == REFUSED, header
    assert come("named", certificate(b"box"), source="127.0.0.9") == b""


@s.scenario
def a_unix_socket_is_trusted():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(unix))
    sock.sendall(v1("TCP4 192.0.2.9 1.2.3.4 9 66") + mqtt.connect("unix", 4))
    assert sock.recv(4) == WELCOME
    seen(r"192\.0\.2\.9:9")


@s.scenario
def tls_and_websocket_come_behind_it():
    sock = socket.create_connection(("127.0.0.1", PORTS["tls"]), 30)
    sock.sendall(v1("TCP4 192.0.2.10 1.2.3.4 10 66"))
    sock = transport.tls_context().wrap_socket(sock)
    sock.sendall(mqtt.connect("tls", 4))
    assert sock.recv(4) == WELCOME
    seen(r"192\.0\.2\.10:10")
    sock = socket.create_connection(("127.0.0.1", PORTS["ws"]), 30)
    sock.sendall(v2())
    ws = transport.WebSocket(sock)
    ws.sendall(mqtt.connect("ws", 4))
    assert ws.recv(4) == WELCOME


HAPROXY = """defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
{}"""
WAY = """listen {name}
    bind 127.0.0.1:{port} {bind}
    server broker 127.0.0.1:{to} {server}
"""


@s.scenario
def haproxy_in_front():
    ways = {"one": ("", "v1", "send-proxy"), "two": ("", "v2", "send-proxy-v2"),
            "ends-tls": (f"ssl crt {broker.dir}/both.pem ca-file {C}/clients.pem verify required", "named",
                         "send-proxy-v2-ssl-cn"),
            "passes-tls": ("", "tls", "send-proxy")}
    (broker.dir / "both.pem").write_text((C / "chain.pem").read_text() + (C / "chain.key").read_text())
    ports = {name: free_port() for name in ways}
    file = pathlib.Path(broker.dir) / "haproxy.cfg"
    file.write_text(HAPROXY.format("".join(
        WAY.format(name=name, port=ports[name], bind=bind, to=PORTS[to], server=server)
        for name, (bind, to, server) in ways.items())))
    haproxy = s.Program("haproxy", "-db", "-f", file)
    ca, cert = ("--cafile", C / "ca.pem"), ("--cert", C / "client.pem", "--key", C / "client.key")
    options = {"one": (), "two": (), "ends-tls": (*ca, *cert), "passes-tls": ca}
    for name, more in options.items():
        end = time.monotonic() + 60
        while True:
            code, text = s.run("mosquitto_pub", "-h", "127.0.0.1", "-p", ports[name], *more, "-i", f"by-{name}",
                               "-t", "x", "-m", name, "-q", 1)
            if code == 0 or time.monotonic() > end:
                break
            time.sleep(0.1)
        assert code == 0, f"{name}: {text}"
    broker.wait_log(r"as by-ends-tls .*u'sensor-1'")
    haproxy.kill()


with broker:
    s.main()
