"""summary.py - from raw results to tables: figures, noise, ratios. What both pages show is made here."""
from dataclasses import dataclass, field

from . import stats


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    scale: float = 1.0
    better: str = "lower"


METRICS = {m.key: m for m in (
    Metric("cpu_us", "CPU", "us"),
    Metric("cpu_user_us", "user", "us"),
    Metric("cpu_system_us", "system", "us"),
    Metric("rate", "rate", "/s", better="higher"),
    Metric("latency_p50_us", "p50", "us"),
    Metric("latency_p99_us", "p99", "us"),
    Metric("latency_p999_us", "p99.9", "us"),
    Metric("ack_latency_p50_us", "ack p50", "us"),
    Metric("ack_latency_p99_us", "ack p99", "us"),
    Metric("ack_latency_p999_us", "ack p99.9", "us"),
    Metric("visit_latency_p50_us", "visit p50", "us"),
    Metric("visit_latency_p99_us", "visit p99", "us"),
    Metric("come_latency_p50_us", "coming p50", "us"),
    Metric("come_latency_p99_us", "coming p99", "us"),
    Metric("command_latency_p50_us", "command p50", "us"),
    Metric("command_latency_p99_us", "command p99", "us"),
    Metric("storm_p99_us", "storm p99", "us"),
    Metric("enqueue_rate", "queued", "/s", better="higher"),
    Metric("drain_rate", "drained", "/s", better="higher"),
    Metric("session_rate", "sessions made", "/s", better="higher"),
    Metric("bytes_per_connection", "memory each", "B"),
    Metric("setup_cpu_us", "CPU to connect", "us"),
    Metric("bytes_per_subscription", "memory per subscription", "B"),
    Metric("subscription_cpu_us", "CPU per subscription", "us"),
    Metric("rss_full_kib", "resident, full", "MiB", 1 / 1024),
    Metric("rss_kib", "resident", "MiB", 1 / 1024),
    Metric("switches_per_1000", "switches per message", "", 1 / 1000),
)}
# The figure that a table is about: the first that there is.
PRIMARY = {"latency": ("latency_p99_us",),
           "scenario": ("cpu_us", "bytes_per_connection", "drain_rate", "session_rate"),
           "sweep": ("cpu_us", "bytes_per_connection", "drain_rate", "session_rate")}
FAULTS = (("lost", "lost"), ("lost_acknowledged", "lost though acknowledged"), ("duplicates", "twice"),
          ("reordered", "out of order"), ("stray", "misrouted"), ("refused", "refused"),
          ("unacknowledged", "handshakes not ended"), ("connections_lost", "connections lost"),
          ("sessions_lost", "sessions lost"))
# Figures of connections, told where there are enough of them to divide by.
OF_CONNECTIONS, CONNECTIONS_MIN = ("bytes_per_connection", "setup_cpu_us"), 1000
LATE_SHARE = 0.5  # of the p99 that is the generator's own lateness: more, and the p99 says little


@dataclass
class Row:
    broker: str
    value: object                                # of a sweep's option
    figures: dict                                # key -> Summary, in the metric's unit
    primary: object                              # Summary or None
    noisy: list                                  # reasons
    errors: list                                 # of runs that told nothing
    faults: str                                  # what the broker did wrong
    bad_runs: int                                # in which it broke what the QoS promises
    notes: list = field(default_factory=list)
    rate_asked: object = None
    to_base: object = None                       # Verdict of the primary figure
    to_floor: object = None
    rate_to_base: object = None


@dataclass
class Table:
    entry: dict
    metric: Metric
    columns: list                                # metrics that some row has
    rows: list

    @property
    def brokers(self):
        return list(dict.fromkeys(row.broker for row in self.rows))

    def row(self, broker, value=None):
        return next((r for r in self.rows if r.broker == broker and r.value == value), None)


def reports_of(row):
    return [run["report"] for run in row["runs"] if run["report"]]


def figures_of(reports):
    figures = {}
    few = all(r.get("clients", 0) < CONNECTIONS_MIN for r in reports)
    for key, metric in METRICS.items():
        if few and key in OF_CONNECTIONS:
            continue
        summary = stats.summarize([r[key] * metric.scale for r in reports if r.get(key) is not None])
        if summary:
            figures[key] = summary
    return figures


def primary_key(kind, rows):
    """Of the candidates the first that any row has."""
    for key in PRIMARY[kind]:
        if any(r.get(key) is not None for row in rows for r in reports_of(row)):
            return key
    return PRIMARY[kind][0]


def faults_of(reports):
    texts = []
    for key, text in FAULTS:
        total = sum(r.get(key) or 0 for r in reports)
        if total:
            texts.append(f"{total:,.0f} {text}")
    return ", ".join(texts)


def surroundings(row, best_ms):
    runs = [run for run in row["runs"] if run["report"]]
    median = lambda values: s.median if (s := stats.summarize(values)) else 0.0  # noqa: E731
    return (median([stats.slowdown([run.get("before_ms"), run.get("after_ms")], best_ms) for run in runs]),
            median([run.get("foreign") for run in runs]), median([run.get("steal") for run in runs]))


def make_row(row, key, best_ms):
    reports = reports_of(row)
    figures = figures_of(reports)
    primary = figures.get(key)
    made = Row(row["broker"], row["value"], figures, primary,
               stats.noise_reasons(primary, *surroundings(row, best_ms)),
               list(dict.fromkeys(run["error"] for run in row["runs"] if run["error"])), faults_of(reports),
               sum(not r.get("good", True) for r in reports), rate_asked=row.get("rate"))
    late = stats.summarize([r["lateness_p99_us"] for r in reports if r.get("lateness_p99_us") is not None])
    p99 = figures.get("latency_p99_us")
    if late and p99 and late.median > LATE_SHARE * p99.median:
        made.notes.append(f"the generator itself was {late.median:,.0f} us late at p99")
    resumed = stats.summarize([r["handshakes_resumed"] / r["handshakes"] for r in reports if r.get("handshakes") and
                               r.get("handshakes_resumed") is not None])
    if resumed:
        made.notes.append(f"{resumed.median:.0%} of the handshakes resumed a session")
    asked, done = row.get("rate"), stats.summarize([r.get("publish_rate") for r in reports])
    if asked and done and done.median < 0.95 * asked:
        made.notes.append(f"reached only {done.median:,.0f} of {asked:,} messages a second")
    return made


def make_table(entry, base, floors, best_ms):
    key = primary_key(entry["kind"], entry["rows"])
    rows = [make_row(row, key, best_ms) for row in entry["rows"]]
    columns = [m for k, m in METRICS.items() if any(k in row.figures for row in rows)]
    table = Table(entry, METRICS[key], columns, rows)
    for row in rows:
        beside = table.row(base, row.value)
        if beside and beside is not row:
            row.to_base = stats.compare(row.primary, beside.primary)
            row.rate_to_base = stats.compare(row.figures.get("rate"), beside.figures.get("rate"))
        floor = next((r for name in floors if (r := table.row(name, row.value))), None)
        if floor and floor is not row:
            row.to_floor = stats.compare(row.primary, floor.primary)
    return table


def make_tables(results):
    best_ms = min((c for c in results["calibrations_ms"] if c), default=0)
    floors = [b["name"] for b in results["brokers"] if b["kind"] == "floor"]
    return [make_table(entry, results["settings"]["base"], floors, best_ms) for entry in results["experiments"]]


# ---- Words ------------------------------------------------------------------------------------

def number(value):
    """Three digits that count: 0.172, 10.6, 94.2 k, 7.61 M."""
    if value is None:
        return "-"
    for limit, suffix in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return _three(value / (limit if suffix == " M" else 1e3)) + suffix
    return _three(value)


def _three(value):
    size = abs(float(f"{value:.3g}"))  # 9.999 is 10.0
    if size >= 1000:
        return f"{value:,.0f}"
    for limit, decimals in ((100, 0), (10, 1), (1, 2)):
        if size >= limit:
            return f"{value:.{decimals}f}"
    return f"{value:.3f}" if value else "0"


def with_range(summary):
    """Median and, with more than one repeat, the lowest and the highest."""
    if summary is None:
        return "-"
    if summary.count < 2:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.low)} to {number(summary.high)})"


def times(verdict):
    """How it compares with the base, in words that need no sign convention."""
    if verdict is None:
        return "-"
    if not verdict.different:
        return "no difference"
    if verdict.ratio >= 1:
        return f"{number(verdict.ratio)} times"
    return f"1/{number(1 / verdict.ratio)}" if verdict.ratio > 0 else "none at all"


def beside(verdict, name):
    """The same as a phrase: "10.6 times mosquitto", "1/30 of mosquitto", "no difference to the floor"."""
    words = times(verdict)
    return f"{words} to {name}" if not verdict.different else f"{words} {'' if verdict.ratio >= 1 else 'of '}{name}"


def of_floor(verdict):
    if verdict is None:
        return "-"
    return f"{number(verdict.ratio)} x" if verdict.different else "no difference"


def remarks(row, noise=True):
    """What has to stand beside a row's figures."""
    parts = []
    if noise and row.noisy:
        parts.append("noisy: " + ", ".join(row.noisy))
    if row.bad_runs:
        parts.append(f"broke its promise in {row.bad_runs} run{'s' if row.bad_runs > 1 else ''}")
    if row.faults:
        parts.append(row.faults)
    return parts + row.notes + row.errors


def options_text(entry):
    """The generator's options as one would type them."""
    return " ".join(f"--{option} {value}".strip() for option, value in entry["options"].items())


def repeats_text(entry):
    return f"{entry['repeats']} repeat{'s' if entry['repeats'] != 1 else ''}"


def unit_of(metric, entry):
    """CPU is per message, or per connection made."""
    if metric.key.startswith("cpu_"):
        return "us a connection" if entry["options"].get("scenario") == "connect" else "us a message"
    return metric.unit
