"""Confidence intervals, and Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

_Z = 1.959964  # of a normal distribution, 95% lie within so many standard deviations
_MIDDLE = 0.975  # 95% lie between this quantile and its mirror image


def wilson(right: int, cases: int) -> tuple[float, float]:
    """Return the 95% confidence interval of a share, after Wilson (1927).

    Unlike the normal approximation, it is valid for few cases and shares near 0 and 1.
    """
    if not 0 <= right <= cases:
        raise ValueError(f"right must be from 0 to cases={cases}, got {right}")
    if not cases:
        return 0.0, 1.0
    share, extra = right / cases, _Z**2 / cases
    middle = share + extra / 2
    half = _Z * math.sqrt(share * (1.0 - share) / cases + extra / cases / 4)
    low = 0.0 if right == 0 else (middle - half) / (1.0 + extra)
    high = 1.0 if right == cases else (middle + half) / (1.0 + extra)
    return low, high


def percent(right: int, cases: int) -> str:
    """Format a share with its interval, such as "98.0% (94.3–99.3)"."""
    if not cases:
        return "–"
    low, high = wilson(right, cases)
    return f"{100 * right / cases:.1f}% ({100 * low:.1f}–{100 * high:.1f})"


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a mean and half the width of its 95% confidence interval (Student's)."""
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    freedom = len(values) - 1
    variance = math.fsum((value - mean) ** 2 for value in values) / freedom
    widths = float(stats.t.ppf(_MIDDLE, freedom))
    return mean, widths * math.sqrt(variance / len(values))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a GitHub table, with the first column left-aligned."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [
        [
            cell.ljust(width) if not number else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
    rule = [
        "-" * width if not number else "-" * (width - 1) + ":"
        for number, width in enumerate(widths)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
