#!/usr/bin/python3
"""run.py - inputs that broke other brokers. After each, a fresh client must be served.

cases.tsv lists every case: id, kind (x, heavy, slow), how (first: as the first bytes; v4, v5: after
CONNECT of that version; special: a function named after the id), hex, wanted (close, no-grant),
codes (any of them, where one can be told), and what it is.
"""
import collections
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "harness"))
sys.dont_write_bytecode = True
import runner  # noqa: E402

CASES = 179


def check_cases(modules):
    """Every case has one test, and every test is a case."""
    from test_bytes import ROWS
    ids = [row.id for row in ROWS]
    named = collections.Counter(case.name[2:] for m in modules for case in getattr(m, "TESTS", ()))
    missing = [i for i in ids if named[i] != 1]
    unknown = [i for i in named if i not in ids]
    bad = missing or unknown or len(ids) != CASES or len(set(ids)) != CASES
    yield "every case has its test", (
        f"without one test: {missing}, not in the table: {unknown}, rows: {len(ids)}" if bad else None)


if __name__ == "__main__":
    sys.exit(runner.main("badinput", HERE, check_cases))
