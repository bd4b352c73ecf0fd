"""nodes.py - several brokers that are one cluster, on addresses of this machine."""
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time

import mqtt
import scenario as s
from broker import Broker, binary, free_port
from fault_proxy import FaultProxy

SECRET = "a secret that all nodes have"


class Nodes:
    """count nodes, each linked to all others. store: they keep their sessions over restarts. plain: without TLS.
    proxies: the others come to each by a FaultProxy."""

    def __init__(self, count=3, config="", store=True, secrets=None, plain=False, proxies=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-nodes-"))
        self.folder.chmod(0o777)
        self.ports = [free_port() for _ in range(count)]
        self.proxies = [FaultProxy(port) for port in self.ports] if proxies else []
        self.config, self.store = config + ("\ncluster_plain true" if plain else ""), store
        self.all = [self._make(i, (secrets or [SECRET] * count)[i]) for i in range(count)]

    def _make(self, i, secret, find=None):
        """find: the lines by which it finds the others; default: cluster_seeds."""
        file = self.folder / f"secret-{i}"
        file.write_text(secret + "\n")
        file.chmod(0o644)
        data = self.folder / f"data-{i}"
        data.mkdir()
        data.chmod(0o777)
        kept = f"persistence true\npersistence_location {data}\n" if self.store else ""
        reached = [proxy.port for proxy in self.proxies] or self.ports
        find = find or "cluster_seeds " + " ".join(f"127.0.0.1:{port}" for port in reached[:2])
        if self.proxies:
            find += f"\ncluster_advertise 127.0.0.1:{reached[i]}"
        return Broker(f"{kept}workers 2\ncluster_name test\ncluster_secret_file {file}\nnode_name n{i}\n"
                      f"cluster_bind 127.0.0.1:{self.ports[i]}\n{find}\n{self.config}")

    def add(self, find=None):
        """One more, which finds the others by itself; returns its number."""
        self.ports.append(free_port())
        self.all.append(self._make(len(self.all), SECRET, find))
        self.all[-1].start()
        return len(self.all) - 1

    def __getitem__(self, i):
        return self.all[i]

    def __enter__(self):
        for node in self.all:
            node.start()
        self.wait_linked()
        return self

    def __exit__(self, kind, *_):
        for node in self.all:
            node.stop(clean=kind is None)
        for proxy in self.proxies:
            proxy.close()

    def client(self, i, name, version=mqtt.V5, **kw):
        return mqtt.Client(self[i].address).open(name, version, **kw)

    def wait_linked(self, among=None, timeout=60):
        """What is published on each is heard on each other."""
        end = time.monotonic() + timeout
        among = range(len(self.all)) if among is None else among
        clients = {i: self.client(i, f"linked-{i}-{time.monotonic_ns()}") for i in among}
        for i, c in clients.items():
            c.sub(f"linked/{i}/#")
        waiting = {(a, b) for a in among for b in among if a != b}
        number = 0
        while waiting:
            assert time.monotonic() < end, f"not linked: {waiting}\n" + "\n".join(n.log()[-1500:] for n in self.all)
            for a, b in list(waiting):
                number += 1
                clients[a].send(mqtt.publish(f"linked/{b}/{a}", b"", 0))
            time.sleep(0.05)
            for i in among:
                try:
                    while True:
                        got = clients[i].recv(0.01)
                        waiting.discard((int(got.topic.rsplit("/", 1)[1]), i))
                except TimeoutError:
                    pass
        for c in clients.values():
            c.close()

    def kill(self, i):
        self[i].process.send_signal(signal.SIGKILL)
        self[i].process.wait()

    def restart(self, i):
        """As an operator does: asked to end, started again."""
        self[i].signal(signal.SIGTERM)
        code = self[i].wait_exit()
        assert code == 0, f"exit code {code}:\n{self[i].log()[-3000:]}"
        self[i].start()

    def figure(self, i, name, want=None, timeout=30):
        """What $SYS/broker/cluster/name of a node says. want: a test that it meets before long."""
        topic = f"$SYS/broker/cluster/{name}"
        c = self.client(i, f"figure-{time.monotonic_ns()}")
        c.sub(topic)
        end, number = time.monotonic() + timeout, None
        while number is None or (want and not want(number)):
            assert time.monotonic() < end, f"{topic} of node {i} is {number}"
            try:
                number = int(c.msg(timeout=1).payload)
            except (TimeoutError, AssertionError):
                pass
        c.close()
        return number

    def pause(self, i):
        os.kill(self[i].pid, signal.SIGSTOP)

    def go_on(self, i):
        os.kill(self[i].pid, signal.SIGCONT)


class Controlled(Nodes):
    """Nodes with control sockets."""

    def __init__(self, count=3, config="", **kw):
        super().__init__(count, config, **kw)
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="tern-controlled-"))
        self.sockets.chmod(0o755)
        for i, node in enumerate(self.all):
            node.file.write_text(node.file.read_text() + f"\ncontrol_socket {self.sockets}/{i}\nsys_interval 1\n")

    def __exit__(self, *args):
        try:
            super().__exit__(*args)
        finally:
            shutil.rmtree(self.sockets)

    def ctl(self, i, *args, code=0):
        """What ternmqctl says: as JSON, or, where it is to end with another code, as text."""
        ctl = pathlib.Path(binary()).parent / "ternmqctl"
        got = s.run(ctl, "--json", "--socket", self.sockets / str(i), *args)
        assert got[0] == code, got
        return got[1] if code else json.loads(got[1])

    def sessions(self, i):
        return {row["id"] for row in self.ctl(i, "clients", "--all")["clients"]}
