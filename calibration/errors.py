"""Errors of the privacy core, each one clear line. The caller answers each by masking the face."""

from __future__ import annotations


class CalibrationError(RuntimeError):
    """Base of the errors of the privacy core."""


class BudgetExhausted(CalibrationError):
    """The scope has no epsilon left for another draw."""


class CodebookExhausted(CalibrationError):
    """More tracks are alive at once than the codebook can serve with different identities."""


class LedgerError(CalibrationError):
    """The ledger cannot be read, written, or does not verify."""


class EpsilonError(CalibrationError):
    """An epsilon (or delta) that is no number, negative, or refused because its bound would be empty."""


class CodebookError(CalibrationError):
    """The codebook file is missing, damaged, of another format, or not the one that was expected."""


class KeyFileError(CalibrationError):
    """A key file is missing, too short, readable by others, or would be overwritten."""


class CodeError(CalibrationError):
    """An identity code of the wrong shape, or with no direction (zero, NaN, infinite)."""


class Int8Error(CalibrationError):
    """A model that cannot be quantised, or not well enough."""
