"""--test-config, refusals, the environment, include_dir."""
import os
import pathlib
import tempfile

import mqtt
import scenario as s
from broker import Broker, binary, free_port

folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-config-"))


def check(text, env=None):
    file = folder / "x.conf"
    file.write_text(text)
    return s.run(binary(), "--test-config", "-c", file, env={**os.environ, **(env or {})})


@s.scenario
def a_good_file_is_good():
    code, text = check("listener 1883\nallow_anonymous true\npersistence true\nautosave_interval 30\n")
    assert code == 0, text


@s.scenario
def all_errors_are_told_with_their_lines():
    code, text = check("listener 1883\n\nmax_inflight_mesages 5\nmax_qos many\n")
    assert code == 1
    assert "x.conf:3:" in text and "max_inflight_messages" in text, text
    assert "x.conf:4:" in text and "max_qos" in text, text


@s.scenario
def what_this_version_cannot_do_is_refused():
    for line in ("mount_point a/", "protocol http_api", "connection bridge", "auth_plugin /x.so",
                 "clientid_prefixes x"):
        code, text = check(f"listener 1883\n{line}\n")
        assert code == 1 and "x.conf:2:" in text, (line, text)


@s.scenario
def environment_wins():
    assert check("max_qos 1\n", {"TERNMQ_MAX_QOS": "9"})[0] == 1
    with Broker("max_qos 1", env={"TERNMQ_MAX_KEEPALIVE": "77"}) as broker:
        c = mqtt.Client(broker.address).open("e", keep_alive=0)
        assert c.connack.props["server_keep_alive"] == 77 and c.connack.props["maximum_qos"] == 1


@s.scenario
def include_dir_is_read_in_order():
    more = folder / "conf.d"
    more.mkdir()
    (more / "b.conf").write_text("max_keepalive 20\n")
    (more / "a.conf").write_text("max_keepalive 10\n")
    (more / "c.conf.off").write_text("nonsense\n")
    with Broker(f"include_dir {more}") as broker:
        assert mqtt.Client(broker.address).open("i", keep_alive=0).connack.props["server_keep_alive"] == 20


@s.scenario
def debian_style_file_starts():
    data = folder / "data"
    data.mkdir()
    data.chmod(0o777)
    with Broker(f"persistence true\npersistence_location {data}/\nlog_dest file {data}/log\nlog_type all\n"
                f"connection_messages true\nlog_timestamp true") as broker:
        mqtt.Client(broker.address).open("d").bye()
    assert "New client connected" in (data / "log").read_text()


@s.scenario
def without_a_file_only_this_machine_is_served():
    port = free_port()
    with Broker(args=["-p", str(port)], port=port) as broker:
        mqtt.Client(broker.address, over=broker.over).open("local", mqtt.V311).bye()
        for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
            for row in pathlib.Path(f"/proc/{broker.pid}/net/{table}").read_text().splitlines()[1:]:
                address, local = row.split()[1].split(":")
                assert int(local, 16) != port or address == loopback, row


@s.scenario
def a_listener_refuses_the_anonymous_by_default():
    with Broker("allow_anonymous false") as broker:
        mqtt.Client(broker.address).hello("a", mqtt.V311).expect(mqtt.CONNACK, reason=5)
        mqtt.Client(broker.address).hello("a").expect(mqtt.CONNACK, reason=0x87)


s.main()
