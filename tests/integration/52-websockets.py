"""MQTT in WebSockets: MQTT.js by ws and wss; H01 to H12 of the bad inputs, over TCP and over TLS."""
import os
import socket
import struct
import sys
import time

import mqtt
import scenario as s
import transport
from broker import Broker, free_port
from transport import BINARY, CLOSE, CONTINUATION, PING, TEXT, WebSocket, frame, request

HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(HERE, "node_modules", "mqtt")):
    print("FAIL websockets: run `npm ci` in tests/integration first")
    sys.exit(1)
C = transport.certificates()
PORTS = {name: free_port() for name in ("ws", "wss", "strict")}
broker = Broker(f"""connect_timeout 3
listener {PORTS['ws']} 127.0.0.1
protocol websockets
listener {PORTS['wss']} 127.0.0.1
protocol websockets
certfile {C}/chain.pem
keyfile {C}/chain.key
listener {PORTS['strict']} 127.0.0.1
protocol websockets
websockets_path /mqtt
websockets_origin https://app.example.org
websockets_origin http://localhost:8000
""")


def raw(name="ws"):
    sock = socket.create_connection(("127.0.0.1", PORTS[name]), 30)
    return transport.tls_context().wrap_socket(sock) if name == "wss" else sock


def ask(name="ws", **kw):
    """The status that a request gets, and the whole answer when it is closed after it."""
    sock = raw(name)
    sock.sendall(request(**kw))
    answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 "), answer
    status = int(answer[9:12])
    if status != 101:
        assert sock.recv(100) == b"", "a refusal is the end"
    sock.close()
    return status


def opened(name="ws"):
    return WebSocket(raw(name))


def code_for(*frames, name="ws"):
    """The close code that these bytes get."""
    ws = opened(name)
    ws.sock.sendall(b"".join(frames))
    assert ws.recv(100) == b"", "MQTT's bytes instead of a close"
    assert ws.close_code is not None, "closed without a close frame"
    assert ws.sock.recv(100) == b"", "nothing follows the close frame"
    return ws.close_code


@s.scenario
def mqttjs_by_both():
    for url in (f"ws://127.0.0.1:{PORTS['ws']}/mqtt", f"wss://127.0.0.1:{PORTS['wss']}/mqtt"):
        code, text = s.run("node", s.PROGRAMS / "mqtt5.js", url, timeout=60,
                           env={**os.environ, "NODE_EXTRA_CA_CERTS": str(C / "ca.pem")})
        assert code == 0 and text.count("PASS") == 6, text


@s.scenario
def the_code_says_why_it_ends():
    for name in ("ws", "wss"):
        ws = opened(name)
        ws.sendall(mqtt.connect("bye", 4) + mqtt.disconnect())
        assert ws.recv(4) == b"\x20\x02\0\0"
        assert ws.recv(4) == b"" and ws.close_code == 1000
        ws = opened(name)
        ws.sendall(mqtt.connect("wrong", 5) + mqtt.packet(0))
        while ws.recv(100):
            pass
        assert ws.close_code == 1002


@s.scenario
def closed_by_the_client_its_will_is_published():
    watch = mqtt.Client(broker.address).open("watch")
    watch.sub("will/#", qos=1)
    for code in (b"", struct.pack(">H", 1001) + b"gone"):
        ws = opened()
        ws.sendall(mqtt.connect("willing", 4, will=mqtt.will_of("will/a", b"x", 1)))
        assert ws.recv(4) == b"\x20\x02\0\0"
        ws.send_frame(CLOSE, code)
        assert ws.recv(1) == b"" and ws.close_code == (1001 if code else 0)
        watch.msg("x")


@s.scenario
def h01_a_frame_without_mask():
    for name in ("ws", "wss"):
        assert code_for(frame(BINARY, mqtt.connect("a", 4), mask=b""), name=name) == 1002


@s.scenario
def h02_h03_h05_any_pieces_are_one_stream():
    for name in ("ws", "wss"):
        stream = mqtt.connect("pieces", 4) + mqtt.subscribe(1, [("p", 0)], 4) + mqtt.publish("p", b"y" * 300, version=4)
        frames = frame(BINARY, stream[:1], fin=False) + frame(CONTINUATION, b"", fin=False)
        frames += b"".join(frame(CONTINUATION, stream[i:i + 1], fin=False) for i in range(1, 40))
        frames += frame(PING, b"between") + frame(CONTINUATION, stream[40:60]) + frame(BINARY, b"")
        frames += frame(BINARY, stream[60:] + mqtt.PING * 3)
        ws = opened(name)
        for i in range(len(frames)):
            ws.sock.sendall(frames[i:i + 1])
        got, want = b"", b"\x20\x02\0\0" + b"\x90\x03\0\1\0" + mqtt.publish("p", b"y" * 300, version=4) + b"\xd0\0" * 3
        while len(got) < len(want):
            got += ws.recv(1000)
        assert got == want and ws.pongs == [b"between"]


@s.scenario
def h04_text_is_not_mqtt():
    assert code_for(frame(TEXT, mqtt.connect("a", 4))) == 1003


@s.scenario
def h06_lengths_that_nobody_means():
    before = broker.rss()
    for length in (1 << 62, (1 << 63) + 5, (1 << 64) - 1, 1 << 40):
        assert code_for(frame(BINARY, b"x", length=length)) in (1002, 1009)
    assert broker.sanitized() or broker.rss() - before < 8 << 20


@s.scenario
def h07_pings():
    assert code_for(frame(PING, b"x" * 126)) == 1002
    for name in ("ws", "wss"):
        ws = opened(name)
        ws.sendall(mqtt.connect("pinging", 4))
        before = broker.rss()
        flood = frame(PING, b"p" * 100) * 1000
        ws.sock.settimeout(0.5)
        for _ in range(200):  # 20 MB of answers that nobody reads
            try:
                ws.sock.sendall(flood)
            except (TimeoutError, OSError):
                break
        assert broker.sanitized() or broker.rss() - before < 16 << 20
        ws.sock.close()


@s.scenario
def h08_a_million_fragments():
    ws = opened()
    ws.sendall(mqtt.connect("fragments", 4))
    before = broker.rss()
    piece = frame(CONTINUATION, b"\xc0", fin=False) + frame(CONTINUATION, b"\0", fin=False)
    ws.sock.sendall(frame(BINARY, b"", fin=False))
    taken = 4
    assert ws.recv(4) == b"\x20\x02\0\0"
    for _ in range(100):
        ws.sock.sendall(piece * 2500)
        got = 0
        while got < 5000:
            got += len(ws.recv(65536))
        taken += got
    assert taken == 4 + 500000
    assert broker.sanitized() or broker.rss() - before < 8 << 20


@s.scenario
def h09_requests_that_are_not_for_mqtt():
    for fields, want in (({"Sec-WebSocket-Protocol": None}, 400), ({"Sec-WebSocket-Protocol": "chat"}, 400),
                         ({"Sec-WebSocket-Key": None}, 400), ({"Sec-WebSocket-Key": "short"}, 400),
                         ({"Sec-WebSocket-Version": "12"}, 426), ({"Sec-WebSocket-Version": None}, 426),
                         ({"Upgrade": None}, 426), ({"Connection": "close"}, 426)):
        got = ask(fields=fields)
        assert got in (want, 400), f"{fields}: {got}"
    for protocol in ("mqtt", "mqttv3.1", "chat, mqtt"):
        assert ask(fields={"Sec-WebSocket-Protocol": protocol}) == 101
    sock = raw()
    sock.sendall(b"POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sock.recv(100)[9:12] in (b"400", b"405")


@s.scenario
def h10_long_or_dripping_requests():
    sock = raw()
    try:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20))
    except OSError:
        pass
    try:
        answer = sock.recv(1000)
        assert answer[9:12] in (b"431", b"400"), answer
    except ConnectionResetError:
        pass  # it sends on after the answer
    start, sock = time.monotonic(), raw()
    data, end = request(), None
    for i in range(len(data) - 1):  # would take half a minute
        try:
            sock.sendall(data[i:i + 1])
            time.sleep(0.2)
        except OSError:
            end = time.monotonic() - start
            break
    assert end and 2.5 < end < 15, end


@s.scenario
def h11_other_origins_and_paths():
    for origin, want in (("https://app.example.org", 101), ("http://localhost:8000", 101), ("https://evil.example", 403),
                         ("https://app.example.org.evil.example", 403), ("http://app.example.org", 403), (None, 403),
                         ("null", 403)):
        assert ask("strict", fields={"Origin": origin}) == want, origin
    good = {"Origin": "https://app.example.org"}
    assert ask("strict", path="/other", fields=good) == 404
    assert ask("strict", path="/mqtt?x=1", fields=good) in (101, 404)
    assert ask("ws", fields={"Origin": "https://anybody.example"}) == 101


@s.scenario
def h12_bits_and_codes_that_do_not_exist():
    for bytes_ in (frame(BINARY, b"x", rsv=4), frame(3, b"x"), frame(11, b"x"), frame(CONTINUATION, b"x"),
                   frame(CLOSE, b"\x03"), frame(CLOSE, struct.pack(">H", 1005)), frame(CLOSE, struct.pack(">H", 999)),
                   frame(PING, b"x", fin=False), frame(BINARY, b"x", fin=False) + frame(BINARY, b"y")):
        assert code_for(bytes_) == 1002, bytes_[:8].hex()
    assert code_for(frame(CLOSE, struct.pack(">H", 1000) + b"\xff\xfe")) == 1007


with broker:
    s.main()
