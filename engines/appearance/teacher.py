"""The teacher generator's whole synthesis network, run by OpenVINO (extra `quality`).

MobileStyleGAN (Belousov, arXiv 2104.04767) from the package ``random-face`` 2021.7.21.1. The package is Apache-2.0, but
the network was distilled from StyleGAN2 trained on FFHQ, whose terms are non-commercial: it is not shipped, and what it
renders is to be treated as non-commercial. It takes about 0.5 s of CPU time a picture and 0.9 GB of memory.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import EngineInfo
from engines.errors import EngineError, ModelMissingError
from engines.zoo import registry

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

NETWORK, WEIGHTS = "teacher-synthesis-xml", "teacher-synthesis-bin"
STYLE_SIZE = 512
TEACHER_PX = 1024


class SynthesisTeacher:
    """Style code to picture.

    Args:
        folder: where ``SynthesisNetwork.xml`` and ``.bin`` lie; None takes those that were fetched.
        threads: threads of its own.

    Raises:
        EngineError: OpenVINO is not installed, or a file is missing or not the registry's.
    """

    def __init__(self, folder: Path | None = None, *, threads: int = 1) -> None:
        _need_openvino()
        import openvino

        network, weights = (_bytes(name, folder) for name in (NETWORK, WEIGHTS))
        options = {
            "INFERENCE_NUM_THREADS": threads,
            # Without it, CPUs with bfloat16 units would compute in bfloat16, and people would change a little.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            self._compiled: Any = core.compile_model(core.read_model(network, weights), "CPU", options)
        except RuntimeError as error:
            raise EngineError(
                f"openvino refuses the teacher generator: {str(error).splitlines()[-1]}"
            ) from error

    def render(self, style: Float) -> Picture:
        """``w`` (512,) to RGB uint8 (1024, 1024, 3).

        Raises:
            EngineError: the network failed or gave no picture.
        """
        if style.shape != (STYLE_SIZE,) or not np.isfinite(style).all():
            raise EngineError(f"a style is {STYLE_SIZE} finite numbers, not {style.shape}")
        try:
            planes = next(iter(self._compiled(style[None].astype(np.float32)).values()))[0]
        except RuntimeError as error:
            raise EngineError(f"the teacher generator failed: {str(error).splitlines()[-1]}") from error
        if planes.shape != (3, TEACHER_PX, TEACHER_PX) or not np.isfinite(planes).all():
            raise EngineError(f"the teacher generator gave no picture but {planes.shape}")
        scaled = np.clip(planes.transpose(1, 2, 0) * np.float32(127.5) + np.float32(127.5), 0.0, 255.0)
        return np.ascontiguousarray(np.rint(scaled), np.uint8)


def teacher_info(threads: int = 1) -> EngineInfo:
    """What runs the teacher, whether or not it is open."""
    return EngineInfo("openvino", "CPU", "float32", registry.entry(WEIGHTS).sha256, threads)


def check_available(folder: Path | None = None) -> None:
    """OpenVINO is installed, and the files are there and are the registry's.

    Raises:
        EngineError: they are not; the message says how to get them.
    """
    _need_openvino()
    for name in (NETWORK, WEIGHTS):
        _bytes(name, folder)


def _need_openvino() -> None:
    if importlib.util.find_spec("openvino") is None:
        raise EngineError("the teacher generator needs OpenVINO; run: pip install 'veilstream[quality]'")


def _bytes(name: str, folder: Path | None) -> bytes:
    item = registry.entry(name)
    if folder is None:
        try:
            return registry.read_checked(item)
        except ModelMissingError:
            raise ModelMissingError(
                f"the teacher generator is not here; run: veilstream models fetch {NETWORK} {WEIGHTS}"
            ) from None
    path = folder / item.file
    try:
        data = path.read_bytes()
    except OSError:
        raise ModelMissingError(
            f"{item.file} is not in {folder}: give the folder random_face/data of the package random-face 2021.7.21.1"
        ) from None
    registry.check_sha256(hashlib.sha256(data).hexdigest(), item, path)
    return data
