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
        below: where both lie below the folder that was given and the one that is written; empty without a tree.
        problem: set when the input cannot even be listed.
        makes_folder: the output's folder is part of a tree that is made as needed.
    """

    input_path: Path
    output_path: Path
    problem: str | None = None
    makes_folder: bool = False
    below: Path = Path()

    @property
    def input_name(self) -> str:
        """For the report: folders above the one that was given may name people."""
        return (self.below / self.input_path.name).as_posix()

    @property
    def output_name(self) -> str:
        return (self.below / self.output_path.name).as_posix()

    @property
    def is_image(self) -> bool:
        return self.input_path.suffix.lower() in IMAGE_SUFFIXES


def plan_tasks(inputs: Sequence[str], output: str | os.PathLike[str]) -> list[Task]:
    """Expand files, globs and folders (recursive) into tasks.

    One file given as such is written to `output` itself, unless that is a folder (or ends with a slash); everything
    else is written into the folder `output`, where the tree below each given folder is kept.

    Args:
        output: as typed; a path object has lost its slash at the end.

    Raises:
        SettingsError: an empty name, a pattern that matches nothing, or two inputs that would be written to one place.
    """
    into_folder = _is_folder(os.fspath(output), inputs)
    output = Path(output)
    tasks: list[Task] = []
    for text in inputs:
        tasks.extend(_expand(text, output, into_folder))
    # The same file may be meant twice, by its name and by a pattern.
    tasks = list(dict.fromkeys(tasks))
    _refuse_collisions(tasks)
    return tasks


def _is_folder(output: str, inputs: Sequence[str]) -> bool:
    if not output.strip() or any(not text.strip() for text in inputs):
        # A variable that was not set: as a path it would mean all that is here.
        raise SettingsError(f"{'INPUT' if output.strip() else '--output'} is empty; give a file or a folder")
    if Path(output).is_dir():
        return True
    is_folder = output.endswith(os.sep)
    if not is_folder and not _means_many(inputs):
        return False
    if Path(output).exists():
        raise SettingsError(f"{output} is a file, but a folder is needed here; choose a folder with -o")
    if not is_folder and Path(output).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        raise SettingsError(
            f"{output} has the name of a file, but several inputs need a folder; choose a folder with -o, or end its "
            "name with a slash"
        )
    return True


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
                below = here.relative_to(folder)
                yield Task(path, output / below / name, makes_folder=True, below=below)
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
