"""node.py - a broker with a store that is killed and started again."""
import atexit
import shutil
import signal
import subprocess
import threading
import time

import mqtt
from broker import SANITIZER, Broker, free_port


class Node(Broker):
    kill_signal = signal.SIGKILL  # --gentle: SIGTERM, to tell the tests' mistakes from the broker's

    def __init__(self, config=""):
        super().__init__(port=free_port())
        self.store = self.dir / "store"
        self.store.mkdir()
        self.store.chmod(0o777)  # the broker may give up root before it opens the store
        self.write_config(f"persistence true\npersistence_location {self.store}/\ndurability sync\n"
                          f"max_queued_messages 0\n{config}")
        atexit.register(self.abandon)
        self.kills, self.asked, self.port_retries = [], False, 0

    def launch(self):
        self.asked = False
        return super().launch()

    def _hit(self, number, process):
        self.asked = True
        self.kills.append(time.monotonic())
        process.send_signal(number)

    def kill(self, number=None):
        """Ends the broker and waits for its end."""
        self._hit(number or self.kill_signal, self.process)
        self.wait_end()

    def kill_in(self, seconds, number=None):
        """From a thread, so that the clients are in the middle of something."""
        timer = threading.Timer(seconds, self._hit, (number or self.kill_signal, self.process))
        timer.daemon = True
        timer.start()

    def wait_end(self, timeout=60):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the broker did not end within {timeout} s of its signal") from None
        assert code in (0, -signal.SIGKILL), f"exit code {code} at a signal: {self.tail()}"

    def dead(self):
        """True after a kill; an end that nobody asked for is a failure. One reason is forgiven for a while: the
        kernel gives the port back some milliseconds after the end of a process that listened with io_uring."""
        code = self.process.poll()
        if code is None:
            return False
        if not self.asked and "Address already in use" in self.tail() and self.port_retries < 200:
            self.port_retries += 1
            time.sleep(0.01)
            self.launch()
            return False
        assert self.asked, f"the broker ended by itself, exit code {code}: {self.tail()}"
        return True

    def restart(self, timeout=60):
        """Ready when it answers."""
        self.launch()
        deadline = time.monotonic() + timeout
        while True:
            self.dead()
            try:
                probe = mqtt.Client(self.address, timeout=2)
                probe.hello(f"ready-{self.pid}", mqtt.V311).recv_type(mqtt.CONNACK)
                return probe.close()
            except (OSError, mqtt.Closed):
                assert time.monotonic() < deadline, f"not ready {timeout} s after its start: {self.tail()}"
                time.sleep(0.005)

    def tail(self):
        lines = [l for l in self.log().splitlines() if l.strip()]
        return " / ".join(lines[-4:])[-600:]

    def abandon(self):
        """No broker outlives the tests."""
        if self.process and self.process.poll() is None:
            self.process.kill()

    def finish(self, keep):
        """Ends whatever runs; returns what was wrong with the end."""
        problem = None
        if self.process and self.process.poll() is None:
            self.asked = True
            try:
                self.process.send_signal(signal.SIGTERM)
                self.wait_end()
            except AssertionError as e:
                problem = str(e)
        if SANITIZER.search(self.log()):
            problem = f"sanitizer report: {SANITIZER.search(self.log())[0]}"
        if not keep and problem is None:
            shutil.rmtree(self.dir, ignore_errors=True)
        return problem
