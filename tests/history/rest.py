"""rest.py - what the nodes say of themselves, when nothing happens any more."""
import json
import socket
import time

import mqtt

AGREE_S = 20
PAGE = 1000


def ask(place, op, **fields):
    """One question by a node's control socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(place))
        sock.sendall(json.dumps({"v": 1, "op": op, **fields}).encode() + b"\n")
        data = b""
        while not data.endswith(b"\n"):
            more = sock.recv(1 << 16)
            assert more, f"{op}: the node closed"
            data += more
    answer = json.loads(data)
    assert answer["ok"], answer
    return answer


def rows(place, prefix):
    """All sessions of this round's clients, with and without a connection."""
    cursor = {}
    while cursor is not None:
        answer = ask(place, "clients", text=f"{prefix}-", away=True, limit=PAGE, **cursor)
        yield from answer["clients"]
        cursor = {"cursor": answer["cursor"]} if "cursor" in answer else None


def retained(nodes, i):
    """Of all rounds: topic -> payload."""
    c = nodes.client(i, f"reader-{time.monotonic_ns()}")
    c.sub("+/kept/#", qos=1)
    got = {}
    try:
        while True:
            packet = c.recv(0.3)
            got[packet.topic] = packet.payload.decode()
            if packet.qos:
                c.send(mqtt.ack(mqtt.PUBACK, packet.mid))
    except TimeoutError:
        c.close()
        return got


def figures(nodes):
    names = ("routes/divergence", "messages/waiting", "retained/forgotten", "routes/refused", "sessions/doubled")
    all_ = [ask(node.control, "status")["figures"] for node in nodes.all]
    return [{name: figures_["cluster/" + name] for name in names} for figures_ in all_]


def routes(nodes):
    """Of each node: how many it has itself, and how many of each other one's are in force there."""
    out = []
    for node in nodes.all:
        answer = ask(node.control, "cluster")
        theirs = [None] * len(nodes.all)
        for other in answer["nodes"]:
            if not other["self"] and other["link"]:
                theirs[int(other["name"][1:])] = other["routes"]
        out.append({"ours": answer["routes"], "theirs": theirs})
    return out


def links(nodes):
    """Figures and routes. The readers of what is retained have just come and gone, of which nodes tell each other."""
    end = time.monotonic() + 3
    while True:
        said = {"figures": figures(nodes), "routes": routes(nodes)}
        if linked(said) or time.monotonic() > end:
            return said
        time.sleep(0.2)


def linked(said):
    """Nothing waits between nodes, and each has the routes of the others."""
    sides = said["routes"]
    return not any(f["messages/waiting"] for f in said["figures"]) and all(
        sides[i]["theirs"][j] == sides[j]["ours"] for i in range(len(sides)) for j in range(len(sides)) if i != j)


def snapshot(nodes, prefix):
    sessions = [list(rows(node.control, prefix)) for node in nodes.all]
    return {
        "live": [sorted(row["id"] for row in side if row["connected"]) for side in sessions],
        "sessions": [sorted(row["id"] for row in side) for side in sessions],
        "retained": [retained(nodes, i) for i in range(len(nodes.all))],
        **links(nodes),
    }


def agrees(snap):
    """Whether there is nothing to wait for. What was counted in the past does not change by waiting."""
    names = sum(snap["sessions"], [])
    return all(side == snap["retained"][0] for side in snap["retained"]) and len(names) == len(set(names)) and \
        linked(snap)


def settle(nodes, prefix, serve):
    """What all nodes say, as soon as they agree, or after a while. serve: lets the clients live meanwhile."""
    end = time.monotonic() + AGREE_S
    while True:
        snap = snapshot(nodes, prefix)
        if agrees(snap) or time.monotonic() > end:
            return snap
        serve(0.5)
