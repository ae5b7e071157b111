"""`train`: trains the face decoder, for a stated wall-clock time, resumable at any moment."""

from __future__ import annotations

import argparse
import copy
import csv
import math
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from engines.errors import EngineError
from engines.identity import IdentityEncoder
from engines.training.dataset import SampleMaker, Shares, stacked
from engines.training.pictures import DataPaths
from engines.zoo.registry import model_path

if TYPE_CHECKING:
    import torch

Float32Array = npt.NDArray[np.float32]

DEFAULT_CONFIG = Path(__file__).with_name("configs") / "decoder.yaml"
_LOG_EVERY = 20
_SHEET_SAMPLES = 20
# The mean code of this many persons stands for strangers.
_STRANGERS = 512


@dataclass(frozen=True)
class TrainConfig:
    """What `configs/decoder.yaml` holds; see the comments there."""

    batch_size: int = 8
    crossed: int = 2
    recogniser_batch: int = 4
    learning_rate: float = 1.2e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 200
    ema_decay: float = 0.998
    critic_from: float = 0.3
    critic_learning_rate: float = 3e-4
    checkpoint_minutes: float = 3.0
    seed: int = 7
    shares: Shares = field(default_factory=Shares)
    weights: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Reads the YAML file.

        Raises:
            EngineError: not readable, or with names that do not exist.
        """
        try:
            values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            return cls(**{**values, "shares": Shares(**values.get("shares", {}))})
        except (OSError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise EngineError(
                f"{path}: not a training configuration ({error}); compare {DEFAULT_CONFIG.name}"
            ) from None


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `train`."""
    parser = subparsers.add_parser("train", help="train the face decoder")
    add_data_arguments(parser)
    parser.add_argument("--minutes", type=float, required=True, help="wall-clock time of the whole schedule")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(run=_run)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that say where the pictures and the run are."""
    parser.add_argument(
        "--folder", type=Path, required=True, help="folder of this run; continued if it has begun"
    )
    parser.add_argument(
        "--pictures", type=Path, action="append", default=[], help="folder of portraits (repeatable)"
    )
    parser.add_argument("--shards", help="glob pattern of teacher shards, in quotes")


def data_paths(options: argparse.Namespace) -> DataPaths:
    """Where the pictures are; landmarks of portraits are cached in the run's folder."""
    options.folder.mkdir(parents=True, exist_ok=True)
    folders = tuple((path, options.folder / f"landmarks_{path.name}.npz") for path in options.pictures)
    return DataPaths(folders, options.shards)


def _run(options: argparse.Namespace) -> int:
    import torch

    torch.set_num_threads(options.threads)
    Trainer(options.folder, TrainConfig.load(options.config), data_paths(options), options.minutes).run()
    return 0


def held_out_batch(paths: DataPaths, shares: Shares, count: int, seed: int = 1) -> dict[str, Float32Array]:
    """`count` samples of people that training never sees; the same ones for the same pictures and seed."""
    maker = SampleMaker(
        paths.people(), IdentityEncoder.open(threads=1), np.random.default_rng(seed), shares, held_out=True
    )
    return stacked([maker.make() for _ in range(count)])


class Trainer:
    """One run: network, its running mean, critic and their state on disk."""

    def __init__(self, folder: Path, config: TrainConfig, paths: DataPaths, minutes: float) -> None:
        import torch

        from engines.training.losses import LossWeights, PatchCritic, RecogniserFeatures
        from engines.training.network import DecoderNet

        self.folder, self.config, self.paths, self.seconds = folder, config, paths, minutes * 60.0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(config.seed)
        layout = torch.channels_last
        self.network = DecoderNet().to(self.device, memory_format=layout)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.critic = PatchCritic().to(self.device, memory_format=layout)
        self.recogniser = RecogniserFeatures(model_path("sface")).to(self.device, memory_format=layout)
        self.weights = LossWeights(**config.weights)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.critic_optimiser = torch.optim.AdamW(
            self.critic.parameters(), config.critic_learning_rate, betas=(0.5, 0.99)
        )
        self.step, self.elapsed = 0, 0.0
        self._hosts = torch.zeros(0, 128, device=self.device)
        self._stop = False
        self._resume()

    def run(self) -> None:
        """Trains until the time is up or the process is asked to end; leaves a checkpoint and a sheet."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        from engines.training.loader import training_batches

        shown = held_out_batch(self.paths, self.config.shares, _SHEET_SAMPLES)
        before, saved, sums = time.monotonic(), time.monotonic(), dict[str, float]()
        config = self.config
        seed = config.seed * 1_000_003 + self.step
        for drawn in training_batches(self.paths, config.shares, (config.batch_size, config.crossed), seed):
            parts = self._train_step({name: value.to(self.device) for name, value in drawn.items()})
            now = time.monotonic()
            self.elapsed, before, self.step = self.elapsed + now - before, now, self.step + 1
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value / _LOG_EVERY
            if self.step % _LOG_EVERY == 0:
                self._log(sums)
                sums = {}
            done = self.elapsed >= self.seconds or self._stop
            if done or now - saved > self.config.checkpoint_minutes * 60.0:
                self._save(shown)
                saved = now
            if done:
                return

    def _ask_to_stop(self, *_: object) -> None:
        self._stop = True

    def _train_step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        import torch

        from engines.training.losses import decoder_losses
        from engines.training.network import compose_torch

        progress = min(1.0, self.elapsed / self.seconds)
        warm = min(1.0, (self.step + 1) / self.config.warm_up_steps)
        rate = self.config.learning_rate * warm * (0.5 * (1.0 + math.cos(math.pi * progress)) + 0.01)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        inputs = batch["conditioning"].contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.network(inputs)
        fields, mask, fill = (tensor.float() for tensor in outputs)
        hole = inputs[:, 6:7]
        made = batch["target"] * (1.0 - hole) + compose_torch(batch["warp"], fields, mask, fill) * hole
        self._hosts = torch.cat([self._hosts, batch["host_code"]])[-_STRANGERS:]
        losses = decoder_losses(
            made,
            mask,
            batch,
            self.recogniser,
            self.weights,
            self.config.recogniser_batch,
            strangers=self._hosts.mean(0),
        )
        with_critic = progress >= self.config.critic_from and self.weights.critic > 0
        if with_critic:
            importance = self._importance(batch)
            scores = self._judge(made, hole)
            losses["critic"] = -self.weights.critic * (scores * importance).sum() / importance.sum()
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise EngineError(
                f"the loss is not finite at step {self.step}; continue from the last checkpoint"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        if with_critic:
            losses["critic_own"] = self._train_critic(batch["target"], made.detach(), hole, importance)
        decay = min(self.config.ema_decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for mean, current in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(current, 1.0 - decay)
        return {name: float(value.detach()) for name, value in losses.items()} | {"rate": rate}

    def _judge(self, picture: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        """The critic's scores (N, 1, 32, 32)."""
        import torch

        with torch.autocast(self.device.type, torch.bfloat16):
            scores: torch.Tensor = self.critic(picture, hole).float()
        return scores

    def _importance(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, 1, 32, 32): how much the critic's scores count: nothing where no hole is, most in mouths."""
        import torch

        hole, pool = batch["conditioning"][:, 6:7], torch.nn.functional.max_pool2d
        return (pool(hole, 4) > 0) * pool(batch["weight"], 4).sqrt()

    def _train_critic(
        self, real: torch.Tensor, made: torch.Tensor, hole: torch.Tensor, importance: torch.Tensor
    ) -> torch.Tensor:
        import torch

        self.critic_optimiser.zero_grad(set_to_none=True)
        # The host's own picture is real in a cross sample too.
        misses = torch.relu(1.0 - self._judge(real, hole)) + torch.relu(1.0 + self._judge(made, hole))
        loss = (misses * importance).sum() / importance.sum()
        loss.backward()
        self.critic_optimiser.step()
        return loss.detach()

    def _log(self, means: dict[str, float]) -> None:
        row = {"step": self.step, "minutes": round(self.elapsed / 60.0, 2)}
        row |= {name: round(value, 5) for name, value in means.items()}
        path = self.folder / "log.csv"
        columns = ["step", "minutes", *sorted(set(_COLUMNS))]
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _save(self, shown: dict[str, Float32Array]) -> None:
        """Checkpoint beside the last one, then renamed over it; and a sheet of held-out samples."""
        import torch

        state = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")
        sheet = sample_sheet(self.mean, shown)
        cv2.imwrite(str(self.folder / f"sheet_{self.step:06d}.png"), sheet[..., ::-1])

    def _resume(self) -> None:
        import torch

        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in ("network", "mean", "critic", "optimiser", "critic_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.elapsed = state["step"], state["elapsed"]


_COLUMNS = (
    *("pixel", "edge", "features", "identity", "keep", "identity_cross", "colour_cross", "host_cross"),
    *("temporal", "critic", "critic_own", "rate"),
)


def sample_sheet(network: torch.nn.Module, batch: dict[str, Float32Array]) -> npt.NDArray[np.uint8]:
    """RGB sheet, two samples a row: truth, warp in its outline, context, result, mask, fill."""
    import torch

    from engines.training.network import compose_torch

    device = next(network.parameters()).device
    inputs = torch.from_numpy(batch["conditioning"]).to(device)
    with torch.no_grad():
        fields, mask, fill = network(inputs)
        made = compose_torch(torch.from_numpy(batch["warp"]).to(device), fields, mask, fill)
        hole = inputs[:, 6:7]
        truth = torch.from_numpy(batch["target"]).to(device)
        scene = truth * (1 - hole) + made * hole
    pictures = (
        truth,
        inputs[:, :3] * 0.5 + 0.5,
        inputs[:, 3:6] * 0.5 + 0.5,
        scene,
        mask.repeat(1, 3, 1, 1),
        fill,
    )
    rows = torch.cat([p.cpu() for p in pictures], dim=3).clamp(0, 1).numpy().transpose(0, 2, 3, 1)
    half = len(rows) // 2
    sheet = np.concatenate(
        [np.concatenate(list(rows[:half])), np.concatenate(list(rows[half : 2 * half]))], axis=1
    )
    return np.asarray(sheet * 255.0 + 0.5, dtype=np.uint8)
