"""Started as root, the broker gives up everything it does not need; passwords leave no trace in its memory or log."""
import http.server
import os
import re
import subprocess
import threading

import mqtt
import scenario as s
import scram
import transport
from broker import Broker, binary, free_port

SECRET = "pass-KbW3rT-word"  # what is looked for is put together here only
tls_port, ws_port, wss_port = free_port(), free_port(), free_port()
C = transport.certificates()
broker = Broker("allow_anonymous false", env={"TERNMQ_USER": "nobody"})
passwords = broker.dir / "passwd"
subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "ann", SECRET], check=True, timeout=20)
passwords.chmod(0o644)
broker.write_config(f"""allow_anonymous false
password_file {passwords}
connection_messages true
log_type all
listener {tls_port} 127.0.0.1
certfile {C}/chain.pem
keyfile {C}/chain.key
listener {ws_port} 127.0.0.1
protocol websockets
listener {wss_port} 127.0.0.1
protocol websockets
certfile {C}/chain.pem
keyfile {C}/chain.key""")


def status():
    with open(f"/proc/{broker.pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def times_in_memory(text, pid=None):
    """How often it stands in what the process may write to."""
    found, pid = 0, pid or broker.pid
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            at, mode = line.split()[:2]
            if mode[:2] != "rw" or "[vvar" in line:
                continue
            begin, end = (int(x, 16) for x in at.split("-"))
            while begin < end:  # pages that were never touched are zeros, and fast
                n = min(end - begin, 1 << 24)
                try:
                    found += os.pread(mem.fileno(), n, begin).count(text)
                except OSError:
                    break
                begin += n
    return found


@s.scenario
def root_is_given_up_with_all_capabilities():
    if os.geteuid() != 0:
        return
    seen = status()
    assert {int(x) for x in seen["Uid"].split()} == {65534}, seen["Uid"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(seen[name], 16) == 0, (name, seen[name])
    assert seen["NoNewPrivs"] == "1"
    assert set(seen["Groups"].split()) <= {"65534"}, seen["Groups"]


@s.scenario
def nobody_of_the_same_user_can_look_into_it():
    if os.geteuid() != 0:
        return
    # /proc/PID belongs to root when a process is not dumpable.
    assert os.stat(f"/proc/{broker.pid}/mem").st_uid == 0


@s.scenario
def the_program_is_hardened():
    def readelf(*options):
        return subprocess.run(["readelf", "-W", *options, binary()], capture_output=True, text=True, timeout=20,
                              check=True).stdout

    head, dynamic, segments, symbols = readelf("-h"), readelf("-d"), readelf("-l"), readelf("--dyn-syms")
    assert re.search(r"Type:\s+DYN", head)  # position independent
    if broker.sanitized():
        return
    assert "BIND_NOW" in dynamic and "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW ", segments) and not re.search(r"GNU_STACK .* RWE", segments)
    assert "__stack_chk_fail" in symbols and re.search(r"__\w+_chk@", symbols)


def come(password, over=None, at=None):
    client = mqtt.Client(("127.0.0.1", at or broker.listens_on), over=over)
    client.hello("c", user="ann", password=password)
    return client, client.recv_type(mqtt.CONNACK).reason


@s.scenario
def a_password_is_wiped_once_it_has_been_checked():
    if os.geteuid() != 0 or broker.sanitized():
        return
    for _ in range(20):  # on both workers, and from one to the other
        client, reason = come(SECRET)
        assert reason == 0
        client.bye()
    client, reason = come(SECRET + "-wrong")
    assert reason == 0x86
    for chunk in (1, 7):  # in pieces
        client = mqtt.Client(broker.address)
        client.version = mqtt.V5
        packet = mqtt.connect("pieces", user="ann", password=SECRET)
        for i in range(0, len(packet), chunk):
            client.send(packet[i:i + chunk])
            s.time.sleep(0.002)
        assert client.recv_type(mqtt.CONNACK).reason == 0
        client.bye()
    assert times_in_memory(SECRET.encode()) == 0
    for over, port in (("tls", tls_port), ("ws", ws_port), ("wss", wss_port)):
        come_at_once(port, over)
        assert times_in_memory(SECRET.encode()) == 0, f"by {over}"


def come_at_once(port, over="tcp"):
    """Several, so that memory is not just used again for the next one."""
    clients = [mqtt.Client(("127.0.0.1", port), over=over).hello(f"c{i}", user="ann", password=SECRET) for i in range(30)]
    assert all(client.recv_type(mqtt.CONNACK).reason == 0 for client in clients)


class Service(http.server.BaseHTTPRequestHandler):
    """Lets everybody in who has the password."""
    passwords = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.passwords.append(SECRET in body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@s.scenario
def nor_does_it_stay_where_a_service_is_asked():
    if os.geteuid() != 0 or broker.sanitized():
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Broker(f"auth_http_url http://127.0.0.1:{server.server_port}/\nauth_http_response status") as asking:
            come_at_once(asking.listens_on, transport.chosen())
            assert Service.passwords == [True] * 30
            assert times_in_memory(SECRET.encode(), asking.pid) == 0
        server.shutdown()


@s.scenario
def no_secret_is_logged():
    client, _ = come(SECRET)
    client.bye()
    method = "SCRAM-SHA-512"
    who = scram.Client(method, "ann", SECRET)
    client = mqtt.Client(broker.address)
    client.hello("scram", props={"auth_method": method, "auth_data": who.first()})
    first = client.recv()
    client.send(mqtt.auth(0x18, {"auth_method": method, "auth_data": who.final(first.props["auth_data"])}))
    assert client.recv().reason == 0
    client.bye()
    assert SECRET not in broker.log() and who.nonce not in broker.log()
    stored = passwords.read_text().split(":", 1)[1].strip()
    assert stored.split("$")[-1] not in broker.log()


with broker:
    s.main()
