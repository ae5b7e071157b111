"""`export`: the trained decoder as ONNX, checked against torch before it is put in place."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.training.network import DecoderNet

OPSET = 17
# Largest difference to torch that any output may show.
PARITY_LIMIT = 1e-3
OUTPUTS = ("fields", "mask", "fill")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `export`."""
    parser = subparsers.add_parser("export", help="write the trained decoder as ONNX")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument(
        "--mean-with",
        type=Path,
        help="folder with another checkpoint of this run: the mean of both is written",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    network, step = load_decoder(options.folder)
    if options.mean_with is not None:
        take_mean(network, load_decoder(options.mean_with)[0])
    difference = export_decoder(network, options.output)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {size:.1f} MB, step {step}, largest difference to torch {difference:.1e}")
    return 0


def load_decoder(folder: Path) -> tuple[DecoderNet, int]:
    """The running mean of the weights at the last checkpoint of a run, on the CPU, and its step.

    Raises:
        EngineError: there is no checkpoint.
    """
    import torch

    from engines.training.network import DecoderNet

    path = folder / "checkpoint.pt"
    if not path.exists():
        raise EngineError(f"{path}: no checkpoint there yet; run `train` first")
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = DecoderNet()
    network.load_state_dict(state["mean"])
    return network.eval(), int(state["step"])


def take_mean(network: DecoderNet, other: DecoderNet) -> None:
    """Gives the network the mean of its own weights and those of another state of one training run.

    Between two such states the loss is lower than at either, as a rule (Izmailov et al., Averaging Weights Leads to
    Wider Optima and Better Generalization, UAI 2018).
    """
    theirs = other.state_dict()
    network.load_state_dict(
        {
            name: (own + theirs[name]) / 2 if own.is_floating_point() else own
            for name, own in network.state_dict().items()
        }
    )


def export_decoder(network: DecoderNet, output: Path) -> float:
    """Writes the network with a free batch size; returns the largest difference to torch over random inputs.

    Raises:
        EngineError: ONNX Runtime's answers differ from torch's by more than `PARITY_LIMIT`; nothing is written.
    """
    import onnx
    import onnxruntime
    import torch

    buffer = io.BytesIO()
    example = torch.zeros(1, 12, 128, 128)
    names = ("conditioning", *OUTPUTS)
    torch.onnx.export(
        network,
        (example,),
        buffer,
        input_names=["conditioning"],
        output_names=list(OUTPUTS),
        dynamic_axes={name: {0: "batch"} for name in names},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for count in (1, 3):
        inputs = torch.rand(count, 12, 128, 128, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in network(inputs)]
        found = session.run(None, {"conditioning": inputs.numpy()})
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True)))
    if not worst < PARITY_LIMIT:
        raise EngineError(
            f"the exported decoder differs from torch by {worst:.2e}, more than {PARITY_LIMIT:.0e}"
        )
    partial = output.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(output)
    return worst
