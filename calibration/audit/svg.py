"""Line charts as SVG text. A plot of a few lines does not justify a plotting library among the
dependencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 270, 40, 48
_COLOURS = ("#1f6fb4", "#d1622b", "#2c8a4b", "#8a4fb0", "#b03a48", "#5b6770", "#b08c1f", "#0f8b8d", "#7a4a21")


@dataclass(frozen=True)
class Series:
    """A named line through (x, y) points, in the order given; `dashed` for a bound or a reference."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


def line_chart(
    title: str, x_label: str, y_label: str, series: Sequence[Series], *, log_y: bool = False
) -> str:
    """An SVG document. With `log_y`, values of y must be positive; others are left out."""
    lines = [Series(s.name, tuple(p for p in s.points if not log_y or p[1] > 0), s.dashed) for s in series]
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError("a chart needs at least one point")
    x_low, x_high = _span([x for x, _ in points])
    y_low, y_high = _span([math.log10(y) if log_y else y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        value = math.log10(y) if log_y else y
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12"><rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 24, title, size=15),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"),
        f'<g transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)">'
        + _text(0, 0, y_label, anchor="middle")
        + "</g>",
    ]
    for step in range(6):
        x = x_low + (x_high - x_low) * step / 5
        y = y_low + (y_high - y_low) * step / 5
        shown = 10**y if log_y else y
        across, down = place(x, shown)
        parts.append(
            _rule(across, _TOP, across, _HEIGHT - _BOTTOM) + _rule(_LEFT, down, _WIDTH - _RIGHT, down)
        )
        parts.append(_text(across, _HEIGHT - _BOTTOM + 16, f"{x:.3g}", anchor="middle"))
        parts.append(_text(_LEFT - 6, down + 4, f"{shown:.3g}", anchor="end"))
    for index, line in enumerate(lines):
        parts.append(
            _line(line, _COLOURS[index % len(_COLOURS)], index, [place(x, y) for x, y in line.points])
        )
    return "\n".join([*parts, "</svg>", ""])


def _line(line: Series, colour: str, index: int, places: list[tuple[float, float]]) -> str:
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "" if line.dashed else "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    legend = _TOP + 12 + 18 * index
    right = _WIDTH - _RIGHT + 14
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        f'<g fill="{colour}">{dots}</g>'
        f'<path d="M{right} {legend - 4}h20" stroke="{colour}" stroke-width="2"{dash}/>'
        + _text(right + 26, legend, line.name)
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
