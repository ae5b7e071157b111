"""The people that the decoder is trained on: pictures, meshes and codes, from folders and from teacher
shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.face.pose import head_pose
from engines.face.template import RECOGNITION_POINTS_PX, RECOGNITION_SIDE_PX, similarity_from_points
from engines.face.topology import five_points
from engines.identity import IdentityEncoder
from engines.landmarks import MESH_PATCH_PX, PATCH_BOX_SCALE, FaceMesh

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

# Below this raw presence score the landmarks are not trusted for training.
_PRESENCE_LEAST = 28.0
_PRESENCE_LEAST_TEACHER = 20.0
# An appearance must look at the camera.
_FRONTAL_RADIANS = np.radians(14.0)
# One person in this many is kept from training, for `evaluate`.
HELD_OUT_EVERY = 25


@dataclass(eq=False)
class Face:
    """One picture of one person.

    Attributes:
        encoded: JPEG bytes.
        mesh_xyz_px: (468, 3) float32, px of the picture.
        frontal: it may serve as an appearance.
    """

    encoded: UInt8Array
    mesh_xyz_px: Float32Array
    frontal: bool
    _code: Float32Array | None = field(default=None, repr=False)

    def picture_f32(self) -> Float32Array:
        """(h, w, 3) RGB in 0..1."""
        bgr = np.asarray(cv2.imdecode(self.encoded, cv2.IMREAD_COLOR), dtype=np.float32)
        return np.asarray(bgr[..., ::-1] / np.float32(255.0), dtype=np.float32)

    def code(self, encoder: IdentityEncoder) -> Float32Array:
        """(128,) recognition code, computed once."""
        if self._code is None:
            matrix = similarity_from_points(five_points(self.mesh_xyz_px), RECOGNITION_POINTS_PX)
            side = (RECOGNITION_SIDE_PX, RECOGNITION_SIDE_PX)
            aligned = cv2.warpAffine(
                self.picture_f32() * np.float32(255.0), matrix, side, borderMode=cv2.BORDER_REFLECT_101
            )
            self._code = encoder.encode(np.asarray(aligned, dtype=np.float32)[None])[0]
        return self._code


@dataclass(eq=False)
class Person:
    """All pictures of one person; `faces[0]` is the appearance. `held_out` people are never trained on."""

    faces: list[Face]
    held_out: bool
    neutral_known: bool

    @property
    def appearances(self) -> list[Face]:
        """Pictures that may be warped: the neutral one where it is known, else every frontal one."""
        if self.neutral_known:
            return self.faces[:1]
        return [face for face in self.faces if face.frontal]


def _face(encoded: UInt8Array, mesh: Float32Array) -> Face:
    frontal = abs(head_pose(mesh).yaw_radians) < _FRONTAL_RADIANS
    return Face(encoded, mesh, frontal)


def load_shard(path: Path) -> list[Person]:
    """People of one teacher shard; view 0 of each is the neutral one.

    Raises:
        EngineError: the file is not a shard.
    """
    try:
        with np.load(path, allow_pickle=False) as shard:
            images, offsets = shard["images"], shard["image_offsets"]
            meshes = shard["mesh_xyz_px"].astype(np.float32)
            presence, person, view = shard["presence"], shard["person"], shard["view"]
    except (OSError, KeyError, ValueError) as error:
        message = f"{path}: not a shard of teacher views ({error}); make it with `synthesize views`"
        raise EngineError(message) from None
    people = []
    for number in np.unique(person):
        rows = np.flatnonzero((person == number) & (presence >= _PRESENCE_LEAST_TEACHER))
        rows = rows[np.argsort(view[rows], kind="stable")]
        if len(rows) < 2 or view[rows[0]] != 0:
            continue
        faces = [_face(images[offsets[i] : offsets[i + 1]].copy(), meshes[i]) for i in rows]
        people.append(Person(faces, int(number) % HELD_OUT_EVERY == 0, neutral_known=True))
    return people


def load_folder(folder: Path, cache: Path, *, threads: int = 1) -> list[Person]:
    """People of a folder of portraits; landmarks are found once and kept in `cache`.

    Files named `<number>_<attribute>_<level>.jpg` show one person per number; every other file is a person.

    Raises:
        EngineError: there are no pictures.
    """
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        raise EngineError(f"{folder}: no .jpg files; give a folder of aligned portraits")
    names = [str(file.relative_to(folder)) for file in files]
    meshes, presence = _cached_landmarks(files, names, cache, threads)
    groups: dict[str, list[Face]] = {}
    for file, name, mesh, score in zip(files, names, meshes, presence, strict=True):
        if score < _PRESENCE_LEAST:
            continue
        variant = re.fullmatch(r"(\d+)_[a-z]+_\d+", file.stem)
        key = f"{file.parent}/{variant.group(1)}" if variant else name
        groups.setdefault(key, []).append(_face(np.fromfile(file, dtype=np.uint8), mesh))
    people = []
    for number, faces in enumerate(groups.values()):
        if any(face.frontal for face in faces):
            faces.sort(key=lambda face: not face.frontal)
            people.append(Person(faces, number % HELD_OUT_EVERY == 0, neutral_known=False))
    return people


def _cached_landmarks(
    files: list[Path], names: list[str], cache: Path, threads: int
) -> tuple[Float32Array, Float32Array]:
    if cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            if stored["names"].tolist() == names:
                return stored["mesh_xyz_px"], stored["presence"]
    model = FaceMesh.open(threads=threads)
    found = [
        _landmarks(np.asarray(cv2.imread(str(file)), dtype=np.uint8)[..., ::-1], model) for file in files
    ]
    meshes = np.stack([mesh for mesh, _ in found])
    presence = np.array([score for _, score in found], dtype=np.float32)
    partial = cache.with_suffix(".partial.npz")
    np.savez_compressed(partial, mesh_xyz_px=meshes, presence=presence, names=np.array(names))
    partial.replace(cache)
    return meshes, presence


def _landmarks(picture: UInt8Array, model: FaceMesh) -> tuple[Float32Array, float]:
    """Mesh (468, 3) and presence of a picture filled by one face: a first look, then a better cut."""
    height, width = picture.shape[:2]
    centre, side = np.array([width / 2, height * 0.53]), 1.17 * max(height, width)
    best: tuple[Float32Array, float] | None = None
    for _ in range(2):
        zoom = MESH_PATCH_PX / side
        shift = (MESH_PATCH_PX - 1) / 2 - centre * zoom
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        patch = cv2.warpAffine(
            picture, matrix, (MESH_PATCH_PX, MESH_PATCH_PX), borderMode=cv2.BORDER_REFLECT_101
        )
        points, presence = model.run(np.asarray(patch, dtype=np.float32)[None] / np.float32(255.0))
        mesh = points[0].astype(np.float32)
        mesh[:, :2] = (mesh[:, :2] - shift) / zoom
        mesh[:, 2] /= zoom
        if best is None or presence[0] >= best[1] - 5.0:
            best = mesh, float(presence[0])
        low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
        centre, side = (low + high) / 2, PATCH_BOX_SCALE * float((high - low).max())
    assert best is not None
    return best


class People:
    """Everybody there is to train on, with shards picked up as they are written."""

    def __init__(self, folders: Iterable[tuple[Path, Path]], shards: str | None, *, threads: int = 1) -> None:
        """`folders` are (pictures, landmark cache); `shards` is a glob pattern of teacher shards."""
        self.portraits: list[Person] = []
        for folder, cache in folders:
            self.portraits.extend(load_folder(folder, cache, threads=threads))
        self.teacher: list[Person] = []
        self._pattern = shards
        self._loaded: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        """Loads the shards that have appeared since the last time."""
        if self._pattern is None:
            return
        pattern = Path(self._pattern)
        for path in sorted(pattern.parent.glob(pattern.name)):
            if path not in self._loaded and ".partial" not in path.name:
                self.teacher.extend(load_shard(path))
                self._loaded.add(path)

    def split(self, *, held_out: bool) -> tuple[list[Person], list[Person]]:
        """(teacher people, portraits), of training or of the held-out ones."""
        return (
            [person for person in self.teacher if person.held_out == held_out],
            [person for person in self.portraits if person.held_out == held_out],
        )


@dataclass(frozen=True)
class DataPaths:
    """Where the pictures are: folders of portraits with their landmark caches, and a glob of teacher shards."""

    folders: tuple[tuple[Path, Path], ...]
    shards: str | None

    def people(self) -> People:
        """Loads them.

        Raises:
            EngineError: there is nobody to train on.
        """
        people = People(self.folders, self.shards)
        if not people.portraits and not people.teacher:
            raise EngineError("no training pictures; give --pictures FOLDER or --shards PATTERN")
        return people
