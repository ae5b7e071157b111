"""Errors a user can act on: each is one clear line that says what, where and what to do."""

from __future__ import annotations


class VeilstreamError(RuntimeError):
    """Base of every error that ends a job with one line and a non-zero exit."""


class InputError(VeilstreamError):
    """The input is missing, unreadable, damaged beyond use, or has no picture in it."""


class OutputError(VeilstreamError):
    """The output cannot be written: path, permission, space, or an encoder that refuses the settings."""


class SettingsError(VeilstreamError):
    """An option, or a combination of options, that cannot be honoured."""
