"""test_time.py - wills of clients whose connection the crash broke, and what expires while the broker is down."""
import time

import mqtt
from checks import check_expiry, check_retained, check_session, check_wills
from scenario_run import collect, crash

V4, V5 = mqtt.V311, mqtt.V5


@crash("workers 2", control=False)
def wills_of_broken_connections_are_published(run):
    watcher = run.client("watcher")
    watcher.sub("will/#", qos=2)
    if run.rng.random() < 0.5:
        watcher.bye()
    wanted, unwanted = [], []
    for qos in (1, 2):
        for version, delay in ((V4, 0), (V5, 0), (V5, 1)):
            topic = f"will/{version}/{qos}/{delay}"
            props = {"will_delay": delay} if delay else {}
            will = mqtt.will_of(topic, b"gone", qos, retain=qos == 1, props=props)
            run.client(topic.replace("/", "-"), version, will=will).sub("anything", qos=1)
            wanted.append(topic)
    leaver = run.client("leaver", will=mqtt.will_of("will/leaver", b"gone", 1))
    leaver.sub("anything", qos=1)
    leaver.bye()
    unwanted.append("will/leaver")
    time.sleep(1)  # nothing acknowledges a DISCONNECT
    run.kill()
    time.sleep(run.rng.uniform(0, 1.5))
    run.restart()
    watcher, present = run.present("watcher")
    run.problems += check_session("watcher", True, present)
    got = collect(watcher, 1.5, enough=lambda got: len(got) >= len(wanted))
    run.problems += check_wills(wanted, unwanted, [p.topic for p in got])
    # A second crash does not publish them again.
    run.kill_and_restart()
    watcher, present = run.present("watcher")
    run.problems += check_wills([], wanted + unwanted, [p.topic for p in collect(watcher, 1.5, 5) if not p.dup])
    reader = run.client("", clean=True, expiry=0)
    reader.sub("will/#", qos=1)
    kept = {t: [(b"gone", True)] for t in wanted if "/1/" in t}
    run.problems += check_retained(kept, {p.topic: p.payload for p in
                                          collect(reader, enough=lambda got: len(got) >= len(kept))})


@crash("workers 2")
def messages_and_sessions_expire_while_the_broker_is_down(run):
    reader = run.client("reader")
    reader.sub("expiry/#", qos=2)
    reader.bye()
    for cid, expiry in (("short", 2), ("long", 60)):
        c = run.client(cid, expiry=expiry)
        c.sub(f"{cid}/#", qos=1)
        c.bye()
    run.client("broken", expiry=2).sub("broken/#", qos=1)  # its connection ends with the broker
    sent, publisher = {}, run.client("source", clean=True)
    for qos in (1, 2):
        for interval in (2, 60, None):
            sent[f"{qos} {interval}"] = interval
            props = {"message_expiry": interval} if interval else None
            publisher.pub("expiry/queue", f"{qos} {interval}", qos, props=props)
    for interval in (2, 60, None):
        props = {"message_expiry": interval} if interval else None
        publisher.pub(f"kept/{interval}", f"kept {interval}", 1, retain=True, props=props)
    publisher.pub("long/1", b"x", 1)
    done = time.monotonic()
    run.kill()
    time.sleep(3.1)
    run.restart()
    waited = time.monotonic() - done
    for cid, promised in (("short", False), ("long", True), ("reader", True)):
        c, present = run.present(cid)
        run.problems += check_session(cid, promised, present)
        got = {p.payload.decode(): p.props.get("message_expiry") for p in
               collect(c, 0.3, enough={"short": None, "long": bool, "reader": lambda got: len(got) >= 4}[cid])}
        run.problems += check_expiry({"short": {}, "long": {"x": None}, "reader": sent}[cid], waited, got)
    kept = run.client("", clean=True, expiry=0)
    kept.sub("kept/#", qos=1)
    run.problems += check_expiry({f"kept {i}": i for i in (2, 60, None)}, waited, {
        p.payload.decode(): p.props.get("message_expiry") for p in collect(kept, 0.3, enough=lambda got: len(got) >= 2)})
    time.sleep(max(0, 4 - (time.monotonic() - done - waited)))
    run.problems += check_session("broken", False, run.present("broken")[1])
