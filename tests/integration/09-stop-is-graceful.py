"""TERM: MQTT 5 clients are told 0x8B, others are closed, no Will goes out, the exit code is 0; also one after the
other, where that is wished for."""
import signal
import time

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


def ends_s(begin, clients):
    """When each connection ends, in seconds."""
    ends = {}
    while len(ends) < len(clients):
        assert time.monotonic() - begin < 40, f"{len(ends)} of {len(clients)} ended"
        for c in clients:
            if c not in ends and mqtt.readable(c.sock, 0):
                ends[c] = time.monotonic() - begin
        time.sleep(0.01)
    return sorted(ends.values())


@s.scenario
def connections_end_one_after_the_other():
    broker = Broker("drain_delay 2\ndrain_time 4\nsys_interval 1\nworkers 2").start()
    will = mqtt.will_of("stop/will", b"w", 1)
    five = [mqtt.Client(broker.address).open(f"five-{i}", will=will) for i in range(40)]
    four = [mqtt.Client(broker.address).open(f"four-{i}", mqtt.V311, will=will) for i in range(40)]
    broker.signal(signal.SIGTERM)
    begin = time.monotonic()
    broker.wait_log("Draining")
    mqtt.Client(broker.address).open("as before").close()  # within the delay
    ends = ends_s(begin, five + four)
    assert 1.9 < ends[0] and ends[-1] - ends[0] > 3, ends
    assert 10 < sum(end < ends[0] + 2 for end in ends) < 70, ends  # neither at its beginning nor at its end
    for c in five:
        c.expect_closed(0x8B)
    for c in four:
        assert c.expect_closed() is None
    assert broker.wait_exit() == 0
    assert time.monotonic() - begin < 20
    broker.stop(clean=False)


@s.scenario
def new_clients_are_refused_while_others_end():
    broker = Broker("drain_time 30\nworkers 2").start()
    held = [mqtt.Client(broker.address).open(f"held-{i}", mqtt.V311) for i in range(60)]
    broker.signal(signal.SIGTERM)
    broker.wait_log("Draining")
    assert mqtt.Client(broker.address).hello("late").recv_type(mqtt.CONNACK).reason == 0x89
    assert mqtt.Client(broker.address).hello("late", mqtt.V311).recv_type(mqtt.CONNACK).reason == 3
    broker.wait_log("refused because of drain_time")
    begin = time.monotonic()
    broker.signal(signal.SIGTERM)  # again: at once
    assert broker.wait_exit() == 0 and time.monotonic() - begin < 15
    assert all(c.expect_closed() is None for c in held)
    broker.stop(clean=False)


@s.scenario
def with_nobody_there_it_ends_at_once():
    broker = Broker("drain_time 60\nworkers 2").start()
    mqtt.Client(broker.address).open("gone").close()
    begin = time.monotonic()
    broker.signal(signal.SIGTERM)
    assert broker.wait_exit(30) == 0 and time.monotonic() - begin < 20
    broker.stop(clean=False)


s.main()
