"""Password files as mosquitto_passwd writes them, SCRAM, whose a session is, and files that change."""
import os
import resource
import signal
import subprocess

import mqtt
import scenario as s
import scram
from broker import Broker, binary, free_port

broker = Broker("sys_interval 1\nallow_anonymous false")
passwords = broker.dir / "passwd"
RELOADED, HELD = "Passwords and access rules reloaded", "what was loaded before holds"


def passwd(*options):
    subprocess.run(["mosquitto_passwd", *options], check=True, capture_output=True, timeout=20)


passwd("-c", "-b", str(passwords), "ann", "secret")
passwd("-b", str(passwords), "bob", "other")
passwd("-b", str(passwords), "admin", "admin")
# Readable by whoever the broker becomes, as a Secret's files are.
passwords.chmod(0o644)
broker.write_config(f"sys_interval 1\nallow_anonymous false\npassword_file {passwords}")


def come(client_id, user=None, password=None, version=mqtt.V5, **kw):
    client = mqtt.Client(broker.address)
    client.hello(client_id, version, user=user, password=password, **kw)
    return client, client.recv_type(mqtt.CONNACK)


def refused(want, *args, **kw):
    client, connack = come(*args, **kw)
    assert connack.reason == want, hex(connack.reason)
    client.close()


def log_count(text):
    return broker.log().count(text)


def wait_more(text, before):
    broker.wait_log("(?s)" + ".*".join([text] * (before + 1)))


def replace(text):
    fresh = passwords.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    os.rename(fresh, passwords)


def sys_value(topic, value):
    client, _ = come("sys", "admin", "admin")
    client.sub(f"$SYS/broker/{topic}")
    while client.expect(mqtt.PUBLISH).payload != value:
        pass
    client.bye()


@s.scenario
def the_right_password_comes_in_and_no_other():
    for version in (mqtt.V31, mqtt.V311, mqtt.V5):
        client, connack = come(f"a{version}", "ann", "secret", version)
        assert connack.reason == 0
        client.bye()
    refused(0x86, "x", "ann", "Secret")
    refused(0x86, "x", "ann", "secret ")
    refused(0x86, "x", "nobody", "secret")
    refused(4, "x", "ann", "wrong", version=mqtt.V311)
    refused(0x86, "x", "ann")  # a user name without a password
    refused(0x86, "x", "", "")  # a name of no length is not "no name"
    refused(0x87, "x")
    refused(5, "x", version=mqtt.V311)
    refused(0x86, "x", None, "secret")  # MQTT 5 allows a password alone


@s.scenario
def real_clients_and_packets_that_do_not_wait_for_connack():
    port = str(broker.port)
    done = subprocess.run(["mosquitto_pub", "-p", port, "-u", "ann", "-P", "secret", "-q", "1", "-r", "-t", "t/1",
                           "-m", "x"], timeout=60)
    assert done.returncode == 0
    done = subprocess.run(["mosquitto_sub", "-p", port, "-u", "bob", "-P", "other", "-t", "t/#", "-C", "1", "-W", "30"],
                          timeout=60, capture_output=True)
    assert done.returncode == 0 and done.stdout == b"x\n", done
    client = mqtt.Client(broker.address)
    client.version = mqtt.V5
    client.send(mqtt.connect("early", user="ann", password="secret"),
                mqtt.subscribe(1, [("e", 1)]), mqtt.publish("e", b"first", 1, 2), mqtt.PING)
    client.recv_type(mqtt.CONNACK)
    got = [client.recv().type for _ in range(4)]
    assert sorted(got) == sorted([mqtt.SUBACK, mqtt.PUBLISH, mqtt.PUBACK, mqtt.PINGRESP]), got
    client.close()


def log_in(method, user, password, client_id="scram"):
    """SCRAM in MQTT 5's enhanced authentication."""
    who = scram.Client(method, user, password)
    client = mqtt.Client(broker.address)
    client.hello(client_id, mqtt.V5, props={"auth_method": method, "auth_data": who.first()})
    packet = client.recv()
    if packet.type == mqtt.AUTH:
        assert packet.reason == 0x18 and packet.props["auth_method"] == method
        client.send(mqtt.auth(0x18, {"auth_method": method, "auth_data": who.final(packet.props["auth_data"])}))
        packet = client.recv()
    if packet.reason == 0:
        assert packet.props["auth_method"] == method
        who.check(packet.props["auth_data"])
    return client, packet


@s.scenario
def scram_with_the_same_file():
    client, connack = log_in("SCRAM-SHA-512", "ann", "secret")
    assert connack.type == mqtt.CONNACK and connack.reason == 0
    broker.wait_log(r"as scram \(p5.*u'ann'\)")
    # Once more on the same connection, which goes on meanwhile.
    who = scram.Client("SCRAM-SHA-512", "ann", "secret")
    props = {"auth_method": "SCRAM-SHA-512", "auth_data": who.first()}
    client.send(mqtt.auth(0x19, props))
    packet = client.expect(mqtt.AUTH)
    client.ping()
    client.send(mqtt.auth(0x18, {**props, "auth_data": who.final(packet.props["auth_data"])}))
    packet = client.expect(mqtt.AUTH)
    assert packet.reason == 0
    who.check(packet.props["auth_data"])
    client.bye()


@s.scenario
def scram_refuses_a_wrong_password_and_a_wrong_method():
    for user, password in (("ann", "wrong"), ("nobody", "secret")):
        _, packet = log_in("SCRAM-SHA-512", user, password)
        assert packet.type == mqtt.CONNACK and packet.reason in (0x86, 0x87), packet
    client = mqtt.Client(broker.address)
    client.hello("x", mqtt.V5, props={"auth_method": "GS2-KRB5", "auth_data": b"x"})
    assert client.recv_type(mqtt.CONNACK).reason == 0x8C
    client.close()


@s.scenario
def a_session_is_its_users():
    client, _ = come("shared-id", "ann", "secret", clean=False, props={"session_expiry": 600})
    client.sub("mine", qos=1)
    refused(0x87, "shared-id", "bob", "other", clean=False)
    client.ping()  # and it is there still
    client.drop()
    publisher, _ = come("p", "ann", "secret")
    publisher.pub("mine", b"for ann", 1)
    refused(0x87, "shared-id", "bob", "other")
    client, connack = come("shared-id", "ann", "secret", clean=False)
    assert connack.session_present
    client.msg(b"for ann")
    client.bye()
    publisher.bye()


@s.scenario
def a_changed_file_is_taken_by_itself_and_whom_it_does_not_know_goes():
    stays, _ = come("stays", "admin", "admin")
    goes, _ = come("goes", "bob", "other")
    changed, _ = come("changed", "ann", "secret")
    lines = passwords.read_text().splitlines(True)
    passwd("-c", "-b", str(broker.dir / "one"), "ann", "new secret")
    before = log_count(RELOADED)
    replace((broker.dir / "one").read_text() + "".join(l for l in lines if l.startswith("admin:")))
    wait_more(RELOADED, before)
    goes.expect_closed(0x87)
    changed.expect_closed(0x87)
    stays.ping()
    refused(0x86, "x", "bob", "other")
    refused(0x86, "x", "ann", "secret")
    client, connack = come("x", "ann", "new secret")
    assert connack.reason == 0
    client.bye()
    stays.bye()
    before = log_count(RELOADED)
    replace("".join(lines))
    wait_more(RELOADED, before)


@s.scenario
def a_bad_file_changes_nothing_and_is_told():
    good = passwords.read_text()
    before = log_count(HELD)
    replace(good + "eve:\n")
    wait_more(HELD, before)
    broker.wait_log(rf"{passwords}:4: ")
    sys_value("access/reload failed", b"1")
    refused(0x86, "x", "eve", "")
    before = log_count("the last good one holds")
    broker.signal(signal.SIGHUP)
    wait_more("the last good one holds", before)
    client, connack = come("x", "ann", "secret")
    assert connack.reason == 0
    client.bye()
    before = log_count(RELOADED)
    replace(good)
    wait_more(RELOADED, before)
    sys_value("access/reload failed", b"0")


@s.scenario
def a_reload_without_descriptors_keeps_what_holds():
    stays, _ = come("stays", "ann", "secret")
    before = log_count("the last good one holds")
    limits = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        broker.signal(signal.SIGHUP)
        wait_more("the last good one holds", before)
        stays.ping()
    finally:
        resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, limits)
    refused(0x86, "x", "ann", "wrong")
    refused(0x87, "x")
    client, connack = come("x", "ann", "secret")
    assert connack.reason == 0
    client.bye()
    stays.bye()


@s.scenario
def a_link_that_is_swapped_as_in_kubernetes():
    mount, port = broker.dir / "mount", free_port()

    def swap(name, user):
        folder = mount / f"..{name}"
        folder.mkdir(parents=True)
        passwd("-c", "-b", str(folder / "passwd"), user, "secret")
        (folder / "passwd").chmod(0o644)
        os.symlink(folder.name, mount / "..data_tmp")
        os.rename(mount / "..data_tmp", mount / "..data")

    swap("one", "first")
    os.symlink("..data/passwd", mount / "passwd")
    with Broker(f"allow_anonymous false\npassword_file {mount}/passwd", port=port) as other:
        client = mqtt.Client(other.address)
        client.hello("x", user="first", password="secret")
        assert client.recv_type(mqtt.CONNACK).reason == 0
        swap("two", "second")
        client.expect_closed(0x87)
        client = mqtt.Client(other.address)
        client.hello("x", user="second", password="secret")
        assert client.recv_type(mqtt.CONNACK).reason == 0
        client.bye()


@s.scenario
def what_cannot_be_read_keeps_the_broker_from_starting():
    def fails(config, *words):
        conf = broker.dir / "bad.conf"
        conf.write_text(f"listener {free_port()} 127.0.0.1\n{config}\n")
        for more in ([], ["--test-config"]):
            done = subprocess.run([binary(), "-c", str(conf), *more], capture_output=True, text=True, timeout=20)
            assert done.returncode == 1, done
            for word in words:
                assert word in done.stderr, done.stderr

    fails("password_file /nowhere/passwd", "/nowhere/passwd", "No such file")
    fails("acl_file /nowhere/acl", "/nowhere/acl", "No such file")
    bad = broker.dir / "bad"
    bad.write_text("# a comment\nann:secret\n")
    fails(f"password_file {bad}", f"{bad}:2: ")
    assert "secret" not in subprocess.run([binary(), "-c", str(broker.dir / "bad.conf")], capture_output=True,
                                          text=True, timeout=20).stderr
    bad.write_text("user ann\ntopic read a/#/b\n")
    fails(f"acl_file {bad}", f"{bad}:2: ")


@s.scenario
def each_listener_has_its_own_with_per_listener_settings():
    ports = [free_port(), free_port()]
    files = [broker.dir / "p1", broker.dir / "p2"]
    for i, file in enumerate(files):
        passwd("-c", "-b", str(file), f"user{i}", "secret")
        file.chmod(0o644)
    lines = ["per_listener_settings true"]
    for port, file in zip(ports, files):
        lines += [f"listener {port} 127.0.0.1", f"password_file {file}", "allow_anonymous false"]
    other = Broker("\n".join(lines), listener=False, port=ports[0])
    with other:
        for i in range(2):
            for j in range(2):
                client = mqtt.Client(("127.0.0.1", ports[i]))
                client.hello(f"c{i}{j}", user=f"user{j}", password="secret")
                assert client.recv_type(mqtt.CONNACK).reason == (0 if i == j else 0x86)
                client.close()


with broker:
    s.main()
