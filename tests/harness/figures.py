"""figures.py - the broker's own figures, as $SYS tells them."""
import time

import mqtt


class Figures:
    """Follows $SYS over one connection, so that asking changes nothing. The broker needs sys_interval 1."""

    def __init__(self, address, **kw):
        self.client = mqtt.Client(address, **kw).open(f"figures-{time.monotonic_ns()}", mqtt.V311, keep_alive=0)
        self.client.sub("$SYS/broker/#")
        self.now = {}

    def _read(self, seconds):
        try:
            got = self.client.recv(max(seconds, 0.001))
        except TimeoutError:
            return
        self.now[got.topic.removeprefix("$SYS/broker/")] = got.payload.decode()

    def wait(self, name, good=lambda value: value > 0, timeout=30):
        """The figure of this name, once it is as wanted."""
        end = time.monotonic() + timeout
        while True:
            while self.client.buf or mqtt.readable(self.client.sock, 0):
                self._read(0.01)
            value = float(self.now.get(name, "nan"))
            if good(value):
                return value
            assert time.monotonic() < end, f"$SYS/broker/{name} is {value}"
            self._read(0.2)
