"""Edits of teacher people: the steps do what they say, closed lids are closed, and the wavelet step is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engines.face.topology import canonical_mesh
from engines.training.edits import MEASURES, STEERED, fit_edits, measure, read_face, steer
from engines.training.layout import LAYERS
from engines.training.lids import close_eyes, closed_mesh
from engines.training.readout import LinearReadout, fit_readout

Float = npt.NDArray[np.float32]


@pytest.fixture
def mesh() -> Float:
    """The mean face, upright in a 256 px picture."""
    placed = canonical_mesh() * 70.0
    placed[:, :2] += (128.0, 115.0)
    return np.asarray(placed, np.float32)


def linear_world(seed: int = 0) -> tuple[Float, Float, Float]:
    """Styles and measures that depend on them linearly: (N, 512), (N, measures), and the true matrix."""
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.standard_normal((512, 40)))[0]
    styles = (random.standard_normal((600, 40)) @ basis.T).astype(np.float32)
    matrix = (random.standard_normal((len(MEASURES), 40)) @ basis.T).astype(np.float32)
    return styles, styles @ matrix.T, matrix


def test_a_step_changes_its_measure_and_holds_the_others() -> None:
    styles, measures, matrix = linear_world()
    space = fit_edits(styles, measures, held=np.zeros((600, 1), np.float32), components=40, ridge=1e-6)
    moved = space.apply(styles[0], {"pitch": 2.0}, layers=LAYERS)
    change = ((moved - styles[0]) @ matrix.T)[: len(STEERED)]
    wanted = np.array([2.0 if name == "pitch" else 0.0 for name in STEERED])
    np.testing.assert_allclose(change, wanted, atol=0.02)
    assert space.correlation.min() > 0.99


def test_what_is_held_moves_less_the_higher_its_price() -> None:
    styles, measures, _ = linear_world()
    identity = styles @ np.random.default_rng(5).standard_normal((512, 20)).astype(np.float32)

    def drift(weight: float) -> float:
        space = fit_edits(styles, measures, held=identity, held_weight=weight, components=40, ridge=1e-6)
        step = space.apply(styles[0], {"yaw": 1.0}, layers=LAYERS) - styles[0]
        answer = np.linalg.lstsq(styles, identity, rcond=None)[0]
        return float(np.linalg.norm(step @ answer))

    assert drift(100.0) < 0.8 * drift(0.0)


def test_an_edit_leaves_the_last_layers_alone() -> None:
    styles, measures, _ = linear_world()
    space = fit_edits(styles, measures, held=np.zeros((600, 1), np.float32), components=40)
    moved = space.apply(styles[0], {"yaw": 5.0}, layers=4)
    assert moved.shape == (LAYERS, 512)
    assert not np.allclose(moved[:4], styles[0])
    np.testing.assert_array_equal(moved[4:], np.broadcast_to(styles[0], (LAYERS - 4, 512)))


class StillMesh:
    """A landmark model that sees the same mesh in every patch."""

    def __init__(self, mesh_in_patch: Float) -> None:
        self._mesh = mesh_in_patch

    def run(self, patches_rgb_f32: Float) -> tuple[Float, Float]:
        count = len(patches_rgb_f32)
        return np.repeat(self._mesh[None], count, 0), np.full(count, 50.0, np.float32)


def test_a_reading_is_in_px_of_the_picture() -> None:
    patch = canonical_mesh() * 50.0
    patch[:, :2] += 96.0
    reading = read_face(np.full((256, 256, 3), 128, np.uint8), StillMesh(patch.astype(np.float32)))
    assert reading.presence == 50.0
    assert abs(reading["yaw"]) < 1.0
    spread = np.ptp(reading.mesh_xyz_px[:, :2], 0) / np.ptp(patch[:, :2], 0)
    np.testing.assert_allclose(spread, spread[0], rtol=1e-3)


def test_steering_stops_at_the_limit() -> None:
    styles, measures, _ = linear_world()
    space = fit_edits(styles, measures, held=np.zeros((600, 1), np.float32), components=40)
    patch = (canonical_mesh() * 50.0 + np.array([96.0, 96.0, 0.0])).astype(np.float32)
    grey = np.full((256, 256, 3), 128, np.uint8)
    moved, _, _ = steer(
        styles[0],
        {"yaw": 80.0},
        space=space,
        render=lambda style: grey,
        model=StillMesh(patch),
        rounds=6,
        layers=LAYERS,
        limits={"yaw": 10.0},
    )
    np.testing.assert_allclose(moved, space.apply(styles[0], {"yaw": 10.0}, layers=LAYERS), atol=1e-4)


def test_measures_follow_the_mesh(mesh: Float) -> None:
    picture = np.full((256, 256, 3), (180, 140, 120), np.uint8)
    before = measure(picture, mesh)
    opened = mesh.copy()
    opened[14, 1] += 8.0
    after = measure(picture, opened)
    assert after[MEASURES.index("mouth_open")] > before[MEASURES.index("mouth_open")] + 0.05
    turned = mesh.copy()
    angle = np.radians(20.0)
    centre = mesh.mean(0)
    rotation = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = ((mesh - centre) @ rotation.T + centre).astype(np.float32)
    assert abs(measure(picture, turned)[0]) == pytest.approx(20.0, abs=1.0)
    shaded = picture.copy()
    shaded[:, :128] //= 2
    assert measure(shaded, mesh)[MEASURES.index("light_side")] > 0.3


def test_shut_eyes_show_no_eyeball(mesh: Float) -> None:
    picture = np.full((256, 256, 3), (200, 160, 140), np.uint8)
    middles = []
    for upper, lower in ((159, 145), (386, 374)):
        x, y = ((mesh[upper, :2] + mesh[lower, :2]) / 2).round().astype(int)
        picture[y - 2 : y + 3, x - 6 : x + 7] = 255
        middles.append((x, y))
    white = (picture == 255).all(2).sum()
    half = (close_eyes(picture, mesh, 0.5) == 255).all(2).sum()
    shut = (close_eyes(picture, mesh, 1.0) == 255).all(2).sum()
    assert shut < 0.1 * white < half < white
    np.testing.assert_array_equal(close_eyes(picture, mesh, 0.0)[:60], picture[:60])


def test_the_mesh_of_shut_eyes_has_its_lids_together(mesh: Float) -> None:
    shut = closed_mesh(mesh, 1.0)
    for upper, lower in ((159, 145), (386, 374)):
        assert np.linalg.norm(shut[upper] - shut[lower]) < 1e-3
    np.testing.assert_array_equal(shut[[33, 133, 263, 362, 4, 61]], mesh[[33, 133, 263, 362, 4, 61]])


def test_a_readout_foretells_and_survives_its_file(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((400, 12)).astype(np.float32)
    readout = fit_readout(x, {"a": x[:, 0] * 2 + 1, "b": x[:, 3] - x[:, 5]}, ridge=1e-6)
    readout.save(tmp_path / "readout.npz")
    again = LinearReadout.load(tmp_path / "readout.npz")
    told = again(x[:5])
    np.testing.assert_allclose(told["a"], x[:5, 0] * 2 + 1, atol=1e-3)
    np.testing.assert_allclose(told["b"], x[:5, 3] - x[:5, 5], atol=1e-3)


def test_the_wavelet_step_is_undone_exactly() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("openvino")
    from engines.training.teacher import wavelet_join, wavelet_split

    x = torch.randn(2, 3, 8, 12)
    assert torch.allclose(wavelet_join(wavelet_split(x)), x, atol=1e-5)
    flat = torch.ones(1, 3, 8, 8)
    assert torch.allclose(wavelet_split(flat)[:, 3:], torch.zeros(1, 9, 4, 4), atol=1e-6)
