"""relay.py - lets programs that speak MQTT over TCP come by TLS, WebSocket or both.

With TERN_TRANSPORT set, Broker listens by that way, and its `port` is this relay's. Whoever begins with a
ClientHello or a request speaks for himself and is passed on as he is; anybody else is wrapped.
"""
import select
import socket
import ssl
import threading

import transport

BUFFER_MAX = 1 << 20
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Pair:
    """A client, and what stands for it before the broker. One thread: a TLS connection is not for two."""

    def __init__(self, client, broker):
        self.client, self.broker = client, broker
        self.framed = isinstance(broker, transport.WebSocket)
        self.below = broker.sock if self.framed else broker
        self.to_broker, self.to_client = bytearray(), bytearray()
        self.ended = False

    def _take(self, sock, out, wrap=bytes):
        try:
            data = sock.recv(65536)
        except NOT_NOW:
            return
        if data:
            out += wrap(data)
        else:
            self.ended = True

    @staticmethod
    def _give(sock, out):
        try:
            while out:
                del out[:sock.send(out)]
        except NOT_NOW:
            pass

    def _wait(self):
        waiter = select.poll()
        for sock, out, in_ in ((self.client, self.to_client, self.to_broker),
                               (self.below, self.to_broker, self.to_client)):
            waiter.register(sock, (select.POLLOUT if out else 0) | (select.POLLIN if len(in_) < BUFFER_MAX else 0))
        waiter.poll(0 if transport.buffered(self.broker) and len(self.to_client) < BUFFER_MAX else None)

    def run(self):
        self.client.setblocking(False)
        self.below.setblocking(False)
        while not self.ended:
            self._wait()
            if len(self.to_broker) < BUFFER_MAX:
                self._take(self.client, self.to_broker,
                           (lambda data: transport.frame(transport.BINARY, data)) if self.framed else bytes)
            if len(self.to_client) < BUFFER_MAX:
                self._take(self.broker, self.to_client)
            self._give(self.below, self.to_broker)
            self._give(self.client, self.to_client)


class Relay:
    def __init__(self, to):
        """to: the broker's port."""
        self.to = to
        self.server = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                first = client.recv(1, socket.MSG_PEEK)
                with socket.create_connection(("127.0.0.1", self.to), 5) as raw:
                    raw.settimeout(None)
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    wrapped = first not in (b"\x16", b"G", b"")
                    broker = transport.wrap(raw, transport.chosen()) if wrapped else raw
                    with broker.sock if isinstance(broker, transport.WebSocket) else broker:
                        Pair(client, broker).run()
            except (OSError, AssertionError):
                pass

    def close(self):
        self.server.close()
