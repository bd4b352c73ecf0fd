"""The connection lines, their reasons, the JSON form, a file that is moved away."""
import json
import pathlib
import signal
import tempfile
import time

import mqtt
import scenario as s
from broker import Broker

broker = Broker("log_type all\nmax_packet_size 5000\nconnect_timeout 1")


def end_line(client_id, reason):
    broker.wait_log(rf"^\d+: Client {client_id} \[127\.0\.0\.1:\d+\] disconnected: {reason}\.$")


@s.scenario
def who_came():
    mqtt.Client(broker.address).open("ID", mqtt.V311, clean=True, keep_alive=60, user="user", password=b"p").bye()
    broker.wait_log(r"^\d+: New client connected from 127\.0\.0\.1:\d+ as ID \(p4, c1, k60, u'user'\)\.$")
    mqtt.Client(broker.address).open("ID5", clean=False, keep_alive=9).bye()
    broker.wait_log(r"as ID5 \(p5, c0, k9\)\.$")


@s.scenario
def why_they_went():
    mqtt.Client(broker.address).open("clean", mqtt.V311).bye()
    end_line("clean", "connection closed by client")
    mqtt.Client(broker.address).open("gone", mqtt.V311).close()
    end_line("gone", "connection closed by client")
    mqtt.Client(broker.address).open("wrong", mqtt.V311).send(b"\xc1\0")
    end_line("wrong", "malformed packet")
    mqtt.Client(broker.address).open("twice").send(mqtt.connect("twice"))
    end_line("twice", "protocol error")
    mqtt.Client(broker.address).open("big").send(mqtt.publish("t", b"x" * 6000))
    end_line("big", "oversize packet")
    silent = mqtt.Client(broker.address).open("silent", mqtt.V311, keep_alive=1)
    one = mqtt.Client(broker.address).open("taken")
    mqtt.Client(broker.address).open("taken")
    one.expect_closed(0x8E)
    end_line("taken", "session taken over")
    silent.expect_closed()
    end_line("silent", "exceeded timeout")


@s.scenario
def no_line_is_made_by_a_peers_text_or_a_probe():
    mqtt.Client(broker.address).open("a\n1: Client b [x] disconnected: c.").bye()
    broker.wait_log(r"as a\\x0a1: Client")
    broker.wait_log(r"^\d+: Client a\\x0a1: .* disconnected: connection closed by client")
    before = broker.log().count("\n")
    mqtt.Client(broker.address).close()
    time.sleep(0.2)
    assert broker.log().count("\n") == before


@s.scenario
def json_lines():
    with Broker("log_format json\nlog_type all") as other:
        mqtt.Client(other.address).open('q"uote', mqtt.V311).bye()
        other.wait_log(r"as q.*uote \(p4")
        rows = [json.loads(line) for line in other.log().rpartition("\n")[0].splitlines()]
        assert all({"time", "type", "text"} <= set(row) for row in rows)
        assert any('as q"uote (p4' in row["text"] for row in rows)


@s.scenario
def a_moved_file_is_opened_anew():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-log-"))
    folder.chmod(0o777)
    with Broker(f"log_dest file {folder}/log\nlog_type all") as other:
        mqtt.Client(other.address).open("before").bye()
        s.until(lambda: "as before " in (folder / "log").read_text())
        (folder / "log").rename(folder / "log.1")
        other.signal(signal.SIGHUP)
        s.until((folder / "log").exists)
        mqtt.Client(other.address).open("after").bye()
        s.until(lambda: "as after " in (folder / "log").read_text())
        assert "as before " in (folder / "log.1").read_text()


with broker:
    s.main()
