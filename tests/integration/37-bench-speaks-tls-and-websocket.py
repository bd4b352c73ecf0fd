"""The load generator over TLS, WebSocket and both: as exact as over TCP, and it trusts whom it is told to."""
import json
import pathlib

import mqtt
import scenario as s
import transport
from broker import ROOT, Broker, binary, free_port

beside = pathlib.Path(binary()).with_name("ternmq-bench")
BENCH = beside if beside.exists() else ROOT / "build" / "ternmq-bench"
C = transport.certificates()
PORTS = {name: free_port() for name in ("tls", "ws", "wss")}
OPTIONS = {"tls": ("--tls", "--cafile", C / "ca.pem"), "ws": ("--websocket",), "wss": ("--tls", "--websocket")}
broker = Broker("sys_interval 1\n" + "".join(
    f"listener {port} 127.0.0.1\n" + "\n".join(transport.listener_keys(name)) + "\n" for name, port in PORTS.items()))


def bench(name, *options):
    code, text = s.run(BENCH, "--port", PORTS[name], *OPTIONS[name], "--json", "--warmup", 1, "--seconds", 1, *options,
                       timeout=300)
    return code, text


@s.scenario
def every_message_arrives_in_order():
    for name in PORTS:
        for more in (("--qos", 1), ("--qos", 2, "--size", 20000, "--window-total", 200), ("--scenario", "fan-out")):
            code, text = bench(name, "--clients", 10, *more)
            assert code == 0, f"{name} {more}: {text}"
            result = json.loads(text)
            assert result["good"] and result["lost"] == result["reordered"] == 0, f"{name}: {text}"


@s.scenario
def connections_come_and_go_and_resume():
    for name, more in (("ws", ()), ("tls", ()), ("tls", ("--resume",)), ("wss", ("--tls-version", 12, "--resume"))):
        code, text = bench(name, "--scenario", "connect", "--clients", 5, "--seconds", 4, *more)
        assert code == 0, f"{name} {more}: {text}"
        result = json.loads(text)
        assert (result["handshakes"] is not None) == (name != "ws"), text
        if "--resume" in more:  # all but the first ones, which begin at once
            assert result["handshakes_resumed"] >= result["handshakes"] - 10 > 0, text
    c = mqtt.Client(broker.address).open("counts")
    c.sub("$SYS/broker/tls/resumed")
    while int(c.msg().payload) == 0:
        pass
    c.bye()


@s.scenario
def a_broker_that_is_not_trusted_is_not_used():
    code, text = s.run(BENCH, "--port", PORTS["tls"], "--tls", "--cafile", C / "other-ca.pem", "--clients", 1,
                       "--warmup", 0, "--seconds", 1, timeout=30)
    assert code != 0 and "TLS: " in text, text
    code, text = s.run(BENCH, "--port", PORTS["tls"], "--cafile", C / "ca.pem")
    assert code != 0 and "need --tls" in text, text
    code, text = s.run(BENCH, "--port", PORTS["tls"], "--tls", "--cafile", "/nonexistent", timeout=30)
    assert code != 0 and "has no certificates" in text, text


with broker:
    s.main()
