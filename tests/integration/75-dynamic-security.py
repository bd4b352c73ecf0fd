"""Dynamic security with mosquitto_ctrl: its commands, what they change, what outlives a kill; beside mosquitto's own."""
import base64
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time

import mqtt
import scenario as s
from broker import Broker, binary, free_port
from mqtt import PUBACK, PUBLISH, SUBACK, Client

MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
CTRL = shutil.which("mosquitto_ctrl")
# Beside the program, wherever that was unpacked.
PLUGIN = next(pathlib.Path(MOSQUITTO).parents[1].glob("lib/*/mosquitto_dynamic_security.so"), "") if MOSQUITTO else ""
TOPIC = "$CONTROL/dynamic-security/v1"
folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))
folder.chmod(0o755)
SALT = b"0123456789ab"


def hashed(password):
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), SALT, 101)
    return {"password": base64.b64encode(key).decode(), "salt": base64.b64encode(SALT).decode(), "iterations": 101}


def acl(kind, topic, allow=True, priority=0):
    return {"acltype": kind, "topic": topic, "allow": allow, "priority": priority}


ADMIN = {"rolename": "admin", "acls": [acl(kind, topic) for topic in ("$CONTROL/dynamic-security/#", "#") for kind in
                                       ("publishClientSend", "publishClientReceive", "subscribePattern")]}
DEFAULTS = {"publishClientSend": False, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}


def content(clients=(), roles=(), groups=(), access=DEFAULTS, **more):
    admin = {"username": "admin", "roles": [{"rolename": "admin"}], **hashed("adminpw")}
    return {"clients": [admin, *clients], "roles": [ADMIN, *roles], "groups": list(groups),
            "defaultACLAccess": access, **more}


def write(what):
    path = folder / f"{time.monotonic_ns()}.json"
    path.write_text(json.dumps(what))
    path.chmod(0o666)
    return path


def keys(path, persistence=True):
    """As in a mosquitto.conf that has the plugin."""
    store = folder / f"{time.monotonic_ns()}"
    store.mkdir()
    kept = f"persistence true\npersistence_location {store}\n" if persistence else "persistence false\n"
    return f"{kept}plugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file {path}\n"


def ternmq(path, persistence=True, config=""):
    return Broker(keys(path, persistence) + config)


class Mosquitto:
    """The reference, with its plugin, on the same file."""

    def __init__(self, path):
        self.port, where = free_port(), pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))
        copy = where / "dynamic-security.json"
        shutil.copy(path, copy)
        where.chmod(0o777)
        copy.chmod(0o666)
        (where / "conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nplugin {PLUGIN}\n"
                                    f"plugin_opt_config_file {copy}\n")
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(where / "conf")], stderr=subprocess.DEVNULL)
        self.address, self.over = ("127.0.0.1", self.port), "tcp"

    def __enter__(self):
        end = time.monotonic() + 30
        while True:
            try:
                Client(self.address, over=self.over).close()
                return self
            except OSError:
                assert time.monotonic() < end and self.process.poll() is None, "mosquitto does not start"
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def have_reference():
    return MOSQUITTO and pathlib.Path(PLUGIN).exists()


# ---- Administrators ---------------------------------------------------------------------------------

class Admin:
    """Sends payloads and gets responses, without mosquitto_ctrl in between."""

    def __init__(self, broker, name="admin", password="adminpw", client_id="adm"):
        self.client = Client(broker.address, over=broker.over).open(client_id, user=name, password=password)
        self.client.sub(TOPIC + "/response", want=[0])

    def raw(self, payload, qos=1):
        self.client.pub(TOPIC, payload, qos=qos)
        return self.client.recv_type(PUBLISH).payload.decode()

    def do(self, *commands, qos=1):
        return json.loads(self.raw(json.dumps({"commands": commands}).encode(), qos))["responses"]

    def ok(self, *commands, qos=1):
        responses = self.do(*commands, qos=qos)
        assert not any("error" in r for r in responses), responses
        return responses


def c(command, **fields):
    return {"command": command, **fields}


def ctrl(broker, *args, password="adminpw"):
    """mosquitto_ctrl dynsec: exit code, and what it printed but for its warning."""
    done = subprocess.run([CTRL, "-h", "127.0.0.1", "-p", str(broker.port), "-u", "admin", "-P", password, "dynsec",
                           *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20,
                          stdin=subprocess.DEVNULL)
    lines = [line for line in done.stdout.splitlines() if line and "encryption" not in line and "network" not in line]
    return done.returncode, lines


CTRL_COMMANDS = """listClients|createClient u -p secret|createClient u -p secret|createClient v -p x -c only-this
getClient u|getClient v|getClient nobody|createRole r|createRole s|createRole r|listRoles
addRoleACL r publishClientSend a/# allow 5|addRoleACL r publishClientSend a/# allow 5|addRoleACL r subscribeLiteral a/+ deny
addRoleACL r nonsense a/+ deny|addRoleACL r subscribePattern a/#/b allow|getRole r|getRole nothing|addClientRole u r 3
addClientRole u nothing|getClient u|createGroup g|createGroup g|createGroup h|listGroups|addGroupRole g r 2
addGroupRole g r 2|addGroupClient g u 7|addGroupClient g nobody|addGroupClient nothing u|getGroup g|getGroup nothing
getClient u|setAnonymousGroup g|getAnonymousGroup|setAnonymousGroup nothing|setClientPassword v secret2
setClientId v another|getClient v|setClientId v|disableClient v|getClient v|enableClient v|disableClient nobody
removeRoleACL r subscribeLiteral a/+|removeRoleACL r subscribeLiteral a/+|getRole r|removeGroupRole g r|removeGroupClient g u
removeClientRole u r|getClient u|getGroup g|setDefaultACLAccess subscribe allow|getDefaultACLAccess
deleteGroup h|deleteGroup h|deleteRole s|deleteRole s|deleteClient v|deleteClient v|listClients|listClients 1 1
listGroups|listRoles|listRoles 1""".replace("\n", "|").split("|")


@s.scenario
def the_file_that_init_makes_is_taken_and_every_command_of_mosquitto_ctrl_works():
    path = folder / "init.json"
    subprocess.run([CTRL, "dynsec", "init", str(path), "admin", "adminpw"], check=True, stdout=subprocess.DEVNULL)
    path.chmod(0o666)
    outputs = []
    for started in [ternmq(path)] + ([Mosquitto(path)] if have_reference() else []):
        with started as broker:
            outputs.append([(command, *ctrl(broker, *command.split())) for command in CTRL_COMMANDS])
    said = {command: lines for command, _, lines in outputs[0]}
    assert said["listRoles"] == ["admin", "r"] and said["listGroups"] == ["g"], said
    assert said["getRole r"] == ["Rolename: r", "ACLs:     publishClientSend    : allow : a/# (priority: 5)"], said
    if len(outputs) > 1:
        differ = [(ours, theirs) for ours, theirs in zip(*outputs) if ours != theirs]
        assert not differ, differ


BAD_COMMANDS = [
    "{", "[]", "{}", '{"commands":1}', '{"commands":[]}', '{"commands":[1,"x",{"command":"listClients"}]}',
    '{"commands":[{"x":1}]}', '{"commands":[{"command":3,"correlationData":"q"}]}',
    '{"commands":[{"command":"nope","correlationData":"q"}]}', '{"Commands":[{"COMMAND":"LISTclients"}]}',
    '{"commands":[{"command":"listClients","correlationData":4}]}',
    *(json.dumps({"commands": [x]}) for x in (
        c("createClient"), c("createClient", username=1), c("createClient", username="x", password=1),
        c("createClient", username="x", clientid=3), c("createClient", username="x", textname=3),
        c("createClient", username="x", roles=[{"rolename": "nope"}]), c("createClient", username="x", roles=3),
        c("createClient", username="x", roles=["admin"]), c("createClient", username="x", groups=[{"groupname": "n"}]),
        c("createClient", username="a\tb"), c("createClient", username="u", clientid="cid", textname="tn",
                                              textdescription="", roles=[{"rolename": "admin", "priority": 5}]),
        c("getClient", username="u", correlationData="d"), c("listClients", verbose=True), c("listClients", count=0),
        c("listClients", count=1, offset=1), c("listClients", offset=9), c("listClients", verbose="x", offset=-3),
        c("setClientPassword", username="u"), c("setClientPassword", username="u", password=""),
        c("setClientPassword", username="n", password="x"), c("setClientId", username="u", clientid=3),
        c("modifyClient", username="n"), c("modifyClient", username="u", textname="", clientid="", roles=[]),
        c("getClient", username="u"), c("createRole", rolename="r", textname="T", acls=[
            acl("publishClientSend", "b"), acl("publishClientSend", "a", True, 3), {"topic": "x"}, 3,
            acl("unsubscribePattern", "z/#", False, -1), acl("subscribeLiteral", "a/+")]),
        c("getRole", rolename="r"), c("modifyRole", rolename="n"), c("modifyRole", rolename="r", textdescription="D"),
        c("addRoleACL", rolename="r", acltype="subscribePattern", topic="a+/b"), c("addRoleACL", rolename="r"),
        c("addRoleACL", rolename="r", acltype="subscribePattern", topic="y", allow="true", priority=1e12),
        c("listRoles", verbose=True, offset=1), c("createGroup", groupname="g"),
        c("addGroupRole", groupname="g", rolename="r", priority=2), c("addGroupClient", groupname="g", username="u", priority=4), c("getGroup", groupname="g"),
        c("listGroups", verbose=True), c("modifyGroup", groupname="g", textname="t", clients=[{"username": "u"}]),
        c("getClient", username="u"), c("getAnonymousGroup"), c("setAnonymousGroup", groupname="n"),
        c("setDefaultACLAccess"), c("setDefaultACLAccess", acls=[{"acltype": "subscribe", "allow": True}, 3]),
        c("getDefaultACLAccess", correlationData="e"), c("deleteRole", rolename="r"), c("getGroup", groupname="g"),
        c("deleteClient", username="u"), c("getGroup", groupname="g"), c("listClients"))),
]


@s.scenario
def responses_are_mosquittos_to_the_byte():
    if not have_reference():
        return
    path = write(content())
    with ternmq(path) as broker, Mosquitto(path) as reference:
        ours, theirs = Admin(broker), Admin(reference)
        for payload in BAD_COMMANDS:
            got, want = ours.raw(payload.encode()), theirs.raw(payload.encode())
            assert got == want, f"{payload}: {got}, mosquitto: {want}"


@s.scenario
def commands_come_by_every_qos_and_version_and_the_response_goes_to_who_asked():
    with ternmq(write(content())) as broker:
        other = Admin(broker, client_id="other")
        for version in (3, 4, 5):
            client = Client(broker.address).open(f"v{version}", version, user="admin", password="adminpw")
            for qos in (0, 1, 2):  # without a subscription
                client.pub(TOPIC, json.dumps({"commands": [c("listRoles")]}).encode(), qos=qos)
                got = client.recv_type(PUBLISH)
                assert (got.topic, got.qos) == (TOPIC + "/response", 0), got
                assert json.loads(got.payload)["responses"][0]["data"]["roles"] == ["admin"]
            client.bye()
        other.client.expect_nothing()


@s.scenario
def nobody_commands_without_a_rule():
    listener = write(content([{"username": "u", **hashed("p")}], access=dict.fromkeys(DEFAULTS, True)))
    with ternmq(listener) as broker:
        for name in ("u", None):
            client = Client(broker.address).open("c", user=name, password="p" if name else None)
            client.pub(TOPIC, b'{"commands":[{"command":"deleteClient","username":"admin"}]}', qos=1, want=0x87)
            client.sub(TOPIC + "/response", want=[0x87])
            client.bye()
        assert Admin(broker).ok(c("listClients"))[0]["data"]["clients"] == ["admin", "u"]
    with Broker("") as broker:  # nobody is there
        client = Client(broker.address).open("c")
        client.pub(TOPIC, b'{"commands":[]}', qos=1, want=0x87)


# ---- What changes -----------------------------------------------------------------------------------

@s.scenario
def changes_hold_at_once_and_whoever_is_concerned_has_to_come_again():
    with ternmq(write(content())) as broker:
        admin = Admin(broker)
        admin.ok(c("createRole", rolename="r", acls=[acl("publishClientSend", "a/#"), acl("subscribePattern", "a/#")]),
                 c("createGroup", groupname="g", roles=[{"rolename": "r"}]),
                 c("createClient", username="u", password="p"), c("createClient", username="w", password="p"),
                 c("createClient", username="x", password="p", groups=[{"groupname": "g"}]))

        def come(name, password="p", client_id=None):
            return Client(broker.address).open(client_id or name, user=name, password=password)

        def refused(name, password="p", client_id="c"):
            client = Client(broker.address).hello(client_id, user=name, password=password)
            assert client.recv().reason in (0x86, 0x87)

        bystander = come("w")
        steps = [
            (c("addClientRole", username="u", rolename="r"), "u"), (c("setClientPassword", username="u", password="p"), "u"),
            (c("addRoleACL", rolename="r", acltype="publishClientSend", topic="b", allow=True), "x"),
            (c("removeGroupClient", groupname="g", username="x"), "x"), (c("addGroupClient", groupname="g", username="x"), "x"),
            (c("modifyClient", username="u", textname="t"), "u"), (c("disableClient", username="u"), "u"),
            (c("deleteGroup", groupname="g"), "x"), (c("deleteClient", username="x"), "x"),
        ]
        for command, name in steps:
            client = come(name)
            admin.ok(command)
            client.expect_closed()
            bystander.ping()
        refused("u")
        refused("x")
        admin.ok(c("enableClient", username="u"), c("setClientId", username="u", clientid="mine"))
        refused("u")
        client = come("u", client_id="mine")
        client.pub("a/b", b"x", qos=1)
        client.pub("c", b"x", qos=1, want=0x87)
        client.sub("a/#", "c/#", want=[0, 0x87])
        admin.ok(c("setClientPassword", username="u", password="new"))
        client.expect_closed()
        refused("u", client_id="mine")
        client = come("u", "new", "mine")
        # What concerns the administrator itself: it gets its response, and stays.
        admin.ok(c("addRoleACL", rolename="admin", acltype="publishClientSend", topic="z", allow=True))
        admin.ok(c("setClientPassword", username="admin", password="other"))
        admin.ok(c("listClients"))
        refused("admin", "adminpw")
        second = Admin(broker, password="other", client_id="second")
        admin.ok(c("setClientPassword", username="admin", password="third"))
        second.client.expect_closed()


@s.scenario
def those_without_a_name_have_what_their_group_has():
    with ternmq(write(content())) as broker:
        admin = Admin(broker)
        Client(broker.address).open("c").sub("news/#", want=[0x87])
        admin.ok(c("createRole", rolename="r", acls=[acl("subscribePattern", "news/#")]),
                 c("createGroup", groupname="g", roles=[{"rolename": "r"}]), c("setAnonymousGroup", groupname="g"))
        Client(broker.address).open("c").sub("news/#", "#", want=[0, 0x87])


@s.scenario
def a_password_file_beside_it_has_its_own_users():
    passwords = folder / "passwords"
    passwords.write_text("u:$7$101$" + "$".join(hashed("filepw")[k] for k in ("salt", "password")) + "\n" +
                         "f:$7$101$" + "$".join(hashed("filepw")[k] for k in ("salt", "password")) + "\n")
    passwords.chmod(0o600)
    with ternmq(write(content([{"username": "u", **hashed("p")}])), config=f"password_file {passwords}\n") as broker:
        Client(broker.address).open("c", user="u", password="p").bye()
        Client(broker.address).open("c2", user="f", password="filepw").sub("a", want=[0x87])
        assert Client(broker.address).hello("c", user="u", password="filepw").recv().reason == 0x86


# ---- What is kept -----------------------------------------------------------------------------------

EVERYTHING = (c("listClients", verbose=True), c("listGroups", verbose=True), c("listRoles", verbose=True),
              c("getDefaultACLAccess"), c("getAnonymousGroup"))


def kill_and_start(broker):
    broker.process.kill()
    broker.process.wait()
    broker.start()


@s.scenario
def what_was_answered_outlives_a_kill_that_follows_at_once():
    chance = random.Random(75)
    broker = ternmq(write(content())).start()
    try:
        names = []
        for round_ in range(15):
            admin = Admin(broker)
            expected = None
            for n in range(chance.randrange(1, 6)):
                names.append(f"c{round_}-{n}")
                admin.ok(c("createClient", username=names[-1], password="p" if n == 0 else ""),
                         c("createRole", rolename=names[-1], acls=[acl("publishClientSend", names[-1])]),
                         c("addClientRole", username=names[-1], rolename=names[-1]))
                if len(names) > 3 and chance.random() < 0.5:
                    gone = names.pop(chance.randrange(len(names) - 1))
                    admin.ok(c("deleteClient", username=gone), c("deleteRole", rolename=gone))
            expected = admin.ok(*EVERYTHING)
            kill_and_start(broker)
            assert Admin(broker).ok(*EVERYTHING) == expected
        assert sorted(names + ["admin"]) == Admin(broker).ok(c("listClients"))[0]["data"]["clients"]
        broker.process.terminate()
        broker.process.wait()
        broker.start()
        assert Admin(broker).ok(*EVERYTHING) == expected
    finally:
        broker.stop()


@s.scenario
def the_file_is_taken_once():
    path = write(content([{"username": "u", **hashed("p")}]))
    broker = ternmq(path).start()
    try:
        broker.wait_log(r"Dynamic security begins with .*: 2 clients, 0 groups and 1 roles\.")
        Admin(broker).ok(c("deleteClient", username="u"), c("createClient", username="v"))
        path.unlink()
        kill_and_start(broker)
        assert Admin(broker).ok(c("listClients"))[0]["data"]["clients"] == ["admin", "v"]
    finally:
        broker.stop()


@s.scenario
def two_administrators_at_once_are_put_in_order():
    broker = ternmq(write(content()), config="workers 2\n").start()
    try:
        Admin(broker).ok(c("createRole", rolename="r"))

        def work(n):
            admin = Admin(broker, client_id=f"adm{n}")
            for i in range(40):
                admin.do(c("createClient", username="same"), c("createClient", username=f"{n}-{i}"))
                admin.do(c("deleteClient", username="same"), c("modifyRole", rolename="r", textname=f"{n} {i}"))
            admin.client.bye()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        before = Admin(broker).ok(*EVERYTHING)
        assert before[0]["data"]["totalCount"] in (161, 162), before[0]["data"]["totalCount"]
        kill_and_start(broker)
        assert Admin(broker).ok(*EVERYTHING) == before
    finally:
        broker.stop()


@s.scenario
def an_administrator_that_is_gone_before_the_answer_has_changed_what_it_changed():
    broker = ternmq(write(content())).start()
    try:
        for n in range(10):
            admin = Admin(broker)
            admin.client.send(mqtt.publish(TOPIC, json.dumps({"commands": [
                c("createClient", username=f"c{n}", password="p")]}).encode(), 1, 9, version=5))
            admin.client.drop()
        end = time.monotonic() + 30
        while (got := Admin(broker).ok(c("listClients"))[0]["data"]["totalCount"]) < 11:
            assert time.monotonic() < end, got
            time.sleep(0.1)
        Admin(broker).ok(c("createRole", rolename="later"))  # nobody was told that they are safe, but that this one is
        kill_and_start(broker)
        assert Admin(broker).ok(c("listClients"))[0]["data"]["totalCount"] == 11
    finally:
        broker.stop()


@s.scenario
def a_store_takes_it_along_when_it_is_exported_and_imported():
    config = keys(write(content()))
    broker = Broker(config).start()
    Admin(broker).ok(c("createClient", username="u", password="p"), c("createRole", rolename="r"),
                     c("addClientRole", username="u", rolename="r"))
    before = Admin(broker).ok(*EVERYTHING)
    broker.process.terminate()
    broker.process.wait()
    lines = subprocess.run([binary(), "-c", str(broker.file), "--export", "-"], stdout=subprocess.PIPE, check=True,
                           timeout=30).stdout
    assert lines.count(b'"type":"setting"') == 5, lines[:2000]
    exported = folder / "export.jsonl"
    exported.write_bytes(lines)
    other = Broker(keys(folder / "none.json"))
    subprocess.run([binary(), "-c", str(other.file), "--import", str(exported)], check=True, timeout=30,
                   stdout=subprocess.DEVNULL)
    with other:
        assert Admin(other).ok(*EVERYTHING) == before
    shutil.rmtree(broker.dir)


@s.scenario
def without_a_store_it_is_in_memory_and_the_log_says_so():
    broker = ternmq(write(content()), persistence=False).start()
    try:
        broker.wait_log("Warning: .*dynamic_security without persistence")
        Admin(broker).ok(c("createClient", username="u"))
        kill_and_start(broker)
        assert Admin(broker).ok(c("listClients"))[0]["data"]["clients"] == ["admin"]
    finally:
        broker.stop()


@s.scenario
def a_file_that_is_none_ends_the_start():
    for text in ("", "[]", '{"clients":['):
        path = folder / "bad.json"
        path.write_text(text)
        broker = ternmq(path).launch()
        assert broker.wait_exit() == 1
        broker.wait_log("Error: dynamic_security_file .*bad.json: ")


# ---- Decisions --------------------------------------------------------------------------------------

TOPICS = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/b/a", "a/b/b", "/a", "a/"]
FILTERS = TOPICS + ["#", "+", "a/#", "b/#", "+/a", "a/+", "+/+", "a/b/#", "a/+/b", "+/#", "/+", "$SYS/broker/uptime"]
KINDS = ("publishClientSend", "publishClientReceive", "subscribeLiteral", "subscribePattern", "unsubscribeLiteral",
         "unsubscribePattern")


def random_content(chance):
    roles = [{"rolename": f"r{n}", "acls": [
        acl(kind, topic, chance.random() < 0.6, chance.randrange(-1, 3))
        for kind, topic in {(chance.choice(KINDS), chance.choice(FILTERS)) for _ in range(chance.randrange(1, 9))}]}
        for n in range(6)]

    def some(what, key, most):
        return [{key: x[key], "priority": chance.randrange(-1, 3)} for x in chance.sample(what, chance.randrange(most))]

    clients = [{"username": f"u{n}", "roles": some(roles, "rolename", 3), **hashed("p")} for n in range(10)]
    groups = [{"groupname": f"g{n}", "roles": some(roles, "rolename", 3), "clients": some(clients, "username", 6)}
              for n in range(3)]
    access = {key: chance.random() < 0.5 for key in DEFAULTS}
    return content(clients, roles, groups, access)


def decisions(broker, name, publisher):
    """What a client may publish; the codes of its filters; what it is sent; what it may unsubscribe."""
    client = Client(broker.address, over=broker.over).open(name, user=name, password="p")
    sends = [publish_code(client, topic) for topic in TOPICS]
    codes = []
    for text in FILTERS:
        client.send(mqtt.subscribe(1, [(text, 0)], 5))
        codes.append(client.recv_type(SUBACK).reasons[0] >= 0x80)
    for topic in TOPICS:
        publisher.pub(topic, b"y", qos=1)
    client.ping()
    client.ping()  # both brokers have sent what they had by then
    got = sorted({p.topic for p in client.stash if p.type == PUBLISH and p.payload == b"y"})
    client.stash.clear()
    client.close()
    return sends, codes, got


def publish_code(client, topic):
    client.send(mqtt.publish(topic, b"x", 1, 7, version=5))
    return client.recv_type(PUBACK).reason >= 0x80


@s.scenario
def decisions_are_mosquittos():
    if not have_reference():
        return
    compared = 0
    for seed in range(8):
        path = write(random_content(random.Random(seed)))
        with ternmq(path) as broker, Mosquitto(path) as reference:
            pairs = [(side, Client(side.address, over=side.over).open("pub", user="admin", password="adminpw"))
                     for side in (broker, reference)]
            for n in range(10):
                ours, theirs = (decisions(side, f"u{n}", publisher) for side, publisher in pairs)
                where = f"seed {seed}, u{n}, {path}"
                assert ours[0] == theirs[0], f"{where}: publishes {list(zip(TOPICS, ours[0], theirs[0]))}"
                for text, refused, wanted in zip(FILTERS, ours[1], theirs[1]):
                    # A subscription that would be sent nothing is refused here, and granted there.
                    assert refused == wanted or (refused and not wanted), f"{where}: {text}: {refused}, {wanted}"
                assert ours[2] == theirs[2], f"{where}: is sent {ours[2]}, {theirs[2]}"
                compared += len(TOPICS) * 2 + len(FILTERS)
    assert compared > 2000


s.main()
