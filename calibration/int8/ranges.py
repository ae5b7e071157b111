"""What values the activations of a model take: its calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from calibration.errors import Int8Error
from calibration.int8.graph import FloatModel

Sample = Mapping[str, npt.NDArray[Any]]
"""One input of a model: every graph input by name."""

# The library's `TensorsData`: least and largest value of every activation.
Ranges = Any

QUANTISED_OPERATORS = ["Conv"]


def measure_ranges(model: FloatModel, samples: Iterable[Sample]) -> Ranges:
    """Least and largest value of all inputs and outputs of convolutions over `samples`.

    Raises:
        Int8Error: there is no sample, or one does not fit the model.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    reader = _Reader(samples)
    with tempfile.TemporaryDirectory(prefix="veilstream-int8-") as folder:
        path = Path(folder) / "float.onnx"
        onnx.save(model.proto, path)
        calibrator = create_calibrator(
            path,
            QUANTISED_OPERATORS,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        try:
            calibrator.collect_data(reader)
            ranges = calibrator.compute_data()
        except Exception as error:
            if not reader.count:
                raise Int8Error("there is no calibration input; give footage with faces in it") from None
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise Int8Error(f"a calibration input does not fit the model: {line}") from error
    return ranges


class _Reader:
    """What the library's calibrators read from."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)
        self.count = 0

    def get_next(self) -> Sample | None:
        sample = next(self._samples, None)
        self.count += sample is not None
        return sample
