"""What a benchmark found, once: as JSON, as Markdown for the documents, and as a page with plots and pictures."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #1d2329 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #d6dbe0; padding: .25rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left }
th { background: #f3f5f7 }
td.miss { color: #a4262c; font-weight: 600 }
code { background: #f3f5f7; padding: .1rem .3rem }
figure { margin: 1rem 0 } figure img, figure svg { max-width: 100%; height: auto }
nav a { margin-right: 1rem }
"""


@dataclass(frozen=True)
class Table:
    """Cells are text; one that ends in ` !` misses its bar."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """The title in bold, then the rows; misses in bold."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append("| " + " | ".join(self.header) + " |")
        lines.append("|" + "---|" * len(self.header))
        for row in self.rows:
            cells = (f"**{cell[:-2]}**" if cell.endswith(" !") else cell for cell in row)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines)

    def html(self) -> str:
        parts = [f"<h3>{html.escape(self.title)}</h3>" if self.title else "", "<table><tr>"]
        parts += [f"<th>{html.escape(cell)}</th>" for cell in self.header]
        parts.append("</tr>")
        for row in self.rows:
            parts.append("<tr>")
            for cell in row:
                kind, text = (' class="miss"', cell[:-2]) if cell.endswith(" !") else ("", cell)
                parts.append(f"<td{kind}>{html.escape(text)}</td>")
            parts.append("</tr>")
        return "".join([*parts, "</table>"])


@dataclass(frozen=True)
class Part:
    """One benchmark's findings.

    Attributes:
        name: of the command, `python -m benchmarks NAME`.
        figures: what goes into the JSON file.
        charts: SVG documents.
        pictures: JPEG files, each with what it shows.
        notes: plain sentences; misses and what was left out belong here.
    """

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    figures: Any = None
    charts: list[str] = field(default_factory=list)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Title, tables and notes."""
        blocks = [f"## {self.title}", f"`python -m benchmarks {self.name}`"]
        blocks += [table.markdown() for table in self.tables]
        blocks += ["\n".join(f"* {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(blocks)

    def html(self) -> str:
        blocks = [f'<h2 id="{self.name}">{html.escape(self.title)}</h2>']
        blocks.append(f"<p><code>python -m benchmarks {html.escape(self.name)}</code></p>")
        blocks += [table.html() for table in self.tables]
        blocks += [f"<figure>{chart}</figure>" for chart in self.charts]
        for caption, jpeg in self.pictures:
            data = base64.b64encode(jpeg).decode("ascii")
            blocks.append(
                f'<figure><img alt="{html.escape(caption)}" src="data:image/jpeg;base64,{data}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
        if self.notes:
            blocks.append("<ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in self.notes) + "</ul>")
        return "\n".join(blocks)


def write_report(folder: Path, head: str, parts: Sequence[Part]) -> None:
    """`report.html` (nothing in it is loaded from elsewhere), `report.md`, and one JSON file for each part.

    Args:
        head: machine, date and versions, one line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        text = json.dumps({"head": head, "figures": part.figures}, indent=1, default=str)
        (folder / f"{part.name}.json").write_text(text + "\n", encoding="utf-8")
    blocks = [f"# Benchmarks\n\n{head}", *(part.markdown() for part in parts)]
    (folder / "report.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    links = "".join(f'<a href="#{part.name}">{html.escape(part.title)}</a>' for part in parts)
    page = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>veilstream benchmarks</title>',
        f"<style>{_STYLE}</style><h1>veilstream benchmarks</h1><p>{html.escape(head)}</p><nav>{links}</nav>",
        *(part.html() for part in parts),
        "</html>",
    ]
    (folder / "report.html").write_text("\n".join(page), encoding="utf-8")
