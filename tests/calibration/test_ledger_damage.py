"""What a crash may leave beside a ledger is made good, whatever else is missing is damage, and no bytes make it raise
anything but its own error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from calibration.errors import BudgetExhausted, LedgerError
from calibration.ledger import NO_BUDGET, Budget, FileLedger, new_commitment, verify_ledger
from calibration.ledger_lines import GENESIS, Chain, DrawRecord, parse_line
from calibration.mechanisms import CodebookMechanism, GaussianMechanism, UniformMechanism
from calibration.randomness import DrawLabel

MECHANISM = CodebookMechanism(1)


def record(track: int) -> DrawRecord:
    label = DrawLabel("camera", "run", track, "ab" * 32, "codebook", MECHANISM.epsilon)
    return DrawRecord("day", label, 0.0, 40, MECHANISM.parameters(40), new_commitment(track, bytes(32)))


def draw(ledger: FileLedger, track: int, budget: Budget = NO_BUDGET) -> None:
    with ledger.reserve("day", MECHANISM.cost, budget) as reservation:
        reservation.commit(record(track))


def head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    ledger = FileLedger(path)
    for track in range(10):
        draw(ledger, track)
    return path


@pytest.mark.parametrize("kept", [0, 1, 2, 9, 10])
def test_without_its_head_no_ledger_holds(path: Path, kept: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]))
    head_of(path).unlink()
    with pytest.raises(LedgerError, match=r"has no ledger\.jsonl\.head beside it"):
        verify_ledger(path)
    if kept:
        for _ in range(2):  # the first answer does not mend it
            with pytest.raises(LedgerError, match="restore that file"):
                FileLedger(path)


@pytest.mark.parametrize("kept", [0, 1, 9])
def test_a_ledger_that_is_cut_while_it_runs_gives_no_budget_back(path: Path, kept: int) -> None:
    """Not even where both files are gone, which a program that starts anew could not tell from a new ledger."""
    ledger = FileLedger(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]))
    head_of(path).unlink()
    for _ in range(2):
        with pytest.raises(LedgerError):
            draw(ledger, 20, Budget.of(10))
    path.unlink()
    with pytest.raises(LedgerError, match="ends after line 0 of 10"):
        draw(ledger, 20, Budget.of(10))
    # Put back, it goes on as before.
    path.write_bytes(b"".join(lines))
    fields = json.loads(lines[-1])
    head_of(path).write_text(f"10 {fields['hash']}\n")
    with pytest.raises(BudgetExhausted):
        draw(ledger, 20, Budget.of(10))
    draw(ledger, 20)
    assert verify_ledger(path).lines == 11


def test_a_first_draw_is_remembered_by_who_made_it(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger.jsonl")
    draw(ledger, 1, Budget.of(1))
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(LedgerError, match="ends after line 0 of 1"):
        draw(ledger, 2, Budget.of(1))


def test_a_new_ledger_has_the_head_of_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    FileLedger(path)
    assert head_of(path).read_text() == f"0 {GENESIS}\n"
    assert verify_ledger(path).lines == 0
    draw(FileLedger(path), 1)
    assert verify_ledger(path).note is None


def test_an_empty_ledger_of_an_earlier_version_is_begun_by_whoever_writes_to_it(tmp_path: Path) -> None:
    """It had no head before its first line: a video without a face left an empty file."""
    path = tmp_path / "ledger.jsonl"
    path.touch()
    with pytest.raises(LedgerError, match="beside it"):
        verify_ledger(path)
    draw(FileLedger(path), 1)
    assert verify_ledger(path).lines == 1


@pytest.mark.parametrize("lines", [1, 5])
def test_a_whole_ledger_of_an_earlier_version_goes_on(tmp_path: Path, lines: int) -> None:
    path, chain = tmp_path / "ledger.jsonl", Chain()
    with path.open("wb") as file:
        for track in range(lines):
            line = chain.next_line(record(track))
            chain.feed(line)
            file.write(line + b"\n")
    head_of(path).write_text(f"{chain.sequence} {chain.head}\n")
    assert verify_ledger(path).lines == lines
    draw(FileLedger(path), 77)
    assert verify_ledger(path).lines == lines + 1


def test_a_first_line_whose_writer_was_stopped_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    draw(FileLedger(path), 1)
    head_of(path).write_text(f"0 {GENESIS}\n")
    assert "one line behind" in (verify_ledger(path).note or "")
    ledger = FileLedger(path)
    assert ledger.spent("day") == 1
    assert verify_ledger(path).note is None


def test_a_first_line_without_its_end_was_never_used(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    FileLedger(path)
    path.write_bytes(b'{"A":"1844')
    assert "cut off" in (verify_ledger(path).note or "")
    assert FileLedger(path).spent("day") == 0
    assert path.read_bytes() == b""
    path.write_bytes(b'{"A":"1844')
    head_of(path).unlink()
    with pytest.raises(LedgerError, match="beside it"):
        FileLedger(path)


class Stopped(BaseException):
    """As if the process had ended there."""


_REPLACE = Path.replace


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    left = iter(range(steps))

    def stopping(whole: Callable[..., object], *arguments: object) -> object:
        if next(left, None) is None:
            raise Stopped
        return whole(*arguments)

    monkeypatch.setattr(Path, "replace", lambda self, target: stopping(_REPLACE, self, target))
    for name in ("open", "write", "pwrite", "fsync"):
        monkeypatch.setattr(os, name, partial(stopping, getattr(os, name)))


def test_wherever_a_first_draw_is_stopped_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never is there a line less than was used, and never does a crash read as damage."""
    done, lines_left = False, set()
    for steps in range(100):
        path = tmp_path / str(steps) / "ledger.jsonl"
        path.parent.mkdir()
        with monkeypatch.context() as patch:
            stop_after(patch, steps)
            try:
                draw(FileLedger(path), 1)
                done = True
            except Stopped:
                pass
        ledger = FileLedger(path)
        lines_left.add(left := int(ledger.spent("day")))
        draw(ledger, 2)
        summary = verify_ledger(path)
        assert (summary.lines, summary.note) == (left + 1, None)
        if done:
            assert left == 1
            break
    assert done
    assert lines_left == {0, 1}


def rewritten(record: DrawRecord, **changes: object) -> bytes:
    """A line with other content and the hash that belongs to it."""
    fields = {**json.loads(Chain().next_line(record)), **changes}
    fields = {name: value for name, value in fields.items() if name != "hash" and value is not ...}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    fields["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"K": 0}, {"K": -1}, {"K": 10**400}, {"K": 100.9}, {"K": True}, {"K": "40"}, {"K": ...},
        {"track": 1.5}, {"track": True}, {"track": None}, {"m": 13.0}, {"m": None}, {"A": 7}, {"B": None},
        {"epsilon": "0"}, {"epsilon": 1}, {"epsilon": "-1"}, {"epsilon": "1e99999999"}, {"epsilon": "1/0"},
        {"delta": "0"}, {"delta": False}, {"delta": 10**400}, {"delta": []}, {"scope": 5}, {"stream": None},
        {"stream": "rtsp://user:pw@h/x"}, {"session": ["run"]}, {"codebook": 0}, {"mechanism": {}},
        {"commitment": None}, {"key": 7}, {"sequence": 1.0}, {"time": 0}, {"previous": 0}, {"version": True},
        {"version": 2}, {"version": ...},
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "ledger.jsonl"
    draw(FileLedger(path), 1)
    first = path.read_bytes()
    fields = json.loads(first)
    line = rewritten(record(2), **{"sequence": 2, "previous": fields["hash"], **changes})
    path.write_bytes(first + line + b"\n")
    for read in (verify_ledger, FileLedger):
        with pytest.raises(LedgerError, match=r"ledger\.jsonl, line 2: "):
            read(path)


@pytest.mark.parametrize(
    "changes", [{}, {"key": ...}, {"key": None}, {"delta": 0}, {"note": "of later"}], ids=str
)
def test_a_line_that_says_the_same_in_another_way_is_read(changes: dict[str, object]) -> None:
    draw = parse_line(rewritten(record(1), **changes))
    assert draw.record == record(1)


def test_uniform_and_gaussian_lines_of_nobody_are_refused_too() -> None:
    uniform, gaussian = UniformMechanism(), GaussianMechanism(1, 16)
    for mechanism, parameters in ((uniform, uniform.parameters(0)), (gaussian, None)):
        label = DrawLabel("camera", "run", 1, "ab" * 32, mechanism.name, mechanism.epsilon)
        nobody = DrawRecord("day", label, mechanism.delta, 0, parameters, "00")
        with pytest.raises(LedgerError, match="K is 0"):
            parse_line(Chain().next_line(nobody))


def shapes() -> Iterator[bytes]:
    yield from (b"", b"null", b"[]", b"7", b'"text"', b"{}", b'{"hash":1}', b"\xff\xfe", b"NaN")
    yield b"[" * 100_000
    yield b'{"hash":' + b"9" * 10_000 + b"}"
    yield b'{"hash":"0","version":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@pytest.mark.parametrize("line", list(shapes()), ids=lambda line: repr(line[:20]))
def test_whatever_the_bytes_are_it_is_a_ledger_error(line: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_line(line)
