"""The report of a batch: written anew after each file, and continued by `--resume`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamer.errors import OutputError
from streamer.report import REPORT_FORMAT, write_json
from streamer.resume import NotedHashes

_Entry = dict[str, Any]
# Of the head: they tell of the whole ledger, and change with every draw.
_RUNNING = ("epsilon_spent_in_scope", "delta_spent_in_scope", "ledger_head")


class ReportFile:
    """What this run did, and what an earlier one noted there.

    An earlier entry stays as it is until its output is made anew; that of a file that failed goes once the file is
    tried again. Entries made with other settings, models or privacy than the head says hold these in `made_with`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._earlier_head: dict[str, Any] = {}
        self._earlier: dict[tuple[str, str], _Entry] = {}

    def load(self) -> None:
        """Go on with the report that is there, if any. Raises OutputError where it is none."""
        if self._path.exists():
            self._earlier_head = _read(self._path)
            self._earlier = {_names(entry): entry for entry in self._earlier_head.pop("files")}

    def noted(self, input_name: str, output_name: str) -> NotedHashes | None:
        """Hashes of an earlier run; None where it did not finish this file."""
        entry = self._earlier.get((input_name, output_name), {})
        hashes = [entry.get("input_sha256"), entry.get("output_sha256")]
        return NotedHashes(*map(str, hashes)) if all(hashes) else None

    def write(self, head: dict[str, Any], entries: list[_Entry]) -> None:
        """Write all that is known so far under the head of this run. Raises OutputError."""
        tried = {(str(entry["input"]), "") for entry in entries}
        kept = {names: entry for names, entry in self._earlier.items() if names not in tried}
        now = [entry for entry in entries if entry["status"] != "skipped" or _names(entry) not in kept]
        for entry in now:
            kept.pop(_names(entry), None)
        made_with = _differing(self._earlier_head, head)
        before = [{"made_with": made_with, **entry} if made_with else entry for entry in kept.values()]
        write_json(self._path, {**head, "files": [*before, *now]})


def _names(entry: _Entry) -> tuple[str, str]:
    """Of input and output; a file that failed has none of an output."""
    return str(entry["input"]), str(entry.get("output", ""))


def _differing(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What was otherwise when the earlier entries were made."""
    before, after = ({**head, "privacy": _lasting(head.get("privacy"))} for head in (earlier, now))
    plain = json.loads(json.dumps(after))
    return {name: value for name, value in before.items() if value is not None and value != plain.get(name)}


def _lasting(privacy: Any) -> Any:
    if not isinstance(privacy, dict):
        return privacy
    return {name: value for name, value in privacy.items() if name not in _RUNNING}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = (
            content["format"] == REPORT_FORMAT
            and str(content["tool"]).startswith("veilstream ")
            and all("input" in entry for entry in content["files"])
        )
    except OSError as error:
        raise OutputError(f"report {path} cannot be read ({error.strerror}); choose another one") from None
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise OutputError(
            f"report {path} exists and is none of veilstream's to go on with; choose another one"
        )
    assert isinstance(content, dict)
    return content
