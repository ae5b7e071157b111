"""Options and fixtures that several test packages share."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

# One thread each: the tests run side by side, and more threads than cores only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import pytest

from streamer.frame import Frame, StreamGeometry

cv2.setNumThreads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data",
        metavar="PATH",
        default=None,
        help="folder of the evaluation data, for tests marked `shared`",
    )
    parser.addoption(
        "--gpu-packages",
        metavar="PATH",
        default=None,
        help="folder of TensorRT bindings wheels and the pycuda sdist, to compare the recorded names with",
    )


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder given with --data; the test is skipped where there is none."""
    given = request.config.getoption("--data")
    if given is None:
        pytest.skip("needs the evaluation data: give its path with --data")
    path = Path(given)
    if not path.is_dir():
        pytest.skip(f"--data {path} is not a folder")
    return path


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """Frames of a display size of choice at a steady rate; their planes are tiny and show nothing."""

    def make(
        index: int,
        *,
        size: tuple[int, int] = (640, 360),
        frames_per_second: int = 25,
        discontinuity: bool = False,
    ) -> Frame:
        video = av.VideoFrame(16, 16, "gray")
        geometry = StreamGeometry(*size)
        return Frame(index, index, Fraction(1, frames_per_second), video, geometry, discontinuity)

    return make
