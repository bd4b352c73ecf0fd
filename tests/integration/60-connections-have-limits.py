"""Connections by address and in all, behind proxies as well; CONNECTs a second. K04 of the bad inputs with a rate."""
import signal
import socket

import mqtt
import scenario as s
import transport
from broker import Broker, free_port
from figures import Figures
from mqtt import CONNACK, V5, V311

HERE, THERE, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def is_closed_at_once(broker, name):
    """Before a word."""
    try:
        return mqtt.Client(broker.address, source=HERE).hello(name).raw_until_closed() == b""
    except OSError:
        return True


def come(broker, name, source=HERE, version=V5, port=None):
    """A connection that has said CONNECT, or None when it was closed at once."""
    try:
        client = mqtt.Client((HERE, port or broker.listens_on), source=source).hello(name, version)
        client.connack = client.recv_type(CONNACK)
        return client
    except (OSError, mqtt.Closed):
        return None


def let_in(broker, name):
    """Somebody has left: before long there is room for one more."""
    return s.until(lambda: come(broker, name), f"{name} is not let in")


def codes_at_once(broker, name, sources):
    """What CONNECTs are answered that are sent when all connections stand."""
    clients = [mqtt.Client((HERE, broker.listens_on), source=source) for source in sources]
    for i, client in enumerate(clients):
        client.hello(f"{name}-{i}")
    return [client.recv_type(CONNACK).reason for client in clients]


@s.scenario
def each_address_has_its_share():
    with Broker("max_connections_per_address 5\nsys_interval 1\nworkers 2") as broker:
        figures = Figures(broker.address, source=OTHER)
        # Those that say nothing count as well: they hold a descriptor.
        silent = [mqtt.Client(broker.address, source=HERE) for _ in range(2)]
        held = [come(broker, f"h{i}") for i in range(3)]
        assert all(held)
        for i in range(20):
            assert is_closed_at_once(broker, f"m{i}"), "one too many was let in"
        there = [come(broker, f"t{i}", THERE) for i in range(5)]
        assert all(there), "another address has its own share"
        assert not come(broker, "t5", THERE)
        for client in held:
            client.ping()
        figures.wait("refused/per address", lambda n: n == 21)
        broker.wait_log(r"\[127\.0\.0\.1:\d+\]: refused because of max_connections_per_address")
        silent.pop().close()
        held.pop().drop()
        again = [let_in(broker, f"again {i}") for i in range(2)]
        assert all(again) and not come(broker, "again 2")


@s.scenario
def behind_a_proxy_it_is_the_clients_address_that_counts():
    proxied = free_port()
    with Broker(f"""max_connections_per_address 3
listener {proxied} 127.0.0.1
enable_proxy_protocol true
proxy_protocol_from 127.0.0.1
allow_anonymous true""") as broker:
        def through(address, name):
            sock = socket.create_connection((HERE, proxied), 30)
            sock.sendall(f"PROXY {address}\r\n".encode())
            try:
                sock = transport.wrap(sock, transport.chosen())
                sock.sendall(mqtt.connect(name, V311))
                return sock, sock.recv(4)
            except OSError:
                return sock, b""
        held = [through(f"TCP4 203.0.113.{i} 1.2.3.4 {i + 1} 2", f"p{i}") for i in range(20)]
        assert all(answer == b"\x20\x02\0\0" for _, answer in held), "the proxy itself has no limit"
        same = [through(f"TCP4 203.0.113.7 1.2.3.4 {port} 2", f"q{port}") for port in (50, 51, 52)]
        assert [bool(answer) for _, answer in same] == [True, True, False]
        checks = [through("UNKNOWN", f"u{i}") for i in range(10)]
        assert all(answer for _, answer in checks), "what a proxy says for itself has none either"
        broker.wait_log(r"\[203\.0\.113\.7:52\]: refused because of max_connections_per_address")
        for sock, _ in held + same + checks:
            sock.close()
        s.until(lambda: through("TCP4 203.0.113.7 1.2.3.4 60 2", "later")[1])


@s.scenario
def all_listeners_have_one_limit():
    second = free_port()
    config = f"global_max_connections 4\nsys_interval 1\nlistener {second} 127.0.0.1\nmax_connections 2\n" \
             "allow_anonymous true"
    with Broker(config) as broker:
        figures = Figures(broker.address)
        held = [come(broker, "a"), come(broker, "b", port=second), come(broker, "c", port=second)]
        assert all(held)
        assert not come(broker, "d", port=second) and not come(broker, "e")
        figures.wait("refused/max connections", lambda n: n == 2)
        broker.wait_log(r"refused because of max_connections\.")
        broker.wait_log(r"refused because of global_max_connections\.")


@s.scenario
def k04_connects_beyond_a_rate_are_told():
    with Broker("connect_rate 40\nconnect_rate_per_address 10\nsys_interval 1") as broker:
        figures = Figures(broker.address, source=OTHER)
        s.time.sleep(1.1)  # what the start and the figures took is back
        begin = s.time.monotonic()
        codes = codes_at_once(broker, "k04", [THERE] * 60)
        most = 11 + 10 * (s.time.monotonic() - begin)
        assert 10 <= codes.count(0) <= most and codes.count(0x9F) == 60 - codes.count(0), (most, codes)
        s.until(lambda: come(broker, "old", THERE, V311).connack.reason == 3)
        assert come(broker, "elsewhere", HERE).connack.reason == 0, "other addresses are let in"
        figures.wait("refused/connect rate", lambda n: n > codes.count(0x9F))
        broker.wait_log(r"\[127\.0\.0\.2:\d+\]: refused because of connect_rate_per_address")
        s.time.sleep(1.1)  # lines of the same kind are counted and not written beyond some a second
        codes = codes_at_once(broker, "flood", [f"127.0.0.{i}" for i in range(10, 110)])
        assert set(codes) == {0, 0x9F}, codes
        broker.wait_log(r"refused because of connect_rate\.")
        s.time.sleep(1)
        assert come(broker, "k04", THERE).connack.reason == 0


@s.scenario
def a_reload_changes_them():
    with Broker("connect_rate_per_address 1000") as broker:
        assert all(come(broker, "a").connack.reason == 0 for _ in range(5))
        broker.write_config("max_connections_per_address 2")
        broker.signal(signal.SIGHUP)
        broker.wait_log("Config reloaded")
        held = [come(broker, f"h{i}") for i in range(2)]
        assert all(held) and not come(broker, "h2")
        broker.write_config("")
        broker.signal(signal.SIGHUP)
        let_in(broker, "h3")
        held.pop().close()  # counted under the old limit, and let go without one


s.main()
