"""Settings of a job from the command line's options, and its mistakes in the words of who typed them."""

from __future__ import annotations

from streamer.errors import SettingsError
from streamer.settings import AnonymizeSettings, make_settings

_OPTIONS = {
    "analysis.long_side_px": "--long-side",
    "encode.hardware": "--hwenc",
    "hardware_decoding": "--hwdec",
}
# Of these the message itself names what is wrong.
_GROUPS = ("settings", "privacy", "analysis", "encode")


def settings_of_options(**values: object) -> AnonymizeSettings:
    """`make_settings`; its SettingsError names the option."""
    try:
        return make_settings(**values)
    except SettingsError as error:
        raise SettingsError(in_options(str(error))) from None


def in_options(message: str) -> str:
    """ "analysis.detect_every: ..." as "--detect-every: ..."."""
    where, _, what = message.partition(": ")
    if where in _GROUPS:
        return what
    name = where.rpartition(".")[2]
    return f"{_OPTIONS.get(where, '--' + name.replace('_', '-'))}: {what}"
