"""What the command says when it is called wrongly: one line, in the words of who typed it, and the right status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from engines.zoo.registry import entries, entry
from streamer.cli import tables
from streamer.cli.app import app, main

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Exit status and standard error of a command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "x.mp4").write_bytes(b"x")
    (tmp_path / "book.npz").write_bytes(b"no numbers")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["veilstream", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("anonymize", "missing argument 'INPUT...'"),
        ("anonymize x.mp4", "missing option '-o' / '--output'"),
        ("anonymize x.mp4 -o y.mp4 --nope", "no such option"),
        ("anonymize x.mp4 -o y.mp4 --detect-every z", "--detect-every"),
        ("anonymize x.mp4 -o y.mp4 --detector no", "'no' is not one of"),
        ("nosuch", "no such command 'nosuch'"),
        ("anonymize x.mp4 -o y.mp4 --long-side 3", "--long-side: "),
        ("anonymize x.mp4 -o y.mp4 --detect-every 99", "--detect-every: "),
        ("anonymize x.mp4 -o y.mp4 --crf 99", "--crf: "),
        ("anonymize x.mp4 -o y.mp4 --engine steam", "--engine: "),
        ("anonymize x.mp4 -o y.mp4 --epsilon 9", "--allow-large-epsilon"),
        ("anonymize x.mp4 -o y.mp4 --mechanism uniform --epsilon 0.5", "mechanism uniform has no epsilon"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: str, words: str, call: Call) -> None:
    code, errors = call(*arguments.split())
    assert code == 2
    assert errors.startswith("veilstream: ")
    assert errors.count("\n") == 1
    assert words in errors
    assert "Value error" not in errors


def test_a_file_that_is_no_codebook_is_not_advised_to_be_trusted(call: Call) -> None:
    code, errors = call("anonymize", "x.mp4", "-o", "y.mp4", "--codebook", "book.npz")
    assert code == 1
    assert "book.npz is not a readable .npz" in errors
    assert "allow_pickle" not in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("models",)])
def test_without_a_command_the_help_is_shown_once(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["veilstream", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count("Usage: veilstream") == 1


def test_help_shows_the_defaults_that_depend() -> None:
    text = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["anonymize", "--help"]).stdout
    for option, default in (("epsilon", "1.0"), ("mechanism", "codebook"), ("delta", "1e-6")):
        (line,) = [line for line in text.splitlines() if f" --{option} " in line]
        assert "default:" in line
        assert default in line.partition("default:")[2]


def test_ctrl_c_while_modules_are_imported_is_one_line() -> None:
    """The signal comes in the midst of the first import of the command line's modules."""
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'streamer.settings':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from streamer.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 130
    assert done.stderr == "veilstream: interrupted; nothing half-written was kept\n"


def test_names_of_models_are_whole_in_a_pipe_and_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = CliRunner().invoke(app, ["models", "list"]).stdout.splitlines()
    for item in map(entry, entries()):
        (line,) = [line for line in lines if line.split()[0] == item.name]
        assert item.sha256[:16] in line
        assert item.licence in line
    monkeypatch.setattr(tables, "_PIPE_WIDTH", 60)
    assert "\N{HORIZONTAL ELLIPSIS}" not in CliRunner().invoke(app, ["models", "list"]).stdout


def test_scopes_are_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a scope whose name is longer than " + "a line of a terminal " * 3
    scope = SimpleNamespace(scope=name.strip(), draws=1, epsilon=1, delta=0, keyed=0, hidden=0)
    monkeypatch.setattr("streamer.cli.ledger.verify_ledger", lambda path: SimpleNamespace(scopes=[scope]))
    assert scope.scope in CliRunner().invoke(app, ["ledger", "sum", "l.jsonl"]).stdout
