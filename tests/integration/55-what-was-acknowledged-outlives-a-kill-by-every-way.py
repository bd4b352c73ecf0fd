"""kill -9 and a restart, with clients that come by TLS, WebSocket and both."""
import mqtt
import scenario as s
import transport
from broker import Broker, free_port

C = transport.certificates()
PORTS = {name: free_port() for name in ("tls", "ws", "wss")}
broker = Broker("persistence true\n" + "".join(
    f"listener {port} 127.0.0.1\n" + "\n".join(transport.listener_keys(name)) + "\n"
    for name, port in PORTS.items()))
NEVER = {"session_expiry": mqtt.NEVER}


def client(name, client_id, **kw):
    return mqtt.Client(("127.0.0.1", PORTS[name]), over=name).open(client_id, clean=False, props=NEVER, **kw)


@s.scenario
def killed_and_restarted():
    for name in PORTS:
        client(name, f"absent-{name}").sub("kept/#", qos=1)
    for name in PORTS:
        writer = client(name, f"writer-{name}")
        for i in range(20):
            writer.pub("kept/a", f"{name} {i}", qos=1)
    broker.process.kill()
    broker.process.wait()
    broker.start()
    for name in PORTS:
        reader = client(name, f"absent-{name}")
        assert reader.connack.session_present
        got = [m.payload.decode() for m in reader.msgs(60)]
        assert got == [f"{n} {i}" for n in PORTS for i in range(20)], got
        reader.bye()


with broker:
    s.main()
