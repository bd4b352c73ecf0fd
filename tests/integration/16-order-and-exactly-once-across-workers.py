"""Many client identifiers, so that every worker has some: nothing lost, nothing twice, in order."""
import threading

import mqtt
import scenario as s
from broker import Broker

broker = Broker("workers 4\nmax_queued_messages 0")
PUBLISHERS, SUBSCRIBERS, EACH = 6, 6, 200


def publisher(n, qos, errors):
    try:
        c = mqtt.Client(broker.address, timeout=30).open(f"pub-{qos}-{n}", mqtt.V311)
        for i in range(EACH):
            c.pub(f"order/{qos}/{n}", f"{i}", qos)
        c.bye()
    except Exception as e:  # told below
        errors.append(repr(e))


def check_subscriber(n, qos, ready, errors):
    try:
        c = mqtt.Client(broker.address, timeout=30).open(f"sub-{qos}-{n}", mqtt.V311)
        c.sub(f"order/{qos}/+", qos=qos)
        ready.release()
        last = {}
        for _ in range(PUBLISHERS * EACH):
            got = c.msg()
            number = int(got.payload)
            if number != last.get(got.topic, -1) + 1:
                raise AssertionError(f"{got.topic}: {number} after {last.get(got.topic)}")
            last[got.topic] = number
        c.expect_nothing(0.2)
    except Exception as e:  # told below
        ready.release()
        errors.append(repr(e))


def run(qos):
    ready, errors = threading.Semaphore(0), []
    threads = [threading.Thread(target=check_subscriber, args=(n, qos, ready, errors)) for n in range(SUBSCRIBERS)]
    for t in threads:
        t.start()
    for _ in threads:
        ready.acquire()
    threads += [threading.Thread(target=publisher, args=(n, qos, errors)) for n in range(PUBLISHERS)]
    for t in threads[SUBSCRIBERS:]:
        t.start()
    for t in threads:
        t.join(60)
    assert not errors, errors


@s.scenario
def qos_0():
    run(0)


@s.scenario
def qos_1():
    run(1)


@s.scenario
def qos_2():
    run(2)


@s.scenario
def two_thousand_clients_hear_themselves():
    clients = [mqtt.Client(broker.address, timeout=30).hello(f"many-{i}", mqtt.V311) for i in range(2000)]
    for i, c in enumerate(clients):
        c.expect(mqtt.CONNACK, reason=0)
        c.send(mqtt.subscribe(1, [(f"many/{i}", 1)], mqtt.V311),
               mqtt.publish(f"many/{i}", f"{i}", 1, 2, version=mqtt.V311))
    for i, c in enumerate(clients):
        got = c.recv_type(mqtt.PUBLISH)
        assert got.payload == b"%d" % i and got.topic == f"many/{i}"
        c.close()


with broker:
    s.main()
