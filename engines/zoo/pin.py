"""Write the size and sha256 of an embedded file into `models.json`: `python -m engines.zoo.pin NAME...`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys

from engines.errors import EngineError, ModelMissingError
from engines.zoo import registry


def pin(name: str) -> str:
    """Record the embedded file of `name` as it is now, and return its sha256.

    Raises:
        ModelMissingError: the file is not in `weights/`.
        EngineError: the model is unknown or is not an embedded one.
    """
    item = registry.entry(name)
    if not item.embedded:
        raise EngineError(f"model {name} is fetched, not embedded; its sha256 is that of its package member")
    path = registry.file_location(item)
    if not path.is_file():
        raise ModelMissingError(f"model {name}: put {item.file} into {registry.WEIGHTS_DIRECTORY} first")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    document = json.loads(registry.REGISTRY_FILE.read_text(encoding="utf-8"))
    for line in document["models"]:
        if line["name"] == name:
            line["size"], line["sha256"] = len(data), sha256
    registry.REGISTRY_FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return sha256


def main(arguments: list[str] | None = None) -> int:
    """Command line: pin every model named."""
    parser = argparse.ArgumentParser(
        prog="python -m engines.zoo.pin", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    for name in parser.parse_args(arguments).names:
        try:
            print(f"{name}: {pin(name)}")
        except EngineError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
