"""Small line and bar charts as inline SVG.

They are redrawn every second while a job runs, so they are plain text without a script: no flicker,
no second chart library in the page, and colours that follow the page's light or dark theme. Larger
figures, looked at once, are made by `evaluation.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.pages.fragments import joined
from evaluation.figures import smoothed

WIDTH, HEIGHT = 360.0, 168.0
"""Of the drawing, in its own units; it is scaled to the width of its place."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 22.0
FEWEST_TO_SMOOTH = 25
"""Points of a series; fewer are easily read without."""
MINUS = "\u2212"
MOST_POINTS = 240
"""More points than this are fewer than two pixels apart; every k-th is drawn."""

Points = Sequence[tuple[float, float]]


def line_chart(
    title: str,
    unit: str,
    series: Mapping[str, Points],
    *,
    hint: str = "",
    reference: float | None = None,
) -> Markup:
    """One chart over the steps of a job, with the newest values in its heading.

    Args:
        title: What is drawn.
        unit: Its unit, empty for plain numbers.
        series: Name to points (step, value), in the order of steps; at most three series.
        hint: What to look for, for whoever meets the number for the first time.
        reference: A value to compare with, such as a target; a dotted line.
    """
    finite = {
        name: [(step, value) for step, value in points if math.isfinite(value)]
        for name, points in series.items()
    }
    drawn = {name: points for name, points in finite.items() if points}
    steps = [step for points in drawn.values() for step, _ in points]
    values = [value for points in drawn.values() for _, value in points]
    if not values:
        return Markup("")
    values += [] if reference is None else [reference]
    low, high = _range(values)
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    grid = joined(
        Markup(
            '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y(tick), y(tick), LEFT - 6, y(tick) + 4, text)
        for tick, text in _ticks(low, high)
    )
    level = (
        Markup('<line class="t-level" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, y(reference), y(reference)
        )
        if reference is not None
        else ""
    )
    lines = joined(
        _line(index, [(x(step), y(value)) for step, value in part], raw=raw)
        for index, points in enumerate(drawn.values())
        for raw, part in _layers(points)
    )
    legend = joined(
        Markup('<span class="t-key t-s{}">{}<b>{}</b></span>').format(
            index, Markup("{} ").format(name) if len(drawn) > 1 else "", _short(points[-1][1])
        )
        for index, (name, points) in enumerate(drawn.items())
    )
    told = "; ".join(
        f"{name}: from {_short(points[0][1])} to {_short(points[-1][1])}"
        for name, points in drawn.items()
    )
    return Markup(
        '<figure class="t-chart"><figcaption><span title="{}">{}{}</span><span class="t-legend">{}'
        '</span></figcaption><svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">'
        '<g class="t-grid">{}</g>{}<g class="t-axis"><text x="{}" y="{}">{}</text>'
        '<text class="t-end" x="{}" y="{}">{}</text></g></svg></figure>'
    ).format(
        hint,
        title,
        Markup(" <small>{}</small>").format(unit) if unit else "",
        legend,
        WIDTH,
        HEIGHT,
        f"{title}, steps {first:.0f} to {last:.0f}. {told}",
        grid,
        joined([level, lines]),
        LEFT,
        HEIGHT - 6,
        f"step {first:.0f}",
        WIDTH - RIGHT,
        HEIGHT - 6,
        f"{last:.0f}",
    )


def day_bars(title: str, days: Sequence[tuple[str, int]]) -> Markup:
    """How many judgements came on each day: (day as written, how many), oldest first."""
    most = max((amount for _, amount in days), default=0)
    bars = joined(
        Markup('<li title="{}: {}"><span>{}</span><i style="height:{:.1f}%"></i></li>').format(
            day, amount, amount or "", 100 * amount / most if most else 0
        )
        for day, amount in days
    )
    ends = (days[0][0], days[-1][0]) if days else ("", "")
    return Markup(
        '<figure class="t-chart t-days"><figcaption><span>{}</span></figcaption><ul>{}</ul>'
        '<p class="t-ends"><span>{}</span><span>{}</span></p></figure>'
    ).format(title, bars, *ends)


def _layers(points: Points) -> list[tuple[bool, Points]]:
    """What to draw of a series: as measured and faint, then smoothed; short ones as they are."""
    if len(points) < FEWEST_TO_SMOOTH:
        return [(False, points)]
    seen = _thinned(points)
    return [(True, seen), (False, smoothed(seen))]


def _line(index: int, points: Points, *, raw: bool) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if raw:
        return Markup('<polyline class="t-raw t-s{}" points="{}"/>').format(index, path)
    x, y = points[-1]
    return Markup(
        '<polyline class="t-s{}" points="{}"/><circle class="t-s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>'
    ).format(index, path, index, x, y)


def _thinned(points: Points) -> Points:
    """Few enough points to draw; the last one always stays."""
    every = -(-len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, apart enough to draw a scale between."""
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if size < 1e-300:  # nothing, or so little that a fourth of it is nothing
        return min(low, 0.0), 1.0
    if high - low > 1e-9 * size:
        return low, high
    return low - abs(low) / 10, high + abs(high) / 10


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Two to five round numbers from `low` to `high`, and how they are written."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # As many decimals as the step has, so that two ticks never read the same.
    decimals = max(0, 1 - math.floor(math.log10(step)))
    far = step < 1e-4 or max(abs(low), abs(high)) >= 1e5

    def written(tick: float) -> str:
        if far:
            return f"{tick:.2g}"
        text = f"{tick:.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return ("0" if text == "-0" else text).replace("-", MINUS)

    return [(index * step, written(index * step)) for index in range(first, last + 1)]


def _short(value: float) -> str:
    """A number in at most about five characters."""
    if value and (abs(value) < 0.001 or abs(value) >= 100_000):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}".replace("-", MINUS)
