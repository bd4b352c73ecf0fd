"""names.py - a name server for pods: A records, as CoreDNS answers them, and nothing else.

Over UDP, from a function that knows the names. A name that is there has no other records (NOERROR, empty); any other
one does not exist (NXDOMAIN).
"""
import socket
import struct
import threading

QUERY_A, CLASS_IN, TTL_S = 1, 1, 1
AUTHORITATIVE, RECURSION_WANTED, NO_NAME = 0x8400, 0x0100, 3
FIRST_NAME = 0xC00C  # "the name at byte 12", which is the one that was asked for
ANSWERS_MAX = 25     # in the 512 bytes of a datagram


def question_of(query):
    """(the name, its type, the bytes of the question)"""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind, = struct.unpack_from(">H", query, at + 1)
    return ".".join(labels).lower(), kind, query[12:at + 5]


def answer(query, look_up):
    number, flags = struct.unpack_from(">HH", query)
    name, kind, question = question_of(query)
    addresses = look_up(name)
    code = NO_NAME if addresses is None else 0
    shown = (addresses or [])[:ANSWERS_MAX] if kind == QUERY_A else []
    head = struct.pack(">HHHHHH", number, AUTHORITATIVE | flags & RECURSION_WANTED | code, 1, len(shown), 0, 0)
    records = (struct.pack(">HHHIH", FIRST_NAME, QUERY_A, CLASS_IN, TTL_S, 4) + socket.inet_aton(a) for a in shown)
    return head + question + b"".join(records)


class NameServer:
    """look_up(name) -> addresses, or None where there is no such name."""

    def __init__(self, address, look_up):
        self.look_up, self.asked = look_up, 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, whom = self.sock.recvfrom(512)
            self.asked += 1
            try:
                self.sock.sendto(answer(query, self.look_up), whom)
            except (IndexError, struct.error, UnicodeDecodeError, OSError):
                continue  # no question, or nobody there any more
