"""bench/compare: its arithmetic, a short run with the floor and a peer that does not start, its three files."""
import html.parser
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

import scenario as s
from broker import ROOT, binary, free_port

sys.path.insert(0, str(ROOT / "bench"))
from comparing import plots, stats, summary  # noqa: E402
from comparing.scenarios import Bad, Experiment, at_half_peak, fitting_seconds, load_sweep, parse_values, standard  # noqa: E402

folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-compare-"))
VOID = {"meta", "br", "link", "img", "input", "hr"}


def build():
    beside = pathlib.Path(binary()).parent
    return beside if (beside / "ternmq-floor").exists() else ROOT / "build"


def compare(*options, out=folder):
    """(exit code, what it said)."""
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "compare"), "--build", str(build()), "--out", str(out),
                           *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400)
    return done.returncode, done.stdout


class Checker(html.parser.HTMLParser):
    """Every element is closed where it should be; nothing is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.counts = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action") and not (value or "").startswith("#"):
                self.problems.append(f"{tag} refers to {value}")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> is out of place")


def check_page(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.problems and not checker.open, (checker.problems, checker.open)
    assert "script" not in checker.counts and "url(" not in text and "@import" not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "an id stands twice"
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids), "a link leads nowhere"
    assert checker.counts["svg"] == checker.counts["title"] - 1 == checker.counts["desc"], checker.counts
    assert "nan" not in text.lower().replace("nanomq", ""), "a figure is not a number"
    return checker.counts


# ---- Arithmetic -------------------------------------------------------------------------------

@s.scenario
def medians_and_spreads():
    assert stats.mad([1, 2, 3, 4, 100]) == 1
    found = stats.summarize([3.0, None, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.count) == (2.0, 1.0, 3.0, 3)
    assert math.isclose(found.spread, 1.4826 / 2)
    assert stats.summarize([None, None]) is None
    assert stats.summarize([0, 0]).spread == 0


@s.scenario
def a_difference_is_one_only_beyond_the_noise():
    def of(*values):
        return stats.summarize(values)
    verdict = stats.compare(of(1.0, 1.1, 1.2), of(10, 11, 12))
    assert verdict.different and math.isclose(verdict.ratio, 0.1)
    assert summary.times(verdict) == "1/10.0"
    assert summary.times(stats.compare(of(10, 11, 12), of(1.0, 1.1, 1.2))) == "10.0 times"
    assert summary.beside(verdict, "x") == "1/10.0 of x"
    overlapping = stats.compare(of(1.0, 2.0, 3.0), of(2.9, 4.0, 5.0))
    assert not overlapping.different and summary.times(overlapping) == "no difference"
    apart_but_tiny = stats.compare(of(1.00, 1.001, 1.002), of(1.01, 1.011, 1.012))
    assert not apart_but_tiny.different
    assert stats.compare(of(1), None) is None and stats.compare(of(1), of(0)) is None
    assert stats.compare(of(0, 0), of(1, 2)).different


@s.scenario
def noise_is_named():
    quiet, wide = stats.summarize([1, 1.01, 1.02]), stats.summarize([1, 2, 3])
    assert stats.noise_reasons(quiet, 0, 0, 0) == []
    assert stats.noise_reasons(wide, 0, 0, 0) == ["spread 74 %"]
    assert stats.noise_reasons(quiet, 0.5, 0.2, 0.1) == ["fixed work ran 50 % slower", "others took 20 % of the CPUs",
                                                         "steal 10 %"]
    assert stats.noise_reasons(stats.summarize([1, 1]), 0, 0, 0) == ["2 repeats only"]
    assert math.isclose(stats.slowdown([2.0, 3.0, None], 2.0), 0.5)
    assert stats.slowdown([], 2.0) == stats.slowdown([1.0], 2.0) == 0


@s.scenario
def figures_have_three_digits():
    for value, text in (0.1721, "0.172"), (10.58, "10.6"), (94_200, "94.2 k"), (7_610_000, "7.61 M"), (0, "0"), \
            (1234, "1,234"), (None, "-"):
        assert summary.number(value) == text, (value, summary.number(value))


@s.scenario
def axes_hold_their_values():
    for values in ([0.05, 13.5], [1, 1], [3, 4000], [999, 1001]):
        axis = plots.Log(values, 0, 100)
        assert all(-1e-6 <= axis.at(v) <= 100 + 1e-6 for v in values), values
        assert len(axis.ticks()) >= 2, values
    for top in 0.003, 1, 17, 24.079, 5e6:
        ticks = plots.nice_ticks(top)
        assert ticks[0] == 0 and ticks[-1] >= top > ticks[-2] and len(ticks) <= 6, (top, ticks)
    assert plots.grouped([(0, "a"), (50, "b"), (60, "c"), (70, "d")]) == [(0, "a"), (60, "b, c, d")]
    moved = plots.spread_labels([10, 12, 50, 11], 17)
    assert sorted(moved) == [10, 27, 44, 61] and moved[2] == 61, moved


@s.scenario
def sweeps_and_plans():
    assert parse_values("1,10,1_000", "x") == [1, 10, 1000]
    for wrong in "1", "1,b", "5,1", "1,1", "":
        try:
            parse_values(wrong, "x")
        except Bad:
            continue
        raise AssertionError(f"{wrong} was taken")
    for sweep in standard()[1]:
        assert sweep.question and sweep.values and sweep.axis not in sweep.options, sweep
    assert load_sweep("fan-out").at(10)["clients"] == 10
    half = at_half_peak(Experiment("p", "p", "", {"clients": "5"}), "mosquitto")
    assert half.kind == "latency" and half.peak_of == "p" and half.half_of == "mosquitto"
    assert fitting_seconds([({}, 10)], 10) == 5 and fitting_seconds([({}, 100)], 8) == 2
    assert fitting_seconds([({}, 1000)], 1) == 1


# ---- A run ------------------------------------------------------------------------------------

@s.scenario
def a_run_writes_three_files():
    small = folder / "small.scenario"
    small.write_text("# Is it | fast?\nscenario pairs\nclients 5\nqos 1\nwarmup 0\n")
    code, said = compare("--quick", "--repeats", 2, "--scenario", small, "--at-half-peak", "--brokers", "ternmq,floor", "--port",
                         free_port(), "--base", "ternmq", "--peer",
                         "broken=echo 'no such <listener>' >&2; exit 3 # {port}")
    assert code == 1 and "broken told nothing" in said, said  # the peer never served
    results = json.loads((folder / "results.json").read_text())
    scenario, *latencies = results["experiments"]
    assert [row["broker"] for row in scenario["rows"]] == ["ternmq", "floor", "broken"]
    assert len(latencies) == 2 and all(entry["kind"] == "latency" for entry in latencies)
    for entry in results["experiments"]:
        for row in entry["rows"][:2]:
            assert len(row["runs"]) == 2 and not any(run["error"] for run in row["runs"]), row
            for run in row["runs"]:
                assert run["report"]["good"] and run["report"]["lost"] == 0, run
                assert run["before_ms"] > 0 and run["after_ms"] > 0 and 0 <= run["foreign"] <= 1, run
    # Half of the base's peak is one rate for all; half of the own one is not.
    assert len({row["rate"] for row in latencies[1]["rows"]}) == 1
    own = {row["broker"]: row.get("rate") for row in latencies[0]["rows"]}
    peak = sum(run["report"]["publish_rate"] for run in scenario["rows"][1]["runs"]) / 2
    assert own["floor"] == int(peak / 2) and own["broken"] is None, own
    broken = scenario["rows"][2]["runs"]
    assert len(broken) == 2, "what never works is not tried again and again"
    assert "exit status 3" in broken[0]["error"] and "no such <listener>" in broken[0]["error"], broken


@s.scenario
def the_pages_are_whole():
    text = (folder / "results.html").read_text()
    counts = check_page(text)
    assert counts["article"] == 3 and counts["svg"] >= 6, counts
    assert "no such &lt;listener&gt;" in text and "no such <listener>" not in text
    page = (folder / "RESULTS.md").read_text()
    assert "### small" in page and "Is it | fast?" in page and "no such <listener>" in page
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, f"a table is uneven: {block}"


@s.scenario
def raw_results_give_the_same_pages():
    again = folder / "again"
    code, said = compare("--render", folder / "results.json", out=again)
    assert code == 0, said
    for name in "results.json", "RESULTS.md", "results.html":
        assert (again / name).read_text() == (folder / name).read_text(), name


@s.scenario
def a_sweep_becomes_lines():
    out = folder / "sweep"
    code, said = compare("--repeats", 1, "--seconds", 1, "--scenario", folder / "small.scenario", "--sweep",
                         "clients=1,20", "--brokers", "floor", "--variant", "one=workers 1", "--port", free_port(), out=out)
    assert code == 0, said
    text = (out / "results.html").read_text()
    check_page(text)
    assert text.count("<polyline") == 2 and "1 repeat only" in text
    assert json.loads((out / "results.json").read_text())["brokers"][1]["config"] == ["workers 1"]


@s.scenario
def by_tls_and_websocket_take_part_who_can():
    out = folder / "ways"
    code, said = compare("--repeats", 1, "--seconds", 1, "--scenario", "tls-connect-resumed", "--scenario", "wss-pairs-q0",
                         "--scenario", folder / "small.scenario", "--option", "websocket", "--brokers", "ternmq,floor",
                         "--peer", "plain=false # {port}", "--port", free_port(), out=out)
    assert code == 0, said
    resumed, both, small = json.loads((out / "results.json").read_text())["experiments"]
    for entry in resumed, both, small:
        assert [row["broker"] for row in entry["rows"]] == ["ternmq"], entry
        report = entry["rows"][0]["runs"][0]["report"]
        assert report["good"] and report["delivered"] > 0, report
        assert ("handshakes" in report) == (entry is not small), report
    assert "of the handshakes resumed a session" in (out / "RESULTS.md").read_text()


@s.scenario
def one_noisy_repeat_is_no_difference():
    """The same results, but one repeat of the floor was as slow as the broker, and others had the CPUs."""
    results = json.loads((folder / "results.json").read_text())
    ternmq, floor, _ = results["experiments"][0]["rows"]
    for row in ternmq, floor:
        row["runs"].append(json.loads(json.dumps(row["runs"][0])))
    for run, fast in zip(ternmq["runs"], (1.0, 1.1, 1.2)):
        run["report"]["cpu_us"] = fast
        run["foreign"] = 0.0
    for run, fast in zip(floor["runs"], (0.5, 0.6, 1.05)):
        run["report"]["cpu_us"] = fast
        run["foreign"] = 0.3
    rows = summary.make_tables(results)[0].rows
    assert not rows[1].to_base.different and "others took 30 % of the CPUs" in rows[1].noisy, rows[1]
    assert not any("others" in reason for reason in rows[0].noisy), rows[0]
    floor["runs"][2]["report"]["cpu_us"] = 0.61
    rows = summary.make_tables(results)[0].rows
    assert rows[1].to_base.different and rows[0].to_floor.different, rows


@s.scenario
def mistakes_are_told():
    for options, words in (
            (["--scenario", "nosuch"], 'there is no scenario "nosuch"; there are: '),
            ([], "name a --scenario"),
            (["--scenario", "pairs-q0", "--sweep", "clients"], 'there is no sweep "clients"'),
            (["--scenario", "pairs-q0", "--base", "other"], '"other" takes no part'),
            (["--scenario", "pairs-q0", "--peer", "x=true"], "with {port} in the command"),
            (["--scenario", "pairs-q0", "--brokers", "nosuch"], 'there is no "nosuch"'),
            (["--render", folder / "small.scenario"], "not JSON"),
            (["--render", folder / "nosuch.json"], "No such file"),
            (["--scenario", "pairs-q0", "--repeats", "0"], "--repeats begins at 1")):
        options = options if "--brokers" in options else [*options, "--brokers", "ternmq,floor"]
        code, said = compare(*options)
        assert code == 2 and words in said, (options, code, said)


s.main()
