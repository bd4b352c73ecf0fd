"""password_file: every form of hash, by password and by SCRAM, while ternmq-passwd changes the file."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import mqtt
import scenario as s
import scram
from broker import Broker, binary

TOOL = pathlib.Path(binary()).resolve().parent / "ternmq-passwd"
BAD, NOT_AUTHORIZED, BAD_METHOD = 0x86, 0x87, 0x8c
# mosquitto_passwd 2.0.11: "open sesame"
MOSQUITTO = ("$7$101$aAJXhpbplSH++9x0$"
             "8l3UHFv+kds1IRCT439acfL6OxyKJNG3UBQedO/oPf8iR7D8kupB6x6HVIezTf6HY3H1zO4BdryLWn5zqO6JPg==")
FORMS = ("argon2id", "sha512-pbkdf2", "sha512", "scram-sha-256", "scram-sha-512")
folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))


def passwd(*args):
    subprocess.run([TOOL, *map(str, args)], check=True, timeout=60, stdout=subprocess.DEVNULL)


def fill(path):
    path.write_text(f"mosquitto:{MOSQUITTO}\n")
    for form in FORMS:
        passwd("-b", "-H", form, path, form, f"secret of {form}")
    passwd("-b", "-H", "sha512", path, "changes", "first")
    passwd("-b", "-H", "sha512", path, "goes", "x")
    return path


users = fill(folder / "users")


def broker_with(path):
    return Broker(f"password_file {path}\nallow_anonymous false")


def log_in(broker, user, password, version=5):
    """The reason code of the CONNACK; the client."""
    c = mqtt.Client(broker.address)
    c.hello("", version, user=user, password=password)
    return c.recv_type(mqtt.CONNACK).reason, c


# ---- Passwords --------------------------------------------------------------------------------------

@s.scenario
def every_form_lets_its_user_in_and_nobody_else():
    with broker_with(users) as broker:
        for form in FORMS:
            for version, refused in ((4, 4), (5, BAD)):
                assert log_in(broker, form, f"secret of {form}", version)[0] == 0, form
                assert log_in(broker, form, f"secret of {form}x", version)[0] == refused
                assert log_in(broker, form, "", version)[0] == refused
                assert log_in(broker, form, None, version)[0] == refused
        assert log_in(broker, "mosquitto", "open sesame")[0] == 0
        assert log_in(broker, "nobody", "open sesame")[0] == BAD
        assert log_in(broker, "", "open sesame")[0] == BAD
        for password, code in (("open sesame", 0), ("close sesame", 5)):  # mosquitto_pub's own exit codes
            got, text = s.run("mosquitto_pub", "-p", broker.port, "-V", "311", "-u", "mosquitto", "-P", password,
                              "-t", "t", "-m", "m")
            assert bool(got) == bool(code), f"{got}: {text}"


@s.scenario
def who_comes_again_is_not_hashed_again():
    path = folder / "dear"
    path.write_text("")
    passwd("-b", "-H", "sha512-pbkdf2", "-I", 600000, path, "anna", "x")  # a sixth of a second, or more
    with broker_with(path) as broker:
        def cpu():
            fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        begin = cpu()
        assert log_in(broker, "anna", "x")[0] == 0
        once = cpu() - begin
        begin = cpu()
        for _ in range(20):
            assert log_in(broker, "anna", "x")[0] == 0
        assert cpu() - begin < 5 * once, f"{cpu() - begin} s for 20, {once} s for one"
        assert log_in(broker, "anna", "y")[0] == BAD
        passwd("-b", "-H", "sha512", path, "anna", "y")  # what was kept is of no use any more
        broker.wait_log("Passwords and access rules reloaded")
        assert log_in(broker, "anna", "x")[0] == BAD
        assert log_in(broker, "anna", "y")[0] == 0


# ---- A file that changes ----------------------------------------------------------------------------

@s.scenario
def a_changed_file_is_taken_and_who_changed_in_it_must_come_again():
    path = fill(folder / "changing")
    with broker_with(path) as broker:
        _, stays = log_in(broker, "sha512", "secret of sha512")
        _, changes = log_in(broker, "changes", "first")
        _, goes = log_in(broker, "goes", "x")
        passwd("-b", "-H", "sha512", path, "changes", "second")
        changes.expect_closed()
        assert log_in(broker, "changes", "first")[0] == BAD
        assert log_in(broker, "changes", "second")[0] == 0
        passwd("-D", path, "goes")
        goes.expect_closed()
        assert log_in(broker, "goes", "x")[0] == BAD
        passwd("-b", "-H", "sha512", path, "comes", "y")
        s.until(lambda: log_in(broker, "comes", "y")[0] == 0, "the new user is not let in")
        stays.ping()


# ---- SCRAM ------------------------------------------------------------------------------------------

def prove(broker, method, user, password):
    """The reason code of the CONNACK; the client."""
    c, side = mqtt.Client(broker.address), scram.Client(method, user, password)
    c.hello("", 5, props={"auth_method": method, "auth_data": side.first()})
    challenge = c.expect(mqtt.AUTH, reason=0x18)
    c.send(mqtt.auth(0x18, {"auth_method": method, "auth_data": side.final(challenge.props["auth_data"])}))
    connack = c.expect(mqtt.CONNACK)
    if connack.reason == 0:
        side.check(connack.props["auth_data"])
    return connack.reason, c


@s.scenario
def scram_proves_passwords_without_sending_them():
    with broker_with(users) as broker:
        for method, user, password in (("SCRAM-SHA-256", "scram-sha-256", "secret of scram-sha-256"),
                                       ("SCRAM-SHA-512", "scram-sha-512", "secret of scram-sha-512"),
                                       ("SCRAM-SHA-512", "sha512-pbkdf2", "secret of sha512-pbkdf2"),
                                       ("SCRAM-SHA-512", "mosquitto", "open sesame")):
            reason, c = prove(broker, method, user, password)
            assert reason == 0, (method, user)
            c.sub("t", qos=1)
            c.pub("t", b"x", 1)
            c.msg(b"x")
            assert prove(broker, method, user, password + "x")[0] == BAD
        # Nobody, and those who cannot do this one: to the end, and no further.
        for method, user in (("SCRAM-SHA-256", "nobody"), ("SCRAM-SHA-512", "nobody"), ("SCRAM-SHA-512", "argon2id"),
                             ("SCRAM-SHA-256", "mosquitto"), ("SCRAM-SHA-256", "scram-sha-512")):
            assert prove(broker, method, user, f"secret of {user}")[0] == BAD, (method, user)


@s.scenario
def scram_messages_that_are_none_are_refused():
    with broker_with(users) as broker:
        for method, data, reason in (("SCRAM-SHA-1", b"n,,n=u,r=x", BAD_METHOD),
                                     ("SCRAM-SHA-256-PLUS", b"n,,n=u,r=x", BAD_METHOD),
                                     ("SCRAM-SHA-256", b"", 0x82), ("SCRAM-SHA-256", b"n,,n=u", 0x82),
                                     ("SCRAM-SHA-256", b"n,,n=u,r=x" + b"y" * 60000, 0x82),
                                     ("SCRAM-SHA-256", b"p=tls-unique,,n=u,r=x", BAD_METHOD),
                                     ("SCRAM-SHA-256", b"n,a=other,n=u,r=x", NOT_AUTHORIZED)):
            c = mqtt.Client(broker.address)
            c.hello("", 5, props={"auth_method": method, "auth_data": data})
            got = c.recv_type(mqtt.CONNACK).reason
            assert got == reason, f"{method} {data[:20]}: {got:#x}"
        c = mqtt.Client(broker.address)
        c.hello("", 5, props={"auth_method": "SCRAM-SHA-256", "auth_data": b"n,,n=mosquitto,r=x"})
        c.expect(mqtt.AUTH)
        c.send(mqtt.auth(0x18, {"auth_method": "SCRAM-SHA-256", "auth_data": b"c=biws,r=x,p=AAAA"}))
        assert c.recv_type(mqtt.CONNACK).reason == 0x82
        assert log_in(broker, "mosquitto", "open sesame")[0] == 0


try:
    s.main()
finally:
    shutil.rmtree(folder, ignore_errors=True)
