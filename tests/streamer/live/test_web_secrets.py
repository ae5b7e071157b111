"""The command with a secret in every place that takes one, and a search for them in all that it gives out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx", reason="needs httpx")
pytest.importorskip("uvicorn", reason="needs the extra `live`")

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from streamer.cli import main; main()", "stream", "--config", "cameras.yml"]
SECRETS = {
    "CAMERA_USER": "viewer-of-the-door",
    "CAMERA_PASSWORD": "p@ss/w0rd:with#all",
    "CAMERA_TOKEN": "query-t0ken-value",
    "STREAM_KEY": "live-str3am-key",
    "PUSH_PASSWORD": "publisher-s3cret",
    "PAGE_TOKEN": "page-token-0123456789",
}
# Ports of this machine on which nothing listens: 9 is "discard".
CONFIG = """
log_format: json
ledger: ledger.jsonl
web: {{port: 0, token: "${{PAGE_TOKEN}}"}}
cameras:
  - name: away
    input: rtsp://${{CAMERA_USER}}:${{CAMERA_PASSWORD}}@127.0.0.1:9/live?token=${{CAMERA_TOKEN}}
    replace_with: solid
    outputs: [{{kind: preview}}]
  - name: clip
    input: {clip}
    replace_with: solid
    outputs:
      - {{kind: push, url: "rtsp://publisher:${{PUSH_PASSWORD}}@127.0.0.1:9/clip"}}
      - {{kind: push, url: "rtmp://127.0.0.1:9/app/${{STREAM_KEY}}"}}
      - {{kind: segments, folder: recordings}}
      - {{kind: preview}}
"""


def test_no_secret_in_anything_that_comes_out(tmp_path: Path) -> None:
    clip = ROOT / "examples" / "two_people.mp4"
    (tmp_path / "cameras.yml").write_text(CONFIG.format(clip=clip))
    environment = {**os.environ, **SECRETS, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (tmp_path / "out.txt").open("wb") as out:
        process = subprocess.Popen(COMMAND, stdout=out, stderr=out, cwd=tmp_path, env=environment)
    try:
        url = _wait_for(tmp_path / "out.txt", r"health checks at (http://[\d.:]+/)")
        # Its camera was tried, and its outputs too.
        _wait_for(tmp_path / "out.txt", r"camera away: connecting -> reconnecting")
        _wait_for(tmp_path / "out.txt", r"output push rtmp\S+ is away")
        answers = _everything(url)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    del written["cameras.yml"]
    assert "ledger.jsonl" not in written, "plain coverings draw nobody"
    assert any(name.endswith(".mp4") for name in written)
    for name, content in {**answers, **written}.items():
        for secret in (*SECRETS.values(), "p%40ss", "w0rd"):
            assert secret.encode() not in content, f"{secret} in {name}"


def _wait_for(log: Path, pattern: str, timeout_seconds: float = 120.0) -> str:
    """First group of the pattern in the log, once it is there; else the whole match."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if match := re.search(pattern, log.read_text()):
            return match[match.lastindex or 0]
        time.sleep(0.2)
    raise AssertionError(f"the log never said {pattern}:\n{log.read_text()}")


def _everything(url: str) -> dict[str, bytes]:
    """Bodies and headers of all that the server answers, to those with the token and to those without."""
    paths = ["", "login", "metrics", "healthz", "readyz", "api/summary", "nowhere"]
    paths += [f"api/cameras/{name}/picture.jpg" for name in ("away", "clip")]
    found = {}
    with httpx.Client(base_url=url, timeout=30) as web:
        for path in paths:
            for who, headers in (
                ("anybody", {}),
                ("viewer", {"Authorization": f"Bearer {SECRETS['PAGE_TOKEN']}"}),
            ):
                answer = web.get(path, headers=headers)
                found[f"/{path} for {who}"] = repr(answer.headers).encode() + answer.content
        answer = web.post("login", data={"token": SECRETS["PAGE_TOKEN"]})
        assert answer.status_code == 303
        found["the cookie"] = repr(answer.headers).encode()
    return found
