"""sensors/status = "online" is retained; an empty retained payload clears it."""
import scenario as s
from broker import Broker

broker = Broker()


@s.scenario
def later_subscriber_gets_it_at_once_with_the_flag():
    s.mosquitto_pub(broker, "-t", "sensors/status", "-m", "online", "-r", "-q", 1)
    later = s.python("filter_subscriber.py", broker.port, "sensors/#")
    assert later.line() == "sensors/status online retained"
    s.mosquitto_pub(broker, "-t", "sensors/status", "-m", "busy", "-r", "-q", 1)
    assert later.line() == "sensors/status busy live"


@s.scenario
def empty_payload_clears_it():
    s.mosquitto_pub(broker, "-t", "sensors/status", "-n", "-r", "-q", 1)
    later = s.python("filter_subscriber.py", broker.port, "sensors/#")
    s.mosquitto_pub(broker, "-t", "sensors/other", "-m", "first", "-q", 1)
    assert later.line() == "sensors/other first live"


with broker:
    s.main()
