"""The models of the pipeline that can be quantised: what each is shown, and what it must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibration.codebook import Codebook
from calibration.int8 import Sample
from engines.contract import Engine
from engines.detectors import detector_on
from streamer.frame import UInt8Array
from streamer.int8.accuracy import (
    Accuracy,
    decoder_accuracy,
    detector_accuracy,
    encoder_accuracy,
    iris_accuracy,
    mesh_accuracy,
)
from streamer.int8.capture import Captured, RecordingEngine

Accurate = Callable[[Engine, Engine, Captured, Sequence[Sample], Codebook], Accuracy]


@dataclass(frozen=True)
class Subject:
    """A model to quantise.

    Attributes:
        name: in the registry.
        most_error: largest `relative_error` accepted; chosen so that the figures of the task stay as documented.
        accuracy: what is reported, of the float engine, the INT8 one and the held-out inputs.
        detector: family of a detector, whose inputs are made from pictures; None for the others.
    """

    name: str
    most_error: float
    accuracy: Accurate
    detector: str | None = None

    def samples(self, engine: Engine, sha256: str, captured: Captured) -> list[Sample]:
        """What this model was shown, or in the case of a detector would have been shown."""
        if self.detector is None:
            return captured.of(sha256)
        return _detector_samples(self.detector, engine, captured.pictures.items)


def _detector_samples(family: str, engine: Engine, pictures: Sequence[UInt8Array]) -> list[Sample]:
    samples: list[Sample] = []

    def keep(inputs: Sample) -> None:
        samples.append({name: array.copy() for name, array in inputs.items()})

    detector = detector_on(RecordingEngine(engine, keep), family, score_threshold=0.5)
    for picture in pictures:
        detector.detect(picture)
    return samples


def _detector(name: str, family: str, most_error: float) -> Subject:
    def accuracy(
        reference: Engine, tested: Engine, held_out: Captured, samples: Sequence[Sample], codebook: Codebook
    ) -> Accuracy:
        return detector_accuracy(family, reference, tested, held_out.pictures.items)

    return Subject(name, most_error, accuracy, family)


def _of_crops(
    name: str, figures: Callable[[Engine, Engine, Sequence[Sample]], Accuracy], most_error: float
) -> Subject:
    def accuracy(
        reference: Engine, tested: Engine, held_out: Captured, samples: Sequence[Sample], codebook: Codebook
    ) -> Accuracy:
        return figures(reference, tested, samples)

    return Subject(name, most_error, accuracy)


def _encoder_figures(
    reference: Engine, tested: Engine, held_out: Captured, samples: Sequence[Sample], codebook: Codebook
) -> Accuracy:
    return encoder_accuracy(reference, tested, samples, codebook)


SUBJECTS = {
    subject.name: subject
    for subject in (
        _of_crops("decoder-v1", decoder_accuracy, 0.03),
        _detector("retinaface-mnet025", "retinaface", 0.2),
        _of_crops("face-mesh", mesh_accuracy, 0.05),
        _of_crops("iris", iris_accuracy, 0.1),
        Subject("sface", 0.13, _encoder_figures),
        _detector("yunet", "yunet", 0.2),
        _detector("centerface", "centerface", 0.2),
    )
}
