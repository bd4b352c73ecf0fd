"""measure.py - runs everything, interleaved, and gathers what came of it."""
import datetime
import json
import subprocess
import sys
import time

from . import machine, stats
from .brokers import Failed
from .scenarios import DURABLE_SCENARIOS, keeps_its_time

FORMAT = 1
GENERATOR_S = 300  # beyond what the options ask for


def say(text):
    print(text, file=sys.stderr, flush=True)


class Measurement:
    """generator: the path of ternmq-bench. overrides: options for all runs."""

    def __init__(self, generator, brokers, port, overrides):
        self.generator, self.brokers = generator, brokers
        self.port, self.overrides = port, overrides
        self.calibrations = []

    # -- one run --

    def calibrate(self):
        time_ms = round(machine.calibrate(), 3)
        self.calibrations.append(time_ms)
        return time_ms

    def run_once(self, broker, experiment, options):
        """A broker from start to end, and the generator's report: {"report", "error", and what surrounded it}."""
        run = {"report": None, "error": "", "before_ms": self.calibrate()}
        try:
            broker.start(self.port, {**options, **self.overrides}, durable=experiment.scenario in DURABLE_SCENARIOS,
                         limits=experiment.kind != "latency")
            watch = machine.Watch(broker.pid)
            try:
                run["report"], run["error"] = self.generate(broker, options)
            finally:
                run.update(watch.end())
            if broker.died() and not run["error"]:
                run["error"] = f"{broker.name} died under the load; it said last: {broker.log()}"
        except Failed as e:
            run["error"] = str(e)
        finally:
            broker.stop()
        run["after_ms"] = self.calibrate()
        return run

    def generate(self, broker, options):
        """(report or None, error or "")."""
        arguments = [str(self.generator), "--json", "--port", str(broker.port), "--broker-pid", str(broker.pid),
                     "--label", broker.name]
        overrides = {k: v for k, v in self.overrides.items() if k != "seconds" or not keeps_its_time(options)}
        for option, value in {**options, **overrides}.items():
            arguments += [f"--{option}"] + ([str(value)] if value != "" else [])
        limit = GENERATOR_S + sum(int(options.get(o, 0)) for o in ("seconds", "warmup", "drain"))
        try:
            done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return None, f"the generator had no end within {limit} s"
        try:
            report = json.loads(done.stdout)
        except ValueError:
            said = done.stderr.strip() or done.stdout.strip()
            return None, f"the generator failed with exit status {done.returncode}: {said}"
        return {key: value for key, value in report.items() if value is not None}, ""

    # -- experiments --

    def run_experiment(self, experiment, results):
        """A B A B: each repeat has all points, each point all brokers. Returns the experiment's entry."""
        entry = {"id": experiment.id, "kind": experiment.kind, "title": experiment.title,
                 "question": experiment.question, "options": {**experiment.options, **self.overrides},
                 "repeats": experiment.repeats, "axis": experiment.axis, "axis_title": experiment.axis_title, "half_of": experiment.half_of, "rows": []}
        rows = {}
        for value in experiment.points():
            for broker in self.brokers:
                if broker.serves(experiment, self.overrides):
                    row = {"broker": broker.name, "value": value, "runs": []}
                    rate = self.half_rate(experiment, broker, results)
                    if rate:
                        row["rate"] = rate
                    entry["rows"].append(row)
                    rows[broker.name, value] = row
        for repeat in range(experiment.repeats):
            for value in experiment.points():
                for broker in self.brokers:
                    row = rows.get((broker.name, value))
                    if row is None or gave_up(row):
                        continue
                    if experiment.kind == "latency" and "rate" not in row:
                        row["runs"].append({"report": None, "error": "its peak rate is not known"})
                        continue
                    options = experiment.at(value)
                    if "rate" in row:
                        options = {**options, "rate": row["rate"]}
                    run = self.run_once(broker, experiment, options)
                    row["runs"].append(run)
                    say(progress(experiment, repeat, row, run))
        return entry

    @staticmethod
    def half_rate(experiment, broker, results):
        """Half of the published rate in the closed loop; None where that failed or is not asked for."""
        if experiment.kind != "latency":
            return None
        whose = experiment.half_of or broker.name
        for entry in results:
            for row in entry["rows"] if entry["id"] == experiment.peak_of else []:
                if row["broker"] == whose:
                    rates = [run["report"].get("publish_rate") for run in row["runs"] if run["report"]]
                    peak = stats.summarize(rates)
                    return max(1, int(peak.median / 2)) if peak and peak.median else None
        return None

    def run_all(self, experiments, base, settings):
        begin = time.monotonic()
        results, complete = [], False
        self.calibrate()
        try:
            for experiment in experiments:
                results.append(self.run_experiment(experiment, results))
            complete = True
        except KeyboardInterrupt:
            say("interrupted: the report has what was finished")
        return {
            "format": FORMAT, "complete": complete,
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "took_s": round(time.monotonic() - begin), "machine": machine.describe(),
            "settings": {"base": base, **settings},
            "brokers": [broker.describe() for broker in self.brokers],
            "calibrations_ms": self.calibrations, "experiments": results,
        }


def gave_up(row):
    """What failed twice and never worked is not tried again."""
    return len(row["runs"]) >= 2 and all(run["report"] is None for run in row["runs"])


def progress(experiment, repeat, row, run):
    where = experiment.id + (f" {experiment.axis} {row['value']}" if row["value"] is not None else "")
    head = f"[{repeat + 1}/{experiment.repeats}] {where}: {row['broker']}: "
    report = run["report"]
    if report is None:
        return head + run["error"]
    figures = []
    if report.get("cpu_us") is not None:
        figures.append(f"{report['cpu_us']:.3f} us")
    if report.get("rate") is not None:
        figures.append(f"{report['rate']:.0f}/s")
    if experiment.kind == "latency" and report.get("latency_p99_us") is not None:
        figures.append(f"p99 {report['latency_p99_us']:.0f} us")
    if not report.get("good", True):
        figures.append("NOT GOOD: " + (report.get("failure") or "see lost, duplicates"))
    return head + ", ".join(figures or ["done"])
