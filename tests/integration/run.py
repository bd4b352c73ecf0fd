#!/usr/bin/python3
"""run.py - runs the numbered scenarios side by side, counts their PASS and FAIL lines.

A file of which a scenario failed is run again when all others have ended, so that nothing but the machine is beside it. It
counts as passed when it passes twice then; what failed at first is shown as UNSTEADY. With --strict nothing runs again.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TIME_LIMIT_S = 900
AGAIN = 2
AGAIN_MAX = 5  # more files than that do not fail by chance


def run_file(path):
    env = {**os.environ, "PYTHONPATH": str(HERE.parent / "harness"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(["/usr/bin/python3", str(path)], env=env, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=TIME_LIMIT_S)
        lines, code = done.stdout.splitlines(), done.returncode
    except subprocess.TimeoutExpired as e:
        lines, code = (e.stdout or b"").decode().splitlines() + [f"FAIL no end within {TIME_LIMIT_S} s"], 1
    if code != 0 and not any(line.startswith("FAIL ") for line in lines):
        lines.append(f"FAIL exit code {code}: {' | '.join(lines[-3:])}")
    if code == 0 and not any(line.startswith("PASS ") for line in lines):
        lines.append("FAIL nothing was tested")
    return lines


def failures(lines):
    return [line for line in lines if line.startswith("FAIL ")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", metavar="REGEX", default="", help="only files whose name matches")
    parser.add_argument("-v", action="store_true", help="name the scenarios that pass, too")
    parser.add_argument("-j", type=int, default=4, help="files at a time")
    parser.add_argument("--strict", action="store_true", help="what fails once has failed")
    options = parser.parse_args()
    # A shell's background job has it ignored, and so have all that it starts: some scenarios send it to programs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    files = [f for f in sorted(HERE.glob("[0-9][0-9]-*.py")) if re.search(options.k, f.stem)]
    passed = failed = 0
    doubtful = []

    def count(name, lines):
        nonlocal passed, failed
        for line in lines:
            passed += line.startswith("PASS ")
            failed += line.startswith("FAIL ")
            if line.startswith("FAIL ") or options.v:
                print(f"{line[:4]} {name}: {line[5:]}" if line[:4] in ("PASS", "FAIL") else line, flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for path, lines in zip(files, pool.map(run_file, files)):
            if failures(lines) and not options.strict:
                doubtful.append((path, lines))
            else:
                count(path.stem, lines)
    for path, lines in doubtful:
        if len(doubtful) <= AGAIN_MAX:
            print("\n".join(f"UNSTEADY {path.stem}: {line[5:]}" for line in failures(lines)), flush=True)
            tries = [run_file(path) for _ in range(AGAIN)]
            lines = next(filter(failures, tries), tries[-1])
        count(path.stem, lines)
    print(f"integration: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
