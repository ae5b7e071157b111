"""Where the time goes: stacks of all threads sampled over a run, as a flame graph, and the CPU time of each thread.

The sampler is a thread of its own that looks at Python's frames; native code shows as the Python line that called it.
"""

from __future__ import annotations

import html
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

_EVERY_SECONDS = 0.004
_ROW_PX, _WIDTH_PX = 17, 1100
_LEAST_PX = 1.5
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# Threads come and go seldom; their times need not be read as often as their stacks.
_ACCOUNT_EVERY = 40
# Innermost functions in which a thread only waits: conditions, and the two ends of a guarded engine's queues.
_WAITING = {"wait", "_wait_for_tstate_lock", "join", "_infer", "_work"}

Stack = tuple[str, ...]


@dataclass
class Profile:
    """Samples and CPU seconds by thread."""

    stacks: Counter[Stack] = field(default_factory=Counter)
    cpu_seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def own_time(self, count: int) -> list[tuple[str, float]]:
        """Functions by their share of all busy samples, own time only, largest first."""
        own: Counter[str] = Counter()
        for stack, samples in self.stacks.items():
            own[stack[-1]] += samples
        total = max(sum(own.values()), 1)
        return [(name, samples / total) for name, samples in own.most_common(count)]


class Profiler:
    """`with Profiler() as profiler: ...`, then `profiler.profile`."""

    def __init__(self) -> None:
        self.profile = Profile()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="profiler", daemon=True)
        self._before: dict[int, tuple[str, float, float]] = {}

    def __enter__(self) -> Profiler:
        self._before = _thread_times()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._account(_thread_times())

    def _sample(self) -> None:
        own = threading.get_ident()
        rounds = 0
        while not self._stop.is_set():
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident == own or frame.f_code.co_name in _WAITING:
                    continue
                stack = (_stage(names.get(ident, "thread")), *_stack(frame))
                self.profile.stacks[stack] += 1
            rounds += 1
            if rounds % _ACCOUNT_EVERY == 0:
                # Threads that end during the run would be missed at its end.
                self._account(_thread_times())
            time.sleep(_EVERY_SECONDS)

    def _account(self, now: dict[int, tuple[str, float, float]]) -> None:
        for number, (name, user, system) in now.items():
            _, user_before, system_before = self._before.get(number, (name, 0.0, 0.0))
            self._before[number] = (name, user, system)
            old_user, old_system = self.profile.cpu_seconds.get(name, (0.0, 0.0))
            self.profile.cpu_seconds[name] = (
                old_user + user - user_before,
                old_system + system - system_before,
            )


def _stage(thread_name: str) -> str:
    return thread_name.removeprefix("veilstream-").replace("MainThread", "render")


def _stack(frame: FrameType | None) -> Stack:
    names: list[str] = []
    while frame is not None:
        code = frame.f_code
        names.append(f"{code.co_name} ({Path(code.co_filename).stem})")
        frame = frame.f_back
    return tuple(reversed(names))


def _thread_times() -> dict[int, tuple[str, float, float]]:
    """Native thread id to (stage, user seconds, system seconds)."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    times = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(task.name)
        stage = _stage(names.get(number, "codecs' own threads"))
        times[number] = (stage, int(fields[11]) / _CLOCK_TICKS, int(fields[12]) / _CLOCK_TICKS)
    return times


def flame_graph(stacks: Counter[Stack], title: str) -> str:
    """SVG: width is the share of samples, callers below what they call; hover for names and shares."""
    total = sum(stacks.values())
    if not total:
        raise ValueError("no samples: the run was too short")
    boxes: list[str] = []
    depth = max(len(stack) for stack in stacks)
    _lay_out(stacks, total, boxes, 0, 0.0)
    height = (depth + 2) * _ROW_PX
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX} {height}" font-size="11" '
            'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>',
            f'<text x="4" y="13" font-size="13">{html.escape(title)}</text>',
            *boxes,
            "</svg>",
        ]
    )


def _lay_out(stacks: Counter[Stack], total: int, boxes: list[str], level: int, left: float) -> None:
    """Boxes of one level, and of what lies above each of them."""
    children: dict[str, Counter[Stack]] = {}
    for stack, samples in stacks.items():
        if stack:
            children.setdefault(stack[0], Counter())[stack[1:]] += samples
    for name, inner in sorted(children.items()):
        share = sum(inner.values()) / total
        width = share * _WIDTH_PX
        if width >= _LEAST_PX:
            top = (level + 1) * _ROW_PX
            hue = sum(map(ord, name)) % 50
            label = html.escape(name[: int(width / 6)]) if width > 30 else ""
            boxes.append(
                f'<g><title>{html.escape(name)}: {100 * share:.1f} %</title><rect x="{left:.1f}" y="{top}" '
                f'width="{width:.1f}" height="{_ROW_PX - 1}" fill="hsl({hue} 75% 65%)"/>'
                f'<text x="{left + 2:.1f}" y="{top + 12}">{label}</text></g>'
            )
            _lay_out(inner, total, boxes, level + 1, left)
        left += width
