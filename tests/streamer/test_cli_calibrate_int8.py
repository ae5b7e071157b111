"""`veilstream calibrate int8`: what it captures, reports, writes and refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("onnx", reason="INT8 needs the extra int8")

from onnx import TensorProto, helper, numpy_helper

import streamer.cli.int8 as command
import streamer.int8.calibrate as calibrating
from calibration.codebook import Codebook
from calibration.errors import Int8Error
from calibration.int8 import Sample
from engines.backends import open_engine
from engines.contract import Engine
from engines.zoo.registry import entry
from streamer.audit.people import open_codebook
from streamer.cli.app import app
from streamer.errors import InputError, SettingsError
from streamer.int8 import accuracy
from streamer.int8.accuracy import Accuracy
from streamer.int8.capture import PARTS, Captured, Part, Reservoir, capture, scene_streams
from streamer.int8.latency import latencies
from streamer.int8.subjects import Subject
from streamer.settings import AnonymizeSettings, Precision


def run(*arguments: str | Path) -> Result:
    words = ["calibrate", "int8", *(str(argument) for argument in arguments)]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, words)


def tiny_model() -> bytes:
    """One convolution of 16 channels, `picture` (batch, 3, 8, 8) to `answer`."""
    weights = np.random.default_rng(0).normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "w"], ["answer"], name="conv")],
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 16, 6, 6])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A model `tiny` in place of the pipeline's, with inputs that were captured already."""
    model = tiny_model()

    def judged(
        reference: Engine, tested: Engine, held_out: Captured, samples: Sequence[Sample], codebook: Codebook
    ) -> Accuracy:
        wanted, found = (engine.infer(samples[0])["answer"] for engine in (reference, tested))
        return Accuracy({"largest": float(np.abs(wanted - found).max())}, "as good as float")

    def captured(streams: Any, settings: Any) -> dict[Part, Captured]:
        random = np.random.default_rng(1)
        parts = {part: Captured() for part in PARTS}
        for part in PARTS:
            reservoir: Reservoir[Sample] = Reservoir(4)
            for _ in range(4):
                reservoir.offer(lambda: {"picture": random.random((1, 3, 8, 8), np.float32)})
            parts[part].samples[hashlib.sha256(model).hexdigest()] = reservoir
        return parts

    subjects = {"tiny": Subject("tiny", 0.1, judged)}
    for module in (command, calibrating):
        monkeypatch.setattr(module, "SUBJECTS", subjects)
    monkeypatch.setattr(calibrating, "float_model", lambda name, decoder: model)
    monkeypatch.setattr(command, "capture", captured)
    return model


def test_table_models_and_list(tiny: bytes, tmp_path: Path) -> None:
    (tmp_path / "int8.json").write_text(json.dumps({"models": [{"name": "another"}]}))
    done = run("--model", "tiny", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "as good as float" in done.output
    earlier, line = json.loads((tmp_path / "int8.json").read_text())["models"]
    assert earlier == {"name": "another"}
    written = (tmp_path / "tiny-int8.onnx").read_bytes()
    assert line["sha256"] == hashlib.sha256(written).hexdigest()
    assert line["made_from_sha256"] == hashlib.sha256(tiny).hexdigest()
    assert [latency["batch"] for latency in line["latency"]] == [1, 4, 16]
    assert 0.0 < line["relative_error"] < 0.1
    assert line["calibrated_on"] == "synthetic scenes"
    assert open_engine(written).describe().precision == "int8"


def test_by_default_it_goes_where_int8_precision_looks(
    tiny: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run("--model", "tiny").exit_code == 0
    assert {path.name for path in (tmp_path / "veilstream" / "int8").iterdir()} == {
        "int8.json",
        "tiny-int8.onnx",
    }


def test_a_damaged_decoder_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    damaged = tmp_path / "decoder.onnx"
    damaged.write_bytes(b"\x08\x09no decoder")
    done = run("--model", "decoder-v1", "--decoder", damaged, "--out", tmp_path / "out")
    assert isinstance(done.exception, Int8Error)
    assert "no ONNX model" in str(done.exception)
    assert "decoder.onnx" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_said(tiny: bytes, tmp_path: Path) -> None:
    unknown = run("--model", "nobody", "--out", tmp_path / "out").exception
    assert isinstance(unknown, SettingsError)
    assert "tiny" in str(unknown)
    missing = run(
        "--model", "tiny", "--footage", tmp_path / "nothing.mp4", "--out", tmp_path / "out"
    ).exception
    assert isinstance(missing, InputError)
    assert "nothing.mp4" in str(missing)
    assert not (tmp_path / "out").exists()


def test_a_model_that_int8_spoils_leaves_nothing(
    tiny: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Subject("tiny", 1e-9, calibrating.SUBJECTS["tiny"].accuracy)
    monkeypatch.setattr(calibrating, "SUBJECTS", {"tiny": strict})
    failed = run("--model", "tiny", "--out", tmp_path / "out").exception
    assert isinstance(failed, Int8Error)
    assert str(failed).startswith("tiny: INT8 costs")
    assert not (tmp_path / "out").exists()


def test_capture_holds_what_the_models_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.int8.capture.SCENE_NAMES", ("walk",))
    monkeypatch.setattr("streamer.int8.capture.SCENE_STEP", 6)

    def short(streams: Any) -> Iterator[Any]:
        for stream in streams:
            yield (frame for frame, _ in zip(stream, range(10), strict=False))

    parts = capture(
        short(scene_streams(open_codebook(None))),
        AnonymizeSettings(engine="onnxruntime", precision=Precision.FLOAT),
    )
    for part in PARTS:
        decoder = parts[part].of(entry("decoder-v1").sha256)
        assert decoder
        assert {sample["conditioning"].shape for sample in decoder} == {(1, 12, 128, 128)}
        assert parts[part].of(entry("face-mesh").sha256)[0]["input_1"].shape == (1, 192, 192, 3)
        assert len(parts[part].pictures.items) == 10
    first, second = (parts[part].of(entry("decoder-v1").sha256)[0]["conditioning"] for part in PARTS)
    assert np.abs(first - second).max() > 0.1


def test_a_reservoir_is_bounded_and_takes_from_everywhere() -> None:
    reservoir: Reservoir[int] = Reservoir(20)
    for number in range(2000):
        reservoir.offer(lambda number=number: number)  # type: ignore[misc]
    assert len(reservoir.items) == 20
    assert 600 < np.mean(reservoir.items) < 1400


def test_accuracy_sees_what_is_worse() -> None:
    """Each figure on a model against itself, and against itself with its weights shaken."""
    random = np.random.default_rng(0)
    with open_engine(_shipped("decoder-v1")) as engine:
        sample = {"conditioning": random.random((1, 12, 128, 128), np.float32) * 2 - 1}
        same = accuracy.decoder_accuracy(engine, engine, [sample]).figures
        worse = accuracy.decoder_accuracy(engine, _Shaken(engine), [sample]).figures
    assert same["largest_difference"] == 0.0
    assert worse["psnr_db_mean"] < 45.0 < same["psnr_db_mean"]
    assert worse["largest_difference"] > 1.0
    with open_engine(_shipped("face-mesh")) as engine:
        samples = [{"input_1": random.random((1, 192, 192, 3), np.float32)}]
        assert accuracy.mesh_accuracy(engine, engine, samples).figures["presence_agreement"] == 1.0


def test_latency_is_of_both_engines_at_every_batch() -> None:
    with open_engine(tiny_model()) as engine:
        found = latencies(engine, engine, {"picture": np.zeros((1, 3, 8, 8), np.float32)}, (1, 4))
    assert [item.batch for item in found] == [1, 4]
    assert all(item.float_ms > 0 and item.int8_ms > 0 for item in found)


class _Shaken:
    """An engine whose answers are off by a little."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def infer(self, inputs: Sample) -> dict[str, Any]:
        return {name: array + np.float32(0.05) for name, array in self._engine.infer(inputs).items()}


def _shipped(name: str) -> Path:
    from engines.zoo.registry import model_path

    return model_path(name)
