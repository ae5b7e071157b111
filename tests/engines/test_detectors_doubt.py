"""Detections are given up only when three looks say no, and sure, small or cut ones never."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engines.detectors import Detection
from engines.detectors.doubt import LOOKS_SPARED, DoubtingDetector
from engines.errors import EngineError

PICTURE = np.zeros((360, 640, 3), np.uint8)


def _detection(score: float = 0.7, box: Sequence[float] = (200, 100, 300, 220)) -> Detection:
    return Detection(np.float32(box), score, np.zeros((5, 2), np.float32) + np.float32(box[:2]))


class _Finder:
    """A detector that always answers the same."""

    def __init__(self, *found: Detection) -> None:
        self.found = list(found)
        self.calls = 0

    def detect(self, picture_rgb_u8: np.ndarray) -> list[Detection]:
        self.calls += 1
        return self.found


class _Mesh:
    def __init__(self, presence: float) -> None:
        self.presence = presence
        self.calls = 0

    def run(self, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        return np.zeros((1, 468, 3), np.float32), np.float32([self.presence])


def _doubting(
    found: Detection, *, presence: float = -9.0, other: _Finder | None = None, again: _Finder | None = None
) -> tuple[DoubtingDetector, _Mesh]:
    mesh = _Mesh(presence)
    detector = DoubtingDetector(_Finder(found).detect, again or _Finder(), other or _Finder(), mesh)  # type: ignore[arg-type]
    return detector, mesh


def test_what_three_looks_deny_is_given_up_and_counted() -> None:
    detector, _ = _doubting(_detection())
    assert detector(PICTURE) == []
    assert detector.denied == 1


@pytest.mark.parametrize(
    "keywords",
    [
        {"presence": 5.0},
        {"other": _Finder(_detection(0.4))},
        {"again": _Finder(_detection(0.4, (100, 50, 150, 110)))},
    ],
    ids=["mesh sees a face", "other detector does", "half size shows it again"],
)
def test_one_voice_for_a_face_is_enough(keywords: dict[str, object]) -> None:
    detector, _ = _doubting(_detection(), **keywords)  # type: ignore[arg-type]
    assert len(detector(PICTURE)) == 1


@pytest.mark.parametrize(
    "found",
    [_detection(0.99), _detection(0.6, (200, 100, 230, 130)), _detection(0.6, (540, 100, 640, 220))],
    ids=["sure", "small", "cut by the border"],
)
def test_some_are_never_questioned(found: Detection) -> None:
    detector, mesh = _doubting(found)
    assert detector(PICTURE) == [found]
    assert mesh.calls == 0


def test_a_known_place_is_spared_for_a_few_pictures_only() -> None:
    detector, mesh = _doubting(_detection())
    for _ in range(LOOKS_SPARED + 1):
        assert detector(PICTURE) == []
    assert mesh.calls == 1
    mesh.presence = 30.0
    assert len(detector(PICTURE)) == 1


def test_what_comes_to_a_known_place_is_looked_at() -> None:
    """Another picture of a batch, a cut, or somebody who steps before a poster."""
    detector, mesh = _doubting(_detection())
    assert detector(PICTURE) == []
    mesh.presence = 30.0
    changed = PICTURE.copy()
    changed[100:220, 200:300] = np.arange(120, dtype=np.uint8)[:, None, None]
    assert len(detector(changed)) == 1


def test_another_stream_starts_without_memory() -> None:
    detector, mesh = _doubting(_detection())
    assert detector(PICTURE) == []
    mesh.presence = 30.0
    detector.forget()
    assert len(detector(PICTURE)) == 1


def test_where_a_second_look_fails_everything_is_kept() -> None:
    detector, mesh = _doubting(_detection())

    def fail(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise EngineError("hung")

    mesh.run = fail  # type: ignore[method-assign]
    assert len(detector(PICTURE)) == 1
    assert detector.denied == 0


def test_what_continues_a_sure_face_is_not_questioned() -> None:
    """A head that bends, or is half hidden by a hand, is still a face."""
    finder = _Finder(_detection(0.99))
    mesh = _Mesh(-9.0)
    detector = DoubtingDetector(finder.detect, _Finder(), _Finder(), mesh)  # type: ignore[arg-type]
    detector(PICTURE)
    for step in range(1, 5):
        moving, elsewhere = (
            _detection(0.5, (200 + 20 * step, 100, 300 + 20 * step, 220)),
            _detection(0.5, (20, 20, 80, 90)),
        )
        finder.found = [moving, elsewhere]
        assert detector(PICTURE) == [moving]
    detector.forget()
    assert detector(PICTURE) == []
