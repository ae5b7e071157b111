"""Where audits and plans leave their files: a JSON file and plots in a folder of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration.audit.report import write_json
from streamer.errors import OutputError


def write_results(folder: Path | None, name: str, charts: dict[str, str], **parts: Any) -> None:
    """Write `name`.json with the parts and one SVG file per chart; nothing without a folder.

    Results of an earlier run are replaced. Raises OutputError, also where a link or a device has the name of a result.
    """
    if folder is None:
        return
    for path in (folder / f"{name}.json", *(folder / f"{chart}.svg" for chart in charts)):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} is no regular file; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{name}.json", **parts)
        for chart_name, svg in charts.items():
            (folder / f"{chart_name}.svg").write_text(svg, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the results into {folder}: {error.strerror}") from None
