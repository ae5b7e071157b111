"""`veilstream anonymize` of one clip in a process of its own, with a ledger that is thrown away.

python -m benchmarks.run_ours INPUT OUTPUT [options of `veilstream anonymize`]
"""

from __future__ import annotations

import os
import sys
import tempfile

from streamer.cli import main

if __name__ == "__main__":
    source, target, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        sys.argv = ["veilstream", "anonymize", source, "-o", target, "--overwrite", "-q", *options]
        main()
