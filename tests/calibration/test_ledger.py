"""The ledger shows tampering, keeps budgets, survives a crash, and holds nothing that identifies a face."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from calibration.cost import Budget, Cost
from calibration.errors import BudgetExhausted, LedgerError
from calibration.ledger import NO_BUDGET, FileLedger, Ledger, MemoryLedger, new_commitment, verify_ledger
from calibration.ledger_lines import Chain, DrawRecord
from calibration.mechanisms import CodebookMechanism, GaussianMechanism
from calibration.randomness import DrawLabel

MECHANISM = CodebookMechanism("0.5")


def record(track: int = 1, scope: str = "day") -> DrawRecord:
    return DrawRecord(
        scope=scope,
        label=DrawLabel("camera", "run", track, "ab" * 32, "codebook", MECHANISM.epsilon),
        delta=0.0,
        available=40,
        parameters=MECHANISM.parameters(40),
        commitment=new_commitment(track, bytes(32)),
    )


def draw(ledger: Ledger, track: int, scope: str = "day", budget: Budget = NO_BUDGET) -> None:
    with ledger.reserve(scope, MECHANISM.cost, budget) as reservation:
        reservation.commit(record(track, scope))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    ledger = FileLedger(path)
    for track in range(1, 6):
        draw(ledger, track, "day" if track < 4 else "night")
    return path


def test_sound_ledger(path: Path) -> None:
    summary = verify_ledger(path)
    assert summary.lines == 5
    assert [(s.scope, s.draws, s.epsilon) for s in summary.scopes] == [
        ("day", 3, Fraction(3, 2)),
        ("night", 2, Fraction(1)),
    ]
    assert summary.note is None
    assert FileLedger(path).head == summary.head
    assert FileLedger(path).spent("day") == Fraction(3, 2)
    assert (path.stat().st_mode & 0o777) == 0o600


def test_line_holds_what_the_specification_lists(path: Path) -> None:
    line = json.loads(path.read_text().splitlines()[0])
    assert set(line) == {
        "version", "sequence", "time", "scope", "stream", "session", "track", "mechanism", "epsilon", "delta",
        "A", "B", "K", "m", "codebook", "commitment", "key", "previous", "hash",
    }  # fmt: skip
    assert int(line["A"]) == MECHANISM.parameters(40).weight_inside
    assert line["K"] == 40
    assert line["m"] == MECHANISM.parameters(40).nearest


def _edit(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2].replace('"track":3', '"track":9'), *lines[3:]]


def _edit_and_rehash(lines: list[str]) -> list[str]:
    import hashlib

    fields = json.loads(lines[2])
    del fields["hash"]
    fields["scope"] = "night"
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    fields["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return [*lines[:2], json.dumps(fields, sort_keys=True, separators=(",", ":")), *lines[3:]]


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(_edit, id="edit"),
        pytest.param(_edit_and_rehash, id="edit-and-rehash"),
        pytest.param(lambda lines: [*lines[:1], *lines[2:]], id="delete-middle"),
        pytest.param(lambda lines: lines[1:], id="delete-first"),
        pytest.param(lambda lines: lines[:-1], id="delete-last"),
        pytest.param(lambda lines: lines[:-2], id="delete-last-two"),
        pytest.param(lambda lines: [], id="empty"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], id="reorder"),
        pytest.param(lambda lines: [*lines[:3], lines[4], lines[3]], id="reorder-last"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:-20], *lines[3:]], id="truncate-middle"),
        pytest.param(lambda lines: [*lines[:4], lines[4][:-20]], id="truncate-last"),
        pytest.param(lambda lines: [*lines, lines[4]], id="repeat"),
        pytest.param(lambda lines: [*lines[:2], "", *lines[2:]], id="blank-line"),
        pytest.param(lambda lines: [lines[0].replace('":', '": ', 1), *lines[1:]], id="whitespace"),
        pytest.param(
            lambda lines: [lines[0].replace('{"A"', '{"A":"1","A"', 1), *lines[1:]], id="double-key"
        ),
        pytest.param(lambda lines: ["[]", *lines[1:]], id="no-object"),
    ],
)
def test_tampering_is_found(path: Path, tamper: object) -> None:
    lines = path.read_text().splitlines()
    changed = tamper(lines)  # type: ignore[operator]
    path.write_text("".join(line + "\n" for line in changed))
    with pytest.raises(LedgerError):
        verify_ledger(path)
    with pytest.raises(LedgerError):
        draw(FileLedger(path), 6)


def test_last_line_cut_without_its_end_is_found(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LedgerError, match="gone"):
        verify_ledger(path)


def test_a_running_writer_notices(path: Path) -> None:
    ledger = FileLedger(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LedgerError):
        draw(ledger, 6)


def test_whole_replacement_is_found_by_a_noted_head(path: Path, tmp_path: Path) -> None:
    noted = verify_ledger(path).head
    draw(FileLedger(path), 6)
    assert verify_ledger(path, noted_head=noted).lines == 6
    forged = tmp_path / "forged.jsonl"
    draw(FileLedger(forged), 1)
    assert verify_ledger(forged).lines == 1
    with pytest.raises(LedgerError, match="noted head"):
        verify_ledger(forged, noted_head=noted)


def test_a_line_cannot_claim_less_than_it_drew(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    cheap = DrawLabel("camera", "run", 1, "ab" * 32, "codebook", Fraction(1, 10))
    false = DrawRecord("day", cheap, 0.0, 40, MECHANISM.parameters(40), "00")
    with (
        pytest.raises(LedgerError, match="A, B and m"),
        ledger.reserve("day", Cost(Fraction(1, 10))) as reservation,
    ):
        reservation.commit(false)


def test_a_line_with_another_number_is_refused() -> None:
    line = Chain(sequence=4).next_line(record())
    with pytest.raises(LedgerError, match="numbered 5"):
        Chain().feed(line)


@pytest.mark.parametrize("cut", [b'{"A":"1844', b'{"A":"' + b"1" * 3000])
def test_crash_in_mid_line_is_recovered(path: Path, cut: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + cut)
    assert "cut off" in (verify_ledger(path).note or "")
    draw(FileLedger(path), 6)
    assert path.read_bytes().startswith(whole)
    assert verify_ledger(path).lines == 6


def test_crash_before_the_head_was_written_is_recovered(path: Path) -> None:
    head = path.with_name(path.name + ".head")
    before = head.read_bytes()
    draw(FileLedger(path), 6)
    head.write_bytes(before)
    assert "behind" in (verify_ledger(path).note or "")
    draw(FileLedger(path), 7)
    assert verify_ledger(path).note is None


def test_budget_is_checked_before_the_draw(path: Path) -> None:
    ledger = FileLedger(path)
    draw(ledger, 6, "day", Budget.of(2))
    with pytest.raises(BudgetExhausted, match="epsilon 2 of epsilon 2"):
        ledger.reserve("day", MECHANISM.cost, Budget.of(2)).__enter__()
    draw(ledger, 7, "night", Budget.of(2))
    assert ledger.spent("day") == 2


def test_nothing_is_charged_without_a_commit(path: Path) -> None:
    ledger = FileLedger(path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), ledger.reserve("day", MECHANISM.cost):
        _ = 1 / 0
    assert path.read_bytes() == before
    draw(ledger, 6)  # the lock is free again


def test_one_reservation_is_one_draw(path: Path) -> None:
    with FileLedger(path).reserve("day", MECHANISM.cost) as reservation:
        reservation.commit(record(6))
        with pytest.raises(LedgerError, match="one draw"):
            reservation.commit(record(7))


def test_unwritable_places(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot open"):
        FileLedger(tmp_path / "none" / "ledger.jsonl")
    with pytest.raises(LedgerError, match="cannot open"):
        verify_ledger(tmp_path / "none.jsonl")


def test_full_disk_leaves_the_ledger_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = FileLedger(path)
    whole = path.read_bytes()
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:25], offset))
    with pytest.raises(LedgerError, match="no space"):
        draw(ledger, 6)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    draw(ledger, 6)
    assert verify_ledger(path).lines == 6


def test_a_line_is_on_disk_with_its_head_and_their_names_before_its_draw_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, str]] = []
    fsync, head = os.fsync, path.with_name(path.name + ".head")

    def note(descriptor: int) -> None:
        name = os.path.realpath(f"/proc/self/fd/{descriptor}")
        synced.append((Path(name).name, head.read_text().split()[0]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    ledger = FileLedger(path)
    lines = len(path.read_bytes().splitlines())
    with ledger.reserve("s", Cost(Fraction(1))) as reservation:
        reservation.commit(record(99))
    before, after = str(lines), str(lines + 1)
    assert synced == [(path.name, before), (f"{head.name}.new", before), (path.parent.name, after)]


def test_memory_ledger_is_the_same_chain() -> None:
    ledger = MemoryLedger()
    draw(ledger, 1)
    draw(ledger, 2)
    assert ledger.spent("day") == 1
    assert json.loads(ledger.lines[1])["hash"] == ledger.head
    with pytest.raises(BudgetExhausted):
        draw(ledger, 3, budget=Budget.of(1))


def test_commitment_binds_and_hides() -> None:
    nonce = os.urandom(32)
    assert new_commitment(1, nonce) != new_commitment(2, nonce)
    assert new_commitment(1, nonce) != new_commitment(1, os.urandom(32))
    with pytest.raises(ValueError, match="32 bytes"):
        new_commitment(1, b"short")


def gaussian_record(mechanism: GaussianMechanism, track: int, **changes: object) -> DrawRecord:
    label = DrawLabel("camera", "run", track, "ab" * 32, "gaussian", mechanism.epsilon)
    whole = DrawRecord("day", label, mechanism.delta, 40, None, new_commitment(track, bytes(32)))
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget", "draws"),
    [(Budget.of(100, "3e-6"), 3), (Budget.of(2, "1e-3"), 4), (Budget.of(100), 6), (Budget.of(None, 0), 0)],
)
def test_a_budget_limits_epsilon_and_delta(path: Path, budget: Budget, draws: int) -> None:
    """Ten times a millionth is a hundred-thousandth, exactly; whichever of the two is spent first ends it."""
    mechanism = GaussianMechanism("0.5", 16, delta=1e-6)
    ledger = FileLedger(path.with_name("gaussian.jsonl"))
    done = 0
    for track in range(1, 7):
        try:
            with ledger.reserve("day", mechanism.cost, budget) as reservation:
                reservation.commit(gaussian_record(mechanism, track))
            done += 1
        except BudgetExhausted:
            continue
    assert done == draws
    assert ledger.spent_cost("day") == Cost(Fraction(draws, 2), Fraction(draws, 10**6))
    if draws:
        (scope,) = verify_ledger(ledger.path).scopes
        assert (scope.epsilon, scope.delta) == (Fraction(draws, 2), Fraction(draws, 10**6))


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6])
def test_a_gaussian_line_cannot_hide_its_delta(delta: float) -> None:
    mechanism = GaussianMechanism("0.5", 16)
    with pytest.raises(LedgerError, match="delta"):
        Chain().feed(Chain().next_line(gaussian_record(mechanism, 1, delta=delta)))


def test_a_pure_line_states_no_delta_and_every_line_a_known_mechanism() -> None:
    label = record().label
    for changes, words in (
        ({"delta": 1e-6}, "delta"),
        ({"label": replace(label, mechanism="magic")}, "no mechanism"),
        ({"label": replace(label, epsilon=None)}, "has one"),
        ({"label": replace(label, mechanism="hide"), "parameters": None, "key": "ab"}, "no epsilon"),
        ({"label": replace(label, mechanism="hide", epsilon=None), "parameters": None}, "names none"),
        ({"label": replace(label, mechanism="privunit")}, "A, B and m"),
    ):
        with pytest.raises(LedgerError, match=words):
            Chain().feed(Chain().next_line(replace(record(), **changes)))  # type: ignore[arg-type]


def test_hidden_and_keyed_lines_are_told_apart_in_the_sums(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger.jsonl")
    draw(ledger, 1)
    keyed = replace(record(2), key="0123456789abcdef")
    hidden = replace(
        record(3), label=replace(record(3).label, mechanism="hide", epsilon=None), parameters=None, key="0123"
    )
    for line in (keyed, hidden):
        with ledger.reserve("day", line.cost) as reservation:
            reservation.commit(line)
    (scope,) = verify_ledger(ledger.path).scopes
    assert (scope.draws, scope.keyed, scope.hidden, scope.epsilon) == (3, 1, 1, 2 * MECHANISM.epsilon)
    assert json.loads(ledger.path.read_text().splitlines()[2])["epsilon"] is None
