"""wire.py - the network between nodes: a fault proxy before each that knows from which node a connection comes.

So two nodes can be cut off from each other while both see the third.
"""
import collections
import os
import pathlib
import socket
import time

from fault_proxy import FaultProxy, NOT_NOW
from nodes import Nodes

IN, OUT = "in", "out"  # what a peer says to the node, and what the node says to it


class Wire(FaultProxy):
    """of_port: says which node a local port belongs to, or None."""

    def __init__(self, to, of_port):
        self.of_port, self.slow_s, self.bites = of_port, 0.0, 0
        self.blocked = collections.Counter()  # (peer, way): faults may overlap
        self.from_peer = {}  # Stream -> node
        super().__init__(to)

    # -- what a fault calls --

    def block(self, peer, way):
        with self.lock:
            self.blocked[peer, way] += 1
        self.wake.send(b"x")

    def unblock(self, peer, way):
        with self.lock:
            self.blocked[peer, way] -= 1
        self.wake.send(b"x")

    def reset_peer(self, peer):
        """Its connections end, as TCP ends them that had no answer for long."""
        with self.lock:
            for stream in set(self.streams.values()):
                if self.from_peer.get(stream) == peer:
                    self._end(stream, True)
        self.wake.send(b"x")

    def bite(self, count):
        """The next so many chunks pass in part, and their connections break there."""
        with self.lock:
            self.bites = count

    # -- the thread --

    def _end(self, stream, reset=False):
        self.from_peer.pop(stream, None)
        super()._end(stream, reset)

    def _accept(self):
        known = set(self.streams.values())
        super()._accept()
        for stream in set(self.streams.values()) - known:
            self.from_peer[stream] = self.of_port(stream.outside.getpeername()[1])

    def _passes(self, sock):
        stream = self.streams[sock]
        way = IN if sock is stream.outside else OUT
        return not self.blocked[self.from_peer.get(stream), way]

    def _from_stream(self, sock, stream):
        if not self.bites:
            return super()._from_stream(sock, stream)
        try:
            data = sock.recv(65536)
        except NOT_NOW:
            return None
        except OSError:
            data = b""
        if len(data) > 1:
            self.bites -= 1
            stream.waiting[stream.other(sock)] += data[:len(data) // 2]
            self._flush(stream.other(sock), stream)
        if sock in self.streams:
            self._end(stream, self.bites % 2 == 0)  # by turns by a reset
        return None

    def _from_outside(self):
        data, sender = self._try(self.datagrams.recvfrom, 2048) or (None, None)
        if not data or self.blocked[self.of_port(sender[1], True), IN]:
            return
        if sender not in self.senders:
            self.senders[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.senders[sender].setblocking(False)
            self.senders[sender].connect(("127.0.0.1", self.to))
        self._try(self.senders[sender].send, data)

    def _from_node(self, sender, sock):
        data = self._try(sock.recv, 2048)
        if data and not self.blocked[self.of_port(sender[1], True), OUT]:
            self._try(self.datagrams.sendto, data, sender)

    def _wait(self):
        ready = super()._wait()
        if self.slow_s:
            time.sleep(self.slow_s)  # all that comes meanwhile has to wait, both ways
        return ready


def inode_of(port):
    """Of the socket of this machine that is connected from this port."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}":
            return fields[9]
    return None


def has_socket(pid, inode):
    try:
        for fd in os.scandir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(fd.path) == f"socket:[{inode}]":
                    return True
            except OSError:  # it was closed meanwhile
                pass
    except OSError:
        pass
    return False


class WiredNodes(Nodes):
    """Nodes that reach each other by Wires."""

    def __init__(self, count, config, **kw):
        self.wired = False
        super().__init__(count, config, proxies=False, **kw)

    def _make(self, i, secret, find=None):
        if not self.wired:
            self.wired = True
            self.proxies = [Wire(port, self.node_of) for port in self.ports]
        broker = super()._make(i, secret, find)
        place = self.folder / f"control-{i}"
        text = broker.file.read_text()
        broker.file.write_text(text + f"control_socket {place}\n")
        broker.control = place
        return broker

    def node_of(self, port, datagram=False):
        """Which node sends from this port, or None."""
        if datagram:
            return self.ports.index(port) if port in self.ports else None
        inode = inode_of(port)
        if inode:
            for i, node in enumerate(self.all):
                if node.process and has_socket(node.process.pid, inode):
                    return i
        return None
