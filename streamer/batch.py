"""Which files a command line means, and where each one's output goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import SettingsError
from streamer.source import IMAGE_SUFFIXES

# Endings that are taken from a folder; a file given by name may have any.
_VIDEO_NAMES = (
    "3gp asf avi dv f4v flv gif m2ts m4v mjpeg mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv y4m"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _VIDEO_NAMES.split())


@dataclass(frozen=True, slots=True)
class Task:
    """One input and its output.

    Attributes:
        problem: set when the input cannot even be listed.
        makes_folder: the output's folder is part of a tree that is made as needed.
    """

    input_path: Path
    output_path: Path
    problem: str | None = None
    makes_folder: bool = False

    @property
    def is_image(self) -> bool:
        return self.input_path.suffix.lower() in IMAGE_SUFFIXES


def plan_tasks(inputs: Sequence[str], output: Path) -> list[Task]:
    """Expand files, globs and folders (recursive) into tasks.

    One file given as such is written to `output` itself, unless that is a folder (or ends with a slash); everything
    else is written into the folder `output`, where the tree below each given folder is kept.

    Raises:
        SettingsError: a pattern matches nothing, or two inputs would be written to one place.
    """
    into_folder = output.is_dir() or str(output).endswith(os.sep) or _means_many(inputs)
    if into_folder and output.exists() and not output.is_dir():
        raise SettingsError(f"{output} is a file, but several inputs need a folder; choose a folder with -o")
    tasks: list[Task] = []
    for text in inputs:
        tasks.extend(_expand(text, output, into_folder))
    # The same file may be meant twice, by its name and by a pattern.
    tasks = list(dict.fromkeys(tasks))
    _refuse_collisions(tasks)
    return tasks


def _means_many(inputs: Sequence[str]) -> bool:
    return len(inputs) > 1 or any(Path(text).is_dir() or _is_pattern(text) for text in inputs)


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not Path(text).exists()


def _expand(text: str, output: Path, into_folder: bool) -> Iterable[Task]:
    path = Path(text)
    if path.is_dir():
        yield from _walk(path, output)
    elif _is_pattern(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        files = [match for match in matches if match.is_file()]
        if not files:
            raise SettingsError(f"nothing matches {text}; check the pattern")
        for match in files:
            yield Task(match, output / match.name, makes_folder=True)
    else:
        # A missing file becomes a task that fails with its own line, so that the rest of a batch is still done.
        yield Task(path, output / path.name if into_folder else output, makes_folder=into_folder)


def _walk(folder: Path, output: Path) -> Iterable[Task]:
    problems: list[OSError] = []
    skip = output.resolve()
    for directory, names, files in os.walk(folder, onerror=problems.append):
        here = Path(directory)
        # The output folder may lie inside the input folder; its files are no inputs.
        names[:] = sorted(name for name in names if (here / name).resolve() != skip)
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES and not name.startswith("."):
                yield Task(path, output / path.relative_to(folder), makes_folder=True)
    for problem in problems:
        place = Path(os.fsdecode(problem.filename)) if problem.filename else folder
        reason = problem.strerror or "cannot be read"
        yield Task(place, output, problem=f"folder {place}: {reason}; give read permission or leave it out")


def _refuse_collisions(tasks: Sequence[Task]) -> None:
    seen: dict[Path, Path] = {}
    for task in tasks:
        if task.problem is not None:
            continue
        target = task.output_path.resolve()
        if target in seen:
            raise SettingsError(
                f"{seen[target]} and {task.input_path} would both be written to {task.output_path}; "
                "give their common folder as input, or run them one by one"
            )
        seen[target] = task.input_path
