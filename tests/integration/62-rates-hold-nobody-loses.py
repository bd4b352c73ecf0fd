"""Messages and bytes a second, in and out, by listener: what is beyond waits; QoS 0 out is dropped and counted."""
import pathlib
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker, free_port
from figures import Figures
from mqtt import V5, V311


def cpu_seconds(broker):
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def collect(client, count, start):
    """When each of count messages came."""
    times = []
    for i in range(count):
        client.msg(b"%d" % i)
        times.append(time.monotonic() - start)
    return times


# A busy machine adds to what a rate takes. At half the rate it would be twice as long, which is too much, and of several
# bursts the quickest tells whether they come at once.


@s.scenario
def messages_in_wait_by_listener():
    fast = free_port()
    with Broker(f"max_messages_in_rate 50\nsys_interval 1\nlistener {fast} 127.0.0.1\nallow_anonymous true") as broker:
        figures = Figures(("127.0.0.1", fast))
        sub = mqtt.Client(("127.0.0.1", fast)).open("sub")
        sub.sub("#")
        bursts = []
        for version, qos in ((V311, 0), (V5, 1), (V5, 2)):
            pub = mqtt.Client(broker.address).open(f"pub-{version}-{qos}", version)
            data = [mqtt.publish("t", b"%d" % i, qos, i + 1, version=version) for i in range(200)]
            start = time.monotonic()
            pub.send(*data, mqtt.PING)
            times = collect(sub, 200, start)
            assert 2.7 < times[-1] < 5.9, f"150 beyond the burst took {times[-1]:.2f} s"
            bursts.append(times[49])
            pub.recv_type(mqtt.PINGRESP)
            assert len(pub.stash) == (200 if qos else 0), "each is acknowledged"
            pub.close()
        assert min(bursts) < 0.5, f"a second's worth comes at once: {bursts}"
        quick = mqtt.Client(("127.0.0.1", fast)).open("quick", V311)
        start = time.monotonic()
        quick.send(*[mqtt.publish("t", b"%d" % i, version=V311) for i in range(200)])
        assert collect(sub, 200, start)[-1] < 2.5, "the other listener has no rate"
        figures.wait("paused/rate in", lambda n: n >= 3)


@s.scenario
def a_real_client_is_slowed_and_keeps_its_connection():
    """mosquitto_pub with a keep alive of 5 s publishes 100 lines at 10 a second."""
    with Broker("max_messages_in_rate 10\nlog_type all") as broker:
        sub = mqtt.Client(broker.address).open("sub")
        sub.sub("lines")
        start = time.monotonic()
        done = subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", "lines", "-l", "-q", "1", "-k", "5", "-i", "lines"],
                              input="".join(f"{i}\n" for i in range(100)), text=True, timeout=60)
        took = time.monotonic() - start
        assert done.returncode == 0 and 7 < took < 17, f"{done}, {took:.1f} s"
        collect(sub, 100, start)
        assert "exceeded timeout" not in broker.log()
        assert broker.log().count("as lines (") == 1, "it came once"


@s.scenario
def bytes_in_wait_and_the_worker_sleeps():
    with Broker("max_bytes_in_rate 20000") as broker:
        sub = mqtt.Client(broker.address).open("sub", keep_alive=0)
        sub.sub("#")
        pub = mqtt.Client(broker.address).open("pub", V311, keep_alive=1)
        before, start = cpu_seconds(broker), time.monotonic()
        pub.send(*[mqtt.publish("t", b"%-1000d" % i, version=V311) for i in range(120)])
        for i in range(120):
            assert sub.msg().payload.strip() == b"%d" % i
        took = time.monotonic() - start
        assert 4.5 < took < 9.5, f"100,000 bytes beyond the burst took {took:.1f} s"
        assert cpu_seconds(broker) - before < 0.15 * took + 0.2, "it must not wait by turning round"
        pub.ping()


@s.scenario
def out_qos1_waits_and_qos0_is_dropped():
    slow = free_port()
    with Broker(f"sys_interval 1\nlistener {slow} 127.0.0.1\nmax_messages_out_rate 20\nallow_anonymous true") as broker:
        figures = Figures(broker.address)
        sub = mqtt.Client(("127.0.0.1", slow)).open("sub")
        sub.sub("one", qos=1)
        sub.sub("two", qos=2)
        sub.sub("zero")
        pub = mqtt.Client(broker.address).open("pub", V311)
        before, bursts = cpu_seconds(broker), []
        for topic, qos in (("one", 1), ("two", 2)):
            time.sleep(1.1)
            start = time.monotonic()
            pub.send(*[mqtt.publish(topic, b"%d" % i, qos, i + 1, version=V311) for i in range(80)])
            times = collect(sub, 80, start)
            assert 2.5 < times[-1] < 5.9, (topic, times[-1])
            bursts.append(times[19])
        assert min(bursts) < 0.6, bursts
        assert cpu_seconds(broker) - before < 1.5
        time.sleep(1.1)
        start = last = time.monotonic()
        pub.send(*[mqtt.publish("zero", b"%d" % i, version=V311) for i in range(80)])
        got = 0
        try:
            while sub.msg(timeout=1):
                got, last = got + 1, time.monotonic()
        except AssertionError:
            pass
        assert 20 <= got <= 21 + 20 * (last - start), (got, last - start)
        figures.wait("dropped/rate", lambda n: n == 80 - got)


@s.scenario
def out_bytes_and_retained_messages():
    slow = free_port()
    with Broker(f"listener {slow} 127.0.0.1\nmax_bytes_out_rate 10000\nallow_anonymous true") as broker:
        pub = mqtt.Client(broker.address).open("pub")
        for i in range(40):
            pub.pub(f"kept/{i:02}", b"%-990d" % i, 1, retain=True)
        sub = mqtt.Client(("127.0.0.1", slow)).open("sub")
        start = time.monotonic()
        sub.sub("kept/#")
        got = {int(sub.msg().payload) for _ in range(40)}
        took = time.monotonic() - start
        assert got == set(range(40)) and 2.5 < took < 5.9, f"{took:.1f} s"


s.main()
