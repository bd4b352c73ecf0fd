"""scenarios.py - what is run: scenario files, sweeps, and the experiments that come of them."""
import pathlib
import re
from dataclasses import dataclass, field, replace

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "scenarios"

# What the floor answers to; it has no sessions, no retained messages, no shared subscriptions.
FLOOR_SCENARIOS = {"pairs", "fan-in", "fan-out", "idle", "connect", "durable-pairs", "durable-qos1", "durable-qos2"}
DURABLE_SCENARIOS = {"durable-pairs", "durable-qos1", "durable-qos2", "offline-queue", "recover"}
# Their work is fixed: `seconds` does not bound it.
FIXED_WORK_S = {"offline-queue": 8, "recover": 40}
# What lasts, when the scenario does not say: the generator's own defaults.
SECONDS, WARMUP = 5, 1


class Bad(Exception):
    """The operator's mistake, in words for the operator."""


@dataclass
class Experiment:
    """kind: "scenario", "sweep" or "latency". options: of ternmq-bench, without the dashes."""
    id: str
    title: str
    question: str
    options: dict
    kind: str = "scenario"
    axis: str = ""                                # sweeps: the option that varies
    axis_title: str = ""
    values: list = field(default_factory=list)
    half_of: str = ""                             # latency: "" = of each broker's own peak
    peak_of: str = ""                             # latency: the id of the experiment that tells the peak
    repeats: int = 1

    @property
    def scenario(self):
        return self.options.get("scenario", "pairs")

    def points(self):
        return self.values if self.kind == "sweep" else [None]

    def at(self, value):
        """The options of one point."""
        return self.options if value is None else {**self.options, self.axis: value}


def read_lines(path):
    """(question, [(option, value)]): the first block of comments is the question."""
    try:
        text = pathlib.Path(path).read_text()
    except OSError as e:
        raise Bad(f"{path}: {e.strerror}") from None
    question, pairs = [], []
    for n, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("#"):
            if not pairs:
                question.append(line.lstrip("# "))
        elif line:
            option, _, value = line.partition(" ")
            if not re.fullmatch(r"[a-z][a-z0-9-]*", option):
                raise Bad(f'{path}:{n}: expected "option value", not "{line}"')
            pairs.append((option, value.strip()))
    return " ".join(question), pairs


def find(name, suffix):
    """A file by its path, or by its name in the folder."""
    for path in (pathlib.Path(name), FOLDER / name, FOLDER / (name + suffix)):
        if path.is_file():
            return path
    known = sorted(p.stem for p in FOLDER.glob("*" + suffix))
    raise Bad(f'there is no {suffix[1:]} "{name}"; there are: {", ".join(known) or "none"}')


def load_scenario(name):
    path = find(name, ".scenario")
    question, pairs = read_lines(path)
    return Experiment(path.stem, path.stem, question, dict(pairs))


def load_sweep(name):
    """A sweep's file is a scenario's with a line "sweep OPTION V,V,...", and perhaps "axis TITLE"."""
    path = find(name, ".sweep")
    question, pairs = read_lines(path)
    options, axis, values, title = {}, None, None, ""
    for option, value in pairs:
        if option == "sweep":
            axis, _, listed = value.partition(" ")
            values = parse_values(listed, f"{path}: sweep")
        elif option == "axis":
            title = value
        else:
            options[option] = value
    if not axis:
        raise Bad(f'{path}: there is no line "sweep OPTION VALUE,VALUE,..."')
    return make_sweep(Experiment(path.stem, path.stem, question, options), axis, values, title)


def parse_values(text, where):
    try:
        values = [int(v.replace("_", "")) for v in text.split(",")]
    except ValueError:
        raise Bad(f'{where}: expected numbers with commas between, not "{text}"') from None
    if len(values) < 2 or values != sorted(set(values)):
        raise Bad(f'{where}: expected at least two numbers, ascending, not "{text}"')
    return values


def make_sweep(base, axis, values, title=""):
    return replace(base, kind="sweep", axis=axis, values=values, axis_title=title or axis)


def sweep_of(base, text):
    """OPTION=V,V,... over a scenario."""
    axis, equals, listed = text.partition("=")
    axis = axis.lstrip("-")
    if not equals or not axis:
        raise Bad(f'--sweep: expected OPTION=VALUE,VALUE,..., not "{text}"')
    sweep = make_sweep(base, axis, parse_values(listed, "--sweep"))
    return replace(sweep, id=f"{base.id}-by-{axis}", title=f"{base.title} by {axis}")


def at_half_peak(base, broker):
    """The scenario in open loop at half of what a broker (or "" = each one itself) did in closed loop."""
    whose = f"{broker}'s" if broker else "its own"
    return replace(base, id=f"{base.id}-at-half-of-{broker or 'own'}", kind="latency", half_of=broker,
                   title=f"{base.title}: latency at half of {whose} peak rate", peak_of=base.id,
                   question=f"How long do messages take at half of {whose} peak? Open loop: a message is sent when it "
                            "is due, and its time counts from then.")


def standard():
    """All scenario files, then all sweeps. Without `recover`, which takes long, and whose question a kill
    answers that is not made here."""
    names = sorted(p.stem for p in FOLDER.glob("*.scenario") if p.stem != "recover")
    if not names:
        raise Bad(f"there are no scenario files in {FOLDER}")
    return [load_scenario(n) for n in names], [load_sweep(p.stem) for p in sorted(FOLDER.glob("*.sweep"))]


def keeps_its_time(options):
    """What happens at a time of its own needs the seconds that the scenario says."""
    return "storm-at" in options or "kill-at" in options


def seconds_of(options, seconds=None):
    """How long one run takes in all, about, the start of the broker included."""
    overhead = 0.9 + int(options.get("clients", 50)) / 4000 + int(options.get("extra-subscriptions", 0)) / 100000
    if options.get("scenario") in FIXED_WORK_S:
        return overhead + FIXED_WORK_S[options["scenario"]]
    window = seconds if seconds is not None and not keeps_its_time(options) else int(options.get("seconds", SECONDS))
    return overhead + window + int(options.get("warmup", WARMUP))


def fitting_seconds(points, minutes):
    """The measured seconds, 1 to 5, with which all runs fit. points: [(options, number of runs)]."""
    for seconds in (5, 4, 3, 2):
        if sum(seconds_of(options, seconds) * runs for options, runs in points) <= minutes * 60:
            return seconds
    return 1
