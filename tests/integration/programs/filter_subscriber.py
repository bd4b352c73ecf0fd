"""filter_subscriber.py PORT FILTER - prints the topic and payload of each message."""
import sys

import paho.mqtt.client as mqtt

client = mqtt.Client()
client.on_connect = lambda c, *_: c.subscribe(sys.argv[2])
client.on_subscribe = lambda *_: print("ready")
client.on_message = lambda c, u, m: print(m.topic, m.payload.decode(), "retained" if m.retain else "live")
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
