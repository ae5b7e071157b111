"""What works on this machine, found out by doing it: models are run, frames encoded, a small job is done.

A list of what is installed says little: encoders are listed whether or not their device is there, packages import
and fail later. Every check ends with a real result, or with the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from streamer.doctor.check import Check, Verdict
from streamer.doctor.codecs import check_encoders, check_hardware_decoding
from streamer.doctor.inference import check_backends, check_detectors
from streamer.doctor.installed import check_extras, check_models, check_system
from streamer.doctor.work import check_folders, check_job

__all__ = ["Check", "Verdict", "examine", "is_healthy"]


def examine(ledger_path: Path) -> Iterator[Check]:
    """All checks, in the order in which a reader wants them; takes some seconds.

    Args:
        ledger_path: where jobs write their ledger by default.
    """
    yield from check_system()
    yield from check_extras()
    yield from check_models()
    yield from check_backends()
    yield from check_detectors()
    yield from check_encoders()
    yield from check_hardware_decoding()
    yield from check_folders(ledger_path)
    yield from check_job()


def is_healthy(checks: Iterable[Check]) -> bool:
    """Whether the main job, a video file with the default settings, can run."""
    return not any(check.essential and check.verdict is not Verdict.OK for check in checks)
