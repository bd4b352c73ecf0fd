"""stats.py - medians, spreads, and whether a difference is one. Pure functions."""
import math
import statistics
from dataclasses import dataclass, field

# Where these are exceeded, a row is called noisy. All are relative.
SPREAD_MAX = 0.15       # 1.4826 * MAD of the primary figure, over its median
CALIBRATION_MAX = 0.15  # how much slower fixed work ran around the runs than at the best time
FOREIGN_MAX = 0.10      # share of the machine's CPU time that went to neither broker nor generator
STEAL_MAX = 0.02        # share of CPU time that the hypervisor gave to others
REPEATS_MIN = 3         # fewer say nothing about spread
RESOLUTION = 0.03       # a smaller difference than this is none, however small the spread


@dataclass(frozen=True)
class Summary:
    """Of one figure over the repeats."""
    median: float
    low: float
    high: float
    spread: float  # relative: 1.4826 * MAD / median, which is a standard deviation where noise is normal
    count: int


def mad(values):
    """Median absolute deviation from the median."""
    middle = statistics.median(values)
    return statistics.median(abs(v - middle) for v in values)


def summarize(values):
    """None where there is no figure at all."""
    values = [float(v) for v in values if v is not None]
    if not values:
        return None
    middle = statistics.median(values)
    spread = 1.4826 * mad(values) / abs(middle) if middle else 0.0
    return Summary(middle, min(values), max(values), spread, len(values))


@dataclass(frozen=True)
class Noise:
    """What surrounded the runs of a row, as shares: the medians over its runs."""
    calibration: float = 0.0
    foreign: float = 0.0
    steal: float = 0.0
    reasons: list = field(default_factory=list)


def percent(share):
    return f"{100 * share:.0f} %"


def noise_reasons(primary, calibration, foreign, steal):
    """Why a row cannot be trusted; empty when it can. primary: its Summary, or None."""
    reasons = []
    if primary is None:
        return reasons
    if primary.count < REPEATS_MIN:
        reasons.append(f"{primary.count} repeat{'s' if primary.count != 1 else ''} only")
    if primary.spread > SPREAD_MAX:
        reasons.append(f"spread {percent(primary.spread)}")
    if calibration > CALIBRATION_MAX:
        reasons.append(f"fixed work ran {percent(calibration)} slower")
    if foreign > FOREIGN_MAX:
        reasons.append(f"others took {percent(foreign)} of the CPUs")
    if steal > STEAL_MAX:
        reasons.append(f"steal {percent(steal)}")
    return reasons


@dataclass(frozen=True)
class Verdict:
    """How two compare: ratio > 1 where the first has more. None: one of them has no figure."""
    ratio: float
    different: bool


def compare(first, second):
    """Different only if the ranges of all repeats lie apart, and by more than the resolution. Five
    against five repeats of the same thing lie apart by chance once in 126 times, three against three
    once in 10."""
    if first is None or second is None or second.median == 0:
        return None
    ratio = first.median / second.median
    apart = first.low > second.high or first.high < second.low
    return Verdict(ratio, apart and abs(math.log(ratio)) > math.log(1 + RESOLUTION) if ratio > 0 else apart)


def slowdown(times, best):
    """How much slower fixed work ran than at its best: a share, never below 0."""
    times = [t for t in times if t]
    if not times or not best:
        return 0.0
    return max(0.0, max(times) / best - 1)
