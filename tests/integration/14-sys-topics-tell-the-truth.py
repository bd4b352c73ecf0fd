"""All $SYS topics that Mosquitto's users know are there, retained, and agree with what was done."""
import mqtt
import scenario as s
from broker import Broker

ONE = """version uptime clients/total clients/maximum clients/connected clients/disconnected clients/expired
clients/active clients/inactive messages/received messages/sent messages/stored store/messages/count
store/messages/bytes publish/messages/received publish/messages/sent publish/messages/dropped publish/bytes/received
publish/bytes/sent bytes/received bytes/sent subscriptions/count shared_subscriptions/count heap/current
heap/maximum""".split() + ["retained messages/count"]
LOADS = """connections sockets messages/received messages/sent publish/received publish/sent publish/dropped
bytes/received bytes/sent""".split()
WANTED = {f"$SYS/broker/{t}" for t in ONE} | {f"$SYS/broker/load/{t}/{m}min" for t in LOADS for m in (1, 5, 15)}
broker = Broker("sys_interval 1")


def read(good, timeout=30):
    """What a new subscriber is told until that is good, or for so long: topic -> payload, the newest."""
    c = mqtt.Client(broker.address).open("reader", mqtt.V311)
    c.sub("$SYS/#")
    seen, end = {}, s.time.monotonic() + timeout
    while s.time.monotonic() < end and not good(seen):
        got = c.recv()
        seen[got.topic] = got.payload.decode()
    c.bye()
    return seen


@s.scenario
def all_are_there():
    missing = WANTED - set(read(lambda seen: WANTED <= set(seen)))
    assert not missing, sorted(missing)


@s.scenario
def they_agree_with_what_was_done():
    a = mqtt.Client(broker.address).open("a", props={"session_expiry": 60})
    a.sub("count/+", qos=1)
    a.sub("$share/g/count/shared")
    b = mqtt.Client(broker.address).open("b", mqtt.V311)
    for i in range(20):
        b.pub(f"count/{i}", b"12345", 1)
        a.msg(b"12345")
    b.pub("count/kept", b"r", 1, retain=True)
    a.msg(b"r")
    wanted = {"clients/connected": 3, "subscriptions/count": 2, "shared_subscriptions/count": 1,
              "publish/messages/received": 21, "publish/bytes/received": 101}
    more_than = {"messages/received": 21, "bytes/received": 21 * 12, "retained messages/count": 50, "heap/current": 0,
                 "load/publish/received/1min": 0}

    def wrong(now):
        value = lambda name: float(now.get(f"$SYS/broker/{name}", "nan"))
        return {name: value(name) for name in (*wanted, *more_than)
                if not (value(name) == wanted[name] if name in wanted else value(name) > more_than[name])}
    now = read(lambda seen: not wrong(seen))
    assert not wrong(now), wrong(now)


@s.scenario
def clients_cannot_write_them():
    c = mqtt.Client(broker.address).open("spoof")
    c.send(mqtt.publish("$SYS/broker/version", b"mine", 1, 7, retain=True))
    assert c.recv_type(mqtt.PUBACK).reason == 0x87
    topic = "$SYS/broker/version"
    assert read(lambda seen: topic in seen)[topic].startswith("ternmq")


with broker:
    s.main()
