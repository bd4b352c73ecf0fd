"""Three publisher threads on home/temperature at QoS 1, one monitor that alerts above 28."""
import threading

import paho.mqtt.client as mqtt

import scenario as s
from broker import Broker

broker = Broker()
ROOMS = {"kitchen": [21, 27, 30], "bedroom": [18, 19, 20], "attic": [29, 31, 28]}


def room(name, temps, problems):
    try:
        client = mqtt.Client(name)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        for temp in temps:
            client.publish("home/temperature", temp, qos=1).wait_for_publish(30)
        client.disconnect()
        client.loop_stop()
    except Exception as e:
        problems.append(e)


@s.scenario
def monitor_sees_every_room_and_alerts():
    monitor, problems = s.python("temperature_monitor.py", broker.port, "home/temperature", 28), []
    threads = [threading.Thread(target=room, args=(n, t, problems)) for n, t in ROOMS.items()]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems, problems
    lines = [monitor.line() for _ in range(9 + 3)]
    alerts = sorted(line for line in lines if line.startswith("ALERT"))
    assert [a.split()[2] for a in alerts] == ["29", "30", "31"], alerts
    seen = [int(line.split()[-1]) for line in lines if not line.startswith("ALERT")]
    for temps in ROOMS.values():
        assert [x for x in seen if x in temps] == temps, "a room's readings are out of order"


with broker:
    s.main()
