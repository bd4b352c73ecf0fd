"""TERM: MQTT 5 clients are told 0x8B, others are closed, no Will goes out, the exit code is 0."""
import mqtt
import scenario as s
from broker import Broker


@s.scenario
def clients_are_told_and_wills_kept_back():
    broker = Broker().start()
    will = mqtt.will_of("stop/will", b"w", 1)
    watch = mqtt.Client(broker.address).open("watch")
    watch.sub("stop/#", qos=1)
    five = [mqtt.Client(broker.address).open(f"five-{i}", will=will) for i in range(50)]
    four = [mqtt.Client(broker.address).open(f"four-{i}", mqtt.V311, will=will) for i in range(50)]
    assert broker.stop() == 0
    for c in [watch, *five]:
        c.expect_closed(0x8B)
    for c in four:
        assert c.expect_closed() is None
    assert not watch.stash


@s.scenario
def stop_in_the_middle_of_traffic():
    broker = Broker().start()
    clients = [mqtt.Client(broker.address).open(f"busy-{i}", mqtt.V311) for i in range(20)]
    for c in clients:
        c.sub("busy", qos=0)
        c.send(*[mqtt.publish("busy", b"x" * 1000, version=mqtt.V311)] * 50)
    assert broker.stop() == 0


s.main()
