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


def read(seconds):
    """What a new subscriber is told within a time: topic -> payload, the newest."""
    c = mqtt.Client(broker.address).open("reader", mqtt.V311)
    c.sub("$SYS/#")
    seen, end = {}, s.time.monotonic() + seconds
    while (left := end - s.time.monotonic()) > 0:
        try:
            got = c.recv(left)
        except TimeoutError:
            break
        seen[got.topic] = got.payload.decode()
    c.bye()
    return seen


@s.scenario
def all_are_there():
    missing = WANTED - set(read(1.5))
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
    now = read(2.5)
    get = lambda name: int(now[f"$SYS/broker/{name}"])
    assert get("clients/connected") == 3 and get("subscriptions/count") == 2, now
    assert get("shared_subscriptions/count") == 1
    assert get("publish/messages/received") == 21 and get("publish/bytes/received") == 101
    assert get("messages/received") > 21 and get("bytes/received") > 21 * 12
    assert get("retained messages/count") > 50 and get("heap/current") > 0
    assert float(now["$SYS/broker/load/publish/received/1min"]) > 0


@s.scenario
def clients_cannot_write_them():
    c = mqtt.Client(broker.address).open("spoof")
    c.send(mqtt.publish("$SYS/broker/version", b"mine", 1, 7, retain=True))
    assert c.recv_type(mqtt.PUBACK).reason == 0x87
    assert read(0.5)["$SYS/broker/version"].startswith("ternmq")


with broker:
    s.main()
