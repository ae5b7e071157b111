"""The main job on real files: faces replaced, identities held, the rest kept, and failures closed."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import engines.detectors
import streamer.toolkit
from calibration.ledger import verify_ledger
from calibration.scenes import Scene
from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.precision import Precision
from engines.zoo.opening import open_in
from streamer import AnonymizeSettings, Cancelled, JobRunner, anonymize_file, make_settings
from streamer.errors import InputError, OutputError


def _pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _changed(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference inside a mask, grey levels."""
    return float(np.abs(before.astype(float) - after.astype(float))[mask].mean())


def _face_differences(scene: Scene, before: Path, after: Path) -> list[float]:
    """How much each clearly visible true face changed, one number per face and frame."""
    differences = []
    for truth, old, new in zip(scene.frames(), _pictures(before), _pictures(after), strict=True):
        for face in truth.faces:
            if face.visible > 0.5:
                differences.append(_changed(old, new, face.mask))
    return differences


def test_every_face_becomes_one_synthetic_person(walk_clip: Path, walk_scene: Scene, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    result = anonymize_file(walk_clip, output)
    coverage = result.coverage
    assert coverage["frames"] == walk_scene.total_frames
    assert coverage["faces_synthetic"] >= 0.9 * walk_scene.total_frames
    assert [track["epsilon"] for track in result.tracks] == [1.0]
    assert result.epsilon_total == 1.0
    assert min(_face_differences(walk_scene, walk_clip, output)) > 4.0


def test_picture_outside_the_faces_is_kept(walk_clip: Path, walk_scene: Scene, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    anonymize_file(walk_clip, output, settings=make_settings(encode={"crf": 8}))
    for truth, old, new in zip(walk_scene.frames(), _pictures(walk_clip), _pictures(output), strict=True):
        x0, y0, x1, y1 = truth.faces[0].box_xyxy_px
        grow = 0.8 * (y1 - y0)
        far = np.ones(old.shape[:2], dtype=bool)
        far[
            int(max(y0 - grow, 0)) : int(y1 + grow),
            int(max(x0 - grow, 0)) : int(x1 + grow),
        ] = False
        assert _changed(old, new, far) < 1.5


def test_a_cut_ends_the_track_and_its_identity(cut_clip: Path, cut_scene: Scene, tmp_path: Path) -> None:
    result = anonymize_file(cut_clip, tmp_path / "out.mp4")
    cut = cut_scene.cuts[0]
    for track in result.tracks:
        assert (track["last_frame"] < cut) or (track["first_frame"] >= cut)
    drawn = [track for track in result.tracks if track["epsilon"] is not None]
    assert len(drawn) >= 2
    assert result.epsilon_total == sum(track["epsilon"] for track in drawn)


def test_ledger_has_a_line_per_draw_and_the_report_no_identity(walk_clip: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    settings = make_settings(privacy={"ledger": ledger, "scope": "test", "epsilon": 0.5})
    with JobRunner(settings) as runner:
        result = runner.run(walk_clip, tmp_path / "out.mp4")
        head = runner.describe()["privacy"]["ledger_head"]
    summary = verify_ledger(ledger, noted_head=head)
    assert [(scope.scope, scope.draws, float(scope.epsilon)) for scope in summary.scopes] == [
        ("test", 1, 0.5)
    ]
    text = str(result.as_json()) + ledger.read_text()
    assert not any(word in text for word in ("index", "embedding", "landmark", "code_unit"))


def test_spent_budget_masks_the_face(cut_clip: Path, cut_scene: Scene, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    result = anonymize_file(cut_clip, output, settings=make_settings(privacy={"budget": 1.0}))
    assert result.epsilon_total == 1.0
    assert result.coverage["faces_fallback"]["budget_spent"] > 0
    assert "budget spent" in result.summary()
    assert any("the budget of scope" in notice for notice in result.notices)
    # It was chosen: nothing failed.
    assert not result.is_flawed
    assert min(_face_differences(cut_scene, cut_clip, output)) > 4.0


def test_a_ledger_on_a_full_disk_masks_the_face_and_is_told(
    walk_clip: Path, walk_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    output, ledger = tmp_path / "out.mp4", tmp_path / "anna" / "ledger.jsonl"
    ledger.parent.mkdir()
    result = anonymize_file(walk_clip, output, settings=make_settings(privacy={"ledger": ledger}))
    assert result.is_flawed
    assert "ledger failed" in result.summary()
    assert result.notices == [
        "tracks covered plainly for want of a person: 1 "
        "(cannot write the ledger ledger.jsonl: No space left on device)"
    ]
    assert min(_face_differences(walk_scene, walk_clip, output)) > 4.0


def test_uniform_mechanism_opens_no_identity_encoder(
    walk_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def note(precision: Precision, name: str, **options: Any) -> Engine:
        opened.append(name)
        return open_in(precision, name, **options)

    monkeypatch.setattr(streamer.toolkit, "open_in", note)
    result = anonymize_file(
        walk_clip, tmp_path / "out.mp4", settings=make_settings(privacy={"mechanism": "uniform"})
    )
    assert "sface" not in opened
    assert opened
    assert result.epsilon_total == 0.0
    assert result.coverage["faces_synthetic"] > 0


class _BrokenEngine(Engine):
    """An engine that begins to fail, in one of several ways, after some healthy calls."""

    def __init__(self, engine: Engine, way: str, healthy_calls: int = 5) -> None:
        self._engine, self._way, self._left = engine, way, healthy_calls
        self.released = threading.Event()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.outputs

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self._left -= 1
        if self._left >= 0:
            return self._engine.infer(inputs)
        if self._way == "raises":
            raise RuntimeError("out of memory")
        if self._way == "hangs":
            self.released.wait(60)
        return {name: np.full_like(value, np.nan) for name, value in self._engine.infer(inputs).items()}

    def close(self) -> None:
        self.released.set()
        self._engine.close()


@pytest.fixture
def break_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Makes a named model fail; releases hung ones when the test ends."""
    broken: list[_BrokenEngine] = []

    def arrange(victim: str, way: str, healthy_calls: int) -> None:
        def opened(precision: Precision, name: str, **options: Any) -> Engine:
            engine = open_in(precision, name, **options)
            if name != victim:
                return engine
            broken.append(_BrokenEngine(engine, way, healthy_calls))
            return broken[-1]

        monkeypatch.setattr(streamer.toolkit, "open_in", opened)
        monkeypatch.setattr(engines.detectors, "open_in", opened)

    yield arrange
    for engine in broken:
        engine.released.set()


@pytest.mark.parametrize("way", ["raises", "nan", "hangs"])
@pytest.mark.parametrize("victim", ["retinaface-mnet025", "face-mesh", "sface", "decoder-v1"])
def test_no_raw_face_leaves_when_an_engine_breaks(
    victim: str, way: str, break_model: object, walk_clip: Path, walk_scene: Scene, tmp_path: Path
) -> None:
    assert callable(break_model)
    break_model(victim, way, 0 if victim == "sface" else 10)
    output = tmp_path / "out.mp4"
    settings = make_settings(engine_timeout_seconds=3.0, encode={"crf": 12})
    result = anonymize_file(walk_clip, output, settings=settings)
    assert min(_face_differences(walk_scene, walk_clip, output)) > 4.0
    if victim == "retinaface-mnet025":
        assert result.coverage["frames_masked_whole"]["detector_failed"] >= walk_scene.total_frames - 11
        assert result.as_json()["status"] == "done_with_masked_frames"
    else:
        assert result.coverage["faces_fallback"]["engine_failed"] > 0


def test_cancel_leaves_nothing_behind(walk_clip: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    output = tmp_path / "out.mp4"
    with pytest.raises(Cancelled):
        anonymize_file(walk_clip, output, on_progress=lambda _: cancel.set(), cancel=cancel)
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_kept_unless_asked_for(walk_clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        anonymize_file(walk_clip, output)
    assert output.read_bytes() == b"precious"


def test_output_on_the_input_is_refused(walk_clip: Path) -> None:
    before = walk_clip.read_bytes()
    with pytest.raises(OutputError, match="input"):
        anonymize_file(walk_clip, walk_clip, overwrite=True)
    assert walk_clip.read_bytes() == before


def test_missing_input_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        anonymize_file(tmp_path / "missing.mp4", tmp_path / "out.mp4")
    assert "\n" not in str(caught.value)


def test_resume_skips_what_is_complete(walk_clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with JobRunner(make_settings(replace_with="solid")) as runner:
        runner.run(walk_clip, output)
        stamp = output.stat().st_mtime_ns
        assert runner.run(walk_clip, output, resume=True).skipped
    assert output.stat().st_mtime_ns == stamp


def test_the_same_key_gives_the_same_people_again(walk_clip: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    outputs = []
    for run in ("a", "b"):
        settings = make_settings(
            privacy={"key_file": key, "ledger": tmp_path / f"{run}.jsonl"}, encode={"codec": "ffv1"}
        )
        outputs.append(tmp_path / f"{run}.mkv")
        anonymize_file(walk_clip, outputs[-1], settings=settings)
    first, second = (_pictures(path) for path in outputs)
    differences = [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(first, second, strict=True)]
    assert max(difference.max() for difference in differences) == 0


def test_replay_from_the_ledger_costs_nothing_again(walk_clip: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    settings = make_settings(privacy={"key_file": key, "ledger": tmp_path / "l.jsonl"})
    totals = [
        anonymize_file(walk_clip, tmp_path / f"{n}.mp4", settings=settings).epsilon_total for n in (1, 2)
    ]
    assert totals == [1.0, 0.0]


def test_time_stamps_do_not_depend_on_speed(walk_clip: Path, tmp_path: Path) -> None:
    """A slow consumer makes the decoder wait; nothing is dropped."""
    output = tmp_path / "out.mp4"
    anonymize_file(
        walk_clip,
        output,
        settings=AnonymizeSettings.model_validate({"replace_with": "solid"}),
        on_progress=lambda _: time.sleep(0.002),
    )
    with av.open(str(walk_clip)) as old, av.open(str(output)) as new:
        stamps = [[float(f.pts * f.time_base) for f in c.decode(video=0)] for c in (old, new)]
    assert stamps[0] == pytest.approx(stamps[1], abs=1e-9)


def test_black_and_white_stays_black_and_white(walk_scene: Scene, tmp_path: Path) -> None:
    source, output = tmp_path / "grey.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *walk_scene.size, "yuv420p"
        for number, frame in enumerate(walk_scene.frames()):
            if number == 12:
                break
            grey = np.repeat(frame.picture_rgb_u8.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    result = anonymize_file(source, output, settings=make_settings(encode={"crf": 8}))
    assert result.coverage["faces_synthetic"] > 0
    with av.open(str(output)) as container:
        for frame in container.decode(video=0):
            for plane in frame.planes[1:]:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                assert np.abs(rows[:, : plane.width].astype(int) - 128).max() <= 3
