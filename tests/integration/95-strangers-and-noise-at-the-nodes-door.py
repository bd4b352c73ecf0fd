"""N01 and N02 of the bad inputs at the port where nodes meet: strangers, replays, forgeries, noise. The others of that
letter: N03 and N05 in 92 and 93, N04 in test_cluster_link.c and test_cluster_nodes.c."""
import os
import random
import socket
import time

import mqtt
import scenario as s
from broker import Broker, free_port
from nodes import SECRET, Nodes

nodes = Nodes(2, config="sys_interval 1", proxies=True)
rng = random.Random(5)


def send_all(datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for i, data in enumerate(datagrams):
            sock.sendto(data, ("127.0.0.1", nodes.ports[0]))
            if i % 50 == 49:
                time.sleep(0.005)  # its buffer holds so many; what is lost there tests nothing


def recorded(at_least=20):
    """What node 1 says to node 0 by gossip."""
    heard = []
    nodes.proxies[0].on_datagram = heard.append
    end = time.monotonic() + 30
    while len(heard) < at_least:
        assert time.monotonic() < end, f"{len(heard)} datagrams"
        time.sleep(0.1)
    nodes.proxies[0].on_datagram = lambda data: None
    return heard


def all_is_as_it_was(pids):
    assert [node.pid for node in nodes.all] == pids and all(node.process.poll() is None for node in nodes.all)
    for i in range(2):
        nodes.figure(i, "nodes/alive", lambda n: n == 2)
        nodes.figure(i, "nodes/dead", lambda n: n == 0)
        nodes.figure(i, "links/up", lambda n: n == 1)
    nodes.wait_linked()


@s.scenario
def n01_what_is_said_twice_or_was_changed_is_not_heard():
    pids = [node.pid for node in nodes.all]
    heard = recorded()
    send_all(heard * 20)
    before = nodes.figure(0, "strangers")
    forged = []
    for data in heard:
        for _ in range(20):
            at = rng.randrange(len(data))
            forged.append(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
    send_all(forged)
    send_all(data[:cut] for data in heard[:5] for cut in range(len(data)))
    # Those whose first bytes name another secret; the rest is malformed, forged or old.
    nodes.figure(0, "strangers", lambda n: n > before)
    all_is_as_it_was(pids)


@s.scenario
def n01_another_cluster_with_the_same_secret_stays_outside():
    pids = [node.pid for node in nodes.all]
    before = nodes.figure(0, "strangers")
    secret = nodes.folder / "the-same"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o644)
    with Broker(f"cluster_name elsewhere\nnode_name stranger\ncluster_secret_file {secret}\nsys_interval 1\n"
                f"cluster_bind 127.0.0.1:{free_port()}\ncluster_seeds 127.0.0.1:{nodes.ports[0]}") as stranger:
        sub = mqtt.Client(stranger.address).open("outside")
        sub.sub("#")
        nodes.figure(0, "strangers", lambda n: n > before)
        nodes.client(0, "inside").pub("inside", b"x", 1)
        all_is_as_it_was(pids)
        sub.ping()
        assert not sub.stash and "is alive" not in stranger.log()


@s.scenario
def n02_noise_is_dropped():
    pids = [node.pid for node in nodes.all]
    sizes = [*range(0, 130), 1336, 1400, 1472, 1473, 4096, 65000, 65507]
    send_all(first + os.urandom(max(size - 1, 0)) for size in sizes for first in (b"\1", b"", b"\2", b"\xff"))
    send_all(bytes([byte]) * size for size in (100, 1400, 65507) for byte in (0, 1, 0x7F, 0xFF))
    for say in (os.urandom(65536), b"\x10" + b"\xff" * 4, b"\x16\x03\x01" + os.urandom(16384), b"\1" * 65536, b""):
        with socket.create_connection(("127.0.0.1", nodes.ports[0]), 5) as sock:
            try:
                sock.sendall(say)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(30)
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass  # it may be thrown out before all is said
    all_is_as_it_was(pids)


with nodes:
    s.main()
