"""test_bytes.py - the cases of cases.tsv that are a string of bytes and a close."""
import collections
import pathlib

import mqtt
from case import case

Row = collections.namedtuple("Row", "id kind how hex wanted codes input")
LINES = (pathlib.Path(__file__).parent / "cases.tsv").read_text().splitlines()
ROWS = [Row(*line.split("\t")) for line in LINES[1:]]


def first(t, data, codes):
    """The first bytes of a connection. A CONNACK where one fits the version, then the close."""
    v5 = b"MQTT\x05" in data
    answer = t.raw().send(data).raw_until_closed()
    if not answer:
        assert not (v5 and mqtt.Client.must_say_why), "MQTT 5 is closed without a CONNACK"
        return
    assert answer[0] == 0x20 and answer[2] == 0, f"answer {answer.hex()}"
    assert answer[3] in codes if codes else v5 and answer[3] >= 0x80, f"answer {answer.hex()}"


def after_connect(t, data, codes):
    c = t.client().send(data)
    got = c.expect_closed(*codes)
    assert c.version == 5 or got is None


def no_grant(t, data, _):
    c = t.client().send(data)
    try:
        got = c.recv()
    except mqtt.Closed:
        assert c.version == 4 or not c.must_say_why
        return
    if got.type == mqtt.DISCONNECT:
        assert got.reason in (0x81, 0x82, 0x8F), got
    else:
        assert got.type == mqtt.SUBACK and all(r >= 0x80 for r in got.reasons), got


def make(row):
    data = bytes.fromhex(row.hex)
    codes = [] if row.codes == "-" else [int(c, 16) for c in row.codes.split("/")]
    check = no_grant if row.wanted == "no-grant" else first if row.how == "first" else after_connect
    version = 5 if row.how == "v5" else 4

    @case(row.id, versions=(version,))
    def run(t):
        check(t, data, codes)


for one in ROWS:
    if one.how != "special":
        make(one)
