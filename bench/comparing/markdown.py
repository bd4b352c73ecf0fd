"""markdown.py - the results as a page of tables."""
from . import stats, summary

KINDS = (("scenario", "Scenarios"), ("latency", "Latency at load"), ("sweep", "Sweeps"))


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " / ")


def table_lines(head, rows):
    lines = ["| " + " | ".join(map(cell, head)) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows]


def machine_text(results):
    m = results["machine"]
    minutes = max(1, round(results["took_s"] / 60))
    return (f"{m['cpus']} CPUs ({m['cpu']}), {m['memory_mib'] / 1024:.0f} GiB, {m['system']}, Linux {m['kernel']}; "
            f"{results['date']}; {minutes} minute{'s' if minutes > 1 else ''} in all.")


def brokers_text(results):
    parts = []
    for b in results["brokers"]:
        version = b["version"].removeprefix(b["kind"]).removeprefix(" version").strip()
        text = f"**{b['name']}**" + (f" {version}" if version else "")
        parts.append(text + (f" with `{'; '.join(b['config'])}`" if b["config"] else ""))
    return ("Compared: " + ", ".join(parts) + ". Each runs with its defaults; at QoS 2 and with persistent sessions both "
            "have no limits to queues and in-flight messages, because with its own mosquitto would close or drop.")


def how_to_read(results):
    base = results["settings"]["base"]
    return (f"Figures are medians, with the lowest and the highest of all repeats. Brokers ran by turns, each started "
            f"afresh for each run. Ratios are to {base}. **No difference** means that the ranges of the repeats overlap, "
            f"or that the medians are less than {stats.percent(stats.RESOLUTION)} apart. **Noisy** is a row whose spread "
            f"(1.4826 x MAD / median) is above {stats.percent(stats.SPREAD_MAX)}, around whose runs a fixed amount of CPU "
            f"work ran {stats.percent(stats.CALIBRATION_MAX)} slower than at its best, where other processes took more "
            f"than {stats.percent(stats.FOREIGN_MAX)} of the CPUs or the hypervisor {stats.percent(stats.STEAL_MAX)}, or "
            f"that has fewer than {stats.REPEATS_MIN} repeats. The floor is a relay with the same traffic and no MQTT "
            "logic.")


def calibration_text(results):
    found = stats.summarize(results["calibrations_ms"])
    if not found:
        return ""
    return (f"The same CPU work took {found.median:.1f} ms in the median, {found.low:.1f} to {found.high:.1f} ms over the "
            f"whole measurement.")


def noise_text(tables):
    """How much of it all can be trusted; "" where all can."""
    rows = [row for table in tables for row in table.rows if row.primary]
    noisy = sum(bool(row.noisy) for row in rows)
    if not noisy:
        return ""
    text = f"{noisy} of {len(rows)} rows are noisy"
    return text + (": the machine was too busy to tell small differences." if 2 * noisy > len(rows) else ".")


def heading(table):
    columns = [m for m in table.columns if m.key not in ("cpu_user_us", "cpu_system_us")]
    return columns, [column_title(m, table) for m in columns]


def column_title(metric, table):
    unit = summary.unit_of(metric, table.entry)
    if metric.key == "cpu_us":
        return f"{unit[:2]} of CPU{unit[2:]}"
    return f"{metric.title}, {unit}" if unit else metric.title


def value_text(row, metric, table):
    found = row.figures.get(metric.key)
    if metric is table.metric or metric.key == "cpu_us":
        text = summary.with_range(found)
    else:
        text = summary.number(found.median) if found else "-"
    return text


def parts_text(row):
    """User and system time."""
    found = [row.figures.get(k) for k in ("cpu_user_us", "cpu_system_us")]
    return " + ".join(summary.number(f.median) for f in found) if all(found) else "-"


def scenario_cells(table, base):
    """The head, and a list of texts for each broker; the last one is of remarks."""
    columns, titles = heading(table)
    has_floor = any(row.to_floor for row in table.rows)
    has_rate = any(row.rate_to_base for row in table.rows) and table.metric.key != "rate" and "rate" not in \
        table.entry["options"] and table.entry["kind"] != "latency"
    has_parts = bool(columns) and columns[0].key == "cpu_us"
    if has_parts:
        titles.insert(1, "user + system")
    head = ["broker", *titles, f"{table.metric.title} to {base}"]
    head += [f"rate to {base}"] if has_rate else []
    head += ["to the floor"] if has_floor else []
    head += ["remarks"]
    rows = [head]
    for row in table.rows:
        name = row.broker + (f" at {row.rate_asked:,}/s" if row.rate_asked else "")
        cells = [name, *(value_text(row, m, table) for m in columns), summary.times(row.to_base)]
        if has_parts:
            cells.insert(2, parts_text(row))
        cells += [summary.times(row.rate_to_base)] if has_rate else []
        cells += [summary.of_floor(row.to_floor)] if has_floor else []
        rows.append(cells + ["; ".join(summary.remarks(row))])
    return rows


def scenario_table(table, base):
    head, *rows = scenario_cells(table, base)
    return head, rows


def sweep_lines(table):
    """A line for each value, a column for each broker; remarks below."""
    brokers = table.brokers
    head = [table.entry["axis_title"], *brokers]
    rows, below = [], []
    for value in dict.fromkeys(row.value for row in table.rows):
        cells = [f"{value:,}"]
        for broker in brokers:
            row = table.row(broker, value)
            text = summary.with_range(row.primary) if row else "-"
            if row and row.noisy:
                text += ", noisy"
            cells.append(text)
            remarks = summary.remarks(row, noise=False) if row else []
            if remarks:
                below.append(f"- {broker} at {value:,}: {'; '.join(remarks)}")
        rows.append(cells)
    noisy = sum(bool(row.noisy) for row in table.rows)
    if noisy:
        below.insert(0, f"- {noisy} of {len(table.rows)} points are noisy; the HTML page tells why")
    unit = summary.unit_of(table.metric, table.entry)
    title = f"{table.metric.title}, {unit}:" if unit else f"{table.metric.title}:"
    return [title, "", *table_lines(head, rows)] + (["", *(line.replace("\n", " / ") for line in below)] if below else [])


def section(table, base):
    entry = table.entry
    lines = [f"### {entry['title']}", ""]
    if entry["question"]:
        lines += [entry["question"], ""]
    lines += [f"`{summary.options_text(entry)}`, {summary.repeats_text(entry)}", ""]
    lines += sweep_lines(table) if entry["kind"] == "sweep" else table_lines(*scenario_table(table, base))
    return lines + [""]


def render(results):
    """The whole page."""
    tables = summary.make_tables(results)
    base = results["settings"]["base"]
    lines = ["# Brokers compared", "", machine_text(results), brokers_text(results), "", how_to_read(results), "",
             calibration_text(results), noise_text(tables), ""]
    if not results["complete"]:
        lines += ["**The measurement was interrupted; this is what was finished.**", ""]
    for kind, title in KINDS:
        chosen = [t for t in tables if t.entry["kind"] == kind]
        if chosen:
            lines += [f"## {title}", ""]
            for table in chosen:
                lines += section(table, base)
    return "\n".join(lines).rstrip() + "\n"
