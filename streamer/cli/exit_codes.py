"""What the exit status of `veilstream` says."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
DONE_WITH_FAILURES = 3  # something failed that cost the picture more than it had to; all is covered
UNDECIDED = 4  # an audit too weak to say anything
INTERRUPTED = 130

INTERRUPTED_LINE = "veilstream: interrupted; nothing half-written was kept"
