"""A gateway runs for weeks: its ledger grows on disk, and not in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration import ledger_file
from calibration.assign import IdentityAssigner
from calibration.codebook import Codebook
from calibration.errors import LedgerError
from calibration.ledger import FileLedger, new_commitment, open_ledger, verify_ledger
from calibration.ledger_lines import Chain, DrawRecord
from calibration.mechanisms import CodebookMechanism
from calibration.randomness import DrawLabel

MECHANISM = CodebookMechanism(1)
FEW, MANY = 150, 900
# Of what a line takes in the file (some 560 bytes), what may stay of it in memory.
BYTES_PER_LINE = 60


def write_ledger(path: Path, lines: int) -> Path:
    chain = Chain()
    with path.open("wb") as file:
        for track in range(lines):
            label = DrawLabel("door", "run", track, "ab" * 32, "codebook", MECHANISM.epsilon)
            commitment = new_commitment(track, bytes(32))
            line = chain.next_line(DrawRecord("door", label, 0.0, 40, MECHANISM.parameters(40), commitment))
            chain.feed(line)
            file.write(line + b"\n")
    path.with_name(path.name + ".head").write_text(f"{chain.sequence} {chain.head}\n")
    return path


def memory_of(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes that stay, and bytes at the most, of `work` and what it returns.

    The least of three times: what other threads of the process do meanwhile is counted too.
    """
    times = [_memory_once(work) for _ in range(3)]
    return min(kept for kept, _ in times), min(most for _, most in times)


def _memory_once(work: Callable[[], object]) -> tuple[int, int]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = work()
        after, most = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return after - before, most - before


@pytest.mark.parametrize("read", [FileLedger, verify_ledger])
def test_a_long_ledger_takes_no_more_memory_than_a_short_one(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "_BLOCK_BYTES", 1 << 14)
    read(write_ledger(tmp_path / "first.jsonl", 1))
    few = write_ledger(tmp_path / "few.jsonl", FEW)
    many = write_ledger(tmp_path / "many.jsonl", MANY)
    assert few.stat().st_size > 3 * ledger_file._BLOCK_BYTES
    kept_of_few, most_of_few = memory_of(lambda: read(few))
    kept_of_many, most_of_many = memory_of(lambda: read(many))
    allowed = BYTES_PER_LINE * (MANY - FEW)
    assert kept_of_many - kept_of_few < allowed
    assert most_of_many - most_of_few < allowed


def test_draws_leave_nothing_in_memory(tmp_path: Path, codebook: Codebook) -> None:
    assigner = IdentityAssigner(
        CodebookMechanism(1), codebook, session="run", ledger=FileLedger(tmp_path / "ledger.jsonl")
    )
    code = codebook.codes_unit[0]
    tracks = iter(range(10_000))

    def draw(count: int = 100) -> None:
        for _ in range(count):
            track = next(tracks)
            assigner.assign("door", track, code)
            assigner.release(track)

    draw()
    kept, _ = memory_of(draw)
    assert kept < BYTES_PER_LINE * 100
    assert verify_ledger(tmp_path / "ledger.jsonl").lines == 400


def test_a_ledger_is_read_once_for_all_who_share_it(tmp_path: Path) -> None:
    path = write_ledger(tmp_path / "ledger.jsonl", 3)
    ledger = open_ledger(path)
    assert open_ledger(tmp_path / "." / path.name) is ledger
    assert open_ledger(tmp_path / "other.jsonl") is not ledger


def test_reading_a_long_ledger_holds_no_writer_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process checks all lines, another one draws: both see every line."""
    path = write_ledger(tmp_path / "ledger.jsonl", 5)
    writer = FileLedger(path)
    monkeypatch.setattr(ledger_file, "LOCK_TIMEOUT_SECONDS", 0.1)
    feed, drawn = Chain.feed, []

    def feed_slowly(self: Chain, line: bytes, where: str = "") -> object:
        if self.sequence == 2 and not drawn:
            drawn.append(True)
            label = DrawLabel("door", "run", 77, "ab" * 32, "codebook", MECHANISM.epsilon)
            record = DrawRecord("door", label, 0.0, 40, MECHANISM.parameters(40), "00")
            with writer.reserve("door", MECHANISM.cost) as reservation:
                reservation.commit(record)
        return feed(self, line, where)

    for read in (verify_ledger, FileLedger):
        drawn.clear()
        monkeypatch.setattr(Chain, "feed", feed_slowly)
        read(path)
        monkeypatch.setattr(Chain, "feed", feed)
        assert drawn
    assert verify_ledger(path).lines == 7


def test_a_head_that_could_not_be_written_is_put_right_by_the_next_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = FileLedger(write_ledger(tmp_path / "ledger.jsonl", 2))

    def draw(track: int) -> None:
        label = DrawLabel("door", "run", track, "ab" * 32, "codebook", MECHANISM.epsilon)
        record = DrawRecord("door", label, 0.0, 40, MECHANISM.parameters(40), "00")
        with ledger.reserve("door", MECHANISM.cost) as reservation:
            reservation.commit(record)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(LedgerError, match="cannot write"):
        draw(10)
    monkeypatch.undo()
    draw(11)
    assert verify_ledger(ledger.path).lines == 4
