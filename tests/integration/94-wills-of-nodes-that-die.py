"""The Will of a client whose node dies is published once, by another node or by its own when it is back."""
import pathlib
import signal
import tempfile
import time

import mqtt
import scenario as s
from mqtt import V5, V311
from nodes import Nodes

KEEP = {"session_expiry": 3600}
AFTER_S = 10  # held dead for so long


class Watch:
    """A subscriber on each node; got: what each has heard, by topic."""

    def __init__(self, nodes, among, filter):
        self.clients = {i: nodes.client(i, f"watch-{i}-{time.monotonic_ns()}") for i in among}
        for c in self.clients.values():
            c.sub(filter, qos=1)
        self.got = {i: {} for i in among}

    def look(self, seconds):
        """Takes what comes for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for i, c in self.clients.items():
                try:
                    while True:
                        packet = c.recv(0.01)
                        if packet.type == mqtt.PUBLISH:
                            self.got[i].setdefault(packet.topic, []).append(packet)
                            if packet.qos == 1:
                                c.send(mqtt.ack(mqtt.PUBACK, packet.mid))
                except TimeoutError:
                    pass
            time.sleep(0.02)

    def until(self, topics, timeout):
        """All of these have come everywhere. Returns after how many seconds."""
        begin = time.monotonic()
        while not all(set(topics) <= set(got) for got in self.got.values()):
            if time.monotonic() > begin + timeout:
                lacking = {i: sorted(set(topics) - set(got))[:5] for i, got in self.got.items()}
                raise AssertionError(f"after {timeout} s these lack: {lacking}")
            self.look(0.1)
        return time.monotonic() - begin

    def once(self, topics, more_s=8):
        """These and no others have come, and each once, also after a while."""
        self.look(more_s)
        for i, got in self.got.items():
            assert set(got) == set(topics), f"node {i}: {sorted(set(got) ^ set(topics))}"
            twice = [t for t, packets in got.items() if len([p for p in packets if not p.dup]) != 1]
            assert not twice, f"node {i}: not once: {twice}"

    def close(self):
        for c in self.clients.values():
            c.close()


def will(topic, payload=b"gone", qos=1, retain=False, delay=0):
    return mqtt.will_of(topic, payload, qos, retain, {"will_delay": delay} if delay else {})


def crowd(nodes, i, name, count):
    """Clients of a node, with Wills of all kinds. Returns them, and the topics."""
    clients = []
    for n in range(count):
        version, topic = (V311 if n % 4 == 3 else V5), f"{name}/{n}"
        w = mqtt.will_of(topic, b"gone-%d" % n, n % 3, n % 2 == 1, None if version == V311 else {})
        durable = {"clean": False, "props": KEEP if version == V5 else None} if n % 5 == 0 else {}
        clients.append(nodes.client(i, f"{name}-{n}", version, will=w, **durable))
    time.sleep(0.5)  # told
    return clients, [f"{name}/{n}" for n in range(count)]


def retained_on(nodes, i, filter):
    c = nodes.client(i, f"late-{time.monotonic_ns()}")
    c.sub(filter, qos=1)
    got = {}
    try:
        while True:
            packet = c.recv(0.5)
            got[packet.topic] = packet.payload
    except TimeoutError:
        c.close()
        return got


@s.scenario
def a_node_that_is_killed_and_never_back_leaves_all_wills_once():
    with Nodes(3, "sys_interval 1") as nodes:
        clients, topics = crowd(nodes, 2, "never", 60)
        left = nodes.client(2, "left", will=will("never/left"))
        left.bye()
        changed = nodes.client(2, "changed", will=will("never/old"))
        changed.bye()
        changed = nodes.client(2, "changed", will=will("never/new"))
        delayed = nodes.client(2, "delayed", will=will("never/delayed", delay=6), props=KEEP)
        early = nodes.client(2, "early", will=will("never/early"))
        early.drop()  # its node publishes that, and nobody else
        nodes.figure(0, "wills/held", lambda x: x == len(topics) + 2)
        watch = Watch(nodes, (0, 1), "never/#")
        late = Watch(nodes, (0, 1), "never/early")
        nodes.kill(2)
        all_topics = topics + ["never/new"]
        took = watch.until(all_topics, AFTER_S + 40)
        assert took > AFTER_S - 2, took
        assert "never/delayed" not in watch.got[0]
        more = watch.until(["never/delayed"], 40)
        assert took + more > AFTER_S + 3, (took, more)
        watch.once(all_topics + ["never/delayed"], 12)
        late.once([], 0.5)
        want = {f"never/{n}": b"gone-%d" % n for n in range(60) if n % 2 == 1}
        for i in (0, 1):
            got = retained_on(nodes, i, "never/#")
            assert got == want, f"node {i}: {set(got.items()) ^ set(want.items())}"
        done = [nodes.figure(i, "wills/published") for i in (0, 1)]
        assert sum(done) == len(all_topics) + 1 and all(done), done
        for i in (0, 1):
            nodes.figure(i, "wills/held", lambda x: x == 0)
        print(f"Wills of a node that was killed: after {took:.1f} s", flush=True)
        nodes[2].start()  # it was told meanwhile, and publishes none of them
        nodes.wait_linked()
        watch.once(all_topics + ["never/delayed"], 9)
        watch.close()


@s.scenario
def a_node_that_is_killed_and_soon_back_leaves_all_wills_once():
    with Nodes(3, "sys_interval 1") as nodes:
        clients, topics = crowd(nodes, 1, "soon", 40)
        watch = Watch(nodes, (0, 2), "soon/#")
        nodes.kill(1)
        time.sleep(1.5)
        nodes[1].start()
        watch.until(topics, 60)
        watch.once(topics, AFTER_S + 6)
        assert sum(nodes.figure(i, "wills/published") for i in (0, 2)) == 0  # it has them on its disk
        watch.close()


@s.scenario
def who_comes_again_elsewhere_leaves_its_will_at_once_and_once():
    with Nodes(3, "sys_interval 1") as nodes:
        before = []
        for n in range(6):
            before.append(nodes.client(2, f"moves-{n}", will=will(f"moves/{n}", retain=True, delay=n % 2 * 600), props={"session_expiry": n % 2 * 900}))
        nodes.figure(0, "wills/held", lambda x: x == 6)
        watch = Watch(nodes, (0, 1), "moves/#")
        nodes.kill(2)
        nodes[0].wait_log("Node n2 .* is dead")
        nodes[1].wait_log("Node n2 .* is dead")
        begin = time.monotonic()
        again = [nodes.client(n % 2, f"moves-{n}", will=will(f"moves/{n}", b"new")) for n in range(6)]
        for n, c in enumerate(again):
            c.pub(f"moves/{n}", b"here again", 1, retain=True)
        watch.until([f"moves/{n}" for n in range(6)], 5)
        watch.look(AFTER_S + 8 - (time.monotonic() - begin))
        for i in (0, 1):
            for n in range(6):
                assert [p.payload for p in watch.got[i][f"moves/{n}"]] == [b"gone", b"here again"], watch.got[i][f"moves/{n}"]
            assert set(retained_on(nodes, i, "moves/#").values()) == {b"here again"}
        nodes[2].start()
        nodes.wait_linked()
        watch.look(8)
        for i in (0, 1):
            assert all(len(packets) == 2 for packets in watch.got[i].values()), watch.got[i]
        for c in again:
            c.ping()
        watch.close()


def movers(nodes, i, name, count):
    """Clients of a node with Wills at once and delayed, whose sessions end with their connections."""
    clients = [nodes.client(i, f"{name}-{n}", will=will(f"{name}/{n}", retain=True, delay=n % 2 * 600)) for n in range(count)]
    for other in range(len(nodes.all)):
        if other != i:
            nodes.figure(other, "wills/held", lambda x: x == count)
    return clients


def come_again(nodes, among, name, count, **kw):
    """Each says at once that it is here. Returns them, and after how many seconds all were let in."""
    begin, clients = time.monotonic(), []
    for n in range(count):
        clients.append(nodes.client(among[n % len(among)], f"{name}-{n}", **kw))
        clients[-1].pub(f"{name}/{n}", b"here again", 1, retain=True)
    return clients, time.monotonic() - begin


def are(watch, among, name, count, payloads):
    for i in among:
        for n in range(count):
            got = [p.payload for p in watch.got[i].get(f"{name}/{n}", []) if not p.dup]
            assert got == payloads, f"node {i}, {name}/{n}: {got}"


@s.scenario
def nor_does_it_have_to_wait_until_its_node_is_held_dead():
    """The Will comes before all that its client says now, on each node."""
    with Nodes(3, "sys_interval 1") as nodes:
        before = movers(nodes, 2, "quick", 12)
        watch = Watch(nodes, (0, 1), "quick/#")
        nodes.kill(2)
        time.sleep(0.1)  # what the kernel does on its behalf
        again, took = come_again(nodes, (0, 1), "quick", 12)
        assert took < 0.4, took
        watch.look(AFTER_S + 8)
        are(watch, (0, 1), "quick", 12, [b"gone", b"here again"])
        nodes[2].start()
        nodes.wait_linked()
        watch.look(8)
        are(watch, (0, 1), "quick", 12, [b"gone", b"here again"])
        for i in range(3):
            assert set(retained_on(nodes, i, "quick/#").values()) == {b"here again"}
        for c in again:
            c.ping()
        watch.close()


@s.scenario
def nor_if_that_was_cut_off_and_lives():
    """It hears that the Wills were published before it hears that their clients are elsewhere."""
    with Nodes(2, "sys_interval 1", proxies=True) as nodes:
        before = movers(nodes, 1, "lives", 8)
        watch = Watch(nodes, (0, 1), "lives/#")
        for proxy in nodes.proxies:
            proxy.cut()
        for proxy in nodes.proxies:
            proxy.reset()
        time.sleep(0.1)
        again, took = come_again(nodes, (0,), "lives", 8)
        assert took < 0.4, took
        watch.look(1)
        are(watch, (0,), "lives", 8, [b"gone", b"here again"])
        assert not watch.got[1], watch.got[1]
        for proxy in nodes.proxies:
            proxy.heal(reset=True)
        nodes.wait_linked()
        for c in before:
            c.expect_closed(0x98)
        watch.look(AFTER_S)
        are(watch, (0, 1), "lives", 8, [b"gone", b"here again"])
        for c in again:
            c.ping()
        watch.close()


@s.scenario
def who_moves_while_its_node_lives_leaves_its_will_first():
    """The old connection stands still, as of a device that has changed its network. The node has other work."""
    with Nodes(3) as nodes:
        watch = Watch(nodes, (0, 1, 2), "lives/#")
        busy = nodes.client(2, "busy")
        before = [nodes.client(2, f"lives-{n}", will=will(f"lives/{n}", retain=True)) for n in range(40)]
        time.sleep(0.5)  # told
        for _ in range(200):
            busy.send(*[mqtt.publish("elsewhere", b"x" * 200)] * 500)
        again, took = come_again(nodes, (0, 1), "lives", 40)
        for c in before:
            c.expect_closed(0x8E)
        watch.look(1)
        for i in range(3):
            for n in range(40):
                got = [p.payload for p in watch.got[i][f"lives/{n}"] if not p.dup]
                assert got[-1:] == [b"here again"] and (i == 2 or got == [b"gone", b"here again"]), (i, n, got)
            assert set(retained_on(nodes, i, "lives/#").values()) == {b"here again"}
        print(f"40 clients moved in {took:.2f} s", flush=True)
        watch.close()


def back_at_its_restarted_node(delays_s, **kw):
    """Returns whether each finds its session."""
    count = len(delays_s)
    with Nodes(3, "sys_interval 1") as nodes:
        before = [nodes.client(1, f"back-{n}", will=will(f"back/{n}", delay=delays_s[n]), **kw) for n in range(count)]
        watch = Watch(nodes, (0, 2), "back/#")
        time.sleep(0.5)  # told
        nodes.kill(1)
        nodes[1].start()
        again, took = come_again(nodes, (1, 0), "back", count, **kw)
        assert took < 5, took
        watch.look(AFTER_S + 4)
        for n in range(count):
            want = [b"here again"] if delays_s[n] else [b"gone", b"here again"]
            for i in (0, 2):
                assert [p.payload for p in watch.got[i][f"back/{n}"] if not p.dup] == want, watch.got[i]
        watch.close()
        return [c.connack.session_present for c in again]


@s.scenario
def who_is_back_at_its_restarted_node_leaves_its_will_first():
    assert all(back_at_its_restarted_node([0, 0, 600, 600] * 2, clean=False, props=KEEP))


@s.scenario
def so_does_one_whose_session_ended_with_its_connection():
    assert not any(back_at_its_restarted_node([0] * 8))


@s.scenario
def a_node_that_stands_still_keeps_its_clients_and_their_wills():
    """Its connections stand, those to other nodes as well: it is held dead, and not taken for dead."""
    with Nodes(3, "sys_interval 1") as nodes:
        clients, topics = crowd(nodes, 0, "still", 20)
        watch = Watch(nodes, (1, 2), "still/#")
        nodes.pause(0)
        time.sleep(30)
        assert "Node n0 [127.0.0.1:%d] is dead" % nodes.ports[0] in nodes[1].log()
        nodes.go_on(0)
        nodes.wait_linked()
        watch.once([], 8)
        for c in clients:
            c.ping()
            c.drop()
        watch.until(topics, 40)
        watch.once(topics, AFTER_S + 4)
        watch.close()


@s.scenario
def a_node_that_was_cut_off_has_its_wills_published_once_and_its_clients_come_again():
    with Nodes(2, "sys_interval 1", proxies=True) as nodes:
        clients, topics = crowd(nodes, 1, "cut", 20)
        without = nodes.client(1, "without")
        watch = Watch(nodes, (0, 1), "cut/#")
        for proxy in nodes.proxies:
            proxy.cut()
        nodes[0].wait_log("Node n1 .* is dead")
        for proxy in nodes.proxies:
            proxy.reset()  # as TCP does, which is not answered
        watch.look(AFTER_S + 4)
        end = time.monotonic() + 30
        while not set(topics) <= set(watch.got[0]) and time.monotonic() < end:
            watch.look(0.5)
        assert set(watch.got[0]) == set(topics) and not watch.got[1], watch.got
        for proxy in nodes.proxies:
            proxy.heal()
        nodes.wait_linked()
        for c in clients:
            c.expect_closed(*([0x98] if c.version == V5 else []))
        watch.look(6)
        for i in (0, 1):
            assert all(len(packets) == 1 for packets in watch.got[i].values()), watch.got[i]
        without.ping()
        watch.close()


@s.scenario
def who_leaves_in_order_leaves_no_will():
    with Nodes(2, "sys_interval 1") as nodes:
        clients, topics = crowd(nodes, 1, "order", 10)
        watch = Watch(nodes, (0,), "order/#")
        nodes.figure(0, "wills/held", lambda x: x == 10)
        nodes[1].signal(signal.SIGTERM)
        nodes[1].wait_exit()
        watch.once([], AFTER_S + 4)
        nodes.figure(0, "wills/held", lambda x: x == 0)
        nodes[1].start()
        watch.close()


@s.scenario
def nor_of_clients_that_are_elsewhere_at_once():
    with Nodes(3, "sys_interval 1") as nodes:
        before = movers(nodes, 1, "sent", 20)
        watch = Watch(nodes, (0, 2), "sent/#")
        nodes[1].signal(signal.SIGTERM)
        for n, c in enumerate(before):
            c.expect_closed(0x8B)
            before[n] = nodes.client(n % 2 * 2, f"sent-{n}")
        nodes[1].wait_exit()
        more, _ = come_again(nodes, (2, 0), "sent", 20)
        watch.look(AFTER_S)
        are(watch, (0, 2), "sent", 20, [b"here again"])
        nodes[1].start()
        watch.close()


@s.scenario
def nor_in_what_it_had_told_and_was_not_acknowledged():
    """The other node stands still when it is told of the Wills, and hears all of it again from the next process."""
    with Nodes(2, "sys_interval 1") as nodes:
        watch = Watch(nodes, (0,), "told/#")
        nodes.pause(0)
        clients, topics = crowd(nodes, 1, "told", 10)
        nodes[1].signal(signal.SIGTERM)
        nodes[1].wait_exit()
        nodes.go_on(0)
        nodes[0].wait_log(r"Node n1 .* is gone")
        nodes[1].start()
        nodes.wait_linked()
        watch.once([], 8)
        nodes.figure(0, "wills/held", lambda x: x == 0)
        watch.close()


@s.scenario
def who_was_let_in_leaves_its_will_though_no_other_node_could_take_it_yet():
    with Nodes(2) as nodes:
        nodes.wait_linked()
        watch = Watch(nodes, (1,), "early/#")
        nodes.pause(1)
        clients = [nodes.client(0, f"early-{n}", will=will(f"early/{n}")) for n in range(20)]
        nodes.kill(0)  # what it had to tell is on its disk
        nodes.go_on(1)
        nodes[0].start()
        watch.until([f"early/{n}" for n in range(20)], 40)
        watch.once([f"early/{n}" for n in range(20)])
        for c in clients:
            c.close()
        watch.close()


@s.scenario
def a_will_that_is_not_allowed_any_more_is_not_published():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-rights-"))
    folder.chmod(0o755)
    rules = folder / "acl"
    rules.write_text("topic readwrite #\ntopic read $SYS/#\n")
    rules.chmod(0o644)
    with Nodes(2, f"sys_interval 1\nacl_file {rules}") as nodes:
        clients = [nodes.client(1, f"right-{n}", will=will(f"right/{n}")) for n in ("yes", "no")]
        nodes.figure(0, "wills/held", lambda x: x == 2)
        watch = Watch(nodes, (0,), "right/#")
        rules.write_text("topic read #\ntopic read $SYS/#\ntopic write right/yes\ntopic write linked/#\n")
        nodes[0].signal(signal.SIGHUP)
        nodes.kill(1)
        watch.until(["right/yes"], AFTER_S + 40)
        watch.once(["right/yes"], 7)
        nodes[0].wait_log("Client right-no of node .*: its Will is not allowed")
        nodes.figure(0, "wills/held", lambda x: x == 0)
        nodes[1].start()
        watch.close()


@s.scenario
def wills_beyond_the_limit_are_counted():
    with Nodes(2, "sys_interval 1\ncluster_max_will_bytes 4000") as nodes:
        clients = [nodes.client(1, f"big-{n}", will=will(f"big/{n}", bytes(1000))) for n in range(6)]
        count = lambda name: nodes.figure(0, f"wills/{name}")
        s.until(lambda: count("held") + count("refused") >= 6)
        assert 0 < count("held") < 6, count("held")
        nodes[0].wait_log("no room for the Will of client big-.: of node .*: cluster_max_will_bytes|no room for the Will .*cluster_max_will_bytes")
        for c in clients:
            c.bye()
        nodes.figure(0, "wills/held", lambda x: x == 0)


s.main()
