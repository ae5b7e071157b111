"""Finer pictures of the synthetic people, made beside the work and shown once they are there (`--decoder quality`).

A person is drawn from the codebook's picture until the finer one is ready. One thread makes them for the whole process,
one after another; whoever draws never waits for it. A picture that cannot be made, or does not fit, is not asked for
again, and the codebook's stays.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import cv2
import numpy as np

from calibration.codebook import SyntheticPerson
from streamer.frame import UInt8Array

_log = logging.getLogger(__name__)

WAITING_AT_MOST = 16
KEPT_AT_MOST = 64
# A finer picture takes the place of the other over this time.
FADE_SECONDS = 0.4


class Appearances(Protocol):
    """Where drawing asks for a finer picture of somebody."""

    def of(self, person: SyntheticPerson) -> UInt8Array | None:
        """(256 k, 256 k, 3) RGB uint8 of the person, aligned to the codebook's picture; None while there is none."""


class Workshop:
    """Makes pictures in a thread of its own, which runs while there is something to make."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Hashable, Callable[[], UInt8Array]]] = deque()
        self._asked: set[Hashable] = set()
        self._given_up: set[Hashable] = set()
        self._ready: OrderedDict[Hashable, UInt8Array] = OrderedDict()
        self._running = False
        self._warned = False

    def ask(self, key: Hashable, make: Callable[[], UInt8Array]) -> UInt8Array | None:
        """The picture of that key when it is there; else it is made some time, unless too many wait already."""
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key]
            if key in self._asked or key in self._given_up or len(self._waiting) >= WAITING_AT_MOST:
                return None
            self._asked.add(key)
            self._waiting.append((key, make))
            if not self._running:
                self._running = True
                # Not a daemon: the interpreter must not end in the middle of an inference.
                threading.Thread(target=self._work, name="finer-appearances").start()
        return None

    def _work(self) -> None:
        while True:
            with self._lock:
                # Who waits when the program ends is let go.
                if not self._waiting or not threading.main_thread().is_alive():
                    self._waiting.clear()
                    self._asked.clear()
                    self._running = False
                    return
                key, make = self._waiting.popleft()
            made: UInt8Array | None = None
            try:
                made = make()
            except Exception as error:  # whatever it is, faces are drawn without it
                self._warn(error)
            with self._lock:
                self._asked.discard(key)
                if made is None:
                    self._given_up.add(key)
                else:
                    self._ready[key] = made
                    while len(self._ready) > KEPT_AT_MOST:
                        self._ready.popitem(last=False)

    def _warn(self, error: Exception) -> None:
        # The type alone: at work, whoever reads who could not be made knows what was drawn.
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(level, "a face stays at the codebook's 256 px (%s)", type(error).__name__)


@dataclass(frozen=True)
class CodebookAppearances:
    """The people of one codebook, made in a workshop.

    Attributes:
        codebook_sha256: tells codebooks apart in the workshop.
        can_make: whether it is known how somebody is made.
        make: makes the picture; called in the workshop's thread.
    """

    workshop: Workshop
    codebook_sha256: str
    can_make: Callable[[int], bool]
    make: Callable[[SyntheticPerson], UInt8Array]

    def of(self, person: SyntheticPerson) -> UInt8Array | None:
        """See `Appearances`."""
        if not self.can_make(person.index):
            return None
        return self.workshop.ask((self.codebook_sha256, person.index), partial(self.make, person))


@dataclass(slots=True)
class FadeIn:
    """Goes over from a track's codebook picture to its finer one, so that the change is not seen."""

    _share: float = 0.0
    _seen_seconds: float | None = None
    _enlarged: UInt8Array | None = field(default=None, repr=False)

    @property
    def begun(self) -> bool:
        """The finer picture shows already, if only a little."""
        return self._share > 0.0

    def __call__(self, coarse: UInt8Array, fine: UInt8Array | None, seconds: float) -> UInt8Array:
        """What to draw from at a time: either picture, or between.

        Args:
            coarse: (n, n, 3), the codebook's picture.
            fine: (k n, k n, 3), or None while there is none.
        """
        if fine is None:
            self._share, self._seen_seconds = 0.0, seconds
            return coarse
        if self._seen_seconds is None:
            self._share = 1.0
        else:
            passed = max(0.0, seconds - self._seen_seconds)
            self._share = min(1.0, self._share + passed / FADE_SECONDS)
        self._seen_seconds = seconds
        if self._share >= 1.0:
            self._enlarged = None
            return fine
        if self._enlarged is None:
            size = (fine.shape[1], fine.shape[0])
            self._enlarged = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        mixed = cv2.addWeighted(self._enlarged, 1.0 - self._share, fine, self._share, 0.0)
        return np.asarray(mixed, np.uint8)
