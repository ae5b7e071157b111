"""Plans on disk: found by everything that decides what they hold, refused when they cannot be trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.backends.tensorrt.compile import Compiled
from engines.backends.tensorrt.plan_cache import PlanCache, PlanKey
from engines.backends.tensorrt.profiles import Profiles, Range
from engines.errors import EngineError

KEY = PlanKey(
    onnx_sha256="0" * 64,
    profiles=Profiles(),
    precision="fp32",
    tensorrt_version="11.4.0.106",
    gpu_name="NVIDIA L4",
    compute_capability="8.9",
)
OTHERS: dict[str, tuple[Any, ...]] = {
    "onnx_sha256": ("1" * 64,),
    "profiles": (
        Profiles(faces=Range(2, 4, 16)),
        Profiles(faces=Range(1, 5, 16)),
        Profiles(faces=Range(1, 4, 17)),
        Profiles(pictures=Range(1, 2, 4)),
        Profiles(side_px=Range(32, 640, 1920)),
    ),
    "precision": ("fp16",),
    "tensorrt_version": ("11.4.0.107", "10.16.1.11"),
    "gpu_name": ("NVIDIA L40",),
    "compute_capability": ("9.0",),
}


def given(plan: bytes, timing_cache: bytes = b"") -> Callable[[bytes], Compiled]:
    return lambda known: Compiled(plan, timing_cache)


def never(known: bytes) -> Compiled:
    raise AssertionError("built although a plan was there")


def path_of(folder: Path, key: PlanKey, suffix: str) -> Path:
    return folder / f"{key.name}.{suffix}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache folder with the plan of KEY in it."""
    PlanCache(tmp_path / "plans").load_or_build(KEY, given(b"plan of KEY", b"timings"))
    return tmp_path / "plans"


def test_every_component_has_its_cases() -> None:
    assert OTHERS.keys() == {field.name for field in dataclasses.fields(PlanKey)}


@pytest.mark.parametrize(
    ("component", "value"), [(name, value) for name, values in OTHERS.items() for value in values]
)
def test_a_plan_is_not_found_when_one_component_differs(folder: Path, component: str, value: Any) -> None:
    other = dataclasses.replace(KEY, **{component: value})
    assert PlanCache(folder).load_or_build(other, given(b"another plan")) == b"another plan"
    assert PlanCache(folder).load_or_build(KEY, never) == b"plan of KEY"


def test_a_plan_is_found_again(folder: Path) -> None:
    assert PlanCache(folder).load_or_build(KEY, never) == b"plan of KEY"
    (key,) = PlanCache(folder).keys()
    assert key["gpu_name"] == "NVIDIA L4"
    assert key["plan_bytes"] == len(b"plan of KEY")


def test_no_folder_has_no_plans(tmp_path: Path) -> None:
    assert PlanCache(tmp_path / "none").keys() == []
    assert not (tmp_path / "none").exists()


def test_files_are_for_the_user_alone(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_timings_are_handed_to_the_next_build_on_the_same_gpu_alone(folder: Path) -> None:
    seen = []

    def build(known: bytes) -> Compiled:
        seen.append(known)
        return Compiled(b"plan", known + b" and more")

    cache = PlanCache(folder)
    cache.load_or_build(dataclasses.replace(KEY, onnx_sha256="2" * 64), build)
    cache.load_or_build(dataclasses.replace(KEY, onnx_sha256="3" * 64), build)
    cache.load_or_build(dataclasses.replace(KEY, gpu_name="NVIDIA L40"), build)
    cache.load_or_build(dataclasses.replace(KEY, tensorrt_version="10.16.1.11"), build)
    assert seen == [b"timings", b"timings and more", b"", b""]


def _truncate(folder: Path) -> None:
    path_of(folder, KEY, "plan").write_bytes(b"plan of")


def _empty(folder: Path) -> None:
    path_of(folder, KEY, "plan").write_bytes(b"")


def _flip(folder: Path) -> None:
    path_of(folder, KEY, "plan").write_bytes(b"plan of KEy")


def _swap(folder: Path) -> None:
    other = dataclasses.replace(KEY, onnx_sha256="4" * 64)
    PlanCache(folder).load_or_build(other, given(b"another plan"))
    path_of(folder, other, "plan").replace(path_of(folder, KEY, "plan"))


def _swap_with_side_file(folder: Path) -> None:
    other = dataclasses.replace(KEY, onnx_sha256="4" * 64)
    PlanCache(folder).load_or_build(other, given(b"another plan"))
    path_of(folder, other, "plan").replace(path_of(folder, KEY, "plan"))
    path_of(folder, other, "json").replace(path_of(folder, KEY, "json"))


def _no_side_file(folder: Path) -> None:
    path_of(folder, KEY, "json").unlink()


def _no_json(folder: Path) -> None:
    path_of(folder, KEY, "json").write_bytes(b"\xff<html>")


def _list(folder: Path) -> None:
    path_of(folder, KEY, "json").write_text("[]")


def _no_sha256(folder: Path) -> None:
    path_of(folder, KEY, "json").write_text(json.dumps({"key": KEY.document(), "plan_bytes": 11}))


def _folder_for_all(folder: Path) -> None:
    folder.chmod(0o777)


def _folder_for_the_group(folder: Path) -> None:
    folder.chmod(0o770)


def _plan_for_the_group(folder: Path) -> None:
    path_of(folder, KEY, "plan").chmod(0o660)


def _side_file_for_all(folder: Path) -> None:
    path_of(folder, KEY, "json").chmod(0o602)


def _link(folder: Path) -> None:
    path = path_of(folder, KEY, "plan")
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def _folder_link(folder: Path) -> None:
    folder.rename(folder.parent / "real")
    folder.symlink_to(folder.parent / "real")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "is damaged.*delete it"),
        (_empty, "is damaged"),
        (_flip, "is damaged"),
        (_swap, "is damaged"),
        (_swap_with_side_file, "is that of another model or GPU"),
        (_no_side_file, "has no side file"),
        (_no_json, "side file .* is damaged"),
        (_list, "side file .* is damaged"),
        (_no_sha256, "side file .* is damaged"),
        (_folder_for_all, "other users; run: chmod go-w"),
        (_folder_for_the_group, "other users; run: chmod go-w"),
        (_plan_for_the_group, "other users; run: chmod go-w"),
        (_side_file_for_all, "other users; run: chmod go-w"),
        (_link, "cannot be opened"),
        (_folder_link, "cannot be used"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_one_line_and_not_rebuilt(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(EngineError, match=message) as caught:
        PlanCache(folder).load_or_build(KEY, never)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_what_belongs_to_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(EngineError, match="belongs to another user"):
        PlanCache(folder).load_or_build(KEY, never)


def test_a_damaged_plan_is_never_deserialised(standin: Any) -> None:
    """The stand-in would report it; and the way back is the one the message names."""
    model = (Path(__file__).parents[3] / "engines/zoo/weights/iris.onnx").read_bytes()
    standin.open(model).close()
    (plan,) = standin.folder.glob("*.plan")
    plan.write_bytes(b"x" + plan.read_bytes()[1:])
    with pytest.raises(EngineError, match="is damaged"):
        standin.open(model)
    assert len(standin.trt.faults.builds) == 1
    plan.unlink()
    standin.open(model).close()
    standin.open(model).close()
    assert len(standin.trt.faults.builds) == 2


def test_a_failed_build_leaves_nothing_and_is_tried_again(folder: Path) -> None:
    other = dataclasses.replace(KEY, onnx_sha256="5" * 64)

    def fail(known: bytes) -> Compiled:
        raise EngineError("no kernel")

    before = sorted(folder.iterdir())
    with pytest.raises(EngineError, match="no kernel"):
        PlanCache(folder).load_or_build(other, fail)
    assert sorted(folder.iterdir()) == before
    assert PlanCache(folder).load_or_build(other, given(b"plan")) == b"plan"


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_full_disk_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    other = dataclasses.replace(KEY, onnx_sha256="6" * 64)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(EngineError, match=r"cannot be written: No space left on device"):
            PlanCache(folder).load_or_build(other, given(b"plan"))
    assert sorted(folder.iterdir()) == before


def test_a_build_cut_off_between_the_two_files_is_built_anew(folder: Path) -> None:
    path_of(folder, KEY, "plan").unlink()
    assert PlanCache(folder).load_or_build(KEY, given(b"plan again")) == b"plan again"
    assert PlanCache(folder).load_or_build(KEY, never) == b"plan again"


def test_those_who_come_together_build_once(tmp_path: Path) -> None:
    builds = []
    start = threading.Barrier(4)
    results = []

    def build(known: bytes) -> Compiled:
        builds.append(known)
        time.sleep(0.05)
        return Compiled(b"plan", b"")

    def work() -> None:
        start.wait()
        results.append(PlanCache(tmp_path / "plans").load_or_build(KEY, build))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"plan"] * 4
    assert len(builds) == 1


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="cannot be used"):
        PlanCache(tmp_path / "file" / "plans").load_or_build(KEY, never)


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 3, 2)])
def test_a_profile_that_makes_no_sense_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(EngineError, match="least <= usual <= most"):
        Range(*sizes)


def test_free_axes_get_their_range_and_others_stay() -> None:
    profiles = Profiles()
    assert profiles.shapes((-1, 3, 112, 112)) == ((1, 3, 112, 112), (4, 3, 112, 112), (16, 3, 112, 112))
    assert profiles.shapes((-1, 3, -1, -1)) == ((1, 3, 32, 32), (1, 3, 640, 640), (4, 3, 1280, 1280))
    assert profiles.shapes((1, 3, 8, 8)) == ((1, 3, 8, 8),) * 3
