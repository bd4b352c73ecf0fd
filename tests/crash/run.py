#!/usr/bin/python3
"""run.py - kills the broker with signal 9 at random moments: what it acknowledged must be there afterwards.

TERN_BIN names the broker. Each scenario runs --rounds times, each with a new store and its own random numbers,
and counts as one test. A failure prints its seed, and leaves its folder with the log and the store.
"""
import argparse
import os
import pathlib
import random
import re
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
sys.dont_write_bytecode = True
import broker  # noqa: E402
import node  # noqa: E402
import scenario  # noqa: E402
import scenario_run  # noqa: E402
import selftest  # noqa: E402
from checks import account  # noqa: E402
import test_load, test_programs, test_retained, test_sessions, test_time  # noqa: E402,E401,F401


def failure(error):
    """file:line, and the message."""
    frame = [f for f in traceback.extract_tb(error.__traceback__) if "harness" not in f.filename][-1]
    text = " / ".join(str(error).splitlines()[-6:])[-1500:]
    return f"{type(error).__name__} at {pathlib.Path(frame.filename).name}:{frame.lineno}: {text or frame.line}"


def run_once(function, seed, keep):
    """(what was wrong or None, story, folder that is kept or None)"""
    run, text = None, None
    try:
        run = scenario_run.Run(function, seed)
        function(run)
    except Exception as e:  # a scenario may fail in any way; the others go on
        text = failure(e)
    if run is None:
        return text, "", None
    found = "; ".join(filter(None, [text, account(run.problems)]))
    end = run.finish(keep or bool(found))
    scenario._cleanup()
    if run.node.port_retries:
        run.tell(f"the port was still in use at {run.node.port_retries} starts")
    found = "; ".join(filter(None, [found, end]))
    return found or None, ", ".join(run.story), run.node.dir if found or keep else None


def crash_rounds(options):
    passed = failed = 0
    chosen = [f for f in scenario_run.SCENARIOS if re.search(options.k, f.__name__)]
    chosen = [f for f in chosen if f.control or not options.gentle]
    for number in range(options.rounds):
        seed = options.seed + number
        for function in chosen:
            begin = time.monotonic()
            found, story, folder = run_once(function, seed, options.keep)
            passed, failed = passed + (found is None), failed + (found is not None)
            if found:
                print(f"FAIL {function.__name__} (seed {seed}): {found} [{story}] log and store: {folder} "
                      f"again with: --seed {seed} --rounds 1 -k {function.__name__}", flush=True)
            elif options.v:
                print(f"PASS {function.__name__} (seed {seed}, {time.monotonic() - begin:.1f} s) [{story}]"
                      + (f" log and store: {folder}" if folder else ""), flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each scenario (default 5; a long run: 50)")
    parser.add_argument("--seed", type=int, help="of the first round; the next have the next numbers")
    parser.add_argument("-k", metavar="REGEX", default="", help="only scenarios whose name matches")
    parser.add_argument("-v", action="store_true", help="name the scenarios that pass, too")
    parser.add_argument("--self-test", action="store_true", help="only prove that each check can fail")
    parser.add_argument("--gentle", action="store_true", help="SIGTERM in place of SIGKILL: tells a mistake "
                        "of these tests from one of the broker")
    parser.add_argument("--keep", action="store_true", help="leave the folders of rounds that pass, too")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # by way of atexit, which ends the broker
    passed, failed = selftest.run(options.v)
    if not options.self_test:
        if options.gentle:
            node.Node.kill_signal = 15
        if not os.access(broker.binary(), os.X_OK):
            sys.exit(f"no broker at {broker.binary()}")
        print(f"seed {options.seed}", flush=True)
        more = crash_rounds(options)
        passed, failed = passed + more[0], failed + more[1]
    print(f"crash: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
