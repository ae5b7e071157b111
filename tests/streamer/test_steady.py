"""The decoder's outputs over time: trembling is smoothed away, motion passes."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.frame import Float32Array
from streamer.render.steady import FORGET_SECONDS, SteadyOutput

FRAME_SECONDS = 0.04
Output = tuple[Float32Array, Float32Array, Float32Array]


def output(shade: float) -> Output:
    """Fields, mask and fill, all of one value."""
    shapes = ((6, 16, 16), (1, 128, 128), (3, 128, 128))
    fields, mask, fill = (np.full(shape, shade, np.float32) for shape in shapes)
    return fields, mask, fill


def shades(steady: SteadyOutput, wanted: list[float], step_seconds: float = FRAME_SECONDS) -> np.ndarray:
    """(frames, 3) mean of fields, mask and fill after each frame."""
    made = [steady(*output(shade), 1.0 + step_seconds * number) for number, shade in enumerate(wanted)]
    return np.array([[part.mean() for part in one] for one in made])


def test_trembling_is_taken_to_less_than_half() -> None:
    wanted = [0.5 + 0.012 * (-1) ** number for number in range(60)]
    made = shades(SteadyOutput(), wanted)[20:]
    assert (made.std(axis=0) < 0.4 * np.std(wanted)).all()
    assert made.mean(axis=0) == pytest.approx(0.5, abs=0.002)


def test_a_jump_is_whole_in_its_frame() -> None:
    made = shades(SteadyOutput(), [0.2] * 5 + [0.8] * 5)
    assert made[5] == pytest.approx(0.8, abs=1e-6)


def test_a_mouth_that_opens_is_not_held_back_by_a_still_face() -> None:
    steady = SteadyOutput()
    shades(steady, [0.5] * 5)
    fields, mask, fill = output(0.5)
    fill[:, 80:96, 50:78] = 0.1
    opened = steady(fields, mask, fill, 1.0 + 5 * FRAME_SECONDS)[2]
    assert opened[:, 84:92, 54:74] == pytest.approx(0.1, abs=1e-6)
    assert opened[:, :70] == pytest.approx(0.5, abs=1e-6)


def test_a_small_lasting_change_is_taken_up() -> None:
    made = shades(SteadyOutput(), [0.5] + [0.52] * 30)
    assert made[-1] == pytest.approx(0.52, abs=1e-3)


@pytest.mark.parametrize("step_seconds", [FORGET_SECONDS + 0.01, 5.0, 0.0, -1.0])
def test_what_was_long_ago_says_nothing(step_seconds: float) -> None:
    made = shades(SteadyOutput(), [0.50, 0.51], step_seconds)
    assert made[1] == pytest.approx(0.51, abs=1e-6)


def test_the_callers_arrays_and_earlier_answers_stay_as_they_are() -> None:
    steady = SteadyOutput()
    given = output(0.5)
    first = steady(*given, 0.0)
    second = steady(*output(0.51), FRAME_SECONDS)
    kept = [part.copy() for part in second]
    steady(*output(0.9), 2 * FRAME_SECONDS)
    assert all((part == 0.5).all() for part in (*given, *first))
    assert all(np.array_equal(part, before) for part, before in zip(second, kept, strict=True))
