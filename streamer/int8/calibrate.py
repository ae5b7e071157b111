"""From a float model and captured inputs to an INT8 model with its accuracy and latency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calibration.codebook import Codebook
from calibration.errors import Int8Error
from calibration.int8 import Quantised, open_float_model, quantise_model
from engines.backends import open_engine
from engines.contract import Engine
from engines.decoder import DECODER_MODEL
from engines.errors import EngineError
from engines.zoo.registry import entry, read_checked
from streamer.int8.accuracy import Accuracy
from streamer.int8.capture import Captured, Part
from streamer.int8.latency import Latency, latencies
from streamer.int8.subjects import SUBJECTS, Subject

# INT8 is taken into use where it saves at least this share of the time of one call.
LEAST_GAIN = 0.1

LayerProgress = Callable[[str, int, int], None]
"""Called with the model's name, the layers measured and the layers there are."""


@dataclass(frozen=True)
class Calibrated:
    """An INT8 model, what it costs and what it buys."""

    name: str
    made_from_sha256: str
    quantised: Quantised
    accuracy: Accuracy
    latencies: tuple[Latency, ...]
    float_bytes: int

    @property
    def file(self) -> str:
        return f"{self.name}-int8.onnx"

    @property
    def faster(self) -> bool:
        """Whether it is worth using on this machine."""
        first = self.latencies[0]
        return first.int8_ms < (1.0 - LEAST_GAIN) * first.float_ms

    def as_json(self) -> dict[str, Any]:
        """One line of int8.json."""
        kept = self.quantised
        return {
            "name": self.name,
            "file": self.file,
            "sha256": hashlib.sha256(kept.model).hexdigest(),
            "made_from_sha256": self.made_from_sha256,
            "faster": self.faster,
            "bytes": len(kept.model),
            "float_bytes": self.float_bytes,
            "relative_error": kept.error,
            "relative_error_all_int8": kept.error_all,
            "layers": kept.layer_count,
            "float_layers_for_accuracy": kept.float_layers,
            "float_layers_for_speed": kept.narrow_layers,
            "error_of_layer_alone": {layer.name: layer.error for layer in kept.layers},
            "accuracy": dict(self.accuracy.figures),
            "latency": [asdict(latency) for latency in self.latencies],
        }


def calibrate_models(
    names: Sequence[str],
    captured: Mapping[Part, Captured],
    codebook: Codebook,
    *,
    decoder: Path | None = None,
    on_layer: LayerProgress = lambda name, done, layers: None,
) -> Iterator[Calibrated]:
    """Quantise the models `names` (keys of SUBJECTS) one after another.

    Args:
        captured: inputs of both parts, from `capture`.
        codebook: people on whom the identity encoder is judged.
        decoder: a float decoder to quantise in place of the registry's.

    Raises:
        Int8Error: a model that is damaged or that INT8 costs too much; the message names it.
    """
    for name in names:
        model = float_model(name, decoder)
        try:
            yield _calibrated(SUBJECTS[name], model, captured, codebook, on_layer)
        except (Int8Error, EngineError) as error:
            raise Int8Error(f"{name}: {error}") from error


def float_model(name: str, decoder: Path | None) -> bytes:
    """The bytes of a model's float file, from the registry or, for the decoder, from a file of the user's.

    Raises:
        Int8Error: the user's file cannot be read.
    """
    if decoder is None or name != DECODER_MODEL:
        return read_checked(entry(name))
    try:
        return decoder.read_bytes()
    except OSError as error:
        raise Int8Error(f"cannot read the decoder {decoder}: {error.strerror}") from None


def check_float_model(name: str, decoder: Path | None) -> None:
    """See, before minutes of work, that a model can be quantised at all.

    Raises:
        Int8Error: the file is damaged, or the package onnx is missing; the message names the file.
    """
    try:
        open_float_model(float_model(name, decoder))
    except Int8Error as error:
        file = decoder if decoder is not None and name == DECODER_MODEL else name
        raise Int8Error(f"{file}: {error}") from error


def _calibrated(
    subject: Subject,
    model: bytes,
    captured: Mapping[Part, Captured],
    codebook: Codebook,
    on_layer: LayerProgress,
) -> Calibrated:
    sha256 = hashlib.sha256(model).hexdigest()
    reference = _open(model)
    calibration = subject.samples(reference, sha256, captured["calibration"])
    held_out = subject.samples(reference, sha256, captured["held-out"])
    quantised = quantise_model(
        model,
        calibration,
        held_out,
        open_model=lambda data: _open(data).infer,
        most_error=subject.most_error,
        on_progress=lambda done, layers: on_layer(subject.name, done, layers),
    )
    tested = _open(quantised.model)
    return Calibrated(
        name=subject.name,
        made_from_sha256=sha256,
        quantised=quantised,
        accuracy=subject.accuracy(reference, tested, captured["held-out"], held_out, codebook),
        latencies=tuple(latencies(reference, tested, held_out[0])),
        float_bytes=len(model),
    )


def _open(model: bytes) -> Engine:
    # The runtime that is always there, and the one whose figures the documentation gives.
    return open_engine(model, backend="onnxruntime", threads=1)
