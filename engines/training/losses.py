"""What the decoder is asked for: the picture, its edges, its look to a recogniser, the person, and unseen seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from engines.errors import EngineError
from engines.face.template import RECOGNITION_SIDE_PX

# The recognition frame within the 128 px crop: (112 px - (56, 60)) * 0.86 + (64, 66).
_FRAME_SCALE = 0.86
_FRAME_LEFT, _FRAME_TOP = 64.0 - 56.0 * _FRAME_SCALE, 66.0 - 60.0 * _FRAME_SCALE


class RecogniserFeatures(nn.Module):  # type: ignore[misc]
    """SFace (arXiv 2205.12010) as a frozen torch network that also gives what its layers see.

    The only recogniser that training may use; those of the evaluation are held out. The graph is a chain of
    convolution, batch normalisation and PReLU (written as slope * x + rest * relu(x)), then one dense layer.
    """

    def __init__(self, path: Path, taps: Sequence[int] = (2, 4, 6, 12)) -> None:
        """`taps` count the separable blocks whose outputs are compared.

        Raises:
            EngineError: the graph is not SFace's.
        """
        super().__init__()
        graph = onnx.load(str(path)).graph
        values = _folded_constants(graph)
        blocks: list[nn.Module] = []
        tap_names = {f"conv_{number}_relu" for number in taps}
        self._taps: set[int] = set()
        affine: list[tuple[torch.Tensor, torch.Tensor]] = []
        dense: nn.Linear | None = None
        for node in graph.node:
            if node.op_type == "Conv":
                blocks.append(_convolution(node, values))
            elif node.op_type == "BatchNormalization":
                scale, shift = _scale_and_shift(node, values)
                if node.input[0].endswith("conv2d"):
                    blocks[-1].weight.mul_(scale[:, None, None, None])
                    blocks[-1].bias = nn.Parameter(shift)
                else:
                    affine.append((scale, shift))
            elif node.op_type == "Mul" and node.input[1].endswith("_slope"):
                blocks.append(_FrozenPReLU(torch.from_numpy(values[node.input[1]].reshape(-1).copy())))
                if node.output[0].removesuffix("_linear") in tap_names:
                    self._taps.add(len(blocks) - 1)
            elif node.op_type == "Gemm":
                weight, bias = (torch.from_numpy(values[name].copy()) for name in node.input[1:3])
                dense = nn.Linear(weight.shape[1], weight.shape[0])
                dense.weight, dense.bias = nn.Parameter(weight), nn.Parameter(bias)
        if len(blocks) != 54 or len(affine) != 2 or dense is None or len(self._taps) != len(taps):
            raise EngineError(f"{path}: this is not the recogniser SFace; training needs the model `sface`")
        self.blocks, self.dense = nn.ModuleList(blocks), dense
        for name, (scale, shift) in zip(("before", "after"), affine, strict=True):
            self.register_buffer(f"scale_{name}", scale)
            self.register_buffer(f"shift_{name}", shift)
        self.requires_grad_(False).eval()

    def forward(
        self, crop: torch.Tensor, frame_change: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Layers' outputs and the unit code (N, 128) of crops (N, 3, 128, 128), RGB in 0..1.

        Args:
            frame_change: (2, 3) affine of the places looked at, in half sides of the recognition frame; none as a rule.
        """
        half = (RECOGNITION_SIDE_PX - 1) / 2
        step = torch.arange(RECOGNITION_SIDE_PX, device=crop.device, dtype=torch.float32) / half - 1
        ys, xs = torch.meshgrid(step, step, indexing="ij")
        places = torch.stack([xs, ys], dim=-1)
        if frame_change is not None:
            places = places @ frame_change[:, :2].T + frame_change[:, 2]
        corner = torch.tensor([_FRAME_LEFT, _FRAME_TOP], device=crop.device)
        places = (corner + (places + 1) * half * _FRAME_SCALE) / (crop.shape[-1] - 1) * 2 - 1
        frame = places[None].expand(len(crop), -1, -1, -1)
        x = F.grid_sample(crop.float(), frame, mode="bilinear", padding_mode="border", align_corners=True)
        # The graph's own first step on 0..255.
        x = ((x * 255.0 - 127.5) / 128.0).contiguous(memory_format=torch.channels_last)
        seen: list[torch.Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self._taps:
                seen.append(x)
        x = x.float() * self.scale_before[:, None, None] + self.shift_before[:, None, None]
        x = self.dense(x.contiguous().flatten(1)).float() * self.scale_after + self.shift_after
        return seen, F.normalize(x, dim=1)


class _FrozenPReLU(nn.Module):  # type: ignore[misc]
    """PReLU as slope * x + (1 - slope) * relu(x): torch's own computes the slope's gradient even when none is asked
    for, which was two fifths of the time of a step."""

    def __init__(self, slope: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("slope", slope[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.slope.to(x.dtype)
        return slope * x + (1.0 - slope) * F.relu(x)


def _convolution(node: onnx.NodeProto, values: dict[str, np.ndarray]) -> nn.Conv2d:
    weight = torch.from_numpy(values[node.input[1]].copy())
    options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    groups = int(options.get("group", 1))
    layer = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[2],
        int(options["strides"][0]),
        int(options["pads"][0]),
        groups=groups,
    ).requires_grad_(False)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def _scale_and_shift(
    node: onnx.NodeProto, values: dict[str, np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    epsilon = next(a.f for a in node.attribute if a.name == "epsilon")
    gamma, beta, mean, variance = (values[name].astype(np.float64) for name in node.input[1:5])
    scale = gamma / np.sqrt(variance + epsilon)
    return torch.from_numpy(scale).float(), torch.from_numpy(beta - mean * scale).float()


def _folded_constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """All constants of the graph as float32, with those it computes from others (weights stored as 8 bits)."""
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if all(name in values for name in node.input) and node.input:
            inputs = [values[name] for name in node.input]
            if node.op_type == "Cast":
                values[node.output[0]] = inputs[0].astype(np.float32)
            elif node.op_type == "Sub":
                values[node.output[0]] = inputs[0] - inputs[1]
            elif node.op_type == "Mul":
                values[node.output[0]] = inputs[0] * inputs[1]
            elif node.op_type == "Reshape":
                values[node.output[0]] = inputs[0].reshape(inputs[1])
    return values


class PatchCritic(nn.Module):  # type: ignore[misc]
    """Tells real patches from made ones (PatchGAN, arXiv 1611.07004), 22 px seen by each of its answers."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(2 * width, 4 * width, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )

    def forward(self, picture: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        """Scores (N, 1, 32, 32) of pictures (N, 3, 128, 128) in 0..1 with their holes (N, 1, 128, 128)."""
        return self.layers(torch.cat([picture * 2 - 1, hole], dim=1))


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; the parts are what `decoder_losses` describes."""

    pixel: float = 4.0
    edge: float = 6.0
    features: float = 2.0
    identity: float = 1.0
    identity_cross: float = 1.5
    host_cross: float = 1.5
    keep: float = 0.25
    colour_cross: float = 2.0
    critic: float = 0.15
    temporal: float = 4.0


def edges(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences to the right and lower neighbour."""
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


def decoder_losses(
    made: torch.Tensor,
    mask: torch.Tensor,
    batch: dict[str, torch.Tensor],
    recogniser: RecogniserFeatures,
    weights: LossWeights,
    recogniser_batch: int,
    strangers: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """The weighted parts of the loss; their sum is what is minimised.

    pixel: distance in the hole, mouth and eyes counted more; edge: of the gradients, over the hole's rim as well, so
    that seams cost; features: of a recogniser's layers; identity: 1 - cosine to the person as asked; keep: price of
    painting over the warp; temporal: the last sample shows the face of the one before it a little further, and must
    show it alike; *_cross: for samples without a true picture, the person, the colours of the grid, and what the
    result is nearer to the person of the scene than to strangers.

    Args:
        made: (N, 3, 128, 128), the face as composed, already put into the scene through the hole.
        recogniser_batch: only the first so many of the batch are shown to the recogniser.
        strangers: (128,), mean recognition code of persons of other scenes.
    """
    paired = batch["paired"].view(-1, 1, 1, 1)
    hole, truth, weight = batch["hole"], batch["target"], batch["weight"]
    share = hole * weight * paired
    area = share.sum().clamp_min(1.0)
    losses = {"pixel": weights.pixel * ((made - truth).abs() * share).sum() / (3 * area)}
    near = F.max_pool2d(hole, 5, 1, 2) * paired
    edge = made.new_zeros(())
    for ours, theirs, cut in zip(
        edges(made), edges(truth), (near[..., :, 1:], near[..., 1:, :]), strict=True
    ):
        edge = edge + ((ours - theirs).abs() * cut).sum() / (3 * cut.sum().clamp_min(1.0))
    losses["edge"] = weights.edge * edge
    outline = batch["conditioning"][:, 7:8]
    losses["keep"] = weights.keep * (outline - mask).sum() / outline.sum().clamp_min(1.0)
    crossed = 1.0 - paired.flatten()
    colours = _colour_miss(made, batch)
    losses["colour_cross"] = weights.colour_cross * (colours * crossed).sum() / crossed.sum().clamp_min(1.0)
    first = slice(0, recogniser_batch)
    losses |= _recogniser_losses(
        made[first],
        truth[first],
        batch["code"][first],
        batch["host_code"][first] - strangers,
        paired.flatten()[first],
        recogniser,
        weights,
    )
    losses["temporal"] = weights.temporal * temporal_difference(made[-2:], hole[-2:], batch["moved_px"][-1])
    return losses


def temporal_difference(made: torch.Tensor, hole: torch.Tensor, moved_px: torch.Tensor) -> torch.Tensor:
    """Mean difference of two pictures (2, 3, n, n) where both holes are, the second moved back by `moved_px` (2,)."""
    turn = torch.eye(2, device=made.device)
    shift = 2.0 * moved_px[:, None] / made.shape[-1]
    where = F.affine_grid(torch.cat([turn, shift], 1)[None], [1, 1, *made.shape[-2:]], align_corners=False)
    back = F.grid_sample(torch.cat([made[1:], hole[1:]], 1), where, align_corners=False)
    both = hole[:1] * (back[:, 3:] > 0.99)
    return ((back[:, :3] - made[:1]).abs() * both).sum() / (3 * both.sum().clamp_min(1.0))


def _recogniser_losses(
    made: torch.Tensor,
    truth: torch.Tensor,
    code: torch.Tensor,
    host_beyond_strangers: torch.Tensor,
    paired: torch.Tensor,
    recogniser: RecogniserFeatures,
    weights: LossWeights,
) -> dict[str, torch.Tensor]:
    # Looked at through frames as a detector would place them, never twice the same, lest the network learn to please
    # this one recogniser with patterns that only it sees.
    frame = _shaken_frame(made.device)
    with torch.autocast(made.device.type, torch.bfloat16):
        ours_seen, ours_code = recogniser(made.clamp(-0.1, 1.1), frame)
        with torch.no_grad():
            theirs_seen, _ = recogniser(truth[paired > 0], frame)
    features = made.new_zeros(())
    for ours, theirs in zip(ours_seen, theirs_seen, strict=True):
        if len(theirs):
            # The layers' numbers differ in size by far; each is taken relative to its own.
            size = theirs.float().abs().mean().clamp_min(1e-4)
            features = features + (ours[paired > 0].float() - theirs.float()).abs().mean() / size
    miss, crossed = 1.0 - (ours_code * code).sum(1), 1.0 - paired
    nearer = F.relu((ours_code * host_beyond_strangers).sum(1))
    count, count_crossed = paired.sum().clamp_min(1.0), crossed.sum().clamp_min(1.0)
    return {
        "features": weights.features * features / len(ours_seen),
        "identity": weights.identity * (miss * paired).sum() / count,
        "identity_cross": weights.identity_cross * (miss * crossed).sum() / count_crossed,
        "host_cross": weights.host_cross * (nearer * crossed).sum() / count_crossed,
    }


def _shaken_frame(device: torch.device) -> torch.Tensor:
    """(2, 3), x and y of a place as a little turned, scaled and shifted, now and then mirrored; in 0..1 half sides."""
    turn, shear = 0.03 * torch.randn(2)
    zoom = 1.0 + 0.03 * torch.randn(2)
    flip = 1.0 if torch.rand(()) < 0.5 else -1.0
    rows = [[flip * float(zoom[0]), float(turn), 0.0], [float(shear), float(zoom[1]), 0.0]]
    frame = torch.tensor(rows, device=device)
    frame[:, 2] = 0.015 * torch.randn(2, device=device)
    return frame


def _colour_miss(made: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(N,) distance of the made face's colours, as coarse as the grid's, from the grid it was given."""
    grid = batch["conditioning"][:, 8:11] * 0.5 + 0.5
    inside = batch["conditioning"][:, 7:8]
    pooled = F.avg_pool2d(made * inside, 33, 8, 16) / F.avg_pool2d(inside, 33, 8, 16).clamp_min(0.05)
    wanted = F.avg_pool2d(grid * inside, 33, 8, 16) / F.avg_pool2d(inside, 33, 8, 16).clamp_min(0.05)
    where = (F.avg_pool2d(inside, 33, 8, 16) > 0.3).float()
    return ((pooled - wanted).abs() * where).sum((1, 2, 3)) / (3 * where.sum((1, 2, 3)).clamp_min(1.0))
