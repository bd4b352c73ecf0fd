"""A megabyte to several subscribers; a durable subscriber that is killed in the middle gets the rest."""
import random
import socket
import struct

import mqtt
import scenario as s
from broker import Broker

broker = Broker("workers 2")


@s.scenario
def megabytes():
    rng = random.Random(7)
    readers = []
    for i, version in enumerate((mqtt.V311, mqtt.V5, mqtt.V31, mqtt.V5)):
        c = mqtt.Client(broker.address, timeout=20, rcvbuf=8192 if i == 3 else None).open(f"reader-{i}", version)
        c.sub("large", qos=2)
        readers.append(c)
    p = mqtt.Client(broker.address, timeout=20).open("writer")
    for size in (2048, 2049, 8192, 100_000, 1_000_000, 1_900_000):
        body = rng.randbytes(size)
        for qos in (0, 1, 2):
            p.pub("large", body, qos)
            for c in readers:
                assert c.msg(qos=qos).payload == body


@s.scenario
def above_the_maximum_is_refused():
    p = mqtt.Client(broker.address).open("too-large")
    p.send(mqtt.publish("large", b"x" * 2_000_001))
    p.expect_closed(0x95)


def reset(client):
    """The kernel's RST instead of a FIN, as when a host dies and comes back."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


@s.scenario
def killed_in_the_middle():
    for qos in (1, 2):
        props = {"session_expiry": 60}
        c = mqtt.Client(broker.address).open(f"victim-{qos}", props=props)
        c.sub(f"victim/{qos}", qos=qos)
        p = mqtt.Client(broker.address).open(f"source-{qos}")
        got, finished = [], set()
        for round_ in range(10):
            for i in range(20):
                p.pub(f"victim/{qos}", b"%d" % (round_ * 20 + i), qos)
            for _ in range(7):
                message = c.expect(mqtt.PUBLISH)
                # An exactly-once receiver forgets an identifier only after PUBREL.
                if qos == 1 or message.mid not in finished:
                    got.append(int(message.payload))
                c.answer(message)
            reset(c)
            c = mqtt.Client(broker.address).open(f"victim-{qos}", clean=False, props=props)
            assert c.connack.session_present
        while len(set(got)) < 200:
            message = c.expect(mqtt.PUBLISH)
            got.append(int(message.payload))
            c.answer(message)
        assert set(got) == set(range(200))
        first = list(dict.fromkeys(got))
        assert first == sorted(first), "out of order"
        if qos == 2:
            assert len(got) == 200, "twice"
        c.bye(props={"session_expiry": 0})


with broker:
    s.main()
