"""Three nodes: what a client is promised holds wherever the others are. Nodes that are killed, stand still, come back."""
import threading
import time

import mqtt
import scenario as s
from broker import Broker, free_port
from mqtt import PUBACK, PUBCOMP, V5, V311
from nodes import Nodes

nodes = Nodes(3)


def drain(client, seconds=0.3, least=0):
    """What comes until nothing has come for a while; so many messages at least, unless that takes too long."""
    got, end = [], time.monotonic() + 30
    while True:
        try:
            packet = client.recv(seconds)
            answer(client, packet)
            got += [packet] if packet.type == mqtt.PUBLISH else []
        except TimeoutError:
            if len(got) >= least or time.monotonic() > end:
                return got


def drain_all(clients, least):
    """What comes to each of them: so many messages in all at least, unless that takes too long."""
    got, end = [[] for _ in clients], time.monotonic() + 30
    while sum(map(len, got)) < least and time.monotonic() < end:
        for packets, c in zip(got, clients):
            packets += drain(c, 0.02)
    for packets, c in zip(got, clients):
        packets += drain(c)
    return got


def answer(client, packet):
    if packet.type == mqtt.PUBLISH and packet.qos == 1:
        client.send(mqtt.ack(PUBACK, packet.mid))
    elif packet.type == mqtt.PUBLISH and packet.qos == 2:
        client.send(mqtt.ack(mqtt.PUBREC, packet.mid))
    elif packet.type == mqtt.PUBREL:
        client.send(mqtt.ack(PUBCOMP, packet.mid))


@s.scenario
def whoever_has_its_suback_hears_all_nodes():
    publishers = [nodes.client(i, f"p{i}") for i in range(3)]
    for n in range(30):
        sub = nodes.client(n % 3, f"s{n}", V311 if n % 2 else V5)
        sub.sub(f"now/{n}/+", qos=1)
        for i, p in enumerate(publishers):
            p.pub(f"now/{n}/{i}", b"x", 1)
        assert {sub.msg(b"x").topic for _ in publishers} == {f"now/{n}/{i}" for i in range(3)}
        assert not drain(sub, 0.02), "once from each"
        sub.close()


@s.scenario
def each_qos_keeps_its_promise_and_its_order():
    subs = [nodes.client(i, f"all-{i}") for i in range(3)]
    for sub in subs:
        sub.sub("flow/#", qos=2)

    def publish(i, qos):
        c = nodes.client(i, f"flow-{i}-{qos}")
        for n in range(150):
            c.pub(f"flow/{i}/{qos}", b"%d" % n, qos)
        c.close()

    threads = [threading.Thread(target=publish, args=(i, qos)) for i in range(3) for qos in (0, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sub in subs:
        seen = {}
        for packet in drain(sub, 1, 9 * 150):
            seen.setdefault(packet.topic, []).append(int(packet.payload))
        assert len(seen) == 9, seen.keys()
        for topic, numbers in seen.items():
            assert numbers == list(range(150)), (topic, len(numbers), numbers[:20])
        sub.close()


@s.scenario
def questions_are_answered_across_nodes():
    server = nodes.client(2, "server")
    server.sub("question", qos=1)
    asker = nodes.client(0, "asker")
    for n in range(50):
        asker.sub(f"answer/{n}", qos=1)
        asker.pub("question", b"%d" % n, 1, props={"response_topic": f"answer/{n}", "correlation_data": b"c"})
        got = server.msg(b"%d" % n)
        server.pub(got.props["response_topic"], b"a%d" % n, 1, props={"correlation_data": got.props["correlation_data"]})
        assert asker.msg(b"a%d" % n).props["correlation_data"] == b"c"


@s.scenario
def real_clients_do_not_notice():
    sub = s.mosquitto_sub(nodes[0], "-t", "real/#", "-q", "1", "-v")
    for i in range(3):
        s.mosquitto_pub(nodes[i], "-t", f"real/{i}", "-m", "x", "-q", "2")
    assert sorted(s.messages(sub, 3)) == [f"real/{i} x" for i in range(3)]


@s.scenario
def what_is_retained_is_retained_everywhere():
    publishers = [nodes.client(i, f"keeper-{i}") for i in range(3)]
    for i, p in enumerate(publishers):
        p.pub(f"kept/{i}", b"v%d" % i, i % 3, retain=True, props={"content_type": "text"})
    publishers[0].pub("kept/2", b"newer", 1, retain=True)
    publishers[1].pub("kept/gone", b"x", 1, retain=True)
    time.sleep(0.5)
    publishers[2].pub("kept/gone", b"", 1, retain=True)
    for i in range(3):
        def kept():
            c = nodes.client(i, f"late-{i}")
            c.sub("kept/#", qos=1)
            got = {p.topic: p for p in drain(c)}
            wanted = {"kept/0": b"v0", "kept/1": b"v1", "kept/2": b"newer"}
            return got if {t: p.payload for t, p in got.items()} == wanted else None
        got = s.until(kept, f"node {i} has others")
        assert all(p.retain for p in got.values()) and got["kept/0"].props["content_type"] == "text"


@s.scenario
def a_share_group_has_members_on_all_nodes():
    members = [nodes.client(i % 3, f"member-{i}") for i in range(6)]
    for m in members:
        m.sub("$share/g/jobs/#", qos=1)
    plain = nodes.client(1, "plain")
    plain.sub("jobs/#", qos=1)
    for i in range(3):
        c = nodes.client(i, f"boss-{i}")
        for n in range(60):
            c.pub(f"jobs/{i}", b"%d" % n, 1)
    assert len(drain(plain, least=180)) == 180
    got = drain_all(members, 180)
    every = sorted((p.topic, int(p.payload)) for packets in got for p in packets)
    assert every == [(f"jobs/{i}", n) for i in range(3) for n in range(60)], len(every)
    assert all(sum(len(got[m]) for m in (i, i + 3)) > 10 for i in range(3)), [len(g) for g in got]


@s.scenario
def each_member_of_a_group_gets_its_share_wherever_it_is():
    members = {f"even-{i}-{n}": nodes.client(i, f"even-{i}-{n}") for i, count in enumerate((1, 2, 5)) for n in range(count)}
    for m in members.values():
        m.sub("$share/even/even/#", qos=1)
    total = 2400
    for i in range(3):
        c = nodes.client(i, f"even-boss-{i}")
        for n in range(total // 3):
            c.pub(f"even/{i}", b"%d" % n, 1)
    got = dict(zip(members, map(len, drain_all(members.values(), total))))
    assert sum(got.values()) == total, got
    fair = total / len(members)
    assert all(0.7 * fair < n < 1.3 * fair for n in got.values()), got
    print(got, flush=True)
    for m in members.values():
        m.close()


@s.scenario
def a_client_has_one_connection_in_all():
    first = nodes.client(0, "only")
    second = nodes.client(1, "only")
    first.expect(mqtt.DISCONNECT, reason=0x8E)
    second.ping()
    third = nodes.client(2, "only", V311)
    second.expect(mqtt.DISCONNECT, reason=0x8E)
    third.ping()


@s.scenario
def a_session_is_found_from_every_node():
    for version, props in ((V5, {"session_expiry": 3600}), (V311, None)):
        name = f"roams-{version}"
        first = nodes.client(0, name, version, clean=False, props=props)
        assert not first.connack.session_present
        first.sub(f"roam/{version}/#", qos=2)
        first.bye()
        pub = nodes.client(1, f"p-{name}")
        for n in range(30):
            pub.pub(f"roam/{version}/x", b"%d" % n, n % 3 if n % 3 else 1)
        for i in (2, 1, 0, 2):
            c = nodes.client(i, name, version, clean=False, props=props)
            assert c.connack.session_present, f"from node {i}"
            if i == 2:
                want = [b"%d" % n for n in range(30)]
                assert [p.payload for p in drain(c, least=30)] == want
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)
                assert [p.payload for p in drain(c, least=30)] == want
                c.sub("more/#", qos=1)
                c.pub("more/it", b"own", 2)
                c.msg(b"own", topic="more/it")
                pub.pub("more/big", bytes(1_500_000), 1)
                c.msg(bytes(1_500_000))
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)
                drain(c, least=30)
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)
                c.drop()
                c = nodes.client(1, name, version, clean=False, props=props)
                assert {p.payload for p in drain(c, 1, least=29)} >= set(want) - {b"0"}
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)
                drain(c, least=30)
                c.bye()
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)
            else:
                c.ping()
                drain(c, least=30)
                c.bye()
                for n in range(30):
                    pub.pub(f"roam/{version}/x", b"%d" % n, 1)


@s.scenario
def one_connection_of_a_session_wherever_it_comes():
    first = nodes.client(0, "taken", clean=False, props={"session_expiry": 600})
    second = nodes.client(1, "taken", clean=False, props={"session_expiry": 600})
    first.expect(mqtt.DISCONNECT, reason=0x8E)
    third = nodes.client(2, "taken", clean=False, props={"session_expiry": 600})
    second.expect(mqtt.DISCONNECT, reason=0x8E)
    third.sub("t", qos=1)
    third.bye()
    fresh = nodes.client(1, "taken", clean=True, props={"session_expiry": 600})
    assert not fresh.connack.session_present
    time.sleep(0.3)
    again = nodes.client(2, "taken", clean=False, props={"session_expiry": 600})
    fresh.expect(mqtt.DISCONNECT, reason=0x8E)
    assert again.connack.session_present
    nodes.client(0, "any").pub("t", b"x", 1)
    assert not drain(again), "the subscription went with the session"


def refused_s(i, name):
    """How long it takes until who goes on with a session that cannot be reached is told so."""
    start = time.monotonic()
    c = mqtt.Client(nodes[i].address).hello(name, clean=False, props={"session_expiry": 600})
    c.expect(mqtt.CONNACK, reason=0x88)
    return time.monotonic() - start


@s.scenario
def a_session_whose_node_is_away_is_not_lost_in_silence():
    c = nodes.client(0, "homeless", clean=False, props={"session_expiry": 600})
    c.sub("home/#", qos=1)
    c.bye()
    nodes.client(1, "any").ping()
    nodes.kill(0)
    try:
        assert 3 < refused_s(1, "homeless") < 20
        nodes.client(1, "pub").pub("home/x", b"while away", 1)
        nodes[1].wait_log("Node n0 .* is dead")
        time.sleep(5.5)
        assert refused_s(1, "homeless") < 3, "nobody waits for one that has been away for as long already"
    finally:
        nodes[0].start()
    nodes.wait_linked()
    nodes.kill(0)
    try:
        waits = mqtt.Client(nodes[2].address).hello("homeless", clean=False, props={"session_expiry": 600})
        time.sleep(0.3)  # of the five seconds for which it waits
    finally:
        nodes[0].start()
    waits.expect(mqtt.CONNACK, reason=0, session_present=True)
    waits.msg(b"while away")
    nodes.wait_linked()


@s.scenario
def clients_cannot_speak_as_nodes():
    c = nodes.client(0, "curious")
    c.sub("$TERNMQ/#", want=[0x8F])
    assert c.pub("$TERNMQ/routes", b"x" * 40, 1, want=0x87)
    c = mqtt.Client(nodes[0].address).hello("$TERNMQ/from/" + "0" * 32)
    c.expect(mqtt.CONNACK, reason=0x85)


def publish_until(stop, i, topic, sent):
    """QoS 1 and 2 by turns; sent: what was acknowledged."""
    c = nodes.client(i, f"until-{topic}")
    n = 0
    while not stop.is_set():
        c.pub(topic, b"%d" % n, 1 + n % 2)
        sent.append(n)
        n += 1


@s.scenario
def what_was_acknowledged_comes_though_its_node_is_killed():
    durable = nodes.client(1, "durable", clean=True, props={"session_expiry": 3600})
    durable.sub("safe/#", qos=2)
    sent, stop = {0: [], 2: []}, threading.Event()
    threads = [threading.Thread(target=publish_until, args=(stop, i, f"safe/{i}", sent[i])) for i in sent]
    for thread in threads:
        thread.start()
    got = []
    for _ in range(3):
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            try:
                packet = durable.recv(0.1)
                got += [packet] if packet.type == mqtt.PUBLISH else []
                answer(durable, packet)
            except TimeoutError:
                pass
        nodes.kill(1)
        durable.close()
        time.sleep(0.3)
        nodes[1].start()
        durable = nodes.client(1, "durable", clean=False, props={"session_expiry": 3600})
        assert durable.connack.session_present
    stop.set()
    for thread in threads:
        thread.join()
    got += drain(durable, 3)
    for i in sent:
        numbers = [int(p.payload) for p in got if p.topic == f"safe/{i}"]
        assert len(sent[i]) > 50
        missing = set(sent[i]) - set(numbers)
        assert not missing, f"{len(missing)} of {len(sent[i])} from node {i}: {sorted(missing)[:10]}"
        twice = [n for n in numbers if n % 2 and numbers.count(n) > 1]  # QoS 2, but for what was on its way to the client
        fresh = [p for p in got if p.topic == f"safe/{i}" and not p.dup]
        firsts = [int(p.payload) for p in fresh if int(p.payload) % 2]
        assert len(firsts) == len(set(firsts)), twice[:10]
    nodes.wait_linked()


@s.scenario
def a_message_that_nobody_wants_any_more_breaks_no_link():
    for n in range(20):
        sub = nodes.client(1, f"short-{n}")
        sub.sub("short/#", qos=1)
        pub = nodes.client(0, f"late-{n}")
        pub.send(*[mqtt.publish("short/x", b"x", 1 + i % 2, i + 1) for i in range(20)])
        sub.drop()
    assert "protocol error" not in nodes[0].log() + nodes[1].log()
    nodes.wait_linked()


@s.scenario
def a_node_that_stands_still_slows_nobody_else():
    away = nodes.client(2, "away", clean=True, props={"session_expiry": 3600})
    away.sub("still/#", qos=1)
    here = nodes.client(1, "here")
    here.sub("still/#", qos=1)
    pub = nodes.client(0, "steady")
    nodes.pause(2)
    try:
        start = time.monotonic()
        for n in range(200):
            pub.pub("still/x", b"%d" % n, 1)
            here.msg(b"%d" % n)
        assert time.monotonic() - start < 20
    finally:
        nodes.go_on(2)
    assert [int(p.payload) for p in drain(away, 3, 200)] == list(range(200))
    nodes.wait_linked()


@s.scenario
def whoever_has_another_secret_stays_outside():
    with Nodes(2) as two:
        stranger = Broker("cluster_name test\nnode_name stranger\n"
                          f"cluster_secret_file {two.folder}/other\ncluster_bind 127.0.0.1:{free_port()}\n"
                          f"cluster_seeds 127.0.0.1:{two.ports[0]}")
        other = two.folder / "other"
        other.write_text("another secret than theirs\n")
        other.chmod(0o644)
        with stranger:
            sub = mqtt.Client(stranger.address).open("outside")
            sub.sub("#")
            two.client(0, "inside").pub("secret", b"x", 1)
            time.sleep(1)
            assert not drain(sub, 0.2)
            assert "is alive" not in stranger.log() and "stranger" not in two[0].log()


with nodes:
    s.main()
