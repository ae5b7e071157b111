"""Errors of the privacy core, each one clear line. The caller answers every one of them by masking the face."""

from __future__ import annotations


class CalibrationError(RuntimeError):
    """Base of the errors of the privacy core."""


class BudgetExhausted(CalibrationError):
    """The scope has no epsilon left for another draw."""


class CodebookExhausted(CalibrationError):
    """More tracks are alive at once than the codebook can serve with different identities."""


class LedgerError(CalibrationError):
    """The ledger cannot be read, written, or does not verify."""
