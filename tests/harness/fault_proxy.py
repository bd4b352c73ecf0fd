"""fault_proxy.py - stands before a node's cluster port, TCP and UDP, and lets through what it is told to.

A node advertises the proxy's port and binds its own. What is cut off is held back where it is a stream (TCP would
send it again) and lost where it is a datagram. With a proxy before each of two nodes the network between them can be
cut, both ways or one way.
"""
import select
import socket
import threading

BUFFER_MAX = 1 << 20
DATAGRAM_MAX = 2048
NOT_NOW = (BlockingIOError, InterruptedError)


class Stream:
    """Two ends of a connection; what each has still to be given."""

    def __init__(self, outside, inside):
        self.outside, self.inside = outside, inside
        self.waiting = {outside: bytearray(), inside: bytearray()}
        for sock in self.waiting:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def other(self, sock):
        return self.inside if sock is self.outside else self.outside

    def close(self, reset=False):
        for sock in self.waiting:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()


class FaultProxy:
    """to: the port of the node, on 127.0.0.1. inwards, outwards: whether what goes to it, and comes from it, passes.
    on_datagram: is called with each datagram that goes to it."""

    def __init__(self, to):
        self.to, self.on_datagram = to, lambda data: None
        self.inwards = self.outwards = True
        self.server, self.datagrams = self._bind()
        self.port = self.server.getsockname()[1]
        self.streams, self.senders = {}, {}  # socket -> its Stream; address -> the socket that stands for it
        self.lock = threading.RLock()
        self.waker, self.wake = socket.socketpair()
        self.waker.setblocking(False)
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _bind():
        while True:  # until both are free
            server = socket.create_server(("127.0.0.1", 0), backlog=64)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                datagrams.bind(server.getsockname())
                server.setblocking(False)
                datagrams.setblocking(False)
                return server, datagrams
            except OSError:
                server.close()
                datagrams.close()

    # -- what a test calls --

    def cut(self, inwards=True, outwards=True):
        """What goes to the node, or comes from it, or both, is cut off."""
        with self.lock:
            self.inwards, self.outwards = not inwards, not outwards
        self.wake.send(b"x")

    def heal(self, reset=False):
        """Everything passes again. reset: but connections do not outlive the cut."""
        if reset:
            self.reset()
        with self.lock:
            self.inwards = self.outwards = True
        self.wake.send(b"x")

    def reset(self):
        """Connections end, and whatever is cut off stays so."""
        with self.lock:
            for stream in set(self.streams.values()):
                self._end(stream, True)
        self.wake.send(b"x")

    def close(self):
        self.ending = True
        self.wake.send(b"x")
        self.thread.join()
        for sock in (self.server, self.datagrams, self.waker, self.wake, *self.streams, *self.senders.values()):
            sock.close()

    # -- the thread --

    def _passes(self, sock):
        """Whether what is read from this socket goes on."""
        return self.inwards if sock is self.streams[sock].outside else self.outwards

    def _end(self, stream, reset=False):
        for sock in stream.waiting:
            self.streams.pop(sock, None)
        stream.close(reset)

    def _accept(self):
        outside, _ = self._try(self.server.accept) or (None, None)
        if not outside:
            return
        inside = socket.socket()
        try:
            inside.connect(("127.0.0.1", self.to))
        except OSError:  # the node is not there: as it would be without us
            outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            outside.close()
            inside.close()
            return
        stream = Stream(outside, inside)
        self.streams[outside] = self.streams[inside] = stream

    def _from_stream(self, sock, stream):
        other = stream.other(sock)
        try:
            data = sock.recv(65536)
        except NOT_NOW:
            return
        except OSError:
            data = b""
        if not data:
            self._flush(other, stream)
            self._end(stream)
            return
        stream.waiting[other] += data
        self._flush(other, stream)

    def _flush(self, sock, stream):
        waiting = stream.waiting[sock]
        try:
            while waiting:
                del waiting[:sock.send(waiting)]
        except NOT_NOW:
            pass
        except OSError:
            self._end(stream)

    def _from_outside(self):
        data, sender = self._try(self.datagrams.recvfrom, DATAGRAM_MAX) or (None, None)
        if not data or not self.inwards:
            return
        if sender not in self.senders:
            self.senders[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.senders[sender].setblocking(False)  # send() may take the error for which poll() reported it
            self.senders[sender].connect(("127.0.0.1", self.to))
        self.on_datagram(data)
        self._try(self.senders[sender].send, data)

    def _from_node(self, sender, sock):
        data = self._try(sock.recv, DATAGRAM_MAX)
        if data and self.outwards:
            self._try(self.datagrams.sendto, data, sender)

    @staticmethod
    def _try(call, *args):
        try:
            return call(*args)
        except OSError:  # nobody is there
            return None

    def _wait(self):
        poll = select.poll()
        with self.lock:
            by_fd = {sock.fileno(): sock for sock in (self.server, self.datagrams, self.waker)}
            by_fd.update((sock.fileno(), sock) for sock in self.senders.values())
            for fd in by_fd:
                # A connection that cannot be served has to wait, as a SYN that is lost.
                if fd != self.server.fileno() or (self.inwards and self.outwards):
                    poll.register(fd, select.POLLIN)
            for sock, stream in self.streams.items():
                by_fd[sock.fileno()] = sock
                full = len(stream.waiting[stream.other(sock)]) >= BUFFER_MAX
                reads = select.POLLIN if self._passes(sock) and not full else 0
                writes = select.POLLOUT if stream.waiting[sock] else 0
                if reads or writes:  # else its end would be told again and again
                    poll.register(sock, reads | writes)
        return [(by_fd[fd], events) for fd, events in poll.poll(1000)]

    def _serve(self, sock, events):
        if sock is self.waker:
            sock.recv(64)
        elif sock is self.server:
            self._accept()
        elif sock is self.datagrams:
            self._from_outside()
        elif sock in self.streams:
            stream = self.streams[sock]
            if events & select.POLLOUT:
                self._flush(sock, stream)
            if sock in self.streams and events & ~select.POLLOUT and self._passes(sock):
                self._from_stream(sock, stream)
        else:
            for sender, at in list(self.senders.items()):
                if at is sock:
                    self._from_node(sender, sock)

    def _run(self):
        while not self.ending:
            ready = self._wait()
            with self.lock:
                for sock, events in ready:
                    if sock.fileno() >= 0:
                        self._serve(sock, events)
