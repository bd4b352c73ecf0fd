"""Certificates and keys that change on the disk, by SIGHUP and by themselves; bad ones change nothing."""
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess

import mqtt
import scenario as s
import transport
from broker import Broker, binary, free_port

C = transport.certificates()
port, mounted = free_port(), free_port()
broker = Broker("sys_interval 1")
files = broker.dir / "certs"
mount = broker.dir / "mount"


def put(name, folder=None):
    """The certificate and key of this name take the place of those that are there."""
    folder = folder or files
    folder.mkdir(exist_ok=True)
    for end in ("pem", "key"):
        shutil.copy(C / f"{name}.{end}", folder / f"new.{end}")
        os.rename(folder / f"new.{end}", folder / f"server.{end}")


def swap(name):
    """As the kubelet does: a folder with a new name, and a link that is replaced."""
    fresh = mount / f"..{name}"
    put(name, fresh)
    os.symlink(fresh.name, mount / "..data_tmp")
    os.rename(mount / "..data_tmp", mount / "..data")


def shown(at):
    """The certificate that the server shows."""
    with transport.tls_context().wrap_socket(socket.create_connection(("127.0.0.1", at), 30)) as sock:
        return sock.getpeercert(binary_form=True)


def first_of(name):
    text = (C / f"{name}.pem").read_text()
    return ssl.PEM_cert_to_DER_cert(text[:text.index("-----END CERTIFICATE-----") + 25])


def log_count(text):
    return broker.log().count(text)


def wait_more(text, before):
    broker.wait_log("(?s)" + ".*".join([text] * (before + 1)))


def sys_value(topic, value):
    c = mqtt.Client(broker.address).open("sys")
    c.sub(f"$SYS/broker/tls/{topic}")
    while c.expect(mqtt.PUBLISH).payload != value:
        pass
    c.bye()


LISTENERS = (f"listener {port} 127.0.0.1\ncertfile {files}/server.pem\nkeyfile {files}/server.key\n"
             f"listener {mounted} 127.0.0.1\ncertfile {mount}/server.pem\nkeyfile {mount}/server.key\n")
put("chain")
mount.mkdir()
for end in ("pem", "key"):
    os.symlink(f"..data/server.{end}", mount / f"server.{end}")
swap("chain")
broker.write_config("sys_interval 1\n" + LISTENERS)
RELOADED, HELD = "Certificates and keys reloaded", "what was loaded before holds"


@s.scenario
def a_replaced_file_is_taken_by_itself():
    stays = mqtt.Client(("127.0.0.1", port), over="tls").open("stays")
    assert shown(port) == first_of("chain")
    before = log_count(RELOADED)
    put("rsa")
    wait_more(RELOADED, before)
    assert shown(port) == first_of("rsa")
    assert shown(mounted) == first_of("chain")
    stays.ping()
    stays.bye()


@s.scenario
def a_swapped_mount_is_taken_by_itself():
    before = log_count(RELOADED)
    swap("ed25519")
    wait_more(RELOADED, before)
    assert shown(mounted) == first_of("ed25519")
    assert shown(port) == first_of("rsa")


@s.scenario
def a_bad_one_keeps_the_last_good_and_is_told():
    before = log_count(HELD)
    (files / "server.key").write_text("this is no key\n")
    wait_more(HELD, before)
    broker.wait_log(rf"Error: listener {port} 127\.0\.0\.1: .*server\.key.*{HELD}")
    assert shown(port) == first_of("rsa")
    sys_value("reload failed", b"1")
    before = log_count(RELOADED)
    put("chain")
    wait_more(RELOADED, before)
    assert shown(port) == first_of("chain")
    sys_value("reload failed", b"0")


@s.scenario
def a_key_of_another_certificate_is_bad_too():
    before = log_count(HELD)
    shutil.copy(C / "client.key", files / "server.key")
    wait_more(HELD, before)
    assert shown(port) == first_of("chain")
    before = log_count("not reloaded")
    broker.signal(signal.SIGHUP)
    wait_more("not reloaded", before)
    assert shown(port) == first_of("chain")
    put("chain")
    before = log_count("Config reloaded")
    broker.signal(signal.SIGHUP)
    wait_more("Config reloaded", before)


@s.scenario
def a_hangup_takes_other_files():
    broker.write_config("sys_interval 1\n" + LISTENERS.replace(f"{files}/server", f"{C}/rsa"))
    before = log_count("Config reloaded")
    broker.signal(signal.SIGHUP)
    wait_more("Config reloaded", before)
    assert shown(port) == first_of("rsa")


@s.scenario
def the_days_that_are_left_are_told():
    c = mqtt.Client(broker.address).open("days")
    c.sub("$SYS/broker/tls/certificate days left")
    days = int(c.expect(mqtt.PUBLISH).payload)
    assert 3000 < days <= 3650, days
    c.bye()


@s.scenario
def a_start_with_bad_files_names_them():
    bad = broker.dir / "bad.conf"
    missing = pathlib.Path("/nonexistent/server.pem")
    for cert, key, words in ((missing, C / "chain.key", "nonexistent"), (C / "chain.pem", C / "rsa.key", "rsa.key"),
                             (C / "chain.pem", C / "encrypted.key", "encrypted.key")):
        bad.write_text(f"listener {free_port()} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n")
        for args in ([], ["--test-config"]):
            done = subprocess.run([binary(), "-c", bad, *args], capture_output=True, text=True, timeout=60)
            assert done.returncode == 1 and words in done.stderr, done.stderr
    bad.write_text(f"listener {free_port()} 127.0.0.1\ncertfile {C}/chain.pem\n")
    done = subprocess.run([binary(), "-c", bad], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "keyfile is missing" in done.stderr, done.stderr


with broker:
    s.main()
