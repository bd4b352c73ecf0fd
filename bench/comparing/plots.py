"""plots.py - plots as SVG elements, for a page whose style sheet has the colours.

Every plot has a title and a description for those who do not see it; brokers differ in shape as well as in
colour. Classes: k0 to k7 and kf (the floor) set the colour, `fill`, `line` and so on how it is used."""
import html
import math

from .summary import number

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down", "ring", "bar")


class Keys:
    """Colour and shape of each broker, the same all over the page."""

    def __init__(self, brokers):
        others = [b["name"] for b in brokers if b["kind"] != "floor"]
        floors = [b["name"] for b in brokers if b["kind"] == "floor"]
        self.order = others + floors
        self.css = {name: f"k{i % 8}" for i, name in enumerate(others)} | {name: "kf" for name in floors}
        self.shape = {name: SHAPES[i % len(SHAPES)] for i, name in enumerate(self.order)}


def text(x, y, content, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{html.escape(str(content))}</text>'


def line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def rect(x, y, width, height, css):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" class="{css}"/>'


def mark(x, y, shape, css, size=5.0):
    s = size
    points = {
        "triangle": [(x, y - s), (x + s, y + s), (x - s, y + s)],
        "down": [(x, y + s), (x + s, y - s), (x - s, y - s)],
        "diamond": [(x, y - s * 1.25), (x + s * 1.25, y), (x, y + s * 1.25), (x - s * 1.25, y)],
        "bar": [(x - s / 2.5, y - s), (x + s / 2.5, y - s), (x + s / 2.5, y + s), (x - s / 2.5, y + s)],
    }
    if shape == "square":
        return rect(x - s * 0.9, y - s * 0.9, s * 1.8, s * 1.8, css + " mark")
    if shape in points:
        return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points[shape])}" class="{css} mark"/>'
    if shape == "cross":
        return line(x - s, y - s, x + s, y + s, css + " stroke") + line(x - s, y + s, x + s, y - s, css + " stroke")
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s:.1f}" class="{css} {"ringmark" if shape == "ring" else "mark"}"/>'


def svg(width, height, title, description, body, serial):
    """serial: a number that no other plot of the page has."""
    return (f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-labelledby="t{serial} d{serial}" '
            f'style="max-width:{width}px;min-width:{min(width, 330)}px">'
            f'<title id="t{serial}">{html.escape(title)}</title><desc id="d{serial}">{html.escape(description)}</desc>'
            f'{"".join(body)}</svg>')


def legend(keys, names, x, y, width):
    """Marks and names in a row, wrapped. Returns (elements, height)."""
    out, left, top = [], x, y
    for name in names:
        need = 24 + 7.2 * len(name)
        if left + need > x + width and left > x:
            left, top = x, top + 20
        out.append(mark(left + 6, top - 4, keys.shape[name], keys.css[name]))
        out.append(text(left + 16, top, name, "label"))
        left += need
    return out, top - y + 20


# ---- Axes ---------------------------------------------------------------------------------------

def nice_ticks(top):
    """0 and up to five round numbers to beyond top."""
    if top <= 0:
        return [0, 1]
    rough = top / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    return [i * step for i in range(int(math.ceil(top / step - 1e-9)) + 1)]


class Log:
    """A logarithmic axis over whole decades' thirds: 1, 2, 5."""

    def __init__(self, values, begin, end):
        values = [v for v in values if v > 0] or [1.0]
        self.low, self.high = _round_down(min(values)), _round_up(max(values))
        if self.low == self.high:
            self.high *= 10
        self.begin, self.end = begin, end

    def at(self, value):
        value = max(value, self.low)
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        decades = math.log10(self.high / self.low)
        steps = (1, 2, 5) if decades <= 2.5 else (1,)
        out = []
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            out += [s * 10.0 ** power for s in steps if self.low * 0.999 <= s * 10.0 ** power <= self.high * 1.001]
        return out


class Places:
    """An axis of values at equal distances, where a logarithm has no place for 0."""

    def __init__(self, values, begin, end):
        self.values, self.begin, self.end = values, begin, end

    def at(self, value):
        return self.begin + (self.end - self.begin) * self.values.index(value) / max(len(self.values) - 1, 1)

    def ticks(self):
        return self.values


class Exact(Log):
    """A logarithmic axis whose ticks are the measured values themselves."""

    def __init__(self, values, begin, end):
        super().__init__(values, begin, end)
        self.values, self.low, self.high = values, values[0], values[-1]

    def ticks(self):
        return self.values


def _steps(power):
    return [s * 10.0 ** power for s in (1, 2, 5, 10)]


def _round_down(value):
    return max(s for s in _steps(math.floor(math.log10(value) + 1e-9)) if s <= value * 1.000001)


def _round_up(value):
    return min(s for s in _steps(math.floor(math.log10(value) - 1e-9)) if s >= value * 0.999999)


def tick_text(value):
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:g} Ki"
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


# ---- Plots --------------------------------------------------------------------------------------

BAR_WIDTH, BAR_LEFT, BAR_RIGHT, BAR_STEP = 420, 104, 300, 32


def bars(title, unit, rows, keys, serial):
    """rows: [(broker, Summary, [parts], noisy)], the parts being what the bar is made of, e.g. user and system."""
    top = max(found.high for _, found, _, _ in rows) or 1.0
    ticks = nice_ticks(top)
    scale = (BAR_RIGHT - BAR_LEFT) / ticks[-1]
    bottom = 12 + BAR_STEP * len(rows)
    body = []
    for tick in ticks:
        x = BAR_LEFT + tick * scale
        body += [line(x, 8, x, bottom, "grid"), text(x, bottom + 16, tick_text(tick), "tick", "middle")]
    for i, (broker, found, parts, noisy) in enumerate(rows):
        css, y = keys.css[broker], 14 + BAR_STEP * i
        body.append(text(BAR_LEFT - 8, y + 14, broker, "label", "end"))
        begin = 0.0
        for n, part in enumerate(parts or [found.median]):
            body.append(rect(BAR_LEFT + begin * scale, y, part * scale, 20, f"{css} fill part{n}"))
            begin += part
        if noisy:
            body.append(rect(BAR_LEFT, y, found.median * scale, 20, f"{css} noisy"))
        end = found.median
        if found.count > 1:
            low, high, middle = BAR_LEFT + found.low * scale, BAR_LEFT + found.high * scale, y + 10
            body += [line(low, middle, high, middle, "whisker"), line(low, middle - 4, low, middle + 4, "whisker"),
                     line(high, middle - 4, high, middle + 4, "whisker")]
            end = found.high
        body.append(text(BAR_LEFT + end * scale + 7, y + 14, number(found.median) + (" noisy" if noisy else ""), "value"))
    body.append(text((BAR_LEFT + BAR_RIGHT) / 2, bottom + 33, unit, "tick", "middle"))
    told = "; ".join(f"{b} {number(f.median)}, from {number(f.low)} to {number(f.high)}{', noisy' if n else ''}"
                     for b, f, _, n in rows)
    return svg(BAR_WIDTH, bottom + 40, title, f"{unit}: {told}.", body, serial)


LETTER = 6.6  # width, about, of a tick's text


def grouped(names):
    """[(x, name)], ascending: names that would touch stand together, in the middle of their places."""
    groups = []
    for x, name in names:
        places = [x]
        while groups and x - groups[-1][0] < (len(groups[-1][1]) + len(name)) / 2 * LETTER + 6:
            _, before, older = groups.pop()
            places, name = older + places, f"{before}, {name}"
            x = (places[0] + places[-1]) / 2
        groups.append((x, name, places))
    return [(x, name) for x, name, _ in groups]


def quantiles(title, rows, keys, serial):
    """rows: [(broker, [(name, Summary)], noisy)] on one logarithmic axis of microseconds."""
    axis = Log([v for _, found, _ in rows for _, s in found for v in (s.low, s.high)], BAR_LEFT, BAR_WIDTH - 24)
    step = 44
    bottom = 12 + step * len(rows)
    body = []
    for tick in axis.ticks():
        body += [line(axis.at(tick), 8, axis.at(tick), bottom, "grid"),
                 text(axis.at(tick), bottom + 16, tick_text(tick), "tick", "middle")]
    for i, (broker, found, noisy) in enumerate(rows):
        css, y = keys.css[broker], 24 + step * i
        body.append(text(BAR_LEFT - 8, y + 5, broker, "label", "end"))
        if noisy:
            body.append(text(BAR_LEFT - 8, y + 18, "noisy", "tick", "end"))
        body.append(line(axis.at(found[0][1].median), y, axis.at(found[-1][1].median), y, f"{css} line"))
        for name, s in found:
            body += [line(axis.at(s.low), y, axis.at(s.high), y, "whisker"),
                     mark(axis.at(s.median), y, keys.shape[broker], css)]
        for x, names in grouped([(axis.at(s.median), name) for name, s in found]):
            half = len(names) * LETTER / 2
            body.append(text(min(max(x, BAR_LEFT + half), BAR_WIDTH - half), y + 19, names, "tick", "middle"))
    body.append(text((BAR_LEFT + BAR_WIDTH - 24) / 2, bottom + 33, "us, logarithmic", "tick", "middle"))
    told = "; ".join(b + " " + ", ".join(f"{n} {number(s.median)}" for n, s in found) for b, found, _ in rows)
    return svg(BAR_WIDTH, bottom + 40, title, f"Microseconds: {told}.", body, serial)


def overview(title, unit, rows, keys, serial):
    """rows: [(name, [(broker, Summary, noisy)])], all on one logarithmic axis."""
    width, left, right, step = 860, 190, 840, 26
    names = [n for n in keys.order if any(b == n for _, points in rows for b, _, _ in points)]
    body, top = legend(keys, names, left, 18, right - left)
    top += 8
    axis = Log([v for _, points in rows for _, s, _ in points for v in (s.low, s.high)], left, right)
    bottom = top + step * len(rows)
    for tick in axis.ticks():
        body += [line(axis.at(tick), top, axis.at(tick), bottom, "grid"),
                 text(axis.at(tick), bottom + 17, tick_text(tick), "tick", "middle")]
    for i, (name, points) in enumerate(rows):
        y = top + step * (i + 0.5)
        body.append(text(left - 12, y + 4, name, "label", "end"))
        places = [axis.at(s.median) for _, s, _ in points]
        body.append(line(min(places), y, max(places), y, "between"))
        for broker, s, noisy in points:
            css = keys.css[broker] + (" faint" if noisy else "")
            body += [line(axis.at(s.low), y, axis.at(s.high), y, css + " stroke"),
                     mark(axis.at(s.median), y, keys.shape[broker], css)]
    body.append(text((left + right) / 2, bottom + 36, f"{unit}, logarithmic; pale marks are noisy", "tick", "middle"))
    told = "; ".join(f"{name}: " + ", ".join(f"{b} {number(s.median)}" for b, s, _ in points) for name, points in rows)
    return svg(width, bottom + 44, title, f"{unit}. {told}.", body, serial)


def spread_labels(places, distance):
    """Moves the y of labels apart, keeping their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for a, b in zip(order, order[1:]):
        moved[b] = max(moved[b], moved[a] + distance)
    return moved


def lines(title, x_title, y_title, series, keys, serial):
    """series: [(broker, [(x, Summary, noisy)])]; both axes logarithmic, the x axis as far as there is no 0."""
    width, left, right, top, bottom = 860, 76, 700, 20, 330
    values = sorted({x for _, points in series for x, _, _ in points})
    x_axis = (Exact if values[0] > 0 and len(values) > 1 and values[-1] / values[0] > 4 else Places)(values, left, right)
    y_axis = Log([v for _, points in series for _, s, _ in points for v in (s.low, s.high)], bottom, top)
    body = []
    for tick in y_axis.ticks():
        body += [line(left, y_axis.at(tick), right, y_axis.at(tick), "grid"),
                 text(left - 10, y_axis.at(tick) + 4, tick_text(tick), "tick", "end")]
    last = -100.0
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        body.append(line(x, bottom, x, bottom + 5, "axis"))
        if x - last > 34:
            body.append(text(x, bottom + 20, tick_text(tick), "tick", "middle"))
            last = x
    body.append(line(left, bottom, right, bottom, "axis"))
    ends = spread_labels([y_axis.at(points[-1][1].median) for _, points in series], 17)
    for (broker, points), end in zip(series, ends):
        css = keys.css[broker]
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(s.median):.1f}" for x, s, _ in points)
        body.append(f'<polyline points="{path}" class="{css} path"/>')
        for x, s, noisy in points:
            px = x_axis.at(x)
            body += [line(px, y_axis.at(s.low), px, y_axis.at(s.high), css + " stroke"),
                     mark(px, y_axis.at(s.median), keys.shape[broker], css + (" faint" if noisy else ""))]
        body += [mark(right + 20, end, keys.shape[broker], css), text(right + 32, end + 4, broker, "label")]
    body.append(text((left + right) / 2, bottom + 42, x_title, "tick", "middle"))
    body.append(f'<text transform="translate(18 {(top + bottom) / 2:.0f}) rotate(-90)" class="tick" '
                f'text-anchor="middle">{html.escape(y_title)}, logarithmic</text>')
    told = "; ".join(b + ": " + ", ".join(f"{x:,} {number(s.median)}" for x, s, _ in points) for b, points in series)
    return svg(width, bottom + 54, title, f"{y_title} by {x_title}. {told}.", body, serial)
