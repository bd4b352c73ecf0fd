"""page.py - the results as one HTML file that needs nothing else."""
import html
import itertools
import re

from . import markdown, plots, summary

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2230; --soft: #5a6477; --edge: #dfe3ea;
  --grid: #e6e9ef; --whisker: #1b2230; --warn: #8a4b00; --warnback: #fff3e0; --link: #1d57b8;
  --k0: #2563c9; --k1: #c2570c; --k2: #0f8a5f; --k3: #8b46c9; --k4: #c02671; --k5: #0e7f93; --k6: #8a6116; --k7: #4a5a14;
  --kf: #7a8394; }
@media (prefers-color-scheme: dark) { :root { --page: #12161d; --card: #1a2029; --ink: #e6eaf1; --soft: #9aa5b8;
  --edge: #2c3543; --grid: #2a323f; --whisker: #e6eaf1; --warn: #ffc27a; --warnback: #3a2a14; --link: #8ab4ff;
  --k0: #6fa0ff; --k1: #ff9a52; --k2: #4fd1a1; --k3: #c39bff; --k4: #ff7fb6; --k5: #4fc6dc; --k6: #d9b25f; --k7: #b5c95a;
  --kf: #9aa3b2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main, header { max-width: 1200px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: 30px; margin: 0 0 6px; } h2 { font-size: 22px; margin: 44px 0 12px; }
h3 { font-size: 18px; margin: 0 0 4px; }
p { margin: 6px 0; max-width: 78ch; } .soft { color: var(--soft); }
a { color: var(--link); }
nav ul { columns: 3 220px; padding-left: 18px; margin: 8px 0; }
article { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 18px 20px; margin: 0 0 18px; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; color: var(--soft); overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: 10px 28px; margin: 12px 0 4px; }
figure { margin: 0; overflow-x: auto; max-width: 100%; flex: 1 1 330px; } figure.wide { flex-basis: 100%; }
figcaption { font-weight: 600; font-size: 14px; }
svg { width: 100%; height: auto; display: block; font: 13px system-ui, "Segoe UI", Roboto, sans-serif; }
.scroll { overflow-x: auto; margin-top: 10px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--edge); vertical-align: top; }
th { font-weight: 600; color: var(--soft); } td, tbody th { white-space: nowrap; }
ul.remarks { font-size: 14px; padding-left: 18px; margin: 10px 0 0; } ul.remarks li { margin: 3px 0; }
.warn { color: var(--warn); background: var(--warnback); border-radius: 6px; padding: 1px 7px; }
ul.verdicts { list-style: none; padding: 0; margin: 8px 0; display: flex; flex-wrap: wrap; gap: 6px 10px; }
ul.verdicts li { border: 1px solid var(--edge); border-radius: 999px; padding: 2px 12px; font-size: 14px; }
details summary { cursor: pointer; color: var(--soft); font-size: 14px; margin-top: 8px; }
.k0 { --c: var(--k0); } .k1 { --c: var(--k1); } .k2 { --c: var(--k2); } .k3 { --c: var(--k3); } .k4 { --c: var(--k4); }
.k5 { --c: var(--k5); } .k6 { --c: var(--k6); } .k7 { --c: var(--k7); } .kf { --c: var(--kf); }
.fill { fill: var(--c); } .part1 { fill-opacity: .5; } .mark { fill: var(--c); stroke: var(--card); stroke-width: 1; }
.ringmark { fill: var(--card); stroke: var(--c); stroke-width: 2.5; }
.stroke { stroke: var(--c); stroke-width: 2; } .line { stroke: var(--c); stroke-width: 2; stroke-opacity: .45; }
.path { fill: none; stroke: var(--c); stroke-width: 2.2; } .faint { opacity: .4; }
.noisy { fill: none; stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 3; }
.whisker { stroke: var(--whisker); stroke-width: 1.3; } .grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.between { stroke: var(--edge); stroke-width: 2; }
text { fill: var(--ink); } text.tick { fill: var(--soft); font-size: 12px; } text.value { font-weight: 600; }
"""
QUANTILES = (("latency_p50_us", "p50"), ("latency_p99_us", "p99"), ("latency_p999_us", "p99.9"))
ACKS = tuple((f"ack_{key}", name) for key, name in QUANTILES)
BARS = ("rate", "enqueue_rate", "drain_rate", "session_rate", "bytes_per_connection", "setup_cpu_us",
        "bytes_per_subscription")


def esc(text):
    return html.escape(str(text)).replace("\n", "<br>")


def sentence(text):
    return text[0].upper() + text[1:]


def plain(text):
    """What Markdown of our own has, as HTML."""
    text = html.escape(text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def figure(title, plot, wide=False):
    return f'<figure{" class=wide" if wide else ""}><figcaption>{esc(title)}</figcaption>{plot}</figure>'


def table_html(head, rows, caption):
    """The last cell of each row is of remarks, which stand below the table."""
    cells = "".join(f'<th scope="col">{esc(h)}</th>' for h in head[:-1])
    lines = ["".join([f'<tr><th scope="row">{esc(row[0])}</th>', *(f"<td>{esc(c)}</td>" for c in row[1:-1]), "</tr>"])
             for row in rows]
    remarks = "".join(f'<li><strong>{esc(row[0])}</strong> <span class="warn">{esc(row[-1])}</span></li>'
                      for row in rows if row[-1])
    return (f'<div class="scroll"><table aria-label="{esc(caption)}"><thead><tr>{cells}</tr></thead>'
            f'<tbody>{"".join(lines)}</tbody></table></div>' + (f'<ul class="remarks">{remarks}</ul>' if remarks else ""))


class Page:
    def __init__(self, results):
        self.results, self.base = results, results["settings"]["base"]
        self.tables = summary.make_tables(results)
        self.keys = plots.Keys(results["brokers"])
        self.serial = itertools.count(1)

    # -- plots --

    @staticmethod
    def shares(row, metric):
        """User and system time as parts of the bar; their medians do not add up to that of the sum."""
        parts = [row.figures[k].median for k in ("cpu_user_us", "cpu_system_us") if k in row.figures]
        if metric.key != "cpu_us" or not sum(parts):
            return []
        return [part * row.figures["cpu_us"].median / sum(parts) for part in parts]

    def bar_plot(self, table, metric, title):
        rows = []
        for row in table.rows:
            found = row.figures.get(metric.key)
            if not found:
                continue
            rows.append((row.broker, found, self.shares(row, metric), bool(row.noisy)))
        unit = summary.unit_of(metric, table.entry) or metric.title
        if metric.key == "cpu_us":
            unit += ": user, and paler system"
        return figure(title, plots.bars(f"{table.entry['title']}: {title}", unit, rows, self.keys, next(self.serial)))

    def quantile_plot(self, table, keys, title):
        rows = []
        for row in table.rows:
            found = [(name, row.figures[key]) for key, name in keys if key in row.figures]
            if found:
                rows.append((row.broker, found, bool(row.noisy)))
        return figure(title, plots.quantiles(f"{table.entry['title']}: {title}", rows, self.keys, next(self.serial)))

    def scenario_plots(self, table):
        keys = {m.key: m for m in table.columns}
        out = []
        if "cpu_us" in keys:
            each = "connection" if table.entry["options"].get("scenario") == "connect" else "message"
            out.append(self.bar_plot(table, keys["cpu_us"], f"CPU per {each}"))
        paced = "rate" in table.entry["options"] or table.entry["kind"] == "latency"
        for key in BARS:
            if key in keys and not (key == "rate" and paced) and len(out) < 3:
                out.append(self.bar_plot(table, keys[key], sentence(keys[key].title)))
        if "latency_p50_us" in keys:
            out.append(self.quantile_plot(table, QUANTILES, "Latency"))
        if "ack_latency_p50_us" in keys:
            out.append(self.quantile_plot(table, ACKS, "Acknowledgement latency"))
        return f'<div class="plots">{"".join(out)}</div>' if out else ""

    def sweep_plot(self, table):
        series = []
        for broker in table.brokers:
            points = [(row.value, row.primary, bool(row.noisy)) for row in table.rows
                      if row.broker == broker and row.primary]
            if points:
                series.append((broker, points))
        if not series:
            return ""
        unit = summary.unit_of(table.metric, table.entry)
        title = f"{table.metric.title}, {unit}" if unit else table.metric.title
        plot = plots.lines(table.entry["title"], table.entry["axis_title"], title, series, self.keys, next(self.serial))
        return f'<div class="plots">{figure(title, plot, wide=True)}</div>'

    def overview(self):
        rows = []
        for table in self.tables:
            points = [(row.broker, row.primary, bool(row.noisy)) for row in table.rows if row.primary]
            if table.entry["kind"] == "scenario" and table.metric.key == "cpu_us" and points and \
                    table.entry["options"].get("scenario") != "connect":
                rows.append((table.entry["title"], points))
        if len(rows) < 2:
            return ""
        plot = plots.overview("CPU per message in all scenarios", "us of CPU a message", rows, self.keys,
                              next(self.serial))
        return f'<h2 id="overview">Overview</h2><article>{figure("CPU per message", plot, wide=True)}</article>'

    # -- text --

    def verdicts(self, table):
        items = []
        for row in table.rows:
            parts = []
            if row.to_base:
                parts.append(summary.beside(row.to_base, self.base))
            if row.to_floor:
                parts.append(summary.beside(row.to_floor, "the floor"))
            if parts and row.broker != self.base:
                items.append(f"<li><strong>{esc(row.broker)}</strong>: {esc(', '.join(parts))}</li>")
        lead = f'<p class="soft">{esc(sentence(table.metric.title))} compared:</p>' if items else ""
        return f'{lead}<ul class="verdicts">{"".join(items)}</ul>' if items else ""

    def article(self, table):
        entry = table.entry
        parts = [f'<article id="{esc(entry["id"])}"><h3>{esc(entry["title"])}</h3>']
        if entry["question"]:
            parts.append(f"<p>{esc(entry['question'])}</p>")
        parts.append(f"<p><code>{esc(summary.options_text(entry))}</code>, {summary.repeats_text(entry)}</p>")
        if entry["kind"] == "sweep":
            parts += [self.sweep_plot(table), "<details><summary>Figures</summary>", self.sweep_table(table), "</details>"]
        else:
            head, *rows = markdown.scenario_cells(table, self.base)
            parts += [self.verdicts(table), self.scenario_plots(table), table_html(head, rows, entry["title"])]
        return "".join(parts) + "</article>"

    def sweep_table(self, table):
        head = [f"broker at {table.entry['axis_title']}", table.metric.title, f"to {self.base}", "to the floor", "remarks"]
        rows = [[f"{row.broker} at {row.value:,}", summary.with_range(row.primary), summary.times(row.to_base),
                 summary.of_floor(row.to_floor), "; ".join(summary.remarks(row))] for row in table.rows]
        return table_html(head, rows, table.entry["title"])

    def contents(self):
        items = "".join(f'<li><a href="#{esc(t.entry["id"])}">{esc(t.entry["title"])}</a></li>' for t in self.tables)
        return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'

    def render(self):
        results = self.results
        body = [f"<header><h1>Brokers compared</h1><p>{esc(markdown.machine_text(results))}</p>",
                f"<p>{plain(markdown.brokers_text(results))}</p>", self.contents(),
                f'<details><summary>How to read this</summary><p>{plain(markdown.how_to_read(results))}</p></details>',
                f'<p class="soft">{esc(markdown.calibration_text(results))}</p>']
        noise = markdown.noise_text(self.tables)
        if noise:
            body.append(f'<p><span class="warn">{esc(noise)}</span></p>')
        if not results["complete"]:
            body.append('<p class="warn">The measurement was interrupted; this is what was finished.</p>')
        body.append("</header><main>")
        body.append(self.overview())
        for kind, title in markdown.KINDS:
            chosen = [t for t in self.tables if t.entry["kind"] == kind]
            if chosen:
                body.append(f"<h2>{title}</h2>" + "".join(self.article(t) for t in chosen))
        body.append("</main>")
        return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Brokers compared</title>'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                f"<style>{STYLE}</style></head>\n<body>{chr(10).join(body)}</body></html>\n")


def render(results):
    return Page(results).render()
