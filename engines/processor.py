"""What this process may use of the machine's processors, and which of their instructions matter here."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Dot products of bytes into 32-bit sums, by the names of /proc/cpuinfo.
_VNNI = ("avx512_vnni", "avx_vnni")
_INT8 = ("amx_int8", *_VNNI, "asimddp")


def usable_cpus() -> int:
    """CPUs that this process may keep busy, at least 1: as many as its affinity allows and its cgroups pay for.

    A container may see all CPUs of its host and be granted the time of two. A share of a CPU counts as a whole one.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Processor time per time that the cgroups of this process grant it, version 1 or 2; None for no limit.

    Args:
        root: of the file system with /proc and /sys.
    """
    quotas = [quota for folder in _cgroup_folders(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders of the groups this process is in and of those above them, where the limits stand."""
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = PurePosixPath(path).parts[1:]
        # A group outside of what a container sees: the mount's own root is the nearest to it.
        if ".." in parts:
            parts = ()
        for count in range(len(parts), -1, -1):
            yield (mounts / controllers).joinpath(*parts[:count])


def _quota(folder: Path) -> float | None:
    limit = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us").strip(),
        _text(folder / "cpu.cfs_period_us").strip(),
    ]
    try:
        time, period = (float(number) for number in limit)
    except ValueError:
        # "max", or no such file.
        return None
    return time / period if time > 0 and period > 0 else None


def int8_instructions(root: Path = Path("/")) -> tuple[str, ...]:
    """Instructions for dot products of bytes that this CPU has, by their names in /proc/cpuinfo."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = frozenset(values.split())
            return tuple(item for item in _INT8 if item in flags)
    return ()


def has_vnni(root: Path = Path("/")) -> bool:
    """True where INT8 is exact and fast on an x86 CPU. Without, products are summed in 16 bits and saturate."""
    return any(item in _VNNI for item in int8_instructions(root))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
