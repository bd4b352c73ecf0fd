"""sslscan, and OpenSSL where it cannot tell, against listeners of each kind: versions, suites, groups, old holes."""
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import scenario as s
import transport
from broker import Broker, free_port

if not shutil.which("sslscan"):
    print("FAIL sslscan: it is not installed")
    sys.exit(1)
C = transport.certificates()
SERVER = f"certfile {C}/chain.pem\nkeyfile {C}/chain.key\n"
RSA = f"certfile {C}/rsa.pem\nkeyfile {C}/rsa.key\n"
TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
TLS12 = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
GROUPS = {"secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)", "secp521r1 (NIST P-521)", "x25519"}
LISTENERS = {  # what it is told, and the suites that are wanted of it by version
    "default": (SERVER, {"TLSv1.3": TLS13, "TLSv1.2": [f"ECDHE-ECDSA-{suite}" for suite in TLS12]}),
    "rsa": (RSA, {"TLSv1.3": TLS13, "TLSv1.2": [f"ECDHE-RSA-{suite}" for suite in TLS12]}),
    "modern": (SERVER + "tls_version tlsv1.3\n", {"TLSv1.3": TLS13}),
    "narrow": (RSA + "ciphers ECDHE-RSA-AES256-GCM-SHA384\nciphers_tls1.3 TLS_AES_256_GCM_SHA384\n",
               {"TLSv1.3": TLS13[1:2], "TLSv1.2": ["ECDHE-RSA-AES256-GCM-SHA384"]}),
    "websockets": (SERVER + "protocol websockets\n",
                   {"TLSv1.3": TLS13, "TLSv1.2": [f"ECDHE-ECDSA-{suite}" for suite in TLS12]}),
    "mutual": (SERVER + f"cafile {C}/clients.pem\nrequire_certificate true\n",
               {"TLSv1.3": TLS13, "TLSv1.2": [f"ECDHE-ECDSA-{suite}" for suite in TLS12]}),
    "psk": (f"psk_hint ternmq\npsk_file {C}/psk.txt\n", {"TLSv1.2": []}),  # sslscan has no key
}
PSK = ["ECDHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-AES128-CBC-SHA256", "PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384",
       "PSK-CHACHA20-POLY1305", "PSK-AES128-CBC-SHA256", "PSK-AES256-CBC-SHA384"]
PORTS = {name: free_port() for name in LISTENERS}
broker = Broker("".join(f"listener {PORTS[name]} 127.0.0.1\n{keys}" for name, (keys, _) in LISTENERS.items()))


def scan(name):
    """sslscan's findings about a listener."""
    file = broker.dir / f"{name}.xml"
    who = (f"--certs={C}/client.pem", f"--pk={C}/client.key") if name == "mutual" else ()
    code, text = s.run("sslscan", "--no-colour", "--show-sigs", f"--xml={file}", *who, f"127.0.0.1:{PORTS[name]}",
                       timeout=60)
    assert code == 0, text
    return xml.etree.ElementTree.parse(file).getroot().find("ssltest")


def s_client(name, *args):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{PORTS[name]}", *args], input="",
                          capture_output=True, text=True, timeout=60).stdout


@s.scenario
def versions_and_suites_are_those_that_are_meant():
    for name, (_, wanted) in LISTENERS.items():
        found = scan(name)
        versions = {f"{p.get('type').upper()}v{p.get('version')}" for p in found.findall("protocol[@enabled='1']")}
        assert versions == set(wanted), f"{name}: {versions}"
        for version, suites in wanted.items():
            got = [c.get("cipher") for c in found.iter("cipher") if c.get("sslversion") == version]
            assert got == suites, f"{name}: {version}: {got}"


@s.scenario
def exchanges_are_ephemeral_over_good_groups_and_signed_with_good_hashes():
    for name in ("default", "rsa", "modern"):
        found = scan(name)
        for version in LISTENERS[name][1]:
            groups = {g.get("name") for g in found.iter("group") if g.get("sslversion") == version}
            assert groups == GROUPS, f"{name}: {version}: {groups}"
        for cipher in found.iter("cipher"):
            assert int(cipher.get("ecdhebits", 0)) >= 253, f"{name}: {cipher.attrib}"
        for signature in found.iter("connection-signature-algorithm"):
            if signature.get("sslversion") == "TLSv1.3":
                assert not any(old in signature.get("name") for old in ("sha1", "md5", "pkcs1")), signature.attrib


@s.scenario
def old_holes_are_not_there():
    for name in LISTENERS:
        found = scan(name)
        assert not found.findall("renegotiation[@supported='1']"), f"{name}: the client may renegotiate"
        leaks = found.findall("heartbleed")
        assert leaks and all(leak.get("vulnerable") == "0" for leak in leaks), f"{name}: {[k.attrib for k in leaks]}"
    for version in ("-tls1_2", "-tls1_3"):  # sslscan's OpenSSL cannot compress, nor can others of today
        text = s_client("default", version, "-comp")
        assert "Compression: NONE" in text and "Cipher is " in text, text


@s.scenario
def pre_shared_keys_have_their_suites_and_no_others():
    key = ("-psk", "00112233445566778899aabbccddeeff", "-psk_identity", "sensor-1")
    code, text = s.run("openssl", "ciphers", "-s", "-tls1_2", "-psk", "ALL:eNULL:@SECLEVEL=0")
    assert code == 0
    accepted = []
    for suite in text.strip().split(":"):
        shown = s_client("psk", "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", *key)
        if f"Cipher is {suite}" in shown:
            accepted.append(suite)
    assert sorted(accepted) == sorted(PSK), accepted
    assert "Cipher is (NONE)" in s_client("psk", "-tls1_2"), "without a key nobody comes in"


@s.scenario
def a_client_without_a_group_in_common_is_told():
    """It used to be asked for another hello, which could not be better, and to wait for the end of its time."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{PORTS['default']}", "-tls1_3", "-groups",
                           "X448"], input="", capture_output=True, text=True, timeout=5)
    assert "handshake failure" in done.stderr, done.stderr


with broker:
    s.main()
