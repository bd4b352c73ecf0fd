"""kill -9 of the broker: the next one publishes the Wills of all who were connected, once, whatever their sessions."""
import time

import mqtt
import scenario as s
from broker import Broker
from mqtt import V5, V31, V311

broker = Broker("persistence true")
NEVER = {"session_expiry": mqtt.NEVER}


def killed_and_back():
    broker.process.kill()
    broker.process.wait()
    broker.start()


def watcher():
    return mqtt.Client(broker.address).open("watcher", clean=False, props=NEVER)


def wills(client):
    """All that come, and are to come at once."""
    got = []
    while client.buf or client.stash or mqtt.readable(client.sock, 1):
        m = client.msg()
        got.append((m.topic, m.payload.decode(), m.retain))
    return sorted(got)


@s.scenario
def of_clients_of_all_versions_at_all_qos():
    watch = watcher()
    watch.sub("w/#", qos=2)
    left = []  # numbers of those who do not say that it is not wanted
    for n in range(60):
        version, durable = (V31, V311, V5)[n // 3 % 3], n % 4 == 3
        will = mqtt.will_of(f"w/{n}", b"gone-%d" % n, n % 3, n % 2 == 1, {} if version == V5 else None)
        props = NEVER if durable and version == V5 else None
        client = mqtt.Client(broker.address).open(f"c-{n}", version, will=will, clean=not durable, props=props)
        if n % 5 == 4:
            client.bye()
        else:
            left.append(n)
    time.sleep(0.5)  # a DISCONNECT is written, and nobody is told when
    killed_and_back()
    watch = watcher()
    assert watch.connack.session_present
    # Those at QoS 0 may find nobody, but for those that are retained.
    want = sorted((f"w/{n}", f"gone-{n}", False) for n in left if n % 3 > 0)
    got = [w for w in wills(watch) if int(w[0][2:]) % 3 > 0]
    assert got == want, set(got) ^ set(want)
    late = mqtt.Client(broker.address).open("late")
    late.sub("w/#", qos=1)
    want = sorted((f"w/{n}", f"gone-{n}", True) for n in left if n % 2 == 1)
    assert wills(late) == want
    killed_and_back()  # they are used up
    assert wills(watcher()) == []


@s.scenario
def of_one_that_is_back_at_once():
    watch = watcher()
    watch.sub("back", qos=1)
    for clean in (True, False):
        mqtt.Client(broker.address).open("back", V311, clean=True, will=mqtt.will_of("back", b"gone", 1))
        killed_and_back()
        back = mqtt.Client(broker.address).open("back", V311, clean=clean)
        assert not back.connack.session_present
        watch = watcher()
        assert [w[1] for w in wills(watch)] == ["gone"]
        back.bye()
        watch.close()


@s.scenario
def nobody_was_let_in_without():
    """Those that had their CONNACK when the broker was killed, in a storm."""
    watch = watcher()
    watch.sub("storm/#", qos=1)
    for first in (0, 100, 300):
        clients = {}
        for n in range(400):
            c = mqtt.Client(broker.address)
            c.send(mqtt.connect(f"storm-{n}", V311, will=mqtt.will_of(f"storm/{n}", b"gone", 1)))
            clients[f"storm/{n}"] = c
        assert mqtt.readable(clients[f"storm/{first}"].sock, 10)
        broker.process.kill()
        broker.process.wait()
        let_in = set()
        for topic, c in clients.items():
            try:
                if c.recv(0.5).type == mqtt.CONNACK:
                    let_in.add(topic)
            except (TimeoutError, mqtt.Closed):
                pass
            c.close()
        broker.start()
        watch = watcher()
        got = [w[0] for w in wills(watch)]
        assert len(got) == len(set(got))
        assert let_in <= set(got), let_in - set(got)
        print(f"{len(let_in)} let in, {len(got)} Wills", flush=True)
        watch.close()


with broker:
    s.main()
