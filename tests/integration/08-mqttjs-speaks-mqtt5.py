"""MQTT.js 5 from npm (npm ci in this folder) against the broker; the scenarios are in programs/mqtt5.js."""
import os
import sys

import scenario as s
from broker import Broker

HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(HERE, "node_modules", "mqtt")):
    print("FAIL mqttjs: run `npm ci` in tests/integration first")
    sys.exit(1)
with Broker() as broker:
    code, text = s.run("node", s.PROGRAMS / "mqtt5.js", broker.port, timeout=60)
    print(text, end="")
sys.exit(code)
