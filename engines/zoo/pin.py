"""Write the size and sha256 of an embedded file into `models.json`: `python -m engines.zoo.pin NAME...`.

The INT8 version of a registered model, `weights/NAME-int8.onnx`, needs no line of its own before: `pin NAME-int8` makes
it from the float model's, with the licence beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys

from engines.backends.int8 import MADE_FROM_KEY
from engines.errors import EngineError, ModelMissingError
from engines.zoo import registry
from engines.zoo.registry import INT8_SUFFIX


def pin(name: str) -> str:
    """Record the embedded file of `name` as it is now, and return its sha256.

    Raises:
        ModelMissingError: the file is not in `weights/`.
        EngineError: the model is unknown or is not an embedded one.
    """
    if name not in registry.entries() and name.endswith(INT8_SUFFIX):
        _register_int8(name)
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


def _register_int8(name: str) -> None:
    """Add the line and the licence of an INT8 model after those of its float model."""
    float_name = name.removesuffix(INT8_SUFFIX)
    item = registry.entry(float_name)
    if not (registry.WEIGHTS_DIRECTORY / f"{name}.onnx").is_file():
        raise ModelMissingError(f"model {name}: put {name}.onnx into {registry.WEIGHTS_DIRECTORY} first")
    document = json.loads(registry.REGISTRY_FILE.read_text(encoding="utf-8"))
    places = [line["name"] for line in document["models"]]
    line = {
        **document["models"][places.index(float_name)],
        "name": name,
        "file": f"{name}.onnx",
        "source": {
            "kind": "calibration",
            "package": "veilstream",
            "version": "1",
            "member": "calibration.int8",
            "member_sha256": "",
        },
        "transform": f"{float_name} with convolutions in INT8, by `veilstream calibrate int8`; see docs/benchmarks",
        "note": f"INT8 version of {float_name}, for `--precision int8`",
    }
    document["models"].insert(places.index(float_name) + 1, line)
    licence = registry.WEIGHTS_DIRECTORY / f"{float_name}.LICENSE.txt"
    text = f"{name}.onnx: {item.file} with its convolutions in INT8, under the terms of that file:\n\n"
    (registry.WEIGHTS_DIRECTORY / f"{name}.LICENSE.txt").write_text(
        text + licence.read_text(encoding="utf-8"), encoding="utf-8"
    )
    registry.REGISTRY_FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    registry.entries.cache_clear()


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
