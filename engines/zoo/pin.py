"""Write the size and sha256 of an embedded file into `models.json`: `python -m engines.zoo.pin NAME...`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys

from engines.backends.int8 import MADE_FROM_KEY
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
            if item.source.kind == "calibration":
                line["source"]["member_sha256"] = _made_from(data, name)
    registry.REGISTRY_FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return sha256


def _made_from(model: bytes, name: str) -> str:
    """The sha256 of the float file that an INT8 one says it was made from."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    made_from = session.get_modelmeta().custom_metadata_map.get(MADE_FROM_KEY)
    if made_from is None:
        raise EngineError(f"model {name}: the file does not say what it was made from; is it the INT8 one?")
    return str(made_from)


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
