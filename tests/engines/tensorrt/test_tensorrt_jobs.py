"""What a job gets from TensorRT: its precision, its picture sizes, INT8 files, and word while models are compiled."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from calibration.codebook import Codebook
from calibration.scenes import Cutout, make_scene, write_clip
from engines.backends import open_engine
from engines.backends.tensorrt import Profiles, Range
from engines.zoo.registry import entry, model_path, read_checked
from streamer.cli.engines import engines_app
from streamer.job import JobRunner
from streamer.settings import AnalysisSettings, make_settings
from streamer.toolkit import Toolkit, detector_profiles


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def open_toolkit(**values: Any) -> Toolkit:
    return Toolkit(make_settings(replace_with="solid", engine="tensorrt", **values))


@pytest.mark.parametrize(
    ("long_side_px", "tiles", "side_px", "batch"),
    [
        (640, False, Range(32, 640, 1280), 4),
        (1280, False, Range(32, 640, 1280), 4),
        (1300, False, Range(32, 1312, 1312), 3),
        (2048, False, Range(32, 2048, 2048), 1),
        (4096, False, Range(32, 4096, 4096), 1),
        (640, True, Range(32, 640, 1920), 1),
        (4096, True, Range(32, 4096, 12288), 1),
    ],
)
def test_plans_fit_the_pictures_asked_for_and_reserve_no_more_memory(
    long_side_px: int, tiles: bool, side_px: Range, batch: int
) -> None:
    profiles = detector_profiles(AnalysisSettings(long_side_px=long_side_px, tiles=tiles))
    assert profiles.side_px == side_px
    assert profiles.pictures == Range(1, 1, batch)
    assert profiles.faces == Profiles().faces


def test_pictures_above_the_usual_limit_are_looked_at(standin: Any) -> None:
    toolkit = open_toolkit(analysis={"long_side_px": 2048}, precision="float")
    try:
        assert toolkit.detect(np.full((1152, 2048, 3), 90, np.uint8)) == []
        assert "3 in fp32" in toolkit.engine_line()
    finally:
        toolkit.close()


def test_a_job_computes_in_float16_unless_told_otherwise(standin: Any) -> None:
    pytest.importorskip("onnx", reason="the float16 conversion needs onnx (extra `gpu`)")
    toolkit = open_toolkit(precision="auto")
    try:
        assert {model["precision"] for model in toolkit.describe()["models"]} == {"fp16"}
    finally:
        toolkit.close()


@pytest.mark.parametrize("fp16", [False, True])
def test_an_int8_file_as_calibration_makes_it_is_compiled_as_it_stands(standin: Any, fp16: bool) -> None:
    model = read_checked(entry("retinaface-mnet025-int8"))
    picture = np.random.default_rng(0).uniform(-100, 150, (1, 3, 96, 128)).astype(np.float32)
    expected = open_engine(model, backend="onnxruntime").infer({"input": picture})
    with open_engine(model, backend="tensorrt", fp16=fp16) as engine:
        assert engine.describe().precision == "int8"
        found = engine.infer({"input": picture})
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        # Rounded in another order here and there.
        assert np.abs(found[name] - array).mean() < 0.01 * array.std(), name


def test_int8_of_a_job_reaches_tensorrt(standin: Any) -> None:
    toolkit = open_toolkit(precision="int8")
    try:
        precisions = {model["name"]: model["precision"] for model in toolkit.describe()["models"]}
        assert (precisions["retinaface"], precisions["face-mesh"]) == ("int8", "fp32")
        assert not toolkit.warnings
    finally:
        toolkit.close()


def test_a_whole_job(standin: Any, tmp_path: Path) -> None:
    """Every model of the default job, each in its guard's thread, from file to file."""
    person = Codebook.load(model_path("codebook-v1")).person(0)
    cutout = Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px)
    clip, output = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    write_clip(clip, islice(make_scene("walk", [cutout], size=(480, 272), seed=1).frames(), 6))
    settings = make_settings(engine="tensorrt", precision="float", privacy={"mechanism": "codebook"})
    with JobRunner(settings) as runner:
        result = runner.run(clip, output)
        models = runner.describe()["models"]
    assert {model["device"] for model in models} == {"cuda:0 Stand-in GPU"}
    assert len(models) == 6
    assert result.coverage["faces_synthetic"] >= 4
    assert not result.masked_frames


def test_build_says_what_it_compiles_and_jobs_find_it(standin: Any) -> None:
    options = ["retinaface-mnet025", "yunet", "face-mesh", "--precision", "float", "--long-side", "1920"]
    first = CliRunner().invoke(engines_app, ["build", *options])
    assert first.exit_code == 0, first.output
    assert "1 of 3: retinaface-mnet025" in first.stdout
    assert first.output.count("TensorRT compiles a model of") == first.output.count("compiled in") == 3
    assert "Stand-in GPU; once, for minutes" in first.output
    again = CliRunner().invoke(engines_app, ["build", *options])
    assert "TensorRT compiles" not in again.output
    built = len(standin.trt.faults.builds)
    open_toolkit(analysis={"long_side_px": 1920}, precision="float").close()
    assert len(standin.trt.faults.builds) == built == 3
