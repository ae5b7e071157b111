"""What every part of the benchmarks is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """
    Attributes:
        data: folder of the evaluation data, or None: what needs it is left out, and the report says so.
        out: where results go; clips that are made stay in `out/clips`.
        peers: folder of other programs' virtual environments, or None to leave them out.
        rounds: counted runs of each command, after one warm-up.
        pairs: LFW pairs of the privacy part.
        quick: the smallest run that still shows every part: for trying it out.
    """

    data: Path | None
    out: Path
    peers: Path | None
    rounds: int = 3
    pairs: int = 300
    quick: bool = False

    @property
    def clips(self) -> Path:
        return self.out / "clips"

    def videos(self, *names: str) -> list[Path]:
        """Real clips of the evaluation data, those that are there."""
        if self.data is None:
            return []
        return [path for name in names if (path := self.data / "videos" / name).exists()]
