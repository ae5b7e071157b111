"""`python -m engines.training`: each subcommand is a module with a `register` function, imported when there."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

from engines.errors import EngineError

_MODULES = ("synthesize", "codebook_build", "train", "export", "evaluate", "groups")


def build_parser() -> argparse.ArgumentParser:
    """The parser with every subcommand whose module is there."""
    parser = argparse.ArgumentParser(
        prog="python -m engines.training", description="training system of veilstream"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in _MODULES:
        module = f"engines.training.{name}"
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module).register(subparsers)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
