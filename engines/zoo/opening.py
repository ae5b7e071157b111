"""A model in the precision that is asked for: the registry's, or the user's own in its place."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from engines.backends import EngineOptions, open_engine, read_model
from engines.contract import Engine
from engines.precision import Precision
from engines.zoo.family import open_like
from engines.zoo.quantised import int8_model
from engines.zoo.registry import entry, open_model

if TYPE_CHECKING:
    from typing_extensions import Unpack


def open_in(
    precision: Precision, name: str, *, weights: Path | None = None, **options: Unpack[EngineOptions]
) -> Engine:
    """Open a model; at `int8` in its quantised version where there is one that is faster, else in float.

    Args:
        precision: see `engines.precision.choose_precision`.
        name: in the registry.
        weights: another ONNX file with the same inputs and outputs, in its place.
        options: see `EngineOptions`; `fp16` follows from `precision`.

    Raises:
        ModelMissingError, ModelHashError: a file is not there, or not the one that is registered or was calibrated.
        EngineError: a damaged file, a model of another family, or a backend that cannot be used.
    """
    options["fp16"] = precision == "fp16"
    if precision == "int8":
        sha256 = entry(name).sha256 if weights is None else hashlib.sha256(read_model(weights)).hexdigest()
        quantised = int8_model(name, sha256)
        if quantised is not None:
            return open_engine(quantised, **options)
    return open_model(name, **options) if weights is None else open_like(weights, name, **options)
