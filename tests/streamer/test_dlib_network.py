"""dlib's network: its file is read as dlib writes it, and as ONNX it gives dlib's codes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from engines.backends import open_engine
from engines.errors import EngineError
from engines.zoo.registry import entry, model_path, read_checked
from streamer.audit.dlib_network import onnx_of_dlib, parameters

HAS_ONNX = importlib.util.find_spec("onnx") is not None
# (filters in, filters out, side) of the network's 29 convolutions, from the input on.
LAYERS = [
    (3, 32, 7), *[(32, 32, 3)] * 6, (32, 64, 3), *[(64, 64, 3)] * 7, (64, 128, 3), *[(128, 128, 3)] * 5,
    (128, 256, 3), *[(256, 256, 3)] * 7,
]  # fmt: skip


def integer(value: int) -> bytes:
    """As dlib writes it: how many bytes follow, with the sign in the high bit, then those bytes."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def layer(name: str, values: np.ndarray, *leading: int) -> bytes:
    sizes = b"".join(integer(size) for size in (2, len(values), 1, 1, 1))
    return name.encode() + b"".join(map(integer, leading)) + sizes + values.astype("<f4").tobytes()


def network(convolutions: list[tuple[int, int, int]], scale: float = 1.0) -> bytes:
    """A file with random filters and the given factor in its affine layers."""
    generator = np.random.default_rng(0)
    parts = []
    for filters_in, filters_out, side in convolutions:
        count = filters_out * filters_in * side * side
        filters = generator.normal(size=count) * np.sqrt(1.0 / (filters_in * side * side))
        parts.append(layer("con_4", np.concatenate([filters, np.zeros(filters_out)])))
        parts.append(layer("affine_", np.concatenate([np.full(filters_out, scale), np.zeros(filters_out)])))
    weights = generator.normal(size=256 * 128)
    return b"\x00\x01junk" + b"\x01\x05".join(parts) + layer("fc_2", weights, 128, 256)


def test_parameters_are_read_in_order() -> None:
    assert len(LAYERS) == 29
    data = network(LAYERS[:3]) + layer("con_4", np.array([1.5, -2.0]))
    found = parameters(data, "con_4")
    assert [len(values) for values in found] == [3 * 32 * 49 + 32, 32 * 32 * 9 + 32, 32 * 32 * 9 + 32, 2]
    assert found[-1].tolist() == [1.5, -2.0]
    assert len(parameters(data, "fc_2", leading_integers=2)[0]) == 256 * 128


@pytest.mark.skipif(not HAS_ONNX, reason="the package onnx is not installed (extra `audit`)")
def test_a_whole_file_becomes_a_network_that_runs() -> None:
    chip = np.random.default_rng(1).uniform(0, 255, (2, 3, 150, 150)).astype(np.float32)
    codes = {}
    for scale in (0.5, 1.0):
        with open_engine(onnx_of_dlib(network(LAYERS, scale)), backend="onnxruntime") as engine:
            codes[scale] = engine.infer({"chip": chip})["code"]
    assert codes[1.0].shape == (2, 128)
    assert np.isfinite(codes[1.0]).all()
    # The affine layers are not lost in the folding.
    assert np.linalg.norm(codes[0.5]) < 0.5 * np.linalg.norm(codes[1.0])


@pytest.mark.skipif(not HAS_ONNX, reason="the package onnx is not installed (extra `audit`)")
@pytest.mark.parametrize("data", [b"", network(LAYERS[:-1]), network([*LAYERS, (256, 256, 3)])])
def test_another_network_is_refused(data: bytes) -> None:
    with pytest.raises(EngineError, match="does not hold"):
        onnx_of_dlib(data)


def test_the_codes_are_those_of_dlib() -> None:
    dlib = pytest.importorskip("dlib", reason="dlib is not installed (extra `audit`)")
    pytest.importorskip("onnx", reason="onnx is not installed (extra `audit`)")
    try:
        path = model_path("attacker-dlib")
    except EngineError:
        pytest.skip("dlib's weights were not fetched (veilstream models fetch attacker-dlib)")
    generator = np.random.default_rng(2)
    chip = np.kron(generator.integers(0, 255, (10, 10, 3)), np.ones((15, 15, 1))).astype(np.uint8)
    expected = np.array(dlib.face_recognition_model_v1(str(path)).compute_face_descriptor(chip))
    with open_engine(onnx_of_dlib(read_checked(entry("attacker-dlib"))), backend="onnxruntime") as engine:
        code = engine.infer({"chip": chip.transpose(2, 0, 1)[None].astype(np.float32)})["code"][0]
    assert np.abs(code - expected).max() < 1e-5
