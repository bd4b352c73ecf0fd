"""TLS with real clients: mosquitto's, Python's OpenSSL and openssl s_client. T02 to T08 of the bad inputs."""
import contextlib
import socket
import ssl
import subprocess
import time

import mqtt
import scenario as s
import transport
from broker import Broker, free_port

C = transport.certificates()
CA = ("--cafile", C / "ca.pem")
SERVER = f"certfile {C}/chain.pem\nkeyfile {C}/chain.key\n"
MUTUAL = SERVER + f"cafile {C}/clients.pem\ncrlfile {C}/crl.pem\nrequire_certificate true\n"
LISTENERS = {
    "tls": SERVER + f"ticket_keyfile {C}/tickets.txt\n",
    "modern": SERVER + "tls_version tlsv1.3\n",
    "mutual": MUTUAL + "use_identity_as_username true\n",
    "subject": MUTUAL + "use_subject_as_username true\nuse_username_as_clientid true\n",
    "psk": f"psk_hint ternmq\npsk_file {C}/psk.txt\nuse_identity_as_username true\n",
}
PORTS = {name: free_port() for name in LISTENERS}
CONFIG = "per_listener_settings true\n" + "".join(
    f"listener {PORTS[name]} 127.0.0.1\nallow_anonymous {'false' if name in ('mutual', 'psk') else 'true'}\n{keys}"
    for name, keys in LISTENERS.items())
broker = Broker(CONFIG)
SENSOR = ("--cert", C / "client.pem", "--key", C / "client.key")
KEY = "00112233445566778899aabbccddeeff"


class At:
    """One of the listeners, for scenario.mosquitto_sub."""

    def __init__(self, name):
        self.port = PORTS[name]


def round_trip(name, *options, payload="x" * 100):
    sub = s.mosquitto_sub(At(name), *options, "-t", f"{name}/#", "-C", "3", "-q", "2", "-F", "%q %p")
    for qos in (0, 1, 2):
        s.mosquitto_pub(At(name), *options, "-t", f"{name}/a", "-m", payload, "-q", qos)
    assert sorted(s.messages(sub, 3)) == [f"{qos} {payload}" for qos in (0, 1, 2)]
    assert sub.exit() == 0


def context(cert=None, version=None):
    made = ssl.create_default_context(cafile=C / "ca.pem")
    made.check_hostname = False
    if version:
        made.minimum_version = made.maximum_version = version
    if cert:
        made.load_cert_chain(C / f"{cert}.pem", C / f"{cert}.key")
    return made


def connect(name, made, version=5, **kw):
    """The CONNACK's reason, or the error of the handshake."""
    try:
        sock = made.wrap_socket(socket.create_connection(("127.0.0.1", PORTS[name]), 30))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # what it said before is still to be read
            sock.sendall(mqtt.connect("c", version, **kw))
        answer = sock.recv(100)
        sock.close()
        return answer[3] if answer else "closed"
    except (ssl.SSLError, ConnectionResetError) as e:
        return getattr(e, "reason", None) or type(e).__name__


def s_client(name, *args, text="", timeout=60):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{PORTS[name]}", "-CAfile", C / "ca.pem",
                           *args], input=text, capture_output=True, text=True, timeout=timeout)
    return done.stdout + done.stderr


@s.scenario
def mosquitto_clients_come_by_both_versions():
    for version in ("tlsv1.2", "tlsv1.3"):
        round_trip("tls", *CA, "--tls-version", version)
    round_trip("tls", *CA, payload="y" * 60000)


@s.scenario
def retained_messages_and_wills_of_mosquitto_clients():
    for name, options in (("tls", CA), ("mutual", (*CA, *SENSOR)),
                          ("psk", ("--psk", KEY, "--psk-identity", "sensor-1"))):
        s.mosquitto_pub(At(name), *options, "-t", f"kept/{name}", "-m", name, "-r", "-q", "1")
        watch = s.mosquitto_sub(At(name), *options, "-t", f"kept/{name}", "-t", f"will/{name}", "-q", "1", "-C", "2",
                                "-F", "%r %p")
        assert s.messages(watch, 1) == [f"1 {name}"]
        device = s.mosquitto_sub(At(name), *options, "-t", "nothing", "--will-topic", f"will/{name}", "--will-payload",
                                 "gone", "--will-qos", "1")
        device.kill()
        assert s.messages(watch, 1) == ["0 gone"]
        assert watch.exit() == 0


@s.scenario
def mosquitto_clients_can_ask_for_mqtt_by_alpn_and_for_one_suite():
    round_trip("tls", *CA, "--tls-alpn", "mqtt")
    round_trip("tls", *CA, "--tls-version", "tlsv1.2", "--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305")
    code, _ = s.run("mosquitto_pub", "-h", "127.0.0.1", "-p", PORTS["tls"], *CA, "--tls-alpn", "h2", "-t", "a", "-m", "b")
    assert code != 0


@s.scenario
def a_long_message_goes_both_ways():
    text = "z" * 1500000
    reader = mqtt.Client(("127.0.0.1", PORTS["tls"]), over="tls").open("reader")
    reader.sub("long", qos=1)
    writer = mqtt.Client(("127.0.0.1", PORTS["tls"]), over="tls").open("writer")
    writer.pub("long", text, qos=1)
    reader.msg(text)
    reader.bye()
    writer.bye()


@s.scenario
def a_certificates_name_is_the_user_name():
    round_trip("mutual", *CA, *SENSOR)
    broker.wait_log(r"New client connected from .*, u'sensor-1'\)")
    assert connect("subject", context("client")) == 0
    broker.wait_log(r"New client connected from .* as C=DE,O=Works,CN=sensor-1 |as CN=sensor-1,O=Works,C=DE ")


@s.scenario
def without_a_good_certificate_nobody_comes_in():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for cert in (None, "expired", "revoked", "stranger", "minted"):
            got = connect("mutual", context(cert, version))
            assert got not in (0, "closed"), f"{cert}: {got}"  # an alert says that it was the certificate
            want = {None: "HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED|BAD_CERTIFICATE", "expired": "EXPIRED",
                    "revoked": "REVOKED|BAD_CERTIFICATE", "stranger": "UNKNOWN_CA|BAD_CERTIFICATE",
                    "minted": "UNKNOWN_CA|BAD_CERTIFICATE"}[cert]
            assert any(w in str(got) for w in want.split("|")), f"{cert}: {got}"
    assert connect("mutual", context("client")) == 0


@s.scenario
def a_name_that_is_no_user_name_is_refused():
    for cert in ("no-name", "wildcard-name"):
        assert connect("mutual", context(cert)) == 0x87, cert
        assert connect("mutual", context(cert), version=4) == 5, cert
    assert connect("mutual", context("wildcard-name"), user="admin", password="x") == 0x87


@s.scenario
def pre_shared_keys():
    round_trip("psk", "--psk", KEY, "--psk-identity", "sensor-1")
    for key, identity in ((KEY[:-1] + "e", "sensor-1"), (KEY, "sensor-2"), (KEY, "")):
        code, _ = s.run("mosquitto_pub", "-h", "127.0.0.1", "-p", PORTS["psk"], "--psk", key, "--psk-identity",
                        identity or "x", "-t", "a", "-m", "b")
        assert code != 0, (key, identity)


@s.scenario
def old_versions_and_weak_suites_are_refused():
    for old in ("-tls1", "-tls1_1"):
        text = s_client("tls", old, "-cipher", "ALL:@SECLEVEL=0")
        assert "alert protocol version" in text or "wrong version number" in text, text
    for suite in ("NULL-SHA256", "ADH-AES128-GCM-SHA256", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"):
        text = s_client("tls", "-tls1_2", "-cipher", suite + ":@SECLEVEL=0")
        assert "handshake failure" in text, f"{suite}: {text}"
    assert "alert" in s_client("modern", "-tls1_2")
    assert "TLSv1.3" in s_client("modern")


@s.scenario
def plain_mqtt_on_the_port_of_tls_is_closed():
    c = mqtt.Client(("127.0.0.1", PORTS["tls"]), over="tcp")
    answer = c.hello("x", 4).raw_until_closed()
    assert answer[:1] == b"\x15" or not answer, answer  # an alert, or nothing
    broker.wait_log(r"Client \[127\.0\.0\.1:\d+\]: TLS: ")


@s.scenario
def one_record_a_byte_works():
    sock = transport.tls_context().wrap_socket(socket.create_connection(("127.0.0.1", PORTS["tls"])))
    for byte in mqtt.connect("dripping", 4) + mqtt.PING * 100:
        sock.sendall(bytes([byte]))
    got = b""
    while len(got) < 4 + 200:
        got += sock.recv(1000)
    assert got == b"\x20\x02\0\0" + b"\xd0\0" * 100


@s.scenario
def the_client_cannot_renegotiate():
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{PORTS['tls']}", "-tls1_2"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(0.3)
    process.stdin.write("R\n")
    process.stdin.flush()
    text, _ = process.communicate(timeout=60)
    assert "RENEGOTIATING" in text and text.count("verify return") <= 4, text[-2000:]
    assert "no renegotiation" in text or "handshake failure" in text or "unexpected" in text or "closed" in text, text


@s.scenario
def early_data_is_not_offered():
    text = tickets("tls")
    assert "Max Early Data: 0" in text, text


def tickets(name, *args):
    """What a TLS 1.3 client is told until it has its CONNACK: the sessions come before that."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{PORTS[name]}", "-tls1_3", *args],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdin.write(mqtt.connect("tickets", 4))
    process.stdin.flush()
    text = b""
    while b"\x20\x02\0\0" not in text:
        more = process.stdout.read1()
        assert more, f"no CONNACK: {text}"
        text += more
    rest, _ = process.communicate(b"Q\n", timeout=60)
    return (text + rest).decode(errors="replace")


@s.scenario
def tickets_resume_here_and_at_another_broker_with_the_same_keys():
    other_port = free_port()
    with Broker(f"listener {other_port} 127.0.0.1\n{LISTENERS['tls']}"):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            made, session = context(version=version), None
            for port in (PORTS["tls"], PORTS["tls"], other_port):
                sock = made.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), session=session)
                sock.sendall(mqtt.connect("t", 4))
                assert sock.recv(4) == b"\x20\x02\0\0"
                assert sock.session_reused == (session is not None), (version, port)
                session = sock.session
                sock.close()


@s.scenario
def who_must_prove_who_he_is_gets_no_ticket():
    text = tickets("mutual", "-cert", C / "client.pem", "-key", C / "client.key")
    assert "New Session Ticket" not in text, text
    assert "New Session Ticket" in tickets("tls")


@s.scenario
def alpn_is_mqtt_or_nothing():
    assert "ALPN protocol: mqtt" in s_client("tls", "-alpn", "h2,mqtt")
    assert "no application protocol" in s_client("tls", "-alpn", "h2")
    assert "No ALPN negotiated" in s_client("tls")


@s.scenario
def a_flood_of_key_updates_is_bounded():
    before = broker.rss()
    s_client("tls", "-tls1_3", text="K\n" * 5000 + "Q\n", timeout=60)
    assert broker.sanitized() or broker.rss() - before < 16 << 20
    mqtt.Client(("127.0.0.1", PORTS["tls"]), over="tls").open("after").bye()


with broker:
    s.main()
