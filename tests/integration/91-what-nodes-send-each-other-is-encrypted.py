"""TLS between nodes: keys that are made of the cluster's secret, and nobody without them gets anywhere."""
import hashlib
import hmac
import signal
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker, free_port
from figures import Figures
from nodes import SECRET, Nodes

nodes = Nodes(2, config="sys_interval 1")


def hkdf(secret, name, label, length):
    master = hmac.digest(name, secret, hashlib.sha256)
    return hmac.digest(master, label + b"\x01", hashlib.sha256)[:length].hex()


def key_of(secret):
    """What a node shows and what it has, as openssl wants them."""
    bytes_ = secret.encode()
    return hkdf(bytes_, b"test", b"ternmq link tls name", 16), hkdf(bytes_, b"test", b"ternmq link tls", 32)


def openssl(*args, say=None, port=None):
    """What openssl s_client prints, to its end or for ten seconds."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port or nodes.ports[0]}", *args]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return program.communicate(say, timeout=10)[0]
    except subprocess.TimeoutExpired:
        program.kill()
        return program.communicate()[0]


def with_key(secret, *args, **kw):
    name, key = key_of(secret)
    return openssl("-psk_identity", name, "-psk", key, *args, **kw)


def link_works(a, b, two=nodes):
    sub = two.client(b, f"hears-{time.monotonic_ns()}")
    sub.sub("link/#", qos=1)
    two.client(a, f"says-{time.monotonic_ns()}").pub("link/x", b"y", 1)
    sub.msg(b"y")


def restart(two, i):
    two[i].signal(signal.SIGTERM)
    assert two[i].wait_exit() == 0
    two[i].start()


@s.scenario
def who_has_the_key_may_speak_and_then_needs_the_password():
    out = with_key(SECRET, "-tls1_3")
    assert b"TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" in out and b"Server Temp Key" in out, out
    for password in (b"", b"0" * 96):
        connect = mqtt.connect("$TERNMQ/from/" + "0" * 32, user="node", password=password)
        assert b"\x20\x03\x00\x87\x00" in with_key(SECRET, "-tls1_3", "-quiet", say=connect)
    assert b"\x20\x03\x00\x87\x00" in with_key(SECRET, "-tls1_3", "-quiet", say=mqtt.connect("anybody"))


@s.scenario
def nobody_else_gets_anywhere():
    figures = Figures(nodes[0].address)
    before = figures.wait("tls/failures", lambda value: value >= 0)
    tries = [openssl(), openssl("-tls1_3"), openssl("-tls1_2"), openssl("-tls1_2", "-cipher", "ALL:@SECLEVEL=0"),
             with_key(SECRET, "-tls1_2"), with_key("another secret than theirs", "-tls1_3"),
             openssl("-tls1_3", "-psk_identity", key_of(SECRET)[0], "-psk", "00" * 32),
             openssl("-tls1_3", "-psk_identity", "x" * 127, "-psk", "00" * 32),
             with_key(SECRET, "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256")]
    for i, out in enumerate(tries):
        assert b"New, (NONE), Cipher is (NONE)" in out, f"try {i}: {out}"
    figures.wait("tls/failures", lambda value: value == before + len(tries))
    c = mqtt.Client(("127.0.0.1", nodes.ports[0]), over="tcp")
    c.send(mqtt.connect("$TERNMQ/from/" + "0" * 32, user="node", password=b"0" * 96))
    assert c.raw_until_closed()[:1] in (b"", b"\x15"), "an alert, or nothing"
    nodes[0].wait_log(r"Node \[127\.0\.0\.1:\d+\]: TLS: .* Nodes have the same")
    link_works(0, 1)
    link_works(1, 0)


@s.scenario
def secrets_and_keys_are_in_no_log():
    name, key = key_of(SECRET)
    for i in range(2):
        log = nodes[i].log()
        assert "for other nodes, TLS." in log and SECRET not in log and key not in log and key[:32] not in log


@s.scenario
def a_reload_leaves_it_as_it_is():
    for i in range(2):
        nodes[i].signal(signal.SIGHUP)
        nodes[i].wait_log(r"Config reloaded\.")
    link_works(0, 1)
    for i in range(2):  # who comes and who goes, both are made from what was there before
        restart(nodes, i)
        nodes.wait_linked()


@s.scenario
def secrets_are_changed_node_by_node():
    old, new = "the old secret of all", "the new secret of all"
    with Nodes(2, secrets=[old, old]) as two:
        for lines in (f"{old}\n{new}\n", f"{new}\n{old}\n", f"{new}\n"):
            for i in range(2):
                (two.folder / f"secret-{i}").write_text(lines)
                restart(two, i)
                two.wait_linked()
        out = with_key(old, "-tls1_3", port=two.ports[0])
        assert b"New, (NONE)" in out, out


@s.scenario
def plain_and_encrypted_nodes_never_link_and_stay_up():
    odd = Broker(f"cluster_name test\ncluster_plain true\nnode_name odd\ncluster_secret_file {nodes.folder}/secret-0\n"
                 f"cluster_bind 127.0.0.1:{free_port()}\ncluster_seeds 127.0.0.1:{nodes.ports[0]}\n")
    hint = r"\[.*\]: TLS: .* Nodes have the same cluster_name, cluster_secret_file and cluster_plain\."
    with odd:
        odd.wait_log(r"for other nodes, not encrypted")
        sub = mqtt.Client(odd.address).open("outside")
        sub.sub("odd/#", qos=1)
        inside = nodes.client(0, "inside")
        inside.sub("odd/#", qos=1)
        for i in range(2):
            nodes[i].wait_log(r"Node odd \[.*\] is alive")
            nodes[i].wait_log(hint)
        end = time.monotonic() + 7  # two more attempts of each
        while time.monotonic() < end:
            nodes.client(1, "speaker").pub("odd/x", b"x", 1)
            inside.msg(b"x")
            time.sleep(0.5)
        mqtt.Client(odd.address).open("speaker").pub("odd/y", b"y", 1)
        assert sub.msg(b"y").topic == "odd/y"
        sub.expect_nothing(0.5)
        inside.expect_nothing(0.1)
        link_works(0, 1)


@s.scenario
def a_cluster_may_be_plain():
    with Nodes(2, plain=True) as two:
        link_works(0, 1, two)
        link_works(1, 0, two)
        for password in (b"", b"0" * 96):
            c = mqtt.Client(("127.0.0.1", two.ports[0]), over="tcp")
            c.hello("$TERNMQ/from/" + "0" * 32, user="node", password=password).expect(mqtt.CONNACK, reason=0x87)
        c = mqtt.Client(("127.0.0.1", two.ports[0]), over="tcp")
        c.hello("anybody").expect(mqtt.CONNACK, reason=0x87)


with nodes:
    s.main()
