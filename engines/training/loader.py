"""Batches made in a process of their own, so that the network never waits for them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, IterableDataset

from engines.identity import IdentityEncoder
from engines.training.dataset import SampleMaker, Shares, batches
from engines.training.pictures import DataPaths

_BATCHES_AHEAD = 6


class SampleStream(IterableDataset):  # type: ignore[misc]
    """Endless batches; loads the people in the process that iterates."""

    def __init__(self, paths: DataPaths, shares: Shares, sizes: tuple[int, int], seed: int) -> None:
        self._paths, self._shares, self._sizes, self._seed = paths, shares, sizes, seed

    def __iter__(self) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng(self._seed)
        maker = SampleMaker(self._paths.people(), IdentityEncoder.open(threads=1), rng, self._shares)
        return batches(maker, *self._sizes)


def _as_tensors(items: list[dict[str, npt.NDArray[np.float32]]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in items[0].items()}


def training_batches(
    paths: DataPaths, shares: Shares, sizes: tuple[int, int], seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches as CPU tensors; `sizes` are how many samples, and how many of them cross samples."""
    stream = SampleStream(paths, shares, sizes, seed)
    # Spawned, not forked: a forked inference session waits for threads that do not exist in the child.
    loader = DataLoader(
        stream,
        batch_size=1,
        num_workers=1,
        collate_fn=_as_tensors,
        prefetch_factor=_BATCHES_AHEAD,
        multiprocessing_context="spawn",
    )
    yield from loader
