"""How many CPUs a process may use is what affinity and cgroups say, not how many there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines import processor
from engines.processor import cpu_quota, has_vnni, int8_instructions, usable_cpus


def grouped(root: Path, membership: str, limits: dict[str, str]) -> Path:
    """A file system with these lines in /proc/self/cgroup and these files under /sys/fs/cgroup."""
    files = {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in limits.items()},
    }
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


V1 = "4:memory:/m\n3:cpu,cpuacct:/a/b\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "limits", "quota"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, None),
        # A limit further up holds as well, and the least counts.
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "400000 100000\n"}, 1.0),
        # The path is the host's, the mount the container's own.
        ("0::/docker/123\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../../other\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (V1, {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n"}, 0.5),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, None),
        # Another controller's folder says nothing about processors.
        (V1, {"memory/m/cpu.cfs_quota_us": "50000\n", "memory/m/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_quota_of_either_version_of_cgroups(
    tmp_path: Path, membership: str, limits: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(grouped(tmp_path, membership, limits)) == quota


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "quota", "cpus"), [(8, None, 8), (8, 2.5, 3), (2, 6.0, 2), (8, 0.5, 1), (1, 0.1, 1)]
)
def test_affinity_and_quota_both_hold(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float | None, cpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(allowed)))
    monkeypatch.setattr(processor, "cpu_quota", lambda: quota)
    assert usable_cpus() == cpus


@pytest.mark.parametrize(
    ("cpuinfo", "found", "vnni"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", ("avx512_vnni",), True),
        ("flags\t\t: fpu avx2 avx_vnni\n", ("avx_vnni",), True),
        ("flags\t\t: fpu amx_int8 avx512_vnni\n", ("amx_int8", "avx512_vnni"), True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni_new\n", (), False),
        ("vmx flags\t: avx_vnni\nflags\t\t: fpu avx2\n", (), False),
        ("Features\t: fp asimd asimddp\n", ("asimddp",), False),
        ("", (), False),
    ],
)
def test_instructions_for_int8_are_read_from_cpuinfo(
    tmp_path: Path, cpuinfo: str, found: tuple[str, ...], vnni: bool
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\n" + cpuinfo)
    assert int8_instructions(tmp_path) == found
    assert has_vnni(tmp_path) is vnni
