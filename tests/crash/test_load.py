"""test_load.py - QoS 1 and 2 at full speed, and the broker dies."""
import signal
import time

import mqtt
from checks import check_delivery, check_publisher
from load import Publisher, Subscriber, settle
from scenario_run import crash

V4, V5 = mqtt.V311, mqtt.V5
TOPICS = [f"load/{i}" for i in range(6)]


class Load:
    """Four publishers of each QoS; subscribers of which some stay, some are slow, some come and go and some
    are offline at each kill."""

    def __init__(self, run, storm=None, budget=250):
        self.run, self.loop, self.budget = run, run.start_loop(), budget
        loop = self.loop
        self.publishers = [
            Publisher(loop, f"p{qos}-{n}", (V4, V5)[n % 2], qos, run.rng.sample(TOPICS, 3),
                      window=run.rng.choice((1, 8, 20, 60)), forgetful=qos == 2 and n > 1)
            for qos in (1, 2) for n in range(4)]
        restless = [Subscriber(loop, "flaps-4", V4, ["load/#"], lag=3), Subscriber(loop, "flaps-5", V5, TOPICS)]
        self.subscribers = [
            Subscriber(loop, "stays-4", V4, ["load/#"]), Subscriber(loop, "stays-5", V5, ["load/+"]),
            Subscriber(loop, "slow-4", V4, TOPICS[:4], lag=12), Subscriber(loop, "slow-5", V5, TOPICS[2:], lag=19),
            *restless]
        self.absent = [Subscriber(loop, "absent-4", V4, ["load/#"], lag=5),
                       Subscriber(loop, "absent-5", V5, TOPICS[:3])]
        ready = loop.run(lambda: all(s.ready for s in self.subscribers + self.absent), 60)
        assert ready, "the subscribers had no SUBACK within 60 s"
        for actor in self.publishers + self.subscribers if storm else restless:
            actor.storm, actor.flap = storm, None if storm else (0.15, 0.15)

    def acked(self):
        return sum(p.acked for p in self.publishers)

    def kill_in_the_middle(self, number=None):
        """At a random moment of the next batch."""
        run, loop = self.run, self.loop
        for p in self.publishers:
            p.budget += self.budget
        for s in self.absent:
            s.leave(clean=run.rng.random() < 0.5)
        goal = self.acked() + int(run.rng.uniform(0.02, 0.9) * self.budget * len(self.publishers))
        loop.run(lambda: self.acked() >= goal, 60)
        begin = self.acked()
        run.node.kill_in(run.rng.uniform(0, 0.03), number)
        loop.run_until_dead()
        run.tell(f"kill after {self.acked()} acknowledged")
        assert begin, "nothing was acknowledged within 60 s"

    def come_back(self):
        begin = time.monotonic()
        self.run.node.launch()
        actors = self.publishers + [s for s in self.subscribers if s.wanted]
        assert self.loop.run(lambda: any(a.up for a in actors), 60), "no client came in within 60 s of the restart"
        self.run.tell(f"back after {(time.monotonic() - begin) * 1000:.0f} ms")
        for s in self.absent:
            s.wanted = self.run.rng.random() < 0.7

    def verdict(self):
        settle(self.loop, self.publishers, self.subscribers + self.absent)
        problems, messages = self.run.problems, self.loop.messages
        for p in self.publishers:
            problems += check_publisher(p.cid, p.mine)
        for s in self.subscribers + self.absent:
            problems += check_delivery(s.cid, s.filters, messages, s.events, self.run.node.kills)
        self.run.tell(f"{len(messages)} messages, {sum(len(s.events) for s in self.subscribers)} packets received")


@crash("workers 3")
def qos_1_and_2_at_full_speed(run):
    load = Load(run)
    for _ in range(3):
        load.kill_in_the_middle()
        load.come_back()
    load.verdict()


@crash("workers 2\nmax_inflight_messages 5")
def killed_again_during_recovery(run):
    load = Load(run)
    load.kill_in_the_middle()
    for _ in range(run.rng.randint(3, 6)):
        wait = run.rng.uniform(0.005, 0.3)
        run.node.launch()
        run.node.kill_in(wait)
        load.loop.run_until_dead()
        run.tell(f"killed {wait * 1000:.0f} ms after the start")
    load.come_back()
    load.verdict()


@crash("workers 3")
def takeovers_of_the_same_client_ids(run):
    load = Load(run, storm=0.04, budget=150)
    for _ in range(2):
        load.kill_in_the_middle()
        load.come_back()
    load.verdict()


@crash("workers 2")
def stopped_gracefully(run):
    load = Load(run)
    for _ in range(2):
        load.kill_in_the_middle(signal.SIGTERM)
        assert run.node.process.returncode == 0, f"exit code {run.node.process.returncode} after SIGTERM"
        load.come_back()
    load.verdict()


def drain_partly(run, loop, subscriber):
    """Kills the broker when a part of the queue has been delivered."""
    goal = int(run.rng.uniform(0.05, 0.8) * len(loop.messages))
    subscriber.wanted = True
    loop.run(lambda: len(subscriber.seen) >= goal or time.monotonic() - loop.last_news > 4, 60)
    run.node.kill_in(run.rng.uniform(0, 0.02))
    loop.run_until_dead()
    run.tell(f"kill after {len(subscriber.seen)} delivered")


def queue_of(run, total):
    """A session that is away, and a queue of `total` messages for it; killed before the last few are sent
    or after the last one is acknowledged."""
    loop = run.start_loop()
    subscriber = Subscriber(loop, "away", run.rng.choice((V4, V5)), ["queue/#"], lag=7)
    assert loop.run(lambda: subscriber.ready, 60), "no SUBACK within 60 s"
    subscriber.leave()
    publishers = [Publisher(loop, f"q{n}", V4, 2 if n == 3 else 1, [f"queue/{n}"], window=100, sizes=(0, 60))
                  for n in range(4)]
    for p in publishers:
        p.budget = total // len(publishers)
    goal = total if run.rng.random() < 0.5 else run.rng.randrange(total // 2, total)
    loop.run(lambda: sum(p.acked for p in publishers) >= goal or time.monotonic() - loop.last_news > 10, 120)
    run.node.kill_in(0)
    loop.run_until_dead()
    run.tell(f"kill with a queue of {sum(p.acked for p in publishers)}")
    return loop, subscriber, publishers


@crash("workers 2")
def a_long_offline_queue(run):
    loop, subscriber, publishers = queue_of(run, 20000)
    run.node.launch()
    # All is acknowledged before the queue is drained, so that the queue has its full length.
    loop.run(lambda: all(p.done() for p in publishers) or time.monotonic() - loop.last_news > 30, 60)
    drain_partly(run, loop, subscriber)
    run.node.launch()
    settle(loop, publishers, [subscriber])
    for p in publishers:
        run.problems += check_publisher(p.cid, p.mine)
    run.problems += check_delivery("away", subscriber.filters, loop.messages, subscriber.events, run.node.kills)
