"""The command as a user runs it: exit codes, one clear line, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

COMMAND = [sys.executable, "-c", "from streamer.cli import main; main()"]


def _run(*arguments: str | Path, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(cwd / "state"), "OMP_NUM_THREADS": "1"}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _outputs(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_batch_does_what_can_be_done_and_reports_the_rest(walk_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "good.mp4").write_bytes(walk_clip.read_bytes())
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "garbage.mp4").write_bytes(bytes(range(256)) * 40)
    report = tmp_path / "report.json"
    done = _run(
        "anonymize",
        folder,
        "-o",
        tmp_path / "out",
        "--report",
        report,
        "--boxes",
        tmp_path / "boxes",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert _outputs(tmp_path / "out") == ["deep/good.mp4"]
    problems = [line for line in done.stderr.splitlines() if line.startswith("veilstream:")]
    assert len(problems) == 2
    assert any("empty.mp4" in line for line in problems)
    entries = {entry["input"]: entry["status"] for entry in json.loads(report.read_text())["files"]}
    assert entries == {"deep/good.mp4": "done", "empty.mp4": "failed", "garbage.mp4": "failed"}
    assert str(folder) not in report.read_text()
    boxes = (tmp_path / "boxes" / "deep" / "good.mp4.txt").read_text().splitlines()
    assert len(boxes) > 60
    assert all(len(line.split(",")) == 10 for line in boxes)
    assert (tmp_path / "state" / "veilstream" / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--epsilon", "-1"], 2, "epsilon"),
        (["--epsilon", "9"], 2, "--allow-large-epsilon"),
        (["--overwrite", "--resume"], 2, "contradict"),
        (["--detector", "nothing"], 2, "detector"),
        (["--codec", "nothing"], 1, "nothing"),
        (["--key-file", "missing.key"], 1, "key file"),
        (["--decoder", "missing.onnx"], 1, "missing.onnx"),
        (["--codebook", "missing.npz"], 1, "missing.npz"),
    ],
)
def test_wrong_options_end_with_a_clear_line_and_no_output(
    arguments: list[str], code: int, words: str, walk_clip: Path, tmp_path: Path
) -> None:
    done = _run("anonymize", walk_clip, "-o", tmp_path / "out.mp4", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_no_network_word_or_path_of_the_ledger_in_the_report(walk_clip: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _run("anonymize", walk_clip, "-o", tmp_path / "out.mp4", "--report", report, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in report.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_cleanly(number: int, walk_clip: Path, tmp_path: Path) -> None:
    # Long enough that the signal always lands in the middle.
    long_clip = tmp_path / "long.mkv"
    with av.open(str(walk_clip)) as source, av.open(str(long_clip), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [p for p in source.demux(video=0) if p.dts is not None]
        span = max(p.pts + (p.duration or 1) for p in packets)
        payload = [(bytes(p), p.pts, p.dts, p.time_base, p.is_keyframe) for p in packets]
        for loop in range(40):
            for data, pts, dts, time_base, key in payload:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, time_base, key
                packet.pts, packet.dts = pts + loop * span, dts + loop * span
                target.mux(packet)
    folder = tmp_path / "out"
    folder.mkdir()
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with subprocess.Popen(
        [*COMMAND, "anonymize", str(long_clip), "-o", str(folder / "o.mkv")],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert list(folder.iterdir()) == []
    assert "Traceback" not in errors


def test_full_disk_is_one_clear_line_and_leaves_nothing(walk_clip: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from streamer.cli import main; main()"
    )
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            "anonymize",
            str(walk_clip),
            "-o",
            str(tmp_path / "out" / "o.mp4"),
            "--replace-with",
            "solid",
            "-q",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_key_and_ledger_commands(walk_clip: Path, tmp_path: Path) -> None:
    key, ledger = tmp_path / "k", tmp_path / "l.jsonl"
    assert _run("key", "new", key, cwd=tmp_path).returncode == 0
    assert key.stat().st_mode & 0o777 == 0o600
    done = _run(
        "anonymize",
        walk_clip,
        "-o",
        tmp_path / "o.mp4",
        "--key-file",
        key,
        "--ledger",
        ledger,
        "-q",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "1 draws, chain whole" in _run("ledger", "verify", ledger, cwd=tmp_path).stdout
    assert "default" in _run("ledger", "sum", ledger, cwd=tmp_path).stdout
    text = ledger.read_text()
    ledger.write_text(text.replace('"scope":"default"', '"scope":"defxult"'))
    assert ledger.read_text() != text
    assert _run("ledger", "verify", ledger, cwd=tmp_path).returncode == 1


def test_models_verify_passes_on_a_whole_installation(tmp_path: Path) -> None:
    done = _run("models", "verify", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong" not in done.stdout
