"""A stopped process says nothing: after 1.5 x keep alive it is dropped and its Will published."""
import signal
import time

import scenario as s
from broker import Broker

broker = Broker()


@s.scenario
def stopped_client_is_dropped_and_its_will_published():
    watch = s.python("filter_subscriber.py", broker.port, "sensors/status")
    device = s.Program(s.PYTHON, "-u", s.PROGRAMS / "device_with_will.py", broker.port, 5, stdin=True)
    device.wait_line("ready")
    assert watch.line() == "sensors/status online live"
    start = time.monotonic()
    device.process.send_signal(signal.SIGSTOP)
    try:
        assert watch.line() == "sensors/status offline live"
        took = time.monotonic() - start
        assert 4.5 <= took <= 9.5, f"dropped after {took:.1f} s, keep alive is 5"
    finally:
        device.process.send_signal(signal.SIGCONT)


with broker:
    s.main()
