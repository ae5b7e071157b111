"""The doctor tries things and believes nothing else, and says by its exit status whether a job can run."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from engines.backends import BackendStatus
from engines.errors import EngineError
from engines.zoo import registry
from streamer.cli import doctor as command
from streamer.doctor import Check, Verdict, codecs, inference, installed, is_healthy, work
from streamer.doctor.check import tried


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command.doctor)
    return CliRunner().invoke(app, arguments)


def test_everything_essential_works_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The slow encoders are tried elsewhere.
    monkeypatch.setattr(codecs, "_SOFTWARE", {"libx264": "yuv420p"})
    result = run("--json")
    document = json.loads(result.stdout)
    checks = document["checks"]
    bad = [check for check in checks if check["essential"] and check["verdict"] != "ok"]
    assert (bad, document["healthy"], result.exit_code) == ([], True, 0)
    assert {check["group"] for check in checks} >= {
        "system", "packages", "models", "engines", "detectors", "encoders", "hardware encoders",
        "hardware decoders", "folders", "job",
    }  # fmt: skip
    named = {(check["group"], check["name"]): check["verdict"] for check in checks}
    assert named["job", "anonymize"] == named["engines", "onnxruntime"] == named["models", "sface"] == "ok"
    assert all(check["detail"] and "\n" not in check["detail"] for check in checks)


@pytest.mark.parametrize(
    ("verdict", "essential", "code"),
    [
        (Verdict.OK, True, 0),
        (Verdict.FAILED, True, 1),
        (Verdict.ABSENT, True, 1),
        (Verdict.FAILED, False, 0),
        (Verdict.ABSENT, False, 0),
    ],
)
def test_only_what_a_job_needs_decides(
    monkeypatch: pytest.MonkeyPatch, verdict: Verdict, essential: bool, code: int
) -> None:
    check = Check("group", "thing", verdict, "why [so]", essential)
    monkeypatch.setattr(command, "examine", lambda path: iter([check]))
    assert is_healthy([check]) is (code == 0)
    result = run()
    assert result.exit_code == code
    assert "why [so]" in result.stdout
    assert ("a job cannot run: thing" in result.stdout) is (code == 1)


def test_a_changed_weight_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in registry.WEIGHTS_DIRECTORY.glob("*"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "yunet.onnx").unlink()
    (tmp_path / "yunet.onnx").write_bytes(b"changed")
    (tmp_path / "iris.onnx").unlink()
    monkeypatch.setattr(registry, "WEIGHTS_DIRECTORY", tmp_path)
    failed = {
        check.name: check.detail for check in installed.check_models() if check.verdict is Verdict.FAILED
    }
    assert failed.keys() == {"yunet", "iris"}
    assert "sha256" in failed["yunet"]


def test_a_missing_package_is_found_and_an_incomplete_extra_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("scipy", "openvino"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    checks = {check.name: check for check in (*installed.check_system(), *installed.check_extras())}
    assert (checks["scipy"].verdict, checks["scipy"].essential) == (Verdict.FAILED, True)
    assert checks["openvino"].verdict is Verdict.ABSENT
    assert "pip install 'veilstream[openvino]'" in checks["openvino"].detail


@pytest.mark.parametrize(
    ("bounds", "version", "fits"),
    [
        ("<3,>=1.26", "1.26.0", True),
        ("<3,>=1.26", "2.4.1", True),
        ("<3,>=1.26", "1.25.9", False),
        ("<3,>=1.26", "3.0.0", False),
        # A candidate for 3.0 is no 2.x.
        ("<3,>=1.26", "3.0rc1", False),
        ("<3,>=1.26", "1.26.4.post1+local7", True),
        (">=6", "6", True),
        (">=6.0.1,<7", "6", False),
        (">= 6.0, < 7", "6.10", True),
        (">=0.9", "0.10", True),
        ("", "0.1", True),
        (">=1", None, False),
    ],
)
def test_versions_are_compared_with_the_bounds_asked_for(
    bounds: str, version: str | None, fits: bool
) -> None:
    assert installed.Requirement("thing", bounds, version).fits is fits


def test_a_package_out_of_bounds_is_named_and_the_job_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["scipy (>=1.11,<2)", "numpy<3,>=1.26", 'dlib-bin<21,>=19; extra == "audit"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    versions = {"scipy": "2.1", "numpy": "2.0", "dlib-bin": "18.0", "veilstream": "1.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    checks = {check.name: check for check in (*installed.check_system(), *installed.check_extras())}
    assert checks["numpy"].verdict is Verdict.OK
    assert checks["scipy"].detail == "2.1 is not the >=1.11,<2 asked for"
    assert [(checks[name].verdict, checks[name].essential) for name in ("scipy", "audit")] == [
        (Verdict.FAILED, False),
        (Verdict.FAILED, False),
    ]


def test_a_backend_that_imports_but_does_not_run_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise EngineError("refuses the model")

    monkeypatch.setattr(inference, "backend_statuses", lambda: (BackendStatus("onnxruntime", True, "1.0"),))
    monkeypatch.setattr(inference, "open_engine", refuse)
    (check,) = inference.check_backends()
    assert (check.verdict, check.detail, check.essential) == (Verdict.FAILED, "refuses the model", True)


def test_encoders_that_do_not_encode_have_failed_and_missing_hardware_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codecs, "_SOFTWARE", {"libx264": "yuv420p", "libx265": "yuv420p"})
    monkeypatch.setattr(codecs, "encode_problem", lambda *args, **kwargs: "broken")
    checks = list(codecs.check_encoders())
    assert [check.verdict for check in checks[:2]] == [Verdict.FAILED, Verdict.FAILED]
    assert [check.essential for check in checks[:2]] == [True, False]
    assert {check.verdict for check in checks[2:]} == {Verdict.ABSENT}


def test_software_that_stands_in_for_a_device_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "is_built_in", lambda device: True)
    monkeypatch.setattr(codecs, "accelerator", lambda device: None)
    monkeypatch.setattr(codecs, "decoder_for", lambda stream, device: stream.codec_context)
    assert {check.verdict for check in codecs.check_hardware_decoding() if check.name != "qsv"} == {
        Verdict.ABSENT
    }
    # The counting itself: a device that decodes them all is believed.
    monkeypatch.setattr(codecs, "is_used", lambda decoder, device: True)
    assert {check.verdict for check in codecs.check_hardware_decoding()} == {Verdict.OK}


def test_a_ledger_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    ledger, _ = work.check_folders(tmp_path / "file" / "ledger.jsonl")
    assert (ledger.verdict, ledger.essential) == (Verdict.FAILED, True)
    assert str(tmp_path / "file") in ledger.detail


def test_whatever_is_raised_is_one_line() -> None:
    def explode() -> str:
        raise RuntimeError("first\nsecond")

    check = tried("group", "thing", explode)
    assert check.verdict is Verdict.FAILED
    assert check.detail == "RuntimeError: first second"
