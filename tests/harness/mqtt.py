"""mqtt.py - MQTT 3.1, 3.1.1 and 5.0 on a raw socket: build right and wrong packets, parse strictly.

Builders return bytes and check nothing, so that wrong packets can be made. The parser checks all
that a server must keep to in every packet it sends (reserved bits, reason codes, which property
belongs to which packet, minimal lengths), so each test is also a test of the server's encoder.
"""
import itertools
import socket
import ssl
import struct
import time

import transport
from transport import readable

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, \
    UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(1, 16)
NAMES = ("RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE "
         "UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH").split()
V31, V311, V5 = 3, 4, 5
NEVER = 0xFFFFFFFF

# Property: identifier, encoding, server packets that may carry it.
PROPERTIES = {
    "payload_format": (0x01, "byte", {PUBLISH}),
    "message_expiry": (0x02, "u32", {PUBLISH}),
    "content_type": (0x03, "str", {PUBLISH}),
    "response_topic": (0x08, "str", {PUBLISH}),
    "correlation_data": (0x09, "bin", {PUBLISH}),
    "subscription_id": (0x0B, "varint", {PUBLISH}),
    "session_expiry": (0x11, "u32", {CONNACK}),
    "assigned_client_id": (0x12, "str", {CONNACK}),
    "server_keep_alive": (0x13, "u16", {CONNACK}),
    "auth_method": (0x15, "str", {CONNACK, AUTH}),
    "auth_data": (0x16, "bin", {CONNACK, AUTH}),
    "request_problem_info": (0x17, "byte", set()),
    "will_delay": (0x18, "u32", set()),
    "request_response_info": (0x19, "byte", set()),
    "response_info": (0x1A, "str", {CONNACK}),
    "server_reference": (0x1C, "str", {CONNACK, DISCONNECT}),
    "reason_string": (0x1F, "str", {CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK,
                                    DISCONNECT, AUTH}),
    "receive_maximum": (0x21, "u16", {CONNACK}),
    "topic_alias_maximum": (0x22, "u16", {CONNACK}),
    "topic_alias": (0x23, "u16", {PUBLISH}),
    "maximum_qos": (0x24, "byte", {CONNACK}),
    "retain_available": (0x25, "byte", {CONNACK}),
    "user_property": (0x26, "pair", {CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK,
                                     UNSUBACK, DISCONNECT, AUTH}),
    "maximum_packet_size": (0x27, "u32", {CONNACK}),
    "wildcard_available": (0x28, "byte", {CONNACK}),
    "subscription_id_available": (0x29, "byte", {CONNACK}),
    "shared_available": (0x2A, "byte", {CONNACK}),
}
BY_ID = {v[0]: (k, v[1], v[2]) for k, v in PROPERTIES.items()}
LISTS = ("user_property", "subscription_id")

PUB_ACK = {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS = {  # codes that a server may use, MQTT 5
    CONNACK: {0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95,
              0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: PUB_ACK, PUBREC: PUB_ACK, PUBREL: {0, 0x92}, PUBCOMP: {0, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
                 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
    AUTH: {0, 0x18},
}


class Closed(Exception):
    """The server closed the connection."""


# ---- Building ------------------------------------------------------------------------------------

def varint(n):
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def lp(data):
    """A string or binary field: two bytes of length, then the bytes."""
    data = data.encode() if isinstance(data, str) else bytes(data)
    return struct.pack(">H", len(data)) + data


ENCODE = {"byte": lambda v: bytes([v]), "u16": lambda v: struct.pack(">H", v),
          "u32": lambda v: struct.pack(">I", v), "varint": varint, "str": lp, "bin": lp,
          "pair": lambda v: lp(v[0]) + lp(v[1])}


def props_body(props):
    """props: a dict, or a list of (name, value) where order or repetition counts, or raw bytes."""
    if isinstance(props, bytes):
        return props
    out = b""
    for name, value in (props.items() if isinstance(props, dict) else props or ()):
        ident, kind, _ = PROPERTIES[name]
        for one in (value if name in LISTS and isinstance(value, list) else [value]):
            out += varint(ident) + ENCODE[kind](one)
    return out


def props_field(props):
    body = props_body(props)
    return varint(len(body)) + body


def packet(type_, flags=0, body=b"", length=None):
    return bytes([type_ << 4 | flags]) + varint(len(body) if length is None else length) + body


def will_of(topic, payload=b"", qos=0, retain=False, props=None):
    return dict(topic=topic, payload=payload, qos=qos, retain=retain, props=props)


def connect(client_id="", version=V5, clean=True, keep_alive=60, will=None, user=None, password=None,
            props=None, name=None, level=None, flags=None, tail=b"", header=0):
    bits = (2 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    if will:
        bits |= 4 | will["qos"] << 3 | (0x20 if will["retain"] else 0)
    body = lp(name or ("MQIsdp" if version == V31 else "MQTT"))
    body += bytes([version if level is None else level, bits if flags is None else flags])
    body += struct.pack(">H", keep_alive)
    body += props_field(props) if version == V5 else b""
    body += lp(client_id)
    if will:
        body += props_field(will["props"]) if version == V5 else b""
        body += lp(will["topic"]) + lp(will["payload"])
    body += lp(user) if user is not None else b""
    body += lp(password) if password is not None else b""
    return packet(CONNECT, header, body + tail)


def publish(topic, payload=b"", qos=0, mid=None, retain=False, dup=False, props=None, version=V5):
    payload = payload.encode() if isinstance(payload, str) else payload
    body = lp(topic) + (struct.pack(">H", mid) if qos else b"")
    body += props_field(props) if version == V5 else b""
    return packet(PUBLISH, dup << 3 | qos << 1 | retain, body + payload)


def ack(type_, mid, reason=None, props=None, flags=None):
    body = struct.pack(">H", mid) + (bytes([reason]) if reason is not None else b"")
    body += props_field(props) if props is not None else b""
    return packet(type_, (2 if type_ == PUBREL else 0) if flags is None else flags, body)


def option(qos=0, no_local=False, rap=False, rh=0):
    return qos | no_local << 2 | rap << 3 | rh << 4


def subscribe(mid, filters, version=V5, props=None, flags=2):
    """filters: (filter, options byte) pairs."""
    body = struct.pack(">H", mid) + (props_field(props) if version == V5 else b"")
    return packet(SUBSCRIBE, flags, body + b"".join(lp(f) + bytes([o]) for f, o in filters))


def unsubscribe(mid, filters, version=V5, props=None, flags=2):
    body = struct.pack(">H", mid) + (props_field(props) if version == V5 else b"")
    return packet(UNSUBSCRIBE, flags, body + b"".join(lp(f) for f in filters))


def disconnect(reason=None, props=None, flags=0):
    body = bytes([reason]) if reason is not None else b""
    return packet(DISCONNECT, flags, body + (props_field(props) if props is not None else b""))


def auth(reason=None, props=None, flags=0):
    body = bytes([reason]) if reason is not None else b""
    return packet(AUTH, flags, body + (props_field(props) if props is not None else b""))


PING = packet(PINGREQ)


# ---- Parsing what a server sends --------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), "server packet is cut short: " + self.data.hex()
        self.at += n
        return self.data[self.at - n:self.at]

    def left(self):
        return len(self.data) - self.at

    def byte(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def bin(self):
        return self.take(self.u16())

    def str(self):
        text = self.bin().decode("utf-8", "strict")
        assert "\0" not in text, "server sent U+0000"
        return text

    def pair(self):
        return (self.str(), self.str())

    def varint(self):
        value, at = 0, self.at
        for shift in (0, 7, 14, 21):
            b = self.byte()
            value |= (b & 0x7F) << shift
            if not b & 0x80:
                assert self.data[at:self.at] == varint(value), "server's length is not minimal"
                return value
        raise AssertionError("server's length has more than four bytes")

    def props(self, type_):
        end = self.varint()
        end += self.at
        out = {}
        while self.at < end:
            ident = self.varint()
            assert ident in BY_ID, f"{NAMES[type_]} has unknown property {ident:#x}"
            name, kind, packets = BY_ID[ident]
            assert type_ in packets, f"{NAMES[type_]} must not carry {name}"
            value = getattr(self, kind)()
            if name in LISTS:
                out.setdefault(name, []).append(value)
            else:
                assert name not in out, f"{NAMES[type_]} has {name} twice"
                out[name] = value
        assert self.at == end, "server's properties run over their length"
        return out


class Packet:
    """What the server sent: type, raw, and the fields of that type (mid, topic, qos, reason ...)."""

    def __init__(self, type_, flags, body, raw, version):
        self.type, self.flags, self.raw, self.version = type_, flags, raw, version
        self.props, self.reason, self.mid = {}, 0, None
        r = Reader(body)
        assert type_ in PARSE, f"a server must not send {NAMES[type_]}"
        if type_ != PUBLISH:
            want = 2 if type_ == PUBREL else 0
            assert flags == want, f"{NAMES[type_]} has flags {flags}, must be {want}"
        PARSE[type_](self, r, version == V5)
        assert r.left() == 0, f"{NAMES[type_]} has bytes after its end: {raw.hex()}"
        if version == V5 and type_ in REASONS:
            for code in getattr(self, "reasons", [self.reason]):
                assert code in REASONS[type_], f"{NAMES[type_]} must not use {code:#x}"

    def _connack(self, r, v5):
        bits = r.byte()
        assert bits in (0, 1), "CONNACK flags are reserved"
        self.session_present, self.reason = bool(bits), r.byte()
        assert not (self.session_present and self.reason), "session present in a refusal"
        if not v5:
            assert self.reason <= 5, f"return code {self.reason} is reserved"
        elif r.left():
            self.props = r.props(CONNACK)
        elif self.reason == 0:
            raise AssertionError("CONNACK without a property length")

    def _publish(self, r, v5):
        self.dup, self.qos, self.retain = bool(self.flags & 8), self.flags >> 1 & 3, bool(self.flags & 1)
        assert self.qos != 3, "server sent QoS 3"
        assert self.qos or not self.dup, "server sent DUP at QoS 0"
        self.topic = r.str()
        if self.qos:
            self.mid = r.u16()
            assert self.mid, "server sent packet identifier 0"
        self.props = r.props(PUBLISH) if v5 else {}
        assert self.topic or "topic_alias" in self.props, "server sent an empty topic"
        assert "+" not in self.topic and "#" not in self.topic, "server sent a wildcard topic"
        self.payload = r.take(r.left())

    def _ack(self, r, v5):
        self.mid = r.u16()
        if v5 and r.left():
            self.reason = r.byte()
            self.props = r.props(self.type) if r.left() else {}

    def _suback(self, r, v5):
        self.mid = r.u16()
        self.props = r.props(self.type) if v5 else {}
        self.reasons = list(r.take(r.left()))
        if self.type == SUBACK:
            assert self.reasons, "SUBACK without a code"
            assert v5 or set(self.reasons) <= {0, 1, 2, 0x80}, "SUBACK uses a reserved code"

    def _pingresp(self, r, v5):
        pass

    def _disconnect(self, r, v5):
        assert v5, "a server must not send DISCONNECT before MQTT 5"
        self.reason = r.byte() if r.left() else 0
        self.props = r.props(self.type) if r.left() else {}

    def __repr__(self):
        fields = {k: v for k, v in vars(self).items() if k not in ("type", "raw", "version", "flags")}
        text = " ".join(f"{k}={v!r}"[:90] for k, v in fields.items() if v not in (None, {}))
        return f"<{NAMES[self.type]} {text}>"


PARSE = {CONNACK: Packet._connack, PUBLISH: Packet._publish, PUBACK: Packet._ack, PUBREC: Packet._ack,
         PUBREL: Packet._ack, PUBCOMP: Packet._ack, SUBACK: Packet._suback, UNSUBACK: Packet._suback,
         PINGRESP: Packet._pingresp, DISCONNECT: Packet._disconnect, AUTH: Packet._disconnect}


# ---- A client -----------------------------------------------------------------------------------------

GONE = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)  # the other end is


class Client:
    """One connection. Remembers what it announced and holds the server to it."""

    must_say_why = True  # MQTT 5: DISCONNECT before the server closes

    def __init__(self, address, timeout=30.0, rcvbuf=None, over=None, source=None):
        """over: tcp, tls, ws or wss; default: what TERN_TRANSPORT says. source: the address it comes from."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.timeout = timeout
        self.sock.settimeout(timeout)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = transport.wrap(self.sock, over or transport.chosen())
        self.buf, self.stash, self.version = b"", [], V311
        self.mids = itertools.cycle(range(1, 65536))
        self.max_packet, self.max_alias, self.problem_info = None, 0, True
        self.connack = self.goodbye = None
        self.eof = self.reset = False
        self.aliases = {}
        self.client_id = None

    # -- sending --

    def send(self, *packets):
        try:
            self.sock.sendall(b"".join(packets))
        except GONE:
            self.reset = True  # what the server said before is still to be read
        return self

    def hello(self, client_id="", version=V5, props=None, **kw):
        """Sends CONNECT, waits for nothing."""
        self.version, self.client_id = version, client_id
        if isinstance(props, dict):
            self.max_packet = props.get("maximum_packet_size")
            self.max_alias = props.get("topic_alias_maximum", 0)
            self.problem_info = bool(props.get("request_problem_info", 1))
        return self.send(connect(client_id, version, props=props, **kw))

    def open(self, client_id="", version=V5, **kw):
        """CONNECT, and a CONNACK that accepts."""
        self.hello(client_id, version, **kw)
        self.expect(CONNACK, reason=0)
        return self

    # -- receiving --

    def _packet(self):
        """The first complete packet of the buffer, or None."""
        size, shift = 0, 0
        for i in range(1, min(5, len(self.buf))):
            size |= (self.buf[i] & 0x7F) << shift
            shift += 7
            if not self.buf[i] & 0x80:
                end = i + 1 + size
                if len(self.buf) < end:
                    return None
                raw, self.buf = self.buf[:end], self.buf[end:]
                return self._checked(raw, raw[i + 1:])
        return None

    def _checked(self, raw, body):
        got = Packet(raw[0] >> 4, raw[0] & 15, body, raw, self.version)
        assert not self.goodbye, f"{got} after {self.goodbye}"
        if self.connack is None:
            assert got.type in (CONNACK, AUTH), f"{got} before CONNACK"
        else:
            assert got.type != CONNACK, "second CONNACK"
        if self.max_packet:
            assert len(raw) <= self.max_packet, f"{len(raw)} bytes, maximum is {self.max_packet}"
        if not self.problem_info and got.type not in (PUBLISH, CONNACK, DISCONNECT):
            assert not {"reason_string", "user_property"} & set(got.props), f"unasked: {got}"
        if got.type == PUBLISH:
            alias = got.props.get("topic_alias")
            if alias is not None:
                assert 0 < alias <= self.max_alias, f"alias {alias}, maximum {self.max_alias}"
                if got.topic:
                    self.aliases[alias] = got.topic
                assert alias in self.aliases, f"alias {alias} was never set"
            got.full_topic = got.topic or self.aliases[alias]
        if got.type == CONNACK:
            self.connack = got
            self.client_id = got.props.get("assigned_client_id", self.client_id)
        if got.type == DISCONNECT or got.type == CONNACK and got.reason:
            self.goodbye = got
        return got

    def _read(self, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            got = self._packet()
            if got:
                return got
            if self.eof:
                raise Closed("closed" + (" by reset" if self.reset else ""))
            left = deadline - time.monotonic()
            if left <= 0 or not readable(self.sock, left):
                raise TimeoutError("nothing came")
            try:
                data = self.sock.recv(65536)
            except GONE:
                data, self.reset = b"", True
            self.eof = not data
            self.buf += data

    def recv(self, timeout=None):
        return self.stash.pop(0) if self.stash else self._read(timeout)

    def recv_type(self, type_, timeout=None):
        """The next packet of a type; others wait their turn."""
        for i, got in enumerate(self.stash):
            if got.type == type_:
                return self.stash.pop(i)
        while True:
            got = self._read(timeout)
            if got.type == type_:
                return got
            self.stash.append(got)

    @staticmethod
    def check(got, want):
        for key, value in want.items():
            have = getattr(got, key)
            good = have in value if isinstance(value, set) else have == value
            assert good, f"{key} is {have!r}, wanted {value!r}, in {got}"
        return got

    def expect(self, type_, timeout=None, **want):
        try:
            got = self.recv(timeout)
        except (TimeoutError, Closed) as e:
            raise AssertionError(f"wanted {NAMES[type_]} {want or ''}, but {e}") from None
        assert got.type == type_, f"wanted {NAMES[type_]} {want or ''}, got {got}"
        return self.check(got, want)

    def expect_nothing(self, seconds=0.15):
        try:
            got = self.recv(seconds)
        except TimeoutError:
            return
        except Closed as e:
            raise AssertionError(f"wanted silence, but {e}") from None
        raise AssertionError(f"wanted silence, got {got}")

    def expect_closed(self, *reasons, timeout=None, silent=False):
        """The server closes. MQTT 5: after saying why, with one of reasons when any are named.
        silent: no goodbye is asked for. Other packets before it are skipped."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.stash.clear()
        while True:
            try:
                self._read(max(0.0, deadline - time.monotonic()))
            except Closed:
                break
            except TimeoutError:
                raise AssertionError(f"not closed; goodbye: {self.goodbye}") from None
        if self.version == V5 and self.must_say_why and not silent:
            assert self.goodbye, "closed without a reason" + (" (reset)" if self.reset else "")
        if reasons and self.goodbye:
            assert self.goodbye.reason in reasons, \
                f"{self.goodbye}, wanted " + " or ".join(f"{r:#x}" for r in reasons)
        return self.goodbye

    def raw_until_closed(self):
        """All bytes until the close, unparsed: for answers whose version is not agreed."""
        data = self.buf
        try:
            while more := self.sock.recv(65536):
                data += more
        except GONE:
            pass
        return data

    # -- whole exchanges --

    def ping(self, timeout=None):
        self.send(PING)
        return self.recv_type(PINGRESP, timeout)

    def sub(self, *filters, qos=0, want=None, mid=None, props=None, sid=None, **options):
        """SUBSCRIBE and its SUBACK. filters: text, or (text, options byte)."""
        mid = mid or next(self.mids)
        pairs = [f if isinstance(f, tuple) else (f, option(qos, **options)) for f in filters]
        props = {**(props or {}), **({"subscription_id": sid} if sid else {})}
        self.send(subscribe(mid, pairs, self.version, props))
        got = self.check(self.recv_type(SUBACK), dict(mid=mid))
        codes = want if want is not None else [o & 3 for _, o in pairs]
        assert got.reasons == codes, f"SUBACK codes {got.reasons}, wanted {codes}"
        return got

    def unsub(self, *filters, mid=None, want=None):
        mid = mid or next(self.mids)
        self.send(unsubscribe(mid, filters, self.version))
        got = self.check(self.recv_type(UNSUBACK), dict(mid=mid))
        codes = ([0] * len(filters) if want is None else want) if self.version == V5 else []
        assert got.reasons == codes, f"UNSUBACK codes {got.reasons}, wanted {codes}"
        return got

    def pub(self, topic, payload=b"", qos=0, mid=None, want=None, **kw):
        """PUBLISH and its whole acknowledgement. want: the acknowledgement's reason code."""
        mid = (mid or next(self.mids)) if qos else None
        self.send(publish(topic, payload, qos, mid, version=self.version, **kw))
        got = None
        if qos:
            got = self.check(self.recv_type(PUBACK if qos == 1 else PUBREC), dict(mid=mid))
            assert got.reason == want if want is not None else got.reason < 0x80, got
        if qos == 2 and got.reason < 0x80:
            self.send(ack(PUBREL, mid))
            self.check(self.recv_type(PUBCOMP), dict(mid=mid, reason=0))
        return got

    def answer(self, got, reason=None):
        """Acknowledges a PUBLISH of the server, to the end of its flow."""
        if got.qos == 1:
            self.send(ack(PUBACK, got.mid, reason))
        elif got.qos == 2:
            self.send(ack(PUBREC, got.mid, reason))
            if not reason or reason < 0x80:
                self.check(self.recv_type(PUBREL), dict(mid=got.mid, reason=0))
                self.send(ack(PUBCOMP, got.mid))
        return got

    def msg(self, payload=None, timeout=None, reply=True, **want):
        """The next PUBLISH, acknowledged unless reply is False."""
        if payload is not None:
            want["payload"] = payload.encode() if isinstance(payload, str) else payload
        got = self.expect(PUBLISH, timeout, **want)
        return self.answer(got) if reply else got

    def msgs(self, n, **kw):
        return [self.msg(**kw) for _ in range(n)]

    # -- ends --

    def bye(self, reason=None, props=None):
        """A clean DISCONNECT; waits until the server has closed, so that it has been seen."""
        self.send(disconnect(reason, props))
        self.stash.clear()
        try:
            while True:
                self._read()
        except Closed:
            pass
        self.sock.close()

    def drop(self):
        """The network fails: a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()
