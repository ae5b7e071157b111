"""What `--decoder quality` needs: the styles of the codebook's people, and the teacher generator that renders them.

The teacher is opened by the first person who is asked for, in the workshop's thread, and serves every stream of the
process.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from calibration.codebook import Codebook, SyntheticPerson
from engines.appearance.finer import FineRenderer
from engines.appearance.styles import StyleBook
from engines.appearance.teacher import SynthesisTeacher, check_available
from engines.errors import EngineError
from engines.identity import IdentityEncoder
from engines.landmarks import FaceMesh
from engines.zoo.registry import entry, read_checked
from streamer.errors import SettingsError
from streamer.frame import UInt8Array
from streamer.identity.appearances import CodebookAppearances, Workshop

STYLES_MODEL = "codebook-v1-styles"
# One thread for the whole process: rendering people must not take the cores that faces are drawn on.
_WORKSHOP = Workshop()


def open_appearances(
    codebook: Codebook, codebook_path: Path | None, teacher_folder: Path | None
) -> CodebookAppearances:
    """Finer pictures of the people of a codebook.

    Args:
        codebook_path: its file, which has its styles beside it; None for the codebook that ships.
        teacher_folder: where the teacher's files are; None takes those that were fetched.

    Raises:
        EngineError, SettingsError: OpenVINO, the teacher or the styles are not there.
    """
    check_available(teacher_folder)
    styles = _styles_of(codebook, codebook_path)

    def make(person: SyntheticPerson) -> UInt8Array:
        teacher, mesh, encoder = _engines(teacher_folder)
        renderer = FineRenderer(teacher, styles, mesh, encoder)
        code = codebook.codes_unit[person.index]
        return renderer.render(person.index, person.appearance_rgb_u8, person.mesh_xyz_px, code)

    return CodebookAppearances(_WORKSHOP, codebook.sha256, styles.knows, make)


def styles_path(codebook_path: Path) -> Path:
    """Where the styles of a codebook of the user's are: NAME-styles.npz beside NAME.npz."""
    return codebook_path.with_name(f"{codebook_path.stem}-styles.npz")


def _styles_of(codebook: Codebook, path: Path | None) -> StyleBook:
    if path is None:
        styles = StyleBook.read(read_checked(entry(STYLES_MODEL)))
    else:
        beside = styles_path(path)
        try:
            styles = StyleBook.read(beside.read_bytes())
        except OSError:
            raise SettingsError(
                f"decoder quality renders people anew, and {beside} is not there; "
                "write it with: python -m engines.training codebook styles"
            ) from None
    if styles.codebook_sha256 != codebook.sha256 or len(styles.recipes) != codebook.size:
        raise EngineError("the styles are those of another codebook; write them again for this one")
    return styles


@cache
def _engines(teacher_folder: Path | None) -> tuple[SynthesisTeacher, FaceMesh, IdentityEncoder]:
    """Used by the workshop's thread alone."""
    return SynthesisTeacher(teacher_folder), FaceMesh.open(), IdentityEncoder.open()
