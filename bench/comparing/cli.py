"""cli.py - the command line."""
import argparse
import json
import pathlib
import re
import sys

from . import machine, markdown, page
from .brokers import make, make_peer, make_variant
from .measure import FORMAT, Measurement, say
from .scenarios import (FIXED_WORK_S, Bad, at_half_peak, fitting_seconds, load_scenario, load_sweep, seconds_of, standard,
                        sweep_of)

ROOT = pathlib.Path(__file__).resolve().parents[2]
HALF_PEAK = ("pairs-q1",)  # of the standard set
ALL_MINUTES = 50
REPEATS, SLOW_REPEATS, QUICK_REPEATS = 5, 3, 3
USAGE = """
examples:
  bench/compare --scenario pairs-q1                   ternmq, mosquitto and the floor
  bench/compare --scenario pairs-q0 --variant "one=workers 1" --variant "two=workers 2" --base one
  bench/compare --scenario fan-in-50-q1 --peer "other=/opt/other/broker --port {port}"
  bench/compare --scenario pairs-q0 --sweep clients=50,500,2500,7500
  bench/compare --scenario pairs-q1 --at-half-peak
  bench/compare --all                                 the standard set, in about 50 minutes
  bench/compare --render results.json                 the pages once more, from the raw figures
"""


def parser():
    p = argparse.ArgumentParser(prog="bench/compare", description="Runs ternmq-bench against several brokers by turns, "
                                "and says what differs and what is noise.", epilog=USAGE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--scenario", action="append", default=[], metavar="NAME", help="a file of bench/scenarios, or any; "
                   "may be repeated")
    p.add_argument("--sweep", action="append", default=[], metavar="OPTION=V,V,...", help="the scenarios again for each "
                   "value of an option of ternmq-bench; or the name of a .sweep file")
    p.add_argument("--at-half-peak", action="store_true", help="besides, latencies at half of each broker's own peak rate "
                   "and at half of the base's")
    p.add_argument("--all", action="store_true", help="all scenarios and sweeps; writes bench/RESULTS.md, results.html "
                   "and results.json")
    p.add_argument("--quick", action="store_true", help="3 repeats of 1 second")
    p.add_argument("--minutes", type=float, help=f"how long all may take: shortens the measured time (--all: {ALL_MINUTES})")
    p.add_argument("--repeats", type=int, metavar="N", help=f"of each run ({REPEATS}; of sweeps, offline-queue "
                   f"and recover {SLOW_REPEATS})")
    p.add_argument("--seconds", type=int, metavar="N", help="measured in each run; else what the scenario says")
    p.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of ternmq-bench, for all runs")
    p.add_argument("--brokers", default="ternmq,mosquitto,floor", metavar="LIST", help="of ternmq, mosquitto, floor "
                   "(all three)")
    p.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="another broker; {port} and {dir} "
                   "in the command")
    p.add_argument("--variant", action="append", default=[], metavar="NAME=LINES", help="ternmq once more, with lines of "
                   "configuration, separated by ;")
    p.add_argument("--ternmq-config", action="append", default=[], metavar="LINE", help="for ternmq and its variants")
    p.add_argument("--base", metavar="NAME", help="what ratios are to (mosquitto if it takes part, else the first)")
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build", metavar="DIR", help="where the programs are")
    p.add_argument("--port", type=int, default=23800, help="for the brokers (%(default)s)")
    p.add_argument("--out", type=pathlib.Path, metavar="DIR", help="for the three files (build/compare; --all: bench)")
    p.add_argument("--render", type=pathlib.Path, metavar="FILE", help="measures nothing; pages from a results.json")
    return p


def dump(results):
    """JSON with a line for each run."""
    lines = []

    def in_one_line(value):
        lines.append(json.dumps(value))
        return f"@line {len(lines) - 1}@"

    experiments = [{**entry, "rows": [{**row, "runs": [in_one_line(run) for run in row["runs"]]} for row in entry["rows"]]}
                   for entry in results["experiments"]]
    shaped = {**results, "calibrations_ms": in_one_line(results["calibrations_ms"]), "experiments": experiments}
    return re.sub(r'"@line (\d+)@"', lambda m: lines[int(m[1])], json.dumps(shaped, indent=1)) + "\n"


def write(results, out):
    """The three files, the raw one first."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"results.json": dump(results), "RESULTS.md": markdown.render(results),
             "results.html": page.render(results)}
    for name, text in files.items():
        (out / name).write_text(text)
    say(f"written: {', '.join(str(out / name) for name in files)}")


def render(path, out):
    try:
        results = json.loads(path.read_text())
    except OSError as e:
        raise Bad(f"{path}: {e.strerror}") from None
    except ValueError as e:
        raise Bad(f"{path}: not JSON: {e}") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise Bad(f"{path}: not a results.json of this program (format {FORMAT})")
    write(results, out or path.resolve().parent)


def make_brokers(options):
    named = [make(name, options.build, options.ternmq_config if name == "ternmq" else [])
             for name in options.brokers.split(",") if name]
    brokers = named + [make_variant(v, options.build, options.ternmq_config) for v in options.variant]
    brokers += [make_peer(peer) for peer in options.peer]
    names = [broker.name for broker in brokers]
    if len(set(names)) != len(names):
        raise Bad(f"two brokers have one name: {', '.join(names)}")
    if not names:
        raise Bad("there is no broker to run")
    return brokers


def choose_base(options, brokers):
    names = [broker.name for broker in brokers]
    if options.base is None:
        return "mosquitto" if "mosquitto" in names else names[0]
    if options.base not in names:
        raise Bad(f'--base: "{options.base}" takes no part; {", ".join(names)} do')
    return options.base


def make_experiments(options, base):
    if options.all:
        if options.scenario or options.sweep:
            raise Bad("--all is all: it takes no --scenario and no --sweep")
        scenarios, sweeps = standard()
        latencies = [s for s in scenarios if s.id in HALF_PEAK]
    else:
        scenarios = [load_scenario(name) for name in options.scenario]
        sweeps = [load_sweep(s) for s in options.sweep if "=" not in s]
        sweeps += [sweep_of(s, text) for text in options.sweep if "=" in text for s in scenarios]
        if any("=" in text for text in options.sweep):
            if not scenarios:
                raise Bad("--sweep needs a --scenario to vary")
            scenarios = scenarios if options.at_half_peak else []
        latencies = scenarios if options.at_half_peak else []
    if not scenarios and not sweeps:
        raise Bad("nothing to run: name a --scenario or a --sweep, or say --all")
    halves = [at_half_peak(s, broker) for s in latencies for broker in ("", base)]
    return scenarios + halves + sweeps


def parse_overrides(options):
    overrides = {}
    for text in options.option:
        name, _, value = text.partition("=")
        if not name:
            raise Bad(f'--option: expected NAME=VALUE, not "{text}"')
        overrides[name.lstrip("-")] = value
    return overrides


def repeats_of(options, experiment):
    if options.repeats is not None:
        return options.repeats
    if options.quick:
        return QUICK_REPEATS
    return SLOW_REPEATS if experiment.kind == "sweep" or experiment.scenario in FIXED_WORK_S else REPEATS


def plan(options, experiments, brokers):
    """Seconds measured or None, and about how long it all takes."""
    points = [(e.at(v), e.repeats * sum(b.serves(e) for b in brokers)) for e in experiments for v in e.points()]
    minutes = options.minutes or (ALL_MINUTES if options.all else None)
    seconds = options.seconds or (1 if options.quick else None)
    if seconds is None and minutes:
        seconds = fitting_seconds(points, minutes)
    total_s = sum(seconds_of(o, seconds) * runs for o, runs in points)
    return seconds, total_s


def measure(options):
    brokers = make_brokers(options)
    base = choose_base(options, brokers)
    experiments = make_experiments(options, base)
    generator = options.build / "ternmq-bench"
    if not generator.exists():
        raise Bad(f"{generator} is not there: build it first, or name the folder with --build")
    if (options.repeats is not None and options.repeats < 1) or not 1 <= options.port <= 65535:
        raise Bad("--repeats begins at 1, --port is from 1 to 65535")
    for experiment in experiments:
        experiment.repeats = repeats_of(options, experiment)
    seconds, total_s = plan(options, experiments, brokers)
    overrides = parse_overrides(options)
    if seconds is not None:
        overrides = {"seconds": seconds, **overrides}
    machine.raise_file_limit()
    say(f"{len(experiments)} experiments with {', '.join(b.name for b in brokers)}: about "
        f"{total_s / 60:.0f} minutes")
    results = Measurement(generator, brokers, options.port, overrides).run_all(
        experiments, base, {"quick": options.quick})
    write(results, options.out or ROOT / ("bench" if options.all else "build/compare"))
    failed = [row for e in results["experiments"] for row in e["rows"] if not any(r["report"] for r in row["runs"])]
    for row in failed:
        say(f"{row['broker']} told nothing: {row['runs'][-1]['error'] if row['runs'] else 'interrupted'}")
    return 1 if failed or not results["complete"] else 0


def main():
    options = parser().parse_args()
    try:
        if options.render:
            render(options.render, options.out)
            return 0
        return measure(options)
    except Bad as e:
        print(f"bench/compare: {e}", file=sys.stderr)
        return 2
