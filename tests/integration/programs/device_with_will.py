"""device_with_will.py PORT KEEPALIVE - online now, "offline" as its Will. Leaves cleanly at a line on stdin."""
import sys

import paho.mqtt.client as mqtt

client = mqtt.Client("device")
client.will_set("sensors/status", "offline", qos=1, retain=True)
client.on_connect = lambda c, *_: c.publish("sensors/status", "online", qos=1, retain=True)
client.on_publish = lambda *_: print("ready")
client.connect("127.0.0.1", int(sys.argv[1]), keepalive=int(sys.argv[2]))
client.loop_start()
sys.stdin.readline()
client.disconnect()
client.loop_stop()
print("left")
