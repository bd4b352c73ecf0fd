#!/usr/bin/python3
"""run.py - the conformance suite: every normative statement that binds a server, and its tests.

statements.tsv maps each statement to its tests, or says why there is none. The table and the tests
must agree in both directions; --table rewrites the test names from the tests' own claims.
"""
import collections
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "harness"))
sys.dont_write_bytecode = True
import runner  # noqa: E402

TABLE = HERE / "statements.tsv"
COUNTS = {"311": 138, "5": 251}  # statements of each specification
STATUSES = {"tested", "client-only", "other-transport", "untestable"}


def read_table():
    rows = [line.split("\t") for line in TABLE.read_text().splitlines()]
    return rows[0], rows[1:]


def claims(modules):
    found = collections.defaultdict(list)
    for module in modules:
        for case in getattr(module, "TESTS", ()):
            for ident in case.ids:
                found[ident].append(f"{module.__name__[5:]}.{case.name}")
    return found


def check_table(modules):
    """The meta-tests: (name, problem or None) each."""
    _, rows = read_table()
    claimed, known = claims(modules), set()
    for version, ident, status, what in rows:
        key = f"{version}:{ident}"
        problem = None
        if key in known:
            problem = "listed twice"
        elif status not in STATUSES:
            problem = f"unknown status {status}"
        elif status == "tested" and what.split(" ") != sorted(claimed.get(key, [])):
            problem = f"table names [{what}], tests are {sorted(claimed.get(key, []))}"
        elif status != "tested" and (not what or key in claimed):
            problem = "has no reason" if not what else f"is {status}, but tested: {claimed[key]}"
        known.add(key)
        if problem:
            yield f"table {key}", problem
    unknown = sorted(set(claimed) - known)
    yield "table knows every claimed statement", f"unknown: {unknown}" if unknown else None
    for version, count in COUNTS.items():
        have = sum(row[0] == version for row in rows)
        yield (f"table holds all of {version}",
               None if have == count else f"{have} statements, must be {count}")


def rewrite_table():
    header, rows = read_table()
    claimed = claims(runner.load(HERE))
    out = ["\t".join(header)]
    for version, ident, status, what in rows:
        names = sorted(claimed.get(f"{version}:{ident}", []))
        if names or status == "tested":
            status, what = "tested", " ".join(names)
        out.append("\t".join((version, ident, status, what)))
    TABLE.write_text("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        sys.exit(rewrite_table())
    sys.exit(runner.main("conformance", HERE, check_table))
