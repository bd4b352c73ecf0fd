"""test_retained.py - retained messages are as acknowledged."""
import mqtt
from checks import Message, check_retained
from load import Publisher
from scenario_run import collect, crash

TOPICS, WRITERS = 200, 4


class Writer(Publisher):
    """Rewrites and clears its own topics, so that each topic has one order of values."""

    def __init__(self, loop, n, version):
        topics = [f"retained/{i}" for i in range(n, TOPICS, WRITERS)]
        super().__init__(loop, f"writer-{n}", version, 1, topics, window=(1, 5, 20, 20)[n])
        self.retain, self.needs_subscribers = True, False

    def next_message(self):
        number, topic = len(self.mine), self.rng.choice(self.topics)
        clear = self.rng.random() < 0.3
        value = b"" if clear else b"%d " % number + b"v" * self.rng.randrange(100)
        return Message((self.cid, number), topic, 1, value, sends=0)


def writes_of(writers):
    writes = {}
    for w in writers:
        for m in w.mine:
            writes.setdefault(m.topic, []).append((m.payload or None, m.acked is not None))
    return writes


def certain(writes):
    """How many of these topics have a message, whatever became of what was not acknowledged."""
    count = 0
    for history in writes.values():
        last = max((i for i, (_, acked) in enumerate(history) if acked), default=None)
        count += last is not None and all(value is not None for value, _ in history[last:])
    return count


def read_all(run, writes):
    """topic -> value, as a new subscriber gets them."""
    reader = run.client("", mqtt.V5, clean=True, expiry=0)
    reader.sub("retained/#", qos=1)
    got = {}
    for p in collect(reader, 0.5, enough=lambda got: len(got) >= certain(writes)):
        if not p.retain:
            run.problems.append(("retain flag missing", p.topic))
        got[p.topic] = p.payload
    reader.bye()
    return got


@crash("workers 2")
def retained_messages_are_as_acknowledged(run):
    loop = run.start_loop()
    writers = [Writer(loop, n, (mqtt.V311, mqtt.V5)[n % 2]) for n in range(WRITERS)]
    for _ in range(3):
        for w in writers:
            w.budget, w.wanted = 400, True
        goal = sum(w.acked for w in writers) + run.rng.randrange(50, 1400)
        loop.run(lambda: sum(w.acked for w in writers) >= goal, 60)
        run.node.kill_in(run.rng.uniform(0, 0.02))
        loop.run_until_dead()
        for w in writers:
            w.leave()
        acked = sum(w.acked for w in writers)
        run.tell(f"kill after {acked} acknowledged")
        assert acked, "nothing was acknowledged within 60 s"
        run.restart()
        run.problems += check_retained(writes_of(writers), read_all(run, writes_of(writers)))
    for w in writers:
        w.wanted, w.budget = True, 0
    assert loop.run(lambda: all(w.done() for w in writers), 60), "no acknowledgement within 60 s of the restart"
    run.kill_and_restart()
    run.problems += check_retained(writes_of(writers), read_all(run, writes_of(writers)))
