#!/usr/bin/python3
"""pods.py - three pods of a rendered StatefulSet, each with a network and an address of its own, that have nothing but
the name of the headless Service to find each other by. One of them comes back with another address.

  unshare --net --mount pods.py THINGS FOLDER    THINGS: rendered objects, as JSON

In a network and with mounts of its own: it makes a bridge, and another /etc/hosts in the place of the name server.
"""
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
sys.dont_write_bytecode = True
import live  # noqa: E402

COUNT, NET = 3, "10.42.0"
ALL_IN = (f"ternmq_cluster_links {COUNT - 1}\n", f'ternmq_cluster_nodes{{state="alive"}} {COUNT}\n')


def ip(*words, pid=None):
    inside = ["nsenter", "--target", str(pid), "--net"] if pid else []
    subprocess.run([*inside, "ip", *words], check=True)


class Network:
    """Where a pod is; outlives the broker in it, as the sandbox of a pod does."""

    def __init__(self, number):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.own, self.link, self.address = f"/proc/{self.holder.pid}/ns/net", f"pod{number}", None
        while pathlib.Path(self.own).readlink() == pathlib.Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        ip("link", "add", "name", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        ip("link", "set", self.link, "master", "pods", "up")
        ip("link", "set", "lo", "up", pid=self.holder.pid)
        ip("link", "set", "eth0", "up", pid=self.holder.pid)

    def move(self, address):
        self.address = address
        ip("address", "flush", "dev", "eth0", pid=self.holder.pid)
        ip("address", "add", f"{address}/24", "dev", "eth0", pid=self.holder.pid)

    def end(self):
        self.holder.kill()
        self.holder.wait()


def name_all(networks, hosts):
    lines = [f"{network.address} ternmq-nodes\n" for network in networks]
    hosts.write_text("".join(["127.0.0.1 localhost\n", *lines]))


def wait_for(what, condition, pods, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what + "\n" + "\n".join(pod.log()[-2000:] for pod in pods)
        time.sleep(0.1)


def are_one(pods):
    return all(line in pod.metrics() for pod in pods for line in ALL_IN)


def hear_each_other(pods, turn):
    clients = [pod.client(f"c{turn}-{i}") for i, pod in enumerate(pods)]
    for client in clients:
        client.sub(f"turn/{turn}/#", qos=1)
    for i, client in enumerate(clients):
        client.pub(f"turn/{turn}/{i}", str(i).encode(), qos=1)
    for client in clients:
        got = sorted(client.msg(timeout=10).payload for _ in pods)
        assert got == [str(i).encode() for i in range(len(pods))], got
        client.bye()


def main(things, folder):
    hosts = folder / "hosts"
    hosts.write_text("")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    ip("link", "set", "lo", "up")
    ip("link", "add", "name", "pods", "type", "bridge")
    ip("address", "add", f"{NET}.254/24", "dev", "pods")
    ip("link", "set", "pods", "up")
    networks, pods = [], []
    try:
        for i in range(COUNT):
            networks.append(Network(i))
            networks[i].move(f"{NET}.{i + 1}")
        name_all(networks, hosts)
        for i, network in enumerate(networks):
            pods.append(live.Pod(things, folder / f"pod-{i}", ["nsenter", "--target", str(network.holder.pid), "--net"],
                                 {"TERNMQ_NODE_NAME": f"ternmq-{i}"}, network.address))
        for pod in pods:
            pod.__enter__()
        wait_for("they do not find each other", lambda: are_one(pods), pods)
        hear_each_other(pods, 1)
        pods[COUNT - 1].__exit__(None)
        networks[COUNT - 1].move(f"{NET}.77")
        name_all(networks, hosts)
        pods[COUNT - 1].address = networks[COUNT - 1].address
        pods[COUNT - 1].__enter__()
        wait_for("one that comes back is not found", lambda: are_one(pods), pods)
        hear_each_other(pods, 2)
        for pod in pods:
            pod.__exit__(None)
    finally:
        for pod in pods:
            pod.kill()
        for network in networks:
            network.end()


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))
