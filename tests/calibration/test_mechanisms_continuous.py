"""The continuous mechanisms have the constants of the literature, and their samples have the stated law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from calibration.assign import IdentityAssigner
from calibration.codebook import Codebook
from calibration.errors import CalibrationError, CodeError, EpsilonError
from calibration.mechanisms import (
    MECHANISM_NAMES,
    Exactness,
    GaussianMechanism,
    LaplaceMechanism,
    PrivUnitMechanism,
    VectorMechanism,
    VmfMechanism,
    create_mechanism,
)
from calibration.mechanisms.gaussian import needed_delta, smallest_sigma
from calibration.mechanisms.laplace import l1_sensitivity, true_epsilon
from calibration.randomness import KeyedRandom

KEY = bytes(range(32))
CONTINUOUS = [name for name in MECHANISM_NAMES if name not in ("uniform", "codebook")]


def draws(mechanism: VectorMechanism, count: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    code = np.arange(1.0, mechanism.dimension + 1.0)
    code /= np.linalg.norm(code)
    return code, mechanism.draw_noised(code, count, KeyedRandom(KEY, mechanism.name.encode()))


@pytest.mark.parametrize(
    ("dimension", "epsilon", "expected"),
    [
        (512, 1, 0.018),
        (512, 4, 0.067),
        (512, 8, 0.121),
        (64, 1, 0.050),
        (64, 4, 0.188),
        (64, 8, 0.334),
        (64, 16, 0.528),
    ],
)
def test_privunit_has_the_figures_of_the_specification(dimension: int, epsilon: int, expected: float) -> None:
    mechanism = PrivUnitMechanism(epsilon, dimension)
    assert mechanism.expected_cosine == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("dimension", [2, 3, 64, 128])
@pytest.mark.parametrize("epsilon", ["0.5", "1", "4", "8"])
def test_privunit_spends_its_epsilon_exactly(dimension: int, epsilon: str) -> None:
    mechanism = PrivUnitMechanism(epsilon, dimension)
    p, q = mechanism.cap_probability, mechanism.cap_share
    assert math.log(p * (1 - q) / ((1 - p) * q)) == pytest.approx(float(epsilon), rel=1e-9)
    assert 0 < q <= 0.5


def test_privunit_samples() -> None:
    mechanism = PrivUnitMechanism(4, 16)
    code, outputs = draws(mechanism)
    cosines = outputs @ code
    assert np.allclose(np.linalg.norm(outputs, axis=1), 1)
    assert cosines.mean() == pytest.approx(mechanism.expected_cosine, abs=0.02)
    assert np.mean(cosines >= mechanism.gamma) == pytest.approx(mechanism.cap_probability, abs=0.02)
    # Inside the cap the law is that of the uniform sphere, cut: its quantiles are uniform.
    beta = stats.beta(7.5, 7.5)
    tail = beta.sf((cosines[cosines >= mechanism.gamma] + 1) / 2) / mechanism.cap_share
    assert stats.kstest(tail, "uniform").pvalue > 1e-4
    low = beta.sf((cosines[cosines < mechanism.gamma] + 1) / 2)
    assert stats.kstest((low - mechanism.cap_share) / (1 - mechanism.cap_share), "uniform").pvalue > 1e-4


def test_laplace_has_the_true_sensitivity() -> None:
    assert l1_sensitivity(512) == pytest.approx(45.25, abs=0.005)
    mechanism = LaplaceMechanism(1, 512)
    assert mechanism.scale == pytest.approx(45.25, abs=0.005)
    # The published maximum over a data set costs more than it says.
    assert true_epsilon(30.27, 512) == pytest.approx(1.495, abs=0.001)
    code, outputs = draws(LaplaceMechanism(2, 8))
    noise = ((outputs - code) / LaplaceMechanism(2, 8).scale).ravel()
    assert stats.kstest(noise, "laplace").pvalue > 1e-4


def test_gaussian_is_the_analytic_one() -> None:
    # Balle and Wang's own algorithm for sensitivity 1, epsilon 1, delta 1e-5 gives 3.730632.
    assert smallest_sigma(1.0, 1e-5) == pytest.approx(2 * 3.730632, abs=1e-5)
    for epsilon, delta in ((0.5, 1e-6), (4.0, 1e-3)):
        sigma = smallest_sigma(epsilon, delta)
        assert needed_delta(epsilon, sigma) <= delta
        assert needed_delta(epsilon, 0.999 * sigma) > delta
    mechanism = GaussianMechanism(1, 8, delta=1e-3)
    code, outputs = draws(mechanism)
    assert stats.kstest(((outputs - code) / mechanism.sigma).ravel(), "norm").pvalue > 1e-4
    assert mechanism.describe()["delta"] == 1e-3
    assert mechanism.bound_table()[0].verification > 1e-3 * math.e


@pytest.mark.parametrize(("dimension", "epsilon"), [(2, 1), (3, 4), (16, 8), (64, 16)])
def test_vmf_samples(dimension: int, epsilon: int) -> None:
    mechanism = VmfMechanism(epsilon, dimension)
    assert mechanism.kappa == epsilon / 2
    code, outputs = draws(mechanism)
    cosines = outputs @ code
    assert np.allclose(np.linalg.norm(outputs, axis=1), 1)
    assert cosines.mean() == pytest.approx(mechanism.expected_cosine, abs=0.03)
    # The density of the cosine is (1 - w^2)^((d - 3)/2) exp(kappa w).
    angles = np.linspace(0, math.pi, 20_001)
    weight = np.sin(angles) ** (dimension - 2) * np.exp(mechanism.kappa * np.cos(angles))
    share = np.concatenate([[0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
    law = np.interp(np.arccos(np.clip(cosines, -1, 1)), angles, share / share[-1])
    assert stats.kstest(law, "uniform").pvalue > 1e-4


def test_vmf_mean_in_many_dimensions() -> None:
    # In three dimensions the mean is coth(kappa) - 1/kappa; in many it is close to kappa / d.
    assert VmfMechanism(4, 3).expected_cosine == pytest.approx(1 / math.tanh(2) - 1 / 2)
    assert VmfMechanism(1, 512).expected_cosine == pytest.approx(0.5 / 512, rel=1e-3)


def test_privunit_keeps_more_of_the_code_than_the_others() -> None:
    kept = {}
    for name in CONTINUOUS:
        mechanism = create_mechanism(name, 4, dimension=64)
        assert isinstance(mechanism, VectorMechanism)
        code, outputs = draws(mechanism, 2000)
        kept[name] = float(np.mean(outputs @ code / np.linalg.norm(outputs, axis=1)))
    assert max(kept, key=lambda name: kept[name]) == "privunit"


@pytest.mark.parametrize("name", CONTINUOUS)
def test_interface(name: str) -> None:
    mechanism = create_mechanism(name, 1, dimension=8)
    assert isinstance(mechanism, VectorMechanism)
    assert mechanism.exactness is Exactness.DOUBLE
    code = np.ones(8) / math.sqrt(8)
    first = mechanism.draw(code, KeyedRandom(KEY, b"1"))
    assert np.isclose(np.linalg.norm(first), 1)
    assert np.array_equal(first, mechanism.draw(code, KeyedRandom(KEY, b"1")))
    assert not np.allclose(first, mechanism.draw(code, KeyedRandom(KEY, b"2")))
    for bad in (np.zeros(8), np.ones(7), np.full(8, np.nan)):
        with pytest.raises(CodeError):
            mechanism.draw(bad, KeyedRandom(KEY, b"1"))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_codebook_person_comes_out(name: str, codebook: Codebook) -> None:
    mechanism = create_mechanism(name, 1, dimension=codebook.space.dimension)
    subject = IdentityAssigner(mechanism, codebook, session="run")
    indices = {subject.assign("camera", t, codebook.codes_unit[t]).index for t in range(codebook.size)}
    assert len(indices) == codebook.size
    assert subject.ledger.spent("default") == codebook.size


def test_wrong_choices(codebook: Codebook) -> None:
    with pytest.raises(CalibrationError, match="choose one of"):
        create_mechanism("magic", 1, dimension=8)
    with pytest.raises(CodeError, match="2 dimensions"):
        PrivUnitMechanism(1, 1)
    with pytest.raises(CodeError, match="identity space"):
        IdentityAssigner(PrivUnitMechanism(1, 99), codebook, session="run")
    for name in ("privunit", "laplace", "vmf"):
        with pytest.raises(EpsilonError, match="uniform"):
            create_mechanism(name, 0, dimension=8)
    with pytest.raises(EpsilonError, match="delta"):
        GaussianMechanism(1, 8, delta=0)
    with pytest.raises(EpsilonError, match="positive"):
        true_epsilon(0, 8)
