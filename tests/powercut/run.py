#!/usr/bin/env python3
"""run.py - proves that what a program declares safe outlives a power cut.

    run.py --writer "WRITER ARG" --checker "CHECKER ARG" [--images N] ...
    run.py --self-test [--images N]

WRITER runs once (or --runs times) under the shim, with a fresh folder as its last argument, and writes what it
declares safe to the file named by POWERCUT_MARK, one line each:
    X          from now on X must be there
    drop X     from now on X may be there or not
    gone X     from now on X must not be there
CHECKER gets the folder of an image as its last argument: exit 0 and a line "have X" for each X it finds, anything
else means damaged. Last line: powercut: P passed, F failed; exit 0 if nothing failed and the run proves anything."""
import argparse
import collections
import concurrent.futures
import contextlib
import fnmatch
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading

import images

HERE = pathlib.Path(__file__).resolve().parent
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
SHOWN = 20  # failures printed in full

Result = collections.namedtuple("Result", "seed cut trace verdict detail")


class HarnessError(Exception):
    """The run proves nothing: not the store's fault, or not to be seen."""


# ---- The writer -------------------------------------------------------------------------------------

def compile_missing(folder, wanted):
    """What no build has made, for when run.py is called by hand."""
    sources = {"libpowercut.so": ("shim.c", "shim_trace.c", "-shared", "-fPIC", "-pthread"),
               "toy_writer": ("toy_writer.c", "-pthread", "-llmdb"), "toy_checker": ("toy_checker.c", "-llmdb")}
    for product in wanted:
        if not (folder / product).exists():
            subprocess.run([os.environ.get("CC", "cc"), "-O1", "-g", "-D_GNU_SOURCE", f"-I{HERE.parent.parent}",
                            *sources[product], "-o", folder / product], cwd=HERE, check=True)


def traced(options, command, folder, place, extra):
    """Runs a command under the shim, with the trace, the marks and what else there is in place."""
    environment = dict(os.environ, LD_PRELOAD=str(options.build / "libpowercut.so"), POWERCUT_DIR=str(folder),
                       POWERCUT_TRACE=str(place / "trace"), POWERCUT_MARK=str(place / "marks"), **extra)
    try:
        done = subprocess.run([*shlex.split(command), folder], env=environment, timeout=options.writer_timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              check=False)
    except subprocess.TimeoutExpired as timeout:
        raise HarnessError(f"{command} did not end within {timeout.timeout} s") from timeout
    if done.returncode not in options.writer_exit:
        raise HarnessError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    if not (place / "trace").exists():
        raise HarnessError("no trace: is the writer linked statically?")
    return place / "trace"


def record(options, scratch, run=0):
    """Runs the writer in a fresh folder; returns its trace."""
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"run{run}-", dir=scratch))
    folder, lift = place / "folder", place / "lift"
    folder.mkdir()
    extra = {"POWERCUT_RUN": str(run)}
    if options.fault:
        extra.update(POWERCUT_FAULT=options.fault, POWERCUT_LIFT=str(lift))
    timer = threading.Timer(options.lift_after or 0, lift.touch)
    if options.lift_after is not None:
        timer.start()
    try:
        trace = traced(options, options.writer, folder, place, extra)
    finally:
        timer.cancel()
    verify(options, trace, folder)
    if not any(event.kind == images.MARK for event in images.load(trace)):
        raise HarnessError("the writer marked nothing as safe")
    shutil.rmtree(folder)
    return trace


def ignored(options, path):
    return any(fnmatch.fnmatch(pathlib.PurePath(path).name, pattern) for pattern in options.ignore)


def verify(options, trace, folder, base=None):
    """The trace, played to its end, must make the folder that the writer left: else something wrote past the shim
    and the images would tell nothing."""
    tree, problems = images.final(trace, base)
    for what, path in problems:
        if not (path and ignored(options, path)):
            raise HarnessError(f"{path} {what}")
    left = {path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
            for path in folder.rglob("*")}
    for path in sorted(set(tree) | set(left)):
        if not ignored(options, path) and (path not in tree or path not in left or tree[path] != left[path]):
            raise HarnessError(f"{path} was changed past the shim (stdio, io_uring, a writable mapping?)")
    if options.fault and not base:
        fired = {images.text(event.payload) for event in images.load(trace) if event.kind == images.FAULT}
        for fault in options.fault.split(","):
            if fault.partition(":")[0] not in fired:
                raise HarnessError(f"the fault {fault} never came")


# ---- The images ---------------------------------------------------------------------------------------

def promises(marks):
    """What must be there and what must not, in the order of the marks."""
    must, never = {}, {}
    for mark in marks:
        word, _, item = mark.partition(" ")
        if word in ("drop", "gone"):
            must.pop(item, None)
            if word == "gone":
                never[item] = True
        else:
            must[mark] = True
            never.pop(mark, None)
    return must, never


def listed(items):
    items = list(items)
    return " ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def judge(marks, code, output):
    """(verdict, detail)"""
    if code != 0:
        lines = output.strip().splitlines()
        return "damaged", (f"signal {-code}" if code < 0 else f"exit {code}") + (f": {lines[-1]}" if lines else "")
    have = {line[5:] for line in output.splitlines() if line.startswith("have ")}
    must, never = promises(marks)
    missing = [item for item in must if item not in have]
    if missing:
        return "lost", f"{len(missing)} of {len(must)} missing: {listed(missing)}"
    back = [item for item in never if item in have]
    if back:
        return "returned", f"there again: {listed(back)}"
    return "good", ""


def cut_again(options, seed, place, marks):
    """Recovers the image under the shim, and cuts the power in the middle of that; returns the second image."""
    base, work = place / "image", place / "recovered"
    shutil.copytree(base, work)
    trace = traced(options, options.recoverer, work, place, {"POWERCUT_RUN": str(seed)})
    verify(options, trace, work, base)
    marks += images.build(trace, place / "again", seed, base)
    return place / "again"


def examine(options, trace, seed):
    """One image: built, checked, gone."""
    cut = images.cut_of(trace, seed)
    place = pathlib.Path(tempfile.mkdtemp(prefix="powercut-", dir=options.keep or MEMORY))
    try:
        folder = place / "image"
        marks = images.build(trace, folder, seed)
        if options.recoverer:
            folder = cut_again(options, seed, place, marks)
        done = subprocess.run([*shlex.split(options.checker), folder], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=options.timeout, check=False)
        verdict, detail = judge(marks, done.returncode, done.stdout.decode("utf-8", "replace"))
    except subprocess.TimeoutExpired:
        verdict, detail = "damaged", f"the checker did not end within {options.timeout} s"
    except HarnessError as error:        # the recovery failed
        verdict, detail = "damaged", str(error)
    finally:
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    return Result(seed, cut, trace, verdict, detail)


def campaign(options, traces, seeds):
    """All images; image number n comes from trace n modulo their number."""
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(examine, options, traces[seed % len(traces)], seed) for seed in seeds]
        return [job.result() for job in jobs]


def record_all(options, scratch):
    if options.trace:
        return [pathlib.Path(trace).resolve() for trace in options.trace]
    return [record(options, scratch, run) for run in range(options.runs)]


def save(result, saved):
    """The trace outlives the run: a second run of the writer would not give the same one."""
    if result.trace not in saved:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-failed-"))
        saved[result.trace] = shutil.copy(result.trace, folder / "trace")
    return saved[result.trace]


def report(options, results):
    failures, saved = [result for result in results if result.verdict != "good"], {}
    for result in failures[:SHOWN]:
        trace = result.trace if options.trace else save(result, saved)
        print(f"FAIL seed {result.seed} cut {result.cut}: {result.verdict}: {result.detail}")
        more = f" --recoverer {shlex.quote(options.recoverer)}" if options.recoverer else ""
        print(f"     again: {sys.argv[0]} --checker {shlex.quote(options.checker)}{more} --trace {trace} "
              f"--seed {result.seed}")
    for result in failures[SHOWN:]:
        print(f"FAIL seed {result.seed} cut {result.cut}: {result.verdict}")
    counts = collections.Counter(result.verdict for result in results)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    print(f"powercut: {len(results) - len(failures)} passed, {len(failures)} failed")
    return not failures


# ---- The self-test ---------------------------------------------------------------------------------------

def all_good(counts, images_built):
    return counts["good"] == images_built


def often(*verdicts):
    """A third of the images or more."""
    return lambda counts, images_built: sum(counts[verdict] for verdict in verdicts) * 3 >= images_built


# what it shows, writer, fault, recoverer, what is expected: of the counts, or the words of a HarnessError
SELF_TESTS = (
    ("full sync is good", "toy full 1", None, None, all_good),
    ("full sync from two threads is good", "toy full 2", None, None, all_good),
    ("NOMETASYNC with marks one commit late is good", "toy delayed 1", None, None, all_good),
    ("NOMETASYNC loses and is never damaged", "toy nometasync 1", None, None,
     lambda counts, n: often("lost")(counts, n) and not counts["damaged"]),
    ("NOSYNC is bad", "toy nosync 1", None, None, often("damaged")),
    ("full sync cut again while it goes on is good", "toy full 1", None, "toy full 1", all_good),
    ("a file replaced with care is good", "files careful", None, None, all_good),
    ("a file replaced without is bad", "files careless", None, None, often("damaged")),
    ("a full disk is survived", "toy full 1", "enospc:150000", None, all_good),
    ("a failed write is survived", "toy full 1", "eio-write:101", None, all_good),
    ("a failed write of the meta page is survived", "toy full 1", "eio-write:98", None, all_good),
    ("a short write is survived", "toy full 1", "short-write:100", None, all_good),
    ("a failed sync is survived", "toy full 1", "eio-sync:50", None, all_good),
    ("a failed sync, then written again, is good", "files rewriting", "eio-sync:5", None, all_good),
    ("a failed sync that is only repeated is bad", "files stubborn", "eio-sync:5", None, often("lost")),
    ("every call is followed", "files anything", None, None, all_good),
    ("a writable mapping is noticed", "files mapping", None, None, "mapped writable"),
    ("a write past the shim is noticed", "files sneaking", None, None, "changed past the shim"),
)


def toy_command(options, text, checks=False):
    kind, _, mode = text.partition(" ")
    if kind == "files":
        return f"{sys.executable} {HERE}/toy_files.py " + ("check" if checks else f"write {mode}")
    return f"{options.build}/" + ("toy_checker" if checks else f"toy_writer {mode}")


def self_test_one(options, scratch, test):
    """(as expected, what came out, the results)"""
    _, writer, options.fault, recoverer, expected = test
    options.writer, options.checker = toy_command(options, writer), toy_command(options, writer, checks=True)
    options.recoverer = recoverer and toy_command(options, recoverer)
    try:
        results = campaign(options, record_all(options, scratch), range(options.images))
    except (HarnessError, images.TraceError) as error:
        return isinstance(expected, str) and expected in str(error), str(error), []
    counts = collections.Counter(result.verdict for result in results)
    said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    return callable(expected) and expected(counts, len(results)), said, results


def self_test(options, scratch):
    failed = 0
    for test in SELF_TESTS:
        good, said, results = self_test_one(options, scratch, test)
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {test[0]}: {said}", flush=True)
        for result in [] if good else results[:SHOWN]:
            print(f"      seed {result.seed} cut {result.cut}: {result.verdict}: {result.detail}")
    print(f"powercut: {len(SELF_TESTS) - failed} passed, {failed} failed")
    return not failed


# ---- The command line --------------------------------------------------------------------------------------

def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--writer", help="the command that writes")
    add("--checker", help="the command that recovers and lists")
    add("--recoverer", help="recovers each image under the shim, and the power is cut again during that")
    add("--self-test", action="store_true", help="the harness against its toys")
    add("--images", type=int, help="how many power cuts (400; in the self-test 60)")
    add("--seed", type=int, help="this image alone")
    add("--runs", type=int, default=1, help="how often the writer runs; it sees the number in POWERCUT_RUN")
    add("--trace", action="append", help="use this trace, run no writer")
    add("--fault", help="enospc:BYTES, eio-sync:N, eio-write:N, short-write:N, joined by commas")
    add("--lift-after", type=float, metavar="SECONDS", help="then the disk has room again")
    add("--writer-exit", type=int, action="append", help="exit codes of the writer that are right (0)")
    add("--writer-timeout", type=float, default=300, metavar="SECONDS")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for the checker")
    add("--ignore", action="append", default=["lock.mdb", "*-lock"], metavar="GLOB",
        help="files whose content may go past the shim")
    add("--build", type=pathlib.Path, help="the folder with libpowercut.so and the toys; else they are compiled")
    add("--jobs", type=int, default=2)
    add("--keep", metavar="FOLDER", help="leave the images there")
    options = parser.parse_args()
    if not options.self_test and not (options.checker and (options.writer or options.trace)):
        parser.error("--checker and --writer (or --trace), or --self-test")
    options.images = options.images or (60 if options.self_test else 400)
    options.writer_exit = options.writer_exit or [0]
    return options


def main():
    options = arguments()
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="powercut-")))
        options.build = options.build.resolve() if options.build else scratch
        wanted = ["libpowercut.so", "toy_writer", "toy_checker"] if options.self_test else ["libpowercut.so"]
        compile_missing(options.build, wanted)
        try:
            if options.self_test:
                return not self_test(options, scratch)
            seeds = range(options.images) if options.seed is None else [options.seed]
            return not report(options, campaign(options, record_all(options, scratch), seeds))
        except (HarnessError, images.TraceError) as error:
            print(f"harness: {error}")
            print("powercut: 0 passed, 1 failed")
            return True


if __name__ == "__main__":
    sys.exit(main())
