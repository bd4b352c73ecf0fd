"""One subscriber never reads; another gets everything, at once. Bounds are policy, and counted."""
import mqtt
import scenario as s
from broker import Broker


@s.scenario
def others_are_served():
    with Broker("max_output_bytes 1000000\nsys_interval 1") as broker:
        slow = mqtt.Client(broker.address, rcvbuf=4096).open("slow", mqtt.V311)
        slow.sub("flood")
        quick = mqtt.Client(broker.address).open("quick", mqtt.V311)
        quick.sub("flood")
        p = mqtt.Client(broker.address).open("p", mqtt.V311)
        took = []
        for i in range(100):
            start = s.time.monotonic()
            p.send(*[mqtt.publish("flood", bytes([i]) * 10000, version=mqtt.V311)] * 10)
            for _ in range(10):
                quick.msg(bytes([i]) * 10000)
            took.append(s.time.monotonic() - start)
        assert sorted(took)[89] < 1, took  # what a busy machine takes now and then is not the broker's
        c = mqtt.Client(broker.address).open("sys", mqtt.V311)
        c.sub("$SYS/broker/dropped/slow consumer")
        end = s.time.monotonic() + 30
        while int(c.msg().payload) == 0:
            assert s.time.monotonic() < end


def fill(broker, count=10):
    """A durable session of which 5 messages fit; who publishes is always acknowledged."""
    c = mqtt.Client(broker.address).open("durable", props={"session_expiry": 60})
    c.sub("q", qos=1)
    c.drop()
    p = mqtt.Client(broker.address).open("publisher")
    for i in range(count):
        p.pub("q", bytes([i]) * 100, 1)
    c = mqtt.Client(broker.address).open("durable", clean=False, props={"session_expiry": 60})
    got = []
    while True:
        try:
            got.append(c.msg(timeout=1).payload[0])
        except AssertionError:
            return got


@s.scenario
def full_queues():
    for action, want in (("drop_newest", [0, 1, 2, 3, 4]), ("drop_oldest", [5, 6, 7, 8, 9])):
        with Broker(f"max_queued_messages 5\nqueue_full_action {action}") as broker:
            assert fill(broker) == want, action
    with Broker("max_queued_bytes 500\nqueue_full_action drop_newest") as broker:
        got = fill(broker)
        assert 0 < len(got) < 6 and got == list(range(len(got))), got


@s.scenario
def disconnect_when_full():
    with Broker("max_queued_messages 5\nqueue_full_action disconnect\nmax_inflight_messages 2") as broker:
        c = mqtt.Client(broker.address).open("behind")
        c.sub("q", qos=1)
        p = mqtt.Client(broker.address).open("publisher")
        for i in range(10):
            p.pub("q", b"x", 1)
        c.expect_closed(0x97)


@s.scenario
def retained_limits_refuse():
    with Broker("max_retained_messages 3\nsys_interval 0") as broker:
        c = mqtt.Client(broker.address).open("r")
        for i in range(3):
            c.pub(f"keep/{i}", b"x", 1, retain=True)
        c.send(mqtt.publish("keep/3", b"x", 1, 9, retain=True))
        assert c.recv_type(mqtt.PUBACK).reason == 0x97
        c.pub("keep/0", b"", 1, retain=True)
        c.pub("keep/3", b"x", 1, retain=True)
        c.sub("keep/#")
        assert sorted(c.msg().topic for _ in range(3)) == ["keep/1", "keep/2", "keep/3"]


s.main()
