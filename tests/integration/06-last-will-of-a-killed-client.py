"""SIGKILL publishes and retains the Will; a clean DISCONNECT sends none."""
import scenario as s
from broker import Broker

broker = Broker()


def device(keep_alive=60):
    program = s.Program(s.PYTHON, "-u", s.PROGRAMS / "device_with_will.py", broker.port, keep_alive, stdin=True)
    program.wait_line("ready")
    return program


@s.scenario
def killed_client_leaves_its_will():
    watch = s.python("filter_subscriber.py", broker.port, "sensors/status")
    one = device()
    assert watch.line() == "sensors/status online live"
    one.kill()
    assert watch.line() == "sensors/status offline live"
    later = s.python("filter_subscriber.py", broker.port, "sensors/status")
    assert later.line() == "sensors/status offline retained"


@s.scenario
def clean_disconnect_sends_none():
    one = device()
    watch = s.python("filter_subscriber.py", broker.port, "sensors/status")
    assert watch.line() == "sensors/status online retained"
    one.process.stdin.write("leave\n")
    one.process.stdin.flush()
    one.wait_line("left")
    assert one.exit() == 0
    s.mosquitto_pub(broker, "-t", "sensors/status", "-m", "end", "-q", 1)
    assert watch.line() == "sensors/status end live"


with broker:
    s.main()
