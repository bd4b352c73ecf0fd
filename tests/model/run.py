#!/usr/bin/env python3
"""run.py - checks the models with spin, and that each of them finds the bugs that are sown into it.

    tests/model/run.py        needs Debian's spin, and gcc
"""
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STATES_MIN = 10000  # less is no search: the model has stopped before it began


def check(model, bug=None):
    """(good, states): all that the model can do was looked at, and nothing was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["-D" + bug] if bug else []
        subprocess.run(["spin", "-a", *options, str(model)], cwd=folder, check=True, capture_output=True, timeout=60)
        subprocess.run(["gcc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-w", "-o", "pan", "pan.c"],
                       cwd=folder, check=True, timeout=120)
        said = subprocess.run(["./pan", "-m200000", "-w22", "-E"], cwd=folder, check=True, capture_output=True,
                              text=True, timeout=300).stdout
    errors = int(re.search(r"errors: (\d+)", said)[1])
    states = int(float(re.search(r"([\d.e+]+) states, stored", said)[1]))
    complete = "Search not completed" not in said and "max search depth too small" not in said
    return errors == 0 and (complete or bug is not None), states


def main():
    passed = failed = 0
    for model in sorted(HERE.glob("*.pml")):
        bugs = sorted({"".join(pair) for pair in re.findall(r"#ifn?def (BUG_\w+)|#elif defined\((BUG_\w+)\)", model.read_text())})
        for bug in [None, *bugs]:
            good, states = check(model, bug)
            right = (good and states >= STATES_MIN) if bug is None else not good
            passed, failed = passed + right, failed + (not right)
            print(f"{'ok   ' if right else 'FAIL '} {model.name} {bug or 'as it is'}: "
                  f"{'nothing wrong' if good else 'found'} in {states} states")
    print(f"models: {passed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
