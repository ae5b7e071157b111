"""Options that several audits share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CodebookPath = Annotated[Path | None, typer.Option(help="Another codebook of synthetic people.")]
DecoderPath = Annotated[Path | None, typer.Option(help="Another face decoder (ONNX).")]
OutFolder = Annotated[Path | None, typer.Option(help="Folder for the JSON file and the plot.")]
LfwFolder = Annotated[
    Path, typer.Option(help="Folder of Labeled Faces in the Wild: pairs.txt and the pictures.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each engine.")]
