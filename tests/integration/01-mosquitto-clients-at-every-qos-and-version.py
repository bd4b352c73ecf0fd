"""mosquitto_sub beside mosquitto_pub, QoS 0 to 2, MQTT 3.1, 3.1.1 and 5.0."""
import scenario as s
from broker import Broker

broker = Broker()


def exchange(qos, version):
    sub = s.mosquitto_sub(broker, "-V", version, "-q", qos, "-t", "sensors/#", "-v", "-C", 1, "-W", 15)
    s.mosquitto_pub(broker, "-V", version, "-q", qos, "-t", "sensors/temperature", "-m", "23.5")
    assert s.messages(sub, 1) == ["sensors/temperature 23.5"]
    assert sub.exit() == 0


for q in (0, 1, 2):
    for v in ("31", "311", "5"):
        def one(q=q, v=v):
            exchange(q, v)
        one.__name__ = f"qos_{q}_version_{v}"
        s.scenario(one)


@s.scenario
def a_subscriber_of_each_version_gets_from_each():
    subs = [s.mosquitto_sub(broker, "-V", v, "-q", 2, "-t", "mixed", "-W", 15) for v in ("31", "311", "5")]
    for v in ("31", "311", "5"):
        s.mosquitto_pub(broker, "-V", v, "-q", 2, "-t", "mixed", "-m", f"from {v}")
    for sub in subs:
        assert sorted(s.messages(sub, 3)) == ["from 31", "from 311", "from 5"]


with broker:
    s.main()
