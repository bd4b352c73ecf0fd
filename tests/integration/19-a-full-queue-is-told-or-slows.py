"""A durable session's queue is full: MQTT 5 publishers are told, others are slowed; each case is counted."""
import time

import mqtt
import scenario as s
from broker import Broker
from figures import Figures

EXPIRY = {"session_expiry": 60}


def absent(broker, filter_="q", qos=1):
    c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
    c.sub(filter_, qos=qos)
    c.drop()


def counted(broker, name, count):
    Figures(broker.address).wait(name, lambda n: n == count)


def back(broker):
    c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
    got = []
    try:
        while True:
            got.append(int(c.msg(timeout=1).payload))
    except AssertionError:
        return got


@s.scenario
def mqtt_5_is_told():
    for store in ("", "\npersistence true"):
        with Broker("max_queued_messages 10\nsys_interval 1" + store) as broker:
            absent(broker, qos=2)
            p = mqtt.Client(broker.address).open("p")
            for i in range(10):
                p.pub("q", b"%d" % i, 1 + i % 2, want=0)
            p.pub("q", b"10", 1, want=0x97)
            p.pub("q", b"11", 2, want=0x97)
            p.pub("other", b"x", 1, want=0x10)
            counted(broker, "dropped/queue full", 2)
            counted(broker, "refused/publish", 2)
            assert back(broker) == list(range(10))
            p.pub("q", b"12", 1, want=0)


@s.scenario
def who_loses_the_connection_meanwhile_is_told_when_the_message_comes_again():
    with Broker("max_queued_messages 5\nworkers 2\npersistence true") as broker:
        absent(broker, qos=2)
        p = mqtt.Client(broker.address).open("p")
        for i in range(5):
            p.pub("q", b"%d" % i, 2, want=0)
        for i in range(40):  # on one worker or another
            def publisher():
                return mqtt.Client(broker.address).open(f"gone-{i}", clean=False, props=EXPIRY)
            first = publisher()
            first.send(mqtt.publish("q", b"9", 2, 7, version=mqtt.V5))
            first.close()  # before other workers have answered
            again = publisher()
            again.send(mqtt.publish("q", b"9", 2, 7, dup=True, version=mqtt.V5))
            answer = again.recv_type(mqtt.PUBREC)
            assert (answer.mid, answer.reason) == (7, 0x97), (i, answer)
            again.close()
        assert back(broker) == list(range(5))


@s.scenario
def version_3_is_slowed():
    with Broker("max_queued_messages 5\nsys_interval 1\nworkers 2\npersistence true") as broker:
        absent(broker)
        took = {}
        for name in ("p", "q", "r"):  # on one worker or another
            start = time.monotonic()
            p = mqtt.Client(broker.address).open(name, mqtt.V311)
            for i in range(2):
                p.pub("q", b"%d" % i, 1)
            took[name] = time.monotonic() - start
        assert min(took["p"], took["q"]) < 0.9 < took["r"] < 8, took  # a busy machine is slow now and then, too
        p.send(*[mqtt.publish("q", b"9", 1, 10 + i, version=mqtt.V311) for i in range(10)])
        start = time.monotonic()
        for i in range(10):
            p.expect(mqtt.PUBACK, mid=10 + i)
        assert 0.8 < time.monotonic() - start < 8
        counted(broker, "queued/over limit", 5)
        counted(broker, "dropped/queue full", 6)
        assert len(back(broker)) == 10


@s.scenario
def sessions_that_end_with_their_connection_slow_nobody():
    with Broker("max_queued_messages 5\nmax_inflight_messages 1") as broker:
        c = mqtt.Client(broker.address).open("c")
        c.sub("q", qos=1)
        p = mqtt.Client(broker.address).open("p", mqtt.V311)
        start = time.monotonic()
        for i in range(20):
            p.pub("q", b"%d" % i, 1)
        assert time.monotonic() - start < 8  # slowed, each of the last fourteen takes a second
        v5 = mqtt.Client(broker.address).open("v5")
        v5.pub("q", b"20", 1, want=0)


s.main()
