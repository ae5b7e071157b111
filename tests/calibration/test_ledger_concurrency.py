"""A budget is never overspent and the chain never breaks, however many processes and threads write."""

from __future__ import annotations

import multiprocessing
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np

from calibration.assign import IdentityAssigner
from calibration.errors import BudgetExhausted
from calibration.identity_space import IdentitySpace
from calibration.ledger import FileLedger, verify_ledger
from calibration.mechanisms import CodebookMechanism

BUDGET = Fraction(20)
WRITERS = 4
TRIES = 12


class Book:
    size = 64
    sha256 = "ab" * 32

    def __init__(self) -> None:
        codes = np.random.default_rng(0).normal(size=(64, 8))
        self.space = IdentitySpace.fit(codes / np.linalg.norm(codes, axis=1, keepdims=True))


def spend(path: str, writer: int, granted: object) -> None:
    assigner = IdentityAssigner(
        CodebookMechanism(1), Book(), session="run", ledger=FileLedger(path), scope="day", budget=BUDGET
    )
    code = np.random.default_rng(writer).normal(size=8)
    for track in range(1, TRIES + 1):
        try:
            assigner.assign(f"camera-{writer}", track, code)
        except BudgetExhausted:
            continue
        granted.put((writer, track))  # type: ignore[attr-defined]


def test_processes_share_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    granted = context.SimpleQueue()
    processes = [
        context.Process(target=spend, args=(str(path), writer, granted)) for writer in range(WRITERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    summary = verify_ledger(path)
    assert summary.lines == BUDGET
    assert summary.scopes[0].epsilon == BUDGET
    assert WRITERS * TRIES > BUDGET


def test_threads_share_a_budget_and_never_an_identity(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assigner = IdentityAssigner(
        CodebookMechanism(1), Book(), session="run", ledger=FileLedger(path), scope="day", budget=BUDGET
    )
    indices: list[int] = []
    refused: list[int] = []

    def work(writer: int) -> None:
        code = np.random.default_rng(writer).normal(size=8)
        for track in range(1, TRIES + 1):
            try:
                indices.append(assigner.assign(f"camera-{writer}", track, code).index)
            except BudgetExhausted:
                refused.append(track)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(indices) == len(set(indices)) == BUDGET
    assert len(refused) == WRITERS * TRIES - BUDGET
    assert verify_ledger(path).lines == BUDGET
