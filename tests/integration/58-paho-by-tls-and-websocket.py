"""Debian's Paho (1.6) by TLS, with and without a certificate of its own, by WebSocket and by both."""
import queue
import ssl
import threading

import paho.mqtt.client as paho
import scenario as s
import transport
from broker import Broker, free_port
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

C = transport.certificates()
SERVER = f"certfile {C}/chain.pem\nkeyfile {C}/chain.key\n"
MUTUAL = SERVER + f"cafile {C}/clients.pem\nrequire_certificate true\nuse_identity_as_username true\n"
WAYS = {
    "tls": SERVER,
    "mutual": MUTUAL,
    "ws": "protocol websockets\n",
    "wss": SERVER + "protocol websockets\n",
    "wss-mutual": MUTUAL + "protocol websockets\n",
}
PORTS = {name: free_port() for name in WAYS}
# The certificate is for localhost and 127.0.0.1.
broker = Broker("".join(f"listener {PORTS[name]} 127.0.0.1\n{keys}" for name, keys in WAYS.items()) +
                "".join(f"listener {PORTS[name]} 127.0.0.2\n{WAYS[name]}" for name in ("tls", "wss")))


class Client:
    """Paho's client, connected; what arrives is in a queue."""

    def __init__(self, way, name, version=paho.MQTTv311, will=None, tls_version=None, clean=True, certificate=True,
                 host="localhost", patience_s=30):
        websocket = way.startswith("ws")
        self.paho = paho.Client(client_id=name, protocol=version, transport="websockets" if websocket else "tcp",
                                clean_session=None if version == paho.MQTTv5 else clean)
        self.connected, self.messages, self.subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.paho.on_connect = lambda *args: self.connected.put(args[3])
        self.paho.on_message = lambda _client, _data, message: self.messages.put(message)
        self.paho.on_subscribe = lambda *args: self.subscribed.put(args[3])
        if websocket:
            self.paho.ws_set_options(path="/mqtt")
        if way not in ("ws", "tcp"):
            context = ssl.create_default_context(cafile=C / "ca.pem")  # it checks the name, too
            if "mutual" in way and certificate:
                context.load_cert_chain(C / "client.pem", C / "client.key")
            if tls_version:
                context.minimum_version = context.maximum_version = tls_version
            self.paho.tls_set_context(context)
        if will:
            self.paho.will_set(*will)
        self.paho.connect(host, PORTS.get(way, broker.port), keepalive=30)
        self.paho.loop_start()
        assert self.connected.get(timeout=patience_s) == 0

    def subscribe(self, topic, qos):
        self.paho.subscribe(topic, qos)
        granted = [int(getattr(code, "value", code)) for code in self.subscribed.get(timeout=30)]
        assert granted == [qos], granted

    def publish(self, topic, payload, qos, retain=False, properties=None):
        info = self.paho.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(30)
        assert info.is_published(), f"{topic} at QoS {qos} is not acknowledged"

    def message(self, timeout=30):
        return self.messages.get(timeout=timeout)

    def lose(self):
        """The connection ends without a DISCONNECT."""
        self.paho.loop_stop()
        self.paho.socket().close()

    def bye(self):
        self.paho.disconnect()
        self.paho.loop_stop()


@s.scenario
def every_qos_by_every_way_and_version():
    for way in WAYS:
        for version in (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5):
            client = Client(way, f"{way}-{version}", version)
            client.subscribe(f"{way}/{version}/#", 2)
            for qos in (0, 1, 2):
                for payload in (b"", b"short", bytes(range(256)) * 300):
                    client.publish(f"{way}/{version}/{qos}", payload, qos)
                    got = client.message()
                    assert (got.topic, got.payload, got.qos) == (f"{way}/{version}/{qos}", payload, qos), way
            client.bye()


@s.scenario
def by_both_versions_of_tls():
    for way in ("tls", "mutual", "wss"):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            client = Client(way, "versions", tls_version=version)
            client.subscribe("versions", 1)
            client.publish("versions", name, 1)
            assert client.message().payload == name.encode()
            client.bye()


@s.scenario
def retained_messages_from_one_way_to_all_others():
    for way in WAYS:
        first = Client(way, "first", paho.MQTTv5)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("way", way)
        first.publish(f"kept/{way}", way, 1, retain=True, properties=properties)
        first.bye()
    for way in ("tcp", *WAYS):
        late = Client(way, "late", paho.MQTTv5)
        late.subscribe("kept/#", 2)
        got = [late.message() for _ in WAYS]
        assert {m.payload.decode() for m in got} == set(WAYS) and all(m.retain for m in got), way
        assert {m.properties.UserProperty[0] for m in got} == {("way", way) for way in WAYS}
        late.bye()
    last = Client("wss", "last")
    for way in WAYS:
        last.publish(f"kept/{way}", b"", 1, retain=True)
    last.bye()


@s.scenario
def a_will_is_published_when_the_connection_is_lost_and_not_otherwise():
    watch = Client("tcp", "watch")
    watch.subscribe("will/#", 2)
    for way in WAYS:
        for qos in (0, 1, 2):
            lost = Client(way, "mortal", will=(f"will/{way}", "lost", qos, False))
            lost.lose()
            got = watch.message()
            assert (got.topic, got.payload, got.qos) == (f"will/{way}", b"lost", qos), way
        Client(way, "orderly", will=(f"will/{way}", "not due", 1, False)).bye()
    watch.publish("will/end", "end", 1)
    assert watch.message().payload == b"end"
    watch.bye()


@s.scenario
def a_session_goes_on_by_another_way():
    # A session is its user's, and a certificate's name is a user.
    named = [way for way in WAYS if "mutual" in way]
    nameless = [way for way in WAYS if way not in named]
    for ways in (nameless, named):
        for way, following in zip(ways, ways[1:] + ways[:1]):
            name = f"durable-{ways[0]}"
            before = Client(way, name, clean=False)
            before.subscribe("session/#", 1)
            before.lose()
            sender = Client("tcp", "sender")
            sender.publish("session/a", way, 1)
            sender.bye()
            after = Client(following, name, clean=False)
            assert after.message().payload == way.encode()
            after.bye()
    try:
        Client("tls", f"durable-{named[0]}", clean=False)
    except AssertionError:
        return
    raise AssertionError("somebody without a certificate found the session of one that has one")


def refused(way, name="refused", **kw):
    """What Paho says when it is not let in, or does not go in."""
    try:
        Client(way, name, **kw)
    except (ssl.SSLError, ConnectionError, queue.Empty) as e:
        return type(e).__name__
    raise AssertionError(f"{way}: connected")


@s.scenario
def who_is_not_the_one_that_was_asked_for_is_found_out():
    for way in ("tls", "wss"):
        assert refused(way, host="127.0.0.2") == "SSLCertVerificationError"
    threading.excepthook = lambda _: None  # Paho's thread ends by the alert; the queue tells
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):  # the client has none
        before = broker.log().count("TLS: ")
        refused("mutual", tls_version=version, certificate=False, patience_s=5)
        s.until(lambda: broker.log().count("TLS: ") > before)


with broker:
    s.main()
