"""json_sensor.py PORT TOPIC TEMP... - publishes {"temp", "humidity"} readings at QoS 1 and leaves."""
import json
import sys

import paho.mqtt.client as mqtt

port, topic, temps = int(sys.argv[1]), sys.argv[2], [float(x) for x in sys.argv[3:]]
client = mqtt.Client()
client.connect("127.0.0.1", port)
client.loop_start()
for temp in temps:
    client.publish(topic, json.dumps({"temp": temp, "humidity": 40}), qos=1).wait_for_publish(5)
client.disconnect()
client.loop_stop()
print("published")
