"""Several listeners: TCP, IPv6, unix socket; limits of one do not touch the others."""
import contextlib
import pathlib
import socket
import tempfile

import mqtt
import scenario as s
import transport
from broker import Broker, free_port

path = pathlib.Path(tempfile.mkdtemp(prefix="tern-unix-")) / "mqtt.sock"
path.parent.chmod(0o777)
small, six = free_port(), free_port()
IPV6 = pathlib.Path("/proc/net/if_inet6").exists() and "0" * 31 + "1" in pathlib.Path("/proc/net/if_inet6").read_text()
broker = Broker(f"""allow_anonymous true
listener {small} 127.0.0.1
max_connections 3
max_qos 1
max_topic_alias 2
listener 0 {path}
""" + (f"listener {six} ::1\n" if IPV6 else ""))


@s.scenario
def max_connections_is_per_listener():
    held = [mqtt.Client(("127.0.0.1", small)).open(f"s{i}") for i in range(3)]
    try:
        one_more = mqtt.Client(("127.0.0.1", small)).hello("s3")
        assert one_more.raw_until_closed() == b""
    except OSError:
        pass
    mqtt.Client(broker.address).open("elsewhere").bye()
    assert held[0].connack.props["maximum_qos"] == 1 and held[0].connack.props["topic_alias_maximum"] == 2
    held.pop().bye()

    def comes_in():
        try:
            return mqtt.Client(("127.0.0.1", small)).open("s3 again")
        except (OSError, AssertionError):  # who has left is counted for a moment
            return None
    s.until(comes_in).bye()


@s.scenario
def unix_socket_serves_the_same_broker():
    unix = mqtt.Client(str(path)).open("unix")
    unix.sub("via/#", qos=1)
    mqtt.Client(broker.address).open("tcp").pub("via/tcp", b"x", 1)
    unix.msg(b"x", topic="via/tcp")


@s.scenario
def ipv6_serves():
    if not IPV6:
        return
    with contextlib.closing(transport.wrap(socket.create_connection(("::1", six), 30), transport.chosen())) as sock:
        sock.sendall(mqtt.connect("v6", mqtt.V311))
        assert sock.recv(4) == b"\x20\2\0\0"


with broker:
    s.main()
assert not path.exists()
