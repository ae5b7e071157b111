"""What it costs to give a detection to a track, and the cheapest way to give them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from streamer.analysis.boxes import Float64Array, centre, face_size, iou
from streamer.analysis.observation import Observation
from streamer.analysis.track import Track

# The cost of a pair that must not be.
IMPOSSIBLE = 1e6

_NEAR_COST = 1.0
_BASE_GATE_WIDTHS = 0.5
_WIDEST_GATE_WIDTHS = 2.5
_TOUCHING_IOU = 0.3
_SIZE_RATIO = 1.7
_LAST_PLACE_CHARGE = 0.1
_LOST_LOOK_LIMIT = 0.3


def costs(
    tracks: Sequence[Track], items: Sequence[Observation], time_seconds: float, gate_share: float = 1.0
) -> Float64Array:
    """Widths of distance + log size ratio + appearance distance, (tracks, items), or IMPOSSIBLE.

    Args:
        gate_share: narrows the distance within which a pair is possible.
    """
    boxes = np.stack([item.box_xyxy_px for item in items])
    apart = distances(tracks, boxes)
    sizes = np.array([track.motion.size_px for track in tracks])[:, None]
    unseen_seconds = np.array([time_seconds - track.seen_seconds for track in tracks])
    spreads = np.array([track.motion.spread_widths for track in tracks])
    gates = gate_share * np.minimum(_BASE_GATE_WIDTHS + 3.0 * spreads, _WIDEST_GATE_WIDTHS)
    ratio = np.abs(np.log(face_size(boxes) / sizes))
    near = apart <= gates[:, None]
    near |= iou(np.stack([track.motion.box_xyxy_px for track in tracks]), boxes) >= _TOUCHING_IOU
    near &= ratio <= (math.log(_SIZE_RATIO) + 0.5 * unseen_seconds)[:, None]
    result = np.where(near, apart + ratio, IMPOSSIBLE)
    for row, column in np.argwhere(near).tolist():
        track = tracks[row]
        look = track.look_distance(items[column])
        if look is None:
            continue
        limit = look_limit(
            float(unseen_seconds[row]), lost=track.missed > 0, far=bool(apart[row, column] > 1.0)
        )
        result[row, column] = result[row, column] + look if look <= limit else IMPOSSIBLE
    return np.asarray(result)


def distances(tracks: Sequence[Track], boxes_xyxy_px: np.ndarray) -> Float64Array:
    """Distance in face widths of each box (N, 4) from where each track should be, (tracks, N).

    Measured from the predicted place or, at a small charge that keeps prediction first, from the last seen one:
    people stop and turn faster than a filter believes.
    """
    middles = centre(boxes_xyxy_px)[None, :, :]
    sizes = np.array([track.motion.size_px for track in tracks])[:, None]
    unit = (np.minimum(face_size(boxes_xyxy_px)[None, :], 1.5 * sizes) + sizes) / 2.0
    predicted = np.stack([track.motion.centre_xy_px for track in tracks])[:, None, :]
    last = np.stack([track.motion.last_centre_xy_px for track in tracks])[:, None, :]
    from_predicted = np.hypot(*np.moveaxis(middles - predicted, 2, 0)) / unit
    from_last = np.hypot(*np.moveaxis(middles - last, 2, 0)) / unit + _LAST_PLACE_CHARGE
    return np.asarray(np.minimum(from_predicted, from_last))


def match(cost: Float64Array) -> list[tuple[int, int]]:
    """Pairs (row, column) of possible cost, each row and column at most once.

    Near pairs come first, in a round where staying unmatched costs no more than a doubtful match: else the
    assignment would push a face that is plainly here to another track, to find that one a match as well.
    """
    pairs = _assigned(np.minimum(cost, _NEAR_COST), below=_NEAR_COST)
    left = cost.copy()
    for row, column in pairs:
        left[row, :] = left[:, column] = IMPOSSIBLE
    return pairs + (_assigned(left, below=IMPOSSIBLE) if left.min() < IMPOSSIBLE else [])


def looks_replaced(track: Track, item: Observation, time_seconds: float) -> bool:
    """True when an item sits where the track should be and looks like somebody else."""
    if float(distances([track], item.box_xyxy_px[None])[0, 0]) >= _BASE_GATE_WIDTHS:
        return False
    look = track.look_distance(item)
    limit = look_limit(time_seconds - track.seen_seconds, lost=track.missed > 0, far=False)
    return look is not None and look > limit


def look_limit(unseen_seconds: float, *, lost: bool, far: bool) -> float:
    """Largest appearance distance at which a detection may continue a track.

    Measured on clips: the same face differs by .02 (median) to .34 (worst) from one frame to the next, and by .2
    to .46 (95th percentile) after a second; two people differ by .18 to .6, .43 in the median. A track that was
    not seen in between (`lost`) is found again only if it looks much the same, because anybody may have come
    instead.
    """
    if lost:
        return _LOST_LOOK_LIMIT
    return min((0.3 if far else 0.45) + 0.4 * unseen_seconds, 0.6)


def _assigned(cost: Float64Array, *, below: float) -> list[tuple[int, int]]:
    """Pairs of the cheapest assignment that cost less than `below`."""
    if min(cost.shape) == 1:
        # One face, as in most videos. Not only is this all there is to assign: scipy costs a sixth of a second to load.
        rows, columns = (
            np.array([position]) for position in np.unravel_index(int(cost.argmin()), cost.shape)
        )
    else:
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(cost)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if cost[row, column] < below]
