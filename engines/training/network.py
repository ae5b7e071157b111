"""The decoder network, in torch.

A small U-Net that starts at half resolution (a strided stem in, a pixel shuffle out), because what it has to add to the
warped appearance is smooth but for lids, lips and teeth. About 0.3 G multiply-adds and 1.95 M weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from engines.face.compose import GAIN_LIMIT
from engines.face.conditioning import CHANNELS

FIELD_CELLS = 16
_OUTLINE_CHANNEL = 7
_KEEP_LIMIT = 5.0
_PYRAMID_LEVELS = 4


def _act(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.2)


class _Residual(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + _act(self.second(_act(self.first(x))))


class _Down(nn.Module):  # type: ignore[misc]
    """Half the resolution, then one convolution beside the identity."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(before, width, 3, stride=2, padding=1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = _act(self.shrink(x))
        return x + _act(self.refine(x))


class _Up(nn.Module):  # type: ignore[misc]
    """Twice the resolution; the skip is joined by a cheap 1x1 before the 3x3."""

    def __init__(self, below: int, skip: int, width: int) -> None:
        super().__init__()
        self.lower = nn.Conv2d(below, width, 1)
        self.side = nn.Conv2d(skip, width, 1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        # The 1x1 goes before the enlargement: the same result at a quarter of the cost.
        lower = F.interpolate(self.lower(x), scale_factor=2.0, mode="nearest")
        joined = _act(lower + self.side(skip))
        return joined + _act(self.refine(joined))


class DecoderNet(nn.Module):  # type: ignore[misc]
    """Conditioning (N, 12, 128, 128) to fields (N, 6, 16, 16), mask (N, 1, 128, 128), fill (N, 3, 128, 128).

    Meaning and units of the outputs are those of `engines.face.compose.compose`.
    """

    def __init__(self, widths: tuple[int, ...] = (28, 56, 96, 144, 176)) -> None:
        super().__init__()
        w64, w32, w16, w8, w4 = widths
        self.stem = nn.Conv2d(CHANNELS + 3, w64, 4, stride=2, padding=1)
        self.down32, self.down16 = _Down(w64, w32), _Down(w32, w16)
        self.down8, self.down4 = _Down(w16, w8), _Down(w8, w4)
        self.middle = _Residual(w4)
        self.up8, self.up16 = _Up(w4, w8, w8), _Up(w8, w16, w16)
        self.up32, self.up64 = _Up(w16, w32, w32), _Up(w32, w64, w64)
        self.fields = nn.Conv2d(w16, 6, 1)
        self.last = nn.Conv2d(w64, w64, 3, padding=1)
        self.paint = nn.Conv2d(w64, 16, 3, padding=1)
        for layer in (self.fields, self.paint):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
        # Begin by keeping the warp: sigmoid(2) = .88. The four values per channel are the pixel shuffle's.
        nn.init.constant_(self.paint.bias[12:16], 2.0)

    def forward(self, conditioning: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        base = diffused_surroundings(conditioning)
        x64 = _act(self.stem(torch.cat([conditioning, base], dim=1)))
        x32 = self.down32(x64)
        x16 = self.down16(x32)
        x8 = self.down8(x16)
        x4 = self.middle(self.down4(x8))
        y16 = self.up16(self.up8(x4, x8), x16)
        y64 = self.up64(self.up32(y16, x32), x64)
        y64 = y64 + _act(self.last(y64))
        painted = F.pixel_shuffle(self.paint(y64), 2)
        outline = conditioning[:, _OUTLINE_CHANNEL : _OUTLINE_CHANNEL + 1]
        # Bounded, so that the mask never saturates: early on, while the fill is still grey, keeping the whole warp pays
        # everywhere, and a saturated mask would never learn to open the mouth later.
        keep = torch.sigmoid(_KEEP_LIMIT * torch.tanh(painted[:, 3:4] / _KEEP_LIMIT))
        fill = base * 0.5 + 0.5 + torch.tanh(painted[:, :3])
        # Unbounded while training: a clipped value would get no gradient and stay where it is.
        return self.fields(y16), outline * keep, fill if self.training else fill.clamp(0.0, 1.0)


def diffused_surroundings(conditioning: torch.Tensor) -> torch.Tensor:
    """(N, 3, 128, 128) in -1..1: what lies around the strip between face and hole, spread smoothly over it.

    Known are the context, and the grid's colours where the face will be; the rest is filled by a pyramid of averages
    (push-pull, Gortler et al., The Lumigraph, 1996). The fill starts from it, so that its colours are right from the
    beginning and only detail is left to learn.
    """
    context, hole = conditioning[:, 3:6], conditioning[:, 6:7]
    outline, grid = conditioning[:, 7:8], conditioning[:, 8:11]
    weight = (1.0 - hole) + outline
    sums, weights = [context * (1.0 - hole) + grid * outline], [weight]
    for _ in range(_PYRAMID_LEVELS):
        sums.append(F.avg_pool2d(sums[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    spread = sums[-1] / (weights[-1] + 1e-3)
    for total, share in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        coarse = F.interpolate(spread, scale_factor=2.0, mode="bilinear", align_corners=False)
        trust = (2.0 * share).clamp(max=1.0)
        spread = coarse * (1.0 - trust) + trust * total / (share + 1e-3)
    return spread


def compose_torch(
    warp: torch.Tensor, fields: torch.Tensor, mask: torch.Tensor, fill: torch.Tensor
) -> torch.Tensor:
    """`engines.face.compose.compose` at 128 px for a batch, without its final clip (a clip has no gradient).

    Args:
        warp: (N, 3, 128, 128) in 0..1.
    """
    spread = F.interpolate(fields, size=warp.shape[-2:], mode="bilinear", align_corners=False)
    gain = torch.exp(spread[:, :3].clamp(-GAIN_LIMIT, GAIN_LIMIT))
    return mask * (warp * gain + spread[:, 3:]) + (1.0 - mask) * fill


def multiply_adds(network: nn.Module, example: torch.Tensor) -> int:
    """Multiply-adds of all convolutions for one example (1, ...)."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = layer.weight
        total_of_layer = int(weight[0].numel()) * int(output[0].numel())
        nonlocal total
        total += total_of_layer

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return total
