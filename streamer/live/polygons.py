"""Regions of the picture that a user draws, in fractions of it, so that they outlive a change of resolution."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

Point = tuple[float, float]
MOST_CORNERS = 64
_SMALLEST_AREA = 1e-6


def _check(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if not 3 <= len(points) <= MOST_CORNERS:
        raise ValueError(f"a polygon has 3 to {MOST_CORNERS} corners, this one has {len(points)}")
    for x, y in points:
        # A comparison with NaN is false, so this refuses it as well.
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            raise ValueError(
                f"corner ({x:g}, {y:g}) is outside 0..1; corners are fractions of width and height"
            )
    if abs(_area(points)) < _SMALLEST_AREA:
        raise ValueError("the polygon has no area; its corners lie on a line")
    # Filling a polygon that crosses itself leaves parts of it open.
    if _crosses_itself(points):
        raise ValueError("the polygon crosses itself; give its corners in order around it")
    return points


Polygon = Annotated[tuple[Point, ...], AfterValidator(_check)]
"""Corners (x, y) in fractions 0..1 of the upright picture's width and height, in order around it."""


def _area(points: tuple[Point, ...]) -> float:
    """Signed, by the shoelace formula."""
    following = points[1:] + points[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, following, strict=True)) / 2.0


def _crosses_itself(points: tuple[Point, ...]) -> bool:
    count = len(points)
    edges = [(points[i], points[(i + 1) % count]) for i in range(count)]
    return any(
        _cross(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if (j + 1) % count != i  # neighbours share a corner
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
