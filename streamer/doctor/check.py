"""One thing that was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from calibration.errors import CalibrationError
from engines.errors import EngineError
from streamer.errors import VeilstreamError
from streamer.redact import reason_of


class Verdict(str, Enum):
    """What came of a check. `ABSENT` is no fault: an extra or a device that this machine does not have."""

    OK = "ok"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        detail: version, figures, or the reason and what would help.
        essential: without it no file can be anonymized with the default settings.
    """

    group: str
    name: str
    verdict: Verdict
    detail: str
    essential: bool = False


def tried(group: str, name: str, attempt: Callable[[], str], *, essential: bool = False) -> Check:
    """A check that is OK with what `attempt` returns, and failed with the reason of what it raises."""
    try:
        return Check(group, name, Verdict.OK, attempt(), essential)
    except (EngineError, VeilstreamError, CalibrationError) as error:
        reason = str(error)
    except Exception as error:
        # Whatever a damaged installation raises: the doctor must not fall ill itself.
        reason = f"{type(error).__name__}: {reason_of(error)}"[:300]
    return Check(group, name, Verdict.FAILED, reason, essential)
