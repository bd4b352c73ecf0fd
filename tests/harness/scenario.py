"""scenario.py - for integration tests: real programs beside a broker of their own.

A file of tests/integration marks its functions with @scenario and ends with scenario.main().
Each prints one line, "PASS name" or "FAIL name: why"; run.py counts the lines.
"""
import atexit
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
import traceback

PYTHON = "/usr/bin/python3"
PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "integration" / "programs"
_scenarios, _running = [], []


def scenario(function):
    _scenarios.append(function)
    return function


class Program:
    """A client program, its output line by line. Killed at the end if it still runs."""

    def __init__(self, *args, stdin=None, **kw):
        self.process = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, text=True, **kw)
        self.name, self.lines, self.seen = os.path.basename(str(args[0])), queue.Queue(), []
        _running.append(self)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def line(self, timeout=30):
        """The next line, or None at the end of the output."""
        try:
            text = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.name} printed nothing more after {self.seen[-5:]}") from None
        self.seen.append(text)
        return text

    def wait_line(self, part, timeout=30):
        """Skips to a line that holds part."""
        end = time.monotonic() + timeout
        while True:
            text = self.line(max(0.01, end - time.monotonic()))
            assert text is not None, f"{self.name} ended without '{part}': {self.seen[-6:]}"
            if part in text:
                return text

    def rest(self, timeout=30):
        """All further lines until the program ends."""
        out = []
        while (text := self.line(timeout)) is not None:
            out.append(text)
        return out

    def exit(self, timeout=30):
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait()


def _cleanup():
    for program in _running:
        if program.process.poll() is None:
            program.kill()


def run(*args, timeout=60, **kw):
    """A program to its end: (exit code, output)."""
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, **kw)
    return done.returncode, done.stdout


def until(condition, what="it did not happen", timeout=30):
    """What the condition says, once that is true."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)
    return found


def mosquitto_sub(broker, *args):
    """mosquitto_sub that has its SUBACK. Lines are flushed one by one."""
    program = Program("stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", broker.port, *args)
    program.wait_line("Subscribed (mid")
    return program


def messages(program, n, timeout=30):
    """The next n lines that are messages, not the debug output of mosquitto_sub."""
    out = []
    while len(out) < n:
        text = program.line(timeout)
        assert text is not None, f"ended after {out}"
        if not text.startswith(("Client ", "Subscribed", "  QoS")):
            out.append(text)
    return out


def mosquitto_pub(broker, *args):
    code, text = run("mosquitto_pub", "-h", "127.0.0.1", "-p", broker.port, *args)
    assert code == 0, text


def python(name, *args):
    """A program of programs/ that has said it is ready."""
    program = Program(PYTHON, "-u", PROGRAMS / name, *args)
    program.wait_line("ready")
    return program


def main():
    atexit.register(_cleanup)
    failed = 0
    for function in _scenarios:
        try:
            function()
            print(f"PASS {function.__name__}", flush=True)
        except Exception as e:  # a scenario may fail in any way; the others go on
            failed += 1
            frame = [f for f in traceback.extract_tb(e.__traceback__) if "harness" not in f.filename][-1]
            text = str(e).strip() or frame.line
            print(f"FAIL {function.__name__}: line {frame.lineno}: {type(e).__name__}: {text}"[:1500].replace("\n", " | "),
                  flush=True)
    sys.exit(1 if failed else 0)
