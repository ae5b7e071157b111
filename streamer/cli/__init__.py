"""The command `veilstream`."""

from streamer.cli.app import main

__all__ = ["main"]
