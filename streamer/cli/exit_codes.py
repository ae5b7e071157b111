"""What the exit status of `veilstream` says."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
DONE_WITH_MASKED_FRAMES = 3
UNDECIDED = 4  # an audit too weak to say anything
INTERRUPTED = 130
