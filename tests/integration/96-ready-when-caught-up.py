"""/readyz of a node: not before it has the routes and retained messages of the others, and they have its; from then on
whatever happens to the links. /metrics says how each link is."""
import re
import signal
import time
import urllib.error
import urllib.request

import scenario as s
from broker import free_port
from nodes import Nodes

HOLDS_S = 8  # longer than a node takes sessions of others to be unknown (5 s), much shorter than the limit (60 s)


class Served(Nodes):
    """Each with an HTTP listener."""

    def _make(self, i, secret, find=None):
        node = super()._make(i, secret, find)
        node.http = free_port()
        node.env["TERNMQ_HTTP_LISTENER"] = str(node.http)
        return node

    def get(self, i, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self[i].http}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def is_ready(self, i):
        status, text = self.get(i, "/readyz")
        assert (status, text) in ((200, "ok\n"), (503, "routes and retained messages of other nodes are on their way\n"))
        return status == 200

    def wait_ready(self, i):
        s.until(lambda: self.is_ready(i), lambda: f"node {i} is not ready:\n" + self[i].log()[-3000:], 90)

    def link(self, i, name, to):
        """What a node says of its link to another one, by name; None: nothing."""
        found = re.findall(rf'^ternmq_cluster_link_{name}{{node="n{to}",id="[0-9a-f]{{32}}"}} (\S+)$',
                           self.get(i, "/metrics")[1], re.M)
        assert len(found) <= 1, found
        return float(found[0]) if found else None


@s.scenario
def ready_once_linked_and_in_spite_of_what_comes_later():
    with Served(2, proxies=True) as nodes:
        for i in (0, 1):
            nodes.wait_ready(i)
        here = nodes.client(0, "here")
        here.sub("one/#")
        here.pub("kept", b"x", 1, retain=True)
        here.close()
        nodes[1].signal(signal.SIGTERM)
        assert nodes[1].wait_exit() == 0
        for proxy in nodes.proxies:
            proxy.cut()
            proxy.reset()
        nodes[1].start()
        began = time.monotonic()
        while time.monotonic() < began + HOLDS_S:
            ready = nodes.is_ready(1)
            assert not ready or time.monotonic() > began + 50, "it has heard nothing of the other node"
            assert nodes.get(1, "/livez")[0] == nodes.get(1, "/startupz")[0] == 200
            time.sleep(0.2)
        for proxy in nodes.proxies:
            proxy.heal(reset=True)
        nodes.wait_ready(1)
        s.until(lambda: nodes.link(1, "up", 0) == nodes.link(1, "from_up", 0) == 1, timeout=60)
        for proxy in nodes.proxies:
            proxy.cut()
            proxy.reset()
        s.until(lambda: nodes.link(0, "up", 1) == 0, timeout=60)
        assert nodes.is_ready(0) and nodes.is_ready(1), "a split that comes later changes nothing"
        for proxy in nodes.proxies:
            proxy.heal(reset=True)
        nodes.wait_linked()


@s.scenario
def each_link_has_its_figures():
    with Served(3, proxies=True) as nodes:
        for a in range(3):
            nodes.wait_ready(a)
            assert nodes.link(a, "up", a) is None, "there is no link to oneself"
        sub = nodes.client(0, "sub")
        sub.sub("far/#", qos=1)
        pub = nodes.client(1, "pub")
        s.until(lambda: nodes.link(1, "routes", 0) == 1, timeout=60)
        assert nodes.link(1, "routes", 2) == 0
        nodes.proxies[0].cut()
        for n in range(20):
            pub.pub("far/away", b"%d" % n, 1)
        s.until(lambda: nodes.link(1, "messages_waiting", 0) >= 20, timeout=60)
        s.until(lambda: nodes.link(1, "lag_seconds", 0) > 0.1, timeout=60)
        nodes.proxies[0].heal()
        for n in range(20):
            sub.msg(b"%d" % n, timeout=60)
        s.until(lambda: nodes.link(1, "messages_waiting", 0) == nodes.link(1, "lag_seconds", 0) == 0, timeout=60)


s.main()
