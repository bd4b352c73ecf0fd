"""MQTT.js in headless Chromium, a page that speaks ws and wss: QoS, long messages, a restart, origins, certificates."""
import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import scenario as s
import transport
from broker import Broker, free_port

HERE = pathlib.Path(__file__).resolve().parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
for what, there in (("run `npm ci` in tests/integration first", (HERE / "node_modules" / "playwright-core").is_dir()),
                    ("chromium is not installed", CHROMIUM)):
    if not there:
        print(f"FAIL browser: {what}")
        sys.exit(1)
C = transport.certificates()
PORTS = {name: free_port() for name in ("ws", "wss", "strict", "other-key")}


class Files(http.server.SimpleHTTPRequestHandler):
    """The page and MQTT.js. Each server is an origin."""

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=HERE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


HOME, ELSEWHERE = serve(), serve()
BROWSERS = "".join(f"websockets_origin {origin}\n" for origin in (HOME, "https://app.example.org"))
broker = Broker(f"""sys_interval 1
listener {PORTS['ws']} 127.0.0.1
protocol websockets
listener {PORTS['wss']} 127.0.0.1
protocol websockets
certfile {C}/chain.pem
keyfile {C}/chain.key
{BROWSERS}listener {PORTS['strict']} 127.0.0.1
protocol websockets
{BROWSERS}listener {PORTS['other-key']} 127.0.0.1
protocol websockets
certfile {C}/rsa.pem
keyfile {C}/rsa.key
""")
WS, WSS = f"ws://127.0.0.1:{PORTS['ws']}/mqtt", f"wss://127.0.0.1:{PORTS['wss']}/mqtt"
STRICT = f"ws://127.0.0.1:{PORTS['strict']}/mqtt"


def key_hash(certificate):
    """As Chromium wants to hear which key it may trust, and no other one."""
    done = subprocess.run(f"openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der | "
                          "openssl dgst -sha256 -binary | base64", shell=True, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Browser:
    """Chromium with one tab for each origin; `call` runs a function of browser.html there."""

    def __init__(self):
        self.program = s.Program("node", s.PROGRAMS / "browser.js", CHROMIUM, key_hash(C / "chain.pem"), stdin=True,
                                 env={**os.environ, "HOME": str(broker.dir), "TMPDIR": str(broker.dir)})
        self.version = self.read(60)["ready"]

    def read(self, timeout):
        line = self.program.line(timeout)
        assert line is not None, f"the browser has ended: {self.program.seen[-5:]}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    def call(self, name, *args, origin=HOME, timeout=60):
        line = json.dumps({"page": f"{origin}/programs/browser.html", "call": name, "args": args})
        self.program.process.stdin.write(line + "\n")
        self.program.process.stdin.flush()
        return self.read(timeout)["result"]

    def connect(self, name, url, origin=HOME, **options):
        return self.call("connect", name, url, options, origin=origin)

    def close(self):
        self.program.process.stdin.close()
        assert self.program.exit(60) == 0


def checksum(data):
    return functools.reduce(lambda a, b: (a * 31 + b) % 1000003, data, 7)


@s.scenario
def every_qos_by_both_ways_and_versions():
    for way, url in (("ws", WS), ("wss", WSS)):
        for version in (4, 5):
            name = f"{way}-{version}"
            assert page.connect(name, url, protocolVersion=version) == "open", url
            assert page.call("subprotocol", name) == "mqtt"
            assert page.call("subscribe", name, f"{name}/#", 2) == 2
            device = s.mosquitto_sub(broker, "-t", f"{name}/#", "-q", "2", "-F", "%q %p", "-C", "6")
            for qos in (0, 1, 2):
                page.call("publish", name, f"{name}/up", f"from the page {qos}", qos)
                s.mosquitto_pub(broker, "-t", f"{name}/down", "-m", f"to the page {qos}", "-q", qos)
            got = sorted((m["qos"], m["text"]) for m in page.call("messages", name, 6))
            want = sorted((qos, f"{way_} the page {qos}") for qos in (0, 1, 2) for way_ in ("from", "to"))
            assert got == want, got
            assert sorted(s.messages(device, 6)) == sorted(f"{qos} {text}" for qos, text in want)
            page.call("bye", name)


@s.scenario
def long_messages_arrive_whole():
    data = b"ab" * 700000
    for name, url in (("long-ws", WS), ("long-wss", WSS)):
        assert page.connect(name, url, protocolVersion=5) == "open"
        page.call("subscribe", name, f"{name}/#", 1)
        page.call("publishLong", name, f"{name}/a", len(data), 1)
        (broker.dir / "payload").write_bytes(data)
        s.mosquitto_pub(broker, "-t", f"{name}/b", "-f", broker.dir / "payload", "-q", 1)
        for message in page.call("messages", name, 2):
            assert message["text"] == f"{len(data)} bytes" and message["sum"] == checksum(data), message
        page.call("bye", name)


@s.scenario
def a_retained_message_and_a_will():
    s.mosquitto_pub(broker, "-t", "shop/open", "-m", "yes", "-r", "-q", 1)
    assert page.connect("retained", WSS, protocolVersion=5) == "open"
    page.call("subscribe", "retained", "shop/#", 1)
    (message,) = page.call("messages", "retained", 1)
    assert message == {**message, "topic": "shop/open", "text": "yes", "retain": True}, message
    assert page.connect("tab", WSS, origin=HOME + "/./", protocolVersion=5,
                        will={"topic": "shop/tab", "payload": "closed", "qos": 1}) == "open"
    page.call("(() => location.replace('about:blank'))", origin=HOME + "/./")  # the tab is gone
    (message,) = page.call("messages", "retained", 1)
    assert (message["topic"], message["text"]) == ("shop/tab", "closed"), message
    page.call("bye", "retained")


@s.scenario
def another_origin_is_refused():
    for url in (STRICT, WSS):
        assert page.connect("guest", url, origin=HOME) == "open"
        page.call("bye", "guest")
        got = page.connect("guest", url, origin=ELSEWHERE)
        assert got == "closed" or got.startswith("error"), got
    assert page.connect("guest", WS, origin=ELSEWHERE) == "open", "where there is no list all may come"
    page.call("bye", "guest", origin=ELSEWHERE)
    sub = s.mosquitto_sub(broker, "-t", "$SYS/broker/websockets/refused")
    while s.messages(sub, 1) != ["2"]:
        pass
    sub.kill()


@s.scenario
def a_certificate_that_nobody_vouches_for_is_refused():
    got = page.connect("wrong-key", f"wss://127.0.0.1:{PORTS['other-key']}/mqtt")
    assert got == "closed" or got.startswith("error"), got
    broker.wait_log(r"Client \[127\.0\.0\.1:\d+\]: TLS: the client sent alert")


@s.scenario
def it_comes_back_after_a_restart():
    for name, url in (("back-ws", WS), ("back-wss", WSS)):
        assert page.connect(name, url, protocolVersion=5, reconnectPeriod=200) == "open"
        page.call("subscribe", name, f"{name}/#", 1)
    assert page.connect("told", WS, protocolVersion=5) == "open"
    broker.signal(15)
    assert broker.wait_exit() == 0
    assert page.call("ended", "told") == 0x8B, "it is told that the server shuts down"
    for name in ("back-ws", "back-wss"):  # MQTT.js keeps it, and sends it before or after it subscribes again
        page.call("publishLater", name, f"{name}/kept", "while away")
    broker.start()
    for name in ("back-ws", "back-wss"):
        assert page.call("connects", name, 2) == 2
        page.call("publish", name, f"{name}/again", "back", 2)
        got = {(m["topic"], m["text"], m["qos"]) for m in page.call("messages", name, 2)}
        assert got == {(f"{name}/kept", "while away", 1), (f"{name}/again", "back", 1)}, got
        page.call("bye", name)


with broker:
    page = Browser()
    print(f"Chromium {page.version}")
    try:
        s.main()
    finally:
        page.close()
