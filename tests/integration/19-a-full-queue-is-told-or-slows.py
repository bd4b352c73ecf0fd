"""A durable session's queue is full: MQTT 5 publishers are told, others are slowed; each case is counted."""
import time

import mqtt
import scenario as s
from broker import Broker

EXPIRY = {"session_expiry": 60}


def absent(broker, filter_="q", qos=1):
    c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
    c.sub(filter_, qos=qos)
    c.drop()


def counter(broker, name):
    c = mqtt.Client(broker.address).open("sys")
    c.sub(f"$SYS/broker/{name}")
    time.sleep(1.2)
    value = int(c.msg().payload)
    try:
        while True:
            value = int(c.msg(timeout=0.2).payload)
    except AssertionError:
        return value


def back(broker):
    c = mqtt.Client(broker.address).open("durable", clean=False, props=EXPIRY)
    got = []
    try:
        while True:
            got.append(int(c.msg(timeout=0.4).payload))
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
            assert counter(broker, "dropped/queue full") == 2
            assert counter(broker, "refused/publish") == 2
            assert back(broker) == list(range(10))
            p.pub("q", b"12", 1, want=0)


@s.scenario
def version_3_is_slowed():
    with Broker("max_queued_messages 5\nsys_interval 1\nworkers 2\npersistence true") as broker:
        absent(broker)
        for name in ("p", "q", "r"):  # on one worker or another
            start = time.monotonic()
            p = mqtt.Client(broker.address).open(name, mqtt.V311)
            for i in range(2):
                p.pub("q", b"%d" % i, 1)
            took = time.monotonic() - start
            if name == "p":
                assert took < 0.9, took
        assert 0.9 < took < 2, took
        p.send(*[mqtt.publish("q", b"9", 1, 10 + i, version=mqtt.V311) for i in range(10)])
        start = time.monotonic()
        for i in range(10):
            p.expect(mqtt.PUBACK, mid=10 + i)
        assert 0.8 < time.monotonic() - start < 3
        assert counter(broker, "queued/over limit") == 5
        assert counter(broker, "dropped/queue full") == 6
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
        assert time.monotonic() - start < 0.9
        v5 = mqtt.Client(broker.address).open("v5")
        v5.pub("q", b"20", 1, want=0)


s.main()
