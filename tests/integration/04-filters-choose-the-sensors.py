"""Three subscribers, four sensors: each gets exactly what its filter matches."""
import scenario as s
from broker import Broker

broker = Broker()
TOPICS = ["home/temp", "home/humidity", "home/living-room/temperature", "home/living-room/light/status"]
WANT = {"home/temp": TOPICS[:1], "home/#": TOPICS, "home/+/temperature": TOPICS[2:3]}


@s.scenario
def each_filter_gets_exactly_its_topics():
    subs = {f: s.python("filter_subscriber.py", broker.port, f) for f in WANT}
    for topic in TOPICS:
        s.mosquitto_pub(broker, "-t", topic, "-m", "on", "-q", 1)
    s.mosquitto_pub(broker, "-t", "home", "-m", "all", "-q", 1)
    for end in ("home/temp", "home/end/temperature"):
        s.mosquitto_pub(broker, "-t", end, "-m", "end", "-q", 1)
    for filter_, topics in WANT.items():
        want = [f"{t} on live" for t in topics] + (["home all live"] if filter_ == "home/#" else [])
        got, ended = [], False
        while not ended or len(got) < len(want):  # each comes from a publisher of its own, the end as well
            line = subs[filter_].line()
            ended |= line.split()[1] == "end"
            got += [line] if line.split()[1] != "end" else []
        assert sorted(got) == sorted(want), f"{filter_}: {got}"


with broker:
    s.main()
