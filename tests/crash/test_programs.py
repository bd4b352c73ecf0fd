"""test_programs.py - client programs that people use, as they are: Paho, mosquitto_pub and mosquitto_sub."""
import subprocess
import threading
import time

from checks import check_loosely
from scenario import Program
from scenario_run import crash


class PahoClient:
    """A durable session of Paho 1.6, which reconnects and sends again by itself."""

    def __init__(self, run, cid):
        import paho.mqtt.client as paho  # needed here alone
        self.run, self.got, self.subscribed, self.connects = run, [], threading.Event(), 0
        self.mids, self.done = {}, set()    # text -> packet id; packet ids whose last acknowledgement came
        self.client = paho.Client(cid, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda c, u, m: self.got.append(m.payload.decode())
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_publish = lambda c, u, mid: self.done.add(mid)
        self.client.on_connect = self.on_connect

    def connect(self):
        self.client.connect("127.0.0.1", self.run.node.port, keepalive=30)
        self.client.loop_start()
        return self

    def on_connect(self, *_):
        self.connects += 1

    def publish_until(self, topic, qos, stop):
        """At most 50 unacknowledged at a time."""
        while not stop():
            if self.client.is_connected() and len(self.mids) - len(self.done) < 50 and len(self.mids) < 60000:
                text = f"{topic} {len(self.mids)}"
                self.mids[text] = self.client.publish(topic, text, qos).mid
            else:
                time.sleep(0.002)

    def acked(self):
        return [text for text, mid in self.mids.items() if mid in self.done]

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


@crash("workers 2")
def paho_clients_live_through_kills(run):
    stay = PahoClient(run, "paho-stays").connect()
    away = PahoClient(run, "paho-away").connect()
    for c in (stay, away):
        c.client.subscribe([("paho/1", 1), ("paho/2", 2)])
        assert c.subscribed.wait(60), "no SUBACK within 60 s"
    away.end()
    publishers = {qos: PahoClient(run, f"paho-{qos}").connect() for qos in (1, 2)}
    try:
        for kills in (1, 2):
            killed = run.node.process
            threads = [threading.Thread(target=p.publish_until,
                                        args=(f"paho/{qos}", qos, lambda: killed.poll() is not None))
                       for qos, p in publishers.items()]
            for t in threads:
                t.start()
            time.sleep(run.rng.uniform(0.1, 1.0))
            run.node.kill()
            for t in threads:
                t.join()
            run.tell(f"kill after {sum(len(p.acked()) for p in publishers.values())} acknowledged")
            run.restart()
            wait(lambda: all(c.connects > kills for c in (stay, *publishers.values())), 60)
        away.connect()
        for qos, p in publishers.items():
            wait(lambda p=p: len(p.acked()) == len(p.mids), 60)
            if len(p.acked()) < len(p.mids):
                run.problems.append(("no acknowledgement after the restart",
                                     f"Paho, QoS {qos}: {len(p.mids) - len(p.acked())} messages"))
        acked = {qos: p.acked() for qos, p in publishers.items()}
        for name, c in (("paho-stays", stay), ("paho-away", away)):
            count, last = -1, sum(len(a) for a in acked.values())
            while len(set(c.got)) < last and count != len(c.got):
                count = len(c.got)
                wait(lambda c=c: len(set(c.got)) >= last, 10)
        time.sleep(0.3)
        for name, c in (("paho-stays", stay), ("paho-away", away)):
            for qos in (1, 2):
                got = [text for text in c.got if text.startswith(f"paho/{qos} ")]
                run.problems += check_loosely(f"{name}, QoS {qos}", acked[qos], got, qos == 2)
    finally:
        for c in (stay, away, *publishers.values()):
            c.end()


class PubLoop(threading.Thread):
    """One mosquitto_pub after the other: exit code 0 says that the broker has the message."""

    def __init__(self, run, qos):
        super().__init__(daemon=True)
        self.run_, self.qos, self.acked, self.uncertain, self.stopped = run, qos, [], [], False
        self.start()

    def run(self):
        n = 0
        while not self.stopped:
            n, kills = n + 1, len(self.run_.node.kills)
            text = f"prog/{self.qos} {n}"
            try:
                code = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.run_.node.port), "-q",
                                       str(self.qos), "-t", f"prog/{self.qos}", "-m", text], timeout=10,
                                      stdin=subprocess.DEVNULL, capture_output=True).returncode
            except subprocess.TimeoutExpired:
                code = None
            if code == 0:
                self.acked.append(text)
            if kills != len(self.run_.node.kills) or code != 0:
                self.uncertain.append(text)  # it may have reconnected and sent it anew, in a new session
                time.sleep(0.05)


def mosquitto_sub(run, qos, name):
    return Program("stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", run.node.port, "-i", f"{name}-{qos}",
                   "-c", "-q", qos, "-t", f"prog/{qos}", "-d", "-k", "5")


def texts(program, qos, enough, seconds=20):
    """What mosquitto_sub has printed of messages, until enough have come or nothing more comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if program.line(0.1) is None:
                break
            end = max(end, time.monotonic() + 8)
        except AssertionError:  # nothing new
            if enough([l for l in program.seen if l and l.startswith(f"prog/{qos} ")]):
                break
    return [l for l in program.seen if l and l.startswith(f"prog/{qos} ")]


@crash("workers 2")
def mosquitto_clients_live_through_kills(run):
    stay = {qos: mosquitto_sub(run, qos, "stays") for qos in (1, 2)}
    away = {qos: mosquitto_sub(run, qos, "away") for qos in (1, 2)}
    for program in [*stay.values(), *away.values()]:
        program.wait_line("Subscribed (mid")
    for program in away.values():
        program.process.terminate()
        program.exit()
    loops = [PubLoop(run, qos) for qos in (1, 2)]
    for _ in range(2):
        time.sleep(run.rng.uniform(0.3, 1.2))
        run.kill()
        run.tell(f"kill after {sum(len(p.acked) for p in loops)} acknowledged")
        run.restart()
    time.sleep(0.3)
    for p in loops:
        p.stopped = True
    for p in loops:
        p.join()
        away[p.qos] = mosquitto_sub(run, p.qos, "away")
        for name, program in (("stays", stay[p.qos]), ("away", away[p.qos])):
            got = texts(program, p.qos, lambda got, p=p: set(p.acked) <= set(got))
            run.problems += check_loosely(f"mosquitto_sub {name}", p.acked, got, p.qos == 2, p.uncertain)
            program.process.terminate()
            program.exit()
