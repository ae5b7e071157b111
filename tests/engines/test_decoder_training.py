"""Protects: network and run-time compositing agree, samples hide the face, steps lower the loss, export has parity."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.errors import EngineError
from engines.face.compose import compose
from engines.face.pose import Similarity3D, crop_from_mesh
from engines.face.template import transform_points
from engines.face.topology import LIPS_INNER, canonical_mesh
from engines.face.warp import OPEN_MOUTH
from engines.training import degrade
from engines.training.dataset import Sample, SampleMaker, Shares, batches
from engines.training.pictures import HELD_OUT_EVERY, Face, People, Person, load_folder, load_shard
from engines.training.train import TrainConfig


def picture_of(mesh: np.ndarray, seed: int, size: int = 128) -> np.ndarray:
    """A flat drawing of a face with this mesh: enough for shapes and colours to matter."""
    rng = np.random.default_rng(seed)
    picture = np.full((size, size, 3), rng.integers(0, 255, 3), dtype=np.uint8)
    hull = cv2.convexHull(mesh[:, :2].astype(np.float32)).astype(np.int32)
    cv2.fillPoly(picture, [hull], rng.integers(60, 220, 3).tolist())
    for x, y in mesh[::7, :2].astype(int):
        cv2.circle(picture, (int(x), int(y)), 1, rng.integers(0, 255, 3).tolist(), -1)
    return picture


def mesh_of(yaw_degrees: float, size: int = 128) -> np.ndarray:
    yaw = np.radians(yaw_degrees)
    rotation = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    mesh = Similarity3D(1.0, rotation, np.zeros(3)).apply(canonical_mesh())
    return (transform_points(crop_from_mesh(mesh), mesh) * (size / 128)).astype(np.float32)


def write_shard(path: Path, people: int = 3, views: int = 3) -> None:
    images, meshes, person, view = [], [], [], []
    for who in range(1, people + 1):
        for number in range(views):
            mesh = mesh_of(12.0 * number, 256)
            images.append(cv2.imencode(".jpg", picture_of(mesh, who, 256))[1].ravel())
            meshes.append(mesh)
            person.append(who)
            view.append(number)
    np.savez(
        path,
        images=np.concatenate(images),
        image_offsets=np.cumsum([0] + [len(i) for i in images]).astype(np.int64),
        mesh_xyz_px=np.array(meshes, np.float16),
        presence=np.full(len(images), 45.0, np.float32),
        person=np.array(person, np.int32),
        view=np.array(view, np.int32),
    )


class CodeOfMeanColour:
    """Stands in for the recogniser: fast, and different for different faces."""

    def encode(self, aligned: np.ndarray) -> np.ndarray:
        code = np.tile(aligned.mean(axis=(1, 2)), (1, 43))[:, :128] + 1.0
        return (code / np.linalg.norm(code, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def people(tmp_path: Path) -> People:
    write_shard(tmp_path / "views_000.npz")
    return People([], str(tmp_path / "views_*.npz"))


def maker(people: People, seed: int = 0, **shares: float) -> SampleMaker:
    return SampleMaker(people, CodeOfMeanColour(), np.random.default_rng(seed), Shares(**shares))  # type: ignore[arg-type]


def test_samples_hide_the_face_and_are_finite(people: People) -> None:
    drawn = maker(people, cross=0.5)
    for _ in range(12):
        sample = drawn.make()
        assert sample.conditioning.shape == (12, 128, 128)
        hole = sample.conditioning[6] > 0
        assert hole.any()
        assert (sample.conditioning[3:6, hole] == 0).all()
        assert (sample.hole[0] <= hole).all()
        for value in vars(sample).values():
            assert value.dtype == np.float32
            assert np.isfinite(value).all()
        assert sample.target.min() >= 0.0
        assert sample.target.max() <= 1.0


def test_same_seed_gives_the_same_samples(people: People) -> None:
    first, second = next(batches(maker(people, 5), 3)), next(batches(maker(people, 5), 3))
    assert set(first) == set(Sample.__dataclass_fields__)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_cross_samples_ask_for_somebody_else(people: People) -> None:
    only_cross = [maker(people, seed, cross=1.0).make() for seed in range(4)]
    assert all(sample.paired == 0.0 for sample in only_cross)
    assert maker(people, 1, cross=0.0).make().paired == 1.0


def test_new_shards_are_picked_up_and_held_out_people_kept_apart(tmp_path: Path) -> None:
    write_shard(tmp_path / "views_000.npz", people=2)
    people = People([], str(tmp_path / "views_*.npz"))
    assert len(people.teacher) == 2
    write_shard(tmp_path / "views_001.npz", people=HELD_OUT_EVERY)
    people.refresh()
    trained, _ = people.split(held_out=False)
    kept, _ = people.split(held_out=True)
    assert (len(trained), len(kept)) == (2 + HELD_OUT_EVERY - 1, 1)


def test_what_is_no_shard_or_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "views_000.npz"
    broken.write_bytes(b"no archive")
    with pytest.raises(EngineError, match="views_000"):
        load_shard(broken)
    with pytest.raises(EngineError, match=r"no \.jpg files"):
        load_folder(tmp_path, tmp_path / "cache.npz")


def test_appearances_are_frontal(people: People) -> None:
    turned, frontal = (Face(np.zeros(1, np.uint8), mesh_of(30.0), f) for f in (False, True))
    assert Person([turned, frontal], False, neutral_known=False).appearances == [frontal]
    assert people.teacher[0].appearances == people.teacher[0].faces[:1]


@pytest.mark.parametrize("draw", [degrade.draw_coding, degrade.draw_exposure, degrade.draw_resolution_loss])
def test_damage_is_repeatable_and_stays_in_range(draw: object) -> None:
    picture = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    apply = draw(np.random.default_rng(3))  # type: ignore[operator]
    first, second = apply(picture), apply(picture)
    np.testing.assert_array_equal(first, second)
    assert first.shape == picture.shape
    assert first.min() >= -1e-6
    assert first.max() <= 1.0 + 1e-6


def test_shipped_configuration_is_valid_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    from engines.training.train import DEFAULT_CONFIG

    assert TrainConfig.load(DEFAULT_CONFIG).batch_size > 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("batch_sise: 3\n", encoding="utf-8")
    with pytest.raises(EngineError, match=r"wrong\.yaml"):
        TrainConfig.load(wrong)


def test_network_keeps_its_budget_and_the_outline() -> None:
    torch = pytest.importorskip("torch")
    from engines.training.network import DecoderNet, multiply_adds

    network = DecoderNet()
    example = torch.zeros(1, 12, 128, 128)
    assert 2 * multiply_adds(network, example) <= 0.6e9
    assert 4 * sum(p.numel() for p in network.parameters()) <= 7.9e6
    fields, mask, fill = network(example)
    assert (tuple(fields.shape), tuple(mask.shape), tuple(fill.shape)) == (
        (1, 6, 16, 16),
        (1, 1, 128, 128),
        (1, 3, 128, 128),
    )
    assert float(mask.detach().max()) == 0.0  # no outline, no warp


def test_torch_and_numpy_compose_alike() -> None:
    torch = pytest.importorskip("torch")
    from engines.training.network import compose_torch

    rng = np.random.default_rng(0)
    warp = rng.random((128, 128, 3), dtype=np.float32)
    fields = rng.normal(0, 0.3, (6, 16, 16)).astype(np.float32)
    mask = rng.random((1, 128, 128), dtype=np.float32)
    fill = rng.random((3, 128, 128), dtype=np.float32)
    ours = compose(warp, fields, mask, fill)
    tensors = [torch.from_numpy(a)[None] for a in (warp.transpose(2, 0, 1).copy(), fields, mask, fill)]
    theirs = compose_torch(*tensors)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(ours, np.clip(theirs, 0, 1), atol=1e-4)


def test_a_few_steps_lower_the_loss(people: People) -> None:
    torch = pytest.importorskip("torch")
    from engines.training.network import DecoderNet, compose_torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    batch = {k: torch.from_numpy(v) for k, v in next(batches(maker(people, cross=0.0), 2)).items()}
    network = DecoderNet(widths=(8, 12, 16, 16, 16))
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    history = []
    for _ in range(25):
        made = compose_torch(batch["warp"], *network(batch["conditioning"]))
        loss = ((made - batch["target"]).abs() * batch["hole"]).sum() / batch["hole"].sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.8 * history[0]


def test_the_mean_of_two_states_is_exported() -> None:
    torch = pytest.importorskip("torch")
    from engines.training.export import take_mean
    from engines.training.network import DecoderNet

    first, second = (DecoderNet(widths=(8, 12, 16, 16, 16)) for _ in range(2))
    before = {name: value.clone() for name, value in first.state_dict().items()}
    take_mean(first, second)
    for name, value in first.state_dict().items():
        assert torch.allclose(value, (before[name] + second.state_dict()[name]) / 2)


def test_export_has_the_stated_names_a_free_batch_and_parity(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    import onnxruntime

    from engines.training.export import export_decoder, load_decoder
    from engines.training.network import DecoderNet

    torch.manual_seed(0)
    path = tmp_path / "decoder.onnx"
    assert export_decoder(DecoderNet(widths=(8, 12, 16, 16, 16)).eval(), path) < 1e-3
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["conditioning"]
    assert [item.name for item in session.get_outputs()] == ["fields", "mask", "fill"]
    outputs = session.run(None, {"conditioning": np.zeros((5, 12, 128, 128), np.float32)})
    assert [len(value) for value in outputs] == [5, 5, 5]
    with pytest.raises(EngineError, match="checkpoint"):
        load_decoder(tmp_path)


def test_neighbouring_frames_show_one_face_a_little_further(people: People) -> None:
    drawn = maker(people, 3, cross=0.0, noise=0.0, coding=0.0, occluder=0.0)
    for _ in range(4):
        first, second = drawn.make_neighbours()
        np.testing.assert_array_equal(first.code, second.code)
        assert not first.moved_px.any()
        moved = second.moved_px
        assert 0.0 < np.abs(moved).max() <= 2.0
        back = cv2.warpAffine(
            second.target.transpose(1, 2, 0),
            np.array([[1, 0, -moved[0]], [0, 1, -moved[1]]], np.float64),
            (128, 128),
        )
        middle = (slice(30, 100), slice(30, 100))
        apart = np.abs(
            first.target.transpose(1, 2, 0)[middle] - second.target.transpose(1, 2, 0)[middle]
        ).mean()
        assert np.abs(back[middle] - first.target.transpose(1, 2, 0)[middle]).mean() < 0.5 * apart
    assert not drawn.make().moved_px.any()


def test_batches_begin_with_cross_samples(people: People) -> None:
    batch = next(batches(maker(people, cross=0.0), 5, crossed=2))
    assert batch["paired"].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert (batch["host_code"] * batch["code"]).sum(1)[2:].min() > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_an_occluder_covers_a_part(seed: int) -> None:
    picture = np.full((128, 128, 3), 0.5, np.float32)
    covered = degrade.occlude(picture, mesh_of(0.0), np.random.default_rng(seed))
    changed = (np.abs(covered - picture).max(axis=2) > 0.02).mean()
    assert 0.0 < changed < 0.8
    assert covered.min() >= 0.0
    assert covered.max() <= 1.0


@pytest.mark.parametrize("seed", range(6))
def test_surroundings_change_colour_and_the_face_does_not(seed: int) -> None:
    picture, mesh = np.full((128, 128, 3), 0.5, np.float32), mesh_of(0.0)
    recoloured = degrade.recolour_surroundings(picture, mesh, np.random.default_rng(seed))
    face = np.zeros((128, 128), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(mesh[:, :2].astype(np.int32)), 1)
    inner = cv2.erode(face, np.ones((9, 9), np.uint8)) > 0
    assert inner.sum() > 1000
    assert np.abs(recoloured - picture)[inner].max() < 0.01
    assert np.abs(recoloured - picture)[face == 0].max() > 0.05
    assert ((recoloured >= 0) & (recoloured <= 1)).all()


def test_an_occluder_ends_at_the_hole(people: People) -> None:
    clean = ("cross", "noise", "coding", "exposure", "resolution", "other_hole")
    plain, outside = dict.fromkeys(clean, 0.0), 0
    for seed in range(6):
        bare, covered = (maker(people, seed, occluder=share, **plain).make() for share in (0.0, 1.0))
        hole = bare.conditioning[6] > 0
        stood_there = (bare.target != covered.target).any(axis=0)
        assert not (stood_there & hole).any()
        outside += int(stood_there.sum())
    assert outside > 0


def test_a_face_that_moves_along_is_no_unrest_and_one_that_changes_is() -> None:
    torch = pytest.importorskip("torch")
    from engines.training.losses import temporal_difference

    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((128, 128, 3), dtype=np.float32), (0, 0), 4.0)
    moved_px = np.array([1.5, -0.75], np.float32)
    shift = np.array([[1, 0, moved_px[0]], [0, 1, moved_px[1]]], np.float64)
    moved = cv2.warpAffine(smooth, shift, (128, 128), borderMode=cv2.BORDER_REFLECT_101)
    pair = torch.from_numpy(np.stack([smooth, moved]).transpose(0, 3, 1, 2).copy())
    hole = torch.zeros(2, 1, 128, 128)
    hole[:, :, 20:110, 20:110] = 1.0
    still = float(temporal_difference(pair, hole, torch.from_numpy(moved_px)))
    pair[1] += 0.1
    assert still < 0.002
    assert float(temporal_difference(pair, hole, torch.from_numpy(moved_px))) > 0.09


def test_the_mouth_of_a_smiling_portrait_is_to_be_painted() -> None:
    from engines.training.dataset import _without_mouth

    mesh = mesh_of(0.0).astype(np.float64)
    silhouette = np.full((128, 128), 255, np.uint8)
    assert (_without_mouth(silhouette, mesh) == 255).all()
    mesh[LIPS_INNER[11:], 1] += 8.0
    hidden = _without_mouth(silhouette, mesh) == OPEN_MOUTH
    x, y = mesh[LIPS_INNER, :2].mean(axis=0).round().astype(int)
    assert hidden[y, x]
    assert hidden.mean() < 0.05
