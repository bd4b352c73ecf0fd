"""temperature_monitor.py PORT FILTER [LIMIT] - prints each reading, and an alert above the limit.

Payloads are JSON with a temp field, or a bare number. Prints "ready" once subscribed.
"""
import json
import sys

import paho.mqtt.client as mqtt

port, filter_, limit = int(sys.argv[1]), sys.argv[2], float(sys.argv[3] if len(sys.argv) > 3 else 28.0)


def on_connect(client, userdata, flags, code):
    client.subscribe(filter_, qos=1)


def on_subscribe(client, userdata, mid, granted):
    print("ready")


def on_message(client, userdata, message):
    data = json.loads(message.payload)
    temp = data["temp"] if isinstance(data, dict) else data
    print(f"[{message.topic}] Temp: {temp}")
    if temp > limit:
        print(f"ALERT: [{message.topic}] {temp} is above {limit}")


client = mqtt.Client()
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", port, keepalive=30)
client.loop_forever()
