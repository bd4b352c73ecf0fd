"""A paho publisher of JSON at QoS 1, and a monitor that alerts above 28.0."""
import scenario as s
from broker import Broker

broker = Broker()


@s.scenario
def monitor_prints_readings_and_alerts():
    monitor = s.python("temperature_monitor.py", broker.port, "sensors/#")
    code, text = s.run(s.PYTHON, s.PROGRAMS / "json_sensor.py", broker.port, "sensors/living-room", 22.5, 28.0, 29.5)
    assert code == 0 and "published" in text, text
    want = ["[sensors/living-room] Temp: 22.5", "[sensors/living-room] Temp: 28.0", "[sensors/living-room] Temp: 29.5",
            "ALERT: [sensors/living-room] 29.5 is above 28.0"]
    assert [monitor.line() for _ in want] == want


with broker:
    s.main()
