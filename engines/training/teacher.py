"""The teacher generator: MobileStyleGAN, read from the OpenVINO files of the ``random-face`` package.

MobileStyleGAN (Belousov, arXiv 2104.04767) distils StyleGAN2 into depthwise convolutions with a wavelet output.
The package ships only inference files, so the synthesis network is written again in plain torch here: that makes it
possible to cut it at a lower resolution, where a small head gives pictures several times faster than the whole
network, which is what a training set of thousands of views needs. Final appearances come from the whole network.

The package is Apache-2.0, but the network was distilled from StyleGAN2 trained on FFHQ: treat what derives from it
as non-commercial. Nothing here ships the teacher; its folder is an option of each command.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.layout import FAST_SIZE_PX, FULL_SIZE_PX, LAYERS, LEVELS, STYLE_SIZE

_FAST_LEVEL = 5  # features of 128 x 128: one wavelet step below the 256 px picture
_ROOT_HALF = math.sqrt(0.5)

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]


class Teacher:
    """The generator: latent ``z`` -> style ``w`` -> picture.

    Args:
        folder: where ``MappingNetwork.{xml,bin}`` and ``SynthesisNetwork.{xml,bin}`` lie.
        threads: threads for OpenVINO; torch keeps the process-wide setting.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self._folder = Path(folder)
        for name in ("MappingNetwork", "SynthesisNetwork"):
            if not (self._folder / f"{name}.xml").is_file() or not (self._folder / f"{name}.bin").is_file():
                raise EngineError(
                    f"teacher file {name}.xml/.bin not found in {self._folder}: "
                    "unpack the random-face 2021.7.21.1 wheel and give its random_face/data folder"
                )
        self._core = ov.Core()
        self._properties = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        mapping = self._core.read_model(self._folder / "MappingNetwork.xml")
        mapping.reshape([-1, STYLE_SIZE])
        self._mapping = self._core.compile_model(mapping, "CPU", self._properties)
        self._full: Any = None
        self._full_layered: Any = None
        self._fast: Any = None
        self.synthesis = SynthesisNetwork(self._folder / "SynthesisNetwork.xml", self._core).eval()

    @property
    def sha256(self) -> str:
        """Digest over the four teacher files, in name order."""
        digest = hashlib.sha256()
        for path in sorted(self._folder.glob("*Network.*")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def style(self, latent: Float) -> Float:
        """``z`` (N, 512) float32 -> ``w`` (N, 512) float32."""
        return np.array(next(iter(self._mapping(latent.astype(np.float32)).values())), np.float32)

    def mean_style(self, *, samples: int = 4000, seed: int = 0) -> Float:
        """Mean ``w`` (512,) over random latents: the centre for truncation."""
        random = np.random.default_rng(seed)
        total = np.zeros(STYLE_SIZE, np.float64)
        for _ in range(samples):
            total += self.style(random.standard_normal((1, STYLE_SIZE), np.float32))[0]
        return (total / samples).astype(np.float32)

    def render_full(self, style: Float) -> Picture:
        """Style (512,), or one per layer (23, 512), -> RGB uint8 (1024, 1024, 3) by the whole network."""
        if style.ndim == 1:
            if self._full is None:
                path = self._folder / "SynthesisNetwork.xml"
                self._full = self._core.compile_model(path, "CPU", self._properties)
            return to_picture(next(iter(self._full(style[None].astype(np.float32)).values()))[0])
        if self._full_layered is None:  # takes most of a minute, and is needed for edited views only
            self._full_layered = self._compile(self.synthesis)
        return to_picture(next(iter(self._full_layered(_per_layer(style)).values()))[0])

    def render(self, style: Float, size_px: int) -> Picture:
        """``w`` (512,) -> RGB uint8 (size_px, size_px, 3), the full picture brought down by area averaging."""
        picture = self.render_full(style)
        if size_px == FULL_SIZE_PX:
            return picture
        resized = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(resized, np.uint8)

    def render_fast(self, style: Float) -> Picture:
        """Style (512,) or (23, 512) -> RGB uint8 (256, 256, 3) through the head given to `use_head`."""
        if self._fast is None:
            raise EngineError("the 256 px head is not there: run `python -m engines.training synthesize fit`")
        return to_picture(next(iter(self._fast(_per_layer(style)).values()))[0])

    def use_head(self, weight: Float, bias: Float) -> None:
        """Installs the 256 px head: ``weight`` (12, C, 3, 3) and ``bias`` (12,) on the features of level 5."""
        network = _FastNetwork(self.synthesis, torch.from_numpy(weight), torch.from_numpy(bias)).eval()
        self._fast = self._compile(network)

    def _compile(self, network: torch.nn.Module) -> Any:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes are constants on purpose
            model = ov.convert_model(network, example_input=torch.zeros(1, LAYERS, STYLE_SIZE))
        return self._core.compile_model(model, "CPU", self._properties)

    def fit_head(self, styles: Float, *, ridge: float = 1e-6) -> tuple[Float, Float]:
        """Least-squares head from features of level 5 to the wavelet bands of the 256 px picture.

        Args:
            styles: (N, 512); about 60 are enough, since every pixel is a sample.
            ridge: regularisation, relative to the mean power of a feature.

        Returns:
            weight (12, C, 3, 3) and bias (12,), float32.
        """
        gram: NDArray[np.float64] | float = 0.0
        cross: NDArray[np.float64] | float = 0.0
        random = np.random.default_rng(0)
        side = FAST_SIZE_PX // 2
        channels = 0
        for style in styles:
            target = self.render(style, FAST_SIZE_PX).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1.0
            with torch.no_grad():
                features = self.synthesis.features(torch.from_numpy(style[None]), _FAST_LEVEL)
                columns = F.unfold(features, 3, padding=1)[0]
                bands = wavelet_split(torch.from_numpy(target[None]))[0].reshape(12, -1)
            channels = features.shape[1]
            keep = torch.from_numpy(random.choice(side * side, side * side // 4, replace=False))
            rows = torch.cat([columns[:, keep], torch.ones(1, len(keep))])
            gram = gram + (rows @ rows.T).double().numpy()
            cross = cross + (rows @ bands[:, keep].T).double().numpy()
        gram = np.asarray(gram)
        scale = ridge * float(np.diag(gram).mean())
        solution = np.linalg.solve(gram + scale * np.eye(len(gram)), np.asarray(cross)).astype(np.float32)
        weight = np.ascontiguousarray(solution[:-1].T).reshape(12, channels, 3, 3)
        return weight, np.ascontiguousarray(solution[-1])


class SynthesisNetwork(torch.nn.Module):  # type: ignore[misc]
    """Synthesis network in torch, weights read from the OpenVINO file; one style per layer is allowed (W+)."""

    def __init__(self, path: Path, core: ov.Core) -> None:
        super().__init__()
        constants, noises, slope = _read_constants(path, core)
        self.slope = slope
        noise = iter(noises)

        def keep(name: str, value: NDArray[Any]) -> None:
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value, np.float32)))

        keep("input", constants["m.input.input"])
        keep("first_weight", constants["Mul_39_copy"])
        keep("first_bias", constants["m.conv1.bias"])
        keep("first_style_weight", constants["m.conv1.conv.modulation.weight"])
        keep("first_style_bias", constants["m.conv1.conv.modulation.bias"])
        keep("first_noise", next(noise))
        for level in range(LEVELS):
            source = f"m.layers.{level}."
            keep(f"up{level}_style_weight", constants[source + "up.modulation.weight"])
            keep(f"up{level}_style_bias", constants[source + "up.modulation.bias"])
            for step, folded in ((1, 106), (2, 139)):
                name, origin = f"conv{level}{step}", f"{source}conv{step}."
                keep(f"{name}_style_weight", constants[origin + "conv.modulation.weight"])
                keep(f"{name}_style_bias", constants[origin + "conv.modulation.bias"])
                keep(f"{name}_depthwise", constants[origin + "conv.weight_dw"][:, 0])
                # The pointwise weights only exist demodulated-and-folded, under the converter's own names.
                keep(f"{name}_pointwise", constants[f"Mul_{folded + 100 * level}_copy"])
                keep(f"{name}_bias", constants[origin + "bias"])
                keep(f"{name}_noise", next(noise))
        last = f"m.layers.{LEVELS - 1}.to_img."
        keep("image_style_weight", constants[last + "conv.modulation.weight"])
        keep("image_style_bias", constants[last + "conv.modulation.bias"])
        keep("image_weight", constants[last + "conv.weight"])
        keep("image_bias", constants[last + "bias"])

    def features(self, styles: torch.Tensor, level: int = LEVELS) -> torch.Tensor:
        """Features (N, C, 4 * 2**level, same) after ``level`` blocks; styles (N, 512) or (N, 23, 512)."""

        def style_of(layer: int) -> torch.Tensor:
            return styles if styles.ndim == 2 else styles[:, layer]

        x = self._tensor("input").expand(styles.shape[0], -1, -1, -1)
        x = x * (self._modulation("first", style_of(0)) / math.sqrt(x.shape[1] * 9))
        x = F.conv2d(x, self._tensor("first_weight"), padding=1)
        x = F.leaky_relu(x + self._tensor("first_noise") + self._tensor("first_bias"), self.slope)
        for index in range(level):
            x = wavelet_join(x * self._modulation(f"up{index}", style_of(1 + 3 * index)))
            x = self._styled(f"conv{index}1", x, style_of(1 + 3 * index))
            x = self._styled(f"conv{index}2", x, style_of(2 + 3 * index))
        return x

    def forward(self, styles: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, 1024, 1024), about -1..1."""
        x = self.features(styles)
        last = styles if styles.ndim == 2 else styles[:, LAYERS - 1]
        x = x * (self._modulation("image", last) / math.sqrt(x.shape[1]))
        return wavelet_join(F.conv2d(x, self._tensor("image_weight")) + self._tensor("image_bias"))

    def _tensor(self, name: str) -> torch.Tensor:
        return self.get_buffer(name)

    def _modulation(self, name: str, style: torch.Tensor) -> torch.Tensor:
        gains = F.linear(style, self._tensor(f"{name}_style_weight")) + self._tensor(f"{name}_style_bias")
        return gains[:, :, None, None]

    def _styled(self, name: str, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        x = x * (self._modulation(name, style) / math.sqrt(x.shape[1] * 9))
        x = F.conv2d(x, self._tensor(f"{name}_depthwise"), padding=1, groups=x.shape[1])
        x = F.conv2d(x, self._tensor(f"{name}_pointwise"))
        return F.leaky_relu(x + self._tensor(f"{name}_noise") + self._tensor(f"{name}_bias"), self.slope)


class _FastNetwork(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, synthesis: SynthesisNetwork, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, style: torch.Tensor) -> torch.Tensor:
        features = self.synthesis.features(style, _FAST_LEVEL)
        bands = F.conv2d(features, self.get_buffer("weight"), self.get_buffer("bias"), padding=1)
        return wavelet_join(bands)


def wavelet_join(x: torch.Tensor) -> torch.Tensor:
    """Inverse Haar step: (N, 4 C, H, W) -> (N, C, 2 H, 2 W); C low bands first, then (C, 3) detail bands."""
    count, channels, height, width = x.shape
    planes = channels // 4
    low = x[:, :planes]
    detail = x[:, planes:].reshape(count, planes, 3, height, width)
    rows, columns, both = detail[:, :, 0], detail[:, :, 1], detail[:, :, 2]
    even_low, odd_low = (low + rows) * _ROOT_HALF, (low - rows) * _ROOT_HALF
    even_high, odd_high = (columns + both) * _ROOT_HALF, (columns - both) * _ROOT_HALF
    even = torch.stack([even_low + even_high, even_low - even_high], -1).flatten(3)
    odd = torch.stack([odd_low + odd_high, odd_low - odd_high], -1).flatten(3)
    return torch.stack([even, odd], 3).reshape(count, planes, 2 * height, 2 * width) * _ROOT_HALF


def wavelet_split(x: torch.Tensor) -> torch.Tensor:
    """Haar step, the inverse of `wavelet_join`: (N, C, 2 H, 2 W) -> (N, 4 C, H, W)."""
    a, b = x[:, :, 0::2, 0::2], x[:, :, 1::2, 0::2]
    c, d = x[:, :, 0::2, 1::2], x[:, :, 1::2, 1::2]
    low, rows = (a + b + c + d) / 2, (a - b + c - d) / 2
    columns, both = (a + b - c - d) / 2, (a - b - c + d) / 2
    return torch.cat([low, torch.stack([rows, columns, both], 2).flatten(1, 2)], 1)


def to_picture(planes: NDArray[Any]) -> Picture:
    """(3, H, W) in -1..1 -> RGB uint8 (H, W, 3)."""
    scaled = np.clip(np.asarray(planes, np.float32).transpose(1, 2, 0) * 127.5 + 127.5, 0.0, 255.0)
    return np.ascontiguousarray(np.rint(scaled), np.uint8)


def truncated_styles(
    teacher: Teacher, mean: Float, *, count: int, seed: int, truncation: tuple[float, float] = (0.65, 0.85)
) -> Iterator[Float]:
    """Random people: ``w`` (512,) pulled to the mean by a factor drawn from ``truncation`` (StyleGAN, sec. B)."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        style = teacher.style(random.standard_normal((1, STYLE_SIZE), np.float32))[0]
        yield (mean + random.uniform(*truncation) * (style - mean)).astype(np.float32)


def _per_layer(style: Float) -> Float:
    """(512,) or (23, 512) -> (1, 23, 512)."""
    return np.ascontiguousarray(np.broadcast_to(style.astype(np.float32), (LAYERS, STYLE_SIZE)))[None]


def _read_constants(path: Path, core: ov.Core) -> tuple[dict[str, NDArray[Any]], list[NDArray[Any]], float]:
    """Named constants, the noise planes in network order, and the slope of the leaky ReLU."""
    model = core.read_model(path)
    constants: dict[str, NDArray[Any]] = {}
    noises: list[NDArray[Any]] = []
    slope = 0.2
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            constants[node.get_friendly_name()] = np.array(node.get_data())
        elif kind == "Add":
            noises += _constant_inputs(node, lambda shape: len(shape) == 4 and shape[1] == 1)
        elif kind == "PRelu":
            slopes = _constant_inputs(node, lambda shape: True)
            slope = float(np.ravel(slopes[0])[0]) if slopes else slope
    return constants, noises, slope


def _constant_inputs(node: Any, wanted: Callable[[list[int]], bool]) -> list[NDArray[Any]]:
    sources = [port.get_source_output().get_node() for port in node.inputs()]
    return [
        np.array(source.get_data())
        for source in sources
        if source.get_type_name() == "Constant" and wanted(list(source.output(0).get_shape()))
    ]
